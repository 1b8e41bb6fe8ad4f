package waftest_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

const region = "eu-west-1"

func group(name string, capacity int, rules ...fields) fields {
	if rules == nil {
		rules = []fields{}
	}
	return fields{"Name": name, "Scope": "REGIONAL", "Capacity": capacity, "VisibilityConfig": visible, "Rules": rules}
}

func or(statements ...fields) fields {
	return fields{"OrStatement": fields{"Statements": statements}}
}

func and(statements ...fields) fields {
	return fields{"AndStatement": fields{"Statements": statements}}
}

func not(statement fields) fields { return fields{"NotStatement": fields{"Statement": statement}} }

var geo = fields{"GeoMatchStatement": fields{"CountryCodes": []string{"DE"}}}

// overriding is a rule that refers to a rule group.
func overriding(name string, priority int, arn any, action string) fields {
	r := rule(name, priority, fields{"RuleGroupReferenceStatement": fields{"ARN": arn}})
	return with(r, fields{"Action": nil, "OverrideAction": fields{action: fields{}}})
}

func wall(name string, rules ...fields) fields {
	return fields{"Name": name, "Scope": "REGIONAL", "DefaultAction": fields{"Allow": fields{}}, "VisibilityConfig": visible, "Rules": rules}
}

// made returns the summary of what a Create call made.
func (c *client) made(op string, in fields) fields {
	c.t.Helper()
	return c.must(op, in)["Summary"].(map[string]any)
}

func (c *client) set(name string, addresses ...string) any {
	c.t.Helper()
	return c.made("CreateIPSet", set(name, addresses...))["ARN"]
}

func forwarded(arn any, position string) fields {
	return fields{"IPSetReferenceStatement": fields{"ARN": arn, "IPSetForwardedIPConfig": fields{
		"HeaderName": "X-Forwarded-For", "FallbackBehavior": "NO_MATCH", "Position": position,
	}}}
}

