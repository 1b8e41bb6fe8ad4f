package aliwaf_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

const blacklistScene = "ip_blacklist"

// ourTemplates returns the templates of the IP blacklist that are the target shop's.
func (c *cloud) ourTemplates() []waftest.AlibabaTemplate {
	return slices.DeleteFunc(c.Templates(blacklistScene), func(t waftest.AlibabaTemplate) bool {
		return !strings.HasPrefix(t.Description, "tracewall:shop ") && t.Description != "tracewall:shop"
	})
}

// ourRules returns the rules in them.
func (c *cloud) ourRules() (rules []waftest.AlibabaRule) {
	for _, t := range c.ourTemplates() {
		rules = append(rules, c.Rules(t.ID)...)
	}
	return rules
}

func TestBlacklistSeesAndMendsWhatSomebodyElseChanged(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(t *testing.T, c *cloud)
		drift  string
		writes int
	}{
		"a rule is switched off": {
			change: func(t *testing.T, c *cloud) {
				must(t, c.EditRule(c.ourRules()[0].ID, func(r *waftest.AlibabaRule) { r.Off = true }))
			},
			drift: "was switched off", writes: 1,
		},
		"a rule only counts": {
			change: func(t *testing.T, c *cloud) {
				must(t, c.EditRule(c.ourRules()[0].ID, func(r *waftest.AlibabaRule) { r.Config = strings.Replace(r.Config, "block", "monitor", 1) }))
			},
			drift: "was given the action monitor", writes: 1,
		},
		"a template is switched off": {
			change: func(t *testing.T, c *cloud) {
				must(t, c.EditTemplate(blacklistScene, "tracewall-shop-001", func(one *waftest.AlibabaTemplate) { one.Off = true }))
			},
			drift: "template tracewall-shop-001 was switched off", writes: 1,
		},
		"a rule is deleted": {
			change: func(t *testing.T, c *cloud) { must(t, c.RemoveRule(c.ourRules()[0].ID)) },
			writes: 1,
		},
		"a rule holds what is no address": {
			change: func(t *testing.T, c *cloud) {
				must(t, c.EditRule(c.ourRules()[0].ID, func(r *waftest.AlibabaRule) { r.Config = strings.Replace(r.Config, `"203.`, `"somewhere","203.`, 1) }))
			},
			drift: "holds 1 entries that are no addresses",
		},
		"an object is unbound": {
			change: func(t *testing.T, c *cloud) {
				must(t, c.EditTemplate(blacklistScene, "tracewall-shop-001", func(one *waftest.AlibabaTemplate) { one.Objects = []string{apiObject} }))
			},
			writes: 1,
		},
		"an address is put into a rule by hand": {
			change: func(t *testing.T, c *cloud) {
				must(t, c.EditRule(c.ourRules()[0].ID, func(r *waftest.AlibabaRule) { r.Config = strings.Replace(r.Config, `"203.`, `"192.0.2.1","203.`, 1) }))
			},
			writes: 1,
		},
		"the mark is taken off": {
			change: func(t *testing.T, c *cloud) {
				must(t, c.EditTemplate(blacklistScene, "tracewall-shop-002", func(one *waftest.AlibabaTemplate) { one.Description = "mine now" }))
			},
			writes: 3, // another template, its binding, the rule that was in there
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newBlacklist(t, waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{BlacklistRules: 2}})
			c.target.Objects, c.target.SetSize, c.target.Templates = []string{shopObject, apiObject}, 10, 9
			list := spaced(25)
			(&runner{c: c}).ok(t, 1, list)
			tt.change(t, c)

			watch := &runner{c: c}
			report, err := watch.run(t, 2, list, func(r *waf.Reconciler) { r.ReportDrift = true })
			if (tt.drift != "") != errors.Is(err, waf.ErrDrift) {
				t.Errorf("with drift to be reported only: %v", err)
			}
			if tt.drift != "" {
				report = (&runner{c: c}).ok(t, 3, list)
			}
			if report.Writes != tt.writes || !strings.Contains(strings.Join(report.Drift, "\n"), tt.drift) {
				t.Errorf("%d writes, drift %q, want %d and %q", report.Writes, report.Drift, tt.writes, tt.drift)
			}
			for _, object := range c.target.Objects {
				if n := len(c.EnforcedOn(object)); n < len(list) {
					t.Errorf("object %s has %d in force, want all %d", object, n, len(list))
				}
			}
			if report := (&runner{c: c}).ok(t, 4, list); report.Writes != 0 && tt.writes > 0 {
				t.Errorf("the run after it still writes: %q", report.Plan)
			}
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// spaced returns n single addresses of which no two make a range.
func spaced(n int) []netip.Prefix {
	list := hosts(0, 2*n)
	for i := range n {
		list[i] = list[2*i]
	}
	return list[:n]
}

func TestBlacklistOverwritesNobody(t *testing.T) {
	for name, write := range map[string]func(f waf.SetFirewall, t *testing.T) error{
		"put": func(f waf.SetFirewall, t *testing.T) error {
			return f.Put(t.Context(), waf.Set{Name: "tracewall-shop-v4-001", Family: waf.IPv4, Prefixes: hosts(0, 3)})
		},
		"delete": func(f waf.SetFirewall, t *testing.T) error { return f.Delete(t.Context(), "tracewall-shop-v4-001") },
	} {
		for _, change := range []struct {
			what string
			edit func(*waftest.AlibabaRule)
		}{
			{"content", func(r *waftest.AlibabaRule) { r.Config = strings.Replace(r.Config, `"203.`, `"192.0.2.1","203.`, 1) }},
			{"status", func(r *waftest.AlibabaRule) { r.Off = true }},
			{"action", func(r *waftest.AlibabaRule) { r.Config = strings.Replace(r.Config, "block", "monitor", 1) }},
			{"name", func(r *waftest.AlibabaRule) { r.Name = "mine-now" }},
		} {
			t.Run(fmt.Sprintf("%s after another writer has changed the %s", name, change.what), func(t *testing.T) {
				c := newBlacklist(t, waftest.AlibabaOptions{})
				(&runner{c: c}).ok(t, 1, spaced(5))
				f := c.open(t).(waf.SetFirewall)
				if _, err := f.Look(t.Context()); err != nil {
					t.Fatal(err)
				}
				must(t, c.EditRule(c.ourRules()[0].ID, change.edit))
				before := c.ourRules()
				if err := write(f, t); !errors.Is(err, waf.ErrConflict) {
					t.Errorf("error %v, want a conflict", err)
				}
				if after := c.ourRules(); !slices.Equal(before, after) {
					t.Errorf("the rule was overwritten:\n%+v\n%+v", before, after)
				}
			})
		}
	}
}

func TestBlacklistTakesTwoRulesOfOneNameApart(t *testing.T) {
	c := newBlacklist(t, waftest.AlibabaOptions{})
	list := spaced(5)
	(&runner{c: c}).ok(t, 1, list)
	// What a call leaves whose answer got lost, and that a second process made again.
	_, err := c.SeedRule(waftest.AlibabaRule{Template: c.ourTemplates()[0].ID, Name: "tracewall-shop-v4-001", Config: `{"name":"tracewall-shop-v4-001","remoteAddr":["203.0.200.1","203.0.200.3"],"action":"block"}`})
	must(t, err)
	more := append(list, netip.MustParsePrefix("203.0.200.1/32"))
	(&runner{c: c}).ok(t, 2, more)
	(&runner{c: c}).ok(t, 3, more[:4])
	if rules := c.ourRules(); len(rules) != 1 {
		t.Errorf("rules left: %+v, want one", rules)
	}
}

func TestBlacklistLeavesOthersRulesInItsTemplates(t *testing.T) {
	c := newBlacklist(t, waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{BlacklistRules: 3}})
	c.target.SetSize = 10
	(&runner{c: c}).ok(t, 1, spaced(5))
	_, err := c.SeedRule(waftest.AlibabaRule{Template: c.ourTemplates()[0].ID, Name: "by-hand", Config: `{"name":"by-hand","remoteAddr":["198.51.100.200"],"action":"block"}`})
	must(t, err)
	foreign := c.Foreign()
	report, err := (&runner{c: c}).run(t, 2, spaced(35))
	must(t, err)
	if report.Enforced != 20 || report.Overflow != 15 || !strings.Contains(strings.Join(report.Notes, "\n"), "holds 1 rules that are not ours") {
		t.Errorf("enforced %d, overflow %d, notes %q; want 20 in the two places left and a word about the third", report.Enforced, report.Overflow, report.Notes)
	}
	done, err := c.open(t).(waf.Detacher).Detach(t.Context(), false)
	must(t, err)
	if len(c.enforced()) != 0 || c.Foreign() != foreign || !strings.Contains(strings.Join(done, "\n"), "stays: it holds 1 rules that are not ours, the first: by-hand") {
		t.Errorf("after leaving %d are in force, it said %q", len(c.enforced()), done)
	}
}

