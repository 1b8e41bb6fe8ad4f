package tencentfw_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func (c *groupCloud) prove(t *testing.T) waf.Proof {
	t.Helper()
	f := c.open(t)
	if _, err := f.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	proof, err := f.Prove(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func TestProofSaysWhereTheRuleStandsAndWhatItProtects(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	c.mustRun(t, c.open(t), 1, groupHosts(0, 12))
	proof := c.prove(t)
	if !proof.Effective || len(proof.WebACLs) != 2 || proof.AsOf.IsZero() {
		t.Fatalf("proof %+v, want it effective in two groups", proof)
	}
	use := proof.WebACLs[0]
	if use.Name != c.target.SecurityGroups[0] || use.Priority != 0 || use.Action != "Block" || use.DefaultAction != "Block" || len(use.Behind) != 0 || len(use.Ahead) != 3 {
		t.Errorf("use %+v", use)
	}
	if use.ResourceCount != 4 || !slices.Contains(use.Resources, "3 CVM") || !slices.Contains(use.Resources, c.target.LoadBalancers[0]) {
		t.Errorf("protects %d: %q, want 3 instances and the load balancer", use.ResourceCount, use.Resources)
	}
}

func TestProofSaysWhyNobodyIsDropped(t *testing.T) {
	for name, c := range map[string]struct {
		make      func(t *testing.T, c *groupCloud)
		effective bool
		want      string
	}{
		"nothing on the list":  {func(*testing.T, *groupCloud) {}, false, "no address template of ours is in a group"},
		"a group without rule": {func(*testing.T, *groupCloud) {}, false, "has no rule of ours"},
		"nothing bound to it":  {func(t *testing.T, c *groupCloud) { c.unbound(t) }, false, "protects nothing"},
		"behind an ACCEPT":     {func(t *testing.T, c *groupCloud) { c.accepted(t) }, true, "1 accepting rules come before ours, the first: rule 0, ACCEPT ALL ALL from 0.0.0.0/0"},
		"a group that is gone": {func(_ *testing.T, c *groupCloud) { c.target.SecurityGroups[1] = "sg-gone0000" }, true, "sg-gone0000 is not in ap-guangzhou: correct"},
		"a balancer gone":      {func(_ *testing.T, c *groupCloud) { c.target.LoadBalancers = []string{"lb-gone0000"} }, true, "lb-gone0000 is not in ap-guangzhou: correct"},
		"a balancer not bound": {func(_ *testing.T, c *groupCloud) {
			c.target.LoadBalancers = []string{c.SeedLoadBalancer(guangzhou, "new")}
		}, true, "is not bound to"},
		"another group is first": {func(t *testing.T, c *groupCloud) { c.behindOther(t) }, true, "before ours: whom that lets through"},
		"accepts nobody":         {func(t *testing.T, c *groupCloud) { c.closed(t) }, true, "accepts nobody at all"},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := newGroupCloud(t, waftest.TencentOptions{})
			if name != "nothing on the list" && name != "a group without rule" {
				cloud.mustRun(t, cloud.open(t), 1, groupHosts(0, 12))
			}
			c.make(t, cloud)
			proof := cloud.prove(t)
			if proof.Effective != c.effective {
				t.Errorf("effective %t, want %t", proof.Effective, c.effective)
			}
			if !slices.ContainsFunc(proof.Reasons, func(r string) bool { return strings.Contains(r, c.want) }) {
				t.Errorf("reasons %q, want one with %q", proof.Reasons, c.want)
			}
		})
	}
}

func (c *groupCloud) accepted(t *testing.T) {
	t.Helper()
	if err := c.SeedPolicies(c.target.SecurityGroups[0], at(0, everybody)); err != nil {
		t.Fatal(err)
	}
}

// unbound takes the groups off all that they protect.
func (c *groupCloud) unbound(t *testing.T) {
	t.Helper()
	for _, id := range c.target.SecurityGroups {
		c.SeedProtected(id, 0)
	}
	c.raw(t, "clb", "SetLoadBalancerSecurityGroups", map[string]any{"LoadBalancerId": c.target.LoadBalancers[0], "SecurityGroups": []string{}}, nil)
	c.target.LoadBalancers = nil
}

func (c *groupCloud) behindOther(t *testing.T) {
	t.Helper()
	other := c.SeedSecurityGroup(guangzhou, "other")
	groups := append([]string{other}, c.target.SecurityGroups...)
	c.raw(t, "clb", "SetLoadBalancerSecurityGroups", map[string]any{"LoadBalancerId": c.target.LoadBalancers[0], "SecurityGroups": groups}, nil)
}

