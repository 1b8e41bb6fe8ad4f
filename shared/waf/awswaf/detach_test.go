package awswaf_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// detach does a dry run and then the real thing, and checks that both say the same and the dry run does nothing.
func (c *cloud) detach(t *testing.T, mode string) (done []string, err error) {
	t.Helper()
	c.Forget()
	said, dryErr := c.open(t).DetachMode(t.Context(), mode, true)
	for _, call := range c.Calls() {
		if call.Write() {
			t.Errorf("the dry run made a write call, %s %s", call.Op, call.Name)
		}
	}
	done, err = c.open(t).DetachMode(t.Context(), mode, false)
	if diff := cmp.Diff(said, done); diff != "" {
		t.Errorf("dry run (-) and real run (+) differ:\n%s", diff)
	}
	if (dryErr == nil) != (err == nil) {
		t.Errorf("dry run: error %v, real run: %v", dryErr, err)
	}
	return done, err
}

// left is what of ours is there, by name.
func (c *cloud) left(t *testing.T) (names []string) {
	t.Helper()
	for name := range c.Sets(region, awswaf.Regional) {
		if strings.HasPrefix(name, "tracewall-edge-v") {
			names = append(names, name)
		}
	}
	groups, err := c.sdk().ListRuleGroups(t.Context(), &wafv2.ListRuleGroupsInput{Scope: types.ScopeRegional})
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups.RuleGroups {
		if strings.HasPrefix(aws.ToString(g.Name), "tracewall-edge-") {
			names = append(names, aws.ToString(g.Name))
		}
	}
	if rules, err := c.Rules(region, awswaf.Regional, acl); err == nil && rules["tracewall-edge"] != "" {
		names = append(names, "tracewall-edge")
	}
	slices.Sort(names)
	return names
}

func TestDetachLeavesNothingOfOursAndAllThatIsNot(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	foreign := c.foreign(t)
	c.target.Response = &awswaf.Response{Code: 403, Body: "blocked", ContentType: "TEXT_PLAIN"}
	c.mustRun(t, c.open(t), 1, hosts(0, 15))
	c.takeName(t, "tracewall-edge-v4-077") // somebody else's
	other := awswaf.Target{Name: "edge-2", Region: region, WebACL: "forum", SetSize: 10}
	if err := c.SeedWebACL(region, awswaf.Regional, "forum"); err != nil {
		t.Fatal(err)
	}
	if _, err := on(openAt(t, c.url, other), 10).Reconcile(t.Context(), waf.Desired{Wants: hosts(0, 3), Epoch: "e"}); err != nil {
		t.Fatal(err)
	}
	done, err := c.detach(t, "")
	want := []string{
		"remove rule tracewall-edge from web acl shop",
		"delete ip set tracewall-edge-v4-001",
		"delete ip set tracewall-edge-v4-002",
	}
	if diff := cmp.Diff(want, done); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	if got := c.left(t); !slices.Equal(got, []string{"tracewall-edge-v4-077"}) {
		t.Errorf("%q are left", got)
	}
	if now := c.foreign(t); now != foreign {
		t.Errorf("what is not ours changed:\n%s\n%s", foreign, now)
	}
	if got := c.Enforced(region, awswaf.Regional, "forum"); len(got) != 3 {
		t.Errorf("the other target enforces %d, want 3", len(got))
	}
	if done, err := c.detach(t, awswaf.ModeWebACL); err != nil || len(done) != 0 {
		t.Errorf("detached again: %q, %v; want nothing to do", done, err)
	}
}

