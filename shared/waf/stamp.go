package waf

import "slices"

// manyWrites is from how many writes on a run renews the stamp too.
const manyWrites = 10

// stamp is what the wall is made from in this run.
func (r *run) stamp() Stamp { return Stamp{Epoch: r.want.Epoch, Generation: r.want.Generation} }

// noted adds the step that stamps the wall, where that takes a write of its own and one is due. An
// operator who takes another list for the truth has it noted first, so that a run that
// stops half way can be gone on with.
func (r *run) noted(plan Plan, state State) Plan {
	if _, ok := r.Firewall.(Stamper); !ok {
		return plan
	}
	step := Step{Kind: Note}
	switch {
	case len(plan.Steps) == 0 && (!state.Exists || state.NoEmpty && len(state.Sets) == 0):
		// There is nothing, and nothing to note it on.
	case state.Stamp == nil:
		plan.Steps = append(plan.Steps, step)
	case !state.Stamp.Of(r.want.Epoch), state.Stamp.Generation > r.want.Generation:
		plan.Steps = slices.Insert(plan.Steps, 0, step)
	case state.Stamp.Generation < r.want.Generation && (r.Verify || len(plan.Steps) >= manyWrites):
		plan.Steps = append(plan.Steps, step)
	}
	return plan
}
