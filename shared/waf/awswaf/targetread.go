package awswaf

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
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

// read makes a Target of the object. What is wrong is noted and then as if it were not there.
func (f targetFields) read() Target {
	t := Target{
		Name:       f.required("name", "1 to 64 of a-z 0-9 and - (not at either end)", func(s string) bool { return len(s) <= maxTargetName && targetPattern.MatchString(s) }),
		Scope:      f.optional("scope", "REGIONAL or CLOUDFRONT", oneOf(Regional, CloudFront)),
		Mode:       f.optional("mode", "web-acl, rule-group or ip-set", oneOf(ModeWebACL, ModeRuleGroup, ModeIPSet)),
		SetSize:    f.number("set_size", MaxSetSize),
		LoggedFrom: f.optional("logged_from", `"connection" or `+wantHeader, isHeader),
		Sync:       f.optional("sync", "enforce or observe", oneOf(SyncEnforce, SyncObserve)),
		Drift:      f.optional("drift", "repair or report", oneOf(DriftRepair, DriftReport)),
		MaxRelease: f.number("max_release", 100),
		MaxAdd:     f.number("max_add", maxAddPercent),
		IPSetQuota: f.number("ip_set_quota", maxIPSetQuota),
	}
	if t.Scope == CloudFront {
		t.Region = f.optional("region", "us-east-1 (or nothing) for scope CLOUDFRONT", oneOf(cloudFrontAt))
		if t.Region == "" {
			t.Region = cloudFrontAt
		}
	} else {
		t.Region = f.required("region", "an AWS region such as eu-west-1", regionPattern.MatchString)
	}
	f.readRole(&t)
	f.readPlace(&t)
	return t.withDefaults()
}

func (f targetFields) readRole(t *Target) {
	want := "a role such as arn:aws:iam::123456789012:role/tracewall"
	t.RoleARN = f.optional("role_arn", want, func(s string) bool { return rolePattern().MatchString(s) })
	if m := rolePattern().FindStringSubmatch(t.RoleARN); m != nil && t.Region != "" && m[1] != partition(t.Region) {
		f.bad("role_arn", t.RoleARN, "a role in "+partition(t.Region)+", where the region is")
	}
	t.ExternalID = f.optional("external_id", "2 to 1224 of A-Z a-z 0-9 _ + = , . @ : / -", func(s string) bool {
		return len(s) <= maxExternalID && externalIDPattern.MatchString(s)
	})
	if raw, there := f.raw["external_id"]; there && f.raw["role_arn"] == nil {
		f.bad("external_id", string(raw), "nothing: it goes with role_arn, which is not there")
	}
}

// readPlace reads what depends on the mode. If the mode itself is wrong nothing is required and nothing refused.
func (f targetFields) readPlace(t *Target) {
	mode := t.Mode
	if _, said := f.raw["mode"]; !said {
		mode = ModeWebACL
	}
	switch mode {
	case ModeWebACL:
		f.refuse("only mode rule-group has groups", "groups")
		f.refuse("only mode ip-set fills sets of the user's", "ip_sets")
		if f.raw["web_acl"] == nil {
			f.missing("web_acl", wantWebACL)
		}
	case ModeRuleGroup:
		f.refuse("only mode ip-set fills sets of the user's", "ip_sets")
		f.refuse("in mode rule-group our rule is alone in its group, and the user places the group", "priority")
	case ModeIPSet:
		f.refuse("only mode rule-group has groups", "groups")
		f.refuse("in mode ip-set the rule, and the web ACL that it stands in, are the user's own", "web_acl", "action", "priority", "response", "forwarded")
		if f.raw["ip_sets"] == nil {
			f.missing("ip_sets", wantIPSets)
		}
	}
	if mode != ModeIPSet {
		t.WebACL = f.optional("web_acl", wantWebACL, func(s string) bool { return len(s) <= maxWebACLName && webACLPattern.MatchString(s) })
		t.Action = f.optional("action", wantAction, oneOf(ActionBlock, ActionCount, ActionChallenge, ActionCaptcha))
		if mode != ModeRuleGroup {
			f.readPriority(t)
		}
		f.readResponse(t)
		f.readForwarded(t)
	}
	if mode != ModeWebACL && mode != ModeIPSet {
		t.Groups = f.number("groups", MaxGroups)
	}
	if mode != ModeWebACL && mode != ModeRuleGroup {
		f.readIPSets(t)
	}
}

func (f targetFields) readPriority(t *Target) {
	raw, there := f.raw["priority"]
	switch {
	case !there:
		t.Priority = DefaultPriority
	case len(raw) > 0 && raw[0] == '"':
		t.Position = f.optional("priority", wantPriority, oneOf(PositionFirst, PositionLast))
	default:
		n, err := strconv.ParseInt(string(raw), 10, 32)
		if err != nil || n < 0 || n > maxPriority {
			f.bad("priority", string(raw), wantPriority)
			return
		}
		t.Priority = int32(n)
	}
}

var wantPriority = fmt.Sprintf(`a whole number from 0 to %d, "first" or "last"`, maxPriority)

const wantIPSets = "an array of IP set ARNs such as arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/NAME/ID"

func (f targetFields) readIPSets(t *Target) {
	raw, there := f.raw["ip_sets"]
	if !there {
		return
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 {
		f.bad("ip_sets", string(raw), wantIPSets)
		return
	}
	account, where := t.account(), "regional"
	if t.Scope == CloudFront {
		where = "global"
	}
	for i, one := range list {
		field := fmt.Sprintf("ip_sets[%d]", i)
		arn := f.text(field, one, "the ARN of an IP set, with its name and id", func(s string) bool { return ipSetPattern().MatchString(s) })
		m := ipSetPattern().FindStringSubmatch(arn)
		if m == nil {
			continue
		}
		if account == "" {
			account = m[3] // of the caller: all sets are in one account
		}
		switch {
		case m[4] != where:
			f.bad(field, arn, "a "+where+" IP set, as the target's scope is")
		case t.Region != "" && m[2] != t.Region:
			f.bad(field, arn, "an IP set in "+t.Region+", the target's region")
		case t.Region != "" && m[1] != partition(t.Region):
			f.bad(field, arn, "an ARN that begins with arn:"+partition(t.Region)+":")
		case m[3] != account:
			f.bad(field, arn, "an IP set in account "+account+", as the target's role or its other IP sets are")
		case slices.Contains(t.IPSets, arn):
			f.bad(field, arn, "each IP set only once")
		default:
			t.IPSets = append(t.IPSets, arn)
		}
	}
}
