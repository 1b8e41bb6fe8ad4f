package aliwaf_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func TestBlacklistProtectsWhatItShould(t *testing.T) {
	for name, tt := range map[string]struct {
		set       func(c *cloud)
		isDefault bool
		bound     []string
		groups    []string
	}{
		"one template and no objects: a default one": {set: func(*cloud) {}, isDefault: true},
		"objects by name": {set: func(c *cloud) { c.target.Objects = []string{apiObject} }, bound: []string{apiObject}},
		"several templates: each is bound to every object": {
			set: func(c *cloud) { c.target.Templates = 2 }, bound: []string{apiObject, shopObject},
		},
		"another default template is there: ours is bound to every object": {
			set: func(c *cloud) {
				c.SeedTemplate(waftest.AlibabaTemplate{Scene: blacklistScene, Name: "theirs", Default: true})
			}, bound: []string{apiObject, shopObject},
		},
		"an object in a group is covered by its group": {
			set: func(c *cloud) {
				c.target.Templates = 2
				c.SeedGroup("backends", apiObject)
			}, bound: []string{shopObject}, groups: []string{"backends"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newBlacklist(t, waftest.AlibabaOptions{OneDefault: true})
			tt.set(c)
			foreign := c.Foreign()
			(&runner{c: c}).ok(t, 1, spaced(5))
			for _, one := range c.ourTemplates() {
				slices.Sort(one.Objects)
				if one.Default != tt.isDefault || !slices.Equal(one.Objects, tt.bound) || !slices.Equal(one.Groups, tt.groups) {
					t.Errorf("the template is %+v", one)
				}
			}
			if c.Foreign() != foreign {
				t.Error("what is not ours changed")
			}
		})
	}
}

func TestBlacklistBindsAnObjectThatCameLater(t *testing.T) {
	c := newBlacklist(t, waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{BlacklistRules: 1}})
	c.target.Templates, c.target.SetSize = 3, 10
	list := spaced(25)
	(&runner{c: c}).ok(t, 1, list)
	c.SeedObjects("new.example.com-waf")
	report := (&runner{c: c}).ok(t, 2, list)
	if n := len(c.EnforcedOn("new.example.com-waf")); n != 25 || report.Writes != 3 || len(report.Drift) != 0 {
		t.Errorf("%d in force on the new object after %d writes, drift %q; want 25, one write for each template, and no drift", n, report.Writes, report.Drift)
	}
}

func TestBlacklistLeavesWhatElseIsBound(t *testing.T) {
	c := newBlacklist(t, waftest.AlibabaOptions{})
	c.target.Objects = []string{apiObject}
	(&runner{c: c}).ok(t, 1, spaced(5))
	must(t, c.EditTemplate(blacklistScene, "tracewall-shop-001", func(one *waftest.AlibabaTemplate) { one.Objects = append(one.Objects, shopObject) }))
	if report := (&runner{c: c}).ok(t, 2, spaced(5)); report.Writes != 0 {
		t.Errorf("%d writes (%q), want none", report.Writes, report.Plan)
	}
}

func TestBlacklistKeepsAnOperatorsWordsInItsNote(t *testing.T) {
	c := newBlacklist(t, waftest.AlibabaOptions{})
	(&runner{c: c}).ok(t, 1, spaced(5))
	must(t, c.EditTemplate(blacklistScene, "tracewall-shop-001", func(one *waftest.AlibabaTemplate) { one.Description += " ask ops before touching" }))
	(&runner{c: c}).ok(t, 7, spaced(6), verify)
	if got := c.ourTemplates()[0].Description; got != "tracewall:shop epoch=epoch-1 generation=7 ask ops before touching" {
		t.Errorf("description %q", got)
	}
}

