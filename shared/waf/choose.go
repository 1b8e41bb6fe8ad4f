package waf

import (
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// pick is one prefix that needs a place, with the best rank among the wants that it stands for.
type pick struct {
	Prefix netip.Prefix
	weight int   // how many distinct wants it covers: itself and those within it
	rank   *Want // the caller's own, never changed: a copy of each would take as much memory again
}

// want returns the pick as what it stands for.
func (p pick) want() Want {
	w := *p.rank
	w.Prefix = p.Prefix
	return w
}

// outranked returns the better rank of two, with this end.
func outranked(a, b *Want, end time.Time) *Want {
	w := *a
	if compareWants(b, a) < 0 {
		w = *b
	}
	w.ExpiresAt = end
	return &w
}

// choice is what a list of wants comes down to under some limits.
type choice struct {
	picks    []pick // in order of address, none within another
	overflow []pick // most urgent first
	desired  int
	rejected []Rejection
	// condensed are the ranges that stand for what is within them and block others too.
	condensed []netip.Prefix
}

// distinct brings the wants into one spelling, refuses the bad ones, and drops
// duplicates and those within a wider one.
func distinct(wants []Want, l Limits) choice {
	var c choice
	all := make([]pick, 0, len(wants))
	for i, w := range wants {
		p, err := l.admit(w.Prefix)
		if err != nil {
			c.rejected = append(c.rejected, Rejection{Value: w.Prefix.String(), Reason: err.Error()})
			continue
		}
		all = append(all, pick{Prefix: p, rank: &wants[i], weight: 1})
	}
	slices.SortStableFunc(c.rejected, func(a, b Rejection) int { return cmp.Compare(a.Value, b.Value) })
	slices.SortFunc(all, func(a, b pick) int {
		return cmp.Or(comparePrefix(a.Prefix, b.Prefix), compareRank(a, b), b.rank.ExpiresAt.Compare(a.rank.ExpiresAt))
	})

	// A range sorts right before everything within it, so one look back is enough:
	// what is kept last is the only range that can hold the next one.
	c.picks = all[:0]
	var last netip.Prefix
	for _, p := range all {
		duplicate := p.Prefix == last
		last = p.Prefix
		if !duplicate {
			c.desired++
		}
		n := len(c.picks)
		if n == 0 || !c.picks[n-1].Prefix.Contains(p.Prefix.Addr()) {
			c.picks = append(c.picks, p)
			continue
		}
		keeper := &c.picks[n-1]
		if !duplicate {
			keeper.weight++
		}
		if compareRank(p, *keeper) < 0 {
			keeper.rank = outranked(p.rank, keeper.rank, keeper.rank.ExpiresAt)
		}
	}
	return c
}

// within merges neighbours if there is no room without, and keeps the most urgent that
// can have a place. It changes nothing in the lists of c.
func (c choice) within(current []Set, l Limits) choice {
	picks, held := keepMerged(c.picks, current, l), heldBy(current, l)
	c.picks, c.overflow = fit(picks, roomFor(current, l), held)
	if len(c.overflow) > 0 {
		picks = merge(picks, l)
		c.picks, c.overflow = fit(picks, roomFor(current, l), held)
	}
	if len(c.overflow) > 0 && l.Dense > 0 {
		picks, c.condensed = condense(picks, l)
		c.picks, c.overflow = fit(picks, roomFor(current, l), held)
	}
	return c
}

// roomFor is the room that the sets may have in all.
func roomFor(current []Set, l Limits) room {
	if l.inBook && l.bookRoom6 > 0 {
		return room{left4: l.bookRoom, left6: l.bookRoom6}
	}
	if l.inBook {
		return room{either: l.bookRoom}
	}
	r := room{slots: l.MaxSets, size: l.SetSize}
	if !l.Fixed {
		return r
	}
	r.slots = 0
	for _, s := range current {
		if s.Family == IPv4 {
			r.left4 += l.SetSize
		} else {
			r.left6 += l.SetSize
		}
	}
	return r
}

// admit returns the one spelling of a prefix, or why it can never be enforced.
func (l Limits) admit(p netip.Prefix) (netip.Prefix, error) {
	if !p.IsValid() {
		return p, errors.New("not an address range")
	}
	if addr := p.Addr(); addr.Is4In6() {
		if p.Bits() < 96 {
			return p, errors.New("IPv4-mapped range wider than all of IPv4")
		}
		p = netip.PrefixFrom(addr.Unmap(), p.Bits()-96)
	}
	if l.NoIPv6 && p.Addr().Is6() {
		return p, errors.New("an IPv6 range, and the firewall takes none")
	}
	widest := l.MinBits6
	if p.Addr().Is4() {
		widest = l.MinBits4
	}
	if p.Bits() < widest {
		return p, fmt.Errorf("range wider than a /%d", widest)
	}
	return p.Masked(), nil
}

// room counts free places: in sets that hold a family already, and in sets yet to be made.
type room struct {
	left4, left6 int
	slots, size  int
	either       int // places that take any family
}

func (r *room) take(f Family) bool {
	left := &r.left4
	if f == IPv6 {
		left = &r.left6
	}
	switch {
	case r.either > 0:
		r.either--
		return true
	case *left > 0:
	case r.slots > 0:
		r.slots--
		*left = r.size
	default:
		return false
	}
	*left--
	return true
}

// heldBy tells what is in force already, where the content of the sets is always at hand: elsewhere a run that
// has not read them must come to the same choice as one that has. Nil: it does not matter.
func heldBy(current []Set, l Limits) func() map[netip.Prefix]bool {
	if !l.Unmarked && !l.inBook {
		return nil
	}
	return sync.OnceValue(func() map[netip.Prefix]bool {
		held := map[netip.Prefix]bool{}
		for _, s := range current {
			for _, p := range s.Prefixes {
				held[p] = true
			}
		}
		return held
	})
}

// fit splits picks into those that get a place and those that do not, most urgent
// first in both decisions. Of two that are about as urgent, the one that is in force stays: the counts of an attack
// under way change with every run, and each of them would turn a full wall over. The former stay in the order given.
func fit(picks []pick, r room, held func() map[netip.Prefix]bool) (in, out []pick) {
	all := r
	if !slices.ContainsFunc(picks, func(p pick) bool { return !all.take(FamilyOf(p.Prefix)) }) {
		return picks, nil
	}
	order := make([]int32, len(picks))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		p, q := picks[a], picks[b]
		return cmp.Or(compareUrgency(p, q), compareHeld(p, q, held), compareRank(p, q), comparePrefix(p.Prefix, q.Prefix))
	})
	gone := make([]bool, len(picks))
	for _, i := range order {
		if !r.take(FamilyOf(picks[i].Prefix)) {
			gone[i] = true
			out = append(out, picks[i])
		}
	}
	for i, p := range picks {
		if !gone[i] {
			in = append(in, p)
		}
	}
	return in, out
}

// compareUrgency orders by severity and then roughly by count: twice as many count as more.
func compareUrgency(a, b pick) int {
	return cmp.Or(cmp.Compare(b.rank.Severity, a.rank.Severity), cmp.Compare(bits.Len64(uint64(max(0, b.rank.Count))), bits.Len64(uint64(max(0, a.rank.Count)))))
}

// compareHeld orders what is in force first.
func compareHeld(a, b pick, held func() map[netip.Prefix]bool) int {
	if held == nil {
		return 0
	}
	switch in := held(); {
	case in[a.Prefix] == in[b.Prefix]:
		return 0
	case in[a.Prefix]:
		return -1
	default:
		return 1
	}
}

// compareRank orders the more urgent first: by severity, then count, then recency.
func compareRank(a, b pick) int { return compareWants(a.rank, b.rank) }

func compareWants(a, b *Want) int {
	return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(b.Count, a.Count), b.LastSeen.Compare(a.LastSeen))
}

// comparePrefix orders by address, IPv4 first, and a range before what is within it.
func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

func weightOf(picks []pick) (n int) {
	for _, p := range picks {
		n += p.weight
	}
	return n
}
