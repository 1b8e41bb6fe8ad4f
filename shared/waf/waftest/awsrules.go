package waftest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// statement is a rule's condition: one member, whose name says what kind it is.
type statement struct {
	kind  string
	arn   string      // of a reference
	any   bool        // forwarded addresses, all of them
	parts []statement // of And, Or, Not, and scope-down statements
}

func parseStatement(raw json.RawMessage) (s statement, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || len(members) != 1 {
		return s, errors.New("a statement has exactly one member")
	}
	for kind, body := range members {
		var known struct {
			ARN                    string
			IPSetForwardedIPConfig struct{ Position string }
			Statements             []json.RawMessage
			Statement              json.RawMessage
			ScopeDownStatement     json.RawMessage
		}
		if err := json.Unmarshal(body, &known); err != nil {
			return s, fmt.Errorf("%s: %w", kind, err)
		}
		s.kind, s.arn, s.any = kind, known.ARN, known.IPSetForwardedIPConfig.Position == "ANY"
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
	if (s.kind == "OrStatement" || s.kind == "AndStatement") && len(s.parts) < 2 {
		return s, fmt.Errorf("%s wants at least two statements", s.kind)
	}
	return s, nil
}

func (s statement) sets() (arns []string) {
	if s.kind == "IPSetReferenceStatement" {
		arns = append(arns, s.arn)
	}
	for _, p := range s.parts {
		arns = append(arns, p.sets()...)
	}
	return arns
}

func (s statement) otherReferences() (n int) {
	if s.kind == "RuleGroupReferenceStatement" || s.kind == "RegexPatternSetReferenceStatement" {
		n = 1
	}
	for _, p := range s.parts {
		n += p.otherReferences()
	}
	return n
}

func (s statement) needsOverride() bool {
	return s.kind == "RuleGroupReferenceStatement" || s.kind == "ManagedRuleGroupStatement"
}

// capacity is in WCU, roughly as AWS counts.
func (s statement) capacity() (n int) {
	switch s.kind {
	case "IPSetReferenceStatement":
		n = 1
		if s.any {
			n += 4
		}
	case "GeoMatchStatement":
		n = 1
	case "RateBasedStatement":
		n = 2
	case "ManagedRuleGroupStatement":
		n = 700
	case "AndStatement", "OrStatement", "NotStatement":
	default:
		n = 10
	}
	for _, p := range s.parts {
		n += p.capacity()
	}
	return n
}

// matches tells whether a request from addr satisfies the statement, as far as its
// address decides that; conditions on anything else are taken as not met.
func (s statement) matches(addr netip.Addr, sets map[string]*ipSet) bool {
	switch s.kind {
	case "IPSetReferenceStatement":
		set := sets[s.arn]
		return set != nil && slices.ContainsFunc(set.addresses, func(p netip.Prefix) bool { return p.Contains(addr) })
	case "OrStatement":
		return slices.ContainsFunc(s.parts, func(p statement) bool { return p.matches(addr, sets) })
	case "AndStatement":
		return !slices.ContainsFunc(s.parts, func(p statement) bool { return !p.matches(addr, sets) })
	case "NotStatement":
		return len(s.parts) == 1 && !s.parts[0].matches(addr, sets)
	}
	return false
}

func (c *content) byARN() map[string]*ipSet {
	sets := make(map[string]*ipSet, len(c.sets))
	for _, s := range c.sets {
		sets[s.arn] = s
	}
	return sets
}

func (a *AWS) webACL(region, scope, name string) (*content, *webACL, error) {
	c := a.in(space{region, scope})
	acl := c.acls[name]
	if acl == nil {
		return nil, nil, fmt.Errorf("web acl %s in %s %s: %w", name, scope, region, errNoWebACL)
	}
	return c, acl, nil
}

// Enforced returns what a web ACL blocks by address, in order: the content of every
// IP set that a rule with action Block refers to alone or in an OR. Empty if there is no such web ACL.
func (a *AWS) Enforced(region, scope, name string) []netip.Prefix {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, acl, err := a.webACL(region, scope, name)
	if err != nil {
		return nil
	}
	sets := c.byARN()
	var list []netip.Prefix
	for _, one := range acl.rules {
		s, err := parseStatement(one.Statement)
		if err != nil || one.Action["Block"] == nil || s.kind != "OrStatement" && s.kind != "IPSetReferenceStatement" {
			continue
		}
		for _, part := range append([]statement{s}, s.parts...) {
			if set := sets[part.arn]; part.kind == "IPSetReferenceStatement" && set != nil {
				list = append(list, set.addresses...)
			}
		}
	}
	slices.SortFunc(list, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	return slices.Compact(list)
}

// Evaluate returns what the web ACL does with a request from addr (Allow, Block, …) and
// the name of the rule that decides, "" for the default action. Counting rules decide nothing.
func (a *AWS) Evaluate(region, scope, name string, addr netip.Addr) (action, by string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, acl, err := a.webACL(region, scope, name)
	if err != nil {
		return "", "", err
	}
	rules := slices.Clone(acl.rules)
	slices.SortFunc(rules, func(a, b rule) int { return int(*a.Priority - *b.Priority) })
	sets := c.byARN()
	for _, one := range rules {
		s, err := parseStatement(one.Statement)
		if err != nil || !s.matches(addr, sets) {
			continue
		}
		for action := range one.Action {
			if action != "Count" {
				return action, one.Name, nil
			}
		}
	}
	var fallback map[string]json.RawMessage
	if err := json.Unmarshal(acl.fields["DefaultAction"], &fallback); err != nil {
		return "", "", err
	}
	for action := range fallback {
		return action, "", nil
	}
	return "", "", nil
}

// Snapshot returns a web ACL as GetWebACL shows it, field by field, in the bytes that were sent.
func (a *AWS) Snapshot(region, scope, name string) (map[string]json.RawMessage, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, acl, err := a.webACL(region, scope, name)
	if err != nil {
		return nil, err
	}
	return acl.get(), nil
}

// Rules returns the rules of a web ACL by name, in the bytes that were sent.
func (a *AWS) Rules(region, scope, name string) (map[string]string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, acl, err := a.webACL(region, scope, name)
	if err != nil {
		return nil, err
	}
	rules := map[string]string{}
	for _, one := range acl.rules {
		rules[one.Name] = string(one.raw)
	}
	return rules, nil
}

// Sets returns the names and sizes of all IP sets of a Region and scope.
func (a *AWS) Sets(region, scope string) map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	sizes := map[string]int{}
	for name, s := range maps.All(a.in(space{region, scope}).sets) {
		sizes[name] = len(s.addresses)
	}
	return sizes
}
