package awswaf_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func (c *cloud) preflight(t *testing.T, need waf.Need) (texts []string, fatal int) {
	t.Helper()
	f := c.open(t)
	if _, err := f.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Forget()
	findings, err := f.Preflight(t.Context(), need)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		texts = append(texts, f.Text)
		if f.Fatal {
			fatal++
		}
	}
	for _, call := range c.Calls() {
		if call.Changed {
			t.Errorf("%s changed something", call.Op)
		}
	}
	return texts, fatal
}

func (c *cloud) makeSets(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		_, err := c.sdk().CreateIPSet(t.Context(), &wafv2.CreateIPSetInput{
			Name: aws.String(fmt.Sprintf("theirs-%03d", i)), Scope: types.ScopeRegional, IPAddressVersion: types.IPAddressVersionIpv4, Addresses: []string{},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestPreflight(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(t *testing.T, c *cloud)
		need    waf.Need
		want    [][]string // words of each finding
		fatal   int
	}{
		"all is well": {need: waf.Need{Creates: 3, References: 3, Rule: true}},
		"AWS's default quota of ip sets": {
			prepare: func(t *testing.T, c *cloud) { c.makeSets(t, 97) }, need: waf.Need{Creates: 5, References: 5, Rule: true},
			want: [][]string{{"98 ip sets", "5 more are needed", "3 above the quota of 100", "ask for 103 under Service Quotas, AWS WAF, IP sets per Region", `"set_size" to 10000 (it is 10): then about 1`}},
		},
		"a quota that was raised": {
			prepare: func(t *testing.T, c *cloud) { c.makeSets(t, 97); c.target.IPSetQuota = 200 }, need: waf.Need{Creates: 5, References: 5, Rule: true},
		},
		"no sets needed": {prepare: func(t *testing.T, c *cloud) { c.makeSets(t, 120) }, need: waf.Need{Rule: true}},
		"references": {
			need: waf.Need{Creates: 60, References: 60, Rule: true},
			want: [][]string{{"room for 49 more references", "your own rules hold 1", "60 are needed"}},
		},
		"capacity that costs extra": {
			prepare: func(t *testing.T, c *cloud) {
				c.fill(t, 1)
				c.target.Forwarded = &awswaf.Forwarded{Header: "X-Forwarded-For", Position: "ANY"}
			}, need: waf.Need{Creates: 40, References: 40, Rule: true},
			want: [][]string{{"above 1500 AWS charges extra"}},
		},
		"capacity at its end": {
			prepare: func(t *testing.T, c *cloud) {
				c.fill(t, 6)
				c.target.Forwarded = &awswaf.Forwarded{Header: "X-Forwarded-For", Position: "ANY"}
			}, need: waf.Need{Creates: 49, References: 49, Rule: true},
			want: [][]string{{"our rule needs 245 more", "above AWS WAF's 5000"}},
		},
		"names taken": {
			prepare: func(t *testing.T, c *cloud) { c.takeName(t, "tracewall-edge-v4-002") }, need: waf.Need{Creates: 1, References: 1, Rule: true},
			want: [][]string{{"tracewall-edge-v4-002", "delete them, or tag them tracewall:target=edge"}},
		},
		"Shield Advanced": {
			prepare: func(t *testing.T, c *cloud) {
				c.editACL(t, func(rules []json.RawMessage) []json.RawMessage {
					return append(rules, userRule("ShieldMitigationRuleGroup_123456789012_x_y", 10_000_000, `"Action":{"Block":{}}`, german))
				})
			}, need: waf.Need{Rule: true},
			want: [][]string{{"Shield Advanced keeps its rule", "stays as it is"}},
		},
		"UpdateWebACL denied": {
			prepare: func(_ *testing.T, c *cloud) { c.Deny("UpdateWebACL") }, need: waf.Need{Creates: 1, References: 1, Rule: true},
			want: [][]string{{"wafv2:UpdateWebACL is denied", "webacl/shop/*", "template.yaml, statements KeepTheWebACL and CarryOverReferences"}}, fatal: 1,
		},
		"UpdateIPSet denied": {
			prepare: func(_ *testing.T, c *cloud) { c.Deny("UpdateIPSet") }, need: waf.Need{Creates: 1, References: 1, Rule: true},
			want: [][]string{{"wafv2:UpdateIPSet is denied", "ipset/tracewall-*/*"}},
		},
		"what is denied is not tried in a dry run": {
			prepare: func(_ *testing.T, c *cloud) { c.Deny("UpdateIPSet", "UpdateWebACL") }, need: waf.Need{Creates: 1, References: 1, Rule: true, DryRun: true},
		},
		"nor on a wall that has sets": {
			prepare: func(t *testing.T, c *cloud) {
				c.mustRun(t, c.open(t), 1, hosts(0, 5))
				c.Deny("UpdateIPSet", "UpdateWebACL")
			}, need: waf.Need{Creates: 1, References: 1, Rule: true},
		},
		"another error than a denial says nothing": {
			prepare: func(_ *testing.T, c *cloud) {
				c.Before(func(call waftest.Call) *waftest.Fault {
					if call.Write() {
						return &waftest.Fault{Code: "WAFInternalErrorException"}
					}
					return nil
				})
			}, need: waf.Need{Creates: 1, References: 1, Rule: true},
		},
		"UpdateRuleGroup denied": {
			prepare: func(_ *testing.T, c *cloud) {
				c.target.Mode = awswaf.ModeRuleGroup
				c.Deny("UpdateRuleGroup")
			}, need: waf.Need{Creates: 1, References: 1, Rule: true},
			want: [][]string{{"wafv2:UpdateRuleGroup is denied", "rulegroup/tracewall-*/*"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, waftest.AWSOptions{MaxSets: 500})
			if tc.prepare != nil {
				tc.prepare(t, c)
			}
			foreign := c.foreign(t)
			texts, fatal := c.preflight(t, tc.need)
			if len(texts) != len(tc.want) || fatal != tc.fatal {
				t.Fatalf("findings %q, %d fatal; want %q, %d fatal", texts, fatal, tc.want, tc.fatal)
			}
			for _, words := range tc.want {
				if !mentions(texts, words...) {
					t.Errorf("findings %q, want one with %q", texts, words)
				}
			}
			if now := c.foreign(t); now != foreign {
				t.Errorf("what is not ours changed:\n%s\n%s", foreign, now)
			}
		})
	}
}

// fill puts managed rule groups of 700 WCU each into the web ACL, which has one already.
func (c *cloud) fill(t *testing.T, n int) {
	t.Helper()
	c.editACL(t, func(rules []json.RawMessage) []json.RawMessage {
		for i := range n {
			rules = append(rules, userRule(fmt.Sprintf("managed-%d", i), 300+i, `"OverrideAction":{"None":{}}`,
				fmt.Sprintf(`{"ManagedRuleGroupStatement":{"VendorName":"AWS","Name":"G%d"}}`, i)))
		}
		return rules
	})
}

// takeName makes an ip set that is not ours.
func (c *cloud) takeName(t *testing.T, name string) {
	t.Helper()
	_, err := c.sdk().CreateIPSet(t.Context(), &wafv2.CreateIPSetInput{
		Name: &name, Scope: types.ScopeRegional, IPAddressVersion: types.IPAddressVersionIpv4, Addresses: []string{"192.0.2.0/24"},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestARunThatCannotEndWellDoesNotBegin: the rule can never be written, so no set is made.
func TestARunThatCannotEndWellDoesNotBegin(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	c.Deny("UpdateWebACL")
	report, err := c.run(t, c.open(t), 1, hosts(0, 25))
	if !errors.Is(err, waf.ErrPreflight) || len(c.Sets(region, awswaf.Regional)) != 1 || len(report.Findings) != 1 {
		t.Errorf("error %v, sets %v, findings %v", err, c.Sets(region, awswaf.Regional), report.Findings)
	}
	c.Deny()
	c.mustRun(t, c.open(t), 1, hosts(0, 25))
}

// TestTheProbesCannotChangeAnything: even a service that takes everything that it is sent is left as it was.
func TestTheProbesCannotChangeAnything(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	tokens, sets := map[string]bool{}, map[string]bool{}
	c.Before(func(call waftest.Call) *waftest.Fault {
		if call.Op == "UpdateIPSet" {
			sets[call.Name] = true
		}
		return nil
	})
	fields, err := c.Snapshot(region, awswaf.Regional, acl)
	if err != nil {
		t.Fatal(err)
	}
	f := c.open(t)
	if _, err := f.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	body := awswaf.ProbeBody(f)
	var sent map[string]json.RawMessage
	if err := json.Unmarshal(body, &sent); err != nil {
		t.Fatal(err)
	}
	tokens[string(sent["LockToken"])] = true
	for _, name := range []string{"LockToken", "Scope"} {
		delete(sent, name)
	}
	for name, raw := range sent {
		if got := string(fields[name]); got != string(raw) {
			t.Errorf("%s is sent as %s, it is %s", name, raw, got)
		}
	}
	for name := range fields {
		if _, there := sent[name]; !there && !strings.Contains("ARN Capacity LabelNamespace ManagedByFirewallManager ApplicationConfig", name) {
			t.Errorf("%s is left out, which would delete it", name)
		}
	}
	if again := awswaf.ProbeBody(f); string(again) == string(body) || len(tokens) != 1 {
		t.Error("the lock token is not a random one")
	}
	if _, err := f.Preflight(t.Context(), waf.Need{Creates: 1, References: 1, Rule: true}); err != nil {
		t.Fatal(err)
	}
	if len(sets) != 1 || !sets["tracewall-edge-v4-000"] {
		t.Errorf("sets %v, want one by a number that no set of ours has", sets)
	}
}
