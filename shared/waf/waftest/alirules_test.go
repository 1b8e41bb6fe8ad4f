package waftest_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func blacklist(name string, status int, list ...string) map[string]any {
	return map[string]any{"name": name, "action": "block", "status": status, "remoteAddr": list}
}

func having(rule map[string]any, field string, value any) map[string]any {
	next := map[string]any{field: value}
	for name, v := range rule {
		if name != field {
			next[name] = v
		}
	}
	if value == nil {
		delete(next, field)
	}
	return next
}

func TestABlacklistRuleIsReplacedWhole(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{Form: waftest.WithBits})
	a.SeedObjects("shop")
	template := a.template("ip_blacklist", "tracewall-a", "user_default")
	ids := text(a.must("CreateDefenseRule", map[string]any{
		"DefenseScene": "ip_blacklist", "TemplateId": template,
		"Rules": rules(t, blacklist("tracewall-001", 1, "192.0.2.1"), blacklist("tracewall-002", 1, "198.51.100.0/24", "2001:db8::1")),
	})["RuleIds"])
	a.enforces("192.0.2.1/32 198.51.100.0/24 2001:db8::1/128", waftest.ByBlacklist)
	first, second, _ := strings.Cut(ids, ",")
	changed := having(having(blacklist("tracewall-001", 0, "192.0.2.2", "192.0.2.3"), "id", json.Number(first)), "action", "monitor")
	a.must("ModifyDefenseRule", map[string]any{"DefenseScene": "ip_blacklist", "TemplateId": template, "Rules": rules(t, changed)})
	a.enforces("198.51.100.0/24 2001:db8::1/128")
	if got := spelling(a.Observed()); got != "192.0.2.2/32 192.0.2.3/32" {
		t.Errorf("observed %q", got)
	}
	rule := a.must("DescribeDefenseRule", map[string]any{"TemplateId": template, "RuleId": first})["Rule"].(map[string]any)
	if want := `{"action":"monitor","name":"tracewall-001","remoteAddr":["192.0.2.2/32","192.0.2.3/32"]}`; rule["Config"] != want || text(rule["Status"]) != "1" {
		t.Errorf("rule %v, want config %s, and status 1: it is for creation only", rule, want)
	}
	a.must("ModifyDefenseRuleStatus", map[string]any{"TemplateId": template, "RuleId": second, "RuleStatus": 0})
	a.enforces("")
	a.must("DeleteDefenseRule", map[string]any{"TemplateId": template, "RuleIds": ids})
	if left := a.must("DescribeDefenseRules", map[string]any{"Query": `{"scene":"ip_blacklist"}`}); text(left["TotalCount"]) != "0" {
		t.Errorf("left: %v", left)
	}
}

