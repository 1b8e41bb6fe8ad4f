package infra_test

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite aws/target-role-*.json from template.yaml, and the policies of the other clouds from what was recorded")

// recordedActions are the AWS actions that the adapter makes in each mode: its own
// test records them from the calls. "MODE detach" is what leaving the mode takes.
func recordedActions(t *testing.T) map[string][]string {
	t.Helper()
	var all map[string][]string
	readJSON(t, "../shared/waf/awswaf/testdata/actions.json", &all)
	return all
}

// modes are the parameters that choose each mode, in the example's names.
var modes = map[string]map[string]string{
	"web-acl":    {"WafMode": "web-acl", "WebAclName": "edge"},
	"rule-group": {"WafMode": "rule-group", "WebAclName": "edge"},
	"ip-set":     {"WafMode": "ip-set", "IpSetArns": exampleSetV4 + "," + exampleSetV6},
}

// Every action of every mode and on what it is allowed, as narrow as AWS offers it (service
// authorization reference): "*" stands only where it knows no resource. What begins
// with / is below the ARN of the target's Region, account and scope.
var (
	ownSets    = "/ipset/tracewall-main-*/*"
	ownGroups  = "/rulegroup/tracewall-main-*/*"
	theACL     = "/webacl/edge/*"
	referredTo = []string{"/ipset/*/*", "/managedruleset/*/*", "/regexpatternset/*/*", "/rulegroup/*/*"}

	provesIt = map[string][]string{
		"amplify:ListResourcesForWebACL":                       {"*"},
		"apprunner:ListAssociatedServicesForWebAcl":            {theACL},
		"appsync:ListResourcesForWebACL":                       {"*"},
		"cloudfront:ListDistributionsByWebACLId":               {"*"},
		"cognito-idp:ListResourcesForWebACL":                   {theACL},
		"ec2:DescribeVerifiedAccessInstanceWebAclAssociations": {"*"},
		"elasticloadbalancing:DescribeWebACLAssociation":       {"*"},
		"wafv2:GetWebACL":                                      {theACL},
		"wafv2:ListResourcesForWebACL":                         {theACL},
		"wafv2:ListWebACLs":                                    {"*"},
	}
	keepsSets = map[string][]string{
		"wafv2:CreateIPSet":         {ownSets},
		"wafv2:DeleteIPSet":         {ownSets},
		"wafv2:GetIPSet":            {ownSets},
		"wafv2:ListIPSets":          {"*"},
		"wafv2:ListTagsForResource": {ownSets},
		"wafv2:TagResource":         {ownSets},
		"wafv2:UpdateIPSet":         {ownSets},
	}
	allowed = map[string]map[string][]string{
		"web-acl": union(provesIt, keepsSets, map[string][]string{
			"wafv2:CreateWebACL": append([]string{theACL}, referredTo...),
			"wafv2:UpdateWebACL": append([]string{theACL}, referredTo...),
			"wafv2:TagResource":  {theACL}, // it is made with our tag
		}),
		"rule-group": union(provesIt, keepsSets, map[string][]string{
			"wafv2:CheckCapacity":       {"*"},
			"wafv2:CreateRuleGroup":     {ownGroups, ownSets},
			"wafv2:GetRuleGroup":        {ownGroups},
			"wafv2:ListRuleGroups":      {"*"},
			"wafv2:ListTagsForResource": {ownGroups},
			"wafv2:TagResource":         {ownGroups},
			"wafv2:UpdateRuleGroup":     {ownGroups, ownSets},
		}),
		"ip-set": {
			"wafv2:GetIPSet":    {exampleSetV4, exampleSetV6},
			"wafv2:UpdateIPSet": {exampleSetV4, exampleSetV6},
		},
		// Leaving either mode, whatever is left of the other.
		"detach": union(provesIt, map[string][]string{
			"wafv2:DeleteIPSet":         {ownSets},
			"wafv2:DeleteRuleGroup":     {ownGroups},
			"wafv2:DeleteWebACL":        {theACL},
			"wafv2:GetRuleGroup":        {ownGroups},
			"wafv2:ListIPSets":          {"*"},
			"wafv2:ListRuleGroups":      {"*"},
			"wafv2:ListTagsForResource": {ownGroups, ownSets, theACL},
			"wafv2:UpdateWebACL":        append([]string{theACL}, referredTo...),
		}),
	}
	// What a scope cannot protect is not asked for in it.
	notIn = map[string][]string{
		"REGIONAL": {"cloudfront:ListDistributionsByWebACLId"},
		"CLOUDFRONT": {
			"apprunner:ListAssociatedServicesForWebAcl", "appsync:ListResourcesForWebACL", "cognito-idp:ListResourcesForWebACL",
			"ec2:DescribeVerifiedAccessInstanceWebAclAssociations", "elasticloadbalancing:DescribeWebACLAssociation",
		},
	}
	below = map[string]string{"REGIONAL": "arn:aws:wafv2:eu-west-1:123456789012:regional", "CLOUDFRONT": "arn:aws:wafv2:us-east-1:123456789012:global"}
)

