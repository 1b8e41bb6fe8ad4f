package awswaf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// webACL is a web ACL as GetWebACL returned it, byte for byte, with as much
// understanding of it as we need.
type webACL struct {
	id, token   string
	fields      map[string]json.RawMessage
	rules       []aclRule
	managed     bool // by Firewall Manager, which made it
	retrofitted bool // by Firewall Manager: the user's own, with its rule groups put around
}

type aclRule struct {
	raw      json.RawMessage
	name     string
	priority int64
	action   string   // Allow, Block, Count, …; "" for a rule group
	ipSets   []string // ARNs that the rule refers to, however deep in it
	others   int      // references to rule groups and regex pattern sets
}

// parseWebACL reads the answer of GetWebACL.
func parseWebACL(answer []byte) (*webACL, error) {
	var outer struct{ WebACL json.RawMessage }
	if err := json.Unmarshal(answer, &outer); err != nil {
		return nil, fmt.Errorf("answer: %w: %w", waf.ErrInvalid, err)
	}
	acl := &webACL{}
	if err := json.Unmarshal(outer.WebACL, &acl.fields); err != nil || acl.fields == nil {
		return nil, fmt.Errorf("answer has no web acl: %w", waf.ErrInvalid)
	}
	var raws []json.RawMessage
	if r, ok := acl.fields["Rules"]; ok {
		if err := json.Unmarshal(r, &raws); err != nil {
			return nil, fmt.Errorf("rules: %w: %w", waf.ErrInvalid, err)
		}
	}
	for _, raw := range raws {
		rule, err := parseRule(raw)
		if err != nil {
			return nil, err
		}
		acl.rules = append(acl.rules, rule)
	}
	acl.managed = isTrue(acl.fields["ManagedByFirewallManager"])
	acl.retrofitted = isTrue(acl.fields["RetrofittedByFirewallManager"])
	return acl, nil
}

// raws returns the rules in their bytes.
func (a *webACL) raws() []json.RawMessage {
	list := make([]json.RawMessage, len(a.rules))
	for i, r := range a.rules {
		list[i] = r.raw
	}
	return list
}

func isTrue(raw json.RawMessage) bool { return string(bytes.TrimSpace(raw)) == "true" }

func parseRule(raw json.RawMessage) (aclRule, error) {
	var known struct {
		Name      string
		Priority  int64
		Statement any
		Action    members
	}
	if err := json.Unmarshal(raw, &known); err != nil {
		return aclRule{}, fmt.Errorf("rule: %w: %w", waf.ErrInvalid, err)
	}
	rule := aclRule{raw: raw, name: known.Name, priority: known.Priority}
	for action := range known.Action {
		rule.action = action
	}
	rule.collect(known.Statement)
	return rule, nil
}

// collect walks a statement of any depth, unknown kinds included, for references.
func (r *aclRule) collect(v any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			r.collect(e)
		}
	case map[string]any:
		for key, e := range v {
			switch key {
			case "IPSetReferenceStatement":
				if m, ok := e.(map[string]any); ok {
					arn, _ := m["ARN"].(string)
					r.ipSets = append(r.ipSets, arn)
				}
			case "RuleGroupReferenceStatement", "RegexPatternSetReferenceStatement":
				r.others++
			default:
				r.collect(e)
			}
		}
	}
}

// ours returns the rule with our name, nil if there is none.
func (a *webACL) ours(name string) *aclRule {
	for i := range a.rules {
		if a.rules[i].name == name {
			return &a.rules[i]
		}
	}
	return nil
}

func (a *webACL) ourRefs(name string) []string {
	if r := a.ours(name); r != nil {
		return r.ipSets
	}
	return nil
}

// checkOurs refuses a rule that has our name and refers to anything but our sets.
// setLikeOurs tells ARNs with one of our names: such a set that was not listed came meanwhile.
func (a *webACL) checkOurs(name string, ours map[string]bool, setLikeOurs func(arn string) bool) error {
	r := a.ours(name)
	if r == nil {
		return nil
	}
	if len(r.ipSets) == 0 || r.others > 0 {
		return fmt.Errorf("rule %s: %w: it does not consist of references to our ip sets; rename it", name, waf.ErrForeign)
	}
	for _, arn := range r.ipSets {
		switch {
		case ours[arn]:
		case setLikeOurs(arn):
			return fmt.Errorf("rule %s: %w: it refers to %s, which was not listed", name, waf.ErrConflict, arn)
		default:
			return fmt.Errorf("rule %s: %w: it refers to %s, %w; rename the rule", name, waf.ErrForeign, arn, errForeignSet)
		}
	}
	return nil
}

// foreignRefs counts the references of all rules but ours, Firewall Manager's among them.
func (a *webACL) foreignRefs(name string) (n int) {
	for _, r := range a.rules {
		if r.name != name {
			n += len(r.ipSets) + r.others
		}
	}
	for _, field := range []string{"PreProcessFirewallManagerRuleGroups", "PostProcessFirewallManagerRuleGroups"} {
		var groups any
		if raw := a.fields[field]; len(raw) > 0 && json.Unmarshal(raw, &groups) == nil {
			var r aclRule
			r.collect(groups)
			n += len(r.ipSets) + r.others
		}
	}
	return n
}

func (a *webACL) refersTo(arn string) bool {
	return slices.ContainsFunc(a.rules, func(r aclRule) bool { return slices.Contains(r.ipSets, arn) })
}

// refsKey is the identity of a list of references.
func refsKey(arns []string) string {
	arns = slices.Clone(arns)
	slices.Sort(arns)
	return strings.Join(slices.Compact(arns), " ")
}
