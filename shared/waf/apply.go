package waf

import (
	"context"
	"errors"
	"slices"
)

// apply carries a plan out. Sets that fail are left for the next run; after a
// failure to add nothing is taken away.
func (r *run) apply(ctx context.Context, plan Plan, wall *model) error {
	var failures []error
	var unreferable []string // sets that could not be made
	done := make([]bool, len(plan.Steps))
	defer func() {
		for i, step := range plan.Steps {
			if !done[i] {
				r.report.Remaining = append(r.report.Remaining, step.String())
			}
		}
	}()
	fillCtx, cancelFill := until(ctx, r.fillBy)
	defer cancelFill()
	lastCtx, cancelLast := until(ctx, r.stopBy)
	defer cancelLast()

	stopped := false // no more filling: time or permission is gone
	adding := false  // an Except before anything is added must not fail
	for i, step := range plan.Steps {
		var err error
		if r.BeforeWrite != nil {
			if err := r.BeforeWrite(ctx); err != nil {
				return errors.Join(append(failures, err)...)
			}
		}
		switch step.Kind {
		case Except:
			if len(failures) > 0 {
				continue // it spares: like taking away
			}
			err = inTime(ctx, r.sets.Put(lastCtx, r.set(step)))
			if err != nil && !adding {
				r.atStep = step.Kind
				return err
			}
		case Fill, Create:
			adding = true
			if stopped {
				err = ErrOutOfTime
			} else {
				err = inTime(ctx, r.sets.Put(fillCtx, r.set(step)))
			}
			if err != nil && step.Kind == Create {
				unreferable = append(unreferable, step.Set)
			}
		case Enlist:
			adding = true
			if stopped {
				err = ErrOutOfTime
			} else {
				err = r.enlist(fillCtx, step.Listings)
			}
		case Delist:
			if len(failures) > 0 {
				continue // remove nothing if an add failed
			}
			err = r.delist(lastCtx, step.Content)
			if err != nil && !adding {
				r.atStep = step.Kind
				return err
			}
		case Reference:
			adding = true
			if r.book != nil {
				err = inTime(ctx, r.book.Refer(lastCtx))
				break
			}
			step.Sets = slices.DeleteFunc(slices.Clone(step.Sets), func(s string) bool { return slices.Contains(unreferable, s) })
			err = inTime(ctx, r.sets.Reference(lastCtx, step.Sets, nil))
		default:
			if len(failures) > 0 {
				continue // remove nothing if an add failed
			}
			err = inTime(ctx, r.takeAway(lastCtx, step))
		}
		if err != nil && plan.ruleFirst && i == 0 {
			r.atStep = step.Kind
			return err // what it does now is not what it should do to whom the rest would add
		}
		switch {
		case err == nil:
			done[i] = len(unreferable) == 0 || step.Kind != Reference
			wall.apply(step)
		case errors.Is(err, ErrInUse):
			// A reference that was just removed has not spread yet, or somebody else
			// refers to the set. It holds nothing: leave it to the next run.
		default:
			if stopped && errors.Is(err, ErrOutOfTime) {
				break // said once
			}
			failures = append(failures, err)
			if r.exceptRefused = step.Kind == Reference && errors.Is(err, ErrInvalid) && firstExceptions(plan, step.Sets); r.exceptRefused || replans(err) {
				r.atStep = step.Kind
				return errors.Join(failures...)
			}
			stopped = stopped || errors.Is(err, ErrOutOfTime) || errors.Is(err, ErrDenied) || errors.Is(err, ErrThrottled) && r.book != nil || ctx.Err() != nil
		}
	}
	return errors.Join(failures...)
}

func (r *run) takeAway(ctx context.Context, step Step) error {
	switch step.Kind {
	case Trim, Retire:
		return r.sets.Put(ctx, r.set(step))
	case Unreference:
		return r.sets.Reference(ctx, nil, step.Sets)
	case Note:
		return r.Firewall.(Stamper).Stamp(ctx, r.stamp())
	default:
		return r.sets.Delete(ctx, step.Set)
	}
}

func (r *run) set(step Step) Set {
	counted := step.Content
	if step.Except {
		counted = step.Live
	}
	return Set{
		Name: step.Set, Family: step.Family, Except: step.Except, Prefixes: step.Content, Marked: true,
		Mark: Mark{
			Epoch: r.want.Epoch, Generation: r.want.Generation, Count: len(counted),
			Sum: SumOf(r.want.Epoch, counted), Retired: step.Kind == Retire,
		},
	}
}

// firstExceptions tells whether a rule that refers to these sets is the first with exceptions: what
// refuses it may refuse only that.
func firstExceptions(plan Plan, sets []string) bool {
	return slices.ContainsFunc(plan.Steps, func(s Step) bool {
		return s.Except && (s.Kind == Create || s.Kind == Fill) && slices.Contains(sets, s.Set)
	})
}

// replans tells errors after which the rest of the plan may rest on sand.
func replans(err error) bool {
	var entry *EntryError
	return errors.Is(err, ErrConflict) || errors.Is(err, ErrQuota) || errors.Is(err, ErrTheirRules) || errors.As(err, &entry)
}
