package aliwaf_test

import (
	"flag"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

var update = flag.Bool("update", false, "rewrite testdata/actions.json")

// TestActions records every action that each mode makes and compares them with testdata/actions.json, against which
// the policies of infra are checked. A mode's list is what the function needs: sync, repair, verify, preflight and
// proof. "MODE detach" is what the operator needs who leaves it, "MODE doctor" what examining needs, which only
// reads. "waf:" stands for WAF 3.0 and "cloudfw:" for Cloud Firewall, whatever prefix RAM has for them.
func TestActions(t *testing.T) {
	got := map[string]waftest.Actions{}
	for _, mode := range []string{aliwaf.ModeAuto, aliwaf.ModeAddressBook, aliwaf.ModeIPBlacklist, aliwaf.ModeCloudFirewall} {
		rec := recorder{sync: waftest.Actions{}, detach: waftest.Actions{}, doctor: waftest.Actions{}}
		for _, objects := range [][]string{nil, {shopObject}} {
			if mode == aliwaf.ModeCloudFirewall && objects != nil {
				continue
			}
			rec.record(t, mode, objects, waftest.AlibabaOptions{})
			if mode == aliwaf.ModeAuto {
				rec.record(t, mode, objects, waftest.AlibabaOptions{NoAddressBooks: true})
			}
		}
		got[mode], got[mode+" detach"], got[mode+" doctor"] = rec.sync, rec.detach, rec.doctor
		for action := range rec.doctor {
			if !strings.Contains(action, ":Describe") {
				t.Errorf("mode %s: the doctor writes: %s", mode, action)
			}
		}
	}
	waftest.CompareActions(t, *update, got)
}

// recorder collects the actions of one mode.
type recorder struct{ sync, detach, doctor waftest.Actions }

// record runs everything that a target of a mode ever does.
func (rec recorder) record(t *testing.T, mode string, objects []string, opts waftest.AlibabaOptions) {
	t.Helper()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	opts.Now = func() time.Time { return now }
	c := newCloud(t, opts)
	c.target = aliwaf.Target{Name: "shop", Region: aliwaf.RegionMainland, Mode: mode, Objects: objects, Manage: mode == aliwaf.ModeCloudFirewall}
	if mode == aliwaf.ModeIPBlacklist {
		c.target.SetSize = 10
	}
	take := func(into waftest.Actions) {
		for _, call := range c.Calls() {
			into[call.Product+":"+call.Action] = true
		}
		c.Forget()
	}
	choose := func() waf.Firewall {
		f := c.open(t)
		if choice, ok := f.(waf.Chooser); ok {
			chosen, err := choice.Choose(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return chosen
		}
		return f
	}
	c.Forget()
	r := &runner{c: c, f: choose()}
	run := func(generation uint64, list []netip.Prefix) {
		t.Helper()
		now = now.Add(aliwaf.LookEvery)
		if _, err := r.run(t, generation, list, verify); err != nil {
			t.Fatal(err)
		}
		take(rec.sync)
	}
	run(1, hosts(0, 25))
	run(2, hosts(5, 35))
	run(3, hosts(40, 5))
	for i, spoil := range c.spoils() {
		if !spoil(t) {
			continue
		}
		c.Forget()
		run(uint64(4+i), hosts(40, 5))
	}
	// Another process, with nothing but the memory, in the middle of a quiet hour.
	if m, ok := r.f.(waf.Rememberer); ok {
		memory := m.Memory()
		r.f = choose()
		r.f.(waf.Rememberer).Recall(memory)
	}
	if _, err := r.run(t, 50, hosts(40, 5)); err != nil {
		t.Fatal(err)
	}
	take(rec.sync)
	c.open(t).(waf.Examiner).Examine(t.Context())
	take(rec.doctor)
	if objects != nil { // a target that names other objects than before moves
		c.target.Objects = nil
		r.f = choose()
		run(51, hosts(40, 5))
		c.target.Objects = []string{apiObject}
		r.f = choose()
		run(52, hosts(40, 5))
	}
	// To leave another mode alone asks for a proof, whatever comes of it.
	for _, other := range []string{aliwaf.ModeAddressBook, aliwaf.ModeIPBlacklist} {
		if d, ok := r.f.(waf.Detacher); ok && mode != aliwaf.ModeCloudFirewall && mode != aliwaf.ModeAuto && other != mode {
			_, _ = d.DetachMode(t.Context(), other, true)
		}
	}
	for _, dryRun := range []bool{true, false} {
		if _, err := c.open(t).(waf.Detacher).Detach(t.Context(), dryRun); err != nil {
			t.Fatal(err)
		}
	}
	take(rec.detach)
	if len(c.Enforced()) > 0 && slices.ContainsFunc(c.Enforced(), func(p netip.Prefix) bool { return ourSpace[0].Overlaps(p) }) {
		t.Errorf("mode %s: something is left", mode)
	}
}

// spoils are what others do to what is ours; each tells whether there was anything to do it to.
func (c *cloud) spoils() []func(t *testing.T) bool {
	ours := func(name, description string) bool { return strings.HasPrefix(description, "tracewall:shop") }
	eachTemplate := func(t *testing.T, edit func(*waftest.AlibabaTemplate)) (some bool) {
		for _, scene := range []string{"custom_acl", "ip_blacklist"} {
			for _, one := range c.Templates(scene) {
				if ours(one.Name, one.Description) {
					some = true
					if err := c.EditTemplate(scene, one.Name, edit); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		return some
	}
	eachRule := func(t *testing.T, edit func(*waftest.AlibabaRule)) (some bool) {
		for _, scene := range []string{"custom_acl", "ip_blacklist"} {
			for _, tpl := range c.Templates(scene) {
				if !ours(tpl.Name, tpl.Description) {
					continue
				}
				for _, one := range c.Rules(tpl.ID) {
					some = true
					if err := c.EditRule(one.ID, edit); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		return some
	}
	return []func(t *testing.T) bool{
		func(t *testing.T) bool { return eachTemplate(t, func(one *waftest.AlibabaTemplate) { one.Off = true }) },
		func(t *testing.T) bool {
			return len(c.target.Objects) > 0 && eachTemplate(t, func(one *waftest.AlibabaTemplate) { one.Objects = nil })
		},
		func(t *testing.T) bool { return eachRule(t, func(one *waftest.AlibabaRule) { one.Off = true }) },
		func(t *testing.T) bool {
			return eachRule(t, func(one *waftest.AlibabaRule) {
				one.Config = strings.Replace(one.Config, `"action":"block"`, `"action":"monitor"`, 1)
			})
		},
		func(t *testing.T) bool {
			if c.target.Mode == aliwaf.ModeIPBlacklist {
				return false
			}
			return eachTemplate(t, func(one *waftest.AlibabaTemplate) {
				if one.Scene == "custom_acl" {
					one.Description = ""
				}
			})
		},
		func(t *testing.T) (some bool) {
			for _, version := range []int{4, 6} {
				for _, p := range c.Policies("in", version) {
					if strings.HasPrefix(p.Description, "tracewall:shop") {
						some = true
						if err := c.EditPolicy(p.UUID, func(p *waftest.AlibabaPolicy) { p.Off = true }); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			return some
		},
	}
}
