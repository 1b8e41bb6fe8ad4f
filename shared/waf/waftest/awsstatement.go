package waftest

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// statement is a rule's condition: one member, whose name says what kind it is.
type statement struct {
	kind      string
	arn       string      // of a reference
	forwarded *forwarded  // of a reference to an IP set
	overrides []override  // of a reference to a rule group
	parts     []statement // of And, Or, Not, and scope-down statements
	group     string      // name of a managed rule group
}

type forwarded struct{ HeaderName, FallbackBehavior, Position string }

type override struct {
	Name        string
	ActionToUse map[string]json.RawMessage
}

// The kinds of statements that the stand-in understands. Any other one is stored,
// costs something and decides nothing.
const (
	kindIPSet   = "IPSetReferenceStatement"
	kindGroup   = "RuleGroupReferenceStatement"
	kindManaged = "ManagedRuleGroupStatement"
	kindRegex   = "RegexPatternSetReferenceStatement"
	kindRate    = "RateBasedStatement"
	kindAnd     = "AndStatement"
	kindOr      = "OrStatement"
	kindNot     = "NotStatement"
)

func parseStatement(raw json.RawMessage) (s statement, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || len(members) != 1 {
		return s, errors.New("a statement has exactly one member")
	}
	for kind, body := range members {
		var known struct {
			ARN, Name              string
			IPSetForwardedIPConfig *forwarded
			RuleActionOverrides    []override
			ExcludedRules          []struct{ Name string }
			Statements             []json.RawMessage
			Statement              json.RawMessage
			ScopeDownStatement     json.RawMessage
		}
		if err := json.Unmarshal(body, &known); err != nil {
			return s, fmt.Errorf("%s: %w", kind, err)
		}
		s = statement{kind: kind, group: known.Name, arn: known.ARN, overrides: known.RuleActionOverrides, forwarded: known.IPSetForwardedIPConfig}
		for _, excluded := range known.ExcludedRules {
			s.overrides = append(s.overrides, override{excluded.Name, map[string]json.RawMessage{"Count": nil}})
		}
		inner := known.Statements
		for _, one := range []json.RawMessage{known.Statement, known.ScopeDownStatement} {
			if one != nil {
				inner = append(inner, one)
			}
		}
		for _, one := range inner {
			part, err := parseStatement(one)
			if err != nil {
				return s, err
			}
			s.parts = append(s.parts, part)
		}
	}
	return s, s.wellFormed()
}

// wellFormed judges one level: how many parts, what may be nested, and the settings of forwarded addresses.
func (s statement) wellFormed() error {
	switch {
	case (s.kind == kindOr || s.kind == kindAnd) && len(s.parts) < 2:
		return fmt.Errorf("%s wants at least two statements", s.kind)
	case s.kind == kindNot && len(s.parts) != 1:
		return errors.New("NotStatement wants one statement")
	}
	for _, p := range s.parts {
		if p.kind == kindGroup || p.kind == kindManaged || p.kind == kindRate {
			return fmt.Errorf("%s cannot be nested", p.kind)
		}
	}
	if f := s.forwarded; f != nil && (!headerPattern.MatchString(f.HeaderName) ||
		f.FallbackBehavior != "MATCH" && f.FallbackBehavior != "NO_MATCH" ||
		f.Position != "FIRST" && f.Position != "LAST" && f.Position != "ANY") {
		return errors.New("IPSetForwardedIPConfig wants a HeaderName, a FallbackBehavior and a Position")
	}
	return nil
}

// cheapGroups are AWS's managed rule groups that cost 50 WCU.
var cheapGroups = []string{
	"AWSManagedRulesBotControlRuleSet", "AWSManagedRulesATPRuleSet", "AWSManagedRulesACFPRuleSet", "AWSManagedRulesAntiDDoSRuleSet",
}

// references returns the ARNs that the statement refers to, each as often as it does.
func (s statement) references() (arns []string) {
	if s.kind == kindIPSet || s.kind == kindGroup || s.kind == kindRegex {
		arns = append(arns, s.arn)
	}
	for _, p := range s.parts {
		arns = append(arns, p.references()...)
	}
	return arns
}

func (s statement) needsOverride() bool { return s.kind == kindGroup || s.kind == kindManaged }

// capacity is in WCU, roughly as AWS counts; exactly so for references to IP sets. What
// a rule group costs is the group's to say.
func (s statement) capacity() (n int) {
	switch s.kind {
	case kindIPSet:
		n = 1
		if s.forwarded != nil && s.forwarded.Position == "ANY" {
			n += 4
		}
	case "GeoMatchStatement", "LabelMatchStatement", "AsnMatchStatement", "SizeConstraintStatement":
		n = 1
	case kindRate:
		n = 2
	case kindRegex:
		n = 25
	case kindManaged:
		n = 700 // as the core rule set
		if slices.Contains(cheapGroups, s.group) {
			n = 50
		}
	case kindAnd, kindOr, kindNot, kindGroup:
	default:
		n = 10
	}
	for _, p := range s.parts {
		n += p.capacity()
	}
	return n
}

// refersTo tells whether the statement refers to arn.
func (s statement) refersTo(arn string) bool { return slices.Contains(s.references(), arn) }