// union joins grants; an action in several has the resources of all.
func union(grants ...map[string][]string) map[string][]string {
	all := map[string][]string{}
	for _, g := range grants {
		for action, resources := range g {
			all[action] = append(slices.Clone(all[action]), resources...)
			slices.Sort(all[action])
		}
	}
	return all
}

// in returns the grants of a mode as they are to be in a scope.
func in(scope string, grants map[string][]string) map[string][]string {
	out := map[string][]string{}
	for action, resources := range grants {
		if slices.Contains(notIn[scope], action) {
			continue
		}
		for _, r := range resources {
			if strings.HasPrefix(r, "/") {
				r = below[scope] + r
			}
			out[action] = append(out[action], r)
		}
		slices.Sort(out[action])
	}
	return out
}

// statement is one of a policy's.
type statement struct {
	Sid      string
	Effect   string
	Action   []string
	Resource []string
}

// statements returns what the role of the function holds in this stack, in order.
func (s stack) statements() (all []statement) {
	for _, policy := range list(s.property("SyncAwsWafRole", "Policies")) {
		for _, st := range list(at(s.t, policy, "PolicyDocument", "Statement")) {
			all = append(all, statement{
				Sid: at(s.t, st, "Sid").(string), Effect: at(s.t, st, "Effect").(string), Action: texts(at(s.t, st, "Action")), Resource: texts(at(s.t, st, "Resource")),
			})
		}
	}
	return all
}

// granted returns which action is allowed on what.
func granted(t *testing.T, statements []statement) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, s := range statements {
		if s.Effect != "Allow" {
			t.Errorf("statement %s: effect %s", s.Sid, s.Effect)
		}
		for _, action := range s.Action {
			for _, r := range s.Resource {
				if slices.Contains(all[action], r) {
					t.Errorf("statement %s: %s on %s is granted twice", s.Sid, action, r)
				}
				all[action] = append(all[action], r)
			}
			slices.Sort(all[action])
		}
	}
	return all
}

// ofTheFunction is what every stack's role has for itself, beside its firewall.
var ofTheFunction = map[string][]string{
	"logs:CreateLogStream": {"SyncAwsWafLogGroup.Arn"}, "logs:PutLogEvents": {"SyncAwsWafLogGroup.Arn"}, "sqs:SendMessage": {"SyncAwsWafDeadLetters.Arn"},
}

// What the adapter was seen to call is what this table allows; the tests below hold the policies to the table.
func TestAllowedIsWhatTheAdapterCalls(t *testing.T) {
	recorded := recordedActions(t)
	for mode := range modes {
		if diff := cmp.Diff(recorded[mode], slices.Sorted(maps.Keys(allowed[mode]))); diff != "" {
			t.Errorf("mode %s: called (-) and allowed (+):\n%s", mode, diff)
		}
	}
	detach := map[string]bool{}
	for _, mode := range []string{"web-acl detach", "rule-group detach"} {
		for _, action := range recorded[mode] {
			detach[action] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(detach)), slices.Sorted(maps.Keys(allowed["detach"]))); diff != "" {
		t.Errorf("detach: called (-) and allowed (+):\n%s", diff)
	}
	if diff := cmp.Diff(recorded["ip-set"], recorded["ip-set detach"]); diff != "" {
		t.Errorf("an operator who leaves mode ip-set needs more than the mode:\n%s", diff)
	}
	if len(recorded) != 2*len(modes) {
		t.Errorf("recorded %v, want each mode and its detach", slices.Sorted(maps.Keys(recorded)))
	}
}

func TestRoleGrantsExactlyTheCallsOfItsMode(t *testing.T) {
	for mode, parameters := range modes {
		for scope := range below {
			given := maps.Clone(parameters)
			given["WafScope"] = scope
			s := deploy(t, given)
			if diff := cmp.Diff(union(ofTheFunction, in(scope, allowed[mode])), granted(t, s.statements())); diff != "" {
				t.Errorf("mode %s, %s: wanted (-) and granted (+):\n%s", mode, scope, diff)
			}
		}
	}
}

// Without a name the web ACL that refers to the groups is looked for, so all may be read, and only that.
func TestRoleReadsEveryWebACLOnlyToSearch(t *testing.T) {
	got := granted(t, deploy(t, map[string]string{"WafMode": "rule-group"}).statements())
	for action, resources := range got {
		for _, r := range resources {
			if strings.HasSuffix(r, "/webacl/*/*") && !strings.Contains(action, ":Get") && !strings.Contains(action, ":List") {
				t.Errorf("%s on %s", action, r)
			}
		}
	}
	if want := []string{below["REGIONAL"] + "/webacl/*/*"}; !slices.Equal(got["wafv2:GetWebACL"], want) {
		t.Errorf("reads %v, want %v", got["wafv2:GetWebACL"], want)
	}
}

