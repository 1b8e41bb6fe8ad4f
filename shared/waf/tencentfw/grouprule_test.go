package tencentfw_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// watch fails the test if, after any call, an address of these could reach something over TCP or UDP: an accepting rule speaks of it
// before ours for that protocol.
func (c *groupCloud) watch(t *testing.T, group string, kept []netip.Prefix) {
	t.Helper()
	c.After(func(call waftest.TencentCall) {
		rules, _ := c.Policies(group)
		tcp, udp := false, false
		for _, p := range rules {
			everything := p.Port == "ALL" || p.Port == "1-65535"
			switch {
			case p.Action == "DROP" && p.AddressTemplate.AddressGroupId != "" && everything:
				tcp, udp = tcp || p.Protocol != "UDP", udp || p.Protocol != "TCP"
			case p.Action == "DROP", tcp && udp, tcp && p.Protocol == "TCP", udp && p.Protocol == "UDP":
			default:
				from, err := netip.ParsePrefix(p.CidrBlock)
				if err != nil {
					continue
				}
				for _, k := range kept {
					if from.Overlaps(k) {
						t.Errorf("after call %d, %s: %s is wanted and let in by %+v", call.Index, call.Action, k, p)
						return
					}
				}
			}
		}
	})
}

// ours returns the rules of a security group that carry our description, each with its place.
func (c *groupCloud) ours(group string) (list []string) {
	rules, _ := c.Policies(group)
	for i, p := range rules {
		if p.PolicyDescription == "tracewall edge" {
			list = append(list, fmt.Sprintf("%d %s %s %s", i, p.Action, p.Protocol, p.Port))
		}
	}
	return list
}

var top = []string{"0 DROP ALL ALL"}

func at(place int64, p waftest.TencentPolicy) waftest.TencentPolicy {
	p.PolicyIndex = &place
	return p
}

var everybody = waftest.TencentPolicy{Protocol: "ALL", Port: "ALL", CidrBlock: "0.0.0.0/0", Action: "ACCEPT", PolicyDescription: "let me in"}

func TestRuleIsPutOnTopOfEverySecurityGroup(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	foreign := c.Foreign()
	c.mustRun(t, c.open(t), 1, groupHosts(0, 25))
	for _, id := range c.target.SecurityGroups {
		if diff := cmp.Diff(top, c.ours(id)); diff != "" {
			t.Errorf("%s:\n%s", id, diff)
		}
		if diff := cmp.Diff(prefixesOf(groupHosts(0, 25)), c.enforcedBy(id), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
			t.Errorf("%s:\n%s", id, diff)
		}
	}
	if diff := cmp.Diff(foreign, c.Foreign()); diff != "" {
		t.Errorf("what is not ours changed:\n%s", diff)
	}
}

// An accepting rule that somebody put before ours is drift, and ours goes on top of it without a gap.
func TestRuleGoesBackOnTopWithoutAGap(t *testing.T) {
	for name, accepts := range map[string]waftest.TencentPolicy{
		"before everybody":  everybody,
		"before some":       {Protocol: "TCP", Port: "8080", CidrBlock: "198.51.100.7", Action: "ACCEPT"},
		"before the office": {Protocol: "TCP", Port: "22", CidrBlock: "192.0.0.0/8", Action: "ACCEPT"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newGroupCloud(t, waftest.TencentOptions{})
			list := groupHosts(0, 25)
			c.mustRun(t, c.open(t), 1, list)
			sg := c.target.SecurityGroups[0]
			if err := c.SeedPolicies(sg, at(0, accepts)); err != nil {
				t.Fatal(err)
			}
			foreign := c.Foreign()
			c.watch(t, sg, c.enforced())
			report := c.mustRun(t, c.open(t), 2, list)
			if len(report.Drift) != 1 || !strings.Contains(report.Drift[0], "was put before our rule") {
				t.Errorf("drift %q, want the rule that was put before ours", report.Drift)
			}
			if diff := cmp.Diff(top, c.ours(sg)); diff != "" {
				t.Error(diff)
			}
			if got := c.enforced(); !slices.Equal(got, prefixesOf(list)) {
				t.Errorf("%d of %d are dropped", len(got), len(list))
			}
			if diff := cmp.Diff(foreign, c.Foreign()); diff != "" {
				t.Errorf("what is not ours changed:\n%s", diff)
			}
			if r := c.mustRun(t, c.open(t), 3, list); r.Writes != 0 {
				t.Errorf("the next run writes %d times: %q", r.Writes, r.Plan)
			}
		})
	}
}