func (c *groupCloud) closed(t *testing.T) {
	t.Helper()
	c.rewrite(t, c.target.SecurityGroups[0], func(rules []waftest.TencentPolicy) []waftest.TencentPolicy { return rules[:1] })
}

func TestPreflightStopsBeforeTheFirstWrite(t *testing.T) {
	for name, c := range map[string]struct {
		opts waftest.TencentOptions
		make func(t *testing.T, c *groupCloud)
		want string
	}{
		"a group that is not there": {waftest.TencentOptions{}, func(_ *testing.T, c *groupCloud) { c.target.SecurityGroups[1] = "sg-gone0000" }, "security group sg-gone0000 is not in ap-guangzhou"},
		"a balancer that is not there": {waftest.TencentOptions{}, func(_ *testing.T, c *groupCloud) {
			c.target.LoadBalancers = append(c.target.LoadBalancers, "lb-gone0000")
		}, "load balancer lb-gone0000 is not in ap-guangzhou"},
		"no room for one rule more":     {waftest.TencentOptions{Policies: 4}, func(*testing.T, *groupCloud) {}, "has 4 of 4 inbound rules"},
		"set_size beyond the quota":     {waftest.TencentOptions{TemplateMembers: 5}, func(*testing.T, *groupCloud) {}, "set_size is 10, and the account's quota is 5"},
		"a bare load balancer cut off":  {waftest.TencentOptions{}, func(t *testing.T, c *groupCloud) { c.bare(t) }, "would cut everybody off"},
		"too many groups on a balancer": {waftest.TencentOptions{BalancerGroups: 60}, func(t *testing.T, c *groupCloud) { c.crowded(t) }, "52 security groups, and 50 are the most"},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := newGroupCloud(t, c.opts)
			c.make(t, cloud)
			cloud.Forget()
			_, err := cloud.run(t, cloud.open(t), 1, groupHosts(0, 12))
			if !errors.Is(err, waf.ErrPreflight) || !strings.Contains(err.Error(), c.want) || cloud.Writes() != 0 {
				t.Errorf("error %v, %d writes; want ErrPreflight with %q and none", err, cloud.Writes(), c.want)
			}
		})
	}
}

// bare adds a load balancer without any security group, and takes all accepting rules out of ours.
func (c *groupCloud) bare(t *testing.T) {
	t.Helper()
	c.target.LoadBalancers = []string{c.SeedLoadBalancer(guangzhou, "bare")}
	for _, id := range c.target.SecurityGroups {
		c.rewrite(t, id, func(rules []waftest.TencentPolicy) []waftest.TencentPolicy { return rules[1:2] })
	}
}

func (c *groupCloud) crowded(t *testing.T) {
	t.Helper()
	var groups []string
	for range 50 {
		groups = append(groups, c.SeedSecurityGroup(guangzhou, "x"))
	}
	c.target.LoadBalancers = []string{c.SeedLoadBalancer(guangzhou, "crowded", groups...)}
}

func TestLoadBalancersAreBoundAndNeverUnbound(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	other := c.SeedSecurityGroup(guangzhou, "other")
	for range 45 {
		c.target.LoadBalancers = append(c.target.LoadBalancers, c.SeedLoadBalancer(guangzhou, "more", other))
	}
	foreign := c.Foreign()
	c.Forget()
	c.mustRun(t, c.open(t), 1, groupHosts(0, 12))
	calls := c.Calls("SetSecurityGroupForLoadbalancers")
	// 45 lack the first group, and all 46 the second: three calls of at most 20 for each.
	if len(calls) != 6 {
		t.Errorf("%d calls bind, want 6", len(calls))
	}
	if n := len(c.Calls("SetLoadBalancerSecurityGroups", "ModifySecurityGroupPolicies")); n != 0 {
		t.Errorf("%d calls that replace what is there", n)
	}
	var answer struct {
		LoadBalancerSet []struct{ SecureGroups []string }
	}
	c.raw(t, "clb", "DescribeLoadBalancers", map[string]any{"Limit": 100}, &answer)
	for _, b := range answer.LoadBalancerSet {
		for _, id := range c.target.SecurityGroups {
			if !slices.Contains(b.SecureGroups, id) {
				t.Fatalf("bound to %q, want %q among them", b.SecureGroups, c.target.SecurityGroups)
			}
		}
	}
	if c.Foreign() != foreign {
		t.Error("what was bound before is not any more")
	}
	c.Forget()
	if r := c.mustRun(t, c.open(t), 2, groupHosts(0, 12)); r.Writes != 0 {
		t.Errorf("the next run writes %d times", r.Writes)
	}
	c.mustRun(t, c.open(t), 3, nil)
	if c.Foreign() != foreign || len(c.Calls("SetSecurityGroupForLoadbalancers")) != 0 {
		t.Error("an empty list unbinds")
	}
	if r := c.mustRun(t, c.open(t), 4, groupHosts(0, 2)); len(c.Calls("SetSecurityGroupForLoadbalancers")) != 0 {
		t.Errorf("bound again: %q", r.Plan)
	}
}

