package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The modes that an event may ask for.
const (
	modeSync   = "sync"   // make the targets equal to the list
	modePlan   = "plan"   // say what would be done, write nothing
	modeVerify = "verify" // sync, but read every set instead of believing its mark, and prove that it is in force
)

// Bounds of what an event may hold.
const (
	maxEvent = 256 << 10       // bytes: Lambda's own bound for an asynchronous event
	maxSkew  = 5 * time.Minute // how far as_of may run ahead of our clock
)

// errBadEvent means that the payload is none that a schedule sends, or that a
// field of it is wrong. A bad event is never a success: Lambda parks it in the dead-letter queue.
var errBadEvent = errors.New("bad event")

// event is one call, whichever shape it came in.
type event struct {
	mode       string
	now        time.Time // the event's own clock; zero when it carries none
	targets    []string  // names; nil means every configured target
	adoptEpoch bool      // take a list founded anew as the truth from now on

	scheduled bool           // a schedule's own envelope: stay for as long as WAIT says
	wait      *time.Duration // how long to stay, if the input says so itself
}

// stay returns how long the run goes on after its start to enforce at once what is
// announced meanwhile. Only a schedule's tick stays by itself: whoever asks by hand
// waits for the answer, and a plan changes nothing to stay for.
func (ev event) stay(configured time.Duration) time.Duration {
	switch {
	case ev.wait != nil:
		return *ev.wait
	case ev.scheduled:
		return configured
	default:
		return 0
	}
}

// badEvent says which field is wrong, what stood there, and what may stand there.
func badEvent(field, value, want string) error {
	const most = 80
	if len(value) > most {
		value = value[:most] + "…"
	}
	return fmt.Errorf("%w: %s %q: want %s", errBadEvent, field, value, want)
}

// decodeEvent reads one payload: the envelope of an EventBridge rule or of
// EventBridge Scheduler, or the Input that an operator gave either of them
// (Lambda then sees the Input alone, without any envelope). wallClock is this machine's clock.
func decodeEvent(payload []byte, wallClock time.Time) (event, error) {
	if len(payload) > maxEvent {
		return event{}, fmt.Errorf("%w: payload of %d bytes: want at most %d", errBadEvent, len(payload), maxEvent)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(payload, &keys); err != nil || keys == nil {
		return event{}, fmt.Errorf("%w: payload of %d bytes is no JSON object: want a scheduled event or an input with %s",
			errBadEvent, len(payload), strings.Join(inputFields, ", "))
	}
	has := func(key string) bool { _, ok := keys[key]; return ok }
	switch {
	case has("Records"):
		return event{}, foreign(recordsSource(keys["Records"]))
	case has("requestContext"):
		return event{}, foreign("an HTTP request (a Function URL or an API)")
	case has("source") || has("detail-type") || has("detail"):
		return decodeEnvelope(payload)
	default:
		return decodeInput(keys, wallClock)
	}
}

func foreign(what string) error {
	return fmt.Errorf("%w: %s: want a scheduled event of EventBridge; nothing else may start this function", errBadEvent, what)
}

// recordsSource names the service behind an event with Records.
func recordsSource(text json.RawMessage) string {
	var records []struct {
		EventSource string `json:"eventSource"` // SNS writes EventSource; Go matches either
	}
	if json.Unmarshal(text, &records) == nil && len(records) > 0 {
		switch records[0].EventSource {
		case "aws:sqs":
			return "an SQS batch"
		case "aws:sns":
			return "an SNS notification"
		}
	}
	return "a batch of Records"
}

// decodeEnvelope reads a scheduled event without Input. An EventBridge rule puts
// an object into detail, EventBridge Scheduler a string that holds an object.
func decodeEnvelope(payload []byte) (event, error) {
	var in struct {
		Source     string          `json:"source"`
		DetailType string          `json:"detail-type"`
		Time       string          `json:"time"`
		Detail     json.RawMessage `json:"detail"`
	}
	if err := json.Unmarshal(payload, &in); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return event{}, badEvent(wrong.Field, wrong.Value, "a string")
		}
		return event{}, fmt.Errorf("%w: %w", errBadEvent, err)
	}
	if in.Source != "aws.events" && in.Source != "aws.scheduler" {
		return event{}, badEvent("source", in.Source, `"aws.events" or "aws.scheduler"`)
	}
	if in.DetailType != "Scheduled Event" {
		return event{}, badEvent("detail-type", in.DetailType, `"Scheduled Event"`)
	}
	now, err := time.Parse(time.RFC3339, in.Time)
	if err != nil {
		return event{}, badEvent("time", in.Time, "a time like 2026-05-28T20:25:00Z")
	}
	if !emptyDetail(in.Detail) {
		return event{}, badEvent("detail", string(in.Detail), `{} or "{}"; settings belong into the schedule's Input`)
	}
	return event{mode: modeSync, now: now.UTC(), scheduled: true}, nil
}

