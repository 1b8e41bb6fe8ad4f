package tencentfw

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
)

// tidyAfter is how long after its end a rule of ours is cleared away at the earliest: no
// difference between two clocks takes anything out of force.
const tidyAfter = 5 * time.Minute

// Remove implements waf.BookFirewall. Each rule that holds some of the prefixes is written
// once; all that become empty go in one call, and with them, at no cost, those of ours that have ended.
func (a *access) Remove(ctx context.Context, prefixes []netip.Prefix, stamp waf.Stamp) error {
	if err := a.strike(ctx, prefixes, stamp); err != nil {
		return fmt.Errorf("remove from the %s: %w", a.title(), err)
	}
	return nil
}

func (a *access) strike(ctx context.Context, prefixes []netip.Prefix, stamp waf.Stamp) error {
	if err := a.whole(ctx); err != nil {
		return err
	}
	out := map[netip.Prefix]bool{}
	for _, p := range prefixes {
		out[p] = true
	}
	now := a.cfg.Now()
	from := map[uint64]map[netip.Prefix]bool{}
	for p, rules := range a.book.holding() {
		for _, r := range rules {
			if out[p] && !r.over(now) {
				from[r.id] = out
			}
		}
	}
	if err := a.shrink(ctx, from, stamp, a.ended()); err != nil {
		return err
	}
	a.left.noteStamp(shortStamp(stamp))
	return nil
}

// ended returns the rules of ours that can be cleared away.
func (a *access) ended() []uint64 {
	ids, _ := a.book.over(a.cfg.Now().Add(-tidyAfter))
	return ids
}

// shrink takes prefixes out of rules. Where a rule is deleted anyway, some of along go with it.
func (a *access) shrink(ctx context.Context, from map[uint64]map[netip.Prefix]bool, stamp waf.Stamp, along []uint64) error {
	var empty []uint64
	done := 0
	for _, id := range slices.Sorted(maps.Keys(from)) {
		r := a.book.find(id)
		if r == nil {
			continue // somebody has deleted it
		}
		texts := r.without(from[id])
		switch {
		case len(texts) == len(r.texts):
			continue
		case len(texts) == 0:
			empty = append(empty, id)
			continue
		}
		if err := a.modify(ctx, r, texts, r.end, stamp); err != nil {
			return partly(err, done)
		}
		done++
	}
	if len(empty) == 0 {
		return nil
	}
	if free := -len(empty) % deleteSize; free < 0 {
		empty = append(empty, along[:min(len(along), deleteSize+free)]...)
	}
	return partly(a.remove(ctx, empty), done)
}

// makeRoom clears rules of ours away that have ended, if there are as many as one call takes, or if what is
// coming needs their places: whether the cloud counts them is UNVERIFIED, so they count.
func (a *access) makeRoom(ctx context.Context, coming int) error {
	ended, places := a.book.over(a.cfg.Now().Add(-tidyAfter))
	room := a.left.Quota
	if a.target.Entries > 0 {
		room = a.target.Entries
	}
	mine := 0
	for _, r := range a.book.rules {
		mine += len(r.texts)
	}
	short := room > 0 && places > 0 && mine+coming > room-a.left.Others
	if len(ended) < deleteSize && !short {
		return nil
	}
	_, err := a.clear(ctx)
	return err
}

// clear deletes the rules of ours that have ended, and tells whether there were any.
func (a *access) clear(ctx context.Context) (cleared bool, err error) {
	ended := a.ended()
	if len(ended) == 0 {
		return false, nil
	}
	return true, a.remove(ctx, ended)
}

// Stamp implements waf.Stamper: it writes the note of the rule that was written last. Where Add or Remove has said the
// same already, and where there is no rule, that costs nothing.
func (a *access) Stamp(ctx context.Context, stamp waf.Stamp) error {
	if err := a.whole(ctx); err != nil {
		return fmt.Errorf("stamp the %s: %w", a.title(), err)
	}
	a.settle()
	short := shortStamp(stamp)
	if s := a.left.stamp(); s != nil && *s == short {
		return nil
	}
	if last := a.last(); last != nil && last.stamp != short {
		if err := a.modify(ctx, last, last.texts, last.end, stamp); err != nil {
			return fmt.Errorf("stamp the %s: %w", a.title(), err)
		}
	}
	a.left.noteStamp(short)
	return nil
}
