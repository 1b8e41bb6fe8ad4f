package awswaf_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// newGroupCloud is a cloud whose target has rule groups; the user's web ACL knows nothing of them yet.
func newGroupCloud(t *testing.T, opts waftest.AWSOptions, groups int) *cloud {
	t.Helper()
	c := newCloud(t, opts)
	c.target.Mode, c.target.Groups, c.target.WebACL = awswaf.ModeRuleGroup, groups, ""
	return c
}

// referred is a cloud whose groups were made by a first, empty run, and the user refers to them.
func referred(t *testing.T, opts waftest.AWSOptions, groups int) *cloud {
	t.Helper()
	c := newGroupCloud(t, opts, groups)
	if _, err := c.run(t, c.open(t), 0, nil); err != nil {
		t.Fatal(err)
	}
	for i := range groups {
		c.refer(t, fmt.Sprintf("tracewall-edge-%03d", i+1))
	}
	c.Forget()
	return c
}

// refer puts a reference to a group into the user's web ACL, as the user does once.
func (c *cloud) refer(t *testing.T, group string) {
	t.Helper()
	arn := c.group(t, group).arn
	c.editACL(t, func(rules []json.RawMessage) []json.RawMessage {
		priority := 200 + len(rules)
		return append(rules, json.RawMessage(fmt.Sprintf(`{"Name":"use-%s","Priority":%d,"OverrideAction":{"None":{}},`+
			`"Statement":{"RuleGroupReferenceStatement":{"ARN":%q}},`+
			`"VisibilityConfig":{"SampledRequestsEnabled":true,"CloudWatchMetricsEnabled":true,"MetricName":"use"}}`, group, priority, arn)))
	})
}

// editACL changes the rules of the user's web ACL as the user might, and nothing else of it.
func (c *cloud) editACL(t *testing.T, edit func([]json.RawMessage) []json.RawMessage) {
	t.Helper()
	client := c.sdk()
	snapshot, err := c.Snapshot(region, awswaf.Regional, acl)
	if err != nil {
		t.Fatal(err)
	}
	var arn string
	var rules []json.RawMessage
	for key, into := range map[string]any{"ARN": &arn, "Rules": &rules} {
		if err := json.Unmarshal(snapshot[key], into); err != nil {
			t.Fatal(err)
		}
	}
	for attempt := 0; ; attempt++ {
		got, err := client.GetWebACL(t.Context(), &wafv2.GetWebACLInput{ARN: &arn})
		if err != nil {
			t.Fatal(err)
		}
		body := map[string]json.RawMessage{}
		maps.Copy(body, snapshot)
		for _, key := range []string{"ARN", "Capacity", "LabelNamespace", "ManagedByFirewallManager"} {
			delete(body, key)
		}
		if string(body["Description"]) == `""` { // shown for none, and not taken back
			delete(body, "Description")
		}
		for key, v := range map[string]any{"Scope": awswaf.Regional, "Id": got.WebACL.Id, "LockToken": got.LockToken, "Rules": edit(rules)} {
			body[key] = verbatim(t, v)
		}
		raw := verbatim(t, body)
		_, err = client.UpdateWebACL(t.Context(), &wafv2.UpdateWebACLInput{
			Name: aws.String(acl), Scope: types.ScopeRegional, Id: got.WebACL.Id, LockToken: got.LockToken,
			DefaultAction: &types.DefaultAction{}, VisibilityConfig: &types.VisibilityConfig{MetricName: aws.String("m")},
		}, awswaf.SendBody(raw))
		if err == nil {
			return
		}
		if attempt > 20 {
			t.Fatal(err)
		}
	}
}

// verbatim marshals without escaping what stands within raw parts.
func verbatim(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// standing is a rule group as the service holds it.
type standing struct {
	arn, id, description string
	capacity             int
	rules                []json.RawMessage
	refs                 []string // names of the IP sets, in order
}

func (c *cloud) group(t *testing.T, name string) standing {
	t.Helper()
	raw, ok := c.Groups(c.target.Region, c.scope())[name]
	if !ok {
		t.Fatalf("there is no rule group %s", name)
	}
	var g standing
	for key, into := range map[string]any{"ARN": &g.arn, "Id": &g.id, "Description": &g.description, "Capacity": &g.capacity, "Rules": &g.rules} {
		if err := json.Unmarshal(raw[key], into); err != nil {
			t.Fatalf("rule group %s: %s: %v", name, key, err)
		}
	}
	for _, rule := range g.rules {
		g.refs = append(g.refs, awswaf.RefNames(rule)...)
	}
	slices.Sort(g.refs)
	return g
}

func (c *cloud) scope() string {
	if c.target.Scope == "" {
		return awswaf.Regional
	}
	return c.target.Scope
}

// inGroups is what the groups would block together wherever a web ACL refers to them.
func (c *cloud) inGroups() (list []netip.Prefix) {
	for name := range c.Groups(c.target.Region, c.scope()) {
		list = append(list, c.EnforcedIn(c.target.Region, c.scope(), name)...)
	}
	slices.SortFunc(list, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return slices.Compact(list)
}

// mustRunGroups is mustRun, looking at the groups themselves.
func (c *cloud) mustRunGroups(t *testing.T, f waf.Firewall, generation uint64, wants []waf.Want) waf.Report {
	t.Helper()
	report, err := c.run(t, f, generation, wants)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(c.inGroups()), len(wants)-report.Overflow; got != want {
		t.Fatalf("the groups enforce %d, want %d; plan %q", got, want, report.Plan)
	}
	return report
}

func (c *cloud) ops() (list []string) {
	for _, call := range c.Calls() {
		list = append(list, call.Op)
	}
	return list
}

func TestRuleGroups(t *testing.T) {
	for name, opts := range map[string]waftest.AWSOptions{
		"plain":                         {},
		"always a marker":               {AlwaysMarker: true},
		"new sets and groups not ready": {NotReady: 3},
	} {
		for _, groups := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s, %d groups", name, groups), func(t *testing.T) {
				waftest.TestFirewall(t, func(t *testing.T) waftest.Harness {
					c := referred(t, opts, groups)
					return waftest.Harness{
						Open:     func(t *testing.T) waf.Firewall { return c.open(t) },
						Enforced: c.enforced,
						Foreign:  func() string { return c.foreign(t) },
						Fail:     c.failWrite,
					}
				})
			})
		}
	}
}
