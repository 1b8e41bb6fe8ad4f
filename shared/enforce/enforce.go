// Package enforce brings walls up to date with the blocklist: the sync functions
// do it on their schedule and when the bell rings, an operator by hand, and all must do the same thing.
//
// One pass reads the list and the allowlist, both whole or neither, and makes every
// wall equal to the one minus the other, side by side. For each wall it holds a
// lease, takes the handoff messages, recalls what the last run left, reconciles,
// acknowledges what it has proven and keeps a Status. A wall that fails or hangs delays no other, and a list that
// cannot be trusted changes none. Before each write it makes sure that the lease is
// still its own, so two passes over one wall never interleave.
//
// A Watch stays on the handoff stream after its first pass and makes another as
// soon as something is announced.
package enforce

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
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
	Source
	Handoff
	Records
}

// Source is what a pass reads.
type Source interface {
	// Each hands over the whole list, page by page: held whole it would take three times the memory.
	Each(ctx context.Context, now time.Time, fn func([]blocklist.Entry) error) (blocklist.Version, error)
	Allowlist(ctx context.Context) (allowlist.List, error)
	// Ended counts those of the prefixes that left the list in good order; see blocklist.LeftInOrder.
	Ended(ctx context.Context, now time.Time, prefixes []netip.Prefix) (int, error)
}

// Handoff keeps passes apart and carries the announcements.
type Handoff interface {
	Acquire(ctx context.Context, name string, ttl time.Duration) (*blocklist.Lease, error)
	Receive(ctx context.Context, group, consumer string, claimAfter time.Duration) ([]blocklist.Notice, error)
	Ack(ctx context.Context, group string, ids ...string) error
}

// Records is what one pass leaves for the next, and an operator for a pass.
type Records interface {
	Status(ctx context.Context, target string) ([]byte, error)
	SaveStatus(ctx context.Context, target string, status []byte) error
	Approval(ctx context.Context, target string) (a blocklist.Approval, ok bool, err error)
	UseApproval(ctx context.Context, target string) (a blocklist.Approval, ok bool, err error)
}

// Wall is one firewall target and what runs may do to it by themselves.
type Wall struct {
	Name     string
	Firewall waf.Firewall // used by one run at a time
	Limits   waf.Limits
	waf.Policy
}

// Pass is one run over walls. It is a value: make a new one for each run.
type Pass struct {
	List List
	Kind string    // of firewall, "aws-waf": part of the names of leases and consumer groups
	Now  time.Time // the moment that the run stands for

	DryRun  bool // plan and report, change nothing
	NoTrace bool // somebody asked for a plan: keep no status of it
	Verify  bool // read every set instead of believing what it says about itself, and prove
	Prove   bool // ask whether what the sets hold is in force

	AdoptEpoch  bool // accept a list founded anew, or restored from an older state
	Approve     bool // an operator stands by: release and add whatever the list says
	RepairDrift bool // mend what others changed also where a Wall says to report it
}

// Result is what became of one wall. Its JSON form is stable.
type Result struct {
	Name     string `json:"name"`
	Desired  int    `json:"desired"`  // distinct addresses and ranges that should be on the wall
	Enforced int    `json:"enforced"` // those of them that the sets in force hold
	Pending  int    `json:"pending"`  // those that have room and are not there yet
	Overflow int    `json:"overflow"` // those that had no room
	Spared   int    `json:"spared"`   // entries that the allowlist takes out whole
	// Unchallenged counts the entries that are only to be challenged, which a wall that blocks leaves alone.
	Unchallenged int `json:"unchallenged,omitempty"`
	Writes       int `json:"writes"`
	Calls        int `json:"calls"`
	// Effective tells whether what the sets hold was in force when that was last
	// asked; absent: it was never asked. The Status has the reasons.
	Effective *bool         `json:"effective,omitempty"`
	Held      *waf.Held     `json:"held,omitempty"`     // the run did nothing and asks for approval
	Drift     []string      `json:"drift,omitempty"`    // what others changed, in words
	Findings  []waf.Finding `json:"findings,omitempty"` // of a look ahead, in words with what to do
	Observed  bool          `json:"observed,omitempty"` // the run was a plan here, since the Wall says so
	Skipped   string        `json:"skipped,omitempty"`  // why nothing was done, without it being an error
	Error     string        `json:"error,omitempty"`

	Generation uint64     `json:"-"` // of the list that was read
	Guarded    bool       `json:"-"` // a guard stopped the run: somebody must look
	Report     waf.Report `json:"-"`
}

// Run brings the walls up to date and returns one Result for each, in their order,
// also when there is an error; the error joins everything that went wrong. It stops
// before the context's deadline, early enough to record what it did.
func (p Pass) Run(ctx context.Context, walls []Wall) ([]Result, error) {
	work, cancel := workOf(ctx)
	defer cancel()
	r := newRun(p, ctx, work)
	results, errs := make([]Result, len(walls)), make([]error, len(walls))
	var group sync.WaitGroup
	for i, w := range walls {
		group.Go(func() { results[i], errs[i] = r.target(w) })
	}
	group.Wait()
	return results, joined(walls, errs)
}

// joined is one error that says which wall each of errs is about.
func joined(walls []Wall, errs []error) error {
	var all []error
	for i, err := range errs {
		if err != nil {
			all = append(all, fmt.Errorf("target %s: %w", walls[i].Name, err))
		}
	}
	return errors.Join(all...)
}

// workOf returns a context that ends before ctx does, early enough to record what was done.
func workOf(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-margin(time.Until(deadline))))
}

// margin is how long before the deadline the work stops, so that what was done can
// still be recorded: 10 s, or a tenth of a short timeout.
func margin(timeout time.Duration) time.Duration { return min(10*time.Second, timeout/10) }
