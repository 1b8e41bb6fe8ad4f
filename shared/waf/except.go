package waf

import (
	"cmp"
	"net/netip"
	"slices"
)

// exceptions is what one family's exceptions set spares now and will spare.
//
// A set takes 10,000 addresses and is always written whole, so taking a few out of
// each of many sets costs a write for every set. Named in the exceptions set instead,
// they are all released with one write, and lie dormant in their sets until those are
// written anyway. Then (a fold) they go from their set, while the exceptions set
// keeps them until it is written the next time: as a change takes a while to reach
// all of a cloud, it must not let go of them sooner than their set has.
//
// Nothing in an exceptions set overlaps anything wanted, at any moment.
type exceptions struct {
	family Family
	sets   []Set          // those in force first; at most one is needed
	old    []netip.Prefix // what is spared now, sorted, none within another
	live   []netip.Prefix // those exceptions that a set in force holds, once for each that does
	isNew  bool           // the layout makes or refers to a set
	writes bool           // the layout writes it: sets that are written lose what is dormant in them
}

func (x *exceptions) take(s Set) { x.sets = append(x.sets, s) }

func (x *exceptions) normalize(current []Set) {
	var all []netip.Prefix
	for _, s := range x.sets {
		if s.inForce() {
			all = append(all, s.Prefixes...)
		}
	}
	slices.SortFunc(all, comparePrefix)
	x.old = widest(all)
	x.live = liveIn(current, x.family, slices.Compact(all))
}

// widest returns those of a sorted list that lie in no other.
func widest(list []netip.Prefix) (out []netip.Prefix) {
	for _, p := range list {
		if n := len(out); n == 0 || !out[n-1].Contains(p.Addr()) {
			out = append(out, p)
		}
	}
	return out
}

func (s Set) inForce() bool { return s.Referenced && !s.Mark.Retired }

// main returns the set that is in use or can be, nil if there is none.
func (x *exceptions) main() *Set {
	for i := range x.sets {
		if !x.sets[i].Mark.Retired {
			return &x.sets[i]
		}
	}
	return nil
}

// references counts those of the sets that the rule refers to.
func (x *exceptions) references() (n int) {
	for _, s := range x.sets {
		if s.Referenced {
			n++
		}
	}
	return n
}

// covers tells whether all of p is spared now.
func (x *exceptions) covers(p netip.Prefix) bool {
	i, found := slices.BinarySearchFunc(x.old, p, comparePrefix)
	return found || i > 0 && x.old[i-1].Bits() <= p.Bits() && x.old[i-1].Contains(p.Addr())
}

// touches tells whether some of p is spared now.
func (x *exceptions) touches(p netip.Prefix) bool { return overlaps(x.old, p) }

// overlaps tells whether p overlaps any of a sorted list, none of which lies within another.
func overlaps(list []netip.Prefix, p netip.Prefix) bool {
	i, found := slices.BinarySearchFunc(list, p, comparePrefix)
	return found || i > 0 && list[i-1].Overlaps(p) || i < len(list) && list[i].Overlaps(p)
}

// except decides whether the family's exceptions set is written and, if removals may go by
// exception, which sets are written all the same.
func (pl *planner) except(x *exceptions, byException bool) {
	live := widest(x.live)
	dormant, room := 0, 0
	for _, s := range pl.slots {
		if s.Family != x.family || !s.usable {
			continue
		}
		if !pl.limits.CanExcept {
			// The exceptions set is on its way out: nothing may rely on it.
			s.purge, s.dormant = append(s.purge, s.dormant...), nil
		}
		dormant += len(s.dormant)
		room += pl.room(s)
	}
	if !pl.limits.CanExcept {
		return
	}
	newcomers := pl.newcomers(x.family)
	free := pl.limits.MaxSets - pl.used()
	main := x.main()
	x.writes = main != nil && (main.Referenced && !main.Marked || x.references() > 1) ||
		slices.ContainsFunc(pl.picks, func(p pick) bool { return FamilyOf(p.Prefix) == x.family && overlaps(live, p.Prefix) }) ||
		dormant > 0 && newcomers > room+max(0, free)*pl.limits.SetSize
	if byException && (main != nil && main.Referenced || free > 0) {
		pl.release(x, newcomers)
	}
	x.isNew = x.writes && (main == nil || !main.Referenced)
}

