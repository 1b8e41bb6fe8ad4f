package awswaf_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf/awswaf"
)

func TestParseTargets(t *testing.T) {
	got, err := awswaf.ParseTargets(`[
		{"name":"edge","region":"eu-west-1","web_acl":"shop"},
		{"name":"cdn","scope":"CLOUDFRONT","mode":"web-acl","web_acl":"Shop_CDN","action":"count","priority":0,"set_size":10000},
		{"name":"edge-2","region":"us-gov-west-1","scope":"REGIONAL","web_acl":"shop","action":"block","priority":5,"set_size":1}]`)
	if err != nil {
		t.Fatal(err)
	}
	want := []awswaf.Target{
		{Name: "edge", Region: "eu-west-1", Scope: "REGIONAL", Mode: "web-acl", WebACL: "shop", Action: "block", Priority: 101, SetSize: 5000, Drift: "repair", MaxRelease: 10, MaxAdd: 100},
		{Name: "cdn", Region: "us-east-1", Scope: "CLOUDFRONT", Mode: "web-acl", WebACL: "Shop_CDN", Action: "count", Priority: 0, SetSize: 10000, Drift: "repair", MaxRelease: 10, MaxAdd: 100},
		{Name: "edge-2", Region: "us-gov-west-1", Scope: "REGIONAL", Mode: "web-acl", WebACL: "shop", Action: "block", Priority: 5, SetSize: 1, Drift: "repair", MaxRelease: 10, MaxAdd: 100},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Only a wall of which it is known that it does less than block takes what is to be challenged.
func TestATargetThatBlocksTakesNoChallenges(t *testing.T) {
	for action, less := range map[string]bool{"": false, "block": false, "count": true, "challenge": true, "captcha": true, "allow": false} {
		for _, mode := range []string{"", awswaf.ModeWebACL, awswaf.ModeRuleGroup, awswaf.ModeIPSet} {
			want := less && mode != awswaf.ModeIPSet // there the rule is the user's
			if got := (awswaf.Target{Action: action, Mode: mode}).Policy().Challenges; got != want {
				t.Errorf("action %q, mode %q: takes what is to be challenged: %v, want %v", action, mode, got, want)
			}
		}
	}
}

func TestParseTargetsNamesEveryProblemAtOnce(t *testing.T) {
	_, err := awswaf.ParseTargets(`[
		{"name":"Edge","region":"europe","scope":"regional","mode":"group","web_acl":"a b","action":"allow","priority":-1,"set_size":10001,"colour":"red"},
		{"set_size":"5000","priority":1.5},
		{"name":"edge","region":"eu-west-1","web_acl":"shop"},
		{"name":"edge","region":"eu-west-1","web_acl":"shop"},
		{"name":"cdn","scope":"CLOUDFRONT","region":"eu-west-1","web_acl":"shop"},
		{"name":null,"region":7,"web_acl":"x"}]`)
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{
		`targets: target 1: key "colour": want one of name, region, scope, mode, web_acl, action, priority, set_size, role_arn, external_id, ` +
			`groups, ip_sets, response, forwarded, logged_from, sync, drift, max_release, max_add, ip_set_quota`,
		`targets: target 1: name "Edge": want 1 to 64 of a-z 0-9 and - (not at either end)`,
		`targets: target 1: scope "regional": want REGIONAL or CLOUDFRONT`,
		`targets: target 1: mode "group": want web-acl, rule-group or ip-set`,
		`targets: target 1: set_size "10001": want a whole number from 1 to 10000`,
		`targets: target 1: region "europe": want an AWS region such as eu-west-1`,
		`targets: target 1: web_acl "a b": want 1 to 119 of A-Z a-z 0-9 _ -`,
		`targets: target 1: action "allow": want block, count, challenge or captcha`,
		`targets: target 1: priority "-1": want a whole number from 0 to 1000000000, "first" or "last"`,
		`targets: target 2: name is missing: want 1 to 64 of a-z 0-9 and - (not at either end)`,
		`targets: target 2: set_size "\"5000\"": want a whole number from 1 to 10000`,
		`targets: target 2: region is missing: want an AWS region such as eu-west-1`,
		`targets: target 2: web_acl is missing: want 1 to 119 of A-Z a-z 0-9 _ -`,
		`targets: target 2: priority "1.5": want a whole number from 0 to 1000000000, "first" or "last"`,
		`targets: target 4: name "edge": want a name that target 3 does not have`,
		`targets: target 4: web_acl "shop": want a web ACL that target 3 does not have in the same account, scope and region`,
		`targets: target 5: region "eu-west-1": want us-east-1 (or nothing) for scope CLOUDFRONT`,
		`targets: target 6: name "null": want a string: 1 to 64 of a-z 0-9 and - (not at either end)`,
		`targets: target 6: region "7": want a string: an AWS region such as eu-west-1`,
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Error(diff)
	}
}
