package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxEvent bounds a payload: the most that Function Compute takes by an asynchronous call.
const maxEvent = 256 << 10

// errBadEvent means that a payload is none that the function's timer sends, or that a field of it is wrong. Running it again
// cannot help.
var errBadEvent = errors.New("bad event")

// event is what one call asks for.
type event struct {
	Plan   bool     // tell, write nothing
	Feeds  []string // names: these only, whenever they were asked for last; nil: all that are due
	Accept []string // names: these may be of another size than before
}

var eventFields = []string{"mode", "feeds", "accept"}

const wantEvent = `a timer trigger's event, or an input with mode, feeds, accept`

// readEvent reads a timer's envelope, whose payload is {} or an input, or an input by hand. What is misspelt is refused: it
// would silently mean the default.
func readEvent(payload []byte, known func(feed string) bool) (event, error) {
	if len(payload) > maxEvent {
		return event{}, fmt.Errorf("%w: payload of %d bytes: want at most %d", errBadEvent, len(payload), maxEvent)
	}
	var keys map[string]json.RawMessage
	if json.Unmarshal(payload, &keys) != nil || keys == nil {
		return event{}, fmt.Errorf("%w: payload of %d bytes is no JSON object: want %s", errBadEvent, len(payload), wantEvent)
	}
	if _, timer := keys["triggerName"]; timer {
		return readTimer(payload, known)
	}
	var in struct {
		Mode   string   `json:"mode"`
		Feeds  []string `json:"feeds"`
		Accept []string `json:"accept"`
	}
	var problems []error
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !slices.Contains(eventFields, key) {
			problems = append(problems, fmt.Errorf("%w: field %.40q: want %s", errBadEvent, key, wantEvent))
		}
	}
	if json.Unmarshal(payload, &in) != nil {
		problems = append(problems, fmt.Errorf("%w: want mode as a word, feeds and accept as lists of names", errBadEvent))
	}
	if in.Mode != "" && in.Mode != "plan" && in.Mode != "refresh" {
		problems = append(problems, fmt.Errorf(`%w: mode %.40q: want "refresh" or "plan"`, errBadEvent, in.Mode))
	}
	for _, name := range slices.Concat(in.Feeds, in.Accept) {
		if !known(name) {
			problems = append(problems, fmt.Errorf("%w: feed %.40q: want names from FEEDS", errBadEvent, name))
		}
	}
	if in.Feeds != nil && len(in.Feeds) == 0 {
		problems = append(problems, fmt.Errorf("%w: feeds []: want names from FEEDS, or no feeds for all", errBadEvent))
	}
	if err := errors.Join(problems...); err != nil {
		return event{}, err
	}
	if in.Feeds == nil && in.Accept != nil { // who accepts a feed means now
		in.Feeds = in.Accept
	}
	return event{Plan: in.Mode == "plan", Feeds: in.Feeds, Accept: in.Accept}, nil
}

// readTimer reads a timer's envelope. An operator's accept does not belong there: it would hold for every tick.
func readTimer(payload []byte, known func(string) bool) (event, error) {
	var tick struct {
		Payload string `json:"payload"`
	}
	if json.Unmarshal(payload, &tick) != nil {
		return event{}, fmt.Errorf("%w: payload: want a text", errBadEvent)
	}
	text := strings.TrimSpace(tick.Payload)
	if text == "" {
		return event{}, nil
	}
	if strings.Contains(text, `"triggerName"`) {
		return event{}, fmt.Errorf("%w: payload: want an input with %s", errBadEvent, strings.Join(eventFields, ", "))
	}
	ev, err := readEvent([]byte(text), known)
	if err == nil && ev.Accept != nil {
		return event{}, fmt.Errorf("%w: payload field accept: want it in a direct invocation: on a timer it would hold for every tick", errBadEvent)
	}
	return ev, err
}