// used counts what the rule refers to, or will.
func (pl *planner) used() int {
	n := pl.exceptionsInUse()
	for _, s := range pl.slots {
		if s.usable || s.Referenced {
			n++
		}
	}
	return n
}

func (pl *planner) newcomers(f Family) (n int) {
	for i, p := range pl.picks {
		if pl.where[i] < 0 && FamilyOf(p.Prefix) == f {
			n++
		}
	}
	return n
}

// release lets what leaves go by exception, but for the sets that have to be
// written anyway: for their own sake or to take the newcomers in. Of the sets that could take
// them in, the one from which most has gone is written, so that all are tidied in turn.
func (pl *planner) release(x *exceptions, newcomers int) {
	type candidate struct {
		*slot
		gain int // how many places in the exceptions set its write saves
	}
	var rest []candidate
	any := false
	for _, s := range pl.slots {
		if s.Family != x.family || !s.usable {
			continue
		}
		bound := slices.ContainsFunc(s.leave, func(p netip.Prefix) bool { return len(pl.picksOver(p)) > 0 })
		if !s.Referenced || s.rewrite || len(s.purge) > 0 || bound {
			continue
		}
		any = any || len(s.leave) > 0
		rest = append(rest, candidate{s, len(s.leave) + len(s.dormant)})
	}
	if !any {
		return
	}
	x.writes = true
	for _, s := range pl.slots {
		if s.usable && s.Family == x.family && !slices.ContainsFunc(rest, func(c candidate) bool { return c.slot == s }) {
			newcomers -= pl.room(s)
		}
	}
	slices.SortFunc(rest, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.gain, a.gain), cmp.Compare(len(a.keep), len(b.keep)), cmp.Compare(a.Name, b.Name))
	})
	write := func(i int) {
		rest[i].chosen = true
		newcomers -= pl.room(rest[i].slot)
		rest = slices.Delete(rest, i, i+1)
	}
	for newcomers > 0 {
		i := slices.IndexFunc(rest, func(c candidate) bool { return pl.room(c.slot) >= newcomers })
		if i < 0 {
			slots := make([]*slot, len(rest))
			for k, c := range rest {
				slots[k] = c.slot
			}
			i = pl.fewest(slots, newcomers)
		}
		if i < 0 {
			break // a new set costs less
		}
		write(i)
	}
	// What folds stays an exception for one more write, so only what leaves counts here.
	spared, folding := 0, 0
	for _, s := range pl.slots {
		if s.Family == x.family && s.usable {
			spared += len(s.dormant)
			if s.chosen {
				folding += len(s.dormant)
			}
		}
	}
	for _, c := range rest {
		spared += len(c.leave)
	}
	// One set tidied before the exceptions set is full saves many at once when it is.
	if folding == 0 && spared > pl.limits.SetSize/2 && len(rest) > 0 {
		spared -= len(rest[0].leave)
		write(0)
	}
	for spared > pl.limits.SetSize && len(rest) > 0 {
		spared -= len(rest[0].leave)
		write(0)
	}
	for _, c := range rest {
		c.dormant = append(c.dormant, c.leave...)
		c.leave = nil
	}
}

// fewest returns the index of the set with the most room if few enough of them together
// take n newcomers, else -1.
func (pl *planner) fewest(slots []*slot, n int) int {
	best, most := -1, 0
	rooms := make([]int, len(slots))
	for i, s := range slots {
		rooms[i] = pl.room(s)
		if rooms[i] > most {
			best, most = i, rooms[i]
		}
	}
	slices.SortFunc(rooms, func(a, b int) int { return b - a })
	for _, r := range rooms[:min(len(rooms), fewWrites)] {
		n -= r
	}
	if n > 0 {
		return -1
	}
	return best
}

// spareSteps are the writes of one family's exceptions set. first comes before
// anything is added, made before the rule is written, then after it; refer and drop
// are for the rule, deletes for what an earlier run has dropped.
type spareSteps struct {
	first, made, then, deletes []Step
	refer, drop                []string
}

