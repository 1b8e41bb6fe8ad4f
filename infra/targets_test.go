package infra_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf/awswaf"
)

const (
	exampleSetV4 = "arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/bad-ones/a1b2c3d4-5678-90ab-cdef-111111111111"
	exampleSetV6 = "arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/bad-ones-6/a1b2c3d4-5678-90ab-cdef-222222222222"
	exampleRole  = "arn:aws:iam::210987654321:role/tracewall"
)

// composed is WAF_TARGETS as the function gets it, and how many it holds after its own parser.
func (s stack) composed() (text string, targets []awswaf.Target, err error) {
	text = s.property("SyncAwsWafFunction", "Environment", "Variables", "WAF_TARGETS").(string)
	targets, err = awswaf.ParseTargets(text)
	return text, targets, err
}

func TestTargetsByDefaultAreTheStorys(t *testing.T) {
	text, _, err := deploy(t, map[string]string{"WebAclName": "edge"}).composed()
	want := `[{"name":"main","region":"eu-west-1","scope":"REGIONAL","mode":"web-acl","web_acl":"edge","action":"block","priority":101,"set_size":5000}]`
	if text != want || err != nil {
		t.Errorf("targets = %s (%v), want %s", text, err, want)
	}
}

func TestTargetsAreWhatTheParametersSay(t *testing.T) {
	for _, test := range []struct {
		name   string
		given  map[string]string
		differ func(*awswaf.Target) // from web ACL edge with every default
	}{
		{"mode web-acl, first of all rules, challenge", map[string]string{"WebAclName": "edge", "RulePriority": "first", "WafAction": "challenge"}, func(w *awswaf.Target) {
			w.Priority, w.Position, w.Action = 0, awswaf.PositionFirst, awswaf.ActionChallenge
		}},
		{"mode web-acl for CloudFront, after all rules", map[string]string{"WebAclName": "edge", "WafScope": "CLOUDFRONT", "RulePriority": "last", "SetSize": "10000"}, func(w *awswaf.Target) {
			w.Region, w.Scope, w.Priority, w.Position, w.SetSize = "us-east-1", awswaf.CloudFront, 0, awswaf.PositionLast, 10_000
		}},
		{"mode rule-group, two groups, captcha", map[string]string{"WafMode": "rule-group", "RuleGroups": "2", "WafAction": "captcha"}, func(w *awswaf.Target) {
			w.Mode, w.WebACL, w.Groups, w.Action, w.Priority = awswaf.ModeRuleGroup, "", 2, awswaf.ActionCaptcha, 0
		}},
		{"mode rule-group with the web ACL that refers to it", map[string]string{"WafMode": "rule-group", "WebAclName": "shop"}, func(w *awswaf.Target) {
			w.Mode, w.WebACL, w.Groups, w.Priority = awswaf.ModeRuleGroup, "shop", 1, 0
		}},
		{"mode ip-set", map[string]string{"WafMode": "ip-set", "IpSetArns": exampleSetV4 + "," + exampleSetV6}, func(w *awswaf.Target) {
			w.Mode, w.WebACL, w.Action, w.Priority, w.SetSize, w.IPSets = awswaf.ModeIPSet, "", "", 0, 10_000, []string{exampleSetV4, exampleSetV6}
		}},
		{"another account", map[string]string{"WebAclName": "edge", "AssumeRoleArn": exampleRole, "ExternalId": "shop-7"}, func(w *awswaf.Target) {
			w.RoleARN, w.ExternalID = exampleRole, "shop-7"
		}},
		{"behind a proxy", map[string]string{"WebAclName": "edge", "ForwardedHeader": "X-Forwarded-For", "ForwardedPosition": "LAST", "LoggedFrom": "X-Forwarded-For"}, func(w *awswaf.Target) {
			w.Forwarded, w.LoggedFrom = &awswaf.Forwarded{Header: "X-Forwarded-For", Position: "LAST", Fallback: "NO_MATCH"}, "X-Forwarded-For"
		}},
		{"careful", map[string]string{"WebAclName": "edge", "Drift": "report", "MaxRelease": "5", "MaxAdd": "50", "IpSetQuota": "500"}, func(w *awswaf.Target) {
			w.Drift, w.MaxRelease, w.MaxAdd, w.IPSetQuota = awswaf.DriftReport, 5, 50, 500
		}},
		{"what has no parameter", map[string]string{"WebAclName": "edge", "TargetExtra": `"response":{"code":429,"body":"slow down"}`}, func(w *awswaf.Target) {
			w.Response = &awswaf.Response{Code: 429, Body: "slow down", ContentType: "TEXT_PLAIN"}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.given["RedisUrl"] = "rediss://redis.example.com:6379"
			s := deploy(t, test.given)
			text, got, err := s.composed()
			if why := s.refusal(); why != "" || err != nil {
				t.Fatalf("%s: %v; refused: %q", text, err, why)
			}
			want := awswaf.Target{
				Name: "main", Region: "eu-west-1", Scope: awswaf.Regional, Mode: awswaf.ModeWebACL, WebACL: "edge", Action: awswaf.ActionBlock,
				Priority: 101, SetSize: 5000, Drift: awswaf.DriftRepair, MaxRelease: 10, MaxAdd: 100,
			}
			test.differ(&want)
			if diff := cmp.Diff([]awswaf.Target{want}, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", text, diff)
			}
		})
	}
}

