package awswaf

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// handOver implements place: the groups as we left them, of which a later process
// reads only those whose lock token is another one.
func (p *ruleGroupPlace) handOver() json.RawMessage {
	if p.left == nil {
		return nil
	}
	return mustMarshal(p.remember())
}

func (p *ruleGroupPlace) takeOver(raw json.RawMessage) {
	p.left = nil
	var groups []groupMemory
	if raw == nil || json.Unmarshal(raw, &groups) != nil {
		return
	}
	p.recall(groups)
	p.left = maps.Clone(p.known)
}

// drift implements place. A group is drift if its token is another one and its rule not as
// configured: one that is, a run of ours wrote, or somebody who wants the same.
func (p *ruleGroupPlace) drift() (drift []string) {
	if p.left == nil {
		p.note()
		return nil
	}
	inForce := p.inForce()
	for _, l := range p.remember() {
		i := slices.IndexFunc(p.groups, func(g *ruleGroup) bool { return g.ID == l.ID })
		switch {
		case i < 0 && len(l.Refs) > 0:
			drift = append(drift, fmt.Sprintf("rule group %s is gone", l.Name))
		case i < 0:
		case p.groups[i].Token == l.Token:
		case p.groups[i].notOurs() != "" && l.Foreign == "":
			drift = append(drift, fmt.Sprintf("rule group %s was changed: %s", l.Name, printable(p.groups[i].notOurs(), 200)))
		case p.groups[i].notOurs() != "":
		case len(p.groups[i].Refs) == 0 && len(l.Refs) > 0 && inForce:
			drift = append(drift, fmt.Sprintf("rule group %s: our rule %s is gone", l.Name, p.base))
		case len(p.groups[i].Refs) > 0 && p.groups[i].Form != p.form():
			drift = append(drift, fmt.Sprintf("rule group %s: our rule %s was changed", l.Name, p.base))
		case !p.groups[i].described:
			drift = append(drift, fmt.Sprintf("rule group %s: its description was changed", l.Name))
		}
	}
	if len(drift) == 0 || p.target.Drift != DriftReport {
		p.note()
	}
	return drift
}

// note takes what stands as left by us.
func (p *ruleGroupPlace) note() {
	p.left = map[string]groupMemory{}
	for _, g := range p.groups {
		p.left[g.ID] = g.groupMemory
	}
}
