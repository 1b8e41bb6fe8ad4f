package wafbench

import (
	"net/netip"

	"go4.org/netipx"
)

// span is a range of addresses, both ends in it.
type span struct{ from, to netip.Addr }

// spansOf returns the ranges of prefixes that are in order. A prefix within another one is dropped.
func spansOf(list []netip.Prefix) []span {
	spans := make([]span, 0, len(list))
	for _, p := range list {
		s := span{p.Addr(), p.Addr()}
		if !p.IsSingleIP() {
			s.to = netipx.PrefixLastIP(p)
		}
		if n := len(spans); n > 0 && !spans[n-1].to.Less(s.to) {
			continue
		}
		spans = append(spans, s)
	}
	return spans
}

// sweep tells of each span whether it is wholly within the others. Both are in order.
func sweep(spans, others []span, each func(i int, within bool)) {
	k := 0
	for i, s := range spans {
		for k < len(others) && others[k].to.Less(s.from) {
			k++
		}
		at, m := s.from, k
		for m < len(others) && !at.Less(others[m].from) && others[m].to.Less(s.to) {
			at = others[m].to.Next()
			m++
		}
		each(i, m < len(others) && !at.Less(others[m].from) && !others[m].to.Less(s.to))
	}
}

// uncovered counts those of the spans that are not wholly within the others.
func uncovered(spans, others []span) (n int) {
	sweep(spans, others, func(_ int, within bool) {
		if !within {
			n++
		}
	})
	return n
}

// watch looks at the wall after every call that changed something. What was blocked
// at any moment of the run and is wanted must be blocked at every later one. Not for concurrent use.
type watch struct {
	wanted []span
	must   []span
	worst  int // the most addresses and ranges that were missing at one moment
}

// begin starts a run. Both lists are in order of address.
func (w *watch) begin(enforced, wanted []netip.Prefix) {
	w.wanted, w.worst = spansOf(wanted), 0
	w.must = w.blocked(spansOf(enforced))
}

// blocked returns what is wanted and in force.
func (w *watch) blocked(held []span) []span {
	list := make([]span, 0, len(w.wanted))
	sweep(w.wanted, held, func(i int, within bool) {
		if within {
			list = append(list, w.wanted[i])
		}
	})
	return list
}

// look takes what is in force now.
func (w *watch) look(enforced []netip.Prefix) {
	held := spansOf(enforced)
	w.worst = max(w.worst, uncovered(w.must, held))
	if now := w.blocked(held); len(now) > len(w.must) || w.worst > 0 {
		w.must = merge(w.must, now)
	}
}

// merge returns both, in order, each once.
func merge(a, b []span) []span {
	all := make([]span, 0, max(len(a), len(b)))
	for len(a) > 0 && len(b) > 0 {
		switch c := a[0].from.Compare(b[0].from); {
		case c < 0:
			all, a = append(all, a[0]), a[1:]
		case c > 0:
			all, b = append(all, b[0]), b[1:]
		default:
			all, a, b = append(all, a[0]), a[1:], b[1:]
		}
	}
	return append(append(all, a...), b...)
}
