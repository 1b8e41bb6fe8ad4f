package blocklist

import (
	"context"
	"errors"
)

// More sentinels of a store; each means one decision.
var (
	// ErrNoAllowlist: nobody has saved an allowlist. Unsure means do not block.
	ErrNoAllowlist = errors.New("no allowlist is stored")
	// ErrNoReport: no such run report or target status is stored (any more).
	ErrNoReport = errors.New("no such report is stored")
)

// Lease is the right to do one job, held until its time to live runs out. It is
// safe for concurrent use.
type Lease struct {
	token          uint64
	renew, release func(context.Context) error
}

// NewLease is for stores: it makes a Lease from the two things that only the
// store can do.
func NewLease(token uint64, renew, release func(context.Context) error) *Lease {
	return &Lease{token: token, renew: renew, release: release}
}

// Token returns the fencing number: each holder's is greater than that of every
// holder before, so that what a slow holder still does can be told apart.
func (l *Lease) Token() uint64 { return l.token }

// Renew gives the lease its full time to live again. ErrLeaseLost means that it
// ran out or passed to another run: stop writing.
func (l *Lease) Renew(ctx context.Context) error { return l.renew(ctx) }

// Release gives the lease back. ErrLeaseLost means that it was no longer ours to
// give back, which is harmless once the work is done.
func (l *Lease) Release(ctx context.Context) error { return l.release(ctx) }