func TestDetachDeletesAWebACLThatWeMade(t *testing.T) {
	own := func(t *testing.T) *cloud {
		c := emptyCloud(t, waftest.AWSOptions{})
		c.mustRun(t, c.open(t), 1, hosts(0, 5))
		return c
	}
	gone := func(c *cloud) bool {
		_, err := c.Snapshot(region, awswaf.Regional, acl)
		return err != nil
	}
	t.Run("nothing uses it", func(t *testing.T) {
		c := own(t)
		done, err := c.detach(t, "")
		if err != nil || !gone(c) || !mentions(done, "delete web acl shop, which tracewall made") || len(c.left(t)) > 0 {
			t.Errorf("%q, %v", done, err)
		}
	})
	t.Run("it protects something", func(t *testing.T) {
		c := own(t)
		if err := c.Associate(region, acl, balancer); err != nil {
			t.Fatal(err)
		}
		done, err := c.detach(t, "")
		if !errors.Is(err, waf.ErrInUse) || gone(c) || !mentions(done, "web acl shop stays", balancer) || len(c.left(t)) > 0 {
			t.Errorf("%q, %v", done, err)
		}
	})
	t.Run("it has a rule of the user's", func(t *testing.T) {
		c := own(t)
		c.editACL(t, func(rules []json.RawMessage) []json.RawMessage {
			return append(rules, userRule("theirs", 7, `"Action":{"Block":{}}`, german))
		})
		if done, err := c.detach(t, ""); err != nil || gone(c) || len(c.left(t)) > 0 {
			t.Errorf("%q, %v", done, err)
		}
	})
	t.Run("its tags cannot be read", func(t *testing.T) {
		c := own(t)
		c.Deny("ListTagsForResource")
		if done, err := c.detach(t, ""); err != nil || gone(c) || !mentions(done, "web acl shop stays", "ListTagsForResource is denied") {
			t.Errorf("%q, %v", done, err)
		}
	})
}

func TestDetachLeavesASetThatTheUserRefersTo(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	c.mustRun(t, c.open(t), 1, hosts(0, 15))
	c.editACL(t, func(rules []json.RawMessage) []json.RawMessage {
		return append(rules, userRule("theirs", 7, `"Action":{"Count":{}}`, fmt.Sprintf(`{"IPSetReferenceStatement":{"ARN":%q}}`, c.setARN(t, "tracewall-edge-v4-001"))))
	})
	done, err := c.detach(t, "")
	if !errors.Is(err, waf.ErrInUse) || !mentions(done, "ip set tracewall-edge-v4-001 stays", "rule theirs of web acl shop", "detach again") {
		t.Errorf("%q, %v", done, err)
	}
	if got := c.left(t); !slices.Equal(got, []string{"tracewall-edge-v4-001"}) {
		t.Errorf("%q are left", got)
	}
}

// TestDetachWaitsForTheRemovedReferenceToSpread, and gives up in the end.
func TestDetachWaitsForTheRemovedReferenceToSpread(t *testing.T) {
	for refusals, ok := range map[int]bool{5: true, 50: false} {
		c := newCloud(t, waftest.AWSOptions{})
		c.mustRun(t, c.open(t), 1, hosts(0, 15))
		left := refusals
		c.Before(func(call waftest.Call) *waftest.Fault {
			if call.Op == "DeleteIPSet" && left > 0 {
				left--
				return &waftest.Fault{Code: "WAFAssociatedItemException"}
			}
			return nil
		})
		if _, err := c.open(t).Detach(t.Context(), false); (err == nil) != ok || err != nil && !errors.Is(err, waf.ErrInUse) {
			t.Errorf("%d refusals: %v", refusals, err)
		}
		c.Before(nil)
		if _, err := c.open(t).Detach(t.Context(), false); err != nil || len(c.left(t)) > 0 {
			t.Errorf("%d refusals, again: %v, %q left", refusals, err, c.left(t))
		}
	}
}