func TestRuleGroupsAreJudged(t *testing.T) {
	c := newClient(t, waftest.AWSOptions{})
	s := c.set("s", "192.0.2.0/24")
	other := c.made("CreateRuleGroup", group("other", 10))["ARN"]
	bodied := func(code int, key string, headers ...fields) fields {
		response := fields{"ResponseCode": code, "ResponseHeaders": headers}
		if key != "" {
			response["CustomResponseBodyKey"] = key
		}
		return with(rule("a", 0, geo), fields{"Action": fields{"Block": fields{"CustomResponse": response}}})
	}
	bodies := func(kind, content string) fields {
		return fields{"CustomResponseBodies": fields{"sorry": fields{"ContentType": kind, "Content": content}}}
	}
	long := string(slices.Repeat([]byte("x"), 4097))
	for _, x := range []struct {
		name string
		in   fields
		want string
	}{
		{"an empty one", group("g", 50), ""},
		{"no rules member", with(group("g", 50), fields{"Rules": nil}), ""},
		{"no capacity", with(group("g", 50), fields{"Capacity": nil}), "ValidationException"},
		{"no capacity worth the name", group("g", 0), "ValidationException"},
		{"more capacity than there is", group("g", 5001), "WAFInvalidParameterException"},
		{"no metric", with(group("g", 50), fields{"VisibilityConfig": nil}), "ValidationException"},
		{"a bad name", group("g g", 50), "ValidationException"},
		{"a bad description", with(group("g", 50), fields{"Description": "(x)"}), "ValidationException"},
		{"a name that is taken", group("other", 50), "WAFDuplicateItemException"},
		{"rules that fill it", group("g", 2, rule("a", 0, ref(s)), rule("b", 1, ref(s))), ""},
		{"rules that do not fit", group("g", 1, rule("a", 0, ref(s)), rule("b", 1, ref(s))), "WAFInvalidParameterException"},
		{"any of the forwarded addresses costs five", group("g", 5, rule("a", 0, forwarded(s, "ANY"))), ""},
		{"and not four", group("g", 4, rule("a", 0, forwarded(s, "ANY"))), "WAFInvalidParameterException"},
		{"the first one costs one", group("g", 1, rule("a", 0, forwarded(s, "FIRST"))), ""},
		{"a position that is not there", group("g", 50, rule("a", 0, forwarded(s, "SECOND"))), "WAFInvalidParameterException"},
		{"50 references", group("g", 50, rule("a", 0, or(slices.Repeat([]fields{ref(s)}, 50)...))), ""},
		{"51 references", group("g", 51, rule("a", 0, or(slices.Repeat([]fields{ref(s)}, 51)...))), "WAFLimitsExceededException"},
		{"50 references with one in a NOT", group("g", 50, rule("a", 0, and(or(slices.Repeat([]fields{ref(s)}, 49)...), not(ref(s))))), ""},
		{"a rule group in a rule group", group("g", 50, overriding("a", 0, other, "None")), "WAFInvalidParameterException"},
		{"an OR of one", group("g", 50, rule("a", 0, or(ref(s)))), "WAFInvalidParameterException"},
		{"a rate in an AND", group("g", 50, rule("a", 0, and(ref(s), fields{"RateBasedStatement": fields{"Limit": 100, "AggregateKeyType": "IP"}}))), "WAFInvalidParameterException"},
		{"a NOT of nothing", group("g", 50, rule("a", 0, fields{"NotStatement": fields{}})), "WAFInvalidParameterException"},
		{"an action of one's own", group("g", 50, with(rule("a", 0, geo), fields{"Action": fields{"Burn": fields{}}})), "WAFInvalidParameterException"},
		{"a custom response", with(group("g", 50, bodied(429, "sorry", fields{"Name": "x-a", "Value": "1"})), bodies("TEXT_PLAIN", "no")), ""},
		{"a body that is not there", group("g", 50, bodied(429, "sorry")), "WAFInvalidParameterException"},
		{"a body too long", with(group("g", 50), bodies("TEXT_PLAIN", long)), "WAFLimitsExceededException"},
		{"a body that is no JSON", with(group("g", 50), bodies("APPLICATION_JSON", "{")), "WAFInvalidParameterException"},
		{"a body of an unknown kind", with(group("g", 50), bodies("TEXT_XML", "no")), "ValidationException"},
		{"no bodies at all", with(group("g", 50), fields{"CustomResponseBodies": fields{}}), "ValidationException"},
		{"a response code of one's own", group("g", 50, bodied(418, "")), "WAFInvalidParameterException"},
		{"a content type by the back door", group("g", 50, bodied(429, "", fields{"Name": "Content-Type", "Value": "a/b"})), "WAFInvalidParameterException"},
		{"the same header twice", group("g", 50, bodied(429, "", fields{"Name": "a", "Value": "1"}, fields{"Name": "A", "Value": "2"})), "WAFInvalidParameterException"},
		{"a scope of one's own", with(group("g", 50), fields{"Scope": "EARTH"}), "ValidationException"},
	} {
		t.Run(x.name, func(t *testing.T) {
			if _, code := c.call("CreateRuleGroup", x.in); code != x.want {
				t.Errorf("code = %q, want %q", code, x.want)
			} else if code == "" {
				s := c.must("ListRuleGroups", fields{"Scope": "REGIONAL"})["RuleGroups"].([]any)[0].(map[string]any)
				c.must("DeleteRuleGroup", fields{"Name": "g", "Scope": "REGIONAL", "Id": s["Id"], "LockToken": s["LockToken"]})
			}
		})
	}
}

