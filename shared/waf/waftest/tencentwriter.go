package waftest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// TencentWriter is the other one who works where tracewall does: the user in the console. It inserts, describes and
// removes policies of its own, at any place of the group, changes its address template, binds its own security group to the
// load balancers, and keeps its own entries in WAF's access control list. What carries tracewall's mark
// is not its business.
//
// Its edits make no calls. It may be used from Tencent.Before and Tencent.After, by one goroutine at a time.
type TencentWriter struct {
	cloud  *Tencent
	rng    *rand.Rand
	group  string // whose policies it edits; "" for none
	domain string // whose access control list; "" for none
	own    string // a security group of its own
	made   int    // names given so far

	did  []string
	want string // what Foreign was after its last edit
}

// Writer returns one who edits a security group and the access control list of a domain; "" for neither. It makes an
// address template and a security group of its own in the group's Region. The same seed gives the same edits in the same state.
func (t *Tencent) Writer(seed uint64, group, domain string) *TencentWriter {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := &TencentWriter{cloud: t, rng: rand.New(rand.NewPCG(seed, 3)), group: group, domain: domain}
	if g := t.groups[group]; g != nil {
		now := t.opts.Now()
		one := &tcTemplate{tcKept: t.keep("ipm", g.region, "writer")}
		m, _ := t.member("198.51.100.7", "") // well-formed
		one.members = []tcMember{m}
		t.templates[one.id] = one
		own := &tcGroup{id: t.id("sg"), region: g.region, name: "writer", created: now, updated: now}
		t.groups[own.id], w.own = own, own.id
	}
	w.want = t.foreign()
	return w
}

// Edit makes one random edit and says what it was.
func (w *TencentWriter) Edit() (string, error) {
	t := w.cloud
	t.mu.Lock()
	defer t.mu.Unlock()
	var kinds []func() (string, *tcError)
	if t.groups[w.group] != nil {
		kinds = append(kinds, w.insert, w.insert, w.strike, w.describe, w.template, w.bind)
	}
	if w.domain != "" {
		kinds = append(kinds, w.enter, w.enter, w.note, w.leave)
	}
	if kinds == nil {
		return "", fmt.Errorf("second writer: %w", errNoObject)
	}
	did, refused := kinds[w.rng.IntN(len(kinds))]()
	if refused != nil {
		return "", fmt.Errorf("second writer: %s: %w", did, refused)
	}
	w.did = append(w.did, did)
	w.want = t.foreign()
	return did, nil
}

// Did returns what the writer did so far, in order.
func (w *TencentWriter) Did() []string {
	w.cloud.mu.Lock()
	defer w.cloud.mu.Unlock()
	return slices.Clone(w.did)
}

// Lost returns, line by line of Foreign, what is no longer as it was after the writer's last edit: "- " what is gone, "+ " what
// is new. Empty means that nobody overwrote it.
func (w *TencentWriter) Lost() (lost []string) {
	w.cloud.mu.Lock()
	defer w.cloud.mu.Unlock()
	want, got := strings.Split(w.want, "\n"), strings.Split(w.cloud.foreign(), "\n")
	for _, d := range []struct {
		sign       string
		have, from []string
	}{{"- ", got, want}, {"+ ", want, got}} {
		for _, line := range d.from {
			if !slices.Contains(d.have, line) {
				lost = append(lost, d.sign+line)
			}
		}
	}
	if lost == nil && !slices.Equal(want, got) {
		lost = []string{"another order"}
	}
	return lost
}

func (w *TencentWriter) name(kind string) string {
	w.made++
	return fmt.Sprintf("writer's %s %d", kind, w.made)
}

// theirs returns the places of the policies that are not tracewall's.
func (w *TencentWriter) theirs() (g *tcGroup, places []int) {
	g = w.cloud.groups[w.group]
	for i, p := range g.ingress {
		if !w.cloud.marked(p) {
			places = append(places, i)
		}
	}
	return g, places
}

