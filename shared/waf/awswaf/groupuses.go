package awswaf

import (
	"encoding/json"
	"fmt"
	"regexp"
)

// groupNames matches the names of a target's rule groups.
func groupNames(base string) *regexp.Regexp {
	return regexp.MustCompile(`^` + regexp.QuoteMeta(base) + `-([0-9]{3})$`)
}

// groupReference returns the ARN of the rule group that a rule refers to, "" if it refers to none.
func (r aclRule) groupReference() string {
	var known struct {
		Statement struct {
			RuleGroupReferenceStatement struct{ ARN string }
		}
	}
	if json.Unmarshal(r.raw, &known) != nil {
		return ""
	}
	return known.Statement.RuleGroupReferenceStatement.ARN
}

// leftOfGroups notes, in mode web-acl, rules that refer to rule groups of the same
// target: what is left of mode rule-group. Both block the same sets, so there is no hurry.
func (a *webACL) leftOfGroups(base string) (notes []string) {
	names := groupNames(base)
	for _, r := range a.rules {
		if name := nameInARN(r.groupReference()); names.MatchString(name) {
			notes = append(notes, fmt.Sprintf("rule %s (priority %d) refers to rule group %s, which is left of mode %s: once our own rule is proven in force, delete that rule and detach mode %s",
				r.name, r.priority, name, ModeRuleGroup, ModeRuleGroup))
		}
	}
	return notes
}