func TestARuleGroupsLife(t *testing.T) {
	c := newClient(t, waftest.AWSOptions{MaxGroups: 2})
	s := c.set("s", "192.0.2.0/24")
	made := c.made("CreateRuleGroup", with(group("g", 5, rule("a", 0, ref(s))), fields{
		"Description": "of mine", "Tags": []fields{{"Key": "k", "Value": "v"}}, "FutureSetting": fields{"B": 1, "A": 2},
	}))
	c.made("CreateRuleGroup", group("h", 5))
	if _, code := c.call("CreateRuleGroup", group("i", 5)); code != "WAFLimitsExceededException" {
		t.Errorf("over the account's quota: %q", code)
	}
	id := fields{"Name": "g", "Scope": "REGIONAL", "Id": made["Id"]}
	for name, in := range map[string]fields{"by name and id": id, "by ARN": {"ARN": made["ARN"]}} {
		got := c.must("GetRuleGroup", in)
		if inside := got["RuleGroup"].(map[string]any); inside["Capacity"] != 5.0 || inside["Description"] != "of mine" || inside["FutureSetting"] == nil ||
			inside["LabelNamespace"] != "awswaf:123456789012:rulegroup:g:" || got["LockToken"] != made["LockToken"] {
			t.Errorf("%s: %v", name, got)
		}
	}
	if _, code := c.call("GetRuleGroup", fields{"Name": "g", "Scope": "REGIONAL"}); code != "ValidationException" {
		t.Errorf("without an id: %q", code)
	}
	if raw := string(c.aws.Groups(region, "REGIONAL")["g"]["FutureSetting"]); raw != `{"A":2,"B":1}` {
		t.Errorf("a setting that nobody knows is kept as %s", raw)
	}
	listed := c.must("ListRuleGroups", fields{"Scope": "REGIONAL", "Limit": 1})
	first := listed["RuleGroups"].([]any)[0].(map[string]any)
	if first["LockToken"] != made["LockToken"] || first["Description"] != "of mine" || listed["NextMarker"] == nil {
		t.Errorf("listed as %v", listed)
	}
	update := with(id, fields{"LockToken": made["LockToken"], "VisibilityConfig": visible, "Rules": slices.Repeat([]fields{rule("a", 0, ref(s))}, 1)})
	if _, code := c.call("UpdateRuleGroup", with(update, fields{"LockToken": "x"})); code != "ValidationException" {
		t.Errorf("with a token that is none: %q", code)
	}
	if _, code := c.call("UpdateRuleGroup", with(update, fields{"Rules": []fields{rule("a", 0, or(slices.Repeat([]fields{ref(s)}, 6)...))}})); code != "WAFInvalidParameterException" {
		t.Errorf("more than was declared: %q", code)
	}
	next := c.must("UpdateRuleGroup", with(update, fields{"Capacity": 100}))["NextLockToken"]
	if _, code := c.call("UpdateRuleGroup", update); code != "WAFOptimisticLockException" {
		t.Errorf("with a stale token: %q", code)
	}
	inside := c.must("GetRuleGroup", id)["RuleGroup"].(map[string]any)
	if inside["Description"] != "" || inside["FutureSetting"] != nil || inside["Capacity"] != 5.0 {
		t.Errorf("after an update with nothing but rules: %v", inside)
	}
	tags := c.must("ListTagsForResource", fields{"ResourceARN": made["ARN"]})["TagInfoForResource"].(map[string]any)["TagList"]
	if diff := cmp.Diff([]any{map[string]any{"Key": "k", "Value": "v"}}, tags); diff != "" {
		t.Error(diff)
	}
	c.must("UpdateRuleGroup", with(id, fields{"LockToken": next, "VisibilityConfig": visible}))
	if rules := c.must("GetRuleGroup", id)["RuleGroup"].(map[string]any)["Rules"].([]any); len(rules) != 0 {
		t.Errorf("an update without rules leaves %v", rules)
	}
	if _, code := c.call("DeleteRuleGroup", with(id, fields{"LockToken": next})); code != "WAFOptimisticLockException" {
		t.Errorf("deleted with a stale token: %q", code)
	}
	again := c.must("GetRuleGroup", id)["LockToken"]
	c.must("DeleteRuleGroup", with(id, fields{"LockToken": again}))
	if _, code := c.call("GetRuleGroup", id); code != "WAFNonexistentItemException" {
		t.Errorf("after its deletion: %q", code)
	}
	if _, code := c.call("ListTagsForResource", fields{"ResourceARN": made["ARN"]}); code != "WAFNonexistentItemException" {
		t.Errorf("its tags: %q", code)
	}
}

