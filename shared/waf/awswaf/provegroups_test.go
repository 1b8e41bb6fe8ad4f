package awswaf_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func TestProofOfRuleGroups(t *testing.T) {
	const first, second = "tracewall-edge-001", "tracewall-edge-002"
	replace := func(old, text string) func(*testing.T, *cloud) {
		return func(t *testing.T, c *cloud) {
			c.editACL(t, func(rules []json.RawMessage) []json.RawMessage {
				for i, r := range rules {
					if strings.Contains(string(r), "use-"+first) {
						rules[i] = json.RawMessage(strings.Replace(string(r), old, text, 1))
					}
				}
				return rules
			})
		}
	}
	for name, tc := range map[string]struct {
		refer     []string
		prepare   func(t *testing.T, c *cloud)
		effective bool
		words     []string
	}{
		"referred to":     {refer: []string{first}, effective: true},
		"named web acl":   {refer: []string{first}, effective: true, prepare: func(_ *testing.T, c *cloud) { c.target.WebACL = acl }},
		"not referred to": {words: []string{"rule group " + first, "any web ACL", `{"RuleGroupReferenceStatement": {"ARN": "arn:aws:wafv2:`, "override action None"}},
		"the override action counts": {
			refer: []string{first}, prepare: replace(`"OverrideAction":{"None":{}}`, `"OverrideAction":{"Count":{}}`),
			words: []string{"rule use-" + first, "only counts", "set its override action to None"},
		},
		"our rule is overridden to count": {
			refer:   []string{first},
			prepare: replace(`"}},"Vis`, `","RuleActionOverrides":[{"Name":"tracewall-edge","ActionToUse":{"Count":{}}}]}},"Vis`),
			words:   []string{"overrides the action of rule tracewall-edge to Count"},
		},
		"our rule is overridden to challenge": {
			refer: []string{first}, effective: true,
			prepare: replace(`"}},"Vis`, `","RuleActionOverrides":[{"Name":"tracewall-edge","ActionToUse":{"Challenge":{}}}]}},"Vis`),
		},
		"another rule is overridden": {
			refer: []string{first}, effective: true,
			prepare: replace(`"}},"Vis`, `","RuleActionOverrides":[{"Name":"other","ActionToUse":{"Count":{}}}]}},"Vis`),
		},
		"nothing protected": {refer: []string{first}, prepare: func(_ *testing.T, c *cloud) { c.Disassociate(balancer) }, words: []string{"protects nothing"}},
		"an Allow rule by path first": {refer: []string{first}, prepare: func(t *testing.T, c *cloud) {
			c.editACL(t, func(rules []json.RawMessage) []json.RawMessage {
				return append(rules, userRule("health", 7, allow, healthy))
			})
		}, words: []string{"rule health (priority 7)", "before rule use-" + first}},
		"action count": {refer: []string{first}, prepare: func(t *testing.T, c *cloud) {
			c.target.Action = awswaf.ActionCount
			if _, err := c.run(t, c.open(t), 2, hosts(0, 15)); err != nil {
				t.Fatal(err)
			}
		}, words: []string{"only counts"}},
		"somebody edited the group": {refer: []string{first}, prepare: func(t *testing.T, c *cloud) {
			c.editGroup(t, first, nil, func(rules []json.RawMessage) []json.RawMessage {
				return []json.RawMessage{json.RawMessage(strings.Replace(string(rules[0]), `"Block"`, `"Count"`, 1))}
			})
		}, words: []string{"rule group " + first, "not as it is configured"}},
		"a rule of the user in the group": {refer: []string{first}, prepare: func(t *testing.T, c *cloud) {
			c.editGroup(t, first, nil, func(rules []json.RawMessage) []json.RawMessage {
				return append(rules, userRule("theirs", 1, allow, german))
			})
		}, words: []string{"rule group " + first, "not ours"}},
		"one of two groups is not referred to": {refer: []string{first}, prepare: func(t *testing.T, c *cloud) {
			c.editACL(t, func(rules []json.RawMessage) []json.RawMessage { return rules })
			if _, err := c.many(t, c.open(t), 2, hosts(0, 500)); err != nil {
				t.Fatal(err)
			}
		}, words: []string{"rule group " + second, "web acl shop", "add a rule"}},
		"ListWebACLs denied": {refer: []string{first}, prepare: func(_ *testing.T, c *cloud) { c.Deny("ListWebACLs") }, words: []string{"allow wafv2:ListWebACLs"}},
		"GetWebACL denied":   {refer: []string{first}, prepare: func(_ *testing.T, c *cloud) { c.Deny("GetWebACL") }, words: []string{"1 web ACLs could not be read", `"web_acl"`}},
		"GetWebACL of the named one denied": {refer: []string{first}, prepare: func(_ *testing.T, c *cloud) {
			c.target.WebACL = acl
			c.Deny("GetWebACL")
		}, words: []string{"whether web acl shop refers", "allow wafv2:ListWebACLs, and wafv2:GetWebACL"}},
		"the named web acl does not exist": {refer: []string{first}, prepare: func(_ *testing.T, c *cloud) { c.target.WebACL = "forum" }, words: []string{"there is no web acl forum"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newGroupCloud(t, waftest.AWSOptions{MaxSets: 200}, 2)
			c.mustRunGroups(t, c.open(t), 1, hosts(0, 15))
			for _, group := range tc.refer {
				c.refer(t, group)
			}
			if tc.prepare != nil {
				tc.prepare(t, c)
			}
			proof := c.prove(t)
			if proof.Effective != tc.effective || tc.words != nil && !mentions(proof.Reasons, tc.words...) {
				t.Errorf("effective %v, reasons %q; want %v, %q", proof.Effective, proof.Reasons, tc.effective, tc.words)
			}
			if tc.effective && (proof.WebACLs[0].Rule != "use-"+first || proof.WebACLs[0].Action != "Block") {
				t.Errorf("%+v", proof.WebACLs)
			}
		})
	}
}