func TestDetachOfRuleGroups(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{}, 2)
	c.mustRunGroups(t, c.open(t), 1, hosts(0, 15))
	c.refer(t, "tracewall-edge-001")
	foreign := c.foreign(t)
	done, err := c.detach(t, "")
	if !errors.Is(err, waf.ErrInUse) || !mentions(done, "rule group tracewall-edge-001 stays", "2 ip sets", "rule use-tracewall-edge-001 of web acl shop", "remove that rule first") {
		t.Errorf("%q, %v", done, err)
	}
	if got := c.left(t); !slices.Equal(got, []string{"tracewall-edge-001", "tracewall-edge-v4-001", "tracewall-edge-v4-002"}) {
		t.Errorf("%q are left, want the group that is in use whole", got)
	}
	if got := c.enforced(); len(got) != 15 {
		t.Errorf("%d enforced, want 15: what is referred to stays in force", len(got))
	}
	if now := c.foreign(t); now != foreign {
		t.Errorf("what is not ours changed:\n%s\n%s", foreign, now)
	}
	c.editACL(t, func(rules []json.RawMessage) []json.RawMessage {
		return slices.DeleteFunc(rules, func(r json.RawMessage) bool { return strings.Contains(string(r), "use-tracewall") })
	})
	done, err = c.detach(t, "")
	want := []string{"delete rule group tracewall-edge-001", "delete ip set tracewall-edge-v4-001", "delete ip set tracewall-edge-v4-002"}
	if diff := cmp.Diff(want, done); diff != "" || err != nil || len(c.left(t)) > 0 {
		t.Errorf("%v, %q left, -want +got:\n%s", err, c.left(t), diff)
	}
}

func TestDetachLeavesAGroupWithARuleOfTheUser(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{}, 1)
	c.mustRunGroups(t, c.open(t), 1, hosts(0, 5))
	c.editGroup(t, "tracewall-edge-001", nil, func(rules []json.RawMessage) []json.RawMessage {
		return append(rules, userRule("theirs", 1, allow, german))
	})
	done, err := c.detach(t, "")
	if !errors.Is(err, waf.ErrInUse) || !mentions(done, "rule group tracewall-edge-001 stays", "move that to a rule group of your own") || len(c.left(t)) != 2 {
		t.Errorf("%q, %v, %q left", done, err, c.left(t))
	}
}

// TestDetachTakesWhatAnEarlierModeLeft: whichever mode is configured, all that is ours goes.
func TestDetachTakesWhatAnEarlierModeLeft(t *testing.T) {
	for name, last := range map[string]string{"web-acl after rule-group": awswaf.ModeWebACL, "rule-group after web-acl": awswaf.ModeRuleGroup} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, waftest.AWSOptions{})
			foreign := c.foreign(t)
			c.bothModes(t, last)
			if _, err := c.detach(t, ""); err != nil || len(c.left(t)) > 0 {
				t.Errorf("%v, %q left", err, c.left(t))
			}
			if now := c.foreign(t); now != foreign {
				t.Errorf("what is not ours changed:\n%s\n%s", foreign, now)
			}
		})
	}
}