func TestWhatARuleGroupHoldsTogether(t *testing.T) {
	c := newClient(t, waftest.AWSOptions{NotReady: 1})
	s := c.made("CreateIPSet", set("s", "192.0.2.0/24"))
	in := group("g", 1200, rule("a", 0, ref(s["ARN"])))
	for _, op := range []string{"CheckCapacity", "CreateRuleGroup"} {
		_, code := c.call(op, in)
		if want := map[string]string{"CheckCapacity": "WAFUnavailableEntityException"}[op]; code != want {
			t.Errorf("%s with a new set: %q, want %q", op, code, want)
		}
	}
	g := c.must("ListRuleGroups", fields{"Scope": "REGIONAL"})["RuleGroups"].([]any)[0].(map[string]any)
	if _, code := c.call("DeleteIPSet", fields{"Name": "s", "Scope": "REGIONAL", "Id": s["Id"], "LockToken": s["LockToken"]}); code != "WAFAssociatedItemException" {
		t.Errorf("deleting a set that a group refers to: %q", code)
	}
	w := wall("w", overriding("a", 0, g["ARN"], "None"))
	if _, code := c.call("CreateWebACL", w); code != "WAFUnavailableEntityException" {
		t.Errorf("with a new group: %q", code)
	}
	c.must("CreateWebACL", w)
	if raw, err := c.aws.Snapshot(region, "REGIONAL", "w"); err != nil || string(raw["Capacity"]) != "1200" {
		t.Errorf("a group costs what it declares: %s, %v", raw["Capacity"], err)
	}
	if _, code := c.call("DeleteRuleGroup", fields{"Name": "g", "Scope": "REGIONAL", "Id": g["Id"], "LockToken": g["LockToken"]}); code != "WAFAssociatedItemException" {
		t.Errorf("deleting a group that a web acl refers to: %q", code)
	}
	for name, x := range map[string]struct {
		rules []fields
		want  string
	}{
		"a group that is not there":         {[]fields{overriding("a", 0, "arn:aws:wafv2:eu-west-1:123456789012:regional/rulegroup/x/y", "None")}, "WAFNonexistentItemException"},
		"a set that is not there":           {[]fields{rule("a", 0, ref("arn:none"))}, "WAFNonexistentItemException"},
		"a group with an action":            {[]fields{with(overriding("a", 0, g["ARN"], "None"), fields{"OverrideAction": nil, "Action": fields{"Block": fields{}}})}, "WAFInvalidParameterException"},
		"a group in a NOT":                  {[]fields{rule("a", 0, not(fields{"RuleGroupReferenceStatement": fields{"ARN": g["ARN"]}}))}, "WAFInvalidParameterException"},
		"an override that is none":          {[]fields{overriding("a", 0, g["ARN"], "Allow")}, "WAFInvalidParameterException"},
		"more groups than capacity":         {slices.Collect(walls(g["ARN"], 5)), "WAFInvalidParameterException"},
		"as many groups as it has capacity": {slices.Collect(walls(g["ARN"], 4)), ""},
	} {
		if _, code := c.call("CreateWebACL", wall("x"+strconv.Itoa(len(x.want)+len(name)), x.rules...)); code != x.want {
			t.Errorf("%s: %q, want %q", name, code, x.want)
		}
	}
	if got := c.must("CheckCapacity", wall("", rule("a", 0, and(or(ref(s["ARN"]), forwarded(s["ARN"], "ANY")), not(ref(s["ARN"]))))))["Capacity"]; got != 7.0 {
		t.Errorf("capacity %v, want 7", got)
	}
	if _, code := c.call("CheckCapacity", fields{"Scope": "REGIONAL"}); code != "ValidationException" {
		t.Errorf("capacity of nothing: %q", code)
	}
}

func walls(arn any, n int) func(func(fields) bool) {
	return func(yield func(fields) bool) {
		for i := range n {
			if !yield(overriding(fmt.Sprint("r", i), i, arn, "None")) {
				return
			}
		}
	}
}

