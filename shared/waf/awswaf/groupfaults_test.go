package awswaf_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// guardOf fails the test as soon as an address that now() had and is wanted is not in it any more.
func (c *cloud) guardOf(t *testing.T, where string, wanted []waf.Want, now func() []netip.Prefix) {
	var mu sync.Mutex
	before := now()
	c.After(func(call waftest.Call) {
		if !call.Changed {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		after := now()
		for _, p := range before {
			if contains(wanted, p) && !slices.Contains(after, p) {
				t.Errorf("%s: %s is wanted and no longer blocked after call %d (%s %s)", where, p, call.Index, call.Op, call.Name)
			}
		}
		before = after
	})
}

// openSmall is a Firewall whose groups refer to four sets, two of them for exceptions.
func (c *cloud) openSmall(t *testing.T) *awswaf.Firewall {
	f := c.open(t)
	awswaf.SetGroupReferences(f, 4)
	return f
}

var faultKinds = map[string]waftest.Fault{
	"throttled":           {Code: "ThrottlingException"},
	"done, then an error": {Code: "WAFInternalErrorException", AfterChange: true},
	"answer lost":         {Code: "dropped", Drop: true, AfterChange: true},
	"conflict":            {Code: "WAFOptimisticLockException"},
	"not ready":           {Code: "WAFUnavailableEntityException"},
	"gone":                {Code: "WAFNonexistentItemException"},
	"denied":              {Code: "AccessDeniedException"},
	"quota":               {Code: "WAFLimitsExceededException"},
}

// TestFaultAtEveryCallOnRuleGroups: as for the web ACL, with sets over three groups.
func TestFaultAtEveryCallOnRuleGroups(t *testing.T) {
	steps := []struct {
		name     string
		from, to []waf.Want
	}{
		{"create", nil, hosts(0, 45)},
		{"grow", hosts(0, 15), hosts(0, 48)},
		{"churn", hosts(0, 48), hosts(9, 51)},
		{"shrink", hosts(0, 48), hosts(3, 6)},
	}
	for kind, fault := range faultKinds {
		for i, step := range steps {
			// As for the web ACL: the kinds that leave a doubt everywhere, the plain ones on the first and the hardest.
			if i%2 == 1 && !fault.AfterChange && fault.Code != "WAFOptimisticLockException" && fault.Code != "WAFUnavailableEntityException" {
				continue
			}
			t.Run(kind+" while it has to "+step.name, func(t *testing.T) {
				t.Parallel()
				for n := 0; ; n++ {
					c := newGroupCloud(t, waftest.AWSOptions{}, 3)
					if step.from != nil {
						c.mustRunGroups(t, c.openSmall(t), 1, step.from)
					}
					c.Forget()
					where := fmt.Sprintf("%s at call %d", kind, n)
					c.guardOf(t, where, step.to, c.inGroups)
					c.Before(func(call waftest.Call) *waftest.Fault {
						if call.Index == n {
							return &fault
						}
						return nil
					})
					report, err := c.run(t, c.openSmall(t), 2, step.to)
					done := len(c.Calls()) <= n
					if err == nil && len(c.inGroups()) != len(step.to) {
						t.Errorf("%s: no error, and %d of %d enforced", where, len(c.inGroups()), len(step.to))
					}
					if report.Enforced > len(c.inGroups()) {
						t.Errorf("%s: report says %d enforced, the groups have %d", where, report.Enforced, len(c.inGroups()))
					}
					c.Before(nil)
					c.mustRunGroups(t, c.openSmall(t), 2, step.to)
					c.After(nil)
					if done {
						if n < 4 {
							t.Errorf("only %d calls: the scenario tests nothing", n)
						}
						return
					}
				}
			})
		}
	}
}

// TestTwoRunsInterleavedOnRuleGroups starts a whole second run before each call of a first one.
func TestTwoRunsInterleavedOnRuleGroups(t *testing.T) {
	for _, step := range []struct {
		name     string
		from, to []waf.Want
	}{
		{"from nothing", nil, hosts(0, 45)},
		{"growing", hosts(0, 15), hosts(0, 48)},
		{"churning", hosts(0, 48), hosts(9, 51)},
		{"shrinking", hosts(0, 48), hosts(3, 6)},
	} {
		t.Run(step.name, func(t *testing.T) {
			t.Parallel()
			for n := 0; ; n++ {
				c := newGroupCloud(t, waftest.AWSOptions{}, 3)
				if step.from != nil {
					c.mustRunGroups(t, c.openSmall(t), 1, step.from)
				}
				c.Forget()
				c.guardOf(t, fmt.Sprintf("second run before call %d", n), step.to, c.inGroups)
				started := false
				c.Before(func(call waftest.Call) *waftest.Fault {
					if started || call.Index != n {
						return nil
					}
					started = true
					if _, err := c.run(t, c.openSmall(t), 2, step.to); err != nil {
						t.Errorf("second run before call %d: %v", n, err)
					}
					return nil
				})
				c.mustRunGroups(t, c.openSmall(t), 2, step.to)
				c.Before(nil)
				c.mustRunGroups(t, c.openSmall(t), 2, step.to)
				if !started {
					return
				}
			}
		})
	}
}

// TestAWriteOfTheUserBetweenTwoGroups: somebody touches the third group while the run has written the second.
func TestAWriteOfTheUserBetweenTwoGroups(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{}, 3)
	c.mustRunGroups(t, c.openSmall(t), 1, hosts(0, 15))
	described := c.group(t, "tracewall-edge-001").description
	touched := false
	c.Before(func(call waftest.Call) *waftest.Fault {
		if call.Op == "UpdateRuleGroup" && call.Name == "tracewall-edge-003" && !touched {
			touched = true
			c.editGroup(t, call.Name, &described, func(r []json.RawMessage) []json.RawMessage { return r })
		}
		return nil
	})
	c.Forget()
	report := c.mustRunGroups(t, c.openSmall(t), 2, hosts(0, 55))
	if !touched || len(report.Remaining) > 0 {
		t.Errorf("touched %t, remaining %q", touched, report.Remaining)
	}
	if got := strings.Count(strings.Join(c.ops(), " "), "ListIPSets"); got != 1 {
		t.Errorf("%d looks, want one: the change was not ours to plan for anew", got)
	}
}