func TestBlacklistGoesAroundATemplateThatOthersHaveFilled(t *testing.T) {
	c := newBlacklist(t, waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{BlacklistRules: 3}})
	c.target.SetSize, c.target.Templates = 10, 2
	(&runner{c: c}).ok(t, 1, spaced(5))
	for _, name := range []string{"by-hand", "by-hand-too"} {
		_, err := c.SeedRule(waftest.AlibabaRule{Template: c.ourTemplates()[0].ID, Name: name, Config: `{"remoteAddr":["198.51.100.200"],"action":"block"}`})
		must(t, err)
	}
	if (&runner{c: c}).ok(t, 2, spaced(40)); len(c.ourTemplates()) != 2 {
		t.Errorf("templates: %+v", c.ourTemplates())
	}
}

func TestBlacklistKnowsWhatIsOurs(t *testing.T) {
	c := newBlacklist(t, waftest.AlibabaOptions{})
	c.SeedTemplate(waftest.AlibabaTemplate{Scene: blacklistScene, Name: "tracewall-shop-001", Description: "made by hand"})
	c.SeedTemplate(waftest.AlibabaTemplate{Scene: blacklistScene, Name: "copied", Description: "tracewall:shop epoch=x generation=9"})
	foreign := c.foreignButMarked()
	report := (&runner{c: c}).ok(t, 1, spaced(5))
	notes := strings.Join(report.Notes, "\n")
	if !strings.Contains(notes, "tracewall-shop-001 has a name of ours but not our mark") || !strings.Contains(notes, "copied has our mark") {
		t.Errorf("notes: %q", report.Notes)
	}
	if c.foreignButMarked() != foreign {
		t.Error("what is not ours changed")
	}
	if _, err := c.open(t).(waf.Detacher).Detach(t.Context(), false); err != nil || c.foreignButMarked() != foreign {
		t.Errorf("leaving took what is not ours: %v", err)
	}
}

