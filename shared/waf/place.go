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
	plan := Plan{Desired: c.desired, Rejected: c.rejected}
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

// cut returns the newcomers for which the sets have no room. choose has counted
// places as if every address could move; here sets that are half full of one family
// are in the way of the other.
func (pl *planner) cut() []pick {
	r := room{slots: pl.limits.MaxSets - pl.exceptionsInUse(), size: pl.limits.SetSize}
	for _, x := range pl.spare {
		if x != nil && x.isNew {
			r.slots--
		}
	}
	for _, s := range pl.slots {
		if s.usable || s.Referenced {
			r.slots--
		}
		switch {
		case !s.usable:
		case s.Family == IPv4:
			r.left4 += pl.room(s)
		default:
			r.left6 += pl.room(s)
		}
	}
	r.slots = max(r.slots, 0)
	if pl.limits.Fixed {
		r.slots = 0
	}
	pl.unused = r.slots
	all, n, short := r, 0, false
	for i, p := range pl.picks {
		if pl.where[i] < 0 {
			n++
			short = short || !all.take(FamilyOf(p.Prefix))
		}
	}
	if !short {
		return nil // without a copy of them: on an empty wall all are newcomers
	}
	newcomers := make([]pick, 0, n)
	for i, p := range pl.picks {
		if pl.where[i] < 0 {
			newcomers = append(newcomers, p)
		}
	}
	_, out := fit(newcomers, r)
	pl.drop(out)
	return out
}

// consolidate empties the set with the least in it into others of its family, if
// they can take it all: there is more to block than there is room for, and the
// next run can make a set of what this one leaves.
func (pl *planner) consolidate() {
	best := -1
	for i, s := range pl.slots {
		if !s.usable || !s.Referenced || s.rewrite || len(s.keep) == 0 || best >= 0 && len(s.keep) >= len(pl.slots[best].keep) {
			continue
		}
		room := -len(s.keep) - pl.newcomers(s.Family)
		for j, t := range pl.slots {
			if j != i && t.usable && t.Family == s.Family {
				room += pl.room(t)
			}
		}
		if room >= 0 {
			best = i
		}
	}
	if best < 0 {
		return
	}
	s := pl.slots[best]
	s.closed = true
	s.leave, s.keep = append(s.leave, s.keep...), nil
	for i, at := range pl.where {
		if at == int32(best) {
			pl.where[i], pl.force[i] = -1, false
		}
	}
}

// drop takes picks out of what the sets shall hold.
func (pl *planner) drop(out []pick) {
	if len(out) == 0 {
		return
	}
	gone := make(map[netip.Prefix]bool, len(out))
	for _, p := range out {
		gone[p.Prefix] = true
	}
	var picks []pick
	var where []int32
	var force []bool
	for i, p := range pl.picks {
		if !gone[p.Prefix] {
			picks, where, force = append(picks, p), append(where, pl.where[i]), append(force, pl.force[i])
		}
	}
	pl.picks, pl.where, pl.force = picks, where, force
}

// picksOver returns the indexes of the picks that overlap p.
func (pl *planner) picksOver(p netip.Prefix) (list []int) {
	i, _ := slices.BinarySearchFunc(pl.picks, p, func(a pick, p netip.Prefix) int { return comparePrefix(a.Prefix, p) })
	if i > 0 && pl.picks[i-1].Prefix.Overlaps(p) {
		i-- // the range around p, if any, sorts right before it
	}
	for ; i < len(pl.picks) && pl.picks[i].Prefix.Overlaps(p); i++ {
		list = append(list, i)
	}
	return list
}

// newcomersOver returns the indexes of the picks that overlap p and are not in force yet.
func (pl *planner) newcomersOver(p netip.Prefix) []int {
	return slices.DeleteFunc(pl.picksOver(p), func(i int) bool { return pl.force[i] })
}

// hold keeps a leaving prefix in force while its addresses are on their way into
// another set (a range that replaces addresses within it, or the reverse). If they fit into the
// same set, one write swaps them.
func (pl *planner) hold() {
	for i, s := range pl.slots {
		if !s.usable || !s.Referenced {
			continue
		}
		leave := s.leave
		s.leave = nil
		for _, p := range leave {
			if len(pl.newcomersOver(p)) > 0 {
				s.held = append(s.held, p)
			} else {
				s.leave = append(s.leave, p)
			}
		}
		held := slices.Clone(s.held)
		for _, p := range held {
			over := pl.newcomersOver(p)
			var unplaced []int
			elsewhere := false
			for _, k := range over {
				switch pl.where[k] {
				case -1:
					unplaced = append(unplaced, k)
				case int32(i):
				default:
					elsewhere = true
				}
			}
			if elsewhere || s.closed || pl.room(s)+1 < len(unplaced) {
				continue
			}
			for _, k := range unplaced {
				pl.where[k] = int32(i)
				s.add = append(s.add, pl.picks[k].Prefix)
			}
			s.held = slices.DeleteFunc(s.held, func(q netip.Prefix) bool { return q == p })
			s.leave = append(s.leave, p)
		}
	}
}

