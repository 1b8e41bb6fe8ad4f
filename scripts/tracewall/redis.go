package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/intelstore"
	"github.com/tracewall/tracewall/shared/waf"
)

// openStore connects to the Redis of REDIS_URL. Errors never carry the URL: it may hold a password.
func (a *app) openStore(ctx context.Context) (*redisstore.Store, error) {
	url, err := a.redisURL()
	if err != nil {
		return nil, err
	}
	store, err := redisstore.Open(ctx, url)
	if err != nil {
		return nil, usageError{fmt.Errorf("REDIS_URL: %w", err)} // Open only reads it and makes no call
	}
	return store, nil
}

// openList is openStore for whoever asks who must not be blocked: its allowlist is the operator's together
// with the ranges that refresh-intel has loaded, as the functions have it. Who edits the operator's own wants openStore.
func (a *app) openList(ctx context.Context) (intelstore.List, error) {
	store, err := a.openStore(ctx)
	if err != nil {
		return intelstore.List{}, err
	}
	url, err := a.redisURL()
	if err != nil {
		return intelstore.List{}, err
	}
	ranges, err := intelstore.Open(ctx, url, a.now)
	if err != nil {
		return intelstore.List{}, usageError{fmt.Errorf("REDIS_URL: %w", err)}
	}
	return intelstore.List{Store: store, Ranges: ranges}, nil
}

func (a *app) redisURL() (string, error) {
	url, _ := a.lookup("REDIS_URL")
	if url == "" {
		return "", usagef("REDIS_URL is not set: want redis://[USER:PASSWORD@]HOST:PORT[/DB], or rediss:// for TLS")
	}
	return url, nil
}

// explain adds to an error of the store what a person can do about it.
func explain(err error) error {
	switch {
	case errors.Is(err, blocklist.ErrNoAllowlist):
		return fmt.Errorf("%w: nobody is blocked before somebody has said who must not be; save one with tracewall allow --file FILE (an empty file will do)", err)
	case errors.Is(err, blocklist.ErrNoEpoch):
		return fmt.Errorf("%w: if it is new, the first block founds it; if it is not, it was flushed or is half restored", err)
	case errors.Is(err, blocklist.ErrDamaged):
		return fmt.Errorf("%w: restore it from a backup, or accept what is left with tracewall repair", err)
	case errors.Is(err, intelstore.ErrLost), errors.Is(err, threatintel.ErrUnreadable):
		return fmt.Errorf("%w; until it has run nobody is blocked and no wall is changed, since it is not known whom feeds say to spare", err)
	case errors.Is(err, intelstore.ErrNotLoaded):
		return fmt.Errorf("%w; nobody is blocked and no wall is changed before", err)
	case errors.Is(err, allowlist.ErrTooWide):
		return fmt.Errorf("%w: a feed that spares so much is broken or hijacked; take it out of FEEDS and run refresh-intel", err)
	case errors.Is(err, waf.ErrHeld):
		return fmt.Errorf("%w; look at the plan (--dry-run), then tracewall approve TARGET for the next run, or --yes-really", err)
	case errors.Is(err, waf.ErrDrift):
		return fmt.Errorf("%w; --repair-drift makes it as it should be", err)
	}
	return err
}
