package waf

import (
	"cmp"
	"net/netip"
	"slices"
)

// slot is one block set on its way from what it holds to what it will hold.
type slot struct {
	Set
	isNew   bool
	usable  bool
	rewrite bool
	chosen  bool           // newcomers go here, although nothing else makes a write necessary
	closed  bool           // it is emptied into others of its family, to make room for another set
	keep    []netip.Prefix // held now and wanted
	leave   []netip.Prefix // held now, not wanted, free to go at once
	// held: not wanted, but a newcomer in another set covers some of the same
	// addresses. It goes only when that newcomer is in force.
	held []netip.Prefix
	stay []netip.Prefix // like held, but that newcomer has to wait for the next run, and so does this
	add  []netip.Prefix
	// dormant: not wanted, and spared by the exceptions set. It may stay until the
	// set is written for another reason.
	dormant []netip.Prefix
	// purge: spared too, but something wanted covers some of the same addresses. It has to
	// go before the exceptions set lets go of it.
	purge []netip.Prefix
}

// written tells whether the plan changes the set for another reason than folding.
func (s *slot) written() bool {
	return len(s.leave)+len(s.held)+len(s.purge)+len(s.add) > 0 || s.rewrite
}

// planner carries the working state of one way to lay the picks out.
type planner struct {
	limits Limits
	slots  []*slot // referenced ones first, then in order of name
	spare  [IPv6 + 1]*exceptions
	picks  []pick
	where  []int32 // for each pick the index of its slot, or -1
	force  []bool  // for each pick whether it is in force already
	unused int     // how many more sets the rule may refer to
}

// place turns a choice into a Plan, in the way that takes fewer writes: with
// removals from the sets themselves, or with removals by exception.
func place(current []Set, c choice, l Limits) Plan {
	plan := layOut(current, c, l, false)
	// Two writes are no more than removal by exception takes at its best.
	if !l.CanExcept || len(plan.Steps) <= 2 {
		return plan
	}
	if other := layOut(current, c, l, true); other.cheaper(plan) {
		return other
	}
	return plan
}

// cheaper tells whether p blocks more than q or, if they block the same, takes fewer writes.
func (p Plan) cheaper(q Plan) bool {
	return cmp.Or(cmp.Compare(p.OverflowWants, q.OverflowWants), cmp.Compare(len(p.Steps), len(q.Steps))) < 0
}

func layOut(current []Set, c choice, l Limits, byException bool) Plan {
	pl := &planner{limits: l, picks: c.picks} // never changed in place: a million of them are 100 MB
	pl.sort(current)
	pl.settle()
	plan := Plan{Desired: c.desired, Rejected: c.rejected, condensed: c.condensed}
	plan.released, plan.added, plan.holds = pl.change()
	for _, x := range pl.spare {
		if x != nil {
			pl.except(x, byException)
		}
	}
	out := pl.cut()
	if len(out) > 0 && !l.Fixed {
		pl.consolidate()
	}
	pl.hold()
	out = append(out, pl.fill()...)

	overflow := append(slices.Clone(c.overflow), out...)
	slices.SortFunc(overflow, func(a, b pick) int {
		return cmp.Or(compareRank(a, b), comparePrefix(a.Prefix, b.Prefix))
	})
	for _, p := range overflow {
		plan.Overflow = append(plan.Overflow, p.want())
	}
	plan.OverflowWants = weightOf(overflow)
	plan.Steps, plan.picks = pl.steps(len(overflow) == 0), pl.picks
	return plan
}

