package targets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Object returns a reader of the object under key, which may have no other keys than these; false: it is
// not there, or no object, which is noted. Its problems name the path: "response.code".
func (f Fields) Object(key string, keys ...string) (Fields, bool) {
	raw, there := f.raw[key]
	if !there {
		return Fields{}, false
	}
	in := Fields{at: f.at, within: f.within + key + ".", array: f.array}
	ok := in.open(raw, f.within+key, keys)
	return in, ok
}

// Members returns a reader of the object under key, whose 1 to most keys may be any; false: it is not
// there, or not as wanted, which is noted.
func (f Fields) Members(key, want string, most int) (Fields, bool) {
	raw, there := f.raw[key]
	if !there {
		return Fields{}, false
	}
	members, twice, err := takeApart(raw)
	if err != nil || len(members) == 0 || len(members) > most {
		f.Bad(key, string(raw), want)
		return Fields{}, false
	}
	in := Fields{at: f.at, within: f.within + key + ".", raw: members, array: f.array}
	in.onlyOnce(twice)
	return in, true
}

// List says how an array of strings is wanted.
type List struct {
	Want    string // of the array, which has at least one string
	Most    int    // strings; 0: any number
	TooMany string // wanted of an array that is longer than Most; "": Want
	Each    string // wanted of each string
	Is      func(string) bool
	Noun    string // what a string names, which is wanted only once
	// Else returns what would be wanted in place of a string that Is takes, "" if it is good. It may be nil.
	Else func(string) string
}

// List reads an array of strings, and leaves out those that are not as wanted; nil if it is not there.
func (f Fields) List(key string, l List) []string {
	raw, there := f.raw[key]
	if !there {
		return nil
	}
	var raws []json.RawMessage
	if err := json.Unmarshal(raw, &raws); err != nil || len(raws) == 0 {
		f.Bad(key, string(raw), l.Want)
		return nil
	}
	if l.Most > 0 && len(raws) > l.Most {
		want := l.TooMany
		if want == "" {
			want = l.Want
		}
		f.Bad(key, string(raw), want)
		return nil
	}
	var list []string
	for i, one := range raws {
		field := fmt.Sprintf("%s[%d]", key, i)
		s, ok := f.text(field, one, l.Each, l.Is)
		if !ok {
			continue
		}
		var want string
		if l.Else != nil {
			want = l.Else(s)
		}
		if want == "" && slices.Contains(list, s) {
			want = "each " + l.Noun + " only once"
		}
		if want != "" {
			f.Bad(field, s, want)
			continue
		}
		list = append(list, s)
	}
	return list
}

// open takes an object apart, which may have no keys but these; false: it is none, and path, which names it
// from the target on, is noted.
func (f *Fields) open(raw json.RawMessage, path string, keys []string) bool {
	members, twice, err := takeApart(raw)
	if err != nil {
		f.note(path, string(raw), "an object")
		return false
	}
	f.raw = members
	for _, key := range f.Keys() {
		if !slices.Contains(keys, key) {
			f.BadKey(key, "one of "+strings.Join(keys, ", "))
		}
	}
	f.onlyOnce(twice)
	return true
}

func (f Fields) onlyOnce(twice []string) {
	for _, key := range twice {
		f.BadKey(key, "it only once")
	}
}

// takeApart returns the members of valid JSON that is an object, the last of those with the same name, and
// the names that are there more than once. Unmarshal would keep silent about the latter, and take "Name" for "name".
func takeApart(raw json.RawMessage) (members map[string]json.RawMessage, twice []string, err error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return nil, nil, errors.Join(errors.New("not an object"), err)
	}
	members = map[string]json.RawMessage{}
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
		if _, there := members[name]; there && !slices.Contains(twice, name) {
			twice = append(twice, name)
		}
		members[name] = value
	}
	return members, twice, nil
}
