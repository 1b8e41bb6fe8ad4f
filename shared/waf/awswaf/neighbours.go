package awswaf

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// ourPrefix is what all names of ours begin with; a rule group of another target allows nothing.
const ourPrefix = "tracewall-"

// arn returns the web ACL's ARN, "" if it was made by us in this run.
func (a *webACL) arn() (arn string) {
	if json.Unmarshal(a.fields["ARN"], &arn) != nil {
		return ""
	}
	return arn
}

// sequence returns the rules in the order in which AWS WAF tries them: Firewall
// Manager's first ones, the web ACL's own by priority, Firewall Manager's last ones.
func (a *webACL) sequence() []aclRule {
	own := slices.Clone(a.rules)
	slices.SortFunc(own, func(a, b aclRule) int { return cmp.Compare(a.priority, b.priority) })
	return slices.Concat(a.managers("PreProcessFirewallManagerRuleGroups"), own, a.managers("PostProcessFirewallManagerRuleGroups"))
}

// managers reads the rule groups that Firewall Manager puts around the web ACL's own
// rules. They are rules but for the name of their statement.
func (a *webACL) managers(field string) (rules []aclRule) {
	var raws []map[string]json.RawMessage
	if json.Unmarshal(a.fields[field], &raws) != nil {
		return nil
	}
	for _, raw := range raws {
		raw["Statement"] = raw["FirewallManagerStatement"]
		delete(raw, "FirewallManagerStatement")
		if r, err := parseRule(object(raw)); err == nil {
			rules = append(rules, r)
		}
	}
	slices.SortFunc(rules, func(a, b aclRule) int { return cmp.Compare(a.priority, b.priority) })
	return rules
}

// at returns the place of the rule with this name in the sequence.
func (a *webACL) at(name string) int {
	return slices.IndexFunc(a.sequence(), func(r aclRule) bool { return r.name == name })
}

// use describes where the rule at this place of the sequence stands, all but its action and what is protected.
func (a *webACL) use(name string, at int) waf.ACLUse {
	sequence := a.sequence()
	use := waf.ACLUse{Name: name, Rule: sequence[at].name, Priority: sequence[at].priority}
	for i, r := range sequence {
		switch {
		case r.action != "Allow":
		case i < at:
			use.Behind = append(use.Behind, r.name)
		default:
			use.Ahead = append(use.Ahead, r.name)
		}
	}
	use.Behind, use.Ahead = some(use.Behind, maxNeighbours), some(use.Ahead, maxNeighbours)
	var action members
	if json.Unmarshal(a.fields["DefaultAction"], &action) == nil {
		for name := range action {
			use.DefaultAction = name
		}
	}
	return use
}

// passes says in words what lets requests pass before the rule at this place sees them: holes are
// Allow rules that a listed client may satisfy, doubts what only might, or lets the user's friends pass.
func (a *webACL) passes(title string, at int) (holes, doubts []string) {
	sequence := a.sequence()
	ours := sequence[at]
	for _, r := range sequence[:at] {
		switch group := r.group(); {
		case r.action == "Allow" && r.namesAddresses():
			doubts = append(doubts, fmt.Sprintf("rule %s (priority %d) of %s allows the addresses of its IP sets before our rule sees them", r.name, r.priority, title))
		case r.action == "Allow":
			holes = append(holes, fmt.Sprintf(`rule %s (priority %d) of %s allows requests before rule %s (priority %d) sees them, and not by address alone: give rule %s a lower priority ("priority": "first")`,
				r.name, r.priority, title, ours.name, ours.priority, ours.name))
		case group != "":
			doubts = append(doubts, fmt.Sprintf("rule %s (priority %d) of %s refers to %s and comes first: what a rule in there allows, our rule does not see", r.name, r.priority, title, group))
		}
	}
	return holes, doubts
}

// group tells which rule group, of the user or of a vendor other than AWS, a rule
// refers to with its actions in force; "" if none, or one of ours.
func (r *aclRule) group() string {
	var known struct {
		OverrideAction members
		Statement      struct {
			RuleGroupReferenceStatement *struct{ ARN string }
			ManagedRuleGroupStatement   *struct{ VendorName, Name string }
		}
	}
	if json.Unmarshal(r.raw, &known) != nil || known.OverrideAction["Count"] != nil {
		return ""
	}
	switch s := known.Statement; {
	case s.RuleGroupReferenceStatement != nil && !strings.HasPrefix(nameInARN(s.RuleGroupReferenceStatement.ARN), ourPrefix):
		return "rule group " + nameInARN(s.RuleGroupReferenceStatement.ARN)
	case s.ManagedRuleGroupStatement != nil && s.ManagedRuleGroupStatement.VendorName != "AWS":
		return fmt.Sprintf("the managed rule group %s of %s", s.ManagedRuleGroupStatement.Name, s.ManagedRuleGroupStatement.VendorName)
	}
	return ""
}

// namesAddresses tells whether a rule can match only addresses that some IP set of the user names.
func (r *aclRule) namesAddresses() bool {
	var known struct{ Statement members }
	return json.Unmarshal(r.raw, &known) == nil && boundByAddress(known.Statement)
}

// boundByAddress: a reference to an IP set, an And with one, or an Or of nothing else.
func boundByAddress(statement members) bool {
	if len(statement) != 1 {
		return false
	}
	for kind, raw := range statement {
		var parts struct{ Statements []members }
		switch kind {
		case "IPSetReferenceStatement":
			var ref struct{ IPSetForwardedIPConfig json.RawMessage }
			// An address that the client writes into a header names nobody.
			return json.Unmarshal(raw, &ref) == nil && (ref.IPSetForwardedIPConfig == nil || isEmpty(ref.IPSetForwardedIPConfig))
		case "AndStatement":
			return json.Unmarshal(raw, &parts) == nil && slices.ContainsFunc(parts.Statements, boundByAddress)
		case "OrStatement":
			return json.Unmarshal(raw, &parts) == nil && len(parts.Statements) > 0 &&
				!slices.ContainsFunc(parts.Statements, func(s members) bool { return !boundByAddress(s) })
		}
	}
	return false
}
