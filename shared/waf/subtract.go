package waf

import (
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// unit6 is the narrowest IPv6 range that stands for one subscriber: sparing an
// address spares its /64.
const unit6 = 64

// Subtract takes the addresses in spare out of the wants. A range that spare holds
// a part of is split into what is left of it; spared counts the wants of which
// nothing is left. The rest of a range keeps all else of its Want.
func Subtract(wants []Want, spare []netip.Prefix) (rest []Want, spared int) {
	if len(spare) == 0 {
		return wants, 0
	}
	var b netipx.IPSetBuilder
	for _, p := range spare {
		p = unmapped(p)
		if !p.IsValid() {
			continue
		}
		if p.Addr().Is6() && p.Bits() > unit6 {
			p = netip.PrefixFrom(p.Addr(), unit6)
		}
		b.AddPrefix(p.Masked())
	}
	set, err := b.IPSet()
	if err != nil { // only an invalid prefix makes one
		return nil, len(wants)
	}
	// netipx.IPSet.OverlapsPrefix looks at every range: too slow for a million wants.
	sorted := set.Prefixes()
	whole := func(w Want) bool {
		p := unmapped(w.Prefix)
		return !p.IsValid() || !overlaps(sorted, p)
	}
	first := slices.IndexFunc(wants, func(w Want) bool { return !whole(w) })
	if first < 0 {
		return wants, 0 // as on most days: a copy of a million wants would be 90 MB
	}
	rest = slices.Clone(wants[:first])
	for _, w := range wants[first:] {
		if whole(w) {
			rest = append(rest, w)
			continue
		}
		p := unmapped(w.Prefix)
		var left netipx.IPSetBuilder
		left.AddPrefix(p.Masked())
		left.RemoveSet(set)
		pieces, err := left.IPSet()
		if err != nil || len(pieces.Prefixes()) == 0 {
			spared++
			continue
		}
		for _, piece := range pieces.Prefixes() {
			w.Prefix = piece
			rest = append(rest, w)
		}
	}
	return slices.Clip(rest), spared
}

// unmapped turns an IPv4-mapped prefix into the IPv4 prefix that it means; the
// zero Prefix if it means more than IPv4.
func unmapped(p netip.Prefix) netip.Prefix {
	if !p.Addr().Is4In6() {
		return p
	}
	if p.Bits() < 96 {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
}
