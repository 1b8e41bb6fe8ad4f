package waftest

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// rule is one rule of a web ACL or rule group, kept in the bytes that were sent.
type rule struct {
	raw      json.RawMessage
	cond     statement
	Name     string
	Priority *int64
	Action   map[string]json.RawMessage
	Override map[string]json.RawMessage `json:"OverrideAction"`
}

// AWS's fixed limits, of a web ACL and of a rule group alike.
const (
	maxReferences = 50
	maxCapacity   = 5000
)

var (
	actions   = []string{"Allow", "Block", "Count", "Captcha", "Challenge"}
	overrides = []string{"None", "Count"}
)

// readRules judges the Rules of a request, each by itself and all together.
func readRules(r request) (rules []rule, refused *apiError) {
	var raws []json.RawMessage
	if raw, ok := r.fields["Rules"]; ok && json.Unmarshal(raw, &raws) != nil {
		return nil, refuse("SerializationException", "Rules is not a list")
	}
	bodies, refused := readBodies(r.fields["CustomResponseBodies"])
	if refused != nil {
		return nil, refused
	}
	names, priorities := map[string]bool{}, map[int64]bool{}
	for _, raw := range raws {
		one, refused := readRule(raw, bodies)
		if refused != nil {
			return nil, refused
		}
		if names[one.Name] || priorities[*one.Priority] {
			return nil, refuse("WAFDuplicateItemException", "rule name %s or priority %d is there twice", one.Name, *one.Priority)
		}
		names[one.Name], priorities[*one.Priority] = true, true
		rules = append(rules, one)
	}
	return rules, nil
}

func readRule(raw json.RawMessage, bodies map[string]bool) (rule, *apiError) {
	one := rule{raw: raw}
	var rest struct {
		Statement        json.RawMessage
		VisibilityConfig json.RawMessage
	}
	if json.Unmarshal(raw, &one) != nil || json.Unmarshal(raw, &rest) != nil || one.Priority == nil || *one.Priority < 0 || !namePattern.MatchString(one.Name) {
		return one, refuse("ValidationException", "a rule lacks a valid Name or Priority")
	}
	if err := checkVisibility(rest.VisibilityConfig); err != nil {
		return one, err
	}
	if len(one.Action)+len(one.Override) != 1 {
		return one, invalid("RULE_ACTION", one.Name, "A rule has exactly one of Action and OverrideAction.")
	}
	for action, settings := range one.Action {
		if !slices.Contains(actions, action) {
			return one, invalid("RULE_ACTION", action, "You must specify exactly one action.")
		}
		if refused := checkResponse(settings, bodies); refused != nil {
			return one, refused
		}
	}
	for action := range one.Override {
		if !slices.Contains(overrides, action) {
			return one, invalid("OVERRIDE_ACTION", action, "You must specify exactly one action.")
		}
	}
	var err error
	if one.cond, err = parseStatement(rest.Statement); err != nil {
		return one, invalid("STATEMENT", one.Name, err.Error())
	}
	if one.cond.needsOverride() != (len(one.Override) == 1) {
		return one, invalid("RULE_ACTION", one.Name, "A rule that refers to a rule group has an OverrideAction, any other an Action.")
	}
	return one, nil
}

// judge checks what rules refer to, and returns what they cost. inGroup says that they are a rule group's own.
func (a *AWS) judge(s space, rules []rule, inGroup bool) (capacity int, refused *apiError) {
	w := a.in(s).now()
	references := 0
	waiting := map[*int]bool{}
	for _, one := range rules {
		if inGroup && one.cond.needsOverride() {
			return 0, invalid("STATEMENT", one.Name, "A rule group cannot hold another rule group.")
		}
		for _, ref := range one.cond.references() {
			references++
			set, group := w.sets[ref], w.groups[ref]
			switch {
			case set != nil:
				waiting[&set.notReady] = true
			case group != nil:
				waiting[&group.notReady] = true
			case strings.Contains(ref, "/regexpatternset/"): // not held here, and taken on trust
			case a.lent[ref] == 0:
				return 0, refuse("WAFNonexistentItemException", "AWS WAF couldn't perform the operation because your resource doesn't exist: %s", ref)
			}
		}
	}
	if references > maxReferences {
		return 0, refuse("WAFLimitsExceededException", "AWS WAF couldn't perform the operation because you exceeded your resource limit: %d references.", references)
	}
	unavailable := false
	for left := range waiting {
		if *left > 0 {
			*left--
			unavailable = true
		}
	}
	if unavailable {
		return 0, refuse("WAFUnavailableEntityException", "AWS WAF couldn't retrieve the resource that you requested. Retry your request.")
	}
	return a.cost(s, rules), nil
}

// cost returns the WCU of rules that need no judging.
func (a *AWS) cost(s space, rules []rule) (capacity int) {
	w := a.in(s).now()
	for _, one := range rules {
		capacity += one.cond.capacity()
		for _, ref := range one.cond.references() {
			if g := w.groups[ref]; g != nil {
				capacity += g.capacity
			}
			capacity += a.lent[ref]
		}
	}
	return capacity
}

// errCapacity is how AWS says that rules need more WCU than there are [knowledge center: "limit exceeded"].
func errCapacity(field string, wants int) *apiError {
	return invalid(field, strconv.Itoa(wants), "You exceeded the capacity limit for a rule group or web ACL.")
}

func (a *AWS) checkCapacity(r request) (any, *apiError) {
	if r.fields["Rules"] == nil {
		return nil, refuse("ValidationException", "Value null at 'rules' failed to satisfy constraint: Member must not be null")
	}
	rules, refused := readRules(r)
	if refused != nil {
		return nil, refused
	}
	capacity, refused := a.judge(r.space(), rules, false)
	if refused != nil {
		return nil, refused
	}
	return map[string]any{"Capacity": capacity}, nil
}
