package waftest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// errNoObject is returned by the inspecting methods.
var errNoObject = errors.New("there is no such object")

func (v *View) webACL(region, scope, name string) (*content, *webACL, error) {
	c := v.aws.in(space{v.account, region, scope})
	acl := c.acls[name]
	if acl == nil {
		return nil, nil, fmt.Errorf("web acl %s in %s %s: %w", name, scope, region, errNoObject)
	}
	return c, acl, nil
}

// Enforced returns what a web ACL blocks by address, in order: the addresses from which
// every request meets a rule with action Block, Captcha or Challenge, its own or one of a rule group
// that it refers to. Rules that allow are left aside; Evaluate knows them. Prefixes are as they stand in the IP
// sets, cut only where an exception covers a part. Empty if there is no such web ACL.
func (v *View) Enforced(region, scope, name string) []netip.Prefix {
	v.aws.mu.Lock()
	defer v.aws.mu.Unlock()
	c, acl, err := v.webACL(region, scope, name)
	if err != nil {
		return nil
	}
	return acl.enforced(c.now())
}

// EnforcedIn returns what a rule group would block by address where a web ACL refers to it.
func (v *View) EnforcedIn(region, scope, group string) []netip.Prefix {
	v.aws.mu.Lock()
	defer v.aws.mu.Unlock()
	c := v.aws.in(space{v.account, region, scope})
	g := c.groups[group]
	if g == nil {
		return nil
	}
	return enforced(c.now(), g.rules, nil).prefixes()
}

func (acl *webACL) enforced(w world) []netip.Prefix {
	return enforced(w, slices.Concat(acl.all()...), nil).prefixes()
}

// enforced unites what the rules block, some of which may be overridden.
func enforced(w world, rules []rule, overridden []override) area {
	var parts []area
	for _, one := range rules {
		if g := w.groups[one.cond.arn]; one.cond.kind == kindGroup && g != nil {
			if _, counts := one.Override["Count"]; !counts {
				parts = append(parts, enforced(w, g.rules, one.cond.overrides))
			}
			continue
		}
		if action := one.action(overridden); action == "Block" || action == "Captcha" || action == "Challenge" {
			parts = append(parts, one.cond.area(w, true))
		}
	}
	return union(parts)
}

// action returns the name of what a rule does; "" for a rule that refers to a group.
func (one rule) action(overridden []override) string {
	action := one.Action
	for _, o := range overridden {
		if o.Name == one.Name {
			action = o.ActionToUse
		}
	}
	for name := range action {
		return name
	}
	return ""
}

// Evaluate returns what the web ACL does with a request from addr (Allow, Block, …) and
// the name of the rule that decides, "group's rule/rule" in a rule group, "" for the default action. Counting
// rules decide nothing, nor do conditions on anything but the address.
func (v *View) Evaluate(region, scope, name string, addr netip.Addr) (action, by string, err error) {
	v.aws.mu.Lock()
	defer v.aws.mu.Unlock()
	c, acl, err := v.webACL(region, scope, name)
	if err != nil {
		return "", "", err
	}
	w := c.now()
	for _, rules := range acl.all() {
		if action, by := evaluate(w, rules, nil, addr); action != "" {
			return action, by, nil
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

func evaluate(w world, rules []rule, overridden []override, addr netip.Addr) (action, by string) {
	rules = slices.Clone(rules)
	slices.SortFunc(rules, func(a, b rule) int { return int(*a.Priority - *b.Priority) })
	for _, one := range rules {
		if g := w.groups[one.cond.arn]; one.cond.kind == kindGroup && g != nil {
			if _, counts := one.Override["Count"]; counts {
				continue
			}
			if action, by := evaluate(w, g.rules, one.cond.overrides, addr); action != "" {
				return action, one.Name + "/" + by
			}
			continue
		}
		if action := one.action(overridden); action != "Count" && action != "" && one.cond.matches(w, addr, true) {
			return action, one.Name
		}
	}
	return "", ""
}

// matches tells whether addr is in the statement's area.
func (s statement) matches(w world, addr netip.Addr, sure bool) bool {
	switch s.kind {
	case kindIPSet:
		set := w.sets[s.arn]
		return set != nil && slices.ContainsFunc(set.addresses, func(p netip.Prefix) bool { return p.Contains(addr) })
	case kindOr:
		return slices.ContainsFunc(s.parts, func(p statement) bool { return p.matches(w, addr, sure) })
	case kindAnd:
		return !slices.ContainsFunc(s.parts, func(p statement) bool { return !p.matches(w, addr, sure) })
	case kindNot:
		return !s.parts[0].matches(w, addr, !sure)
	}
	return !sure
}

// Snapshot returns a web ACL as GetWebACL shows it, field by field, in the bytes that were sent.
func (v *View) Snapshot(region, scope, name string) (map[string]json.RawMessage, error) {
	v.aws.mu.Lock()
	defer v.aws.mu.Unlock()
	_, acl, err := v.webACL(region, scope, name)
	if err != nil {
		return nil, err
	}
	return acl.get(v.account), nil
}

// Rules returns the rules of a web ACL by name, in the bytes that were sent.
func (v *View) Rules(region, scope, name string) (map[string]string, error) {
	v.aws.mu.Lock()
	defer v.aws.mu.Unlock()
	_, acl, err := v.webACL(region, scope, name)
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
func (v *View) Sets(region, scope string) map[string]int {
	v.aws.mu.Lock()
	defer v.aws.mu.Unlock()
	sizes := map[string]int{}
	for name, s := range v.aws.in(space{v.account, region, scope}).sets {
		sizes[name] = len(s.addresses)
	}
	return sizes
}

// Groups returns all rule groups of a Region and scope by name, as GetRuleGroup shows them.
func (v *View) Groups(region, scope string) map[string]map[string]json.RawMessage {
	v.aws.mu.Lock()
	defer v.aws.mu.Unlock()
	groups := map[string]map[string]json.RawMessage{}
	for name, g := range v.aws.in(space{v.account, region, scope}).groups {
		groups[name] = g.get(v.account)
	}
	return groups
}
