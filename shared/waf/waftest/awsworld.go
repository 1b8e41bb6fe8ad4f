package waftest

import "slices"

// world is what there is in a space at some moment, by ARN.
type world struct {
	sets   map[string]*ipSet
	groups map[string]*ruleGroup
	acls   map[string]*webACL
}

// now returns what there is in this moment.
func (c *content) now() world {
	w := world{make(map[string]*ipSet, len(c.sets)), make(map[string]*ruleGroup, len(c.groups)), make(map[string]*webACL, len(c.acls))}
	for _, s := range c.sets {
		w.sets[s.arn] = s
	}
	for _, g := range c.groups {
		w.groups[g.arn] = g
	}
	for _, acl := range c.acls {
		w.acls[acl.arn] = acl
	}
	return w
}

// refersTo tells whether any rule in the space refers to arn.
func (c *content) refersTo(arn string) bool {
	uses := func(one rule) bool { return one.cond.refersTo(arn) }
	for _, acl := range c.acls {
		if slices.ContainsFunc(slices.Concat(acl.all()...), uses) {
			return true
		}
	}
	for _, g := range c.groups {
		if slices.ContainsFunc(g.rules, uses) {
			return true
		}
	}
	return false
}
