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
	var creates, trims, retires []Step
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
		if !s.Referenced {
			refer = append(refer, s.Name)
		}
		step := Step{Set: s.Name, Family: s.Family, Added: len(s.add), Removed: len(s.leave)}
		switch {
		case s.isNew:
			step.Kind, step.Content = Create, s.content(false)
			creates = append(creates, step)
		case s.empties() && s.Referenced && spare[s.Family]:
			retires = append(retires, Step{Kind: Retire, Set: s.Name, Family: s.Family, Removed: len(s.leave) + len(s.held)})
			drop = append(drop, s.Name)
		case len(s.add) > 0 || s.rewrite || !s.Referenced && len(s.leave) > 0:
			step.Kind, step.Content = Fill, s.content(true)
			steps = append(steps, step)
			if len(s.held) > 0 {
				trims = append(trims, Step{Kind: Trim, Set: s.Name, Family: s.Family, Content: s.content(false), Removed: len(s.held)})
			}
		case len(s.leave)+len(s.held) > 0:
			step.Kind, step.Content, step.Removed = Trim, s.content(false), len(s.leave)+len(s.held)
			trims = append(trims, step)
		}
		if s.empties() {
			spare[s.Family] = true
		}
	}
	steps = append(steps, creates...)
	if len(refer) > 0 || pl.limits.Repair {
		steps = append(steps, Step{Kind: Reference, Sets: refer})
	}
	steps = append(steps, trims...)
	steps = append(steps, retires...)
	if len(drop) > 0 {
		steps = append(steps, Step{Kind: Unreference, Sets: drop})
	}
	return append(steps, deletes...)
}
