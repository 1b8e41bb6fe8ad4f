package blocklist

import (
	"iter"
	"net/netip"
)

// Place is what a store's memory of its list says of an address range. It outlasts
// the entry: that is how a term that ended is told from an entry that was lost.
type Place uint8

// The places.
const (
	PlaceNone   Place = iota // never listed, or so long ago that nobody remembers
	PlaceActive              // listed
	PlaceEnded               // was listed, and its term ended or an operator unblocked it
)

// Bounds of where Around looks: no wall blocks a wider range, no merged range of
// more members is worth asking about one by one.
const (
	widest4, widest6 = 16, 32
	memberBits       = 8  // 256 members
	unit6            = 64 // an IPv6 range is made of /64s
)

// LeftInOrder is the rule by which every store tells whether a range that a wall no
// longer wants left the list in good order. at says where a range stands.
//
//   - A range with a place of its own has left when that place is ended.
//   - A piece of a listed range (which was split around allowlisted addresses) has
//     left when a wider range's place is ended and none is active.
//   - A range made of listed ones (merged, at most 256 addresses or /64s) has left
//     when each of them has a place and one is ended: the rest is listed still.
//
// Nothing found means no: what vanished without a trace was lost.
func LeftInOrder(p netip.Prefix, at func(netip.Prefix) Place) bool {
	switch at(p) {
	case PlaceEnded:
		return true
	case PlaceActive:
		return false
	case PlaceNone:
	}
	ended := false
	for w := range Wider(p) {
		switch at(w) {
		case PlaceActive:
			return false
		case PlaceEnded:
			ended = true
		case PlaceNone:
		}
	}
	if ended {
		return true
	}
	if !divisible(p) {
		return false
	}
	whole, ended := members(p, at)
	return whole && ended
}

// members tells whether p is made of ranges that all have a place, and whether one of them is ended.
func members(p netip.Prefix, at func(netip.Prefix) Place) (whole, ended bool) {
	for _, half := range halves(p) {
		switch at(half) {
		case PlaceEnded:
			ended = true
		case PlaceActive:
		case PlaceNone:
			if half.Bits() == unit(half) {
				return false, ended
			}
			w, e := members(half, at)
			if ended = ended || e; !w {
				return false, ended
			}
		}
	}
	return true, ended
}

// Wider returns the wider ranges around p that LeftInOrder looks at, the narrowest first.
func Wider(p netip.Prefix) iter.Seq[netip.Prefix] {
	from, to := p.Bits()-1, widest4
	if p.Addr().Is6() {
		from, to = min(from, unit6), widest6
	}
	return func(yield func(netip.Prefix) bool) {
		for bits := from; bits >= to; bits-- {
			if !yield(netip.PrefixFrom(p.Addr(), bits).Masked()) {
				return
			}
		}
	}
}

// Within returns the ranges within p that LeftInOrder looks at: none if p is a
// single address or has more than 256 members.
func Within(p netip.Prefix) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		if divisible(p) {
			descend(p, yield)
		}
	}
}

func descend(p netip.Prefix, yield func(netip.Prefix) bool) bool {
	for _, half := range halves(p) {
		if !yield(half) || half.Bits() < unit(half) && !descend(half, yield) {
			return false
		}
	}
	return true
}

// unit returns the length of the ranges that p is made of.
func unit(p netip.Prefix) int {
	if p.Addr().Is6() && p.Bits() <= unit6 {
		return unit6
	}
	return p.Addr().BitLen()
}

func divisible(p netip.Prefix) bool {
	n := unit(p) - p.Bits()
	return n > 0 && n <= memberBits
}

// halves splits a range that is no unit.
func halves(p netip.Prefix) [2]netip.Prefix {
	bits := p.Bits() + 1
	raw := p.Addr().AsSlice()
	raw[(bits-1)/8] |= 0x80 >> ((bits - 1) % 8)
	upper, _ := netip.AddrFromSlice(raw)
	return [2]netip.Prefix{netip.PrefixFrom(p.Addr(), bits), netip.PrefixFrom(upper, bits)}
}
