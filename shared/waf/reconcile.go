package waf

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
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
	run.book, _ = r.Firewall.(BookFirewall)
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

// run is one Reconcile.
type run struct {
	*Reconciler
	want   Desired
	limits Limits
	banned map[string]string // addresses that the firewall refused, and why
	// newlyBanned counts those of banned that this run has met.
	newlyBanned int
	// noExcept: the firewall has refused a rule with exceptions; exceptRefused: just now.
	noExcept, exceptRefused bool
	report                  Report
	sets                    SetFirewall // one of the two is nil
	book                    BookFirewall
	chosen                  *choice // what the list comes down to, without those; nil: to be worked out
	quota                   error   // a limit that this run has met; it then plans within it
	// held is what the book holds, nil before it is known; doubt: the outcome of a write is not known;
	// roomMet: how many it took when it was found to be full.
	held    holding
	doubt   bool
	roomMet int
	atStep  StepKind // the kind of step that met it

	fillBy, stopBy time.Time // zero without a deadline
}

func (r *run) deadlines(ctx context.Context) {
	end, ok := ctx.Deadline()
	if !ok {
		return
	}
	reserve := r.Reserve
	if reserve <= 0 {
		reserve = min(3*time.Second, time.Until(end)/10)
	}
	r.stopBy = end.Add(-reserve)
	r.fillBy = r.stopBy.Add(-reserve)
}

func until(ctx context.Context, t time.Time) (context.Context, context.CancelFunc) {
	if t.IsZero() {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, t)
}

func (r *run) do(ctx context.Context) error {
	if !epochPattern.MatchString(r.want.Epoch) {
		return fmt.Errorf("epoch %q: %w: want 1 to 64 of A-Z a-z 0-9 . _ -", r.want.Epoch, ErrInvalid)
	}
	var trouble error
	for attempt := 1; ; attempt++ {
		if attempt > 1 {
			if err := r.pause(ctx, attempt); err != nil {
				return errors.Join(trouble, ErrOutOfTime)
			}
		}
		err := r.once(ctx)
		switch {
		case err == nil:
			return r.quota
		case attempt == maxLooks+r.newlyBanned:
			return errors.Join(r.quota, err)
		case r.again(err):
			trouble = err
		default:
			return errors.Join(r.quota, err)
		}
	}
}

// again tells whether a new look and a new plan can help, and prepares for it.
func (r *run) again(err error) bool {
	var entry *EntryError
	switch {
	case errors.Is(err, ErrOutOfTime):
		return false
	case errors.As(err, &entry):
		p := entry.Prefix.String()
		if _, known := r.banned[p]; known || r.newlyBanned == maxBanned {
			return false
		}
		r.banned[p] = entry.Err.Error()
		r.newlyBanned++
		r.chosen = nil
		return true
	case r.exceptRefused && !r.noExcept:
		// Without exceptions every removal costs a write in its set, and everything is in force.
		r.noExcept = true
		return true
	case errors.Is(err, ErrQuota), errors.Is(err, ErrTheirRules):
		// No new set can be had, or none can be referred to. Plan once more
		// without: what does not fit is overflow, and what has ended still goes.
		if r.quota != nil {
			return false
		}
		r.quota = err
		return true
	default:
		return errors.Is(err, ErrConflict)
	}
}

