package awswaf_test

import (
	"flag"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

var update = flag.Bool("update", false, "rewrite testdata/actions.json")

// TestActions records every AWS action that each mode makes, and what each mode's detach makes, and
// compares them with testdata/actions.json, against which the policies of template.yaml and infra are
// checked. A mode's list is what the function needs: sync, verify, preflight and proof in both scopes; "MODE detach"
// is what the operator needs who leaves it.
func TestActions(t *testing.T) {
	got := map[string]waftest.Actions{}
	for _, mode := range []string{awswaf.ModeWebACL, awswaf.ModeRuleGroup, awswaf.ModeIPSet} {
		sync, detach := waftest.Actions{}, waftest.Actions{}
		for _, scope := range []string{awswaf.Regional, awswaf.CloudFront} {
			recordMode(t, mode, scope, sync, detach)
		}
		got[mode], got[mode+" detach"] = sync, detach
	}
	waftest.CompareActions(t, *update, got)
}

// recordMode runs everything that a target of a mode ever does.
func recordMode(t *testing.T, mode, scope string, sync, detach waftest.Actions) {
	t.Helper()
	c := emptyCloud(t, waftest.AWSOptions{})
	c.target.Scope, c.target.Mode = scope, mode
	where := region
	if scope == awswaf.CloudFront {
		where, c.target.Region = "us-east-1", ""
	}
	record := func(into waftest.Actions) {
		for _, call := range c.Calls() {
			into[call.Service+":"+call.Op] = true
			switch call.Op {
			case "CreateIPSet", "CreateRuleGroup", "CreateWebACL": // with our tag
				into["wafv2:TagResource"] = true
			case "ListResourcesForWebACL":
				for _, action := range awswaf.AlsoNeeds() {
					into[action] = true
				}
			}
		}
		c.Forget()
	}
	run := func(generation uint64, wants []waf.Want) {
		r := on(c.open(t), 10)
		r.Prove, r.Verify = true, true
		if _, err := r.Reconcile(t.Context(), waf.Desired{Wants: wants, Epoch: "epoch-1", Generation: generation}); err != nil {
			t.Fatal(err)
		}
		record(sync)
	}
	leave := func() {
		c.Forget()
		if _, err := c.open(t).Detach(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		record(detach)
	}
	if mode == awswaf.ModeIPSet {
		if err := c.SeedWebACL(where, scope, acl); err != nil {
			t.Fatal(err)
		}
		sets, err := c.sdkIn(where).ListIPSets(t.Context(), &wafv2.ListIPSetsInput{Scope: types.Scope(scope)})
		if err != nil {
			t.Fatal(err)
		}
		c.target = awswaf.Target{Name: "edge", Region: where, Scope: scope, Mode: mode, IPSets: []string{aws.ToString(sets.IPSets[0].ARN)}}
		c.Forget()
		run(1, hosts(0, 5))
		run(2, hosts(2, 5))
		leave()
		return
	}
	if mode == awswaf.ModeRuleGroup {
		c.target.WebACL = "" // the proof has to search
		c.plainACL(t, where, scope)
	}
	run(1, hosts(0, 25)) // makes all, in mode web-acl the web ACL too
	if mode == awswaf.ModeRuleGroup {
		c.referPlainly(t, where, scope, true)
	}
	c.unsay(t, where, scope, "tracewall-edge-v4-001")
	run(2, hosts(5, 40)) // grows, finds a set by its tag
	run(3, hosts(40, 5)) // shrinks
	run(4, hosts(40, 5)) // deletes
	// To leave the other mode alone asks for a proof, whatever comes of it.
	c.target.WebACL = acl
	_, _ = c.open(t).DetachMode(t.Context(), map[string]string{awswaf.ModeWebACL: awswaf.ModeRuleGroup, awswaf.ModeRuleGroup: awswaf.ModeWebACL}[mode], true)
	record(detach)
	if mode == awswaf.ModeRuleGroup {
		c.referPlainly(t, where, scope, false)
	}
	// Leaves with what an earlier mode has left.
	for _, c.target.Mode = range []string{awswaf.ModeWebACL, awswaf.ModeRuleGroup, mode} {
		if _, err := c.run(t, c.open(t), 5, hosts(0, 5)); err != nil {
			t.Fatal(err)
		}
	}
	leave()
}

// plainACL makes a web ACL of the user's without rules.
func (c *cloud) plainACL(t *testing.T, where, scope string) {
	t.Helper()
	_, err := c.sdkIn(where).CreateWebACL(t.Context(), &wafv2.CreateWebACLInput{
		Name: aws.String(acl), Scope: types.Scope(scope), DefaultAction: &types.DefaultAction{Allow: &types.AllowAction{}},
		VisibilityConfig: &types.VisibilityConfig{SampledRequestsEnabled: true, CloudWatchMetricsEnabled: true, MetricName: aws.String("m")},
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Forget()
}

// referPlainly makes its only rule refer to our first rule group, or gives it none.
func (c *cloud) referPlainly(t *testing.T, where, scope string, refer bool) {
	t.Helper()
	client := c.sdkIn(where)
	acls, err := client.ListWebACLs(t.Context(), &wafv2.ListWebACLsInput{Scope: types.Scope(scope)})
	if err != nil {
		t.Fatal(err)
	}
	groups, err := client.ListRuleGroups(t.Context(), &wafv2.ListRuleGroupsInput{Scope: types.Scope(scope)})
	if err != nil {
		t.Fatal(err)
	}
	visible := &types.VisibilityConfig{SampledRequestsEnabled: true, CloudWatchMetricsEnabled: true, MetricName: aws.String("m")}
	in := &wafv2.UpdateWebACLInput{
		Name: aws.String(acl), Id: acls.WebACLs[0].Id, LockToken: acls.WebACLs[0].LockToken, Scope: types.Scope(scope),
		DefaultAction: &types.DefaultAction{Allow: &types.AllowAction{}}, VisibilityConfig: visible,
	}
	if refer {
		in.Rules = []types.Rule{{
			Name: aws.String("use"), Priority: 1, OverrideAction: &types.OverrideAction{None: &types.NoneAction{}}, VisibilityConfig: visible,
			Statement: &types.Statement{RuleGroupReferenceStatement: &types.RuleGroupReferenceStatement{ARN: groups.RuleGroups[0].ARN}},
		}}
	}
	if _, err := client.UpdateWebACL(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	c.Forget()
}

// sdkIn is a client of another Region than the usual one.
func (c *cloud) sdkIn(where string) *wafv2.Client {
	return wafv2.New(c.sdk().Options(), func(o *wafv2.Options) { o.Region = where })
}

// unsay drops a set's description, as a tool of the user's might.
func (c *cloud) unsay(t *testing.T, where, scope, name string) {
	t.Helper()
	client := c.sdkIn(where)
	sets, err := client.ListIPSets(t.Context(), &wafv2.ListIPSetsInput{Scope: types.Scope(scope)})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sets.IPSets {
		if aws.ToString(s.Name) != name {
			continue
		}
		got, err := client.GetIPSet(t.Context(), &wafv2.GetIPSetInput{Name: s.Name, Id: s.Id, Scope: types.Scope(scope)})
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.UpdateIPSet(t.Context(), &wafv2.UpdateIPSetInput{
			Name: s.Name, Id: s.Id, Scope: types.Scope(scope), LockToken: got.LockToken, Addresses: got.IPSet.Addresses,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	c.Forget()
}