// Every write of the move fails once, before and after its change; a run later all is well, and in between nobody is let in
// who was dropped before.
func TestMoveToTheTopSurvivesAnyFault(t *testing.T) {
	for n := range 6 {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, after the change %t", n, after), func(t *testing.T) {
				c := newGroupCloud(t, waftest.TencentOptions{})
				list := groupHosts(0, 25)
				c.mustRun(t, c.open(t), 1, list)
				sg := c.target.SecurityGroups[0]
				if err := c.SeedPolicies(sg, at(0, waftest.TencentPolicy{Protocol: "TCP", Port: "8080", CidrBlock: "198.51.100.7", Action: "ACCEPT"})); err != nil {
					t.Fatal(err)
				}
				c.watch(t, sg, c.enforced())
				c.failing(n, true, after)
				_, err := c.run(t, c.open(t), 2, list)
				c.failing(-1, false, false)
				c.mustRun(t, c.open(t), 2, list)
				if diff := cmp.Diff(top, c.ours(sg)); diff != "" {
					t.Errorf("after %v:\n%s", err, diff)
				}
			})
		}
	}
}

func TestOurRuleWasTamperedWith(t *testing.T) {
	for name, change := range map[string]func(rules []waftest.TencentPolicy) []waftest.TencentPolicy{
		"made to accept": func(rules []waftest.TencentPolicy) []waftest.TencentPolicy {
			rules[0].Action = "ACCEPT"
			return rules
		},
		"made narrower": func(rules []waftest.TencentPolicy) []waftest.TencentPolicy {
			rules[0].Protocol, rules[0].Port = "TCP", "443"
			return rules
		},
		"taken out": func(rules []waftest.TencentPolicy) []waftest.TencentPolicy { return rules[1:] },
		"moved to the end": func(rules []waftest.TencentPolicy) []waftest.TencentPolicy {
			return append(rules[1:], rules[0])
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newGroupCloud(t, waftest.TencentOptions{})
			list := groupHosts(0, 12)
			c.mustRun(t, c.open(t), 1, list)
			sg := c.target.SecurityGroups[0]
			c.rewrite(t, sg, change)
			foreign := c.Foreign()
			c.mustRun(t, c.open(t), 2, list)
			if diff := cmp.Diff(top, c.ours(sg)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(foreign, c.Foreign()); diff != "" {
				t.Errorf("what is not ours changed:\n%s", diff)
			}
		})
	}
}

// An accepting copy of ours before ours is ours as well: it is taken out, and nothing is moved.
func TestAcceptingCopyOfOurRuleIsTakenOut(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	list := groupHosts(0, 12)
	c.mustRun(t, c.open(t), 1, list)
	sg := c.target.SecurityGroups[0]
	c.rewrite(t, sg, func(rules []waftest.TencentPolicy) []waftest.TencentPolicy {
		copied := rules[0]
		copied.Action = "ACCEPT"
		return append([]waftest.TencentPolicy{copied}, rules...)
	})
	report := c.mustRun(t, c.open(t), 2, list)
	if report.Writes != 1 || !slices.Equal(c.ours(sg), top) || len(report.Drift) != 1 || !strings.Contains(report.Drift[0], "our rule was changed") {
		t.Errorf("%d writes, ours %q, drift %q; want one write and our rule alone", report.Writes, c.ours(sg), report.Drift)
	}
}

// rewrite is somebody with the console who writes the rules of a group whole.
func (c *groupCloud) rewrite(t *testing.T, sg string, change func([]waftest.TencentPolicy) []waftest.TencentPolicy) {
	t.Helper()
	rules, _ := c.Policies(sg)
	if err := c.SetPolicies(sg, change(rules)...); err != nil {
		t.Fatal(err)
	}
}

// A rule that does the same and has not our description is somebody's: it serves where it is on top, and is never moved or deleted.
func TestRuleLikeOursWithoutOurDescription(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	list := groupHosts(0, 12)
	c.mustRun(t, c.open(t), 1, list)
	sg := c.target.SecurityGroups[0]
	c.rewrite(t, sg, func(rules []waftest.TencentPolicy) []waftest.TencentPolicy {
		rules[0].PolicyDescription = "block bad ones"
		return rules
	})
	if r := c.mustRun(t, c.open(t), 2, list); r.Writes != 0 || len(r.Notes) == 0 {
		t.Errorf("%d writes, notes %q; want none and a note", r.Writes, r.Notes)
	}
	if err := c.SeedPolicies(sg, at(0, everybody)); err != nil {
		t.Fatal(err)
	}
	before, _ := c.Policies(sg)
	_, err := c.run(t, c.open(t), 3, list)
	if !errors.Is(err, waf.ErrForeign) {
		t.Errorf("error %v, want ErrForeign", err)
	}
	if after, _ := c.Policies(sg); !cmp.Equal(before, after) {
		t.Errorf("the group changed:\n%s", cmp.Diff(before, after))
	}
}

