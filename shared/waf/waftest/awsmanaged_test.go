package waftest_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// again sends a web ACL back as GetWebACL shows it, with some fields other than they were.
func (c *client) again(name string, more fields) (code string) {
	c.t.Helper()
	arn, err := c.aws.ARN(c.region, "REGIONAL", name)
	if err != nil {
		c.t.Fatal(err)
	}
	got := c.must("GetWebACL", fields{"ARN": arn})
	raw, err := c.aws.Snapshot(c.region, "REGIONAL", name)
	if err != nil {
		c.t.Fatal(err)
	}
	in := fields{"Scope": "REGIONAL", "LockToken": got["LockToken"]}
	for key, v := range raw {
		if string(v) != `""` && key != "ARN" && key != "LabelNamespace" && key != "Capacity" && !strings.Contains(key, "FirewallManager") {
			in[key] = v
		}
	}
	_, code = c.call("UpdateWebACL", with(in, more))
	return code
}

func TestSeedEverythingHasEverything(t *testing.T) {
	c := newClient(t, waftest.AWSOptions{})
	if err := c.aws.SeedEverything(region, "REGIONAL", "shop"); err != nil {
		t.Fatal(err)
	}
	rules, err := c.aws.Rules(region, "REGIONAL", "shop")
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprint(rules)
	for _, member := range []string{
		"ByteMatchStatement", "SqliMatchStatement", "XssMatchStatement", "SizeConstraintStatement", "GeoMatchStatement", "RuleGroupReferenceStatement",
		"IPSetReferenceStatement", "RegexPatternSetReferenceStatement", "RateBasedStatement", "AndStatement", "OrStatement", "NotStatement",
		"ManagedRuleGroupStatement", "LabelMatchStatement", "RegexMatchStatement", "AsnMatchStatement", "FutureMatchStatement",
		"SingleHeader", "SingleQueryArgument", "AllQueryArguments", "UriPath", "QueryString", "Body", "Method", "JsonBody", "Headers", "Cookies", "HeaderOrder",
		"JA3Fingerprint", "JA4Fingerprint", "UriFragment", "FutureField",
		"Allow", "Block", "Count", "Captcha", "Challenge", "None", `"Unit":1e3`, "2.50", `\u2028 \u003c`,
	} {
		if !strings.Contains(all, `"`+strings.Trim(member, `"`)) && !strings.Contains(all, member) {
			t.Errorf("%s is missing", member)
		}
	}
	before, err := c.aws.Snapshot(region, "REGIONAL", "shop")
	if err != nil {
		t.Fatal(err)
	}
	if code := c.again("shop", nil); code != "" {
		t.Fatalf("sent back as it is: %s", code)
	}
	after, err := c.aws.Snapshot(region, "REGIONAL", "shop")
	if err != nil {
		t.Fatal(err)
	}
	for key := range before {
		// json.Marshal of the test escapes <, > and &; what is stored is what was sent.
		if diff := cmp.Diff(decoded(before[key]), decoded(after[key])); diff != "" {
			t.Errorf("%s:\n%s", key, diff)
		}
	}
}

func decoded(raw json.RawMessage) (v any) {
	if json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	return v
}

func TestFirewallManagerAndShield(t *testing.T) {
	c := newClient(t, waftest.AWSOptions{})
	office := c.set("office", "198.51.100.0/24")
	c.must("CreateRuleGroup", group("fm-first", 50, with(rule("let", 0, ref(office)), fields{"Action": fields{"Allow": fields{}}})))
	if err := c.aws.SeedWebACL(region, "REGIONAL", "shop"); err != nil {
		t.Fatal(err)
	}
	c.must("CreateWebACL", wall("mine", rule("deny", 0, ref(office))))
	if err := c.aws.Manage(region, "REGIONAL", "mine", waftest.FirewallManager{Retrofitted: true, First: []string{"fm-first"}, Last: []string{"AWSManagedRulesCommonRuleSet"}}); err != nil {
		t.Fatal(err)
	}
	arn, err := c.aws.ARN(region, "REGIONAL", "mine")
	if err != nil {
		t.Fatal(err)
	}
	got := c.must("GetWebACL", fields{"ARN": arn})
	acl := got["WebACL"].(map[string]any)
	first := acl["PreProcessFirewallManagerRuleGroups"].([]any)[0].(map[string]any)
	last := acl["PostProcessFirewallManagerRuleGroups"].([]any)[0].(map[string]any)
	if acl["RetrofittedByFirewallManager"] != true || acl["ManagedByFirewallManager"] != false || len(acl["Rules"].([]any)) != 1 || acl["Capacity"] != 751.0 ||
		first["Name"] != "PREFMManaged-fm-first" || last["FirewallManagerStatement"].(map[string]any)["ManagedRuleGroupStatement"] == nil {
		t.Errorf("web acl %v", acl)
	}
	if action, by, err := c.aws.Evaluate(region, "REGIONAL", "mine", netip.MustParseAddr("198.51.100.1")); action != "Allow" || by != "PREFMManaged-fm-first/let" || err != nil {
		t.Errorf("%s by %s, %v: firewall manager's groups come first", action, by, err)
	}
	if code := c.again("mine", fields{"Rules": []fields{}}); code != "" {
		t.Errorf("updated: %q", code)
	}
	acl = c.must("GetWebACL", fields{"ARN": arn})["WebACL"].(map[string]any)
	if acl["Capacity"] != 750.0 || acl["PreProcessFirewallManagerRuleGroups"] == nil {
		t.Errorf("an update touches firewall manager's groups: %v", acl)
	}
	token := c.must("GetWebACL", fields{"ARN": arn})["LockToken"]
	if _, code := c.call("DeleteWebACL", fields{"Name": "mine", "Scope": "REGIONAL", "Id": acl["Id"], "LockToken": token}); code != "WAFInvalidOperationException" {
		t.Errorf("deleting what it manages: %q", code)
	}
	g := c.must("ListRuleGroups", fields{"Scope": "REGIONAL"})["RuleGroups"].([]any)[0].(map[string]any)
	if _, code := c.call("DeleteRuleGroup", fields{"Name": "fm-first", "Scope": "REGIONAL", "Id": g["Id"], "LockToken": g["LockToken"]}); code != "WAFAssociatedItemException" {
		t.Errorf("deleting what it uses: %q", code)
	}

	before := capacity(t, c, "shop")
	name, err := c.aws.Shield(region, "REGIONAL", "shop")
	if err != nil || !strings.HasPrefix(name, "ShieldMitigationRuleGroup_123456789012_") {
		t.Errorf("shield's rule %q, %v", name, err)
	}
	if got := capacity(t, c, "shop"); got != before+150 {
		t.Errorf("capacity %d after %d: shield's group costs 150", got, before)
	}
	if code := c.again("shop", nil); code != "" || capacity(t, c, "shop") != before+150 {
		t.Errorf("sent back as it is: %q, capacity %d", code, capacity(t, c, "shop"))
	}
	if err := c.aws.Manage(region, "REGIONAL", "none", waftest.FirewallManager{}); err == nil {
		t.Error("managed what is not there")
	}
	if _, err := c.aws.Shield(region, "REGIONAL", "none"); err == nil {
		t.Error("shielded what is not there")
	}
}

func capacity(t *testing.T, c *client, acl string) (n int) {
	t.Helper()
	raw, err := c.aws.Snapshot(region, "REGIONAL", acl)
	if err != nil || json.Unmarshal(raw["Capacity"], &n) != nil {
		t.Fatal(err)
	}
	return n
}
