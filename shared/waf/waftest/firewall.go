package waftest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"github.com/tracewall/tracewall/shared/waf"
)

// Wall is a firewall in memory. Open returns views of it, as separate processes
// would have them. Safe for concurrent use.
type Wall struct {
	// Room is how many sets the rule may refer to; default 50. MaxSize is how many addresses a set holds; default 10,000.
	Room, MaxSize int
	// Base is the beginning of the sets' names; default "tracewall".
	Base string
	// NoExcept: the rule cannot spare what an exceptions set holds.
	NoExcept bool
	// Inherent: a set is in force from when it is made until it is deleted. NoEmpty: a set holds
	// something. Both are for OpenStamped.
	Inherent, NoEmpty bool
	// OnWrite, if set, is asked before each write. apply false keeps the write from
	// happening; err is what the caller is told. (true, err) is a lost answer.
	OnWrite func(op, set string) (apply bool, err error)
	// AfterWrite, if set, is told of each write that happened.
	AfterWrite func(op, set string)

	mu      sync.Mutex
	sets    map[string]*wallSet
	stamp   *waf.Stamp
	rule    map[string]bool
	exists  bool
	version int
	ruleAt  int // version of the rule
}

type wallSet struct {
	set     waf.Set
	version int
}

// Open returns a view of the wall that has seen nothing yet.
func (w *Wall) Open() *Firewall { return &Firewall{wall: w} }

// Enforced returns what the wall blocks, in order: what the block sets that the rule
// refers to hold, without what the exceptions sets that it refers to hold.
func (w *Wall) Enforced() []netip.Prefix {
	w.mu.Lock()
	defer w.mu.Unlock()
	var blocked, spared []netip.Prefix
	for name := range w.inForce() {
		if s := w.sets[name].set; s.Except {
			spared = append(spared, s.Prefixes...)
		} else {
			blocked = append(blocked, s.Prefixes...)
		}
	}
	return inOrder(areaWithout(blocked, spared))
}

// inForce returns the sets that the rule refers to, or that are in force by being there.
func (w *Wall) inForce() map[string]bool {
	if !w.Inherent {
		return w.rule
	}
	all := map[string]bool{}
	for name := range w.sets {
		all[name] = true
	}
	return all
}

// inOrder sorts the prefixes and drops duplicates.
func inOrder(list []netip.Prefix) []netip.Prefix {
	slices.SortFunc(list, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	return slices.Compact(list)
}

// Sets returns what every set holds.
func (w *Wall) Sets() map[string][]netip.Prefix {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string][]netip.Prefix{}
	for name, s := range w.sets {
		out[name] = slices.Clone(s.set.Prefixes)
	}
	return out
}

// Firewall implements waf.Firewall on a Wall. Not for concurrent use.
type Firewall struct {
	tally
	wall *Wall
	seen map[string]int // version of each set at Look or at our last write
	rule int
}

// Look implements waf.Firewall.
func (f *Firewall) Look(ctx context.Context) (waf.State, error) {
	w := f.wall
	w.mu.Lock()
	defer w.mu.Unlock()
	f.calls++
	if err := ctx.Err(); err != nil {
		return waf.State{}, err
	}
	room := w.Room
	if room == 0 {
		room = waf.DefaultMaxSets
	}
	state := waf.State{Wall: "wall in memory", Base: w.Base, Exists: w.exists, RuleOK: w.exists, RoomSets: room, CanExcept: !w.NoExcept}
	f.seen, f.rule = map[string]int{}, w.ruleAt
	for _, name := range slices.Sorted(maps.Keys(w.sets)) {
		s := w.sets[name]
		f.seen[name] = s.version
		shown := s.set
		shown.Prefixes = nil
		shown.Referenced = w.rule[name]
		state.Sets = append(state.Sets, shown)
	}
	return state, nil
}

// Contents implements waf.Firewall.
func (f *Firewall) Contents(ctx context.Context, name string) ([]netip.Prefix, error) {
	w := f.wall
	w.mu.Lock()
	defer w.mu.Unlock()
	f.calls++
	s := w.sets[name]
	if s == nil {
		return nil, fmt.Errorf("read set %s: %w", name, waf.ErrConflict)
	}
	return slices.Clone(s.set.Prefixes), ctx.Err()
}

// write carries out one change, with the faults that OnWrite asks for.
func (f *Firewall) write(ctx context.Context, op, set string, change func(w *Wall) error) error {
	w := f.wall
	ask := func() (bool, error) {
		if w.OnWrite == nil {
			return true, nil
		}
		return w.OnWrite(op, set)
	}
	return f.tally.write(ctx, op+" "+set, ask, func() error {
		w.mu.Lock()
		err := change(w)
		w.mu.Unlock()
		if err == nil && w.AfterWrite != nil {
			w.AfterWrite(op, set)
		}
		return err
	})
}

// Put implements waf.Firewall.
func (f *Firewall) Put(ctx context.Context, set waf.Set) error {
	return f.write(ctx, "put", set.Name, func(w *Wall) error {
		size := w.MaxSize
		if size == 0 {
			size = 10_000
		}
		if len(set.Prefixes) > size {
			return waf.ErrQuota
		}
		for _, p := range set.Prefixes {
			if p != p.Masked() || p.Bits() == 0 || waf.FamilyOf(p) != set.Family {
				return &waf.EntryError{Prefix: p, Err: waf.ErrInvalid}
			}
		}
		if w.sets == nil {
			w.sets = map[string]*wallSet{}
		}
		old := w.sets[set.Name]
		if seen, known := f.seen[set.Name]; known != (old != nil) || known && seen != old.version {
			return waf.ErrConflict
		}
		w.version++
		set.Prefixes = slices.Clone(set.Prefixes)
		w.sets[set.Name] = &wallSet{set: set, version: w.version}
		f.seen[set.Name] = w.version
		return nil
	})
}

// Reference implements waf.Firewall.
func (f *Firewall) Reference(ctx context.Context, add, drop []string) error {
	return f.write(ctx, "reference", "", func(w *Wall) error {
		if f.rule != w.ruleAt {
			return waf.ErrConflict
		}
		rule := maps.Clone(w.rule)
		if rule == nil {
			rule = map[string]bool{}
		}
		for _, name := range add {
			if w.sets[name] == nil {
				return waf.ErrConflict
			}
			rule[name] = true
		}
		for _, name := range drop {
			delete(rule, name)
		}
		if w.Room > 0 && len(rule) > w.Room {
			return waf.ErrQuota
		}
		w.version++
		w.rule, w.exists, w.ruleAt = rule, true, w.version
		f.rule = w.ruleAt
		return nil
	})
}

// Delete implements waf.Firewall.
func (f *Firewall) Delete(ctx context.Context, name string) error {
	return f.write(ctx, "delete", name, func(w *Wall) error {
		s := w.sets[name]
		switch {
		case s == nil:
			return nil
		case w.rule[name] && !w.Inherent:
			return waf.ErrInUse
		case s.version != f.seen[name]:
			return waf.ErrConflict
		}
		delete(w.sets, name)
		return nil
	})
}
