// Package targets reads what an operator says about walls: the JSON array of
// targets that each cloud's functions have in one variable, and what its objects
// have in common. It knows no cloud; an adapter says which keys its targets have
// and what each means.
//
// An operator mends such a variable by hand, often under attack, so the rules are
// the same for every cloud:
//
//   - All problems are named at once, each with the number of its target (from 1),
//     its key, its value and what is wanted instead.
//   - A key that is not known, or there twice, is a problem: a misspelt "max_relase"
//     that is passed over would be a guard that is not there.
//   - What is there and wrong is never replaced by a default.
//   - A value is shown quoted, and no more than 80 bytes of it: it may hold anything.
//
// The order of the problems is that in which the adapter reads the keys; within an
// object the unknown keys come first, then those that are there twice.
package targets

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Parse reads a JSON array of at least one object. No object may have other keys than these. read makes a
// target of each and notes what is wrong with it; Parse returns all that was noted as one error, one problem
// a line, and then no target.
func Parse[T any](text string, keys []string, read func(Fields) T) ([]T, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	var raws []json.RawMessage
	if err := dec.Decode(&raws); err != nil {
		return nil, fmt.Errorf("targets: want a JSON array of objects: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("targets: want one JSON array and nothing after it")
	}
	if len(raws) == 0 {
		return nil, errors.New("targets: want at least one target, got an empty array")
	}
	array := reading{claims: map[claim]int{}}
	all := make([]T, len(raws))
	for i, raw := range raws {
		f := Fields{at: i, array: &array}
		if f.open(raw, "object", keys) {
			all[i] = read(f)
		}
	}
	if len(array.problems) > 0 {
		return nil, errors.Join(array.problems...)
	}
	return all, nil
}

// reading is what the targets of one array have in common while they are read.
type reading struct {
	problems []error
	claims   map[claim]int // and which target has it
}

// claim is a value that only one target may have, among those with the same scope.
type claim struct{ want, scope, value string }

// Claim notes a problem with the field if an earlier target claimed the same value with the same want and
// scope, and otherwise claims it for this one. In want, %d stands for the number of the target that has it:
// "a web ACL that target %d does not have". The empty value, which is one that is not there, is nobody's.
func (f Fields) Claim(field, value, want string, scope ...string) {
	if value == "" {
		return
	}
	c := claim{want, fmt.Sprintf("%q", scope), value}
	if first, taken := f.array.claims[c]; taken {
		f.Bad(field, value, strings.Replace(want, "%d", fmt.Sprint(first+1), 1))
		return
	}
	f.array.claims[c] = f.at
}

// ClaimName is the Claim that every target makes, whatever its cloud and mode: locks, statuses, what is on
// the wall and what an operator says go by its name.
func (f Fields) ClaimName(name string) {
	f.Claim("name", name, "a name that target %d does not have")
}