func TestRulesRefuse(t *testing.T) {
	literal := func(op, values string) []map[string]any {
		return []map[string]any{{"key": "IP", "opValue": op, "values": values}}
	}
	custom := map[string]any{"name": "tracewall-a", "origin": "custom", "action": "block", "status": 1, "ccStatus": 0, "conditions": literal("contain", "192.0.2.1")}
	white := map[string]any{"name": "office", "status": 1, "tags": []string{"customrule"}, "conditions": literal("contain", "192.0.2.1")}
	black := blacklist("tracewall-b", 1, "192.0.2.1")
	for _, tc := range []struct {
		name, scene string
		rules       string
		want        string
	}{
		{"what is no JSON", "ip_blacklist", "x", "InvalidParameter.Rules"},
		{"no rule", "ip_blacklist", "[]", "InvalidParameter.Rules"},
		{"a name with a blank", "ip_blacklist", rules(t, having(black, "name", "trace wall")), "Defense.Control.DefenseRuleNameInvalid"},
		{"no name", "ip_blacklist", rules(t, having(black, "name", nil)), "InvalidParameter.Rules"},
		{"no status", "ip_blacklist", rules(t, having(black, "status", nil)), "InvalidParameter.Rules"},
		{"an action that there is not", "ip_blacklist", rules(t, having(black, "action", "captcha")), "InvalidParameter.Rules"},
		{"a field that there is not", "ip_blacklist", rules(t, having(black, "description", "x")), "InvalidParameter.Rules"},
		{"an id", "ip_blacklist", rules(t, having(black, "id", 1)), "InvalidParameter.Rules"},
		{"no address", "ip_blacklist", rules(t, having(black, "remoteAddr", []string{})), "Defense.Control.DefenseIpBlacklistIpEmpty"},
		{"what is no address", "ip_blacklist", rules(t, having(black, "remoteAddr", []string{"192.0.2.300"})), "Defense.Control.DefenseIpBlacklistIpInvalid"},
		{"an address twice", "ip_blacklist", rules(t, having(black, "remoteAddr", []string{"192.0.2.3", "192.0.2.3/32"})), "Defense.Control.DefenseIpBlacklistIpInvalid"},
		{"too many addresses", "ip_blacklist", rules(t, having(black, "remoteAddr", dozens(4))), "AclIpCountOverLimit"},
		{"too many rules", "ip_blacklist", rules(t, black, black, black), "Defense.Control.DefenseRuleCountOverSize"},
		{"one bad rule of two", "ip_blacklist", rules(t, black, having(black, "remoteAddr", []string{"x"})), "Defense.Control.DefenseIpBlacklistIpInvalid"},
		{"a rule of another scene", "custom_acl", rules(t, black), "InvalidParameter.Rules"},
		{"no conditions", "custom_acl", rules(t, having(custom, "conditions", []any{})), "Defense.Control.DefenseRuleConditionValueInvalid"},
		{"value for values", "custom_acl", rules(t, having(custom, "conditions", []map[string]any{{"key": "IP", "opValue": "contain", "value": "192.0.2.1"}})), "Defense.Control.DefenseRuleConditionValueInvalid"},
		{"value beside values", "custom_acl", rules(t, having(custom, "conditions", []map[string]any{{"key": "IP", "opValue": "contain", "values": "192.0.2.1", "value": "192.0.2.1"}})), "Defense.Control.DefenseRuleConditionValueInvalid"},
		{"an operator that IP does not know", "custom_acl", rules(t, having(custom, "conditions", literal("prefix-match", "192.0.2.1"))), "Defense.Control.DefenseRuleConditionValueInvalid"},
		{"an address book that there is not", "custom_acl", rules(t, having(custom, "conditions", literal("in-list", "7"))), "Defense.Control.DefenseRuleConditionValueInvalid"},
		{"an address that is none", "custom_acl", rules(t, having(custom, "conditions", literal("contain", "shop"))), "Defense.Control.DefenseRuleConditionValueInvalid"},
		{"too many literal addresses", "custom_acl", rules(t, having(custom, "conditions", literal("contain", strings.Join(dozens(4), ",")))), "AclIpCountOverLimit"},
		{"no ccStatus", "custom_acl", rules(t, having(custom, "ccStatus", nil)), "InvalidParameter.Rules"},
		{"no origin", "custom_acl", rules(t, having(custom, "origin", nil)), "InvalidParameter.Rules"},
		{"a whitelist rule that spares nothing", "whitelist", rules(t, having(white, "tags", []string{})), "Defense.Control.DefenseWhitelistBypassTagInvalid"},
		{"a good rule of the blacklist", "ip_blacklist", rules(t, black, black), ""},
		{"a good custom rule", "custom_acl", rules(t, custom), ""},
		{"a good rule of the whitelist", "whitelist", rules(t, white), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := startAli(t, waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{BlacklistAddresses: 3, BlacklistRules: 2, ACLAddresses: 3}})
			a.SeedObjects("shop")
			template := a.template(tc.scene, "tracewall-a", "user_default")
			params := map[string]any{"DefenseScene": tc.scene, "TemplateId": template, "Rules": tc.rules}
			if _, code := a.waf("CreateDefenseRule", params); code != tc.want {
				t.Errorf("code %q, want %q", code, tc.want)
			}
			if tc.want != "" {
				a.enforces("")
				if n := len(a.Rules(a.Templates(tc.scene)[0].ID)); n != 0 {
					t.Errorf("%d rules were made, want none", n)
				}
			}
		})
	}
}

