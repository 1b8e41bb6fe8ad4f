package waftest

import (
	"cmp"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The scenes (DefenseScene) that the stand-in knows. Templates of others can be seeded and listed.
const (
	sceneBook      = "address_book"
	sceneBlacklist = "ip_blacklist"
	sceneCustom    = "custom_acl"
	sceneWhitelist = "whitelist"
)

// What a template is for: everything that is not unbound, or what is bound.
const (
	templateDefault = "user_default"
	templateCustom  = "user_custom"
)

type aliState struct {
	yields    bool                // AlibabaOptions.DefaultYields
	objects   []string            // names of the protected objects, in order of creation
	groups    map[string][]string // protected object groups: names of the objects in them
	templates map[int64]*aliTemplate
	rules     map[int64]*aliRule
	cloud     map[string]*cloudBook
	policies  map[policyList][]*cloudPolicy // in order of priority
}

func newAliState() aliState {
	return aliState{
		groups: map[string][]string{}, templates: map[int64]*aliTemplate{}, rules: map[int64]*aliRule{},
		cloud: map[string]*cloudBook{}, policies: map[policyList][]*cloudPolicy{},
	}
}

type aliTemplate struct {
	id                             int64
	scene, name, description, kind string
	status                         int
	bound, groups                  []string // of a custom template
	unbound, unboundGroups         []string // of a default template
	modified                       time.Time
}

// view shows a template; set takes what a view says over, but for id and scene.
func (t *aliTemplate) view() AlibabaTemplate {
	one := AlibabaTemplate{ID: t.id, Scene: t.scene, Name: t.name, Description: t.description, Default: t.kind == templateDefault, Off: t.status != 1}
	one.Objects, one.Groups = slices.Clone(t.bound), slices.Clone(t.groups)
	if one.Default {
		one.Objects, one.Groups = slices.Clone(t.unbound), slices.Clone(t.unboundGroups)
	}
	return one
}

func (t *aliTemplate) set(one AlibabaTemplate) {
	t.name, t.description, t.kind, t.status = one.Name, one.Description, templateCustom, 1
	if one.Off {
		t.status = 0
	}
	t.bound, t.groups, t.unbound, t.unboundGroups = slices.Clone(one.Objects), slices.Clone(one.Groups), nil, nil
	if one.Default {
		t.kind, t.bound, t.groups, t.unbound, t.unboundGroups = templateDefault, nil, nil, t.bound, t.groups
	}
}

// aliRule is a rule in a template, or, without one, something global: an address book.
type aliRule struct {
	id, template      int64
	scene, name       string
	status            int
	config            map[string]json.RawMessage // as it was sent, without id, name and status
	book              *addressList               // of an address book
	created, modified time.Time
}

// addressList is an ordered set of addresses that grows and shrinks at any size.
type addressList struct {
	at      map[netip.Prefix]*address
	order   []*address // in order of seq; some gone
	seq     int64
	changed time.Time // the last change
}

type address struct {
	prefix   netip.Prefix
	text     string // as it was written
	note     string // Cloud Firewall's
	seq      int64
	gone     bool
	modified time.Time
}

func newAddressList() *addressList { return &addressList{at: map[netip.Prefix]*address{}} }

func (l *addressList) add(p netip.Prefix, text, note string, now time.Time) {
	if one := l.at[p]; one != nil {
		one.modified, one.note = now, note
		return
	}
	l.seq++
	one := &address{prefix: p, text: text, note: note, seq: l.seq, modified: now}
	l.at[p], l.order = one, append(l.order, one)
}

func (l *addressList) remove(p netip.Prefix) {
	one := l.at[p]
	if one == nil {
		return
	}
	one.gone = true
	delete(l.at, p)
	if len(l.order) > 64 && len(l.order) > 2*len(l.at) {
		l.order = slices.DeleteFunc(l.order, func(one *address) bool { return one.gone })
	}
}

func (l *addressList) clear() { l.at, l.order = map[netip.Prefix]*address{}, nil }

// after returns up to n addresses that follow the one with number seq, and whether there are more.
func (l *addressList) after(seq int64, n int, want func(*address) bool) (page []*address, more bool) {
	from, _ := slices.BinarySearchFunc(l.order, seq+1, func(one *address, seq int64) int { return cmp.Compare(one.seq, seq) })
	for _, one := range l.order[from:] {
		if one.gone || !want(one) {
			continue
		}
		if len(page) == n {
			return page, true
		}
		page = append(page, one)
	}
	return page, false
}

func (l *addressList) prefixes() []netip.Prefix {
	all := make([]netip.Prefix, 0, len(l.at))
	for p := range l.at {
		all = append(all, p)
	}
	return tidy(all)
}

// tidy masks, sorts and compacts in place.
func tidy(list []netip.Prefix) []netip.Prefix {
	for i, p := range list {
		list[i] = p.Masked()
	}
	slices.SortFunc(list, comparePrefixes)
	return slices.Compact(list)
}

func comparePrefixes(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

// marked is the default of AlibabaOptions.Ours.
func marked(name, description string) bool {
	begins := func(text string) bool { return strings.HasPrefix(strings.ToLower(text), "tracewall") }
	return (name == "" || begins(name)) && begins(description)
}

// rulesOf returns a template's rules in order of id; those without a template for 0.
func (s *aliState) rulesOf(template int64) []*aliRule {
	var found []*aliRule
	for _, r := range s.rules {
		if r.template == template {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *aliRule) int { return cmp.Compare(a.id, b.id) })
	return found
}

// templatesOf returns the templates of a scene, or of all for "", in order of id.
func (s *aliState) templatesOf(scene string) []*aliTemplate {
	var found []*aliTemplate
	for _, t := range s.templates {
		if scene == "" || t.scene == scene {
			found = append(found, t)
		}
	}
	slices.SortFunc(found, func(a, b *aliTemplate) int { return cmp.Compare(a.id, b.id) })
	return found
}

// covers tells whether a template is in force for a protected object.
func (s *aliState) covers(t *aliTemplate, object string) bool {
	if t.status != 1 {
		return false
	}
	inGroup := func(groups []string) bool {
		return slices.ContainsFunc(groups, func(g string) bool { return slices.Contains(s.groups[g], object) })
	}
	if t.kind == templateDefault {
		return !slices.Contains(t.unbound, object) && !inGroup(t.unboundGroups) && !s.customized(t.scene, object)
	}
	return slices.Contains(t.bound, object) || inGroup(t.groups)
}

// customized tells whether a custom template of the scene keeps the default ones away from an object.
func (s *aliState) customized(scene, object string) bool {
	return s.yields && slices.ContainsFunc(s.templatesOf(scene), func(t *aliTemplate) bool { return t.kind == templateCustom && s.covers(t, object) })
}

// inForce tells whether a template is in force for any protected object.
func (s *aliState) inForce(t *aliTemplate) bool {
	return slices.ContainsFunc(s.objects, func(object string) bool { return s.covers(t, object) })
}
