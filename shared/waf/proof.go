package waf

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
)

// guard refuses a wall that says it was made from something that this list does not follow from.
func (r *run) guard(state State) error {
	if r.AdoptEpoch {
		return nil
	}
	if s := state.Stamp; s != nil {
		switch {
		case !s.Of(r.want.Epoch):
			return fmt.Errorf("the wall has epoch %s, the list has %s: %w", s.Epoch, r.want.Epoch, ErrEpoch)
		case s.Generation > r.want.Generation:
			return fmt.Errorf("the wall has generation %d, the list has %d: %w", s.Generation, r.want.Generation, ErrStale)
		}
	}
	for _, s := range state.Sets {
		switch {
		case !s.Marked:
		case s.Mark.Epoch != r.want.Epoch:
			return fmt.Errorf("set %s has epoch %s, the list has %s: %w", s.Name, s.Mark.Epoch, r.want.Epoch, ErrEpoch)
		case s.Mark.Generation > r.want.Generation:
			return fmt.Errorf("set %s has generation %d, the list has %d: %w", s.Name, s.Mark.Generation, r.want.Generation, ErrStale)
		}
	}
	return nil
}

// marksProve tells whether the sets' marks alone show that the sets in force hold exactly the list.
func (r *run) marksProve(state State, count int, sum Sum) bool {
	if state.Unmarked {
		return false
	}
	var total Sum
	var empty [IPv6 + 1]int
	n := 0
	for _, s := range state.Sets {
		switch {
		case s.Marked && s.Mark.Retired && s.Mark.Epoch == r.want.Epoch:
			continue // holds nothing
		case s.Except && !s.Referenced:
			continue // spares nobody
		case !s.Marked || s.Suspect || !s.Referenced || s.Mark.Epoch != r.want.Epoch || s.Mark.Generation > r.want.Generation:
			return false
		}
		if s.Except {
			// What it spares and the sets hold. What it spares beyond that, they do not hold.
			n -= s.Mark.Count
			total = total.Sub(s.Mark.Sum)
			continue
		}
		if s.Mark.Count == 0 {
			empty[s.Family]++
		}
		n += s.Mark.Count
		total = total.Add(s.Mark.Sum)
	}
	return n == count && total == sum && empty[IPv4] <= 1 && empty[IPv6] <= 1
}

// tidy is the plan when the sets in force hold exactly the list: at most the rule
// is to be repaired, and what an earlier run retired is to be cleared away.
func tidy(state State, c choice, limits Limits) Plan {
	plan := Plan{Desired: c.desired, Rejected: c.rejected, picks: c.picks, OverflowWants: weightOf(c.overflow)}
	for _, p := range c.overflow {
		plan.Overflow = append(plan.Overflow, p.want())
	}
	var drop []string
	var deletes []Step
	for _, s := range state.Sets {
		switch {
		case !s.Mark.Retired:
		case s.Referenced:
			drop = append(drop, s.Name)
		default:
			deletes = append(deletes, Step{Kind: Delete, Set: s.Name, Family: s.Family})
		}
	}
	if limits.Repair {
		plan.Steps = append(plan.Steps, Step{Kind: Reference})
	}
	if len(drop) > 0 {
		plan.Steps = append(plan.Steps, Step{Kind: Unreference, Sets: drop})
	}
	plan.Steps = append(plan.Steps, deletes...)
	return plan
}

// read fills in what the sets hold and calls those unmarked whose mark does not say so.
func (r *run) read(ctx context.Context, state State) error {
	for i := range state.Sets {
		s := &state.Sets[i]
		if s.Mark.Retired {
			continue
		}
		if !state.Unmarked {
			list, err := r.sets.Contents(ctx, s.Name)
			if err != nil {
				return err
			}
			s.Prefixes = append([]netip.Prefix{}, list...)
		}
		slices.SortFunc(s.Prefixes, comparePrefix)
		s.Prefixes = slices.Compact(s.Prefixes)
	}
	if state.Unmarked {
		return nil
	}
	for i := range state.Sets {
		s := &state.Sets[i]
		if s.Mark.Retired {
			continue
		}
		counted := s.Prefixes
		if s.Except {
			counted = liveIn(state.Sets, s.Family, s.Prefixes)
		}
		if !s.Marked || s.Mark.Count != len(counted) || s.Mark.Sum != SumOf(s.Mark.Epoch, counted) {
			if !s.Except { // a run that was stopped leaves an exceptions set like that
				r.drifted(fmt.Sprintf("set %s does not hold what its description says: somebody else has changed it", s.Name))
			}
			s.Marked = false
		}
		if s.Mark.Epoch != r.want.Epoch || s.Mark.Generation > r.want.Generation {
			s.Marked = false
		}
	}
	return nil
}
