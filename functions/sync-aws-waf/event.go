package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tracewall/tracewall/shared/syncrun"
)

// inputs reads what an operator, or a schedule's Input, asks for.
var inputs = syncrun.Inputs{Setting: "WAF_TARGETS", Trigger: "a scheduled event"}

// decodeEvent reads one payload: the envelope of an EventBridge rule or of
// EventBridge Scheduler, or the Input that an operator gave either of them
// (Lambda then sees the Input alone, without any envelope). wallClock is this machine's clock.
func decodeEvent(payload []byte, wallClock time.Time) (syncrun.Event, error) {
	keys, err := inputs.Object(payload)
	if err != nil {
		return syncrun.Event{}, err
	}
	has := func(key string) bool { _, ok := keys[key]; return ok }
	switch {
	case has("Records"):
		return syncrun.Event{}, foreign(recordsSource(keys["Records"]))
	case has("requestContext"):
		return syncrun.Event{}, foreign("an HTTP request (a Function URL or an API)")
	case has("source") || has("detail-type") || has("detail"):
		return decodeEnvelope(payload)
	default:
		return inputs.Read(keys, wallClock)
	}
}

func foreign(what string) error {
	return fmt.Errorf("%w: %s: want a scheduled event of EventBridge; nothing else may start this function", syncrun.ErrBadEvent, what)
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
func decodeEnvelope(payload []byte) (syncrun.Event, error) {
	var in struct {
		Source     string          `json:"source"`
		DetailType string          `json:"detail-type"`
		Time       string          `json:"time"`
		Detail     json.RawMessage `json:"detail"`
	}
	if err := json.Unmarshal(payload, &in); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return syncrun.Event{}, syncrun.BadEvent(wrong.Field, wrong.Value, "a string")
		}
		return syncrun.Event{}, fmt.Errorf("%w: %w", syncrun.ErrBadEvent, err)
	}
	if in.Source != "aws.events" && in.Source != "aws.scheduler" {
		return syncrun.Event{}, syncrun.BadEvent("source", in.Source, `"aws.events" or "aws.scheduler"`)
	}
	if in.DetailType != "Scheduled Event" {
		return syncrun.Event{}, syncrun.BadEvent("detail-type", in.DetailType, `"Scheduled Event"`)
	}
	now, err := time.Parse(time.RFC3339, in.Time)
	if err != nil {
		return syncrun.Event{}, syncrun.BadEvent("time", in.Time, "a time like 2026-05-28T20:25:00Z")
	}
	if !emptyDetail(in.Detail) {
		return syncrun.Event{}, syncrun.BadEvent("detail", string(in.Detail), `{} or "{}"; settings belong into the schedule's Input`)
	}
	return syncrun.Event{Mode: syncrun.ModeSync, Now: now.UTC(), Scheduled: true}, nil
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