// bothModes runs one mode and then the other, which stays configured.
func (c *cloud) bothModes(t *testing.T, last string) {
	t.Helper()
	modes := []string{awswaf.ModeRuleGroup, awswaf.ModeWebACL}
	if last == awswaf.ModeRuleGroup {
		slices.Reverse(modes)
	}
	for _, c.target.Mode = range modes {
		c.target.Groups = 0
		if _, err := c.run(t, c.open(t), 1, hosts(0, 15)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDetachOfAnEarlierMode(t *testing.T) {
	t.Run("the rule in the web acl, once the rule group is in force", func(t *testing.T) {
		c := newCloud(t, waftest.AWSOptions{})
		c.bothModes(t, awswaf.ModeRuleGroup)
		before := c.left(t)
		_, err := c.detach(t, awswaf.ModeWebACL)
		if !errors.Is(err, waf.ErrPreflight) || !strings.Contains(err.Error(), "not proven to be in force") || !slices.Equal(c.left(t), before) {
			t.Fatalf("%v, %q left; want it refused while nothing refers to the group", err, c.left(t))
		}
		c.refer(t, "tracewall-edge-001")
		foreign := c.foreign(t)
		c.watch(t, "detach", hosts(0, 15))
		done, err := c.detach(t, awswaf.ModeWebACL)
		c.After(nil)
		if diff := cmp.Diff([]string{"remove rule tracewall-edge from web acl shop"}, done); diff != "" || err != nil {
			t.Errorf("%v, -want +got:\n%s", err, diff)
		}
		if got := c.left(t); !slices.Equal(got, []string{"tracewall-edge-001", "tracewall-edge-v4-001", "tracewall-edge-v4-002"}) || len(c.enforced()) != 15 {
			t.Errorf("%q left, %d enforced", got, len(c.enforced()))
		}
		if now := c.foreign(t); now != foreign {
			t.Errorf("what is not ours changed:\n%s\n%s", foreign, now)
		}
	})
	t.Run("the rule group, once the rule is in force", func(t *testing.T) {
		c := newCloud(t, waftest.AWSOptions{})
		c.bothModes(t, awswaf.ModeWebACL)
		c.Disassociate(balancer)
		if _, err := c.detach(t, awswaf.ModeRuleGroup); !errors.Is(err, waf.ErrPreflight) {
			t.Fatalf("%v, want it refused while nothing is protected", err)
		}
		if err := c.Associate(region, acl, balancer); err != nil {
			t.Fatal(err)
		}
		done, err := c.detach(t, awswaf.ModeRuleGroup)
		if diff := cmp.Diff([]string{"delete rule group tracewall-edge-001"}, done); diff != "" || err != nil || len(c.enforced()) != 15 {
			t.Errorf("%v, %d enforced, -want +got:\n%s", err, len(c.enforced()), diff)
		}
	})
	t.Run("the new place does not have all sets yet", func(t *testing.T) {
		c := newCloud(t, waftest.AWSOptions{})
		c.bothModes(t, awswaf.ModeRuleGroup)
		c.refer(t, "tracewall-edge-001")
		c.target.Mode = awswaf.ModeWebACL
		if _, err := c.run(t, c.open(t), 2, hosts(0, 35)); err != nil {
			t.Fatal(err)
		}
		c.target.Mode = awswaf.ModeRuleGroup
		if _, err := c.detach(t, awswaf.ModeWebACL); !errors.Is(err, waf.ErrPreflight) || !strings.Contains(err.Error(), "sync first") {
			t.Errorf("%v, want it refused", err)
		}
	})
	t.Run("modes that share nothing", func(t *testing.T) {
		c := newCloud(t, waftest.AWSOptions{})
		if _, err := c.detach(t, awswaf.ModeIPSet); !errors.Is(err, waf.ErrPreflight) || !strings.Contains(err.Error(), "detach with the target set to ip-set") {
			t.Errorf("%v, want what to do", err)
		}
		c.target.Mode, c.target.WebACL = awswaf.ModeRuleGroup, ""
		if _, err := c.detach(t, awswaf.ModeWebACL); !errors.Is(err, waf.ErrPreflight) || !strings.Contains(err.Error(), `"web_acl"`) {
			t.Errorf("%v, want what to do", err)
		}
	})
}

func TestDetachEmptiesNamedSets(t *testing.T) {
	c := namedOffice(t)
	arn := c.target.IPSets[0]
	id := arn[strings.LastIndexByte(arn, '/')+1:]
	name := aws.String(acl + "-office")
	get := func() *wafv2.GetIPSetOutput {
		out, err := c.sdk().GetIPSet(t.Context(), &wafv2.GetIPSetInput{Name: name, Id: &id, Scope: types.ScopeRegional})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	_, err := c.sdk().UpdateIPSet(t.Context(), &wafv2.UpdateIPSetInput{
		Name: name, Id: &id, Scope: types.ScopeRegional, LockToken: get().LockToken, Addresses: []string{"192.0.2.1/32"}, Description: aws.String("the words of the user"),
	})
	if err != nil {
		t.Fatal(err)
	}
	done, err := c.detach(t, "")
	if diff := cmp.Diff([]string{"empty ip set shop-office (1 addresses)"}, done); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	if set := get().IPSet; len(set.Addresses) != 0 || aws.ToString(set.Description) != "the words of the user" {
		t.Errorf("%+v", set)
	}
	if done, err := c.detach(t, ""); err != nil || len(done) != 0 {
		t.Errorf("again: %q, %v", done, err)
	}
}

// TestAFaultAtEveryCallOfDetach: whatever fails, what is not ours is untouched and the next detach goes on.
func TestAFaultAtEveryCallOfDetach(t *testing.T) {
	kinds := map[string]waftest.Fault{
		"internal error": {Code: "WAFInternalErrorException"},
		"answer lost":    {Code: "dropped", Drop: true, AfterChange: true},
		"conflict":       {Code: "WAFOptimisticLockException"},
		"in use":         {Code: "WAFAssociatedItemException"},
		"denied":         {Code: "AccessDeniedException"},
	}
	for kind, fault := range kinds {
		for _, last := range []string{awswaf.ModeWebACL, awswaf.ModeRuleGroup} {
			t.Run(kind+", "+last, func(t *testing.T) {
				t.Parallel()
				for n := 0; ; n++ {
					c := newCloud(t, waftest.AWSOptions{})
					foreign, sets := c.foreign(t), c.Sets(region, awswaf.Regional)
					c.bothModes(t, last)
					c.Forget()
					failing := ""
					c.Before(func(call waftest.Call) *waftest.Fault {
						if call.Index == n {
							failing = call.Op + call.Name
						}
						if call.Index == n || call.Index > n && call.Op+call.Name == failing && !fault.AfterChange {
							return &fault
						}
						failing = ""
						return nil
					})
					_, _ = c.open(t).Detach(t.Context(), false) // it may fail
					over := len(c.Calls()) <= n
					c.Before(nil)
					if _, err := c.open(t).Detach(t.Context(), false); err != nil || len(c.left(t)) > 0 {
						t.Errorf("%s at call %d, again: %v, %q left", kind, n, err, c.left(t))
					}
					if now := c.foreign(t); now != foreign || len(c.left(t)) == 0 && !maps.Equal(sets, c.Sets(region, awswaf.Regional)) {
						t.Errorf("%s at call %d: what is not ours changed: %s", kind, n, cmp.Diff(foreign, now))
					}
					if over {
						if n < 6 {
							t.Errorf("only %d calls: the scenario tests nothing", n)
						}
						return
					}
				}
			})
		}
	}
}

func TestDetachLeavesAnEmptyWebACLOfTheUser(t *testing.T) {
	c := emptyCloud(t, waftest.AWSOptions{})
	c.plainACL(t, region, awswaf.Regional)
	c.mustRun(t, c.open(t), 1, hosts(0, 5))
	done, err := c.detach(t, "")
	if _, gone := c.Snapshot(region, awswaf.Regional, acl); err != nil || gone != nil || len(c.left(t)) > 0 {
		t.Errorf("%q, %v, web acl: %v", done, err, gone)
	}
}

// TestALostAnswerToADeleteIsNoFailureOfDetach: the SDK sends again and is told that there is no such thing.
func TestALostAnswerToADeleteIsNoFailureOfDetach(t *testing.T) {
	for op, mode := range map[string]string{"DeleteIPSet": awswaf.ModeWebACL, "DeleteRuleGroup": awswaf.ModeRuleGroup, "DeleteWebACL": awswaf.ModeWebACL} {
		c := emptyCloud(t, waftest.AWSOptions{})
		c.target.Mode = mode
		if _, err := c.run(t, c.open(t), 1, hosts(0, 5)); err != nil {
			t.Fatal(err)
		}
		lost := false
		c.Before(func(call waftest.Call) *waftest.Fault {
			if call.Op != op || lost {
				return nil
			}
			lost = true
			return &waftest.Fault{Code: "dropped", Drop: true, AfterChange: true}
		})
		if _, err := c.open(t).Detach(t.Context(), false); err != nil || !lost || len(c.left(t)) > 0 {
			t.Errorf("%s: %v, lost %v, %q left", op, err, lost, c.left(t))
		}
	}
}