// Where a second rule would not fit in a load balancer's limit there is no move without a gap: it is said, and nothing is taken out.
func TestNoRoomForTheBridgeIsToldAndNothingIsTakenOut(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{BalancerExpanded: 40})
	list := groupHosts(0, 25)
	c.mustRun(t, c.open(t), 1, list)
	sg := c.target.SecurityGroups[0]
	if err := c.SeedPolicies(sg, at(0, waftest.TencentPolicy{Protocol: "TCP", Port: "8080", CidrBlock: "198.51.100.7", Action: "ACCEPT"})); err != nil {
		t.Fatal(err)
	}
	c.watch(t, sg, c.enforced())
	_, err := c.run(t, c.open(t), 2, list)
	if !errors.Is(err, waf.ErrQuota) || !strings.Contains(err.Error(), "move ours to the top by hand") {
		t.Errorf("error %v, want ErrQuota that says what to do", err)
	}
}

func TestDriftThatIsOnlyReportedStaysAsItIs(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	list := groupHosts(0, 12)
	c.mustRun(t, c.open(t), 1, list)
	sg := c.target.SecurityGroups[0]
	if err := c.SeedPolicies(sg, at(0, everybody)); err != nil {
		t.Fatal(err)
	}
	c.Forget()
	r := waf.Reconciler{Firewall: c.open(t), Name: "edge", Limits: c.target.Limits(), ReportDrift: true}
	if _, err := r.Reconcile(t.Context(), waf.Desired{Wants: list, Epoch: "epoch-1", Generation: 2}); !errors.Is(err, waf.ErrDrift) || c.Writes() != 0 {
		t.Errorf("error %v, %d writes; want ErrDrift and none", err, c.Writes())
	}
}

// Somebody inserts a rule between our reading and our writing: every index is another one then. Whatever they do, their rules stay.
func TestIndexesThatShiftBetweenReadAndWriteHitNobody(t *testing.T) {
	for _, action := range []string{"CreateSecurityGroupPolicies", "DeleteSecurityGroupPolicies"} {
		t.Run(action, func(t *testing.T) {
			c := newGroupCloud(t, waftest.TencentOptions{})
			list := groupHosts(0, 12)
			c.mustRun(t, c.open(t), 1, list)
			sg := c.target.SecurityGroups[0]
			if err := c.SeedPolicies(sg, at(0, everybody)); err != nil {
				t.Fatal(err)
			}
			shifted := 0
			c.Before(func(call waftest.TencentCall) *waftest.Fault {
				if call.Action == action && call.Object == sg && shifted < 2 {
					shifted++
					deny := waftest.TencentPolicy{Protocol: "TCP", Port: fmt.Sprint(7000 + shifted), CidrBlock: "198.51.100.0/24", Action: "DROP"}
					if err := c.SeedPolicies(sg, at(0, deny)); err != nil {
						t.Error(err)
					}
				}
				return nil
			})
			c.mustRun(t, c.open(t), 2, list)
			if shifted != 2 || c.ours(sg)[0][2:] != "DROP ALL ALL" || len(c.ours(sg)) != 1 {
				t.Errorf("shifted %d times, ours %q", shifted, c.ours(sg))
			}
			rules, _ := c.Policies(sg)
			theirs := slices.DeleteFunc(rules, func(p waftest.TencentPolicy) bool { return p.PolicyDescription == "tracewall edge" })
			if len(theirs) != 4+1+2 {
				t.Errorf("%d rules of others are left, want 7: %+v", len(theirs), theirs)
			}
		})
	}
}

func TestSecondWriterBetweenAnyTwoCallsLosesNothing(t *testing.T) {
	for seed := range uint64(60) {
		c := newGroupCloud(t, waftest.TencentOptions{})
		c.mustRun(t, c.open(t), 1, groupHosts(0, 12))
		sg := c.target.SecurityGroups[0]
		writer := c.Writer(seed, sg, "")
		edits := 0
		c.Before(func(call waftest.TencentCall) *waftest.Fault {
			if edits < 12 && (uint64(call.Index)+seed)%3 == 0 {
				edits++
				if did, err := writer.Edit(); err != nil {
					t.Errorf("seed %d: %s: %v", seed, did, err)
				}
			}
			return nil
		})
		for generation, size := range []int{30, 7, 18} {
			_, err := c.run(t, c.open(t), uint64(generation+2), groupHosts(generation, size))
			if lost := writer.Lost(); lost != nil {
				t.Fatalf("seed %d: %v: overwritten: %q after %q", seed, err, lost, writer.Did())
			}
			if err != nil && !errors.Is(err, waf.ErrConflict) && !errors.Is(err, waf.ErrUnavailable) {
				t.Errorf("seed %d: %v", seed, err)
			}
		}
		c.Before(nil)
		c.mustRun(t, c.open(t), 9, groupHosts(3, 18))
		if got := c.enforced(); !slices.Equal(got, prefixesOf(groupHosts(3, 18))) {
			t.Errorf("seed %d: %d dropped, want 18; ours %q", seed, len(got), c.ours(sg))
		}
	}
}
