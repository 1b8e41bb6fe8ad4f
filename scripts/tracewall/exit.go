package main

import (
	"context"
	"errors"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/intelstore"
	"github.com/tracewall/tracewall/shared/waf"
)

// exitCode tells what an error means to a caller.
func exitCode(ctx context.Context, err error) int {
	var usage usageError
	var guard guardError
	switch {
	case err == nil, errors.Is(err, errHelp):
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &guard),
		errors.Is(err, blocklist.ErrNoEpoch), errors.Is(err, blocklist.ErrDamaged), errors.Is(err, blocklist.ErrNoAllowlist),
		errors.Is(err, intelstore.ErrLost), errors.Is(err, intelstore.ErrNotLoaded), errors.Is(err, threatintel.ErrUnreadable), errors.Is(err, allowlist.ErrTooWide),
		errors.Is(err, waf.ErrEpoch), errors.Is(err, waf.ErrStale), errors.Is(err, waf.ErrHeld), errors.Is(err, waf.ErrDrift),
		errors.Is(err, waf.ErrPreflight), errors.Is(err, waf.ErrManaged):
		return exitGuard
	default:
		return exitFailed
	}
}
