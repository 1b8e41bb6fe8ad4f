package awswaf

import (
	"encoding/json"
	"testing"
)

// TargetKeys are the keys of a target in WAF_TARGETS.
var TargetKeys = targetKeys

// Fields is the JSON form in which a Target is checked.
func Fields(t Target) map[string]any { return t.fields() }

// OurRule is the generated rule.
func OurRule(f *Firewall, arns []string, priority int64) json.RawMessage {
	return f.ourRule(arns, priority)
}

// RuleStands tells whether a rule is as f would make it.
func RuleStands(f *Firewall, raw json.RawMessage) bool {
	rule, err := parseRule(raw)
	return err == nil && f.ruleStands(rule)
}

// Bodies is the map of custom response bodies that the rule needs.
func Bodies(f *Firewall) json.RawMessage { return f.bodies() }

// BodiesStand tells whether our body is in a map as f would make it.
func BodiesStand(f *Firewall, raw json.RawMessage) bool { return f.bodiesStand(raw) }

// Notes are what a target says about addresses.
func (t Target) Notes() []string { return t.notes() }

// CanExcept tells whether the rule can spare addresses.
func (t Target) CanExcept() bool { return t.canExcept() }

// ACLNotes are the priority that our rule shall have in a web ACL, and what is to be said about the web ACL.
func ACLNotes(t Target, name string, answer []byte) (priority int64, notes []string, err error) {
	acl, err := parseWebACL(answer)
	if err != nil {
		return 0, nil, err
	}
	return acl.priorityFor(name, t), acl.notes(name, t), nil
}

// OutputOnly are the members of a web ACL that no request may have.
var OutputOnly = outputOnly

// Request is the body of the UpdateWebACL that makes our rule refer to one set.
func Request(t *testing.T, f *Firewall, arn string) map[string]json.RawMessage {
	t.Helper()
	if _, err := f.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := f.place.(*webACLPlace)
	next, _, err := p.merge([]string{arn})
	if err != nil {
		t.Fatal(err)
	}
	var sent map[string]json.RawMessage
	if err := json.Unmarshal(next.request(p.target, next.raws()), &sent); err != nil {
		t.Fatal(err)
	}
	return sent
}

// KindOfSet tells which of a target's sets has this name: "block", "except", or "" for none.
func KindOfSet(base, name string) string {
	switch {
	case !setNames(base).MatchString(name):
		return ""
	case isExcept(name):
		return "except"
	}
	return "block"
}