func (r *run) pause(ctx context.Context, attempt int) error {
	if r.Pause != nil {
		return r.Pause(ctx, attempt)
	}
	t := time.NewTimer(time.Duration(20+rand.IntN(60)) * time.Millisecond * time.Duration(attempt-1))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// once looks, plans and, unless this is a dry run, carries the plan out.
func (r *run) once(ctx context.Context) error {
	readCtx, cancel := until(ctx, r.fillBy)
	defer cancel()
	state, err := r.look(readCtx)
	if err != nil {
		return inTime(ctx, err)
	}
	r.report.Wall, r.report.Notes = state.Wall, slices.Clone(state.Notes)
	if r.book != nil && state.Book == nil {
		return fmt.Errorf("look at the book: the firewall says nothing of it: %w", ErrInvalid)
	}
	if r.noExcept && state.CanExcept {
		r.report.NoExceptions = true
		r.report.Notes = append(r.report.Notes, "the firewall has refused a rule with exceptions, so each removal is a write in its own set; --verify tries again")
	}
	r.drifted(state.Drift...)
	if err := r.guard(state); err != nil {
		return err
	}
	var plan Plan
	if r.book != nil {
		plan, err = r.planBook(readCtx, state)
	} else {
		plan, err = r.plan(readCtx, state)
	}
	if err != nil {
		return inTime(ctx, err)
	}
	plan = r.noted(plan, state)
	wall := newModel(state, plan)
	if r.book != nil {
		wall = bookModel(state, plan)
	}
	r.describe(plan)
	defer func() {
		if r.book != nil {
			wall.close(r.held)
			r.report.Book = r.remembered()
		}
		r.report.Sets = wall.sets()
		r.report.Enforced, r.report.Pending = wall.enforced()
	}()
	if err := r.judge(readCtx, plan); err != nil {
		if r.DryRun && (errors.Is(err, ErrHeld) || errors.Is(err, ErrDrift)) {
			return nil // the report says what would stop the real run
		}
		return inTime(ctx, err)
	}
	wrote := false
	if !r.DryRun {
		if err := r.apply(ctx, plan, wall); err != nil {
			return err
		}
		wrote = slices.ContainsFunc(plan.Steps, func(s Step) bool { return s.Kind == Reference || s.Kind == Unreference })
	}
	if r.Prove || wrote {
		r.prove(ctx)
	}
	return nil
}

// plan works out what turns what stands into the list. If the sets' marks show that
// they hold the list already, nothing is read.
func (r *run) plan(ctx context.Context, state State) (Plan, error) {
	limits := r.limits
	limits.Taken = state.Taken
	if state.Base != "" {
		limits.Base = state.Base // a set with another name would not be found again
	}
	// A rule that cannot be written now must not keep in force what has ended.
	limits.Repair = (!state.Exists || !state.RuleOK) && (r.quota == nil || r.atStep != Reference)
	limits.CanExcept, limits.Fixed, limits.Unmarked = state.CanExcept && !r.noExcept, state.Fixed, state.Unmarked
	limits.Inherent, limits.NoEmpty, limits.NoIPv6 = state.Inherent, state.NoEmpty, state.NoIPv6
	if state.SetSize > 0 {
		limits.SetSize = min(limits.SetSize, state.SetSize)
	}
	limits.keep = r.quota != nil
	limits.MaxSets = min(limits.MaxSets, max(0, state.RoomSets), r.setsToBeHad(state))
	if !r.Verify && !state.Unmarked {
		chosen := r.choose(nil, limits)
		if r.marksProve(state, len(chosen.picks), sumOfPicks(r.want.Epoch, chosen.picks)) {
			return tidy(state, chosen, limits), nil
		}
	}
	if err := r.read(ctx, state); err != nil {
		return Plan{}, err
	}
	return place(state.Sets, r.choose(state.Sets, limits), limits), nil
}

// drifted adds to what somebody else has changed, each only once: a run may look several times.
func (r *run) drifted(lines ...string) {
	for _, line := range lines {
		if !slices.Contains(r.report.Drift, line) {
			r.report.Drift = append(r.report.Drift, line)
		}
	}
}

func (r *run) choose(current []Set, limits Limits) choice {
	if r.chosen == nil {
		wanted, refused := r.wants()
		all := distinct(wanted, limits)
		all.rejected = append(refused, all.rejected...) // first: the next run must know of them
		r.chosen = &all
	}
	return r.chosen.within(current, limits)
}

// wants splits the list into what may be tried and what the firewall itself has refused.
func (r *run) wants() (wanted []Want, refused []Rejection) {
	if len(r.banned) == 0 {
		return r.want.Wants, nil
	}
	seen := map[string]bool{}
	wanted = slices.DeleteFunc(slices.Clone(r.want.Wants), func(w Want) bool {
		p, err := r.limits.admit(w.Prefix)
		if err != nil {
			return false
		}
		value := p.String()
		reason, banned := r.banned[value]
		if banned && !seen[value] {
			seen[value] = true
			refused = append(refused, Rejection{Value: value, Reason: reason, ByFirewall: true})
		}
		return banned
	})
	slices.SortFunc(refused, func(a, b Rejection) int { return strings.Compare(a.Value, b.Value) })
	return wanted, refused
}

// recallRefused bans what the firewall itself refused in earlier runs: each of them would cost a failing
// write and another plan in every run, and more than a run may meet would keep a set from
// ever being written.
func (r *run) recallRefused() {
	if r.Verify {
		return // hourly they are tried again
	}
	for _, j := range r.Refused {
		p, err := netip.ParsePrefix(j.Value)
		if err != nil || !j.ByFirewall {
			continue
		}
		if p, err = r.limits.admit(p); err == nil {
			r.banned[p.String()] = j.Reason
		}
	}
}

// describe writes the plan into the report. A plan made anew after a conflict follows the first one.
func (r *run) describe(plan Plan) {
	r.report.Desired = plan.Desired
	r.report.Overflow = plan.OverflowWants
	r.report.Overflowed = nil
	for _, w := range plan.Overflow {
		r.report.Overflowed = append(r.report.Overflowed, w.Prefix)
	}
	r.report.Rejected = plan.Rejected
	if n := len(plan.Rejected); n > maxRejections {
		r.report.Rejected = plan.Rejected[:maxRejections]
		r.report.Notes = append(r.report.Notes, fmt.Sprintf("%d more addresses were rejected", n-maxRejections))
	}
	if n := len(plan.condensed); n > 0 {
		r.report.Notes = append(r.report.Notes, fmt.Sprintf("for want of room %d ranges such as %s stand for many wanted addresses in each, and block their neighbours too", n, plan.condensed[0]))
	}
	r.report.Plan = append(r.report.Plan, plan.Words()...)
	r.report.Remaining = nil
}

// setsToBeHad bounds the number of sets after a quota was met: no new one can be
// made, or no new one can be referred to.
func (r *run) setsToBeHad(state State) (n int) {
	if r.quota == nil {
		return math.MaxInt
	}
	for _, s := range state.Sets {
		if s.Referenced || r.atStep == Create && !s.Mark.Retired {
			n++
		}
	}
	return n
}

// inTime tells a run that was stopped by its own reserve, or ran into the deadline, from one that failed.
func inTime(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrOutOfTime) && !errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%w: %w", ErrOutOfTime, err)
	}
	return err
}
