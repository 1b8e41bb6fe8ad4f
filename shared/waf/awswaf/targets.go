package awswaf

import (
	"fmt"

	"github.com/tracewall/tracewall/shared/waf/targets"
)

// ParseTargets reads a JSON array of targets, as WAF_TARGETS holds it:
//
//	[{"name":"edge","region":"eu-west-1","scope":"REGIONAL","mode":"web-acl","web_acl":"shop","action":"block","priority":101,"set_size":5000}]
//
// name is required, region too unless the scope is CLOUDFRONT (which AWS keeps in
// us-east-1), and web_acl in mode web-acl, ip_sets in mode ip-set. scope defaults
// to REGIONAL, mode to web-acl, action to block, priority to 101 ("first" and "last"
// are before and after all of the user's rules), set_size to 5,000 (10,000 in mode ip-set), drift to repair,
// max_release to 10, max_add to 100. What else there is:
//
//	"role_arn":"arn:aws:iam::210987654321:role/tracewall","external_id":"shop-7"     another account
//	"mode":"rule-group","groups":2                                                    rule groups of our own
//	"mode":"ip-set","ip_sets":["arn:aws:wafv2:…:regional/ipset/bad-ones/…"]           the user's own sets
//	"response":{"code":429,"body":"slow down","content_type":"TEXT_PLAIN","headers":{"retry-after":"3600"}}
//	"forwarded":{"header":"X-Forwarded-For","position":"LAST","fallback":"NO_MATCH"}
//	"logged_from":"connection"     or a header's name: where the log has its addresses from
//	"sync":"observe"               plan and report only, whatever SYNC_MODE says
//	"drift":"report","max_release":5,"max_add":50,"ip_set_quota":500
//
// A key that is not known, or there twice, is a problem, and so is one that the mode has no use
// for. What is there and wrong is never replaced by a default; the error names every problem at once.
func ParseTargets(text string) ([]Target, error) {
	return targets.Parse(text, targetKeys, func(f targets.Fields) Target {
		t := readTarget(f)
		f.ClaimName(t.Name)
		t.claim(f)
		return t
	})
}

// claim notes what the target has in common with an earlier one and may not.
func (t Target) claim(f targets.Fields) {
	if t.Mode == ModeWebACL {
		// One rule group may be in a web ACL beside anything; two writers of one web ACL are too many.
		f.Claim("web_acl", t.WebACL, "a web ACL that target %d does not have in the same account, scope and region",
			t.account(), t.Scope, t.Region)
	}
	for i, arn := range t.IPSets {
		f.Claim(fmt.Sprintf("ip_sets[%d]", i), arn, "an ip set that target %d does not have")
	}
}
