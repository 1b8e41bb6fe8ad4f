package aliwaf_test

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// TestALostAnswerIsNoFailure makes each write's answer get lost after the change was made, once in a run: the run
// reads back what came of it and goes on.
func TestALostAnswerIsNoFailure(t *testing.T) {
	list := spaced(45)
	for name, tt := range map[string]struct {
		open    func(t testing.TB, opts waftest.AlibabaOptions) *cloud
		actions []string
		lists   [][]netip.Prefix
	}{
		"ip blacklist": {
			open:    newBlacklist,
			actions: []string{"CreateDefenseTemplate", "ModifyTemplateResources", "CreateDefenseRule", "ModifyDefenseRule", "DeleteDefenseRule", "ModifyDefenseTemplate"},
			lists:   [][]netip.Prefix{list[:25], list[5:40], list[30:33]},
		},
		"cloud firewall": {
			open:    newCloudFirewall,
			actions: []string{"AddAddressBook", "ModifyAddressBook", "AddControlPolicy"},
			lists:   [][]netip.Prefix{list[:25], list[5:40], slices.Concat(list[30:33], v6(3))},
		},
	} {
		for _, action := range tt.actions {
			t.Run(name+" "+action, func(t *testing.T) {
				c := tt.open(t, waftest.AlibabaOptions{})
				if name == "ip blacklist" {
					if action != "CreateDefenseTemplate" { // with one set nothing else could mend it
						c.target.SetSize = 10
					}
					c.target.Objects = []string{shopObject, apiObject}
				}
				r := &runner{c: c}
				lost := 0
				for i, wants := range tt.lists {
					c.Heal()
					c.Fail(action, 0, 1, waftest.Fault{AfterChange: true, Drop: true})
					if r.ok(t, uint64(i), slices.Clone(wants), verify); len(c.Calls(action)) > 0 {
						lost++
					}
				}
				if lost == 0 {
					t.Errorf("%s was never called", action)
				}
				c.Heal()
				if report := r.ok(t, 9, slices.Clone(tt.lists[2])); report.Writes != 0 {
					t.Errorf("the run after it still writes: %q", report.Plan)
				}
			})
		}
	}
}

// TestATemplateWhoseAnswerIsLostIsUsed asks for no second run to find it.
func TestATemplateWhoseAnswerIsLostIsUsed(t *testing.T) {
	c := newBlacklist(t, waftest.AlibabaOptions{})
	f := c.open(t).(waf.SetFirewall)
	_, err := f.Look(t.Context())
	must(t, err)
	c.Fail("CreateDefenseTemplate", 0, 1, waftest.Fault{AfterChange: true, Drop: true})
	if err := f.Put(t.Context(), waf.Set{Name: "tracewall-shop-v4-001", Family: waf.IPv4, Prefixes: hosts(0, 3)}); err != nil || len(c.enforced()) != 3 {
		t.Errorf("error %v, %d in force", err, len(c.enforced()))
	}
}
