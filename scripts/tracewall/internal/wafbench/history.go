package wafbench

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/waf"
)

// History is a blocklist that changes from one sync to the next. Its addresses are
// kept in the order in which their terms end.
type History struct {
	attackers *Attackers
	rng       *rand.Rand
	now       time.Time
	live      []waf.Want
	turn      uint64
	last      Change
}

// Change is what one step of a History did.
type Change struct{ Removed, Added []netip.Prefix }

// The deployed terms: what detect blocks stays for three days, and a sync comes every minute.
const (
	term  = 72 * time.Hour
	every = time.Minute
)

// beginning is when every History begins: the same numbers in every run.
var beginning = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// NewHistory returns a list of n made-up addresses that came one after the other.
func NewHistory(seed uint64, n int) *History {
	h := &History{attackers: NewAttackers(seed), rng: rand.New(rand.NewPCG(seed, 1)), now: beginning}
	for i := range n {
		w := h.come()
		w.ExpiresAt = h.now.Add(time.Duration(i) * term / time.Duration(n))
		h.live = append(h.live, w)
	}
	return h
}

// FromList returns a History that begins with a real list. Lists have no terms: their order stands for age.
func FromList(seed uint64, list []netip.Prefix) *History {
	h := &History{attackers: NewAttackers(seed), rng: rand.New(rand.NewPCG(seed, 1)), now: beginning}
	for _, p := range list {
		if p.Addr().Is4() && p.Bits() == 32 {
			b := p.Addr().As4()
			v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
			h.attackers.used[v] = true
			h.attackers.made = append(h.attackers.made, v)
		}
	}
	for i, p := range list {
		h.live = append(h.live, waf.Want{Prefix: p, LastSeen: h.now, ExpiresAt: h.now.Add(time.Duration(i) * term / time.Duration(len(list)))})
	}
	return h
}

func (h *History) come() waf.Want {
	return waf.Want{Prefix: h.attackers.Next(), Severity: threat.High, Count: int64(20 + h.rng.IntN(500)), LastSeen: h.now, ExpiresAt: h.now.Add(term)}
}

// step begins a change.
func (h *History) step() {
	h.turn++
	h.now = h.now.Add(every)
	h.last = Change{}
}

func (h *History) add(n int) {
	for range n {
		w := h.come()
		h.live = append(h.live, w)
		h.last.Added = append(h.last.Added, w.Prefix)
	}
}

// Random lets any out addresses go and lets in come.
func (h *History) Random(out, in int) {
	h.step()
	gone := map[int]bool{}
	for len(gone) < min(out, len(h.live)) {
		gone[h.rng.IntN(len(h.live))] = true
	}
	h.drop(func(i int) bool { return gone[i] })
	h.add(in)
}

// Expire ends the terms that end first, and as many addresses come.
func (h *History) Expire(n int) {
	h.step()
	h.drop(func(i int) bool { return i < n })
	h.add(n)
}

// Refresh is Expire where, before each address whose term ends, another one somewhere
// on the list is seen again and stays for another term: half of all terms do not end when they would have.
func (h *History) Refresh(n int) {
	h.step()
	again := map[int]bool{}
	for len(again) < min(n, len(h.live)) {
		again[h.rng.IntN(len(h.live))] = true
	}
	kept, seen := h.live[:0:0], make([]waf.Want, 0, n)
	for i, w := range h.live {
		if again[i] {
			w.LastSeen, w.ExpiresAt = h.now, h.now.Add(term)
			seen = append(seen, w)
		} else {
			kept = append(kept, w)
		}
	}
	h.live = kept
	h.drop(func(i int) bool { return i < n })
	h.live = append(h.live, seen...)
	h.add(n)
}

// Daily is a published list's new edition. Most of what goes came lately and the
// rest is of any age; a part of what comes has been there before.
func (h *History) Daily(n int) {
	h.step()
	gone := map[int]bool{}
	young := max(len(h.live)/10, 1)
	for len(gone) < min(n, len(h.live)) {
		i := h.rng.IntN(len(h.live))
		if h.rng.IntN(10) < 6 {
			i = len(h.live) - 1 - h.rng.IntN(young)
		}
		gone[i] = true
	}
	h.drop(func(i int) bool { return gone[i] })
	h.add(n)
}

// Become is a published list's real new edition.
func (h *History) Become(list []netip.Prefix) {
	h.step()
	wanted := make(map[netip.Prefix]bool, len(list))
	for _, p := range list {
		wanted[p] = true
	}
	stays := make(map[netip.Prefix]bool, len(h.live))
	h.drop(func(i int) bool {
		p := h.live[i].Prefix
		stays[p] = wanted[p]
		return !wanted[p]
	})
	for _, p := range list {
		if !stays[p] {
			h.live = append(h.live, waf.Want{Prefix: p, LastSeen: h.now, ExpiresAt: h.now.Add(term)})
			h.last.Added = append(h.last.Added, p)
		}
	}
}

func (h *History) drop(gone func(i int) bool) {
	kept := h.live[:0]
	for i, w := range h.live {
		if gone(i) {
			h.last.Removed = append(h.last.Removed, w.Prefix)
		} else {
			kept = append(kept, w)
		}
	}
	clear(h.live[len(kept):])
	h.live = kept
}

// Last returns what the last step did.
func (h *History) Last() Change { return h.last }

// Desired returns the list as a sync reads it: in order of address.
func (h *History) Desired() waf.Desired {
	wants := slices.Clone(h.live)
	slices.SortFunc(wants, func(a, b waf.Want) int { return comparePrefix(a.Prefix, b.Prefix) })
	return waf.Desired{Wants: wants, Epoch: "bench", Generation: h.turn + 1}
}

func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}

func prefixesOf(wants []waf.Want) []netip.Prefix {
	list := make([]netip.Prefix, len(wants))
	for i, w := range wants {
		list[i] = w.Prefix
	}
	return list
}
