package targets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// maxShown is how many bytes of a value a problem shows: enough to find it, whatever it holds.
const maxShown = 80

// Fields reads the values of one JSON object, a target or one within it. A value that is there and not as
// wanted is noted and then read as if it were not there, so that reading goes on to the next problem.
type Fields struct {
	at     int    // of the target in the array, from 0
	within string // "" for the target itself, "response." and the like below
	raw    map[string]json.RawMessage
	array  *reading
}

// Bad notes a problem with a value that is there.
func (f Fields) Bad(field, value, want string) { f.note(f.within+field, value, want) }

// BadKey notes a problem with a key.
func (f Fields) BadKey(key, want string) { f.note("key", f.within+key, want) }

// Missing notes that a value which must be there is not.
func (f Fields) Missing(key, want string) {
	f.array.problems = append(f.array.problems, fmt.Errorf("targets: target %d: %s%s is missing: want %s", f.at+1, f.within, key, want))
}

func (f Fields) note(what, value, want string) {
	if len(value) > maxShown {
		value = strings.ToValidUTF8(value[:maxShown], "") + "…"
	}
	f.array.problems = append(f.array.problems, fmt.Errorf("targets: target %d: %s %q: want %s", f.at+1, what, value, want))
}

// Raw returns the JSON under key, "" if it is not there.
func (f Fields) Raw(key string) string { return string(f.raw[key]) }

// Has tells whether key is there, with whatever value.
func (f Fields) Has(key string) bool {
	_, there := f.raw[key]
	return there
}

// Keys returns the keys that are there, sorted.
func (f Fields) Keys() []string { return slices.Sorted(maps.Keys(f.raw)) }

// Refuse notes each of the keys that is there, since it has no business here: why.
func (f Fields) Refuse(why string, keys ...string) {
	for _, key := range keys {
		if f.Has(key) {
			f.Bad(key, f.Raw(key), "nothing: "+why)
		}
	}
}

// Required reads a string that must be there; "" if it is not as wanted.
func (f Fields) Required(key, want string, is func(string) bool) string {
	if !f.Has(key) {
		f.Missing(key, want)
	}
	return f.Optional(key, want, is)
}

// Optional reads a string; "" if it is not there or not as wanted.
func (f Fields) Optional(key, want string, is func(string) bool) string {
	raw, there := f.raw[key]
	if !there {
		return ""
	}
	s, _ := f.text(key, raw, want, is)
	return s
}

// text reads a string, for which null is none; false: it is not as wanted.
func (f Fields) text(field string, raw json.RawMessage, want string, is func(string) bool) (string, bool) {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil || null(raw) {
		f.Bad(field, string(raw), "a string: "+want)
		return "", false
	}
	if !is(s) {
		f.Bad(field, s, want)
		return "", false
	}
	return s, true
}

// Flag reads true or false; false if it is not there or not as wanted.
func (f Fields) Flag(key string) bool {
	raw, there := f.raw[key]
	if !there {
		return false
	}
	var b bool
	if err := json.Unmarshal(raw, &b); err != nil || null(raw) {
		f.Bad(key, string(raw), "true or false")
		return false
	}
	return b
}

// Number reads a whole number, written without fraction and exponent; 0 if it is not there or not as wanted.
func (f Fields) Number(key string, least, most int) int {
	if !f.Has(key) {
		return 0
	}
	n, err := strconv.Atoi(f.Raw(key))
	if err != nil || n < least || n > most {
		f.Bad(key, f.Raw(key), fmt.Sprintf("a whole number from %d to %d", least, most))
		return 0
	}
	return n
}

// OneOf returns what tells whether a string is one of these.
func OneOf(words ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(words, s) }
}

func null(raw json.RawMessage) bool { return bytes.Equal(raw, []byte("null")) }
