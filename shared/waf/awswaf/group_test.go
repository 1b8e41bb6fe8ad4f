package awswaf_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func TestRuleGroupCallsPerRun(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{}, 2)
	warm := c.open(t)
	for _, step := range []struct {
		name  string
		f     *awswaf.Firewall // nil: a new one that has been told what warm remembers
		wants []waf.Want
		want  string
	}{
		{"cold", warm, hosts(0, 15), "ListIPSets ListRuleGroups UpdateIPSet UpdateRuleGroup CreateIPSet CreateIPSet CheckCapacity CreateRuleGroup CreateRuleGroup ListWebACLs GetWebACL"},
		{"nothing changed, warm", warm, hosts(0, 15), "ListIPSets ListRuleGroups"},
		{"nothing changed, a new process without memory", c.open(t), hosts(0, 15), "ListIPSets ListRuleGroups GetRuleGroup GetRuleGroup"},
		{"nothing changed, a new process that remembers", nil, hosts(0, 15), "ListIPSets ListRuleGroups"},
		{"one gone and one come", warm, hosts(1, 15), "ListIPSets ListRuleGroups UpdateIPSet"},
		{"a new set", warm, hosts(1, 25), "ListIPSets ListRuleGroups CreateIPSet UpdateRuleGroup ListWebACLs GetWebACL"},
		{"nothing changed since our own write of a group", warm, hosts(1, 25), "ListIPSets ListRuleGroups"},
	} {
		c.Forget()
		if step.f == nil {
			step.f = c.open(t)
			step.f.Recall(warm.Memory())
		}
		c.mustRunGroups(t, step.f, 1, step.wants)
		if got := strings.Join(c.ops(), " "); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
	if got := c.enforced(); len(got) != 0 {
		t.Errorf("%d enforced by a web acl that does not refer to the groups", len(got))
	}
	c.refer(t, "tracewall-edge-001")
	if got := c.enforced(); len(got) != 25 {
		t.Errorf("%d enforced once the user refers to the group, want 25", len(got))
	}
}

func TestARuleGroupAsItIsMade(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{}, 2)
	c.mustRunGroups(t, c.open(t), 1, hosts(0, 15))
	g := c.group(t, "tracewall-edge-001")
	if g.capacity != 50 {
		t.Errorf("capacity %d, want 50: one WCU for each set that it may ever refer to", g.capacity)
	}
	if diff := cmp.Diff([]string{"tracewall-edge-v4-001", "tracewall-edge-v4-002"}, g.refs); diff != "" {
		t.Error(diff)
	}
	if empty := c.group(t, "tracewall-edge-002"); len(empty.rules) != 0 || empty.capacity != 50 {
		t.Errorf("the group without sets has %d rules and capacity %d, want 0 and 50", len(empty.rules), empty.capacity)
	}
	tags, err := c.sdk().ListTagsForResource(t.Context(), &wafv2.ListTagsForResourceInput{ResourceARN: &g.arn})
	if err != nil || len(tags.TagInfoForResource.TagList) != 1 || *tags.TagInfoForResource.TagList[0].Key != "tracewall:target" {
		t.Errorf("tags %+v, %v", tags, err)
	}
	if !strings.HasPrefix(g.description, "tracewall target:edge ") {
		t.Errorf("description %q", g.description)
	}
}

// TestGroupsOfAnEmptyList: the user can refer to them before there is anything to block.
func TestGroupsOfAnEmptyList(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{}, 2)
	c.mustRunGroups(t, c.open(t), 1, nil)
	if got := c.group(t, "tracewall-edge-002").capacity; got != 250 {
		t.Errorf("capacity %d, want 250: nothing could be asked, so the most that a reference costs", got)
	}
	if r := c.mustRunGroups(t, c.open(t), 1, nil); r.Writes != 0 || len(r.Plan) != 0 {
		t.Errorf("again: %q", r.Plan)
	}
	c.mustRunGroups(t, c.open(t), 2, hosts(0, 15))
}

// TestAGroupMoreIsMadeAtOnce: the user can refer to it before it is needed.
func TestAGroupMoreIsMadeAtOnce(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{}, 1)
	c.mustRunGroups(t, c.open(t), 1, hosts(0, 5))
	c.target.Groups = 2
	c.mustRunGroups(t, c.open(t), 1, hosts(0, 5))
	if got := c.group(t, "tracewall-edge-002"); len(got.rules) != 0 {
		t.Errorf("the new group refers to %q, want a group without a rule", got.refs)
	}
	if r := c.mustRunGroups(t, c.open(t), 1, hosts(0, 5)); r.Writes != 0 {
		t.Errorf("again: %q", r.Plan)
	}
}

func TestManyRuleGroupsInTheAccount(t *testing.T) {
	for name, opts := range map[string]waftest.AWSOptions{"full pages": {MaxGroups: 500}, "always a marker": {MaxGroups: 500, AlwaysMarker: true}} {
		t.Run(name, func(t *testing.T) {
			c := newGroupCloud(t, opts, 2)
			for i := range 130 {
				c.theirGroup(t, fmt.Sprintf("of-the-shop-%03d", i))
			}
			c.mustRunGroups(t, c.open(t), 1, hosts(0, 15))
			if r := c.mustRunGroups(t, c.open(t), 1, hosts(0, 15)); r.Writes != 0 {
				t.Errorf("again: %q", r.Plan)
			}
		})
	}
}

