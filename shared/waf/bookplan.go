package waf

import (
	"cmp"
	"net/netip"
	"slices"
	"time"
)

// newcomer is a pick that the book lacks, or whose end has moved.
type newcomer struct {
	pick
	until  time.Time
	renews bool
}

// placeInBook plans a book: most urgent first in, then the rule, and what is not wanted out, or out first where
// that makes the room and touches nothing on its way in. refer: the rule is to be written.
func placeInBook(held holding, c choice, b Book, l Limits, refer bool) Plan {
	plan := Plan{Desired: c.desired, Rejected: c.rejected, condensed: c.condensed}
	in, renewed, gone := compareBook(held, c.picks, b)
	plan.holds, plan.added, plan.released = len(held), len(in), releasedFrom(gone, c.picks)

	in, early, late, waiting := makeRooms(held, in, gone, b)
	plan.picks = without(c.picks, waiting)
	overflow := slices.Clone(c.overflow)
	for _, n := range waiting {
		overflow = append(overflow, n.pick)
		plan.added--
	}
	slices.SortFunc(overflow, func(a, b pick) int {
		return cmp.Or(compareRank(a, b), comparePrefix(a.Prefix, b.Prefix))
	})
	for _, p := range overflow {
		plan.Overflow = append(plan.Overflow, p.want())
	}
	plan.OverflowWants = weightOf(overflow)

	steps := delist(b, early)
	enlist := enlist(b, append(in, renewed...))
	if len(enlist) > 0 { // the first of them makes the book, and from then on each is in force at once
		steps, enlist = append(steps, enlist[0]), enlist[1:]
	}
	if refer && len(steps) > 0 || l.Repair {
		steps = append(steps, Step{Kind: Reference})
	}
	plan.Steps = append(append(steps, enlist...), delist(b, late)...)
	return plan
}

// compareBook returns what the book lacks, most urgent first, what has to be given a later end, and
// what is not wanted.
func compareBook(held holding, picks []pick, b Book) (in, renewed []newcomer, gone []netip.Prefix) {
	wanted := make(map[netip.Prefix]bool, len(picks))
	for _, p := range picks {
		wanted[p.Prefix] = true
		until := b.until(p)
		now, has := held[p.Prefix]
		switch {
		case !has:
			in = append(in, newcomer{pick: p, until: until})
		case b.Ends && !now.IsZero() && (until.IsZero() || now.Before(until)):
			renewed = append(renewed, newcomer{pick: p, until: until, renews: true})
		}
	}
	// Within a severity by end: those that share one can share a call, and the latest is the newest.
	urgency := func(a, b newcomer) int {
		return cmp.Or(cmp.Compare(b.rank.Severity, a.rank.Severity), b.until.Compare(a.until), compareRank(a.pick, b.pick), comparePrefix(a.Prefix, b.Prefix))
	}
	slices.SortFunc(in, urgency)
	slices.SortFunc(renewed, urgency)
	for p := range held {
		if !wanted[p] {
			gone = append(gone, p)
		}
	}
	slices.SortFunc(gone, comparePrefix)
	return in, renewed, gone
}

// releasedFrom returns those of gone that nothing wanted covers. Both lists are sorted.
func releasedFrom(gone []netip.Prefix, picks []pick) (released []netip.Prefix) {
	for _, p := range gone {
		i, _ := slices.BinarySearchFunc(picks, p, func(a pick, p netip.Prefix) int { return comparePrefix(a.Prefix, p) })
		if i > 0 && picks[i-1].Prefix.Bits() <= p.Bits() && picks[i-1].Prefix.Contains(p.Addr()) {
			continue
		}
		released = append(released, p)
	}
	return released
}

// makeRooms is makeRoom, for each family on its own where the families have places of their own. enters is what
// of in has a place.
func makeRooms(held holding, in []newcomer, gone []netip.Prefix, b Book) (enters []newcomer, early, late []netip.Prefix, waiting []newcomer) {
	if b.Room6 <= 0 {
		early, late, waiting = makeRoom(len(held), in, gone, b.Room)
		return in[:len(in)-len(waiting)], early, late, waiting
	}
	out := map[netip.Prefix]bool{}
	for _, f := range []Family{IPv4, IPv6} {
		room := b.Room
		if f == IPv6 {
			room = b.Room6
		}
		other := func(p netip.Prefix) bool { return FamilyOf(p) != f }
		n := 0
		for p := range held {
			if !other(p) {
				n++
			}
		}
		e, l, w := makeRoom(n,
			slices.DeleteFunc(slices.Clone(in), func(c newcomer) bool { return other(c.Prefix) }),
			slices.DeleteFunc(slices.Clone(gone), other), room)
		early, late, waiting = append(early, e...), append(late, l...), append(waiting, w...)
		for _, c := range w {
			out[c.Prefix] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(in), func(c newcomer) bool { return out[c.Prefix] }), early, late, waiting
}

// makeRoom splits what is to go into what goes before anything is added, because a full
// book needs its place, and the rest. Nothing that covers a part of a newcomer goes early: its
// addresses would be free until the newcomer is in. Newcomers that have no place even so wait for the next run.
func makeRoom(held int, in []newcomer, gone []netip.Prefix, room int) (early, late []netip.Prefix, waiting []newcomer) {
	need := held + len(in) - room
	if room <= 0 || need <= 0 {
		return nil, gone, nil
	}
	coming := make([]netip.Prefix, len(in))
	for i, n := range in {
		coming[i] = n.Prefix
	}
	slices.SortFunc(coming, comparePrefix)
	for _, p := range gone {
		if len(early) < need && !overlaps(coming, p) {
			early = append(early, p)
		} else {
			late = append(late, p)
		}
	}
	if short := need - len(early); short > 0 {
		waiting = in[max(0, len(in)-short):]
	}
	return early, late, waiting
}

// without returns the picks but for those that wait.
func without(picks []pick, waiting []newcomer) []pick {
	if len(waiting) == 0 {
		return picks
	}
	out := make(map[netip.Prefix]bool, len(waiting))
	for _, n := range waiting {
		out[n.Prefix] = true
	}
	return slices.DeleteFunc(slices.Clone(picks), func(p pick) bool { return out[p.Prefix] })
}

func enlist(b Book, list []newcomer) (steps []Step) {
	for part := range slices.Chunk(list, max(1, b.Batch)) {
		step := Step{Kind: Enlist, Set: b.Name}
		for _, n := range part {
			step.Listings = append(step.Listings, Listing{n.Prefix, n.until})
			if n.renews {
				step.Renewed++
			} else {
				step.Added++
			}
		}
		steps = append(steps, step)
	}
	return steps
}

func delist(b Book, list []netip.Prefix) (steps []Step) {
	for part := range slices.Chunk(list, max(1, b.Batch)) {
		steps = append(steps, Step{Kind: Delist, Set: b.Name, Content: part, Removed: len(part)})
	}
	return steps
}