// fill finds a place for the newcomers: first in sets that must be written
// anyway, then where they fit best, then in sets left over from an interrupted run, then in new ones.
// Newcomers go in by the order in which they will leave, so that later one write
// per run takes out what has ended. It returns those that must wait for the next
// run, because what they replace in part is still in their way.
func (pl *planner) fill() (waiting []pick) {
	for _, f := range []Family{IPv4, IPv6} {
		queue := make([]int32, 0, pl.newcomers(f))
		for i, p := range pl.picks {
			if pl.where[i] < 0 && FamilyOf(p.Prefix) == f {
				queue = append(queue, int32(i))
			}
		}
		slices.SortFunc(queue, func(a, b int32) int {
			return cmp.Or(pl.picks[a].rank.ExpiresAt.Compare(pl.picks[b].rank.ExpiresAt), cmp.Compare(a, b))
		})
		put := func(i int) {
			n := min(len(queue), pl.room(pl.slots[i]))
			pl.slots[i].add = slices.Grow(pl.slots[i].add, n)
			for _, k := range queue[:n] {
				pl.where[k] = int32(i)
				pl.slots[i].add = append(pl.slots[i].add, pl.picks[k].Prefix)
			}
			queue = queue[n:]
		}
		for i, s := range pl.slots {
			if s.usable && s.Family == f && pl.dirty(s) {
				put(i)
			}
		}
		for len(queue) > 0 {
			best := pl.bestRoom(f, len(queue))
			if best < 0 {
				best = pl.newSlot(f)
			}
			if best < 0 {
				best = pl.mostRoom(f)
			}
			if best < 0 {
				break
			}
			put(best)
		}
		for _, k := range queue {
			waiting = append(waiting, pl.picks[k])
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	for _, s := range pl.slots {
		s.held = slices.DeleteFunc(s.held, func(p netip.Prefix) bool {
			stays := slices.ContainsFunc(pl.newcomersOver(p), func(k int) bool { return pl.where[k] < 0 })
			if stays {
				s.stay = append(s.stay, p)
			}
			return stays
		})
	}
	pl.drop(waiting)
	return waiting
}

// fewWrites is what a new set costs: one write to make it, one to refer to it. More
// than so many half-full sets are not topped up as long as there is room for a new one.
const fewWrites = 2

// bestRoom returns the usable set of a family with the smallest room that takes n
// newcomers or, if a few sets together take them, the one with the largest; -1 if it
// takes more sets than a new one would cost writes.
func (pl *planner) bestRoom(f Family, n int) int {
	best, bestRoom := -1, 0
	for i, s := range pl.slots {
		if !s.usable || s.Family != f {
			continue
		}
		if r := pl.room(s); r >= n && (best < 0 || r < bestRoom) {
			best, bestRoom = i, r
		}
	}
	if best >= 0 {
		return best
	}
	return pl.fewest(func(yield func(int, *slot)) {
		for i, s := range pl.slots {
			if s.usable && s.Family == f {
				yield(i, s)
			}
		}
	}, n)
}

// mostRoom returns the usable set of a family with the most room, -1 if none has any.
func (pl *planner) mostRoom(f Family) int {
	best, bestRoom := -1, 0
	for i, s := range pl.slots {
		if s.usable && s.Family == f && pl.room(s) > bestRoom {
			best, bestRoom = i, pl.room(s)
		}
	}
	return best
}

// newSlot takes a left-over set of the family into use, or else a new name; -1 if
// the rule has no room for it.
func (pl *planner) newSlot(f Family) int {
	if pl.unused == 0 {
		return -1
	}
	pl.unused--
	for i, s := range pl.slots {
		if !s.usable && !s.Referenced && !s.Mark.Retired && s.Family == f {
			s.usable = true
			s.leave = slices.Clone(s.Prefixes)
			return i
		}
	}
	name := pl.freeName(func(n int) string { return SetName(pl.limits.Base, f, n) })
	pl.slots = append(pl.slots, &slot{Set: Set{Name: name, Family: f}, isNew: true, usable: true})
	return len(pl.slots) - 1
}

// freeName returns the first name that no set has, ours or others'.
func (pl *planner) freeName(name func(n int) string) string {
	taken := make(map[string]bool, len(pl.slots)+len(pl.limits.Taken))
	for _, s := range pl.slots {
		taken[s.Name] = true
	}
	for _, x := range pl.spare {
		if x != nil {
			for _, s := range x.sets {
				taken[s.Name] = true
			}
		}
	}
	for _, n := range pl.limits.Taken {
		taken[n] = true
	}
	n := 1
	for taken[name(n)] {
		n++
	}
	return name(n)
}
