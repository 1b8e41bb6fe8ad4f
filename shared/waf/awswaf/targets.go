package awswaf

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
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
	dec := json.NewDecoder(strings.NewReader(text))
	var raws []json.RawMessage
	if err := dec.Decode(&raws); err != nil {
		return nil, fmt.Errorf("targets: want a JSON array of objects: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("targets: want one JSON array and nothing after it")
	}
	if len(raws) == 0 {
		return nil, errors.New("targets: want at least one target, got an empty array")
	}
	var problems []error
	targets := make([]Target, len(raws))
	shared := sharing{names: map[string]int{}, walls: map[string]int{}, sets: map[string]int{}}
	for i, raw := range raws {
		f := targetFields{at: i, problems: &problems}
		if !f.open(raw, "object", targetKeys) {
			continue
		}
		targets[i] = f.read()
		shared.check(f, targets[i])
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return targets, nil
}

// sharing finds what two targets may not have in common, by the number of the first that has it.
// Names are unique in all, since locks, statuses and what an operator says go by them.
type sharing struct{ names, walls, sets map[string]int }

func (s sharing) check(f targetFields, t Target) {
	claim := func(held map[string]int, key, field, value, want string) {
		if j, dup := held[key]; dup {
			f.bad(field, value, fmt.Sprintf(want, j+1))
			return
		}
		held[key] = f.at
	}
	if t.Name != "" {
		claim(s.names, t.Name, "name", t.Name, "a name that target %d does not have")
	}
	if t.Mode == ModeWebACL && t.WebACL != "" {
		// One rule group may be in a web ACL beside anything; two writers of one web ACL are too many.
		claim(s.walls, strings.Join([]string{t.account(), t.Scope, t.Region, t.WebACL}, " "), "web_acl", t.WebACL,
			"a web ACL that target %d does not have in the same account, scope and region")
	}
	for i, arn := range t.IPSets {
		if arn != "" {
			claim(s.sets, arn, fmt.Sprintf("ip_sets[%d]", i), arn, "an ip set that target %d does not have")
		}
	}
}
