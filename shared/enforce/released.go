package enforce

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"go4.org/netipx"

	"github.com/tracewall/tracewall/shared/waf"
)

// explained counts those of the prefixes that a wall lets go for a reason that
// somebody gave: all of their addresses are still wanted (in another range, or
// without room), or are allowlisted, or to be challenged from now on where this wall
// blocks, or their term on the list has ended. The rest vanished, and nobody knows why.
func (g goal) explained(ctx context.Context, list Source, now time.Time, prefixes []netip.Prefix) (int, error) {
	given := g.ranges()
	var rest []netip.Prefix
	for _, p := range prefixes {
		if !holds(given, p) {
			rest = append(rest, p)
		}
	}
	n := len(prefixes) - len(rest)
	if len(rest) == 0 {
		return n, nil
	}
	ended, err := list.Ended(ctx, now, rest)
	return n + ended, err
}

// ranges joins what is wanted (and not refused), what is only to be challenged and what is
// allowlisted into ranges that lie apart, in order.
func (g goal) ranges() []netipx.IPRange {
	all := make([]netip.Prefix, 0, len(g.Wants)+len(g.milder)+len(g.spare))
	for _, wants := range [][]waf.Want{g.Wants, g.milder} {
		for _, w := range wants {
			if !tooWide(w.Prefix, g.limits) { // what is refused gives nobody a reason
				all = append(all, w.Prefix)
			}
		}
	}
	if len(g.spare)+len(g.milder) > 0 {
		all = append(all, g.spare...)
		slices.SortFunc(all, comparePrefix)
	}
	joined := make([]netipx.IPRange, 0, len(all))
	for _, p := range all {
		r := netipx.RangeOfPrefix(p)
		n := len(joined)
		if n == 0 || joined[n-1].To().Next() != r.From() && joined[n-1].To().Less(r.From()) {
			joined = append(joined, r)
			continue
		}
		if joined[n-1].To().Less(r.To()) {
			joined[n-1] = netipx.IPRangeFrom(joined[n-1].From(), r.To())
		}
	}
	return joined
}

// holds tells whether one of the ranges holds all of p.
func holds(ranges []netipx.IPRange, p netip.Prefix) bool {
	r := netipx.RangeOfPrefix(p)
	i, _ := slices.BinarySearchFunc(ranges, r.From(), func(have netipx.IPRange, from netip.Addr) int {
		if from.Less(have.From()) {
			return 1
		}
		return -1
	})
	return i > 0 && !ranges[i-1].To().Less(r.To())
}
