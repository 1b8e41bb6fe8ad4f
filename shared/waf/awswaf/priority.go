package awswaf

import (
	"math"
	"slices"
)

// priorityFor returns the priority that our rule shall have: never one of the user's, whose
// rules stay where they are. "first" and "last" are before and after all of them, as
// near as can be, so that there is room beyond for what the user adds; a rule of ours that is so already
// stays where it is. If no number is left there it is the nearest free one.
func (a *webACL) priorityFor(name string, t Target) int64 {
	if t.Position == "" {
		return a.freePriority(name, int64(t.Priority), 1)
	}
	theirs := a.theirPriorities(name)
	ours := a.ours(name)
	switch {
	case len(theirs) == 0 && ours != nil:
		return ours.priority
	case len(theirs) == 0:
		return DefaultPriority
	case t.Position == PositionFirst && ours != nil && ours.priority < theirs[0],
		t.Position == PositionLast && ours != nil && ours.priority > theirs[len(theirs)-1]:
		return ours.priority
	case t.Position == PositionFirst:
		return a.freePriority(name, max(theirs[0]-1, 0), 1)
	default:
		if most := theirs[len(theirs)-1]; most < math.MaxInt32 {
			return most + 1
		}
		return a.freePriority(name, math.MaxInt32, -1)
	}
}

// theirPriorities returns the priorities of all rules but ours, in order.
func (a *webACL) theirPriorities(name string) (list []int64) {
	for _, r := range a.rules {
		if r.name != name {
			list = append(list, r.priority)
		}
	}
	slices.Sort(list)
	return list
}

// freePriority returns the first priority from wish on, in steps, that no other rule has.
func (a *webACL) freePriority(name string, wish, step int64) int64 {
	theirs := a.theirPriorities(name)
	for slices.Contains(theirs, wish) {
		wish += step
	}
	return wish
}
