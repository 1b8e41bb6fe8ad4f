package waf

import (
	"cmp"
	"slices"
)

// steps writes the outcome down in the order that leaves no gap. If there is room
// to spare, one empty set of each family is kept: the next newcomer then costs one write, not three.
func (pl *planner) steps(roomToSpare bool) (steps []Step) {
	slots := slices.Clone(pl.slots)
	slices.SortFunc(slots, func(a, b *slot) int { return cmp.Compare(a.Name, b.Name) })
	var fills, creates, trims, retires []Step
	var refer, drop []string
	var deletes []Step
	spare := [IPv6 + 1]bool{IPv4: !roomToSpare, IPv6: !roomToSpare}
	for _, s := range slots {
		if !s.usable {
			switch {
			case s.Referenced:
				drop = append(drop, s.Name)
			case !pl.limits.keep:
				deletes = append(deletes, Step{Kind: Delete, Set: s.Name, Family: s.Family})
			}
			continue
		}
		if !s.Referenced && !pl.limits.Inherent {
			refer = append(refer, s.Name)
		}
		step := Step{Set: s.Name, Family: s.Family, Added: len(s.add), Removed: pl.removed(s)}
		switch {
		case pl.limits.NoEmpty && pl.empties(s):
			if s.Referenced && !pl.limits.Inherent {
				drop = append(drop, s.Name)
			} else {
				refer = slices.DeleteFunc(refer, func(name string) bool { return name == s.Name })
				deletes = append(deletes, Step{Kind: Delete, Set: s.Name, Family: s.Family, Removed: step.Removed + len(s.held)})
			}
			continue
		case s.isNew:
			step.Kind, step.Content = Create, pl.content(s, false)
			creates = append(creates, step)
		case pl.empties(s) && s.Referenced && spare[s.Family] && !pl.limits.Fixed:
			retires = append(retires, Step{Kind: Retire, Set: s.Name, Family: s.Family, Removed: step.Removed + len(s.held)})
			drop = append(drop, s.Name)
		// What folds has to be out of its set before the exceptions set lets go of it.
		case len(s.add)+len(s.purge) > 0 || s.rewrite || !s.Referenced && len(s.leave) > 0 || s.written() && pl.folds(s.Family) && len(s.dormant) > 0:
			step.Kind, step.Content = Fill, pl.content(s, true)
			fills = append(fills, step)
			if len(s.held) > 0 {
				trims = append(trims, Step{Kind: Trim, Set: s.Name, Family: s.Family, Content: pl.content(s, false), Removed: len(s.held)})
			}
		case s.written():
			step.Kind, step.Content, step.Removed = Trim, pl.content(s, false), step.Removed+len(s.held)
			trims = append(trims, step)
		}
		if pl.empties(s) {
			spare[s.Family] = true
		}
	}
	var excepts []Step
	for _, f := range []Family{IPv4, IPv6} {
		x := pl.spareSteps(pl.spare[f])
		steps = append(steps, x.first...)
		creates = append(creates, x.made...)
		excepts = append(excepts, x.then...)
		deletes = append(deletes, x.deletes...)
		refer, drop = append(refer, x.refer...), append(drop, x.drop...)
	}
	steps = append(append(steps, fills...), creates...)
	if (len(refer) > 0 || pl.limits.Repair) && !pl.limits.Fixed {
		steps = append(steps, Step{Kind: Reference, Sets: refer})
	}
	steps = append(append(append(steps, excepts...), trims...), retires...)
	if pl.limits.Fixed {
		return steps
	}
	if len(drop) > 0 {
		steps = append(steps, Step{Kind: Unreference, Sets: drop})
	}
	return append(steps, deletes...)
}
