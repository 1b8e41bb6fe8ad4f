package awswaf_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
)

const (
	setID = "0b5e1c52-2d5b-4a6f-8a55-0a1b2c3d4e5f"
	ipSet = "arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/bad-ones/" + setID
	role  = "arn:aws:iam::210987654321:role/security/tracewall"
)

// guarded has what every parsed target has unless it says otherwise.
func guarded(t awswaf.Target) awswaf.Target {
	t.Drift, t.MaxRelease, t.MaxAdd = awswaf.DriftRepair, waf.DefaultMaxRelease, waf.DefaultMaxAdd
	return t
}

func TestParseTargetsInEveryMode(t *testing.T) {
	cdnSet := "arn:aws:wafv2:us-east-1:210987654321:global/ipset/Bad_Ones/" + setID
	got, err := awswaf.ParseTargets(`[
		{"name":"all","region":"eu-west-1","web_acl":"shop","action":"block","priority":"first","set_size":9000,
		 "role_arn":"` + role + `","external_id":"shop-7:a@b","logged_from":"X-Real-IP","sync":"observe","drift":"report","max_release":1,"max_add":1000,"ip_set_quota":500,
		 "response":{"code":429,"body":"{\"slow\":\"down\"}","content_type":"APPLICATION_JSON","headers":{"Retry-After":"3600","x-why":"ß"}},
		 "forwarded":{"header":"X-Forwarded-For","position":"ANY","fallback":"MATCH"}},
		{"name":"group","region":"cn-north-1","mode":"rule-group","groups":20,"action":"challenge","role_arn":"arn:aws-cn:iam::210987654321:role/t"},
		{"name":"seen","region":"eu-west-1","mode":"rule-group","web_acl":"shop","action":"captcha"},
		{"name":"sets","region":"eu-west-1","mode":"ip-set","ip_sets":["` + ipSet + `","` + strings.Replace(ipSet, "bad", "worse", 1) + `"]},
		{"name":"cdn","scope":"CLOUDFRONT","mode":"ip-set","ip_sets":["` + cdnSet + `"],"set_size":100,"role_arn":"` + role + `"},
		{"name":"short","region":"eu-west-1","web_acl":"blog","priority":"last","logged_from":"connection",
		 "response":{"code":403,"body":"no"},"forwarded":{"header":"CF-Connecting-IP","position":"LAST"}},
		{"name":"else","region":"eu-west-1","web_acl":"shop"},
		{"name":"far","region":"eu-central-1","web_acl":"shop","response":{"code":404}}]`)
	if err != nil {
		t.Fatal(err)
	}
	want := []awswaf.Target{
		{
			Name: "all", Region: "eu-west-1", Scope: "REGIONAL", Mode: "web-acl", WebACL: "shop", Action: "block", Position: "first", SetSize: 9000,
			RoleARN: role, ExternalID: "shop-7:a@b", LoggedFrom: "X-Real-IP", Sync: "observe", Drift: "report", MaxRelease: 1, MaxAdd: 1000, IPSetQuota: 500,
			Response: &awswaf.Response{
				Code: 429, Body: `{"slow":"down"}`, ContentType: "APPLICATION_JSON",
				Headers: map[string]string{"Retry-After": "3600", "x-why": "ß"},
			},
			Forwarded: &awswaf.Forwarded{Header: "X-Forwarded-For", Position: "ANY", Fallback: "MATCH"},
		},
		guarded(awswaf.Target{
			Name: "group", Region: "cn-north-1", Scope: "REGIONAL", Mode: "rule-group", Groups: 20, Action: "challenge", SetSize: 5000,
			RoleARN: "arn:aws-cn:iam::210987654321:role/t",
		}),
		guarded(awswaf.Target{Name: "seen", Region: "eu-west-1", Scope: "REGIONAL", Mode: "rule-group", Groups: 1, WebACL: "shop", Action: "captcha", SetSize: 5000}),
		guarded(awswaf.Target{
			Name: "sets", Region: "eu-west-1", Scope: "REGIONAL", Mode: "ip-set", SetSize: 10_000,
			IPSets: []string{ipSet, strings.Replace(ipSet, "bad", "worse", 1)},
		}),
		guarded(awswaf.Target{Name: "cdn", Region: "us-east-1", Scope: "CLOUDFRONT", Mode: "ip-set", SetSize: 100, IPSets: []string{cdnSet}, RoleARN: role}),
		guarded(awswaf.Target{
			Name: "short", Region: "eu-west-1", Scope: "REGIONAL", Mode: "web-acl", WebACL: "blog", Action: "block", Position: "last", SetSize: 5000,
			LoggedFrom: "connection", Response: &awswaf.Response{Code: 403, Body: "no", ContentType: "TEXT_PLAIN"},
			Forwarded: &awswaf.Forwarded{Header: "CF-Connecting-IP", Position: "LAST", Fallback: "NO_MATCH"},
		}),
		guarded(awswaf.Target{Name: "else", Region: "eu-west-1", Scope: "REGIONAL", Mode: "web-acl", WebACL: "shop", Action: "block", Priority: 101, SetSize: 5000}),
		guarded(awswaf.Target{
			Name: "far", Region: "eu-central-1", Scope: "REGIONAL", Mode: "web-acl", WebACL: "shop", Action: "block", Priority: 101, SetSize: 5000,
			Response: &awswaf.Response{Code: 404},
		}),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, target := range got { // a Target made in code is judged alike, and comes out the same
		f, err := awswaf.New(aws.Config{}, target)
		if err != nil {
			t.Errorf("%s: %v", target.Name, err)
			continue
		}
		if diff := cmp.Diff(target, f.Target()); diff != "" {
			t.Error(diff)
		}
	}
}

func TestEveryProblemOfAField(t *testing.T) {
	const (
		head  = `"name":"edge","region":"eu-west-1"`
		acl   = head + `,"web_acl":"shop",`
		sets  = head + `,"mode":"ip-set",`
		group = head + `,"mode":"rule-group",`
	)
	long := strings.Repeat("x", 4097)
	for _, c := range []struct {
		fields string
		want   []string // each a part of one problem; one problem each
	}{
		{acl + `"action":"Block"`, []string{`action "Block": want block, count, challenge or captcha`}},
		{acl + `"priority":"middle"`, []string{`priority "middle": want a whole number from 0 to 1000000000, "first" or "last"`}},
		{acl + `"priority":null`, []string{`priority "null": want a whole number`}},
		{acl + `"priority":1000000001`, []string{`priority "1000000001"`}},
		{acl + `"priority":5000000000`, []string{`priority "5000000000"`}},
		{acl + `"groups":2`, []string{`groups "2": want nothing: only mode rule-group`}},
		{acl + `"ip_sets":[]`, []string{`ip_sets "[]": want nothing: only mode ip-set`}},
		{acl + `"drift":"ignore"`, []string{`drift "ignore": want repair or report`}},
		{acl + `"max_release":0`, []string{`max_release "0": want a whole number from 1 to 100`}},
		{acl + `"max_release":101`, []string{`max_release "101"`}},
		{acl + `"max_add":0,"ip_set_quota":0`, []string{`max_add "0"`, `ip_set_quota "0"`}},
		{acl + `"logged_from":"x forwarded for"`, []string{`logged_from "x forwarded for": want "connection" or the name of a header`}},
		{acl + `"logged_from":"` + strings.Repeat("x", 256) + `"`, []string{`logged_from`}},
		{acl + `"logged_from":""`, []string{`logged_from ""`}},
		{acl + `"external_id":"x-7"`, []string{`external_id "\"x-7\"": want nothing: it goes with role_arn`}},
		{acl + `"role_arn":"` + role + `","external_id":"x"`, []string{`external_id "x": want 2 to 1224`}},
		{acl + `"role_arn":"` + role + `","external_id":"a b"`, []string{`external_id "a b"`}},
		{acl + `"role_arn":"tracewall"`, []string{`role_arn "tracewall": want a role such as arn:aws:iam::`}},
		{acl + `"role_arn":"arn:aws:iam::210987654321:user/tracewall"`, []string{`role_arn`}},
		{acl + `"role_arn":"arn:aws-cn:iam::210987654321:role/tracewall"`, []string{`want a role in aws, where the region is`}},

		{group + `"groups":0`, []string{`groups "0": want a whole number from 1 to 20`}},
		{group + `"groups":21`, []string{`groups "21"`}},
		{group + `"priority":5`, []string{`priority "5": want nothing: in mode rule-group`}},
		{group + `"priority":"first"`, []string{`priority "\"first\"": want nothing`}},
		{group + `"web_acl":"a b"`, []string{`web_acl "a b"`}},
		{group + `"ip_sets":["` + ipSet + `"]`, []string{`want nothing: only mode ip-set`}},

		{sets + `"action":"count"`, []string{`action "\"count\"": want nothing: in mode ip-set the rule`, "ip_sets is missing: want an array of IP set ARNs"}},
		{
			sets + `"ip_sets":["` + ipSet + `"],"web_acl":"shop","priority":5,"response":{"code":9},"forwarded":1,"groups":1`,
			[]string{`groups "1"`, `web_acl "\"shop\""`, `priority "5"`, `response "{\"code\":9}"`, `forwarded "1"`},
		},
		{sets + `"ip_sets":"` + ipSet + `"`, []string{`want an array of IP set ARNs`}},
		{sets + `"ip_sets":[]`, []string{`ip_sets "[]": want an array`}},
		{sets + `"ip_sets":null`, []string{`ip_sets "null": want an array`}},
		{sets + `"ip_sets":["` + ipSet + `",7,"x"]`, []string{`ip_sets[1] "7": want a string`, `ip_sets[2] "x": want the ARN of an IP set`}},
		{sets + `"ip_sets":["` + ipSet + `","` + ipSet + `"]`, []string{`ip_sets[1] "` + ipSet[:80] + `…": want each IP set only once`}},
		{sets + `"ip_sets":["` + strings.Replace(ipSet, "ipset", "webacl", 1) + `"]`, []string{`want the ARN of an IP set`}},
		{sets + `"ip_sets":["` + strings.Replace(ipSet, setID, "7", 1) + `"]`, []string{`want the ARN of an IP set`}},
		{sets + `"ip_sets":["` + strings.Replace(ipSet, "regional", "global", 1) + `"]`, []string{`want a regional IP set`}},
		{sets + `"ip_sets":["` + strings.Replace(ipSet, "eu-west-1", "eu-west-2", 1) + `"]`, []string{`want an IP set in eu-west-1`}},
		{sets + `"ip_sets":["` + strings.Replace(ipSet, ":aws:", ":aws-cn:", 1) + `"]`, []string{`want an ARN that begins with arn:aws:`}},
		{sets + `"ip_sets":["` + ipSet + `","` + strings.Replace(ipSet, "123456789012", "210987654321", 1) + `"]`, []string{`want an IP set in account 123456789012`}},
		{sets + `"role_arn":"` + role + `","ip_sets":["` + ipSet + `"]`, []string{`want an IP set in account 210987654321`}},
		{`"name":"edge","scope":"CLOUDFRONT","mode":"ip-set","ip_sets":["` + strings.Replace(ipSet, "eu-west-1", "us-east-1", 1) + `"]`, []string{`want a global IP set`}},

		{acl + `"response":null`, []string{`response "null": want an object`}},
		{acl + `"response":{}`, []string{`response.code is missing: want one of 200 201`}},
		{acl + `"response":{"code":418}`, []string{`response.code "418": want one of 200 201`}},
		{acl + `"response":{"code":"403"}`, []string{`response.code "\"403\""`}},
		{acl + `"response":{"code":403.0}`, []string{`response.code "403.0"`}},
		{acl + `"response":{"code":403,"colour":1}`, []string{`key "response.colour": want one of code, body, content_type, headers`}},
		{acl + `"response":{"code":403,"code":404}`, []string{`key "response.code": want it only once`}},
		{acl + `"response":{"code":403,"body":""}`, []string{`response.body "": want 1 to 4096 bytes`}},
		{acl + `"response":{"code":403,"body":"` + long + `"}`, []string{`want 1 to 4096 bytes`}},
		{acl + `"response":{"code":403,"body":"x","content_type":"text/html"}`, []string{`response.content_type "text/html": want TEXT_PLAIN, TEXT_HTML or APPLICATION_JSON`}},
		{acl + `"response":{"code":403,"body":"{x","content_type":"APPLICATION_JSON"}`, []string{`response.body "{x": want JSON`}},
		{acl + `"response":{"code":403,"content_type":"TEXT_HTML"}`, []string{`response.content_type "\"TEXT_HTML\"": want nothing: it goes with body`}},
		{acl + `"response":{"code":403,"headers":{}}`, []string{`response.headers "{}": want an object of 1 to 10`}},
		{acl + `"response":{"code":403,"headers":["a"]}`, []string{`response.headers "[\"a\"]": want an object`}},
		{acl + `"response":{"code":403,"headers":{` + numbered(11) + `}}`, []string{`want an object of 1 to 10`}},
		{
			acl + `"response":{"code":403,"headers":{"a b":"c","Content-Type":"d","x":"","y":"a\nb","z":1,"w":"` + strings.Repeat("w", 256) + `"}}`,
			[]string{`key "response.headers.Content-Type"`, `key "response.headers.a b"`, `response.headers.w "w`, `response.headers.x ""`, `response.headers.y "a\nb"`, `response.headers.z "1": want a string`},
		},
		{acl + `"response":{"code":403,"headers":{"X-A":"1","x-a":"2"}}`, []string{`key "response.headers.x-a": want another header than X-A`}},
		{acl + `"response":{"code":403,"headers":{"x-a":"1","x-a":"2"}}`, []string{`key "response.headers.x-a": want it only once`}},
		{acl + `"action":"challenge","response":{"code":403}`, []string{`response "{\"code\":403}": want nothing: only action block answers by itself, and the action is challenge`}},

		{acl + `"forwarded":"X-Forwarded-For"`, []string{`forwarded "\"X-Forwarded-For\"": want an object`}},
		{acl + `"forwarded":{}`, []string{`forwarded.header is missing`, `forwarded.position is missing: want FIRST, LAST or ANY`}},
		{
			acl + `"forwarded":{"header":"x_real_ip","position":"last","fallback":"BLOCK","depth":1}`,
			[]string{`key "forwarded.depth": want one of header, position, fallback`, `forwarded.header "x_real_ip"`, `forwarded.position "last"`, `forwarded.fallback "BLOCK": want NO_MATCH or MATCH`},
		},
		{acl + `"name":"edge"`, []string{`key "name": want it only once`}},
		{acl + `"Priority":1`, []string{`key "Priority": want one of name`}},
	} {
		_, err := awswaf.ParseTargets("[{" + strings.TrimSuffix(c.fields, ",") + "}]")
		if err == nil {
			t.Errorf("%s: no error, want %q", c.fields, c.want)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(c.want) {
			t.Errorf("%s: %d problems, want %d:\n%v", c.fields, len(lines), len(c.want), err)
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(lines[i], want) || !strings.HasPrefix(lines[i], "targets: target 1: ") {
				t.Errorf("%s:\n got %s\nwant %s", c.fields, lines[i], want)
			}
		}
	}
}

// numbered returns n members of an object.
func numbered(n int) string {
	var list []string
	for i := range n {
		list = append(list, `"x`+string(rune('a'+i))+`":"v"`)
	}
	return strings.Join(list, ",")
}

func TestWhatTwoTargetsMayShare(t *testing.T) {
	const one = `{"name":"a","region":"eu-west-1","web_acl":"shop"}`
	other := `"name":"b","region":"eu-west-1",`
	for name, c := range map[string]struct{ first, second, want string }{
		"the same web ACL":                     {one, `{` + other + `"web_acl":"shop"}`, "a web ACL that target 1 does not have"},
		"one of the same name, another region": {one, `{"name":"b","region":"eu-west-2","web_acl":"shop"}`, ""},
		"one of the same name, another scope":  {one, `{"name":"b","scope":"CLOUDFRONT","web_acl":"shop"}`, ""},
		"one of the same name, elsewhere":      {one, `{` + other + `"web_acl":"shop","role_arn":"` + role + `"}`, ""},
		"another name, elsewhere too": {
			`{"name":"a","region":"eu-west-1","web_acl":"shop","role_arn":"` + role + `"}`,
			`{` + other + `"web_acl":"shop","role_arn":"arn:aws:iam::210987654321:role/other"}`, "a web ACL that target 1 does not have in the same account",
		},
		"a rule group in that web ACL": {one, `{` + other + `"web_acl":"shop","mode":"rule-group"}`, ""},
		"the same ip set": {
			`{"name":"a","region":"eu-west-1","mode":"ip-set","ip_sets":["` + ipSet + `"]}`,
			`{` + other + `"mode":"ip-set","ip_sets":["` + strings.Replace(ipSet, "bad", "worse", 1) + `","` + ipSet + `"]}`, "ip_sets[1] ",
		},
		"the same name elsewhere": {one, `{"name":"a","region":"eu-west-2","web_acl":"blog"}`, "a name that target 1 does not have"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := awswaf.ParseTargets("[" + c.first + "," + c.second + "]")
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestATargetMadeInCodeIsJudgedAlike(t *testing.T) {
	good := awswaf.Target{Name: "edge", Region: "eu-west-1", WebACL: "shop"}
	for want, edit := range map[string]func(*awswaf.Target){
		"":                   func(t *awswaf.Target) { t.Priority = 0 },
		"name is missing":    func(t *awswaf.Target) { t.Name = "" },
		"web_acl is missing": func(t *awswaf.Target) { t.WebACL = "" },
		`priority "middle"`:  func(t *awswaf.Target) { t.Position = "middle" },
		`priority "-1"`:      func(t *awswaf.Target) { t.Priority = -1 },
		`set_size "-1"`:      func(t *awswaf.Target) { t.SetSize = -1 },
		`max_release "-1"`:   func(t *awswaf.Target) { t.MaxRelease = -1 },
		`max_add "-1"`:       func(t *awswaf.Target) { t.MaxAdd = -1 },
		`ip_set_quota "-1"`:  func(t *awswaf.Target) { t.IPSetQuota = -1 },
		`drift "x"`:          func(t *awswaf.Target) { t.Drift = "x" },
		"external_id":        func(t *awswaf.Target) { t.ExternalID = "abc" },
		"role_arn":           func(t *awswaf.Target) { t.RoleARN = "abc" },
		"logged_from":        func(t *awswaf.Target) { t.LoggedFrom = "a b" },
		"groups":             func(t *awswaf.Target) { t.Groups = 1 },
		"ip_sets":            func(t *awswaf.Target) { t.IPSets = []string{ipSet} },
		"response.code":      func(t *awswaf.Target) { t.Response = &awswaf.Response{} },
		"response.content_type": func(t *awswaf.Target) {
			t.Response = &awswaf.Response{Code: 403, ContentType: "TEXT_HTML"}
		},
		"response.headers.a b": func(t *awswaf.Target) {
			t.Response = &awswaf.Response{Code: 403, Headers: map[string]string{"a b": "c"}}
		},
		"forwarded.position": func(t *awswaf.Target) { t.Forwarded = &awswaf.Forwarded{Header: "X-Forwarded-For"} },
		"want nothing: in mode ip-set": func(t *awswaf.Target) {
			t.Mode, t.IPSets = awswaf.ModeIPSet, []string{ipSet}
		},
	} {
		target := good
		edit(&target)
		_, err := awswaf.New(aws.Config{}, target)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	ours := awswaf.Response{Code: 403, Body: "x"}
	target := good
	target.Response, target.Forwarded = &ours, &awswaf.Forwarded{Header: "X-Real-IP", Position: "LAST"}
	if _, err := awswaf.New(aws.Config{}, target); err != nil || ours.ContentType != "" || target.Forwarded.Fallback != "" {
		t.Errorf("%v; the caller's own values were written to", err)
	}
}

// TestEveryFieldOfATargetIsJudged: a field that ParseTargets does not know would be lost without a word.
func TestEveryFieldOfATargetIsJudged(t *testing.T) {
	full := awswaf.Target{
		Name: "n", Region: "r", Scope: "s", Mode: "m", WebACL: "w", Action: "a", Priority: 1, SetSize: 2, RoleARN: "r", ExternalID: "e", Groups: 3,
		IPSets: []string{"i"}, Response: &awswaf.Response{Code: 4, Body: "b", ContentType: "c", Headers: map[string]string{"h": "v"}},
		Forwarded:  &awswaf.Forwarded{Header: "h", Position: "p", Fallback: "f"},
		LoggedFrom: "l", Sync: "o", Drift: "d", MaxRelease: 5, MaxAdd: 6, IPSetQuota: 7,
	}
	for _, v := range []any{full, *full.Response, *full.Forwarded} {
		v := reflect.ValueOf(v)
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "Position" {
				t.Errorf("field %s is new: let ParseTargets and Target.fields know it, and this test", name)
			}
		}
	}
	fields := awswaf.Fields(full)
	for _, key := range awswaf.TargetKeys {
		if _, there := fields[key]; !there {
			t.Errorf("key %s is lost on the way from a Target to its check", key)
		}
	}
	if len(fields) != len(awswaf.TargetKeys) {
		t.Errorf("%d keys, want %d", len(fields), len(awswaf.TargetKeys))
	}
}

// TestGeneratedNamesAreWhatAWSTakes: names have at most 128 characters, metrics too.
func TestGeneratedNamesAreWhatAWSTakes(t *testing.T) {
	target := awswaf.Target{Name: strings.Repeat("x", 64), Region: "eu-west-1", WebACL: strings.Repeat("y", 119), Response: &awswaf.Response{Code: 403, Body: "b"}}
	f, err := awswaf.New(aws.Config{}, target)
	if err != nil {
		t.Fatal(err)
	}
	base := "tracewall-" + target.Name
	names := []string{waf.SetName(base, waf.IPv6, 999_999), waf.ExceptName(base, waf.IPv6, 999_999), base + "-020", target.WebACL + "ACLMetric"}
	var rule struct {
		Name             string
		VisibilityConfig struct{ MetricName string }
		Action           struct {
			Block struct {
				CustomResponse struct{ CustomResponseBodyKey string }
			}
		}
	}
	if err := json.Unmarshal(awswaf.OurRule(f, []string{ipSet}, 1), &rule); err != nil {
		t.Fatal(err)
	}
	names = append(names, rule.Name, rule.VisibilityConfig.MetricName, rule.Action.Block.CustomResponse.CustomResponseBodyKey)
	for _, name := range names {
		if len(name) < 10 || len(name) > 128 {
			t.Errorf("%q has %d characters", name, len(name))
		}
	}
	for edit, target := range map[string]awswaf.Target{
		"name":    {Name: strings.Repeat("x", 65), Region: "eu-west-1", WebACL: "shop"},
		"web_acl": {Name: "edge", Region: "eu-west-1", WebACL: strings.Repeat("y", 120)},
	} {
		if _, err := awswaf.New(aws.Config{}, target); err == nil || !strings.Contains(err.Error(), edit) {
			t.Errorf("%s one longer: %v", edit, err)
		}
	}
}

func FuzzParseTargets(f *testing.F) {
	for _, s := range []string{
		`[{"name":"edge","region":"eu-west-1","web_acl":"shop"}]`,
		`[{"name":"edge","region":"eu-west-1","web_acl":"shop","priority":"last","response":{"code":429,"body":"x","headers":{"a":"b"}},"forwarded":{"header":"x","position":"LAST"}}]`,
		`[{"name":"edge","region":"eu-west-1","mode":"ip-set","ip_sets":["` + ipSet + `"]}]`,
		`[{"name":"edge","scope":"CLOUDFRONT","mode":"rule-group","groups":3,"role_arn":"` + role + `","external_id":"ab"}]`,
		`[{"name":"a","name":null,"response":{"headers":{"":{}}}},1,null]`, "[", `[{}`, `[{"":`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		targets, err := awswaf.ParseTargets(text)
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "targets: ") {
					t.Errorf("%q: problem %q does not say where", text, line)
				}
			}
			return
		}
		for _, target := range targets {
			made, err := awswaf.New(aws.Config{}, target)
			if err != nil {
				t.Errorf("%q: taken, but not as a value: %v", text, err)
				continue
			}
			if diff := cmp.Diff(target, made.Target()); diff != "" {
				t.Errorf("%q: %s", text, diff)
			}
			if raw := awswaf.OurRule(made, []string{ipSet}, 1); !json.Valid(raw) {
				t.Errorf("%q: rule %s", text, raw)
			}
		}
	})
}
