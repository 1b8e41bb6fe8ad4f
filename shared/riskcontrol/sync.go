package riskcontrol

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tracewall/tracewall/shared/threat"
)

// Result is what a Sync did: counts only, for the summary line of a run.
type Result struct {
	Listed   int // accounts that are blocked now
	Blocked  int // acknowledged
	Extended int // acknowledged
	Released int // acknowledged
	Held     int // releases that wait; see HoldRelease
	Full     int // blocked, but not told: the memory is full
}

// Sync makes the receiver equal to the list as of now. Releases are told first, so that
// nobody waits for an attack to be written down. Each delivery is noted in the memory
// before it is made and after it is acknowledged, so that whatever fails in between can
// be told again or taken back; the Result counts what was acknowledged, also when the
// error is not nil.
//
// Run it under a lease if there is one. Two at once tell some things twice, and may
// overwrite what the other noted in the same millisecond: somebody whom only that one told,
// and who then leaves the list, stays blocked at the receiver until his end.
//
// Nothing is told when the list, the allowlist or the memory cannot be read. When a
// delivery fails the rest stays for the next Sync; one that the receiver does not
// understand (400, 422) does not keep back the others.
func (n *Notifier) Sync(ctx context.Context, now time.Time) (Result, error) {
	var r Result
	allow, err := n.allowlist(ctx)
	if err != nil {
		return r, fmt.Errorf("risk control: read allowlist, so nothing is told: %w", err)
	}
	entries, err := n.list.Accounts(ctx, now)
	if err != nil {
		return r, fmt.Errorf("risk control: read blocked accounts, so nothing is told: %w", err)
	}
	ledger, err := readLedger(ctx, n.memory, n.clock())
	if err != nil {
		return r, fmt.Errorf("risk control: %w", err)
	}
	p := makePlan(entries, func(ind threat.Indicator) bool { _, ok := allow.Covers(ind, now); return ok }, ledger, now)
	r.Listed, r.Full = len(entries), p.full
	var problems []error
	if p.full > 0 {
		problems = append(problems, fmt.Errorf("%w: %d of %d are not told", ErrFull, p.full, len(entries)))
	}
	released := p.ended
	held, err := n.hold(ctx, p)
	if err != nil {
		problems = append(problems, err)
	}
	if held {
		r.Held = len(p.early)
	} else {
		released = append(released, p.early...)
	}
	_, err = n.send(ctx, slices.Concat(released, p.current), func(next []Event) error {
		ledger.intend(next)
		return ledger.save(ctx)
	}, func(heard []Event) error {
		r.count(heard)
		ledger.acknowledge(heard)
		return ledger.save(ctx)
	})
	if err = errors.Join(append(problems, err)...); err != nil {
		return r, fmt.Errorf("risk control: %w", err)
	}
	return r, nil
}

func (r *Result) count(heard []Event) {
	for _, e := range heard {
		switch e.Type {
		case AccountReleased:
			r.Released++
		case AccountExtended:
			r.Extended++
		default:
			r.Blocked++
		}
	}
}
