package awswaf_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/wafv2"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// without returns the wants less those at some places.
func without(wants []waf.Want, at ...int) []waf.Want {
	var out []waf.Want
	for i, w := range wants {
		if !slices.Contains(at, i) {
			out = append(out, w)
		}
	}
	return out
}

// TestExceptionsStandInEveryGroupWithSets: what is spared must be spared wherever it is held.
func TestExceptionsStandInEveryGroupWithSets(t *testing.T) {
	const except = "tracewall-edge-v4-except-001"
	c := newGroupCloud(t, waftest.AWSOptions{}, 4)
	c.mustRunGroups(t, c.openSmall(t), 1, hosts(0, 55)) // six sets, two to a group
	after := without(hosts(0, 55), 3, 13, 23, 33, 43, 53)
	c.guardOf(t, "except", after, c.inGroups)
	report := c.mustRunGroups(t, c.openSmall(t), 2, after)
	if c.Sets(region, awswaf.Regional)[except] == 0 {
		t.Fatalf("plan %q, want removal by exception", report.Plan)
	}
	for name, want := range map[string]bool{"tracewall-edge-001": true, "tracewall-edge-002": true, "tracewall-edge-003": true, "tracewall-edge-004": false} {
		if got := slices.Contains(c.group(t, name).refs, except); got != want {
			t.Errorf("%s refers to the exceptions: %t, want %t", name, got, want)
		}
	}
	if r := c.mustRunGroups(t, c.openSmall(t), 2, after); r.Writes != 0 {
		t.Errorf("again: %q", r.Plan)
	}

	// A set in a group that had none: it comes with the exceptions.
	grown := append(after, hosts(100, 15)...)
	c.mustRunGroups(t, c.openSmall(t), 3, grown)
	if got := c.group(t, "tracewall-edge-004").refs; !slices.Contains(got, except) {
		t.Errorf("the last group refers to %q", got)
	}

	// Somebody takes the exceptions out of one group, by putting its rule as it was: seen and repaired.
	g := c.group(t, "tracewall-edge-002")
	first := rule("tracewall-edge", 101, `{"OrStatement":{"Statements":[{"IPSetReferenceStatement":{"ARN":"`+c.setARN(t, g.refs[0])+
		`"}},{"IPSetReferenceStatement":{"ARN":"`+c.setARN(t, g.refs[1])+`"}}]}}`)
	c.editGroup(t, "tracewall-edge-002", &g.description, func([]json.RawMessage) []json.RawMessage {
		return []json.RawMessage{json.RawMessage(strings.Replace(string(first), `"m"`, `"tracewall-edge_Metric"`, 1))}
	})
	if n := len(c.inGroups()); n <= len(grown) {
		t.Fatalf("%d in force after the edit: it spares as before", n)
	}
	if r := c.mustRunGroups(t, c.openSmall(t), 3, grown); r.Writes != 1 {
		t.Errorf("plan %q, want one write", r.Plan)
	}
}

func TestFaultAtEveryCallWithExceptions(t *testing.T) {
	from, between, to := hosts(0, 48), without(hosts(0, 48), 3, 13, 23, 33, 43), append(without(hosts(0, 48), 1, 11, 21, 31, 41), hosts(100, 9)...)
	for kind, fault := range faultKinds {
		if kind == "quota" || kind == "throttled" || kind == "gone" {
			continue
		}
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for n := 0; ; n++ {
				c := newGroupCloud(t, waftest.AWSOptions{}, 3)
				c.mustRunGroups(t, c.openSmall(t), 1, from)
				c.mustRunGroups(t, c.openSmall(t), 2, between)
				c.Forget()
				c.guardOf(t, kind, to, c.inGroups)
				c.Before(func(call waftest.Call) *waftest.Fault {
					if call.Index == n {
						return &fault
					}
					return nil
				})
				_, err := c.run(t, c.openSmall(t), 3, to)
				done := len(c.Calls()) <= n
				if err == nil && len(c.inGroups()) != len(to) {
					t.Errorf("at call %d: no error, and %d of %d enforced", n, len(c.inGroups()), len(to))
				}
				c.Before(nil)
				c.mustRunGroups(t, c.openSmall(t), 3, to)
				if done {
					return
				}
			}
		})
	}
}

func TestNoExceptionsWhereAGroupHasNoPlaceForThem(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{}, 2)
	wide := c.open(t)
	awswaf.SetGroupReferences(wide, 6)
	c.mustRunGroups(t, wide, 1, hosts(0, 40))
	state, err := wide.Look(t.Context())
	if err != nil || !state.CanExcept || state.RoomSets != 8 {
		t.Errorf("%v, can except %t, room %d; want true and 8", err, state.CanExcept, state.RoomSets)
	}
	f := c.openSmall(t) // four references a group, all of them taken in the first
	if state, err = f.Look(t.Context()); err != nil || state.CanExcept || state.RoomSets != 6 {
		t.Errorf("%v, can except %t, room %d; want false and 6", err, state.CanExcept, state.RoomSets)
	}
	c.target.Forwarded = &awswaf.Forwarded{Header: "X-Forwarded-For", Position: "ANY"}
	f = c.openSmall(t)
	if state, err = f.Look(t.Context()); err != nil || state.CanExcept || state.RoomSets != 8 {
		t.Errorf("%v, can except %t, room %d; want false and, with no places kept, 8", err, state.CanExcept, state.RoomSets)
	}
}

