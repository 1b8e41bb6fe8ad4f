package wafbench

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// Placement is what one way to spread addresses over sets costs under one kind of change.
type Placement struct {
	Change string `json:"change"`
	Scheme string `json:"scheme"`
	Syncs  int    `json:"syncs"`
	// Writes per sync: of sets, and of the rule.
	Mean float64 `json:"writes_mean"`
	P95  int     `json:"writes_p95"`
	Max  int     `json:"writes_max"`
	// Bytes sent per sync, at 19.3 for each address written.
	Bytes float64 `json:"bytes_mean"`
	Sets  int     `json:"sets"` // at the end, all that the rule refers to
	// Excepted is the most addresses that the exceptions set held after a sync.
	Excepted int `json:"excepted_max"`
}

// perAddress is what an IPv4 address takes in a request, in bytes: 13.3 digits and
// dots in the mean of published lists, "/32", quotes and a comma.
const perAddress = 19.3

// placement is one way to spread addresses over sets.
type placement interface {
	// sync follows one change and returns how many writes it takes and how many addresses they carry.
	sync(h *History) (load, error)
	// sets counts the sets that the rule refers to, and the addresses excepted.
	sets() (n, excepted int)
}

type load struct{ writes, addresses int }

// change is a kind of change.
type change struct {
	name  string
	syncs int
	begin func() *History
	step  func(h *History, i int)
}

// The lists that are simulated are a fifth of those of the table, in sets of a fifth:
// as many sets, the same share of them in each change, and a fifth of the time.
const simulatedPart = 5

func (o Options) changes() []change {
	n := max(o.Addresses/simulatedPart, 100)
	begin := func() *History { return NewHistory(1, n) }
	made := func(name string, step func(h *History, i int)) change { return change{name, o.Syncs, begin, step} }
	list := []change{
		made("random churn 0.5 %", func(h *History, _ int) { h.Random(n/200, n/200) }),
		made("random churn 1 %", func(h *History, _ int) { h.Random(n/100, n/100) }),
		made("expiry in order of arrival, 1 %", func(h *History, _ int) { h.Expire(n / 100) }),
		made("the same, half are refreshed", func(h *History, _ int) { h.Refresh(n / 100) }),
		made("a list's new edition, 3 % (modelled)", func(h *History, _ int) { h.Daily(3 * n / 100) }),
		made("growth 0.5 %", func(h *History, _ int) { h.Random(0, n/200) }),
		made("shrink 0.25 %", func(h *History, _ int) { h.Random(n/400, 0) }),
		made("one out, one in", func(h *History, _ int) { h.Random(1, 1) }),
	}
	if len(o.Lists) == 1 {
		m := len(o.Lists[0])
		list = append(list, change{"the given list, 3 % a sync (modelled)", o.Syncs, func() *History { return FromList(1, o.Lists[0]) }, func(h *History, _ int) { h.Daily(3 * m / 100) }})
	}
	if len(o.Lists) > 1 {
		list = append(list, change{
			"the given list's real editions", len(o.Lists) - 1,
			func() *History { return FromList(1, o.Lists[0]) },
			func(h *History, i int) { h.Become(o.Lists[i+1]) },
		})
	}
	return list
}

// schemes are the ways of placement, the planner as it is first.
func (o Options) schemes(size int) []struct {
	name string
	make func() placement
} {
	type scheme = struct {
		name string
		make func() placement
	}
	return []scheme{
		{"tracewall (adaptive)", func() placement { return newPlanned(size, true) }},
		{"tracewall without exceptions (sticky)", func() placement { return newPlanned(size, false) }},
		{"pure overlay", func() placement { return &overlay{size: size} }},
		{"by position", func() placement { return &positional{size: size} }},
		{"by hash", func() placement { return &hashed{size: size} }},
		{"the story: groups of half a set, all written", func() placement { return &groups{size: max(size/2, 1)} }},
	}
}

// Simulate plays every kind of change on every way of placement, without network.
func Simulate(ctx context.Context, o Options) (*Result, error) {
	changes := o.changes()
	results := make([][]Placement, len(changes))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, c := range changes {
		size := max(o.SetSize/simulatedPart, 1)
		if len(o.Lists) > 0 && i == len(changes)-1 {
			size = o.SetSize
		}
		schemes := o.schemes(size)
		results[i] = make([]Placement, len(schemes))
		for j, s := range schemes {
			group.Go(func() error {
				o.say("%s: %s", c.name, s.name)
				p, err := play(ctx, c, s.make())
				if err != nil {
					return fmt.Errorf("%s: %s: %w", c.name, s.name, err)
				}
				p.Change, p.Scheme = c.name, s.name
				p.Bytes *= float64(o.SetSize) / float64(size)
				p.Excepted = p.Excepted * o.SetSize / size
				results[i][j] = p
				return nil
			})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return &Result{Addresses: o.Addresses, SetSize: o.SetSize, Simulation: slices.Concat(results...), options: o}, nil
}

// play fills an empty wall and then follows the changes.
func play(ctx context.Context, c change, p placement) (out Placement, err error) {
	h := c.begin()
	if _, err := p.sync(h); err != nil {
		return out, err
	}
	out.Syncs = c.syncs
	writes := make([]int, 0, c.syncs)
	for i := range c.syncs {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		c.step(h, i)
		l, err := p.sync(h)
		if err != nil {
			return out, fmt.Errorf("sync %d: %w", i+1, err)
		}
		writes = append(writes, l.writes)
		out.Mean += float64(l.writes) / float64(c.syncs)
		out.Bytes += float64(l.addresses) * perAddress / float64(c.syncs)
		n, excepted := p.sets()
		out.Sets, out.Excepted = n, max(out.Excepted, excepted)
	}
	slices.Sort(writes)
	out.P95, out.Max = writes[(len(writes)*95+99)/100-1], writes[len(writes)-1]
	return out, nil
}

// planned is tracewall's own planner on a wall in memory.
type planned struct {
	wall     *waftest.Wall
	firewall *metered
	size     int
}

// metered counts the addresses that are written.
type metered struct {
	*waftest.Firewall
	addresses int
}

// Put implements waf.Firewall.
func (m *metered) Put(ctx context.Context, set waf.Set) error {
	m.addresses += len(set.Prefixes)
	return m.Firewall.Put(ctx, set)
}

func newPlanned(size int, canExcept bool) *planned {
	w := &waftest.Wall{MaxSize: size, NoExcept: !canExcept}
	return &planned{wall: w, firewall: &metered{Firewall: w.Open()}, size: size}
}

func (p *planned) sync(h *History) (load, error) {
	before, addresses := p.writes(), p.firewall.addresses
	r := waf.Reconciler{Firewall: p.firewall, Name: "bench", Limits: waf.Limits{SetSize: p.size}}
	want := h.Desired()
	report, err := r.Reconcile(context.Background(), want)
	if err == nil && report.Enforced != len(want.Wants) {
		err = fmt.Errorf("%d of %d are enforced", report.Enforced, len(want.Wants))
	}
	return load{p.writes() - before, p.firewall.addresses - addresses}, err
}

func (p *planned) writes() int { _, writes := p.firewall.Calls(); return writes }

func (p *planned) sets() (n, excepted int) {
	all := p.wall.Sets()
	for _, f := range []waf.Family{waf.IPv4, waf.IPv6} {
		excepted += len(all[waf.ExceptName("tracewall", f, 1)])
	}
	return len(all), excepted
}
