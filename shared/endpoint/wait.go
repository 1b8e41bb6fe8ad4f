package endpoint

import (
	"context"
	"time"
)

// Wait waits for d or until ctx ends, and returns ctx's error then.
func Wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Outlasts tells whether ctx has a deadline later than d from now, or none: it is no
// use to begin to wait for what the deadline will cut off.
func Outlasts(ctx context.Context, d time.Duration) bool {
	end, ok := ctx.Deadline()
	return !ok || time.Until(end) > d
}

// Pause waits for d if there is time left after it, and tells whether there is.
func Pause(ctx context.Context, d time.Duration) bool {
	return Outlasts(ctx, d) && Wait(ctx, d) == nil
}