// sort tells block sets from exceptions sets.
func (pl *planner) sort(current []Set) {
	current = slices.Clone(current)
	slices.SortFunc(current, func(a, b Set) int {
		if a.Referenced != b.Referenced {
			if a.Referenced {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	for _, f := range []Family{IPv4, IPv6} {
		pl.spare[f] = &exceptions{family: f}
	}
	for _, s := range current {
		if s.Except {
			pl.spare[s.Family].take(s)
			continue
		}
		pl.slots = append(pl.slots, &slot{Set: s, rewrite: !s.Marked && !s.Mark.Retired && !pl.limits.Unmarked})
	}
	for _, x := range pl.spare {
		if x != nil {
			x.normalize(current)
		}
	}
}

// room is how many more addresses the set can take.
func (pl *planner) room(s *slot) int {
	if s.closed {
		return 0
	}
	n := pl.limits.SetSize - len(s.keep) - len(s.held) - len(s.stay) - len(s.add)
	if !pl.folds(s.Family) {
		n -= len(s.dormant)
	}
	return max(0, n)
}

// folds tells whether a set of the family, once it is written, loses what is dormant in it.
func (pl *planner) folds(f Family) bool { return pl.spare[f].writes }

func (pl *planner) dirty(s *slot) bool { return s.written() || s.chosen }

// empties tells whether the set will hold nothing.
func (pl *planner) empties(s *slot) bool {
	return len(s.keep)+len(s.add)+len(s.stay) == 0 && (len(s.dormant) == 0 || s.written() && pl.folds(s.Family))
}

func (pl *planner) content(s *slot, withHeld bool) []netip.Prefix {
	all := make([]netip.Prefix, 0, len(s.keep)+len(s.add)+len(s.stay)+len(s.held)+len(s.dormant))
	all = append(append(append(all, s.keep...), s.add...), s.stay...)
	if withHeld {
		all = append(all, s.held...)
	}
	if !pl.folds(s.Family) {
		all = append(all, s.dormant...)
	}
	slices.SortFunc(all, comparePrefix)
	return all
}

// removed is how many addresses the next write takes out of the set, beside those held.
func (pl *planner) removed(s *slot) int {
	n := len(s.leave) + len(s.purge)
	if pl.folds(s.Family) {
		n += len(s.dormant)
	}
	return n
}

// settle gives every wanted prefix that some set holds its place there, and calls
// everything else that the sets hold leaving, or dormant if it is spared already.
func (pl *planner) settle() {
	type entry struct {
		prefix netip.Prefix
		slot   int32
	}
	total := 0
	for _, s := range pl.slots {
		total += len(s.Prefixes)
	}
	entries := make([]entry, 0, total)
	for i, s := range pl.slots {
		if s.Mark.Retired {
			continue
		}
		for _, p := range s.Prefixes {
			entries = append(entries, entry{p, int32(i)})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(comparePrefix(a.prefix, b.prefix), cmp.Compare(a.slot, b.slot))
	})
	match := func(each func(e entry, pick int)) {
		j := 0
		for _, e := range entries {
			for j < len(pl.picks) && comparePrefix(pl.picks[j].Prefix, e.prefix) < 0 {
				j++
			}
			if j < len(pl.picks) && pl.picks[j].Prefix == e.prefix {
				each(e, j)
			} else {
				each(e, -1)
			}
		}
	}

	// A set to which the rule does not refer is what an interrupted run left. It is
	// worth keeping if it holds something wanted and the rule has room for it.
	wanted := make([]bool, len(pl.slots))
	match(func(e entry, pick int) { wanted[e.slot] = wanted[e.slot] || pick >= 0 })
	used := pl.exceptionsInUse()
	for _, s := range pl.slots {
		if s.Referenced {
			used++
			s.usable = !s.Mark.Retired
		}
	}
	for i, s := range pl.slots {
		if !s.Referenced && !s.Mark.Retired && wanted[i] && used < pl.limits.MaxSets {
			s.usable = true
			used++
		}
	}

	pl.where, pl.force = make([]int32, len(pl.picks)), make([]bool, len(pl.picks))
	for i := range pl.where {
		pl.where[i] = -1
	}
	for _, s := range pl.slots {
		if s.usable {
			s.keep = make([]netip.Prefix, 0, len(s.Prefixes))
		}
	}
	match(func(e entry, pick int) {
		s := pl.slots[e.slot]
		x := pl.spare[s.Family]
		switch {
		case !s.usable:
		case pick >= 0 && pl.where[pick] < 0:
			pl.where[pick] = e.slot
			pl.force[pick] = s.Referenced && !x.touches(e.prefix)
			s.keep = append(s.keep, e.prefix)
		case x.covers(e.prefix) && s.Referenced:
			if len(pl.picksOver(e.prefix)) > 0 {
				s.purge = append(s.purge, e.prefix)
			} else {
				s.dormant = append(s.dormant, e.prefix)
			}
		default: // not wanted, or a second copy
			s.leave = append(s.leave, e.prefix)
		}
	})
}

// exceptionsInUse counts the exceptions sets that the rule refers to.
func (pl *planner) exceptionsInUse() (n int) {
	for _, x := range pl.spare {
		if x != nil {
			n += x.references()
		}
	}
	return n
}

// change returns what the layout releases, how many it blocks anew, and how many the wall holds.
func (pl *planner) change() (released []netip.Prefix, added, holds int) {
	for _, s := range pl.slots {
		if !s.Referenced {
			continue
		}
		holds += len(s.leave)
		for _, p := range s.leave {
			over := pl.picksOver(p)
			// Within something wanted, or a second copy of it: nobody is released.
			if len(over) == 1 && pl.picks[over[0]].Prefix.Bits() <= p.Bits() {
				continue
			}
			released = append(released, p)
		}
	}
	for _, in := range pl.force {
		if in {
			holds++
		} else {
			added++
		}
	}
	return released, added, holds
}
