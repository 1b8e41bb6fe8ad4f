package aliwaf

import (
	"fmt"
	"slices"
	"strings"
)

// flaw is one thing that is not as configured.
type flaw struct {
	kind flawKind
	text string // as a change by somebody else, in words
}

type flawKind int

const (
	templateMissing flawKind = iota + 1
	templateOff
	templateUnmarked
	ruleMissing
	ruleOff
	ruleOther // another action, or other conditions
	objectsUnbound
	objectsTooMany // bound by us and no longer named
	otherKind      // our template of the other kind is still there
)

// wrong returns what Refer has to put right.
func (b *addressBook) wrong() (flaws []flaw) {
	s := b.seen
	note := func(kind flawKind, format string, args ...any) {
		flaws = append(flaws, flaw{kind, fmt.Sprintf(format, args...)})
	}
	if s.other != nil {
		note(otherKind, "template %s of ours is still there although the target needs %s", s.other.Name, b.templateName())
	}
	if s.template == nil {
		note(templateMissing, "template %s is gone", b.templateName())
		return flaws
	}
	if s.template.Status != 1 {
		note(templateOff, "template %s was disabled", b.templateName())
	}
	if _, marked := b.readMark(s.template.Description); !marked {
		note(templateUnmarked, "template %s has lost its description %q", b.templateName(), b.mark())
	}
	if s.rule == nil {
		note(ruleMissing, "rule %s is gone", b.name)
	} else {
		if s.rule.Status != 1 {
			note(ruleOff, "rule %s was disabled", b.name)
		}
		if differs := b.ruleDiffers(); differs != "" {
			note(ruleOther, "rule %s: %s", b.name, differs)
		}
	}
	if missing := b.missingObjects(); len(missing) > 0 {
		note(objectsUnbound, "template %s no longer protects %s", b.templateName(), names(missing))
	}
	if over := b.formerObjects(); len(over) > 0 {
		note(objectsTooMany, "template %s still protects %s, which the target does not name any more", b.templateName(), names(over))
	}
	return flaws
}

// ruleDiffers says in what our rule is not as configured; "": in nothing.
func (b *addressBook) ruleDiffers() string {
	c, err := configOf(b.seen.rule)
	if err != nil {
		return "its configuration cannot be read"
	}
	var differs []string
	if c.Action != b.target.Action {
		differs = append(differs, fmt.Sprintf("its action is %q, not %s", printable(c.Action, maxName), b.target.Action))
	}
	// Without a book there is nothing that the condition could be compared with: the next run makes one.
	if b.seen.book != nil {
		want := condition{Key: "IP", OpValue: "in-list", Values: loose(number(b.seen.book.ID))}
		if len(c.Conditions) != 1 || c.Conditions[0] != want {
			differs = append(differs, "its condition is not that the address is in our book")
		}
	}
	if c.CCStatus != "" && c.CCStatus != "0" {
		differs = append(differs, "it counts requests before it acts")
	}
	if c.GrayStatus != "" && c.GrayStatus != "0" {
		differs = append(differs, "it acts on a part of the requests only")
	}
	if c.TimeConfig != nil && c.TimeConfig.TimeScope != "" && c.TimeConfig.TimeScope != "permanent" {
		differs = append(differs, "it acts at certain times only")
	}
	return strings.Join(differs, ", ")
}

// missingObjects returns those that the target names and our template is not bound to.
func (b *addressBook) missingObjects() (missing []string) {
	for _, name := range b.target.Objects {
		if !slices.Contains(b.seen.bound, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// formerObjects returns those that we have bound and the target does not name any more.
func (b *addressBook) formerObjects() (former []string) {
	for _, name := range b.seen.bound {
		if slices.Contains(b.mem.Bound, name) && !slices.Contains(b.target.Objects, name) {
			former = append(former, name)
		}
	}
	return former
}

// extraObjects returns those that somebody else has bound to our template.
func (b *addressBook) extraObjects() (extra []string) {
	if len(b.target.Objects) == 0 {
		return nil
	}
	for _, name := range b.seen.bound {
		if !slices.Contains(b.mem.Bound, name) && !slices.Contains(b.target.Objects, name) {
			extra = append(extra, name)
		}
	}
	return extra
}

const maxNamed = 5 // in one line of text

// names joins names for people.
func names(list []string) string {
	shown := make([]string, 0, maxNamed+1)
	for _, name := range list[:min(len(list), maxNamed)] {
		shown = append(shown, printable(name, maxName))
	}
	if n := len(list) - len(shown); n > 0 {
		shown = append(shown, fmt.Sprintf("%d more", n))
	}
	return strings.Join(shown, ", ")
}
