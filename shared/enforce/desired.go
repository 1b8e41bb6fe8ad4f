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
	blocks     part           // entries that say block: for every wall
	challenges part           // entries that say challenge: for walls that do no worse
	spare      []netip.Prefix // what the allowlist holds, in order of address
	allowed    []netip.Prefix // the same, none within another and no two halves of one

	mu   sync.Mutex
	made map[shape][]waf.Want // wants by what walls allow; see goal
}

// part is what one kind of entries asks for.
type part struct {
	whole  []waf.Want // wants that the allowlist has no part of, in order of address
	split  []waf.Want // ranges that the allowlist takes a part out of
	spared int        // entries of which it leaves nothing
}

// shape is in what a wall's wants can differ from another's.
type shape struct {
	minBits4, minBits6 int
	challenges         bool
}

// goal is what one wall should hold.
type goal struct {
	waf.Desired
	spare   []netip.Prefix
	allowed []netip.Prefix // spare, none within another
	milder  []waf.Want     // what is to be challenged, which a wall that blocks leaves alone
	spared  int
	limits  waf.Limits
}

// goal returns what a wall should hold. One that blocks gets nothing of what is only to
// be challenged; one that does less (challenges, counts) gets that as well. A range that is too wide for
// the wall is not split but asked for as it is, so that it is refused: a poisoned /8
// must not get in as the pieces that an allowlisted address breaks it into.
func (d *desired) goal(w Wall) goal {
	l := w.Limits
	g := goal{
		Desired: waf.Desired{Epoch: d.epoch, Generation: d.generation, Wants: d.blocks.whole},
		spare:   d.spare, allowed: d.allowed, spared: d.blocks.spared, limits: l,
	}
	split := d.blocks.split
	if w.Challenges {
		split = slices.Concat(split, d.challenges.split)
		g.spared += d.challenges.spared
	} else {
		g.milder = slices.Concat(d.challenges.whole, d.challenges.split)
	}
	if len(split) == 0 && (!w.Challenges || len(d.challenges.whole) == 0) {
		return g
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	key := shape{l.MinBits4, l.MinBits6, w.Challenges}
	wants, ok := d.made[key]
	if !ok {
		var narrow []waf.Want
		wants = slices.Clone(d.blocks.whole)
		if w.Challenges {
			wants = append(wants, d.challenges.whole...)
		}
		for _, w := range split {
			if tooWide(w.Prefix, l) {
				wants = append(wants, w)
			} else {
				narrow = append(narrow, w)
			}
		}
		pieces, _ := waf.Subtract(narrow, d.spare)
		wants = inOrder(append(wants, pieces...))
		if d.made == nil {
			d.made = map[shape][]waf.Want{}
		}
		d.made[key] = wants
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
	d.blocks.whole = slices.Grow(d.blocks.whole, len(entries))
	for _, e := range entries {
		if e.Indicator.Kind() != threat.KindAddress || !e.ExpiresAt.After(now) {
			continue
		}
		w := waf.Want{
			Prefix: e.Indicator.Prefix(), Severity: e.Severity, Count: e.Count, LastSeen: e.LastSeen, ExpiresAt: e.ExpiresAt,
		}
		p := &d.blocks
		if e.Challenge {
			p = &d.challenges
		}
		if d.inPart(w.Prefix) {
			p.split = append(p.split, w)
			continue
		}
		p.whole = append(p.whole, w)
	}
}

// close takes out those who were allowlisted after they had been blocked: the wall
// lets them go at once, the list lets them go when their term ends. A range around an
// allowlisted address is blocked but for that address.
func (d *desired) close(version blocklist.Version) {
	d.epoch, d.generation = version.Epoch, version.Generation
	d.blocks.close(d.spare)
	d.challenges.close(d.spare)
}

func (p *part) close(spare []netip.Prefix) {
	p.whole, p.spared = waf.Subtract(p.whole, spare)
	inOrder(p.whole)
	_, gone := waf.Subtract(p.split, spare) // an IPv6 range within the /64 of an allowlisted address
	p.spared += gone
}

func inOrder(wants []waf.Want) []waf.Want {
	slices.SortFunc(wants, func(a, b waf.Want) int { return comparePrefix(a.Prefix, b.Prefix) })
	return wants
}

// comparePrefix orders by address, IPv4 first, and a range before what is within it.
func comparePrefix(a, b netip.Prefix) int {
	return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
}