// TestEveryGroupHasItsOwnPatience: what waits for new sets waits in each group.
func TestEveryGroupHasItsOwnPatience(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{NotReady: 8}, 3)
	c.mustRunGroups(t, c.openSmall(t), 1, hosts(0, 60))
}

// TestGroupsThatOnlyLoseComeLast: references are given before any is taken.
func TestGroupsThatOnlyLoseComeLast(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{}, 2)
	wide := c.open(t)
	awswaf.SetGroupReferences(wide, 6)
	c.mustRunGroups(t, wide, 1, hosts(0, 40)) // four sets, all in the first group
	f := c.openSmall(t)                       // which is now too full for another one
	if _, err := f.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.Put(t.Context(), waf.Set{Name: "tracewall-edge-v4-005", Family: waf.IPv4, Mark: waf.Mark{Epoch: "epoch-1"}}); err != nil {
		t.Fatal(err)
	}
	c.Forget()
	if err := f.Reference(t.Context(), []string{"tracewall-edge-v4-005"}, []string{"tracewall-edge-v4-001", "tracewall-edge-v4-002"}); err != nil {
		t.Fatal(err)
	}
	var written []string
	for _, call := range c.Calls() {
		written = append(written, call.Op+" "+call.Name)
	}
	if diff := cmp.Diff([]string{"UpdateRuleGroup tracewall-edge-002", "UpdateRuleGroup tracewall-edge-001"}, written); diff != "" {
		t.Error(diff)
	}
}

func TestSpread(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("s%02d", rapid.IntRange(0, 30).Draw(t, "set")) })
		sets := rapid.SliceOfNDistinct(set, 0, 25, rapid.ID[string])
		held := make([][]string, rapid.IntRange(1, 4).Draw(t, "groups"))
		room := make([]int, len(held))
		for i := range held {
			held[i] = sets.Draw(t, "held")
			room[i] = rapid.IntRange(0, 12).Draw(t, "room")
		}
		blocks := sets.Draw(t, "blocks")
		got, err := awswaf.Spread(held, room, blocks)
		again, _ := awswaf.Spread(held, room, blocks)
		if diff := cmp.Diff(got, again); diff != "" {
			t.Fatalf("not the same twice:\n%s", diff)
		}
		placed, free := 0, 0
		for i, arns := range held {
			kept := 0
			for _, arn := range arns {
				if slices.Contains(blocks, arn) {
					kept++
				}
			}
			free += max(0, room[i]-kept)
		}
		for _, arn := range blocks {
			if slices.ContainsFunc(held, func(arns []string) bool { return slices.Contains(arns, arn) }) {
				placed++
			}
		}
		if err != nil {
			if !errors.Is(err, waf.ErrQuota) || len(blocks)-placed <= free {
				t.Fatalf("%v, with %d to place and %d places", err, len(blocks)-placed, free)
			}
			return
		}
		if len(blocks)-placed > free {
			t.Fatalf("no error, with %d to place and %d places", len(blocks)-placed, free)
		}
		for i, arns := range got {
			for _, arn := range arns {
				if !slices.Contains(blocks, arn) {
					t.Fatalf("%s is in group %d and not wanted", arn, i)
				}
				if stays := slices.Contains(held[i], arn); !stays && len(arns) > room[i] {
					t.Fatalf("%s was put into group %d, which has %d for a room of %d", arn, i, len(arns), room[i])
				}
			}
			for _, arn := range held[i] {
				if slices.Contains(blocks, arn) && !slices.Contains(arns, arn) {
					t.Fatalf("%s left group %d", arn, i)
				}
			}
		}
		for _, arn := range blocks {
			if !slices.ContainsFunc(got, func(arns []string) bool { return slices.Contains(arns, arn) }) {
				t.Fatalf("%s is nowhere", arn)
			}
		}
	})
}
