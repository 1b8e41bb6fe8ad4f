package awswaf

import (
	"encoding/json"
	"slices"
	"strings"
)

// ruleStands tells whether a rule is as configured, whichever of our sets it refers
// to and whatever its priority is.
//
// It is compared with the rule that we would make for the same sets. What we would
// write must be there. What is there beside it may be of a future AWS that
// fills in a default; taking that for somebody's edit would mean a write in every run, for
// ever. So members that nobody here knows are passed over, but not where they could change
// whom the rule meets or what it does to them: a second kind of statement or of action, a member that holds
// a statement, and every member that this SDK knows and we leave out.
func (f *Firewall) ruleStands(r aclRule) bool {
	var got, want any
	if json.Unmarshal(r.raw, &got) != nil || json.Unmarshal(f.ourRule(r.ipSets, r.priority), &want) != nil {
		return false
	}
	return sameMember("", got, want)
}

// decisive are members of a rule that the SDK knows, that change what it does, and that we never write, or not always.
var decisive = []string{
	"OverrideAction", "RuleLabels", "CaptchaConfig", "ChallengeConfig",
	"IPSetForwardedIPConfig", "CustomResponse", "CustomRequestHandling", "CustomResponseBodyKey", "ResponseHeaders",
}

// sameMember compares the value of a member, by its name, with what we would write there.
func sameMember(name string, got, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		return ok && sameObject(name, got, want)
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			return false
		}
		if name == "ResponseHeaders" { // a set of headers: AWS promises no order
			byName := func(a, b any) int { return strings.Compare(headerOf(a), headerOf(b)) }
			got, want = slices.SortedFunc(slices.Values(got), byName), slices.SortedFunc(slices.Values(want), byName)
		}
		element := strings.TrimSuffix(name, "s") // what is in Statements is a Statement
		return slices.EqualFunc(got, want, func(g, w any) bool { return sameMember(element, g, w) })
	case string:
		got, ok := got.(string)
		return ok && (got == want || (name == "HeaderName" || name == "Name") && strings.EqualFold(got, want))
	}
	return got == want
}

func sameObject(name string, got, want map[string]any) bool {
	for key, w := range want {
		g, there := got[key]
		if !there || !sameMember(key, g, w) {
			return false
		}
	}
	for key, g := range got {
		_, ours := want[key]
		switch {
		case ours, g == nil:
		case name == "Statement", name == "Action": // {} is a value there
			return false
		case isNothing(g):
		case slices.Contains(decisive, key), strings.Contains(key, "Statement"):
			return false
		}
	}
	return true
}

// isNothing tells values with which AWS says that a member is not set.
func isNothing(v any) bool {
	switch v := v.(type) {
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// headerOf returns the name of a header, in lower case.
func headerOf(v any) string {
	m, _ := v.(map[string]any)
	name, _ := m["Name"].(string)
	return strings.ToLower(name)
}