// Every combination that the template takes is one that the function takes.
func TestTargetsOfEveryCombination(t *testing.T) {
	choices := []map[string][]string{
		{"WafMode": {"web-acl", "rule-group", "ip-set"}},
		{"WafScope": {"REGIONAL", "CLOUDFRONT"}},
		{"WafAction": {"block", "count", "challenge", "captcha"}},
		{"RulePriority": {"101", "0", "first", "last"}},
		{"AssumeRoleArn": {"", exampleRole}},
		{"ForwardedPosition": {"", "FIRST", "LAST", "ANY"}},
		{"Drift": {"repair", "report"}},
		{"TargetExtra": {"", `"response":{"code":403}`}},
	}
	combinations := []map[string]string{{}}
	for _, choice := range choices {
		var more []map[string]string
		for name, values := range choice {
			for _, c := range combinations {
				for _, v := range values {
					next := map[string]string{name: v}
					for key, value := range c {
						next[key] = value
					}
					more = append(more, next)
				}
			}
		}
		combinations = more
	}
	doc, sets := readYAML(t, templateFile), strings.Join([]string{exampleSetV4, exampleSetV6}, ",")
	for _, given := range combinations {
		switch given["WafMode"] {
		case "web-acl":
			given["WebAclName"] = "edge"
		case "ip-set":
			if given["ForwardedPosition"] != "" || given["TargetExtra"] != "" {
				continue // that is for the user's own rule to say, and the function refuses it
			}
			given["IpSetArns"] = sets
			if given["AssumeRoleArn"] != "" {
				given["IpSetArns"] = strings.ReplaceAll(given["IpSetArns"], "123456789012", "210987654321")
			}
			if given["WafScope"] == "CLOUDFRONT" {
				given["IpSetArns"] = strings.NewReplacer("eu-west-1", "us-east-1", "regional", "global").Replace(given["IpSetArns"])
			}
		}
		if given["WafAction"] != "block" && given["TargetExtra"] != "" {
			continue // only who is blocked gets an answer
		}
		if given["ForwardedPosition"] != "" {
			given["ForwardedHeader"] = "X-Forwarded-For"
		}
		given["RedisUrl"] = "rediss://redis.example.com:6379"
		s := deployed(t, doc, given)
		if text, _, err := s.composed(); err != nil || s.refusal() != "" {
			t.Errorf("%v: %s: %v %s", given, text, err, s.refusal())
		}
	}
}

func TestParametersThatContradictEachOtherAreRefused(t *testing.T) {
	for name, given := range map[string]map[string]string{
		"web-acl without a web ACL":     {},
		"ip-set with a web ACL":         {"WafMode": "ip-set", "IpSetArns": exampleSetV4, "WebAclName": "edge"},
		"a header without position":     {"WebAclName": "edge", "ForwardedHeader": "X-Forwarded-For"},
		"a position without header":     {"WebAclName": "edge", "ForwardedPosition": "LAST"},
		"an external id without a role": {"WebAclName": "edge", "ExternalId": "shop-7"},
	} {
		given["RedisUrl"] = "rediss://redis.example.com:6379"
		if s := deploy(t, given); s.refusal() == "" {
			t.Errorf("%s is not refused", name)
		}
	}
	if _, _, err := deploy(t, map[string]string{"WafMode": "ip-set"}).composed(); err == nil {
		t.Error("mode ip-set without sets: no template rule can tell, so the function must refuse it")
	}
	if _, _, err := deploy(t, map[string]string{"WebAclName": "edge", "IpSetArns": exampleSetV4}).composed(); err == nil {
		t.Error("sets in mode web-acl: the function must refuse what the mode has no use for")
	}
}
