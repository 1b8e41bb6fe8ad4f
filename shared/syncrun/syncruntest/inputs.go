package syncruntest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/syncrun"
)

// SampleTime is the time of the schedules' events in events/.
func SampleTime() time.Time { return time.Date(2026, 5, 28, 20, 25, 0, 0, time.UTC) }

// Decoder reads one payload; it is a syncrun.Function's Decode.
type Decoder = func(payload []byte, wallClock time.Time) (syncrun.Event, error)

// Accepted is a payload and the event that it is read as.
type Accepted struct {
	Name, Payload string
	Want          syncrun.Event
}

// Rejected is a payload that is nobody's event. Want is what the error names: field, value, what is allowed.
type Rejected struct {
	Name, Payload string
	Want          []string
}

// TestInputs checks that a function reads what an operator may ask for as all of them do, whatever envelope
// it knows besides, and then the function's own payloads.
func TestInputs(t *testing.T, inputs syncrun.Inputs, decode Decoder, accepted []Accepted, rejected []Rejected) {
	today := SampleTime().Add(time.Second) // the wall clock, shortly after the events
	none, minute := time.Duration(0), time.Minute
	for _, tt := range append([]Accepted{
		{"an empty input", `{}`, syncrun.Event{Mode: syncrun.ModeSync}},
		{
			"an input of every field", `{"mode":"sync","targets":["b","a","b"],"as_of":"2026-05-28T22:25:01+02:00","adopt_epoch":true}`,
			syncrun.Event{Mode: syncrun.ModeSync, Now: today, Targets: []string{"a", "b"}, AdoptEpoch: true},
		},
		{"a wait in seconds", `{"wait":60}`, syncrun.Event{Mode: syncrun.ModeSync, Wait: &minute}},
		{"a wait in seconds as text", `{"wait":"60"}`, syncrun.Event{Mode: syncrun.ModeSync, Wait: &minute}},
		{"a wait while verifying", `{"mode":"verify","wait":"1m"}`, syncrun.Event{Mode: syncrun.ModeVerify, Wait: &minute}},
		{"no wait for a plan", `{"mode":"plan","wait":0}`, syncrun.Event{Mode: syncrun.ModePlan, Wait: &none}},
	}, accepted...) {
		t.Run("accepts "+tt.Name, func(t *testing.T) {
			got, err := decode([]byte(tt.Payload), today)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.Want, got); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
	for _, tt := range append([]Rejected{
		{"nothing", ``, []string{"payload of 0 bytes", inputs.Trigger, "mode, targets, as_of, adopt_epoch, wait"}},
		{"text", `sync`, []string{"payload of 4 bytes", "JSON object"}},
		{"an array", `[]`, []string{"payload", "JSON object"}},
		{"null", `null`, []string{"payload", "JSON object"}},
		{"keys of somebody else's", `{"key1":"value1","key2":"value2"}`, []string{`field "key1"`, `field "key2"`, inputs.Trigger, "mode, targets"}},
		{"an unknown mode", `{"mode":"sink"}`, []string{"mode", "sink", `"sync", "plan" or "verify"`}},
		{"a mode of null", `{"mode":null}`, []string{"mode", "null"}},
		{"no target at all", `{"targets":[]}`, []string{"targets", "[]", inputs.Setting}},
		{"one target as text", `{"targets":"edge"}`, []string{"targets", "edge", "list"}},
		{"a clock from the future", `{"as_of":"2026-05-29T20:25:01Z"}`, []string{"as_of", "2026-05-29", "not in the future"}},
		{"a clock in words", `{"as_of":"now"}`, []string{"as_of", "now"}},
		{"an adoption of maybe", `{"adopt_epoch":"yes"}`, []string{"adopt_epoch", "yes", "true or false"}},
		{"a wait of more than two minutes", `{"wait":"121s"}`, []string{"wait", "121s", "0 to 120s"}},
		{"a wait of many seconds", `{"wait":121}`, []string{"wait", "121", "0 to 120s"}},
		{"a wait of seconds that overflow", `{"wait":99999999999999999999}`, []string{"wait", "0 to 120s"}},
		{"a wait that is negative", `{"wait":"-1s"}`, []string{"wait", "-1s"}},
		{"a wait of null", `{"wait":null}`, []string{"wait", "null"}},
		{"a plan that waits", `{"mode":"plan","wait":"50s"}`, []string{"wait", "50s", `mode "plan"`}},
		{"a wait in the past", `{"as_of":"2026-05-28T20:20:00Z","wait":"50s"}`, []string{"wait", "50s", "as_of"}},
		{"two problems, both named", `{"mode":"x","as_of":"y"}`, []string{"mode", "as_of"}},
		{"a payload of a megabyte", `{"mode":"` + strings.Repeat("x", 1<<20) + `"}`, []string{"payload of 1048", "262144"}},
	}, rejected...) {
		t.Run("refuses "+tt.Name, func(t *testing.T) {
			ev, err := decode([]byte(tt.Payload), today)
			if !errors.Is(err, syncrun.ErrBadEvent) {
				t.Fatalf("event = %+v, %v; want syncrun.ErrBadEvent", ev, err)
			}
			for _, want := range tt.Want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not mention %q", err, want)
				}
			}
		})
	}
}
