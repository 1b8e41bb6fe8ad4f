package waf

import (
	"cmp"
	"net/netip"
	"slices"
)

// slot is one set on its way from what it holds to what it will hold.
type slot struct {
	Set
	isNew   bool
	usable  bool
	rewrite bool
	keep    []netip.Prefix // held now and wanted
	leave   []netip.Prefix // held now, not wanted, free to go at once
	// held: not wanted, but a newcomer in another set covers some of the same
	// addresses. It goes only when that newcomer is in force.
	held []netip.Prefix
	stay []netip.Prefix // like held, but that newcomer has to wait for the next run, and so does this
	add  []netip.Prefix
}

func (s *slot) room(size int) int {
	return max(0, size-len(s.keep)-len(s.held)-len(s.stay)-len(s.add))
}

func (s *slot) dirty() bool { return len(s.leave)+len(s.add) > 0 || s.rewrite }

// empties tells whether the set will hold nothing.
func (s *slot) empties() bool { return len(s.keep)+len(s.add)+len(s.stay) == 0 }

func (s *slot) content(withHeld bool) []netip.Prefix {
	all := slices.Concat(s.keep, s.add, s.stay)
	if withHeld {
		all = append(all, s.held...)
	}
	slices.SortFunc(all, comparePrefix)
	return all
}

// planner carries the working state of one MakePlan.
type planner struct {
	limits Limits
	slots  []*slot // referenced ones first, then in order of name
	picks  []pick
	where  []int32 // for each pick the index of its slot, or -1
	force  []bool  // for each pick whether a set in force holds it already
	unused int     // how many more sets the rule may refer to
}

func place(current []Set, c choice, l Limits) Plan {
	pl := &planner{limits: l, picks: c.picks}
	for _, s := range current {
		pl.slots = append(pl.slots, &slot{Set: s, rewrite: !s.Marked && !s.Mark.Retired})
	}
	slices.SortFunc(pl.slots, func(a, b *slot) int {
		if a.Referenced != b.Referenced {
			if a.Referenced {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.Name, b.Name)
	})
	pl.settle()
	out := pl.cut()
	pl.hold()
	out = append(out, pl.fill()...)

	overflow := append(slices.Clone(c.overflow), out...)
	slices.SortFunc(overflow, func(a, b pick) int {
		return cmp.Or(compareRank(a, b), comparePrefix(a.Prefix, b.Prefix))
	})
	plan := Plan{Steps: pl.steps(len(overflow) == 0), Desired: c.desired, Rejected: c.rejected, picks: pl.picks}
	for _, p := range overflow {
		plan.Overflow = append(plan.Overflow, p.Want)
	}
	plan.OverflowWants = weightOf(overflow)
	return plan
}

// settle gives every wanted prefix that some set holds its place there, and calls
// everything else that the sets hold leaving.
func (pl *planner) settle() {
	type entry struct {
		prefix netip.Prefix
		slot   int32
	}
	var entries []entry
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
	used := 0
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
	match(func(e entry, pick int) {
		s := pl.slots[e.slot]
		switch {
		case !s.usable:
		case pick >= 0 && pl.where[pick] < 0:
			pl.where[pick], pl.force[pick] = e.slot, s.Referenced
			s.keep = append(s.keep, e.prefix)
		default: // not wanted, or a second copy
			s.leave = append(s.leave, e.prefix)
		}
	})
}

// cut returns the newcomers for which the sets have no room. choose has counted
// places as if every address could move; here sets that are half full of one family
// are in the way of the other.
func (pl *planner) cut() []pick {
	r := room{slots: pl.limits.MaxSets, size: pl.limits.SetSize}
	for _, s := range pl.slots {
		if s.usable || s.Referenced {
			r.slots--
		}
		switch {
		case !s.usable:
		case s.Family == IPv4:
			r.left4 += s.room(pl.limits.SetSize)
		default:
			r.left6 += s.room(pl.limits.SetSize)
		}
	}
	r.slots = max(r.slots, 0)
	pl.unused = r.slots
	var newcomers []pick
	for i, p := range pl.picks {
		if pl.where[i] < 0 {
			newcomers = append(newcomers, p)
		}
	}
	_, out := fit(newcomers, r)
	pl.drop(out)
	return out
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

// newcomersOver returns the indexes of the picks that overlap p and that no set in force holds yet.
func (pl *planner) newcomersOver(p netip.Prefix) (list []int) {
	i, _ := slices.BinarySearchFunc(pl.picks, p, func(a pick, p netip.Prefix) int { return comparePrefix(a.Prefix, p) })
	if i > 0 && pl.picks[i-1].Prefix.Overlaps(p) {
		i-- // the range around p, if any, sorts right before it
	}
	for ; i < len(pl.picks) && pl.picks[i].Prefix.Overlaps(p); i++ {
		if !pl.force[i] {
			list = append(list, i)
		}
	}
	return list
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
			if elsewhere || s.room(pl.limits.SetSize)+1 < len(unplaced) {
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
		var queue []int
		for i, p := range pl.picks {
			if pl.where[i] < 0 && FamilyOf(p.Prefix) == f {
				queue = append(queue, i)
			}
		}
		slices.SortFunc(queue, func(a, b int) int {
			return cmp.Or(pl.picks[a].ExpiresAt.Compare(pl.picks[b].ExpiresAt), cmp.Compare(a, b))
		})
		put := func(i int) {
			n := min(len(queue), pl.slots[i].room(pl.limits.SetSize))
			for _, k := range queue[:n] {
				pl.where[k] = int32(i)
				pl.slots[i].add = append(pl.slots[i].add, pl.picks[k].Prefix)
			}
			queue = queue[n:]
		}
		for i, s := range pl.slots {
			if s.usable && s.Family == f && s.dirty() {
				put(i)
			}
		}
		for len(queue) > 0 {
			best := pl.bestRoom(f, len(queue))
			if best < 0 {
				best = pl.newSlot(f)
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

// bestRoom returns the usable set of a family whose room is the smallest that
// takes n newcomers, or the largest if none does; -1 if none has any.
func (pl *planner) bestRoom(f Family, n int) int {
	best, bestRoom := -1, 0
	for i, s := range pl.slots {
		if !s.usable || s.Family != f {
			continue
		}
		r := s.room(pl.limits.SetSize)
		switch {
		case r == 0 || r == bestRoom:
		case bestRoom >= n && r >= n && r < bestRoom, bestRoom < n && r > bestRoom:
			best, bestRoom = i, r
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
	taken := make(map[string]bool, len(pl.slots)+len(pl.limits.Taken))
	for _, s := range pl.slots {
		taken[s.Name] = true
	}
	for _, name := range pl.limits.Taken {
		taken[name] = true
	}
	n := 1
	for taken[SetName(pl.limits.Base, f, n)] {
		n++
	}
	pl.slots = append(pl.slots, &slot{Set: Set{Name: SetName(pl.limits.Base, f, n), Family: f}, isNew: true, usable: true})
	return len(pl.slots) - 1
}