func TestWithoutLoadBalancersTheirServiceIsNotAsked(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	c.target.LoadBalancers = nil
	c.Forget()
	c.mustRun(t, c.open(t), 1, groupHosts(0, 12))
	for _, call := range c.Calls() {
		if call.Service == "clb" {
			t.Errorf("%s was called", call.Action)
		}
	}
}

func TestOneSecurityGroupThatFailsDoesNotKeepTheOthersOpen(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	c.Before(func(call waftest.TencentCall) *waftest.Fault {
		if call.Action == "CreateSecurityGroupPolicies" && call.Object == c.target.SecurityGroups[0] {
			return &waftest.Fault{Code: "UnauthorizedOperation"}
		}
		return nil
	})
	_, err := c.run(t, c.open(t), 1, groupHosts(0, 12))
	if !errors.Is(err, waf.ErrDenied) || !slices.Equal(c.ours(c.target.SecurityGroups[1]), top) {
		t.Errorf("error %v, the other group has %q", err, c.ours(c.target.SecurityGroups[1]))
	}
}

// Who deletes a security group or a load balancer has nothing there to protect, and the rest goes on.
func TestWhatTheUserDeletedKeepsNothingFromGoingOn(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	c.mustRun(t, c.open(t), 1, groupHosts(0, 12))
	c.target.SecurityGroups = append(c.target.SecurityGroups, "sg-gone0000")
	c.target.LoadBalancers = append(c.target.LoadBalancers, "lb-gone0000")
	report := c.mustRun(t, c.open(t), 2, groupHosts(0, 3))
	if !slices.Equal(c.enforced(), prefixesOf(groupHosts(0, 3))) {
		t.Errorf("%d dropped, want 3", len(c.enforced()))
	}
	for _, gone := range []string{"security group sg-gone0000", "load balancer lb-gone0000"} {
		if !slices.ContainsFunc(report.Notes, func(n string) bool { return strings.Contains(n, gone) }) {
			t.Errorf("notes %q do not tell of %s", report.Notes, gone)
		}
	}
	report = c.mustRun(t, c.open(t), 3, groupHosts(0, 30)) // a reference to be written
	if !slices.Equal(c.enforced(), prefixesOf(groupHosts(0, 30))) || len(report.Findings) != 2 {
		t.Errorf("%d dropped, want 30; findings %+v", len(c.enforced()), report.Findings)
	}
	if r := c.mustRun(t, c.open(t), 4, groupHosts(0, 30)); r.Writes != 0 || len(r.Plan) != 0 {
		t.Errorf("the next run writes %d times: %q", r.Writes, r.Plan)
	}
}

// The tenant has no template to spare: what is there is used, the rest is overflow.
func TestTenantWithoutTemplatesToSpare(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{Templates: 4}) // one of theirs: three are left
	for generation := range uint64(3) {
		report, err := c.run(t, c.open(t), generation, groupHosts(0, 60))
		if err != nil && !errors.Is(err, waf.ErrQuota) {
			t.Fatal(err)
		}
		if generation == 2 && (len(c.enforced()) < 20 || report.Overflow != 60-len(c.enforced())) {
			t.Errorf("%d dropped, overflow %d, error %v", len(c.enforced()), report.Overflow, err)
		}
	}
	c.mustRun(t, c.open(t), 9, groupHosts(0, 15))
	if !slices.Equal(c.enforced(), prefixesOf(groupHosts(0, 15))) {
		t.Errorf("%d dropped, want 15", len(c.enforced()))
	}
}

// A load balancer takes fewer rules than the templates stand for: it is said, and a lower set_size mends it.
func TestLoadBalancerThatTakesFewerRules(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{BalancerExpanded: 30, GroupMembers: 4})
	c.target.SecurityGroups = c.target.SecurityGroups[:1]
	_, err := c.run(t, c.open(t), 1, groupHosts(0, 60))
	if !errors.Is(err, waf.ErrQuota) || !strings.Contains(err.Error(), "lower set_size") {
		t.Errorf("error %v, want ErrQuota that says what to do", err)
	}
	c.target.SetSize = 5
	for generation := range uint64(3) {
		_, err = c.run(t, c.open(t), 2+generation, groupHosts(0, 60))
	}
	if err != nil || len(c.enforced()) != 20 {
		t.Errorf("with set_size 5: error %v, %d dropped, want 20", err, len(c.enforced()))
	}
}
