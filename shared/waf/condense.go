package waf

import (
	"net/netip"
	"slices"
)

// The ranges that Limits.Dense makes, and nothing wider by inference.
const (
	denseBits4 = 24
	denseBits6 = 48
)

// condense lets a /24, or a /48, stand for the picks within it where at least l.Dense of its
// addresses (of its /64s) are wanted and nothing in it is to be spared. It returns the ranges made.
func condense(picks []pick, l Limits) (out []pick, ranges []netip.Prefix) {
	count := 0
	var open, last netip.Prefix // last: the unit that was counted last, of which there may be parts
	shut := func() {
		if open.IsValid() && count >= l.Dense && !overlaps(l.Spare, open) {
			ranges = append(ranges, open)
		}
		open, count = netip.Prefix{}, 0
	}
	for _, p := range picks {
		bits, unit := denseBits4, 32
		if p.Prefix.Addr().Is6() {
			bits, unit = denseBits6, 64
		}
		if p.Prefix.Bits() < bits {
			continue // wider already
		}
		if around := netip.PrefixFrom(p.Prefix.Addr(), bits).Masked(); around != open {
			shut()
			open = around
		}
		if n := 1 << max(0, unit-p.Prefix.Bits()); n > 1 || !last.Contains(p.Prefix.Addr()) {
			count += n
			last = netip.PrefixFrom(p.Prefix.Addr(), min(unit, p.Prefix.Bits())).Masked()
		}
	}
	shut()
	if len(ranges) == 0 {
		return picks, nil
	}
	// A range for one pick that is the range itself changes nothing.
	ranges = slices.DeleteFunc(ranges, func(r netip.Prefix) bool {
		_, found := slices.BinarySearchFunc(picks, r, func(a pick, p netip.Prefix) int { return comparePrefix(a.Prefix, p) })
		return found
	})
	return gather(picks, ranges), ranges
}