// foreignButMarked is Foreign with the template that has our mark and not our name.
func (c *cloud) foreignButMarked() string {
	text := c.Foreign()
	for _, t := range c.Templates(blacklistScene) {
		if t.Name == "copied" || t.Description == "made by hand" {
			text += fmt.Sprintf("%+v\n", t)
		}
	}
	return text
}

func TestBlacklistStopsAtWhatItCannotRead(t *testing.T) {
	c := newBlacklist(t, waftest.AlibabaOptions{})
	(&runner{c: c}).ok(t, 1, spaced(5))
	must(t, c.EditRule(c.ourRules()[0].ID, func(r *waftest.AlibabaRule) { r.Config = `{"action":"block","addresses":["203.0.0.0"]}` }))
	report, err := (&runner{c: c}).run(t, 2, spaced(4))
	if !errors.Is(err, waf.ErrUnavailable) || report.Writes != 0 {
		t.Errorf("error %v, %d writes; want none and that the rule cannot be read", err, report.Writes)
	}
}

func TestBlacklistChangesItsActionWithTheConfiguration(t *testing.T) {
	c := newBlacklist(t, waftest.AlibabaOptions{})
	c.target.SetSize = 2
	list := spaced(5)
	(&runner{c: c}).ok(t, 1, list)
	c.target.Action = aliwaf.ActionMonitor
	report, err := (&runner{c: c}).run(t, 2, list, func(r *waf.Reconciler) { r.ReportDrift = true })
	if err != nil || report.Writes != 3 || len(c.enforced()) != 0 || len(c.Observed(waftest.ByBlacklist)) != 5 {
		t.Errorf("error %v, %d writes, %d blocked, %d observed; want 3 writes and 5 observed", err, report.Writes, len(c.enforced()), len(c.Observed(waftest.ByBlacklist)))
	}
	if report.Proof == nil || report.Proof.Effective || !strings.Contains(strings.Join(report.Proof.Reasons, "\n"), "monitor") {
		t.Errorf("the proof says %+v", report.Proof)
	}
}
