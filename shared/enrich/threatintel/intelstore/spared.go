package intelstore

import (
	"context"
	"errors"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
)

// List is a blocklist's store whose allowlist is the operator's together with the
// published ranges of crawlers and partners. Functions that decide and functions that
// enforce are handed the same, so that a range which is published later frees its addresses
// with the next sync. It is safe for concurrent use.
type List struct {
	*redisstore.Store
	Ranges *Store
}

// Allowlist returns both lists as one. It fails when either cannot be read whole or
// spares too much of the Internet; no configured feed of ranges is no failure.
func (l List) Allowlist(ctx context.Context) (allowlist.List, error) {
	return allowlist.Sources{
		{Name: "allowlist", Read: l.Store.Allowlist, MaxShare: 1},
		{Name: "published ranges", Read: allowlist.FromEntries(func(ctx context.Context) ([]allowlist.Entry, error) {
			entries, err := l.Ranges.AllowRanges(ctx)
			if errors.Is(err, ErrNoRanges) {
				return nil, nil
			}
			return entries, err
		})},
	}.Allowlist(ctx)
}

// Close closes both.
func (l List) Close() error { return errors.Join(l.Store.Close(), l.Ranges.Close()) }
