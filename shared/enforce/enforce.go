// Package enforce brings walls up to date with the blocklist: the sync functions
// do it on their schedule, an operator by hand, and both must do the same thing.
//
// One pass reads the list and the allowlist, both whole or neither, and makes every
// wall equal to the one minus the other, side by side. For each wall it holds a
// lease, takes the handoff messages, reconciles, acknowledges what it has proven
// and keeps a status. A wall that fails or hangs delays no other, and a list that
// cannot be trusted changes none.
package enforce

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/waf"
)

// ErrAllowlist means that the allowlist is absent or could not be read whole, so
// that nothing was planned and the walls stay as they are.
var ErrAllowlist = errors.New("read allowlist, so the walls stay as they are")

// List is what a pass needs of the blocklist's store. Its methods are called by
// several goroutines.
type List interface {
	Snapshot(ctx context.Context, now time.Time) (blocklist.Snapshot, error)
	Allowlist(ctx context.Context) (allowlist.List, error)
	Acquire(ctx context.Context, name string, ttl time.Duration) (*blocklist.Lease, error)
	Receive(ctx context.Context, group, consumer string, claimAfter time.Duration) ([]blocklist.Notice, error)
	Ack(ctx context.Context, group string, ids ...string) error
	SaveStatus(ctx context.Context, target string, status []byte) error
}

// Wall is one firewall target: its name and how to make it equal to a list.
type Wall struct {
	Name      string
	Reconcile func(ctx context.Context, want waf.Desired, how How) (waf.Report, error)
}

// How says what a reconcile may do.
type How struct {
	DryRun     bool // plan and report only
	AdoptEpoch bool // accept a list founded anew
}

// Pass is one run over walls. It is a value: make a new one for each run.
type Pass struct {
	List       List
	Kind       string    // of firewall, "aws-waf": part of the names of leases and consumer groups
	Now        time.Time // the moment that the run stands for
	DryRun     bool
	NoTrace    bool // somebody asked for a plan: keep no status of it
	AdoptEpoch bool
}

// Result is what became of one wall. Its JSON form is stable.
type Result struct {
	Name     string `json:"name"`
	Desired  int    `json:"desired"`  // distinct addresses and ranges that should be on the wall
	Enforced int    `json:"enforced"` // those of them that are
	Overflow int    `json:"overflow"` // those that had no room
	Spared   int    `json:"spared"`   // entries that the allowlist takes out
	Writes   int    `json:"writes"`
	Calls    int    `json:"calls"`
	Skipped  string `json:"skipped,omitempty"` // why nothing was done, without it being an error
	Error    string `json:"error,omitempty"`

	Generation uint64     `json:"-"` // of the list that was read
	Guarded    bool       `json:"-"` // a guard refused the list: somebody must look
	Report     waf.Report `json:"-"`
}

// Run brings the walls up to date and returns one Result for each, in their order,
// also when there is an error; the error joins everything that went wrong. It stops
// before the context's deadline, early enough to record what it did.
func (p Pass) Run(ctx context.Context, walls []Wall) ([]Result, error) {
	r := &run{Pass: p, outer: ctx, work: ctx}
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		var cancel context.CancelFunc
		r.work, cancel = context.WithDeadline(ctx, deadline.Add(-margin(left)))
		defer cancel()
		r.lease = left + leaseSlack
	}
	r.desired = sync.OnceValues(func() (desired, error) { return readDesired(r.work, p.List, p.Now) })

	results, errs := make([]Result, len(walls)), make([]error, len(walls))
	var group sync.WaitGroup
	for i, w := range walls {
		group.Go(func() { results[i], errs[i] = r.target(w) })
	}
	group.Wait()
	for i, err := range errs {
		if err != nil {
			errs[i] = fmt.Errorf("target %s: %w", walls[i].Name, err)
		}
	}
	return results, errors.Join(errs...)
}

// margin is how long before the deadline the work stops, so that what was done can
// still be recorded: 10 s, or a tenth of a short timeout.
func margin(timeout time.Duration) time.Duration { return min(10*time.Second, timeout/10) }