func emptyDetail(text json.RawMessage) bool {
	var inner string
	if json.Unmarshal(text, &inner) == nil {
		text = json.RawMessage(inner)
	}
	if len(text) == 0 || string(text) == "null" {
		return true
	}
	var fields map[string]json.RawMessage
	return json.Unmarshal(text, &fields) == nil && len(fields) == 0
}

// inputFields are the fields of an Input; any other is refused, so that a
// misspelt one cannot silently mean "the default".
var inputFields = []string{"mode", "targets", "as_of", "adopt_epoch", "wait"}

// decodeInput reads a schedule's Input or an operator's call. An empty object
// asks for the ordinary thing: sync every target now.
func decodeInput(keys map[string]json.RawMessage, wallClock time.Time) (event, error) {
	ev := event{mode: modeSync}
	var errs []error
	field := func(name string, into any, want string) bool {
		text, ok := keys[name]
		if !ok {
			return false
		}
		if string(text) == "null" || json.Unmarshal(text, into) != nil {
			errs = append(errs, badEvent(name, string(text), want))
			return false
		}
		return true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !slices.Contains(inputFields, key) {
			errs = append(errs, badEvent("field", key, "a scheduled event, or an input with "+strings.Join(inputFields, ", ")))
		}
	}
	const wantMode = `"sync", "plan" or "verify"`
	if field("mode", &ev.mode, wantMode) && !slices.Contains([]string{modeSync, modePlan, modeVerify}, ev.mode) {
		errs = append(errs, badEvent("mode", ev.mode, wantMode))
	}
	const wantTargets = "a list of names from WAF_TARGETS"
	if field("targets", &ev.targets, wantTargets) && len(ev.targets) == 0 {
		errs = append(errs, badEvent("targets", "[]", wantTargets))
	}
	const wantTime = "a time like 2026-05-28T20:25:00Z, not in the future"
	var asOf string
	if field("as_of", &asOf, wantTime) {
		t, err := time.Parse(time.RFC3339, asOf)
		if err != nil || t.Sub(wallClock) > maxSkew {
			errs = append(errs, badEvent("as_of", asOf, wantTime))
		}
		ev.now = t.UTC()
	}
	field("adopt_epoch", &ev.adoptEpoch, "true or false")
	errs = append(errs, readWait(keys, &ev))
	if err := errors.Join(errs...); err != nil {
		return event{}, err
	}
	slices.Sort(ev.targets)
	ev.targets = slices.Compact(ev.targets)
	return ev, nil
}

// readWait reads how long an input asks to stay. A plan has nothing to stay for, and
// a clock of the past cannot enforce what comes now.
func readWait(keys map[string]json.RawMessage, ev *event) error {
	raw, ok := keys["wait"]
	if !ok {
		return nil
	}
	text := string(raw)
	_ = json.Unmarshal(raw, &text) // a number of seconds may stand without quotes
	d, err := parseWait(text)
	switch {
	case err != nil:
		return badEvent("wait", string(raw), wantWait)
	case d > 0 && ev.mode == modePlan:
		return badEvent("wait", string(raw), `no wait with mode "plan"`)
	case d > 0 && !ev.now.IsZero():
		return badEvent("wait", string(raw), "no wait together with as_of")
	}
	ev.wait = &d
	return nil
}

// clock returns the moment that the run stands for: the event's own, so that a
// retry plans what its first try planned, but never later than the wall clock: a clock from
// the future would release blocks before their term is over.
func (ev event) clock(wallClock time.Time) time.Time {
	if ev.now.IsZero() || ev.now.After(wallClock) {
		return wallClock.UTC().Truncate(time.Second)
	}
	return ev.now.Truncate(time.Second)
}
