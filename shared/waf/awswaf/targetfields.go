package awswaf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// targetFields reads one JSON object, a target or one within it, and collects its problems.
type targetFields struct {
	at       int    // of the target
	within   string // "" for the target itself, "response." and the like below
	raw      map[string]json.RawMessage
	problems *[]error
}

// bad notes a problem with a value that is there.
func (f targetFields) bad(field, value, want string) {
	if len(value) > 80 {
		value = strings.ToValidUTF8(value[:80], "") + "…"
	}
	*f.problems = append(*f.problems, fmt.Errorf("targets: target %d: %s %q: want %s", f.at+1, field, value, want))
}

// missing notes that a required value is not there.
func (f targetFields) missing(key, want string) {
	*f.problems = append(*f.problems, fmt.Errorf("targets: target %d: %s%s is missing: want %s", f.at+1, f.within, key, want))
}

// open takes an object apart, which may have no keys but these; false: it is no object.
func (f *targetFields) open(raw json.RawMessage, what string, keys []string) bool {
	fields, twice, err := takeApart(raw)
	if err != nil {
		f.bad(what, string(raw), "an object")
		return false
	}
	f.raw = fields
	var unknown []string
	for key := range fields {
		if !slices.Contains(keys, key) {
			unknown = append(unknown, key)
		}
	}
	slices.Sort(unknown)
	for _, key := range unknown {
		f.bad("key", f.within+key, "one of "+strings.Join(keys, ", "))
	}
	for _, key := range twice {
		f.bad("key", f.within+key, "it only once")
	}
	return true
}

// inner returns a reader of the object under key; false: it is not there or no object.
func (f targetFields) inner(key string, keys []string) (targetFields, bool) {
	raw, there := f.raw[key]
	if !there {
		return targetFields{}, false
	}
	in := targetFields{at: f.at, within: f.within + key + ".", problems: f.problems}
	return in, in.open(raw, f.within+key, keys)
}

// refuse notes the keys that have no business here.
func (f targetFields) refuse(why string, keys ...string) {
	for _, key := range keys {
		if raw, there := f.raw[key]; there {
			f.bad(f.within+key, string(raw), "nothing: "+why)
		}
	}
}

// required reads a string that must be there; "" if it is not as wanted.
func (f targetFields) required(key, want string, ok func(string) bool) string {
	if _, there := f.raw[key]; !there {
		f.missing(key, want)
		return ""
	}
	return f.optional(key, want, ok)
}

// optional reads a string; "" if it is not there or not as wanted.
func (f targetFields) optional(key, want string, ok func(string) bool) string {
	raw, there := f.raw[key]
	if !there {
		return ""
	}
	return f.text(f.within+key, raw, want, ok)
}

func (f targetFields) text(field string, raw json.RawMessage, want string, ok func(string) bool) string {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil || bytes.Equal(raw, []byte("null")) {
		f.bad(field, string(raw), "a string: "+want)
		return ""
	}
	if !ok(s) {
		f.bad(field, s, want)
		return ""
	}
	return s
}

// number reads a whole number from 1; 0 if it is not there or not as wanted.
func (f targetFields) number(key string, most int64) int {
	raw, there := f.raw[key]
	if !there {
		return 0
	}
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 1 || n > most {
		f.bad(f.within+key, string(raw), fmt.Sprintf("a whole number from 1 to %d", most))
		return 0
	}
	return int(n)
}

// takeApart returns the members of a JSON object, and the names that are there more than once.
func takeApart(raw json.RawMessage) (fields map[string]json.RawMessage, twice []string, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, nil, errors.Join(errors.New("not an object"), err)
	}
	fields = map[string]json.RawMessage{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, nil, err
		}
		name, _ := key.(string) // a member's name is nothing else
		if _, there := fields[name]; there && !slices.Contains(twice, name) {
			twice = append(twice, name)
		}
		fields[name] = value
	}
	return fields, twice, nil
}

func oneOf(list ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(list, s) }
}
