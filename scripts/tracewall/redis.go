package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/waf"
)

// openStore connects to the Redis of REDIS_URL. Errors never carry the URL: it may hold a password.
func (a *app) openStore(ctx context.Context) (*redisstore.Store, error) {
	url, _ := a.lookup("REDIS_URL")
	if url == "" {
		return nil, usagef("REDIS_URL is not set: want redis://[USER:PASSWORD@]HOST:PORT[/DB], or rediss:// for TLS")
	}
	store, err := redisstore.Open(ctx, url)
	if err != nil {
		return nil, usageError{fmt.Errorf("REDIS_URL: %w", err)} // Open only reads it and makes no call
	}
	return store, nil
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
	case errors.Is(err, waf.ErrHeld):
		return fmt.Errorf("%w; look at the plan (--dry-run), then tracewall approve TARGET for the next run, or --yes-really", err)
	case errors.Is(err, waf.ErrDrift):
		return fmt.Errorf("%w; --repair-drift makes it as it should be", err)
	}
	return err
}