// TestACapacityThatIsTooSmall: looking at all the addresses of a header costs five
// times as much, and a group's capacity cannot be raised.
func TestACapacityThatIsTooSmall(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{MaxSets: 200}, 1)
	if _, err := c.many(t, c.open(t), 1, hosts(0, 20)); err != nil {
		t.Fatal(err)
	}
	was := c.group(t, "tracewall-edge-001")
	c.target.Forwarded = &awswaf.Forwarded{Header: "X-Forwarded-For", Position: "ANY"}
	_, err := c.many(t, c.open(t), 1, hosts(0, 20))
	if !errors.Is(err, waf.ErrQuota) || !strings.Contains(err.Error(), "capacity of 50 WCU was fixed") || !strings.Contains(err.Error(), "mode web-acl for a while") {
		t.Errorf("error %v, want ErrQuota that says what to do", err)
	}
	if now := c.group(t, "tracewall-edge-001"); string(now.rules[0]) != string(was.rules[0]) || len(c.inGroups()) != 20 {
		t.Errorf("%d in force; the rule is\n%s", len(c.inGroups()), now.rules[0])
	}

	// Made anew it has room for fifty such references.
	fresh := newGroupCloud(t, waftest.AWSOptions{MaxSets: 200}, 1)
	fresh.target.Forwarded = c.target.Forwarded
	if _, err := fresh.many(t, fresh.open(t), 1, hosts(0, 50)); err != nil {
		t.Fatal(err)
	}
	if got := fresh.group(t, "tracewall-edge-001"); got.capacity != 250 || len(got.refs) != 50 {
		t.Errorf("capacity %d for %d references, want 250 for 50", got.capacity, len(got.refs))
	}
}

func TestARuleGroupAnswersAsConfigured(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{}, 2)
	c.target.Response = &awswaf.Response{Code: 429, Body: "slow down", Headers: map[string]string{"retry-after": "3600"}}
	f := c.open(t)
	c.mustRunGroups(t, f, 1, hosts(0, 15))
	g := c.Groups(region, awswaf.Regional)["tracewall-edge-001"]
	if got, want := string(g["CustomResponseBodies"]), `{"tracewall-edge":{"Content":"slow down","ContentType":"TEXT_PLAIN"}}`; got != want {
		t.Errorf("bodies %s, want %s", got, want)
	}
	if r := c.mustRunGroups(t, c.open(t), 1, hosts(0, 15)); r.Writes != 0 {
		t.Errorf("again: %q", r.Plan)
	}
	c.target.Response = nil
	if r := c.mustRunGroups(t, c.open(t), 1, hosts(0, 15)); r.Writes != 1 {
		t.Errorf("without: %q", r.Plan)
	}
	if g := c.Groups(region, awswaf.Regional)["tracewall-edge-001"]; len(g["CustomResponseBodies"]) > 2 {
		t.Errorf("bodies %s are left", g["CustomResponseBodies"])
	}
	for _, action := range []string{awswaf.ActionCaptcha, awswaf.ActionChallenge} {
		c.target.Action = action
		if r := c.mustRunGroups(t, c.open(t), 1, hosts(0, 15)); r.Writes != 1 {
			t.Errorf("%s: %q", action, r.Plan)
		}
	}
}

// TestAMillion is the shape of a million addresses at 10,000 a set: a hundred sets and
// more over three groups, one address in each.
func TestAMillion(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{MaxSets: 500}, 3)
	f := c.open(t)
	wants := append(hosts(0, 120), waf.Want{Prefix: netip.MustParsePrefix("2001:db8::/64")}, waf.Want{Prefix: netip.MustParsePrefix("2001:db8:1::/64")})
	if _, err := c.many(t, f, 1, wants); err != nil {
		t.Fatal(err)
	}
	if got := len(c.inGroups()); got != len(wants) {
		t.Errorf("%d in force, want %d", got, len(wants))
	}
	c.Forget()
	r, err := c.many(t, f, 2, wants[1:])
	if err != nil || r.Writes != 1 {
		t.Errorf("one gone: %v, %d writes (%q), want 1", err, r.Writes, r.Plan)
	}
	out, err := c.sdk().ListRuleGroups(t.Context(), &wafv2.ListRuleGroupsInput{Scope: "REGIONAL"})
	if err != nil || len(out.RuleGroups) != 3 {
		t.Errorf("%v, %d groups, want 3", err, len(out.RuleGroups))
	}
}
