package syncrun

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Timer reads one payload of a function on Alibaba Cloud Function Compute: the envelope of
// its timer trigger, or the bare input of somebody who invokes it. FC does not say which
// trigger fired; the keys of the payload tell. What other triggers send is refused by name.
//
// The timer's own time is the run's clock (see Event.Clock). Its payload field is text in
// which an operator may write an input; nothing, or {}, is the ordinary tick, which stays for as
// long as WAIT says. wallClock is this machine's clock.
func (in Inputs) Timer(payload []byte, wallClock time.Time) (Event, error) {
	keys, err := in.Object(payload)
	if err != nil {
		return Event{}, err
	}
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { _, ok := keys[n]; return ok })
	}
	switch {
	case has("requestContext", "rawPath"):
		return Event{}, foreign("an HTTP request (field requestContext)")
	case has("alert_id", "alert_name", "fire_results"):
		return Event{}, foreign("an SLS alert (field alert_id)")
	case has("specversion", "detail-type"):
		return Event{}, foreign("an EventBridge event (field specversion or detail-type)")
	case has("source", "cursorTime"):
		return Event{}, foreign("an SLS log trigger's event (field source)")
	case has("events", "Records"):
		return Event{}, foreign("a batch of another service's events (field events)")
	case has("triggerName", "triggerTime"):
		return in.timer(payload, wallClock)
	default:
		return in.Read(keys, wallClock)
	}
}

func foreign(what string) error {
	return fmt.Errorf("%w: %s: want a timer trigger's event, or a direct invocation with an input; nothing else may start this function", ErrBadEvent, what)
}

// timer reads the timer's envelope. Fields that FC may add to it are none of our business;
// its payload field is ours and read strictly.
func (in Inputs) timer(payload []byte, wallClock time.Time) (Event, error) {
	var tick struct {
		TriggerTime string `json:"triggerTime"`
		TriggerName string `json:"triggerName"`
		Payload     string `json:"payload"`
	}
	if err := json.Unmarshal(payload, &tick); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return Event{}, BadEvent(wrong.Field, wrong.Value, "a string")
		}
		return Event{}, fmt.Errorf("%w: %w", ErrBadEvent, err)
	}
	now, err := time.Parse(time.RFC3339, tick.TriggerTime)
	if err != nil {
		return Event{}, BadEvent("triggerTime", tick.TriggerTime, "a time like 2026-05-28T20:26:40Z")
	}
	ev := Event{Mode: ModeSync, Scheduled: true}
	if text := strings.TrimSpace(tick.Payload); text != "" {
		if ev, err = in.standing(text, wallClock); err != nil {
			return Event{}, err
		}
	}
	ev.Now = now.UTC()
	return ev, nil
}

// standing reads an input that stands in a timer's configuration, and so is asked for at
// every tick. What is meant for one run only is refused: adopt_epoch would take
// the guard against a lost list away for good, and as_of would stop the clock.
func (in Inputs) standing(text string, wallClock time.Time) (Event, error) {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &keys); err != nil || keys == nil {
		return Event{}, BadEvent("payload", text, `nothing, or the text of a JSON object with mode, targets, wait: {"mode":"verify"}`)
	}
	for _, once := range []string{"as_of", "adopt_epoch"} {
		if _, ok := keys[once]; ok {
			return Event{}, BadEvent("payload field", once, "it in a direct invocation: on a timer it would hold for every tick")
		}
	}
	ev, err := in.Read(keys, wallClock)
	if err != nil {
		return Event{}, fmt.Errorf("payload: %w", err)
	}
	ev.Scheduled = ev.Mode == ModeSync
	return ev, nil
}