func TestBlacklistProvesWhatIsInForce(t *testing.T) {
	for name, tt := range map[string]struct {
		change    func(t *testing.T, c *cloud)
		effective bool
		reason    string
	}{
		"all is well": {change: func(*testing.T, *cloud) {}, effective: true},
		"a whitelist rule lets through": {
			change: func(t *testing.T, c *cloud) {
				at := c.SeedTemplate(waftest.AlibabaTemplate{Scene: "whitelist", Name: "partners", Default: true})
				_, err := c.SeedRule(waftest.AlibabaRule{Template: at, Name: "partner", Config: `{"tags":["blacklist"],"conditions":[{"key":"IP","opValue":"contain","values":"203.0.0.0/24"}]}`})
				must(t, err)
			}, effective: true, reason: "partner",
		},
		"the template is off": {
			change: func(t *testing.T, c *cloud) {
				must(t, c.EditTemplate(blacklistScene, "tracewall-shop-001", func(one *waftest.AlibabaTemplate) { one.Off = true }))
			}, reason: "template tracewall-shop-001 is switched off",
		},
		"the rule is off": {
			change: func(t *testing.T, c *cloud) {
				must(t, c.EditRule(c.ourRules()[0].ID, func(r *waftest.AlibabaRule) { r.Off = true }))
			}, reason: "1 rules in template tracewall-shop-001 are switched off",
		},
		"the rule only counts": {
			change: func(t *testing.T, c *cloud) {
				must(t, c.EditRule(c.ourRules()[0].ID, func(r *waftest.AlibabaRule) { r.Config = strings.Replace(r.Config, "block", "monitor", 1) }))
			}, reason: "do not block",
		},
		"nothing is bound": {
			change: func(t *testing.T, c *cloud) {
				must(t, c.EditTemplate(blacklistScene, "tracewall-shop-001", func(one *waftest.AlibabaTemplate) { one.Objects = nil }))
			}, reason: "protects nothing",
		},
		"there is no rule": {
			change: func(t *testing.T, c *cloud) { must(t, c.RemoveRule(c.ourRules()[0].ID)) }, reason: "there is no rule of ours",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newBlacklist(t, waftest.AlibabaOptions{})
			c.target.Objects = []string{shopObject}
			(&runner{c: c}).ok(t, 1, spaced(5))
			tt.change(t, c)
			c.Forget()
			proof, err := c.open(t).(waf.Prover).Prove(t.Context())
			must(t, err)
			if proof.Effective != tt.effective || proof.Effective != (len(c.enforced()) == 5) || tt.reason == "" != (len(proof.Reasons) == 0) ||
				!strings.Contains(strings.Join(proof.Reasons, "\n"), tt.reason) {
				t.Errorf("effective %t, reasons %q; want %t and %q", proof.Effective, proof.Reasons, tt.effective, tt.reason)
			}
			if c.Writes() != 0 {
				t.Error("proving wrote")
			}
		})
	}
}

func TestBlacklistLeavesForGood(t *testing.T) {
	c := newBlacklist(t, waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{BlacklistRules: 30}})
	c.target.SetSize, c.target.Templates = 1, 2
	foreign := c.Foreign()
	(&runner{c: c}).ok(t, 1, spaced(40))
	before := c.Writes()
	said, err := c.open(t).(waf.Detacher).Detach(t.Context(), true)
	must(t, err)
	if c.Writes() != before || len(c.enforced()) != 40 {
		t.Fatal("the dry run wrote")
	}
	c.FailCall(3, 1, waftest.Fault{AfterChange: true, Drop: true}) // an answer that gets lost
	done, err := c.open(t).(waf.Detacher).Detach(t.Context(), false)
	must(t, err)
	if len(c.ourTemplates()) != 0 || len(c.enforced()) != 0 || c.Foreign() != foreign || len(said) != len(done) {
		t.Errorf("left are %+v; it said %q, then %q", c.ourTemplates(), said, done)
	}
	if done, err := c.open(t).(waf.Detacher).DetachMode(t.Context(), "ip-blacklist", false); err != nil || len(done) != 0 {
		t.Errorf("leaving again: %q, %v", done, err)
	}
}

func TestBlacklistCanBeExamined(t *testing.T) {
	for name, tt := range map[string]struct {
		opts   waftest.AlibabaOptions
		change func(t *testing.T, c *cloud)
		check  string
		state  waf.CheckState
		text   string
	}{
		"all is well":                 {check: "ip blacklist", state: waf.CheckOK, text: "room for 20000 addresses: 100 rules of 200"},
		"templates are used up":       {opts: waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{BlacklistTemplates: 2}}, check: "ip blacklist", state: waf.CheckFail, text: "room for 0 addresses"},
		"no ip blacklist":             {opts: waftest.AlibabaOptions{NoBlacklist: true}, check: "ip blacklist", state: waf.CheckFail, text: "edition"},
		"no permission":               {change: func(_ *testing.T, c *cloud) { c.Deny("DescribeDefenseTemplates") }, check: "ip blacklist", state: waf.CheckFail, text: "DescribeDefenseTemplates"},
		"no IPv6":                     {opts: waftest.AlibabaOptions{Details: map[string]any{"Ipv6": false}}, check: "ipv6", state: waf.CheckWarn},
		"an object that is not there": {change: func(_ *testing.T, c *cloud) { c.target.Objects = []string{"nowhere-waf"} }, check: "objects", state: waf.CheckFail, text: "nowhere-waf"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newBlacklist(t, tt.opts)
			if tt.change != nil {
				tt.change(t, c)
			}
			checks := c.open(t).(waf.Examiner).Examine(t.Context())
			if !slices.ContainsFunc(checks, func(x waf.Check) bool {
				return x.Name == tt.check && x.State == tt.state && strings.Contains(x.Text, tt.text)
			}) {
				t.Errorf("checks %+v, want %s %s %q", checks, tt.check, tt.state, tt.text)
			}
			if c.Writes() != 0 {
				t.Error("examining wrote")
			}
		})
	}
}
