package enforce

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/waf"
)

// desired is what every wall should hold at one moment.
type desired struct {
	waf.Desired
	spared int // entries that the allowlist takes out
}

// readDesired reads the list and the allowlist as they stand, both whole or
// neither: from half of either, nobody may be blocked and nobody released.
func readDesired(ctx context.Context, list List, now time.Time) (desired, error) {
	allow, err := list.Allowlist(ctx)
	if err != nil {
		return desired{}, fmt.Errorf("%w: %w", ErrAllowlist, err)
	}
	snapshot, err := list.Snapshot(ctx, now)
	if err != nil {
		return desired{}, fmt.Errorf("read blocklist, so the walls stay as they are: %w", err)
	}
	return makeDesired(snapshot, allow, now), nil
}

// makeDesired turns the list's address entries into wants and leaves out those who
// were allowlisted after they had been blocked: the wall lets them go at once,
// the list lets them go when their term ends. Accounts are for walls of another kind.
func makeDesired(snapshot blocklist.Snapshot, allow allowlist.List, now time.Time) desired {
	d := desired{Desired: waf.Desired{Epoch: snapshot.Epoch, Generation: snapshot.Generation}}
	d.Wants = make([]waf.Want, 0, len(snapshot.Entries))
	for _, e := range snapshot.Entries {
		if e.Indicator.Kind() != threat.KindAddress || !e.ExpiresAt.After(now) {
			continue
		}
		if _, ok := allow.Covers(e.Indicator, now); ok {
			d.spared++
			continue
		}
		d.Wants = append(d.Wants, waf.Want{
			Prefix: e.Indicator.Prefix(), Severity: e.Severity, Count: e.Count, LastSeen: e.LastSeen, ExpiresAt: e.ExpiresAt,
		})
	}
	slices.SortFunc(d.Wants, func(a, b waf.Want) int {
		return cmp.Or(a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
	return d
}