func TestASetThatAGroupRefersToIsNotDeleted(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{}, 1)
	f := c.open(t)
	c.mustRunGroups(t, f, 1, hosts(0, 15))
	c.Forget()
	if err := f.Delete(t.Context(), "tracewall-edge-v4-001"); !errors.Is(err, waf.ErrInUse) || len(c.Calls()) > 0 {
		t.Errorf("error %v, calls %q; want ErrInUse and no call: AWS cannot always tell", err, c.ops())
	}
}

// many is a run with one address a set, over as many sets as it takes.
func (c *cloud) many(t *testing.T, f *awswaf.Firewall, generation uint64, wants []waf.Want) (waf.Report, error) {
	t.Helper()
	r := on(f, 1)
	r.Limits.MaxSets = 1000
	return r.Reconcile(t.Context(), waf.Desired{Wants: wants, Epoch: "epoch-1", Generation: generation})
}

func TestSetsStayInTheirGroup(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{MaxSets: 500}, 3)
	groups := func() (list [][]string) {
		for i := range 3 {
			list = append(list, c.group(t, fmt.Sprintf("tracewall-edge-%03d", i+1)).refs)
		}
		return list
	}
	f := c.open(t)
	run := func(generation uint64, wants []waf.Want) waf.Report {
		t.Helper()
		report, err := c.many(t, f, generation, wants)
		if err != nil || len(c.inGroups()) != len(wants)-report.Overflow {
			t.Fatalf("%v, %d of %d in force", err, len(c.inGroups()), len(wants))
		}
		return report
	}
	run(1, hosts(0, 100))
	before := groups()
	if n := []int{len(before[0]), len(before[1]), len(before[2])}; !slices.Equal(n, []int{48, 48, 4}) {
		t.Fatalf("groups refer to %d sets, want 48, 48 and 4: two places each are for exceptions", n)
	}

	c.Forget()
	run(2, hosts(0, 105))
	if got := strings.Count(strings.Join(c.ops(), " "), "UpdateRuleGroup"); got != 1 {
		t.Errorf("%d groups written for five sets more, want the one that has room", got)
	}

	// Ten of the first group go, and seventy come: they fill the hole first.
	run(3, hosts(10, 95))
	run(3, hosts(10, 95))
	run(4, hosts(10, 150))
	for i, now := range groups() {
		gone := 0
		for _, name := range before[i] {
			if !slices.Contains(now, name) {
				gone++
			}
		}
		if i > 0 && gone > 0 || len(now) > 48 {
			t.Errorf("group %d lost %d of its sets and has %d", i+1, gone, len(now))
		}
	}

	report := run(5, hosts(10, 200))
	if report.Overflow != 200-3*48 {
		t.Errorf("overflow %d, want what three groups have no room for", report.Overflow)
	}
	c.Forget()
	if report := run(5, hosts(10, 200)); report.Writes != 0 {
		t.Errorf("again: %q", report.Plan)
	}
	// Only what lists: nothing is read one by one. (A list may be sent again when a connection breaks.)
	for _, op := range c.ops() {
		if op != "ListIPSets" && op != "ListRuleGroups" {
			t.Errorf("calls without a change: %s", strings.Join(c.ops(), " "))
			break
		}
	}
}

func TestMoreAndFewerGroups(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{MaxSets: 500}, 1)
	full, err := c.many(t, c.open(t), 1, hosts(0, 60))
	if err != nil || full.Overflow != 12 {
		t.Fatalf("%v, overflow %d, want 12", err, full.Overflow)
	}
	c.target.Groups = 2
	if r, err := c.many(t, c.open(t), 1, hosts(0, 60)); err != nil || r.Overflow != 0 {
		t.Fatalf("one group more: %v, overflow %d", err, r.Overflow)
	}
	second := c.group(t, "tracewall-edge-002").refs

	c.target.Groups = 1
	r, err := c.many(t, c.open(t), 2, hosts(0, 70))
	if err != nil || r.Overflow != 10 || len(c.inGroups()) != 60 {
		t.Fatalf("one group less: %v, overflow %d, %d in force; want the second group's sets to stay", err, r.Overflow, len(c.inGroups()))
	}
	if diff := cmp.Diff(second, c.group(t, "tracewall-edge-002").refs); diff != "" {
		t.Error(diff)
	}
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "tracewall-edge-002 is beyond the 1 configured") {
		t.Errorf("notes %q", r.Notes)
	}
}

// setARN returns the ARN of an IP set.
func (c *cloud) setARN(t *testing.T, name string) string {
	t.Helper()
	out, err := c.sdk().ListIPSets(t.Context(), &wafv2.ListIPSetsInput{Scope: types.Scope(c.scope())})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range out.IPSets {
		if *s.Name == name {
			return *s.ARN
		}
	}
	t.Fatalf("there is no ip set %s", name)
	return ""
}

func TestRuleGroupsOfCloudFrontAreInVirginia(t *testing.T) {
	c := emptyCloud(t, waftest.AWSOptions{})
	c.target = awswaf.Target{Name: "edge", Scope: awswaf.CloudFront, Mode: awswaf.ModeRuleGroup, Groups: 2, SetSize: 10}
	if _, err := c.run(t, c.open(t), 1, hosts(0, 12)); err != nil {
		t.Fatal(err)
	}
	if got := c.EnforcedIn("us-east-1", awswaf.CloudFront, "tracewall-edge-001"); len(got) != 12 {
		t.Errorf("%d in the group, want 12", len(got))
	}
	for _, call := range c.Calls() {
		if call.Region != "us-east-1" {
			t.Errorf("%s went to %s", call.Op, call.Region)
		}
	}
}
