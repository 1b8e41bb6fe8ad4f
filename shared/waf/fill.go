package waf

import (
	"cmp"
	"net/netip"
	"slices"
)

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
	_, out := fit(newcomers, r, nil)
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
	var slots []*slot
	var at []int
	for i, s := range pl.slots {
		if s.usable && s.Family == f {
			slots, at = append(slots, s), append(at, i)
		}
	}
	if i := pl.fewest(slots, n); i >= 0 {
		return at[i]
	}
	return -1
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
