package awswaf

import (
	"fmt"
	"strconv"

	"github.com/tracewall/tracewall/shared/waf/targets"
)

// targetKeys is every key of a target that ParseTargets knows.
var targetKeys = []string{
	"name", "region", "scope", "mode", "web_acl", "action", "priority", "set_size", "role_arn", "external_id", "groups", "ip_sets",
	"response", "forwarded", "logged_from", "sync", "drift", "max_release", "max_add", "ip_set_quota",
}

const (
	wantWebACL = "1 to 119 of A-Z a-z 0-9 _ -"
	wantAction = "block, count, challenge or captcha"
	wantHeader = "the name of a header: 1 to 255 of A-Z a-z 0-9 -"
)

// readTarget makes a Target of the object. What is wrong is noted and then as if it were not there.
func readTarget(f targets.Fields) Target {
	t := Target{
		Name:       f.Name(maxTargetName),
		Scope:      f.Optional("scope", "REGIONAL or CLOUDFRONT", targets.OneOf(Regional, CloudFront)),
		Mode:       f.Optional("mode", "web-acl, rule-group or ip-set", targets.OneOf(ModeWebACL, ModeRuleGroup, ModeIPSet)),
		SetSize:    f.Number("set_size", 1, MaxSetSize),
		LoggedFrom: f.Optional("logged_from", `"connection" or `+wantHeader, isHeader),
	}
	t.setRuns(f.Runs())
	t.IPSetQuota = f.Number("ip_set_quota", 1, maxIPSetQuota)
	if t.Scope == CloudFront {
		t.Region = f.Optional("region", "us-east-1 (or nothing) for scope CLOUDFRONT", targets.OneOf(cloudFrontAt))
		if t.Region == "" {
			t.Region = cloudFrontAt
		}
	} else {
		t.Region = f.Required("region", "an AWS region such as eu-west-1", regionPattern.MatchString)
	}
	readRole(f, &t)
	readPlace(f, &t)
	return t.withDefaults()
}

func readRole(f targets.Fields, t *Target) {
	want := "a role such as arn:aws:iam::123456789012:role/tracewall"
	t.RoleARN = f.Optional("role_arn", want, func(s string) bool { return rolePattern().MatchString(s) })
	if m := rolePattern().FindStringSubmatch(t.RoleARN); m != nil && t.Region != "" && m[1] != partition(t.Region) {
		f.Bad("role_arn", t.RoleARN, "a role in "+partition(t.Region)+", where the region is")
	}
	t.ExternalID = f.Optional("external_id", "2 to 1224 of A-Z a-z 0-9 _ + = , . @ : / -", func(s string) bool {
		return len(s) <= maxExternalID && externalIDPattern.MatchString(s)
	})
	if !f.Has("role_arn") {
		f.Refuse("it goes with role_arn, which is not there", "external_id")
	}
}

// readPlace reads what depends on the mode. If the mode itself is wrong nothing is required and nothing refused.
func readPlace(f targets.Fields, t *Target) {
	mode := t.Mode
	if !f.Has("mode") {
		mode = ModeWebACL
	}
	switch mode {
	case ModeWebACL:
		f.Refuse("only mode rule-group has groups", "groups")
		f.Refuse("only mode ip-set fills sets of the user's", "ip_sets")
		if !f.Has("web_acl") {
			f.Missing("web_acl", wantWebACL)
		}
	case ModeRuleGroup:
		f.Refuse("only mode ip-set fills sets of the user's", "ip_sets")
		f.Refuse("in mode rule-group our rule is alone in its group, and the user places the group", "priority")
	case ModeIPSet:
		f.Refuse("only mode rule-group has groups", "groups")
		f.Refuse("in mode ip-set the rule, and the web ACL that it stands in, are the user's own", "web_acl", "action", "priority", "response", "forwarded")
		if !f.Has("ip_sets") {
			f.Missing("ip_sets", wantIPSets)
		}
	}
	if mode != ModeIPSet {
		t.WebACL = f.Optional("web_acl", wantWebACL, func(s string) bool { return len(s) <= maxWebACLName && webACLPattern.MatchString(s) })
		t.Action = f.Optional("action", wantAction, targets.OneOf(ActionBlock, ActionCount, ActionChallenge, ActionCaptcha))
		if mode != ModeRuleGroup {
			readPriority(f, t)
		}
		readResponse(f, t)
		readForwarded(f, t)
	}
	if mode != ModeWebACL && mode != ModeIPSet {
		t.Groups = f.Number("groups", 1, MaxGroups)
	}
	if mode != ModeWebACL && mode != ModeRuleGroup {
		readIPSets(f, t)
	}
}

func readPriority(f targets.Fields, t *Target) {
	raw := f.Raw("priority")
	switch {
	case raw == "":
		t.Priority = DefaultPriority
	case raw[0] == '"':
		t.Position = f.Optional("priority", wantPriority, targets.OneOf(PositionFirst, PositionLast))
	default:
		n, err := strconv.ParseInt(raw, 10, 32)
		if err != nil || n < 0 || n > maxPriority {
			f.Bad("priority", raw, wantPriority)
			return
		}
		t.Priority = int32(n)
	}
}

var wantPriority = fmt.Sprintf(`a whole number from 0 to %d, "first" or "last"`, maxPriority)

const wantIPSets = "an array of IP set ARNs such as arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/NAME/ID"

func readIPSets(f targets.Fields, t *Target) {
	account, where := t.account(), "regional"
	if t.Scope == CloudFront {
		where = "global"
	}
	t.IPSets = f.List("ip_sets", targets.List{
		Want: wantIPSets, Each: "the ARN of an IP set, with its name and id", Noun: "IP set",
		Is: func(s string) bool { return ipSetPattern().MatchString(s) },
		Else: func(arn string) string {
			m := ipSetPattern().FindStringSubmatch(arn)
			if account == "" {
				account = m[3] // of the caller: all sets are in one account
			}
			switch {
			case m[4] != where:
				return "a " + where + " IP set, as the target's scope is"
			case t.Region != "" && m[2] != t.Region:
				return "an IP set in " + t.Region + ", the target's region"
			case t.Region != "" && m[1] != partition(t.Region):
				return "an ARN that begins with arn:" + partition(t.Region) + ":"
			case m[3] != account:
				return "an IP set in account " + account + ", as the target's role or its other IP sets are"
			}
			return ""
		},
	})
}
