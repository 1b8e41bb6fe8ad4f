package waf

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// run is one Reconcile.
type run struct {
	*Reconciler
	want   Desired
	limits Limits
	report Report
	sets   SetFirewall // one of the two is nil
	book   *openBook

	chosen      *choice           // what the list comes down to, without banned; nil: to be worked out
	banned      map[string]string // addresses that the firewall refused, and why
	newlyBanned int               // those of them that this run has met
	quota       error             // a limit that this run has met; it then plans within it
	atStep      StepKind          // the kind of step that met it
	// noExcept: the firewall has refused a rule with exceptions; exceptRefused: just now.
	noExcept, exceptRefused bool

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
		case err == nil && r.madeDo():
			return nil
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
	if r.RuleFirst {
		plan = ruleFirst(plan, state)
	}
	plan = r.noted(plan, state)
	wall := newModel(state, plan)
	if r.book != nil {
		wall = bookModel(state, plan)
	}
	r.describe(plan)
	defer func() {
		if r.book != nil {
			wall.close(r.book.held)
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

// inTime tells a run that was stopped by its own reserve, or ran into the deadline, from one that failed.
func inTime(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrOutOfTime) && !errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%w: %w", ErrOutOfTime, err)
	}
	return err
}
