package detect

import (
	"errors"
	"fmt"
	"io/fs"
)

// ShippedRule returns one of the rules that are part of the program and reads no
// other: whoever explains a verdict needs the few that it rests on. ok is false when
// there is none with that id.
func ShippedRule(id string) (r Rule, ok bool, err error) {
	if !ruleID.MatchString(id) {
		return Rule{}, false, nil
	}
	text, err := shipped.ReadFile("rules/" + id + ".yaml")
	if errors.Is(err, fs.ErrNotExist) {
		return Rule{}, false, nil
	}
	if err != nil {
		return Rule{}, false, fmt.Errorf("shipped rule %s: %w", id, err)
	}
	if r, err = Parse(text); err != nil {
		return Rule{}, false, fmt.Errorf("shipped rule %s: %w", id, err)
	}
	return r, true, nil
}
