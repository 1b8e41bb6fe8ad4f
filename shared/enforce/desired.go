package enforce

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"go4.org/netipx"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/waf"
)

// desired is what the walls should hold at one moment. It is safe for concurrent use.
type desired struct {
	epoch      string
	generation uint64
	whole      []waf.Want     // wants that the allowlist has no part of, in order of address
	split      []waf.Want     // ranges that the allowlist takes a part out of
	spare      []netip.Prefix // what the allowlist holds, in order of address
	allowed    []netip.Prefix // the same, none within another and no two halves of one
	spared     int            // entries of which it leaves nothing

	mu   sync.Mutex
	made map[[2]int][]waf.Want // wants by the widths that walls allow; see goal
}

// goal is what one wall should hold.
type goal struct {
	waf.Desired
	spare   []netip.Prefix
	allowed []netip.Prefix // spare, none within another
	limits  waf.Limits
}

// goal returns what a wall of these limits should hold. A range that is too wide for
// the wall is not split but asked for as it is, so that it is refused: a poisoned /8
// must not get in as the pieces that an allowlisted address breaks it into.
func (d *desired) goal(l waf.Limits) goal {
	g := goal{Desired: waf.Desired{Epoch: d.epoch, Generation: d.generation, Wants: d.whole}, spare: d.spare, allowed: d.allowed, limits: l}
	if len(d.split) == 0 {
		return g
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	widths := [2]int{l.MinBits4, l.MinBits6}
	wants, ok := d.made[widths]
	if !ok {
		var narrow []waf.Want
		wants = slices.Clone(d.whole)
		for _, w := range d.split {
			if tooWide(w.Prefix, l) {
				wants = append(wants, w)
			} else {
				narrow = append(narrow, w)
			}
		}
		pieces, _ := waf.Subtract(narrow, d.spare)
		wants = inOrder(append(wants, pieces...))
		if d.made == nil {
			d.made = map[[2]int][]waf.Want{}
		}
		d.made[widths] = wants
	}
	g.Wants = wants
	return g
}

// tooWide tells whether a wall of these limits refuses a range for its width.
func tooWide(p netip.Prefix, l waf.Limits) bool {
	widest, usual := l.MinBits6, waf.DefaultMinBits6
	if p.Addr().Is4() {
		widest, usual = l.MinBits4, waf.DefaultMinBits4
	}
	if widest <= 0 {
		widest = usual
	}
	return p.Bits() < widest
}

// readDesired reads the list and the allowlist as they stand, both whole or
// neither: from half of either, nobody may be blocked and nobody released.
func readDesired(ctx context.Context, list Source, now time.Time) (*desired, error) {
	allow, err := list.Allowlist(ctx)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAllowlist, err)
	}
	d := newDesired(allow, now)
	version, err := list.Each(ctx, now, func(page []blocklist.Entry) error {
		d.take(page, now)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read blocklist, so the walls stay as they are: %w", err)
	}
	d.close(version)
	return d, nil
}

// newDesired is an empty list beside what the allowlist holds at a moment.
func newDesired(allow allowlist.List, now time.Time) *desired {
	d := &desired{}
	var spare netipx.IPSetBuilder
	for _, e := range allow.Entries() {
		if e.Prefix.IsValid() && (e.Until.IsZero() || now.Before(e.Until)) {
			d.spare = append(d.spare, e.Prefix)
			spare.AddPrefix(e.Prefix)
		}
	}
	slices.SortFunc(d.spare, comparePrefix)
	if set, err := spare.IPSet(); err == nil { // only an invalid prefix makes an error
		d.allowed = set.Prefixes()
		slices.SortFunc(d.allowed, comparePrefix)
	}
	return d
}

// inPart tells whether the allowlist holds some of a range, but not all of it.
func (d *desired) inPart(p netip.Prefix) bool {
	i, found := slices.BinarySearchFunc(d.allowed, p, comparePrefix)
	switch {
	case found, i > 0 && d.allowed[i-1].Bits() <= p.Bits() && d.allowed[i-1].Contains(p.Addr()):
		return false
	default:
		return i < len(d.allowed) && d.allowed[i].Overlaps(p)
	}
}

// take adds entries of the list. Accounts are for walls of another kind.
func (d *desired) take(entries []blocklist.Entry, now time.Time) {
	d.whole = slices.Grow(d.whole, len(entries))
	for _, e := range entries {
		if e.Indicator.Kind() != threat.KindAddress || !e.ExpiresAt.After(now) {
			continue
		}
		w := waf.Want{
			Prefix: e.Indicator.Prefix(), Severity: e.Severity, Count: e.Count, LastSeen: e.LastSeen, ExpiresAt: e.ExpiresAt,
		}
		if d.inPart(w.Prefix) {
			d.split = append(d.split, w)
			continue
		}
		d.whole = append(d.whole, w)
	}
}

// close takes out those who were allowlisted after they had been blocked: the wall
// lets them go at once, the list lets them go when their term ends. A range around an
// allowlisted address is blocked but for that address.
func (d *desired) close(version blocklist.Version) {
	d.epoch, d.generation = version.Epoch, version.Generation
	d.whole, d.spared = waf.Subtract(d.whole, d.spare)
	inOrder(d.whole)
	_, gone := waf.Subtract(d.split, d.spare) // an IPv6 range within the /64 of an allowlisted address
	d.spared += gone
}

func inOrder(wants []waf.Want) []waf.Want {
	slices.SortFunc(wants, func(a, b waf.Want) int { return comparePrefix(a.Prefix, b.Prefix) })
	return wants
}

// comparePrefix orders by address, IPv4 first, and a range before what is within it.
func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
