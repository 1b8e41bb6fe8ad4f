package waf

import "slices"

// ruleFirst moves the mending of a rule that stands and is not as configured to the front of a
// plan. Steps otherwise fill before they refer, which is right as long as the rule does the same
// before and after: one that still blocks must not get those who are only to be challenged, not
// even for the moment until it challenges. Firewalls where each set says itself what it does (Inherent)
// change both in one write, and a rule that is the user's (Fixed) is not ours to mend.
func ruleFirst(plan Plan, state State) Plan {
	stands := state.Exists && (state.Book != nil || slices.ContainsFunc(state.Sets, func(s Set) bool { return s.Referenced }))
	if state.RuleOK || state.Fixed || state.Inherent || !stands {
		return plan
	}
	plan.Steps = slices.DeleteFunc(slices.Clone(plan.Steps), func(s Step) bool { return s.Kind == Reference && len(s.Sets) == 0 })
	plan.Steps = slices.Insert(plan.Steps, 0, Step{Kind: Reference})
	plan.ruleFirst = true
	return plan
}