func (pl *planner) spareSteps(x *exceptions) (out spareSteps) {
	main := x.main()
	live, folded, sets := pl.spared(x)
	if len(live)+len(folded) == 0 && (main == nil || !main.Referenced) {
		x.isNew = false // nothing to spare after all
	}
	for _, s := range x.sets {
		switch {
		case main != nil && s.Name == main.Name && pl.limits.CanExcept && (s.Referenced || x.isNew):
		case s.Referenced:
			out.drop = append(out.drop, s.Name)
		case !pl.limits.keep:
			out.deletes = append(out.deletes, Step{Kind: Delete, Set: s.Name, Family: x.family})
		}
	}
	if !pl.limits.CanExcept || main == nil && !x.isNew {
		return out
	}
	content := slices.Concat(live, folded[:min(len(folded), max(0, pl.limits.SetSize-len(live)))])
	slices.SortFunc(content, comparePrefix)
	content = slices.Compact(content)
	step := Step{Set: "", Family: x.family, Except: true, Content: content, Live: live}
	switch {
	case main == nil:
		step.Kind, step.Added = Create, len(content)
		step.Set = pl.freeName(func(n int) string { return ExceptName(pl.limits.Base, x.family, n) })
		out.made, out.refer = []Step{step}, []string{step.Set}
		return out
	case !main.Referenced:
		if x.isNew {
			step.Kind, step.Set, step.Added = Fill, main.Name, len(content)
			out.made, out.refer = []Step{step}, []string{main.Name}
		}
		return out
	}
	step.Set = main.Name
	held := slices.Clone(main.Prefixes)
	slices.SortFunc(held, comparePrefix)
	held = slices.Compact(held)
	before := x.live
	if early := pl.letGo(held, before); len(early) < len(held) {
		out.first = []Step{{
			Kind: Except, Set: main.Name, Family: x.family, Except: true, Content: early, Live: before, Removed: len(held) - len(early),
		}}
		held = early
	}
	step.Added, step.Removed = differ(content, held)
	switch {
	case len(content) == 0 && len(live) == 0 && sets <= fewWrites && len(before) == 0:
		out.drop = append(out.drop, main.Name)
		out.then = []Step{{Kind: Retire, Set: main.Name, Family: x.family, Except: true, Removed: len(held)}}
	case x.writes && (!main.Marked || step.Added+step.Removed > 0 || !slices.Equal(live, before)):
		step.Kind = Except
		out.then = []Step{step}
	}
	return out
}

// spared returns what the sets will hold and must not block: live stays in them, folded
// goes from them with this plan. It also counts the sets.
func (pl *planner) spared(x *exceptions) (live, folded []netip.Prefix, sets int) {
	for _, s := range pl.slots {
		if s.Family != x.family || !s.usable {
			continue
		}
		sets++
		if s.written() && x.writes {
			folded = append(folded, s.dormant...)
		} else {
			live = append(live, s.dormant...)
		}
	}
	slices.SortFunc(live, comparePrefix)
	return live, folded, sets
}

// liveIn returns the exceptions, in order, that block sets in force hold, once for each set.
func liveIn(sets []Set, f Family, exceptions []netip.Prefix) (live []netip.Prefix) {
	for _, s := range sets {
		if s.Except || s.Family != f || !s.inForce() {
			continue
		}
		for _, p := range s.Prefixes {
			if _, found := slices.BinarySearchFunc(exceptions, p, comparePrefix); found {
				live = append(live, p)
			}
		}
	}
	slices.SortFunc(live, comparePrefix)
	return live
}

// letGo returns the exceptions without those which no set holds any more and which
// cover some of what is wanted. They have to go first: the exceptions set's mark does not count
// them, so that a run that is stopped after a newcomer is in its set would seem complete.
func (pl *planner) letGo(held, live []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(held), func(p netip.Prefix) bool {
		_, found := slices.BinarySearchFunc(live, p, comparePrefix)
		return !found && len(pl.picksOver(p)) > 0
	})
}

// differ counts what a has and b has not, and the reverse. Both are sorted.
func differ(a, b []netip.Prefix) (added, removed int) {
	for len(a) > 0 && len(b) > 0 {
		switch c := comparePrefix(a[0], b[0]); {
		case c < 0:
			added, a = added+1, a[1:]
		case c > 0:
			removed, b = removed+1, b[1:]
		default:
			a, b = a[1:], b[1:]
		}
	}
	return added + len(a), removed + len(b)
}
