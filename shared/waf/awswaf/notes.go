package awswaf

import (
	"fmt"
	"strings"
)

// shieldPrefix begin the names of the rules by which Shield Advanced mitigates attacks by itself.
const shieldPrefix = "ShieldMitigationRuleGroup_"

// notes says what weakens the wall wherever our rule stands.
func (t Target) notes() (notes []string) {
	if t.Action == ActionCount {
		notes = append(notes, "action is count: nothing is blocked")
	}
	return append(notes, t.addressNotes()...)
}

// notes says what weakens the wall and is the user's to decide.
func (a *webACL) notes(name string, t Target) []string {
	notes := t.notes()
	at := a.priorityFor(name, t)
	if t.Position == "" && at != int64(t.Priority) {
		notes = append(notes, fmt.Sprintf("priority %d is taken, our rule has %d", t.Priority, at))
	}
	var before, after []string
	for _, r := range a.rules {
		switch {
		case r.name == name:
		case r.priority < at:
			before = append(before, fmt.Sprintf("%s (%d)", r.name, r.priority))
		default:
			after = append(after, fmt.Sprintf("%s (%d)", r.name, r.priority))
		}
	}
	if t.Position == PositionFirst && len(before) > 0 {
		notes = append(notes, fmt.Sprintf("priority is first, but no number is free before %s, so our rule has %d: give them higher numbers", few(before), at))
	}
	if t.Position == PositionLast && len(after) > 0 {
		notes = append(notes, fmt.Sprintf("priority is last, but no number is free after %s, so our rule has %d: give them lower numbers", few(after), at))
	}
	for _, r := range a.rules {
		if r.name != name && r.priority < at && r.action == "Allow" {
			notes = append(notes, fmt.Sprintf("rule %s (priority %d) allows requests before our rule sees them", r.name, r.priority))
		}
		if strings.HasPrefix(r.name, shieldPrefix) {
			notes = append(notes, fmt.Sprintf("rule %s (priority %d) is Shield Advanced's own: it stays as it is", r.name, r.priority))
		}
	}
	if a.retrofitted {
		notes = append(notes, "Firewall Manager has put rule groups of its own around the rules of this web acl: what those before allow, our rule does not see")
	}
	return notes
}

// few names the first few of a list.
func few(list []string) string {
	const most = 5
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}