func TestRulesAreFoundWhereTheyAre(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{})
	black, custom := a.template("ip_blacklist", "tracewall-b", "user_default"), a.template("custom_acl", "tracewall-c", "user_custom")
	rule := text(a.must("CreateDefenseRule", map[string]any{"DefenseScene": "ip_blacklist", "TemplateId": black, "Rules": rules(t, blacklist("tracewall-001", 1, "192.0.2.1"))})["RuleIds"])
	for _, tc := range []struct {
		name, action string
		params       map[string]any
		want         string
	}{
		{"a template that there is not", "DescribeDefenseTemplate", map[string]any{"TemplateId": 7}, "Defense.Control.DefenseTemplateNotExist"},
		{"a rule that there is not", "DescribeDefenseRule", map[string]any{"TemplateId": black, "RuleId": 7}, "Defense.Control.DefenseRuleNotExist"},
		{"a rule in another template", "DescribeDefenseRule", map[string]any{"TemplateId": custom, "RuleId": rule}, "Defense.Control.DefenseRuleNotExist"},
		{"a rule that is no address book", "DescribeDefenseRule", map[string]any{"DefenseType": "global", "RuleId": rule}, "Defense.Control.DefenseRuleNotExist"},
		{"a rule without its template", "DeleteDefenseRule", map[string]any{"RuleIds": rule}, "MissingTemplateId"},
		{"two rules of which one is not there", "DeleteDefenseRule", map[string]any{"TemplateId": black, "RuleIds": rule + ",7"}, "Defense.Control.DefenseRuleNotExist"},
		{"a change of another scene's rule", "ModifyDefenseRule", map[string]any{"DefenseScene": "custom_acl", "TemplateId": black, "Rules": "[{}]"}, "InvalidParameter.DefenseScene"},
		{"a change without the rule's id", "ModifyDefenseRule", map[string]any{"TemplateId": black, "Rules": rules(t, blacklist("tracewall-001", 1, "192.0.2.1"))}, "InvalidParameter.Rules"},
		{"a change of a rule that there is not", "ModifyDefenseRule", map[string]any{"TemplateId": black, "Rules": rules(t, having(blacklist("tracewall-001", 1, "192.0.2.1"), "id", 7))}, "Defense.Control.DefenseRuleNotExist"},
		{"a query that is no JSON", "DescribeDefenseRules", map[string]any{"Query": "scene=x"}, "InvalidParameter.Query"},
		{"a query for what there is not", "DescribeDefenseRules", map[string]any{"Query": `{"template_id":1}`}, "InvalidParameter.Query"},
		{"a scene as RuleType", "DescribeDefenseRules", map[string]any{"RuleType": "custom_acl"}, "InvalidParameter.RuleType"},
		{"a page that is too long", "DescribeDefenseRules", map[string]any{"PageSize": 101}, "InvalidParameter.PageSize"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, code := a.waf(tc.action, tc.params); code != tc.want {
				t.Errorf("code %q, want %q", code, tc.want)
			}
		})
	}
	if n := len(a.Rules(a.Templates("ip_blacklist")[0].ID)); n != 1 {
		t.Errorf("%d rules are left, want 1", n)
	}
}

func TestWhitelistRulesAreListedOnlyOnRequest(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{})
	a.SeedObjects("shop")
	template := a.SeedTemplate(waftest.AlibabaTemplate{Scene: "whitelist", Name: "office", Default: true})
	if _, err := a.SeedRule(waftest.AlibabaRule{Template: template, Name: "office", Config: `{"tags":["customrule","blacklist"],"conditions":[{"key":"IP","opValue":"contain","values":"192.0.2.0/24"}]}`}); err != nil {
		t.Fatal(err)
	}
	query := fmt.Sprintf(`{"scene":"whitelist","templateId":%d}`, template)
	for rules, want := range map[string]string{"": "0", "defense": "0", "whitelist": "1"} {
		params := map[string]any{"Query": query}
		if rules != "" {
			params["RuleType"] = rules
		}
		if got := text(a.must("DescribeDefenseRules", params)["TotalCount"]); got != want {
			t.Errorf("RuleType %q: %s rules, want %s", rules, got, want)
		}
	}
	book, _, _ := a.book("tracewall-a")
	a.must("AddAddress", map[string]any{"RuleId": book, "AddressList": []string{"192.0.2.4"}})
	a.enforces("192.0.2.4/32") // the whitelist is told, not taken away
	if said := a.Spared(); len(said) != 1 || said[0] != `whitelist rule office spares 192.0.2.0/24 from ["customrule","blacklist"]` {
		t.Errorf("spared %q", said)
	}
}

func TestRulesComeInPages(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{})
	template := a.template("ip_blacklist", "tracewall-b", "user_default")
	var sent []map[string]any
	for i := range 25 {
		sent = append(sent, blacklist(fmt.Sprintf("tracewall-%03d", i), 1, fmt.Sprintf("192.0.2.%d", i)))
	}
	a.must("CreateDefenseRule", map[string]any{"DefenseScene": "ip_blacklist", "TemplateId": template, "Rules": rules(t, sent...)})
	seen := map[string]bool{}
	for page, want := range map[int]int{1: 10, 2: 10, 3: 5, 4: 0} {
		answer := a.must("DescribeDefenseRules", map[string]any{"Query": `{"scene":"ip_blacklist","templateId":` + template + `}`, "PageNumber": page})
		list := answer["Rules"].([]any)
		if len(list) != want || text(answer["TotalCount"]) != "25" {
			t.Errorf("page %d: %d of %v, want %d of 25", page, len(list), answer["TotalCount"], want)
		}
		for _, r := range list {
			seen[text(r.(map[string]any)["RuleId"])] = true
		}
	}
	if len(seen) != 25 {
		t.Errorf("%d rules in all pages, want 25", len(seen))
	}
}
