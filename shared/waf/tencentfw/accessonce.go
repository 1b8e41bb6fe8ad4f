package tencentfw

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/tracewall/tracewall/shared/waf"
)

// Whether the cloud takes an address that a rule of the same list holds already is UNVERIFIED. Here is what is done
// where it does not.

// enterOnce enters prefixes without any being in two rules. What is in a rule of ours stays there, and the rule gets the
// end. Rules of ours that have ended are in the way.
func (a *access) enterOnce(ctx context.Context, list []netip.Prefix, end int64, stamp waf.Stamp) (done int, err error) {
	if foreign := a.foreign(list); len(foreign) > 0 {
		return done, &waf.EntryError{Prefix: foreign[0], Err: fmt.Errorf("%w: a rule of somebody else's holds it, and the cloud takes no address twice: take it out of that", waf.ErrInvalid)}
	}
	list = a.lacking(list, end)
	now := a.cfg.Now()
	holding := a.book.holding()
	var fresh, held []netip.Prefix
	ended := map[uint64]bool{}
	for _, p := range list {
		stays := false
		for _, r := range holding[p] {
			if r.over(now) {
				ended[r.id] = true
			} else {
				stays = true
			}
		}
		if stays {
			held = append(held, p)
		} else {
			fresh = append(fresh, p)
		}
	}
	if len(ended) > 0 {
		if err := a.remove(ctx, slices.Sorted(maps.Keys(ended))); err != nil {
			return done, err
		}
		done++
	}
	n, err := a.put(ctx, fresh, end, stamp)
	if done += n; err != nil {
		a.left.NoRepeats = false // another reason, perhaps from the beginning
		return done, err
	}
	n, err = a.extend(ctx, held, end, stamp)
	return done + n, err
}

// anywhere tells whether some rule holds one of the prefixes.
func (a *access) anywhere(list []netip.Prefix) bool {
	holding := a.book.holding()
	return len(a.foreign(list)) > 0 || slices.ContainsFunc(list, func(p netip.Prefix) bool { return len(holding[p]) > 0 })
}

// foreign returns those that a rule of somebody else's holds.
func (a *access) foreign(list []netip.Prefix) []netip.Prefix {
	has := map[netip.Prefix]bool{}
	for _, r := range a.book.other {
		for _, p := range r.list {
			has[p] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool { return !has[p] })
}

// lacking returns those that no rule of ours holds in force until an end, or longer.
func (a *access) lacking(list []netip.Prefix, end int64) []netip.Prefix {
	ends := a.book.ends(a.cfg.Now())
	return slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool {
		has, ok := ends[p]
		return ok && !later(end, has)
	})
}

// extend gives the rules that hold prefixes a later end as a whole. Nobody is out of force for a moment; others of
// the rule are taken out at their own ends, by us.
func (a *access) extend(ctx context.Context, list []netip.Prefix, end int64, stamp waf.Stamp) (done int, err error) {
	now := a.cfg.Now()
	holding := a.book.holding()
	var ids []uint64
	for _, p := range list {
		var last *accessRule
		for _, r := range holding[p] {
			if !r.over(now) && (last == nil || later(r.end, last.end)) {
				last = r
			}
		}
		if last != nil && !slices.Contains(ids, last.id) {
			ids = append(ids, last.id)
		}
	}
	for _, id := range ids {
		r := a.book.find(id)
		if r == nil {
			return done, fmt.Errorf("ip rule %d is gone: %w", id, waf.ErrConflict)
		}
		if err := a.modify(ctx, r, r.texts, end, stamp); err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}
