package waf

import (
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// merge replaces neighbours by the range that holds exactly them, none wider than
// the limits allow.
func merge(picks []pick, l Limits) []pick {
	var b netipx.IPSetBuilder
	for _, p := range picks {
		b.AddPrefix(p.Prefix)
	}
	set, err := b.IPSet()
	if err != nil { // picks are valid
		return picks
	}
	var ranges []netip.Prefix
	for _, p := range set.Prefixes() {
		widest := l.MinBits6
		if p.Addr().Is4() {
			widest = l.MinBits4
		}
		ranges = append(ranges, split(p, widest)...)
	}
	return gather(picks, ranges)
}

// split cuts a range into parts of the widest size allowed.
func split(p netip.Prefix, widest int) []netip.Prefix {
	if p.Bits() >= widest {
		return []netip.Prefix{p}
	}
	lower := netip.PrefixFrom(p.Addr(), p.Bits()+1)
	upper := netip.PrefixFrom(netipx.PrefixLastIP(p), p.Bits()+1).Masked()
	return append(split(lower, widest), split(upper, widest)...)
}

// keepMerged leaves neighbours merged that some set holds as one range, as long as
// all of it is wanted: to take it apart would cost writes and room and gain nothing.
func keepMerged(picks []pick, current []Set, l Limits) []pick {
	var held []netip.Prefix
	for _, s := range current {
		if !s.Except && !s.Mark.Retired {
			held = append(held, s.Prefixes...)
		}
	}
	slices.SortFunc(held, comparePrefix)
	var ranges []netip.Prefix
	for _, m := range held {
		if n := len(ranges); n > 0 && ranges[n-1].Contains(m.Addr()) {
			continue
		}
		i, found := slices.BinarySearchFunc(picks, m, func(a pick, p netip.Prefix) int { return comparePrefix(a.Prefix, p) })
		if found {
			continue
		}
		var b netipx.IPSetBuilder
		parts := 0
		for ; i < len(picks) && m.Contains(picks[i].Prefix.Addr()); i++ {
			b.AddPrefix(picks[i].Prefix)
			parts++
		}
		if _, err := l.admit(m); err != nil || parts < 2 {
			continue
		}
		if set, err := b.IPSet(); err == nil && set.ContainsPrefix(m) {
			ranges = append(ranges, m)
		}
	}
	if len(ranges) == 0 {
		return picks
	}
	return gather(picks, ranges)
}

// gather returns one pick in place of all that lie within one of the ranges, with the
// best rank of any and the earliest end. Both lists are sorted.
func gather(picks []pick, ranges []netip.Prefix) []pick {
	slices.SortFunc(ranges, comparePrefix)
	out := make([]pick, 0, len(picks))
	open := -1 // the range that the last pick of out stands for
	i := 0
	for _, p := range picks {
		for i < len(ranges) && netipx.PrefixLastIP(ranges[i]).Less(p.Prefix.Addr()) {
			i++
		}
		switch {
		case i == len(ranges) || !ranges[i].Contains(p.Prefix.Addr()):
			out = append(out, p)
			continue
		case open != i:
			open = i
			p.Prefix = ranges[i]
			out = append(out, p)
			continue
		}
		one := &out[len(out)-1]
		one.weight += p.weight
		end := one.rank.ExpiresAt
		if p.rank.ExpiresAt.Before(end) {
			end = p.rank.ExpiresAt
		}
		one.rank = outranked(one.rank, p.rank, end)
	}
	return out
}
