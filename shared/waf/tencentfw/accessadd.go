package tencentfw

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
)

// Add implements waf.BookFirewall. Listings that end together share a call, in the order in which the first of each
// end comes. What an earlier, interrupted Add has entered already costs nothing. With ErrInvalid and ErrQuota some
// may have been entered, too: the same Add again goes on where it stopped.
func (a *access) Add(ctx context.Context, listings []waf.Listing, stamp waf.Stamp) error {
	err := a.add(ctx, listings, stamp)
	if err != nil {
		return fmt.Errorf("add to the %s: %w", a.title(), err)
	}
	return nil
}

func (a *access) add(ctx context.Context, listings []waf.Listing, stamp waf.Stamp) error {
	for _, l := range listings {
		if p := l.Prefix; !p.IsValid() || p != p.Masked() || p.Bits() == 0 || p.Addr().Is4In6() {
			return &waf.EntryError{Prefix: p, Err: fmt.Errorf("%w: want a masked address or range that is not everybody", waf.ErrInvalid)}
		}
	}
	if err := a.whole(ctx); err != nil {
		return err
	}
	p := a.planAdd(listings)
	if err := a.makeRoom(ctx, p.count()); err != nil {
		return err
	}
	done := 0
	for _, e := range p.ends {
		n, err := a.enter(ctx, e, stamp)
		done += n
		if err != nil {
			return partly(err, done)
		}
	}
	if err := a.shrink(ctx, p.stale(a.book), stamp, nil); err != nil {
		return partly(err, done)
	}
	a.left.noteStamp(shortStamp(stamp))
	return nil
}

// partly keeps an error after which nothing was changed for certain from saying so after something was.
func partly(err error, done int) error {
	if done > 0 && (errors.Is(err, waf.ErrThrottled) || errors.Is(err, waf.ErrDenied)) {
		return fmt.Errorf("%w: some of it is done, the next run goes on: %s", waf.ErrUnavailable, err.Error())
	}
	return err
}

// entering is what is to be entered with one end.
type entering struct {
	end     int64
	fresh   []netip.Prefix // in no rule of ours that is in force
	renewed []netip.Prefix // in one with another end
}

// addPlan is an Add, worked out.
type addPlan struct {
	ends []*entering
	want map[netip.Prefix]int64
	now  time.Time
}

func (p *addPlan) count() (n int) {
	for _, e := range p.ends {
		n += len(e.fresh) + len(e.renewed)
	}
	return n
}

// planAdd works out what of the listings is to be entered. What has ended already is not.
func (a *access) planAdd(listings []waf.Listing) *addPlan {
	p := &addPlan{want: map[netip.Prefix]int64{}, now: a.cfg.Now()}
	holding := a.book.holding()
	byEnd := map[int64]*entering{}
	for _, l := range listings {
		end := endOf(l.Until)
		if _, twice := p.want[l.Prefix]; twice || end != 0 && end <= p.now.Unix() {
			continue
		}
		p.want[l.Prefix] = end
		there, held := false, false
		for _, r := range holding[l.Prefix] {
			if r.holds(p.now) {
				held, there = true, there || r.end == end
			}
		}
		if there {
			continue
		}
		e := byEnd[end]
		if e == nil {
			e = &entering{end: end}
			byEnd[end] = e
			p.ends = append(p.ends, e)
		}
		if held {
			e.renewed = append(e.renewed, l.Prefix)
		} else {
			e.fresh = append(e.fresh, l.Prefix)
		}
	}
	return p
}

// stale returns what is now in a rule with another end than the one that was asked for, by rule. Only what
// is in force with the right end leaves the others; what has ended is cleared away with its rule.
func (p *addPlan) stale(b *accessBook) map[uint64]map[netip.Prefix]bool {
	out := map[uint64]map[netip.Prefix]bool{}
	holding := b.holding()
	for prefix, end := range p.want {
		kept := false
		for _, r := range holding[prefix] {
			kept = kept || r.holds(p.now) && r.end == end
		}
		if !kept {
			continue // its rule was given a later end as a whole
		}
		first := true
		for _, r := range holding[prefix] {
			switch {
			case r.over(p.now):
			case r.holds(p.now) && r.end == end && first:
				first = false
			default:
				if out[r.id] == nil {
					out[r.id] = map[netip.Prefix]bool{}
				}
				out[r.id][prefix] = true
			}
		}
	}
	return out
}

// enter enters what shares an end, and returns how many writes succeeded. A cloud that refuses an address which some rule has
// already, whoever's it is and whether it has ended, is remembered, and asked otherwise.
func (a *access) enter(ctx context.Context, e *entering, stamp waf.Stamp) (done int, err error) {
	all := slices.Concat(e.fresh, e.renewed)
	if !a.left.NoRepeats {
		done, err = a.put(ctx, all, e.end, stamp)
		if err == nil || !isRefusal(err) || !a.anywhere(all) {
			return done, err
		}
	}
	n, err := a.enterOnce(ctx, all, e.end, stamp)
	if done += n; err == nil {
		a.left.NoRepeats = true
	}
	return done, err
}

// isRefusal tells errors that say that the cloud does not want what was sent.
func isRefusal(err error) bool {
	return errors.Is(err, waf.ErrInvalid) || errors.Is(err, waf.ErrConflict) || errors.Is(err, waf.ErrInUse)
}

// put enters prefixes with one end: into a rule of ours that has it and takes all of the rest, else into new ones.
// A refusal for want of room may mean that a rule takes fewer than we think: what is tried gets smaller until one alone is refused.
func (a *access) put(ctx context.Context, list []netip.Prefix, end int64, stamp waf.Stamp) (done int, err error) {
	tidied := false
	for len(list) > 0 {
		n := min(len(list), a.ruleSize)
		smaller := n / 2
		if r := a.roomy(end, n); r != nil {
			smaller = len(r.texts)
			err = a.modify(ctx, r, r.with(list[:n]), end, stamp)
		} else {
			err = a.create(ctx, list[:n], end, stamp)
		}
		if errors.Is(err, waf.ErrQuota) {
			if !tidied {
				tidied = true
				cleared, tidyErr := a.clear(ctx)
				if tidyErr != nil {
					return done, tidyErr
				}
				if cleared {
					done++
					continue
				}
			}
			if smaller > 0 {
				a.ruleSize = smaller
				continue
			}
		}
		if err != nil {
			return done, err
		}
		done++
		list = list[n:]
	}
	return done, nil
}

// roomy returns a rule of ours in force that has this end and n free places, nil if there is none.
func (a *access) roomy(end int64, n int) *accessRule {
	now := a.cfg.Now()
	for _, r := range a.book.rules {
		if r.end == end && r.holds(now) && len(r.texts)+n <= a.ruleSize {
			return r
		}
	}
	return nil
}