func (w *TencentWriter) insert() (string, *tcError) {
	g, places := w.theirs()
	if len(places) > 20 {
		return "insert nothing", nil
	}
	p := TencentPolicy{
		Protocol: "TCP", Port: fmt.Sprint(1000 + w.made), CidrBlock: fmt.Sprintf("198.51.100.%d", w.rng.IntN(256)),
		Action: []string{"ACCEPT", "DROP"}[w.rng.IntN(2)], PolicyDescription: w.name("policy"),
	}
	at := w.rng.IntN(2) * w.rng.IntN(len(g.ingress)+1) // every second one on top
	_, refused := w.cloud.write(g, &g.ingress, slices.Insert(slices.Clone(g.ingress), at, p))
	return fmt.Sprintf("insert policy %q at %d", p.PolicyDescription, at), refused
}

func (w *TencentWriter) strike() (string, *tcError) {
	g, places := w.theirs()
	if len(places) < 2 {
		return "strike nothing", nil
	}
	at := places[w.rng.IntN(len(places))]
	_, refused := w.cloud.write(g, &g.ingress, slices.Delete(slices.Clone(g.ingress), at, at+1))
	return fmt.Sprintf("strike policy %d", at), refused
}

func (w *TencentWriter) describe() (string, *tcError) {
	g, places := w.theirs()
	if len(places) == 0 {
		return "describe nothing", nil
	}
	at := places[w.rng.IntN(len(places))]
	next := slices.Clone(g.ingress)
	next[at].PolicyDescription = w.name("description")
	_, refused := w.cloud.write(g, &g.ingress, next)
	return fmt.Sprintf("describe policy %d", at), refused
}

func (w *TencentWriter) template() (string, *tcError) {
	for _, id := range sortedKeys(w.cloud.templates) {
		if one := w.cloud.templates[id]; one.name == "writer" {
			m, refused := w.cloud.member(fmt.Sprintf("198.51.100.%d", w.rng.IntN(256)), w.name("address"))
			one.members = []tcMember{m}
			return "template changed", refused
		}
	}
	return "template gone", nil
}

// bind binds the load balancers of the edited group to the writer's own one, or takes it off them.
func (w *TencentWriter) bind() (string, *tcError) {
	for _, id := range sortedKeys(w.cloud.balancers) {
		b := w.cloud.balancers[id]
		if at := slices.Index(b.groups, w.own); at >= 0 {
			b.groups = slices.Delete(slices.Clone(b.groups), at, at+1)
		} else if slices.Contains(b.groups, w.group) && len(b.groups) < w.cloud.opts.BalancerGroups {
			b.groups = slices.Insert(slices.Clone(b.groups), w.rng.IntN(len(b.groups)+1), w.own)
		}
	}
	return "bind changed", nil
}

// entries returns the writer's own ones.
func (w *TencentWriter) entries() (own []*tcEntry) {
	for _, e := range w.cloud.entries {
		if e.domain == w.domain && strings.HasPrefix(e.note, "writer's ") {
			own = append(own, e)
		}
	}
	return own
}

func (w *TencentWriter) enter() (string, *tcError) {
	if len(w.entries()) > 20 {
		return "enter nothing", nil
	}
	e := &tcEntry{
		domain: w.domain, action: TencentBlock, note: w.name("entry"), source: "custom", until: w.cloud.opts.Now().Add(24 * time.Hour).Unix(),
		ips: []string{fmt.Sprintf("198.18.%d.%d", w.made/256, w.made%256)},
	}
	if refused := w.cloud.judgeAddresses(e, nil); refused != nil {
		return "enter", refused
	}
	w.cloud.enter(e)
	return fmt.Sprintf("enter entry %d", e.rule), nil
}

func (w *TencentWriter) note() (string, *tcError) {
	own := w.entries()
	if len(own) == 0 {
		return "note nothing", nil
	}
	e := own[w.rng.IntN(len(own))]
	e.note, e.modified = w.name("note"), w.cloud.opts.Now()
	return fmt.Sprintf("note entry %d", e.rule), nil
}

func (w *TencentWriter) leave() (string, *tcError) {
	own := w.entries()
	if len(own) == 0 {
		return "leave nothing", nil
	}
	e := own[w.rng.IntN(len(own))]
	w.cloud.entries = slices.DeleteFunc(w.cloud.entries, func(o *tcEntry) bool { return o == e })
	return fmt.Sprintf("leave entry %d", e.rule), nil
}
