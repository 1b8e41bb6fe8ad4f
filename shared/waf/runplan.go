package waf

import (
	"context"
	"fmt"
	"math"
	"slices"
)

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
