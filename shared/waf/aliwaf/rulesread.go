package aliwaf

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// readTemplates finds our templates among those of the scene. A template of ours has our name and our
// mark; one that has only the name or only the mark is left alone, and said to be there.
func (b *blacklist) readTemplates(ctx context.Context) error {
	all, err := b.listTemplates(ctx, sceneBlacklist, "")
	if err != nil {
		return err
	}
	b.templates, b.taken, b.theirs, b.total = nil, map[int]bool{}, "", len(all)
	names := b.templateNames()
	for _, t := range all {
		stamp, marked := b.readMark(t.Description)
		m := names.FindStringSubmatch(t.Name)
		switch {
		case m != nil && marked:
			n, _ := strconv.Atoi(m[1])
			b.templates = append(b.templates, &setTemplate{
				id: t.ID, number: n, name: t.Name, description: t.Description, stamp: stamp, on: t.Status == 1, byDefault: t.Type == templateDefault,
			})
			continue
		case m != nil:
			n, _ := strconv.Atoi(m[1])
			b.taken[n] = true
			b.note("template %s has a name of ours but not our mark %q in its description: it is left alone; rename it, or put the mark there if it is this target's", t.Name, b.mark())
		case marked:
			b.note("template %s has our mark in its description but not our name: it is left alone; take the mark out", printable(t.Name, maxName))
		}
		if t.Type == templateDefault && b.theirs == "" {
			b.theirs = t.Name
		}
	}
	slices.SortFunc(b.templates, func(x, y *setTemplate) int { return cmp.Or(cmp.Compare(x.number, y.number), cmp.Compare(x.id, y.id)) })
	return nil
}

// readRules reads what our templates hold.
func (b *blacklist) readRules(ctx context.Context) error {
	b.rules = map[string]*setRule{}
	names := b.ruleNames()
	var again []*setRule // their names are in use
	for _, t := range b.templates {
		all, err := b.listRules(ctx, typeTemplate, "", ruleQuery{Scene: sceneBlacklist, TemplateID: t.id})
		if err != nil {
			return err
		}
		t.ours, t.other = 0, 0
		slices.SortFunc(all, func(x, y rule) int { return cmp.Compare(x.ID, y.ID) })
		for _, one := range all {
			if one.TemplateID != 0 && one.TemplateID != t.id {
				continue
			}
			if !names.MatchString(one.Name) {
				t.other++
				continue
			}
			r, err := readSetRule(one, t)
			if err != nil {
				return err
			}
			t.ours++
			if b.rules[r.name] != nil {
				again = append(again, r)
				continue
			}
			b.rules[r.name] = r
		}
		if t.other > 0 {
			b.note("template %s holds %d rules that are not ours: they are left alone, and they take places of ours", t.name, t.other)
		}
	}
	for _, r := range again {
		name := b.freeName(r)
		b.note("there are two rules %s: the later one counts as %s", r.name, name)
		b.rules[name] = r
	}
	return nil
}

// freeName returns a name of the rule's family that no set has.
func (b *blacklist) freeName(r *setRule) string {
	family := waf.IPv4
	if strings.HasPrefix(r.name, b.name+"-v6-") {
		family = waf.IPv6
	}
	for n := 1; ; n++ {
		if name := waf.SetName(b.name, family, n); b.rules[name] == nil {
			return name
		}
	}
}

// setConfig is a rule's Config, and what is sent to make or change one. Status can only be said when it is made.
type setConfig struct {
	ID         int64    `json:"id,omitempty"`
	Name       string   `json:"name"`
	RemoteAddr []string `json:"remoteAddr"`
	Action     string   `json:"action"`
	Status     *int     `json:"status,omitempty"`
}

// readSetRule takes a rule of ours apart. A Config that cannot be read is an error and not an empty rule:
// what is not understood must not be written over.
func readSetRule(one rule, t *setTemplate) (*setRule, error) {
	var config setConfig
	if err := json.Unmarshal([]byte(one.Config), &config); err != nil || config.RemoteAddr == nil {
		return nil, fmt.Errorf("read rule %s: %w: its Config is not the JSON that was expected", printable(one.Name, maxName), waf.ErrUnavailable)
	}
	r := &setRule{id: one.ID, name: one.Name, in: t, on: one.Status == 1, action: config.Action}
	for _, text := range config.RemoteAddr {
		p, err := readAddress(text)
		if err != nil {
			r.odd++
			continue
		}
		r.prefixes = append(r.prefixes, p)
	}
	r.prefixes = inOrder(r.prefixes)
	return r, nil
}

// inOrder sorts and compacts in place.
func inOrder(list []netip.Prefix) []netip.Prefix {
	slices.SortFunc(list, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return slices.Compact(list)
}

// note adds a line for people; names in it are the cloud's.
func (b *blacklist) note(format string, args ...any) {
	b.notes = append(b.notes, notice(format, args...))
}