func TestRoleForAnotherAccountMayOnlyAssumeItsRole(t *testing.T) {
	for mode, parameters := range modes {
		given := maps.Clone(parameters)
		given["AssumeRoleArn"], given["ExternalId"] = exampleRole, "shop-7"
		want := union(ofTheFunction, map[string][]string{"sts:AssumeRole": {exampleRole}})
		if diff := cmp.Diff(want, granted(t, deploy(t, given).statements())); diff != "" {
			t.Errorf("mode %s: wanted (-) and granted (+):\n%s", mode, diff)
		}
	}
}

// The other account's policy is what the template would grant there, word for word.
func TestTargetRoleIsTheTemplatesOwn(t *testing.T) {
	for mode, parameters := range modes {
		const account = "210987654321"
		given := maps.Clone(parameters)
		given["AWS::AccountId"] = account
		if sets := given["IpSetArns"]; sets != "" {
			given["IpSetArns"] = strings.ReplaceAll(sets, "123456789012", account)
		}
		want := struct {
			Version   string
			Statement []statement
		}{Version: "2012-10-17"}
		sids := map[string]bool{}
		for _, s := range deploy(t, given).statements() {
			if ofTheFunction[s.Action[0]] != nil {
				continue
			}
			if sids[s.Sid] {
				t.Errorf("Sid %s is there twice, which one document must not have", s.Sid)
			}
			sids[s.Sid] = true
			want.Statement = append(want.Statement, s)
		}
		file := "aws/target-role-" + mode + ".json"
		if *update {
			text, err := json.MarshalIndent(want, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil { //nolint:gosec // a document for copy and paste
				t.Fatal(err)
			}
		}
		got := want
		got.Statement = nil
		readJSON(t, file, &got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: template.yaml (-) and file (+); rewrite it with -update:\n%s", file, diff)
		}
	}
}

func TestTargetRoleTrustsOneRoleThatKnowsTheExternalID(t *testing.T) {
	var p policy
	readJSON(t, "aws/target-role-trust.json", &p)
	if len(p.Statement) != 1 {
		t.Fatalf("%d statements, want 1", len(p.Statement))
	}
	s := p.Statement[0]
	who := s.Principal["AWS"]
	if s.Effect != "Allow" || !slices.Equal(s.Action, []string{"sts:AssumeRole"}) || len(s.Principal) != 1 || len(who) != 1 || !strings.Contains(who[0], ":role/") {
		t.Errorf("%+v, want one role to be let in", s)
	}
	if id := s.Condition["StringEquals"]["sts:ExternalId"]; id == "" {
		t.Error("no external id is asked for: whoever can make this function assume a role of his choice gets in")
	}
}

func TestOperatorWhoLeavesMayDoExactlyThat(t *testing.T) {
	want := map[string][]string{}
	for action, resources := range allowed["detach"] { // one file for both scopes
		for _, r := range resources {
			if strings.HasPrefix(r, "/") {
				r = below["REGIONAL"] + r
			}
			want[action] = append(want[action], r)
		}
		slices.Sort(want[action])
	}
	var p policy
	readJSON(t, "aws/operator-detach-policy.json", &p)
	if diff := cmp.Diff(want, granted(t, p.statements())); diff != "" {
		t.Errorf("wanted (-) and granted (+):\n%s", diff)
	}
}

func TestOperatorReadsAndChangesNoWall(t *testing.T) {
	var p policy
	readJSON(t, "aws/operator-policy.json", &p)
	lists := []string{"cloudwatch:DescribeAlarms", "logs:GetQueryResults", "wafv2:ListIPSets", "wafv2:ListRuleGroups", "wafv2:ListWebACLs"}
	for action, resources := range granted(t, p.statements()) {
		_, verb, _ := strings.Cut(action, ":")
		if strings.Contains(action, "*") || strings.HasPrefix(action, "wafv2:") && !strings.HasPrefix(verb, "Get") && !strings.HasPrefix(verb, "List") {
			t.Errorf("%s: who only looks and runs the function changes nothing on the wall", action)
		}
		if slices.Contains(resources, "*") && !slices.Contains(lists, action) {
			t.Errorf("%s has Resource \"*\": name the resource", action)
		}
	}
}

// No policy may grant what nobody has thought of.
func TestNoActionIsAWildcard(t *testing.T) {
	var all []statement
	for _, given := range modes {
		all = append(all, deploy(t, given).statements()...)
	}
	for _, s := range all {
		for _, action := range s.Action {
			if strings.Contains(action, "*") {
				t.Errorf("statement %s: action %s", s.Sid, action)
			}
		}
	}
}
