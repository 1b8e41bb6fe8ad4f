package waftest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Foreign returns, in one canonical text, all that AlibabaOptions.Ours does not call
// tracewall's: protected objects and their groups, templates with their bindings and rules,
// address books with what is in them, Cloud Firewall's books and policies in their relative
// order. A rule is tracewall's if its template is and its name begins with "tracewall": what
// somebody puts into our template by hand is theirs. Times of change are left out.
func (a *Alibaba) Foreign() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var b strings.Builder
	s := &a.state
	fmt.Fprintf(&b, "objects %q\n", s.objects)
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		fmt.Fprintf(&b, "group %q %q\n", name, s.groups[name])
	}
	for _, t := range s.templatesOf("") {
		ours := a.opts.Ours(t.name, t.description)
		if !ours {
			fmt.Fprintf(&b, "template %d %s %q %q %s %d bound %q %q unbound %q %q\n", t.id, t.scene, t.name, t.description, t.kind, t.status, t.bound, t.groups, t.unbound, t.unboundGroups)
		}
		for _, r := range s.rulesOf(t.id) {
			if !ours || !strings.HasPrefix(strings.ToLower(r.name), "tracewall") {
				fmt.Fprintf(&b, "rule %d in %d %q %d %s\n", r.id, t.id, r.name, r.status, canonical(r.config))
			}
		}
	}
	for _, r := range s.rulesOf(0) {
		if r.book == nil || !a.opts.Ours(r.name, r.text("description")) {
			fmt.Fprintf(&b, "global %d %s %q %s", r.id, r.scene, r.name, canonical(r.config))
			if r.book != nil {
				fmt.Fprintf(&b, " %s", r.book.written())
			}
			b.WriteByte('\n')
		}
	}
	a.foreignCloud(&b)
	return b.String()
}

func (a *Alibaba) foreignCloud(b *strings.Builder) {
	for _, book := range a.state.cloudBooks() {
		if !a.opts.Ours(book.name, book.description) {
			fmt.Fprintf(b, "cloud book %s %s %q %q %s\n", book.uuid, book.kind, book.name, book.description, book.list.written())
		}
	}
	for _, direction := range []string{"in", "out"} {
		for _, version := range []int{4, 6} {
			for _, p := range a.state.policies[policyList{direction, version}] {
				if !a.opts.Ours("", p.description) {
					fmt.Fprintf(b, "policy %s/%d %s %q %s %s:%s to %s:%s %s:%s %s %v released %t\n", direction, version, p.uuid, p.description, p.action,
						p.sourceType, p.source, p.destinationType, p.destination, p.destPortType, p.destPort, p.proto, p.apps, p.released)
				}
			}
		}
	}
}

// written returns the addresses as they were written, with their notes, in order.
func (l *addressList) written() string {
	var texts []string
	for _, one := range l.at {
		texts = append(texts, strings.TrimSpace(one.text+" "+one.note))
	}
	slices.Sort(texts)
	return strings.Join(texts, ",")
}

// canonical is an object's JSON with its fields in order.
func canonical(fields map[string]json.RawMessage) string {
	raw, err := json.Marshal(fields)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

func quoted(text string) json.RawMessage {
	raw, err := json.Marshal(text)
	if err != nil {
		return json.RawMessage(`""`)
	}
	return raw
}
