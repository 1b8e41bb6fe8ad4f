package waftest

import (
	"math/rand/v2"
	"net/netip"
)

// Moment is a point in the stand-in's history, of all accounts. A later one is greater.
type Moment uint64

// version is what an object was from a moment on; a version of nothing says that it was not there.
type version struct {
	from  Moment
	token string
	set   *ipSet
	group *ruleGroup
	acl   *webACL
}

// Mark returns the present moment. The first Mark begins the history: from then on
// every version of every object is kept, which takes memory.
func (a *AWS) Mark() Moment {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.past == nil {
		a.past = map[space]map[string][]version{}
		for s := range a.spaces {
			a.record(s)
		}
	}
	return a.moment
}

// record keeps what changed in a space since it was last recorded.
func (a *AWS) record(s space) {
	if a.past == nil || s.scope == "" { // a call about tags or associations
		return
	}
	if a.past[s] == nil {
		a.past[s] = map[string][]version{}
	}
	a.moment++
	w, past := a.in(s).now(), a.past[s]
	keep := func(arn string, v version) {
		if old := past[arn]; len(old) == 0 || old[len(old)-1].token != v.token {
			v.from = a.moment
			past[arn] = append(old, v)
		}
	}
	for arn, set := range w.sets {
		copied := *set
		keep(arn, version{token: set.token, set: &copied})
	}
	for arn, group := range w.groups {
		copied := *group
		keep(arn, version{token: group.token, group: &copied})
	}
	for arn, acl := range w.acls {
		copied := *acl
		keep(arn, version{token: acl.token, acl: &copied})
	}
	for arn := range past {
		if w.sets[arn] == nil && w.groups[arn] == nil && w.acls[arn] == nil {
			keep(arn, version{})
		}
	}
}

// Edge returns what a web ACL blocks by address, as Enforced does, at some place of
// AWS's network where changes arrive object by object and in any order: of every IP set, rule group and web ACL
// it takes at random one of the versions that there were between two moments, the first one's and the last
// one's included. An object made or deleted between them may be missing. The same rng gives the same place.
func (v *View) Edge(rng *rand.Rand, region, scope, acl string, from, to Moment) []netip.Prefix {
	v.aws.mu.Lock()
	defer v.aws.mu.Unlock()
	past := v.aws.past[space{v.account, region, scope}]
	w := world{map[string]*ipSet{}, map[string]*ruleGroup{}, map[string]*webACL{}}
	var found *webACL
	for _, arn := range sortedKeys(past) {
		options := between(past[arn], from, to)
		switch one := options[rng.IntN(len(options))]; {
		case one.set != nil:
			w.sets[arn] = one.set
		case one.group != nil:
			w.groups[arn] = one.group
		case one.acl != nil && one.acl.name == acl:
			found = one.acl
		}
	}
	if found == nil {
		return nil
	}
	return found.enforced(w)
}

// between returns the versions that were in force at some time from one moment to another.
func between(versions []version, from, to Moment) []version {
	options := []version{{}} // before the first one there was nothing
	for _, one := range versions {
		switch {
		case one.from > to:
			return options
		case one.from <= from:
			options = []version{one}
		default:
			options = append(options, one)
		}
	}
	return options
}
