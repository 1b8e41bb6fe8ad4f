package waftest

import (
	"encoding/json"
	"slices"
	"strings"
)

// tcMark is what the names and notes of all that is tracewall's have in them.
const tcMark = "tracewall"

// Foreign returns, as canonical text, all that carries no mark of tracewall's: what a run must leave as it is. Policies stand in
// their order and without their places, which a policy of ours above them moves; versions, times and what an
// API call bound a load balancer to are left out.
func (t *Tencent) Foreign() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.foreign()
}

func (t *Tencent) foreign() string {
	var out strings.Builder
	line := func(kind string, v any) {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // strings and numbers
		}
		out.WriteString(kind + " " + string(text) + "\n")
	}
	for _, id := range sortedKeys(t.groups) {
		g := t.groups[id]
		line("security group", []string{g.region, g.id, g.name})
		for _, d := range []struct {
			name string
			list []TencentPolicy
		}{{"ingress", g.ingress}, {"egress", g.egress}} {
			for _, p := range d.list {
				if p.ModifyTime = ""; !t.marked(p) {
					line("  "+d.name, p)
				}
			}
		}
	}
	for _, id := range sortedKeys(t.templates) {
		one := t.templates[id]
		if strings.Contains(one.name, tcMark) {
			continue
		}
		line("address template", []string{one.region, one.id, one.name})
		for _, m := range one.members {
			line("  address", []string{m.text, m.description})
		}
	}
	for _, id := range sortedKeys(t.sets) {
		if set := t.sets[id]; !strings.Contains(set.name, tcMark) {
			line("address template group", []any{set.region, set.id, set.name, set.templates})
		}
	}
	for _, id := range sortedKeys(t.balancers) {
		b := t.balancers[id]
		theirs := []string{} // none is the same as never any
		for _, id := range b.groups {
			if !slices.Contains(b.called, id) {
				theirs = append(theirs, id)
			}
		}
		line("load balancer", []any{b.region, b.id, b.name, theirs})
	}
	for _, e := range t.entries {
		if !strings.Contains(e.note, tcMark) {
			line("access control", []any{e.domain, e.rule, e.action, e.ips, e.note, e.until, e.source, e.job})
		}
	}
	return out.String()
}

// marked tells whether a policy is tracewall's: it says so, or what it refers to does.
func (t *Tencent) marked(p TencentPolicy) bool {
	if strings.Contains(p.PolicyDescription, tcMark) {
		return true
	}
	one, set := t.templates[p.AddressTemplate.AddressId], t.sets[p.AddressTemplate.AddressGroupId]
	return one != nil && strings.Contains(one.name, tcMark) || set != nil && strings.Contains(set.name, tcMark)
}
