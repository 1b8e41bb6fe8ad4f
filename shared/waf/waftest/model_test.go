package waftest_test

import (
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// TestTheModelAgrees lets the official model judge every answer of the stand-in, and
// every request that is sent back from one.
func TestTheModelAgrees(t *testing.T) {
	m := waftest.ReadModel(t)
	c := newClient(t, waftest.AWSOptions{Judge: m.Requests, AlwaysMarker: true})
	answered := map[string]bool{}
	c.told = func(op string, answer []byte) {
		answered[op] = true
		for _, wrong := range m.Answers(op, answer) {
			// AWS shows "" for no description and does not take it back; the model is of another opinion.
			if !strings.Contains(wrong, "Description: ") {
				t.Errorf("the answer to %s: %s", op, wrong)
			}
		}
	}
	if err := c.aws.SeedEverything(region, "REGIONAL", "shop"); err != nil {
		t.Fatal(err)
	}
	if err := c.aws.Manage(region, "REGIONAL", "shop", waftest.FirewallManager{First: []string{"shop-group"}, Last: []string{"AWSManagedRulesCommonRuleSet"}}); err != nil {
		t.Fatal(err)
	}
	if code := c.again("shop", nil); code != "" {
		t.Errorf("every kind of rule, sent back: %s", code)
	}
	arn, err := c.aws.ARN(region, "REGIONAL", "shop")
	if err != nil {
		t.Fatal(err)
	}
	scope := fields{"Scope": "REGIONAL"}
	s := c.made("CreateIPSet", with(set("s", "192.0.2.0/24"), fields{"Description": "a set", "Tags": []fields{{"Key": "k", "Value": "v"}}}))
	g := c.made("CreateRuleGroup", group("g", 50, rule("a", 0, ref(s["ARN"]))))
	id := func(made fields) fields { return fields{"Name": made["Name"], "Scope": "REGIONAL", "Id": made["Id"]} }
	c.must("GetIPSet", id(s))
	c.must("GetRuleGroup", id(g))
	c.must("ListIPSets", scope)
	c.must("ListRuleGroups", scope)
	c.must("ListWebACLs", scope)
	c.must("CheckCapacity", with(scope, fields{"Rules": []fields{rule("a", 0, ref(s["ARN"]))}}))
	c.must("ListTagsForResource", fields{"ResourceARN": s["ARN"]})
	c.must("TagResource", fields{"ResourceARN": s["ARN"], "Tags": []fields{{"Key": "l", "Value": ""}}})
	c.must("UntagResource", fields{"ResourceARN": s["ARN"], "TagKeys": []string{"l"}})
	c.must("AssociateWebACL", fields{"WebACLArn": arn, "ResourceArn": loadBal})
	c.must("ListResourcesForWebACL", fields{"WebACLArn": arn, "ResourceType": "API_GATEWAY"})
	c.must("DisassociateWebACL", fields{"ResourceArn": loadBal})
	token := c.must("UpdateRuleGroup", with(id(g), fields{"LockToken": g["LockToken"], "VisibilityConfig": visible}))["NextLockToken"]
	c.must("DeleteRuleGroup", with(id(g), fields{"LockToken": token}))
	token = c.must("UpdateIPSet", with(id(s), fields{"LockToken": s["LockToken"], "Addresses": []string{}}))["NextLockToken"]
	c.must("DeleteIPSet", with(id(s), fields{"LockToken": token}))
	w := c.made("CreateWebACL", wall("w", rule("r", 0, geo)))
	c.must("DeleteWebACL", with(id(w), fields{"LockToken": w["LockToken"]}))
	if len(answered) < 20 {
		t.Errorf("only %d operations were judged", len(answered))
	}
	for name, x := range map[string]struct {
		op   string
		in   fields
		want string
	}{
		"a member that is missing":  {"ListIPSets", fields{}, "Scope is missing"},
		"a member that is unknown":  {"ListIPSets", with(scope, fields{"Page": 1}), "Page is unknown"},
		"a value that is unknown":   {"ListIPSets", fields{"Scope": "EARTH"}, `Scope: "EARTH" is none of`},
		"a number out of bounds":    {"ListIPSets", with(scope, fields{"Limit": 101}), "Limit: 101 is more than 100"},
		"a number that is none":     {"ListIPSets", with(scope, fields{"Limit": "1"}), "Limit: 1 is no integer"},
		"a pattern that is not met": {"CreateIPSet", with(set("s"), fields{"Description": "(x)"}), "Description: \"(x)\" is not like"},
		"a list that is empty":      {"CreateIPSet", with(set("s"), fields{"Tags": []fields{}}), "Tags: 0 is less than 1"},
		"deep inside":               {"CheckCapacity", with(scope, fields{"Rules": []fields{rule("a", 0, not(ref(7)))}}), "Rules[0].Statement.NotStatement.Statement.IPSetReferenceStatement.ARN: 7 is no string"},
	} {
		if out, code := c.call(x.op, x.in); code != "ValidationException" || !strings.Contains(out["Message"].(string), x.want) {
			t.Errorf("%s: %q %v, want %q", name, code, out["Message"], x.want)
		}
	}
}

// TestTheSeedKnowsEveryMember fails when the model has a kind of statement, of field or
// of action that SeedEverything lacks.
func TestTheSeedKnowsEveryMember(t *testing.T) {
	m := waftest.ReadModel(t)
	c := newClient(t, waftest.AWSOptions{})
	if err := c.aws.SeedEverything(region, "REGIONAL", "shop"); err != nil {
		t.Fatal(err)
	}
	raw, err := c.aws.Snapshot(region, "REGIONAL", "shop")
	if err != nil {
		t.Fatal(err)
	}
	for _, shape := range []string{"Statement", "FieldToMatch", "RateBasedStatementCustomKey", "ManagedRuleGroupConfig", "RuleAction", "OverrideAction", "Rule"} {
		for member := range m.Shapes[shape].Members {
			if !strings.Contains(string(raw["Rules"]), `"`+member+`":`) {
				t.Errorf("no rule has %s of %s", member, shape)
			}
		}
	}
	for member := range m.Shapes["UpdateWebACLRequest"].Members {
		if raw[member] == nil && member != "Scope" && member != "LockToken" {
			t.Errorf("the web acl lacks %s", member)
		}
	}
}
