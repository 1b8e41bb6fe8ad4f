package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/progress"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/threat"
)

const unblockText = `Lets addresses, ranges or accounts go. A range takes every entry inside it along, an IPv6 address its
/64, by which tracewall judges. An address inside a wider blocked range stays blocked; that is told, and the exit code is 1.
The firewalls follow at their next sync; tracewall sync makes them follow now.

It sticks: neither log lines from before nor, for the time of --for, new ones bring them back, whatever the rules find.
--for 0 lets new ones count at once. Only tracewall block is stronger. To unblock again makes the time longer, never
shorter. It holds for those who are named and those inside a named range that are blocked: for who must never be
blocked there is the allowlist.

Nothing is written when a line cannot be read, unless --skip-bad leaves such lines out.`

// maxCovered bounds for how many addresses the ranges around them are looked up, one
// by one: a person who unblocks somebody names a few, a file of a million is a list of entries.
const maxCovered = 1000

func runUnblock(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("unblock (--file LIST | ADDRESS…) [--for 24h]", unblockText)
	file := fs.String("file", "", "read the addresses from `LIST`")
	coolOff := fs.Duration("for", blocklist.DefaultCoolOff, "let no rule block them again for this `long`, up to 720h")
	skipBad := fs.Bool("skip-bad", false, "leave out lines that cannot be read instead of refusing them all")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if *coolOff < 0 || *coolOff > blocklist.MaxCoolOff {
		return usagef("--for %s: want 0 to %s", *coolOff, blocklist.MaxCoolOff)
	}
	s, err := a.readSubjects(*file, rest)
	if err != nil {
		return err
	}
	if err := a.refuseBad(&s, *skipBad); err != nil {
		return err
	}
	store, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	return a.unblock(ctx, store, s.list, *coolOff)
}

func (a *app) unblock(ctx context.Context, store *redisstore.Store, named []threat.Indicator, coolOff time.Duration) error {
	now := a.now().UTC().Truncate(time.Second)
	list, err := withInside(ctx, store, now, named)
	if err != nil {
		return explain(err)
	}
	line := progress.New(a.stderr)
	defer line.Done()
	removed := 0
	for done := 0; done < len(list); {
		part := list[done:min(done+batchSize, len(list))]
		n, err := store.Unblock(ctx, blocklist.Unblock{
			Run: "operator-unblock-" + now.Format("20060102T150405Z"), Now: now, Indicators: part, CoolOff: coolOff,
		})
		if err != nil {
			return fmt.Errorf("%d of %d done: %w", done, len(list), explain(err))
		}
		removed, done = removed+n, done+len(part)
		line.Update("unblocking", int64(done), int64(len(list)), "entries")
	}
	line.Done()
	fmt.Fprintf(a.stdout, "%d unblocked, %d were not blocked\n", removed, max(0, len(named)-removed))
	if coolOff >= time.Second {
		fmt.Fprintf(a.stdout, "no rule blocks them again before %s\n", now.Add(coolOff.Truncate(time.Second)).Format(time.RFC3339))
	}
	return stillCovered(ctx, store, now, named)
}

// withInside returns the named Indicators, the /64 of each IPv6 address, and the
// entries that lie inside a named range.
func withInside(ctx context.Context, store *redisstore.Store, now time.Time, named []threat.Indicator) ([]threat.Indicator, error) {
	list := slices.Clone(named)
	var ranges []netip.Prefix
	for _, ind := range named {
		if unit := ind.Unit(); unit != ind {
			list = append(list, unit)
		}
		if p := ind.Prefix(); p.IsValid() && !p.IsSingleIP() {
			ranges = append(ranges, p)
		}
	}
	if len(ranges) > maxCovered {
		return nil, usagef("%d ranges: want at most %d at once", len(ranges), maxCovered)
	}
	if len(ranges) > 0 {
		_, err := store.Each(ctx, now, func(entries []blocklist.Entry) error {
			for _, e := range entries {
				p := e.Indicator.Prefix()
				if p.IsValid() && slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Bits() <= p.Bits() && r.Contains(p.Addr()) }) {
					list = append(list, e.Indicator)
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(list, threat.Indicator.Compare)
	return slices.Compact(list), nil
}

// stillCovered tells of named addresses that a wider blocked range keeps blocked.
// Lookup finds exact entries only, so each range that could hold one is asked for.
func stillCovered(ctx context.Context, store *redisstore.Store, now time.Time, named []threat.Indicator) error {
	if len(named) > maxCovered {
		return nil
	}
	var covered []error
	for _, ind := range named {
		p := ind.Prefix()
		if !p.IsValid() {
			continue
		}
		widest := widest4
		if p.Addr().Is6() {
			widest = widest6
		}
		for bits := p.Bits() - 1; bits >= widest; bits-- {
			around, err := threat.Range(netip.PrefixFrom(p.Addr(), bits))
			if err != nil {
				break // reaches into space that nobody can be blocked in
			}
			_, blocked, err := store.Lookup(ctx, now, around)
			if errors.Is(err, blocklist.ErrNoEpoch) {
				return nil // no list, so nobody is on it
			}
			if err != nil {
				return explain(err)
			}
			if blocked {
				covered = append(covered, fmt.Errorf("%s is still blocked, by the entry for %s: unblock that, or put the address on the allowlist", ind, around))
			}
		}
	}
	return errors.Join(covered...)
}
