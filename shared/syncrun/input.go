package syncrun

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// inputFields are the fields of an input; any other is refused, so that a
// misspelt one cannot silently mean "the default".
var inputFields = []string{"mode", "targets", "as_of", "adopt_epoch", "wait"}

// Inputs reads what an operator, or a schedule, asks of one function. Its fields are
// words for error texts, since an error must say what would have been right.
type Inputs struct {
	Setting string // the variable that holds the targets: "WAF_TARGETS"
	Trigger string // what the function's schedule sends: "a scheduled event"
}

// Object returns the keys of a payload, which must be a JSON object of at most 256 KiB. What
// else reached us is not repeated in the error: it may hold somebody's token.
func (in Inputs) Object(payload []byte) (map[string]json.RawMessage, error) {
	if len(payload) > maxEvent {
		return nil, fmt.Errorf("%w: payload of %d bytes: want at most %d", ErrBadEvent, len(payload), maxEvent)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(payload, &keys); err != nil || keys == nil {
		return nil, fmt.Errorf("%w: payload of %d bytes is no JSON object: want %s or an input with %s",
			ErrBadEvent, len(payload), in.Trigger, strings.Join(inputFields, ", "))
	}
	return keys, nil
}

// Read reads a bare input: what a schedule may be given in place of an envelope, and what
// an operator sends. An empty object asks for the ordinary thing: sync every target
// now. It reports every wrong field at once. wallClock is this machine's clock.
func (in Inputs) Read(keys map[string]json.RawMessage, wallClock time.Time) (Event, error) {
	ev := Event{Mode: ModeSync}
	var errs []error
	field := func(name string, into any, want string) bool {
		text, ok := keys[name]
		if !ok {
			return false
		}
		if string(text) == "null" || json.Unmarshal(text, into) != nil {
			errs = append(errs, BadEvent(name, string(text), want))
			return false
		}
		return true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !slices.Contains(inputFields, key) {
			errs = append(errs, BadEvent("field", key, in.Trigger+", or an input with "+strings.Join(inputFields, ", ")))
		}
	}
	const wantMode = `"sync", "plan" or "verify"`
	if field("mode", &ev.Mode, wantMode) && !slices.Contains([]string{ModeSync, ModePlan, ModeVerify}, ev.Mode) {
		errs = append(errs, BadEvent("mode", ev.Mode, wantMode))
	}
	wantTargets := "a list of names from " + in.Setting
	if field("targets", &ev.Targets, wantTargets) && len(ev.Targets) == 0 {
		errs = append(errs, BadEvent("targets", "[]", wantTargets))
	}
	const wantTime = "a time like 2026-05-28T20:25:00Z, not in the future"
	var asOf string
	if field("as_of", &asOf, wantTime) {
		t, err := time.Parse(time.RFC3339, asOf)
		if err != nil || t.Sub(wallClock) > maxSkew {
			errs = append(errs, BadEvent("as_of", asOf, wantTime))
		}
		ev.Now = t.UTC()
	}
	field("adopt_epoch", &ev.AdoptEpoch, "true or false")
	errs = append(errs, readWait(keys, &ev))
	if err := errors.Join(errs...); err != nil {
		return Event{}, err
	}
	slices.Sort(ev.Targets)
	ev.Targets = slices.Compact(ev.Targets)
	return ev, nil
}

// readWait reads how long an input asks to stay. A plan has nothing to stay for, and
// a clock of the past cannot enforce what comes now.
func readWait(keys map[string]json.RawMessage, ev *Event) error {
	raw, ok := keys["wait"]
	if !ok {
		return nil
	}
	text := string(raw)
	_ = json.Unmarshal(raw, &text) // a number of seconds may stand without quotes
	d, err := parseWait(text)
	switch {
	case err != nil:
		return BadEvent("wait", string(raw), wantWait)
	case d > 0 && ev.Mode == ModePlan:
		return BadEvent("wait", string(raw), `no wait with mode "plan"`)
	case d > 0 && !ev.Now.IsZero():
		return BadEvent("wait", string(raw), "no wait together with as_of")
	}
	ev.Wait = &d
	return nil
}