func TestWhatIsEnforced(t *testing.T) {
	a, b, out := ref("A"), ref("B"), ref("OUT")
	action := func(name string, r fields) fields { return with(r, fields{"Action": fields{name: fields{}}}) }
	for _, x := range []struct {
		name  string
		rules []fields
		want  []string // A is 192.0.2.0/30 and 198.51.100.7, B 203.0.113.0/24 and 198.51.100.7, OUT 192.0.2.1, 198.51.100.7 and 203.0.112.0/23
	}{
		{"one set", []fields{rule("r", 0, a)}, []string{"192.0.2.0/30", "198.51.100.7/32"}},
		{"either set", []fields{rule("r", 0, or(a, b))}, []string{"192.0.2.0/30", "198.51.100.7/32", "203.0.113.0/24"}},
		{"two rules", []fields{rule("r", 0, a), rule("s", 1, b)}, []string{"192.0.2.0/30", "198.51.100.7/32", "203.0.113.0/24"}},
		{"both sets", []fields{rule("r", 0, and(a, b))}, []string{"198.51.100.7/32"}},
		{"both sets, of which one is wider", []fields{rule("r", 0, and(out, or(a, b)))}, []string{"192.0.2.1/32", "198.51.100.7/32", "203.0.113.0/24"}},
		{"either but the exceptions", []fields{rule("r", 0, and(or(a, b), not(out)))}, []string{"192.0.2.0/32", "192.0.2.2/31"}},
		{"an exception wins in one rule only", []fields{rule("r", 0, and(a, not(out))), rule("s", 1, b)}, []string{"192.0.2.0/32", "192.0.2.2/31", "198.51.100.7/32", "203.0.113.0/24"}},
		{"not not", []fields{rule("r", 0, not(not(a)))}, []string{"192.0.2.0/30", "198.51.100.7/32"}},
		{"not either of not and", []fields{rule("r", 0, not(or(not(a), not(b))))}, []string{"198.51.100.7/32"}},
		{"what is left of the exceptions", []fields{rule("r", 0, not(or(not(out), a)))}, []string{"203.0.112.0/23"}},
		{"a country too", []fields{rule("r", 0, and(a, geo))}, nil},
		{"or a country", []fields{rule("r", 0, or(a, geo))}, []string{"192.0.2.0/30", "198.51.100.7/32"}},
		{"but a country", []fields{rule("r", 0, and(a, not(geo)))}, nil},
		{"counted", []fields{action("Count", rule("r", 0, a))}, nil},
		{"allowed", []fields{action("Allow", rule("r", 0, a))}, nil},
		{"challenged", []fields{action("Challenge", rule("r", 0, a))}, []string{"192.0.2.0/30", "198.51.100.7/32"}},
		{"asked", []fields{action("Captcha", rule("r", 0, a))}, []string{"192.0.2.0/30", "198.51.100.7/32"}},
		{"but what two other sets share", []fields{rule("r", 0, and(a, not(and(b, out))))}, []string{"192.0.2.0/30"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := newClient(t, waftest.AWSOptions{})
			arns := map[string]any{
				"A": c.set("a", "192.0.2.0/30", "198.51.100.7/32"), "B": c.set("b", "203.0.113.0/24", "198.51.100.7/32"),
				"OUT": c.set("out", "192.0.2.1/32", "198.51.100.7/32", "203.0.112.0/23"),
			}
			g := c.made("CreateRuleGroup", group("g", 50, named(x.rules, arns)...))["ARN"]
			c.must("CreateWebACL", wall("direct", named(x.rules, arns)...))
			c.must("CreateWebACL", wall("grouped", overriding("ours", 5, g, "None")))
			c.must("CreateWebACL", wall("counting", overriding("ours", 5, g, "Count")))
			muted := overriding("ours", 5, g, "None")
			muted["Statement"] = fields{"RuleGroupReferenceStatement": fields{"ARN": g, "RuleActionOverrides": []fields{
				{"Name": "r", "ActionToUse": fields{"Count": fields{}}}, {"Name": "s", "ActionToUse": fields{"Count": fields{}}},
			}}}
			c.must("CreateWebACL", wall("muted", muted))
			for w, want := range map[string][]string{"direct": x.want, "grouped": x.want, "counting": nil, "muted": nil} {
				if diff := cmp.Diff(want, texts(c.aws.Enforced(region, "REGIONAL", w))); diff != "" {
					t.Errorf("%s (-want +got):\n%s", w, diff)
				}
			}
			if diff := cmp.Diff(x.want, texts(c.aws.EnforcedIn(region, "REGIONAL", "g"))); diff != "" {
				t.Errorf("the group (-want +got):\n%s", diff)
			}
			for _, addr := range []string{"192.0.2.0", "192.0.2.1", "192.0.2.3", "192.0.2.4", "198.51.100.7", "203.0.113.9", "203.0.112.9", "2001:db8::1"} {
				direct, _, err := c.aws.Evaluate(region, "REGIONAL", "direct", netip.MustParseAddr(addr))
				inGroup, by, err2 := c.aws.Evaluate(region, "REGIONAL", "grouped", netip.MustParseAddr(addr))
				blocked := slices.ContainsFunc(x.want, func(p string) bool { return netip.MustParsePrefix(p).Contains(netip.MustParseAddr(addr)) })
				if err != nil || err2 != nil || direct != inGroup || (direct != "Allow") != blocked || blocked && by == "" {
					t.Errorf("%s: %s directly, %s by %q in a group; want blocked %t", addr, direct, inGroup, by, blocked)
				}
			}
		})
	}
	if got := newClient(t, waftest.AWSOptions{}).aws.EnforcedIn(region, "REGIONAL", "none"); got != nil {
		t.Errorf("a group that is not there enforces %v", got)
	}
}

// named puts ARNs in the place of the names of IP sets.
func named(rules []fields, arns map[string]any) []fields {
	var replace func(v any) any
	replace = func(v any) any {
		switch v := v.(type) {
		case fields:
			out := fields{}
			for key, one := range v {
				if arn, ok := arns[fmt.Sprint(one)]; ok && key == "ARN" {
					out[key] = arn
				} else {
					out[key] = replace(one)
				}
			}
			return out
		case []fields:
			out := make([]fields, len(v))
			for i, one := range v {
				out[i] = replace(one).(fields)
			}
			return out
		}
		return v
	}
	return replace(rules).([]fields)
}

func texts(list []netip.Prefix) (out []string) {
	for _, p := range list {
		out = append(out, p.String())
	}
	return out
}
