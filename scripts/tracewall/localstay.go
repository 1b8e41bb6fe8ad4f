//go:build cgo

package main

import (
	"context"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/localcloud"
)

// staying is the sync function while it stays on the handoff stream.
type staying struct {
	done    chan struct{} // closed when it has answered
	targets []localcloud.Target
	err     error
}

// stay calls the sync function as its schedule does in the cloud.
func (s *session) stay(ctx context.Context, wait time.Duration) *staying {
	run := &staying{done: make(chan struct{})}
	go func() {
		defer close(run.done)
		run.targets, run.err = s.cloud.Stay(ctx, wait)
	}()
	return run
}

// until waits for something to become true while the function stays.
func (run *staying) until(ctx context.Context, is func() bool) bool {
	for {
		if is() {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-run.done:
			return is()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// end waits for the function's answer and notes what it did.
func (run *staying) end(s *session) error {
	<-run.done
	if run.err != nil {
		return run.err
	}
	return s.synced(run.targets)
}
