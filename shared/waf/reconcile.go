package waf

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"time"
)

// Reconciler makes one Firewall equal to a Desired. Its zero value, with Firewall
// set, works. Reconcile may be called again and again, not concurrently.
//
// Two runs of the same state of the list may interleave in any way. A run of an
// older state that is overtaken by one of a newer state may take back, until the next
// run, what the newer one relied on: callers hold a lease against that.
type Reconciler struct {
	Firewall Firewall
	Name     string // of the target, for the report
	Limits   Limits // SetSize, MaxSets and MinBits; the rest is found out

	DryRun bool // plan and report, change nothing
	// Verify reads every set instead of believing its mark. Somebody who changes the
	// addresses of a set and leaves its description is seen only so (and by a
	// Firewall that remembers lock tokens).
	Verify bool
	// AdoptEpoch takes over a wall that was made from another list, or from a newer
	// state of this one: the operator's answer to ErrEpoch and ErrStale after
	// Redis was founded anew or restored.
	AdoptEpoch bool
	// Guard bounds what the run may change by itself; beyond it, it is ErrHeld.
	Guard Guard
	// ReportDrift leaves a wall that somebody else has changed as it is: ErrDrift.
	ReportDrift bool
	// RuleFirst mends a rule that is not as configured before anything is added: the wall is to do
	// less than block to some of what the list asks for.
	RuleFirst bool
	// Prove asks a Prover at the end; without it only a run that wrote the rule asks.
	Prove bool
	// BeforeWrite, if set, is asked before each write; its error stops the run there.
	BeforeWrite func(ctx context.Context) error

	// Now is the moment that the run stands for: what has ended by then is gone from a book by
	// itself. Zero: nothing is taken for gone.
	Now time.Time
	// Book is what the last run left in a book, nil if that is not known; see Report.Book.
	Book *BookMemory
	// Refused are addresses that the firewall itself has refused before, and NoExceptions tells that it has
	// refused a rule with exceptions: neither is tried again but with Verify.
	Refused      []Rejection
	NoExceptions bool

	// Reserve is how long before the context's deadline a run stops; twice as long
	// before it, filling stops and what is filled gets referred to. Default 3 s, at most a tenth of the time given.
	Reserve time.Duration
	// Pause waits before the attempt-th new look after a conflict. Default: some tens of milliseconds, random.
	Pause func(ctx context.Context, attempt int) error

	ahead *ahead
}

const (
	maxLooks  = 5  // looks per run: conflicts are expected, endless ones are not
	maxBanned = 20 // addresses per run that the firewall itself may refuse
)

// epochPattern is what fits into a set's description on every firewall.
var epochPattern = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Reconcile makes the wall equal to the list. The Report is complete also when
// there is an error. An error means that the wall is not (known to be) equal;
// whatever was blocked and is still wanted is still blocked, and the next run goes on.
func (r *Reconciler) Reconcile(ctx context.Context, want Desired) (Report, error) {
	run := &run{Reconciler: r, want: want, limits: r.Limits.withDefaults(), banned: map[string]string{}}
	if r.Limits.MaxSets == 0 {
		run.limits.MaxSets = math.MaxInt // the firewall's own room is the bound
	}
	run.sets, _ = r.Firewall.(SetFirewall)
	if book, ok := r.Firewall.(BookFirewall); ok {
		run.book = &openBook{BookFirewall: book}
	}
	run.report = Report{Name: r.Name, DryRun: r.DryRun, Plan: []string{}, Sets: []SetReport{}}
	run.noExcept = r.NoExceptions && !r.Verify
	run.recallRefused()
	run.deadlines(ctx)
	var calls, writes int
	meter, metered := r.Firewall.(Metered)
	switch {
	case r.ahead != nil:
		calls, writes = r.ahead.calls, r.ahead.writes
	case metered:
		calls, writes = meter.Calls()
	}
	err := fmt.Errorf("the firewall keeps neither sets nor a book: %w", ErrInvalid)
	if run.sets != nil || run.book != nil {
		err = run.do(ctx)
	}
	if metered {
		c, w := meter.Calls()
		run.report.Calls, run.report.Writes = c-calls, w-writes
	}
	if err != nil {
		err = fmt.Errorf("reconcile %s: %w", r.Name, err)
		run.report.Error = err.Error()
	}
	return run.report, err
}
