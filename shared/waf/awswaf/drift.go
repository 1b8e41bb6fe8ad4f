package awswaf

import (
	"fmt"
	"slices"

	"github.com/tracewall/tracewall/shared/waf"
)

// Drift is what somebody else has changed in what we left. It is told from what we
// did ourselves by evidence that only we can make:
//
//   - Of a set whose token differs, the content tells: if it is what its mark says, it is
//     our own, by a run that could not save its memory. That takes reading the set, which the Reconciler
//     does with every Suspect; here it is only called one.
//   - A set that is gone, or that our rule refers to no longer, is nobody's doing if we had emptied it
//     for that, or if another set shows that a run of ours may have been there which we know nothing of.
//   - A rule that is as configured is never drift, whoever made it so; one that is not, only if it
//     is also not as we left it: else the configuration has changed.
//
// So a first run, a switch of modes, a change of settings and a run that was killed at
// any point make none.

// judge compares one of our sets as listed with what we left: whether it must be read, and what can be said at once.
func (f *Firewall) judge(set waf.Set, s *ipSet) (suspect bool, drift []string) {
	m, read := f.memory[s.id]
	suspect = read && m.token != s.token
	left, known := f.left[s.name]
	switch {
	case !known:
		return true, nil
	case left.ID != s.id:
		if !set.Marked && !left.Retired {
			drift = append(drift, fmt.Sprintf("ip set %s was deleted and made anew by somebody else", s.name))
		}
		return true, drift
	case !set.Marked && left.Token != "":
		drift = append(drift, fmt.Sprintf("ip set %s: its description was changed", s.name))
	}
	if left.Referenced && !left.Retired && !set.Referenced && f.place.exists() && len(f.place.refs()) > 0 {
		drift = append(drift, fmt.Sprintf("%s: our rule no longer refers to ip set %s", f.place.title(), s.name))
	}
	return suspect || left.Token != s.token, drift
}

// missing says which sets are gone that were in force.
func (f *Firewall) missing(state waf.State) (drift []string) {
	if slices.ContainsFunc(state.Sets, f.traced) {
		return nil
	}
	for name, l := range f.left {
		switch {
		case f.sets[name] != nil || !l.Referenced || l.Retired:
		case slices.Contains(state.Taken, name):
			drift = append(drift, fmt.Sprintf("ip set %s is gone, and another that is not ours has its name", name))
		default:
			drift = append(drift, fmt.Sprintf("ip set %s is gone", name))
		}
	}
	slices.Sort(drift)
	return drift
}

// traced tells whether a set looks as if a run of ours had been there since we left it: it may then also have
// emptied and deleted others. Should it have been somebody else, reading the set tells.
func (f *Firewall) traced(set waf.Set) bool {
	left, known := f.left[set.Name]
	return set.Marked && (!known || left.ID != f.sets[set.Name].id ||
		left.Token != "" && left.Token != f.sets[set.Name].token)
}

// firstSight takes what stands as left by us, if we know nothing: marks are trusted then.
func (f *Firewall) firstSight(state waf.State) {
	f.left = map[string]leftSet{}
	for _, set := range state.Sets {
		s := f.sets[set.Name]
		l := leftSet{ID: s.id, Referenced: set.Referenced, Retired: set.Mark.Retired}
		if set.Marked {
			l.Token = s.token
		}
		f.left[set.Name] = l
	}
}

// inForce tells whether we left any set in force. If not, our rule may well be gone.
func (f *Firewall) inForce() bool {
	for _, l := range f.left {
		if l.Referenced && !l.Retired {
			return true
		}
	}
	return false
}

// drifted fills in state.Drift, and what state.Sets are to be read for.
func (f *Firewall) drifted(state *waf.State) {
	drift := f.place.drift()
	if f.left == nil {
		f.firstSight(*state)
		return
	}
	f.noteRetired(*state)
	for i := range state.Sets {
		suspect, words := f.judge(state.Sets[i], f.sets[state.Sets[i].Name])
		state.Sets[i].Suspect = suspect
		drift = append(drift, words...)
	}
	state.Drift = append(drift, f.missing(*state)...)
	if f.target.Drift != DriftReport {
		f.settle() // it is said, and what was lost is about to be made good
	}
}

// noteRetired remembers which sets are on their way out.
func (f *Firewall) noteRetired(state waf.State) {
	for _, set := range state.Sets {
		if l, ok := f.left[set.Name]; ok && set.Marked && set.Mark.Retired && l.ID == f.sets[set.Name].id {
			l.Retired = true
			f.left[set.Name] = l
		}
	}
}