func TestGroupsWithoutSetsAreNothingToProve(t *testing.T) {
	c := referred(t, waftest.AWSOptions{}, 1)
	if proof := c.prove(t); proof.Effective || !mentions(proof.Reasons, "nothing to block yet") {
		t.Errorf("%+v", proof)
	}
}

func TestTheSearchForWebACLsIsBounded(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{}, 1)
	c.mustRunGroups(t, c.open(t), 1, hosts(0, 15))
	for i := range 25 {
		if err := c.SeedWebACL(region, awswaf.Regional, fmt.Sprintf("a%02d", i)); err != nil {
			t.Fatal(err)
		}
	}
	c.refer(t, "tracewall-edge-001")
	proof := c.prove(t)
	if proof.Effective || !mentions(proof.Reasons, "of 26 web ACLs 20 were read", `"web_acl"`) {
		t.Errorf("%+v; want it said", proof)
	}
	if n := len(c.Calls()); n != 21 {
		t.Errorf("%d calls, want 21", n)
	}
	c.target.WebACL = acl
	if proof := c.prove(t); !proof.Effective {
		t.Errorf("%+v; want it in force by name", proof)
	}
}

func TestFirewallManagersGroupsCount(t *testing.T) {
	const manager = `[{"Name":"%s","Priority":1,"FirewallManagerStatement":{"RuleGroupReferenceStatement":{"ARN":"%s"}},"OverrideAction":{"None":{}},` +
		`"VisibilityConfig":{"SampledRequestsEnabled":true,"CloudWatchMetricsEnabled":true,"MetricName":"m"}}]`
	rules := string(userRule("health", 7, allow, healthy))
	ours := "arn:aws:wafv2:eu-west-1:123456789012:regional/rulegroup/tracewall-edge-001/x"
	for name, tc := range map[string]struct{ field, arn, holes, doubts string }{
		"first": {"PreProcessFirewallManagerRuleGroups", ours, "", ""},
		"last":  {"PostProcessFirewallManagerRuleGroups", ours, "rule health", ""},
	} {
		fields := map[string]json.RawMessage{
			"Rules": json.RawMessage("[" + rules + "]"), tc.field: json.RawMessage(fmt.Sprintf(manager, "fm", tc.arn)),
		}
		holes, doubts := awswaf.Passes(t, fields, "fm")
		if got := strings.Join(holes, "; "); !strings.Contains(got, tc.holes) || tc.holes == "" && got != "" || len(doubts) > 0 {
			t.Errorf("%s: holes %q, doubts %q", name, holes, doubts)
		}
	}
	theirs := map[string]json.RawMessage{
		"Rules":                               json.RawMessage("[" + string(userRule("ours", 7, `"Action":{"Block":{}}`, german)) + "]"),
		"PreProcessFirewallManagerRuleGroups": json.RawMessage(fmt.Sprintf(manager, "fm", "arn:aws:wafv2:eu-west-1:123456789012:regional/rulegroup/central/x")),
	}
	if _, doubts := awswaf.Passes(t, theirs, "ours"); len(doubts) != 1 || !strings.Contains(doubts[0], "rule group central") {
		t.Errorf("doubts %q, want Firewall Manager's group", doubts)
	}
}

func TestNamedSetsCannotBeProven(t *testing.T) {
	c := namedOffice(t)
	f := c.open(t)
	if _, err := f.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	proof, err := f.Prove(t.Context())
	if err != nil || proof.Effective || !mentions(proof.Reasons, "cannot be seen with the two permissions of mode ip-set") {
		t.Errorf("%+v, %v", proof, err)
	}
}

// namedOffice has a target of mode ip-set with one set of the user's.
func namedOffice(t *testing.T) *cloud {
	t.Helper()
	c := newCloud(t, waftest.AWSOptions{})
	c.target = awswaf.Target{Name: "edge", Region: region, Mode: awswaf.ModeIPSet, IPSets: []string{c.setARN(t, acl+"-office")}}
	return c
}
