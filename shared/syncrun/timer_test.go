package syncrun

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tick is what a timer of Function Compute sends when its payload is left empty.
func tick(at string) []byte { return timed(at, "") }

func timed(at, payload string) []byte {
	return fmt.Appendf(nil, `{"triggerTime":%q,"triggerName":"every-minute","payload":%q}`, at, payload)
}

func TestTimerAccepts(t *testing.T) {
	const at = "2026-05-28T20:25:01Z"
	ordinary := Event{Mode: ModeSync, Now: today, Scheduled: true}
	ten := 10 * time.Second
	tests := []struct {
		name    string
		payload []byte
		want    Event
	}{
		{"a tick without payload", tick(at), ordinary},
		{"a tick of an empty object", timed(at, "{}"), ordinary},
		{"a tick of white space", timed(at, " \n"), ordinary},
		{"a tick that has no payload field at all", []byte(`{"triggerTime":"` + at + `","triggerName":"t"}`), ordinary},
		{"a payload of null", []byte(`{"triggerTime":"` + at + `","triggerName":"t","payload":null}`), ordinary},
		{"fields that FC may add", []byte(`{"triggerTime":"` + at + `","triggerName":"t","payload":"","region":"cn-hangzhou"}`), ordinary},
		{"another time zone", tick("2026-05-29T04:25:01+08:00"), ordinary},
		{"some targets", timed(at, `{"targets":["b","a"]}`), Event{Mode: ModeSync, Now: today, Scheduled: true, Targets: []string{"a", "b"}}},
		{"the hourly one, which does not stay by itself", timed(at, `{"mode":"verify"}`), Event{Mode: ModeVerify, Now: today}},
		{"the hourly one that is to stay", timed(at, `{"mode":"verify","wait":"10s"}`), Event{Mode: ModeVerify, Now: today, Wait: &ten}},
		{"a plan every minute", timed(at, `{"mode":"plan"}`), Event{Mode: ModePlan, Now: today}},
		{"a direct invocation", []byte(`{}`), Event{Mode: ModeSync}},
		{"a direct invocation with a clock", []byte(`{"mode":"plan","as_of":"` + at + `"}`), Event{Mode: ModePlan, Now: today}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := inputs.Timer(tt.payload, today)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTimerRefuses(t *testing.T) {
	const at = "2026-05-28T20:25:01Z"
	tests := []struct {
		name    string
		payload []byte
		want    []string
	}{
		{"nothing", nil, []string{"payload of 0 bytes", "JSON object"}},
		{"an HTTP request", []byte(`{"version":"v1","rawPath":"/","body":"{}","requestContext":{"http":{"method":"POST"}}}`), []string{"HTTP request", "timer trigger", "direct invocation"}},
		{"an SLS log trigger", []byte(`{"parameter":{},"source":{"projectName":"p","beginCursor":"a"},"jobName":"j","taskId":"t","cursorTime":1780000000}`), []string{"SLS log trigger", "timer trigger"}},
		{"an SLS alert", []byte(`{"alert_id":"a","alert_name":"n","fire_results":[]}`), []string{"SLS alert", "timer trigger"}},
		{"an event of EventBridge", []byte(`{"specversion":"1.0","source":"acs.sls.alert","type":"sls:AlertEvent:Firing","data":{}}`), []string{"EventBridge", "timer trigger"}},
		{"the other cloud's schedule", []byte(`{"source":"aws.scheduler","detail-type":"Scheduled Event","time":"` + at + `","detail":"{}"}`), []string{"EventBridge", "timer trigger"}},
		{"an OSS event", []byte(`{"events":[{"eventName":"ObjectCreated:PutObject"}]}`), []string{"another service", "timer trigger"}},
		{"a time in words", timed("now", ""), []string{"triggerTime", "now", "2026-05-28T20:26:40Z"}},
		{"no time", []byte(`{"triggerName":"t","payload":""}`), []string{"triggerTime", "2026-05-28T20:26:40Z"}},
		{"a payload that is an object", []byte(`{"triggerTime":"` + at + `","triggerName":"t","payload":{"mode":"plan"}}`), []string{"payload", "object", "string"}},
		{"a payload in words", timed(at, "verify"), []string{"payload", "verify", `{"mode":"verify"}`}},
		{"a payload that is a list", timed(at, "[]"), []string{"payload", "[]"}},
		{"a payload of JSON's null", timed(at, "null"), []string{"payload", "null"}},
		{"an unknown mode", timed(at, `{"mode":"sink"}`), []string{"payload", "mode", "sink"}},
		{"an unknown field", timed(at, `{"mod":"plan"}`), []string{"payload", `field "mod"`}},
		{"an adoption at every tick", timed(at, `{"adopt_epoch":true}`), []string{"adopt_epoch", "direct invocation", "every tick"}},
		{"an adoption that is off", timed(at, `{"adopt_epoch":false}`), []string{"adopt_epoch", "direct invocation"}},
		{"a clock that stands still", timed(at, `{"as_of":"`+at+`"}`), []string{"as_of", "direct invocation"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ev, err := inputs.Timer(tt.payload, today)
			if !errors.Is(err, ErrBadEvent) {
				t.Fatalf("event = %+v, %v; want ErrBadEvent", ev, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not mention %q", err, want)
				}
			}
		})
	}
}

func FuzzTimer(f *testing.F) {
	for _, payload := range []string{`{}`, `{"mode":"verify","wait":10}`, `{"adopt_epoch":true}`, `x`} {
		f.Add([]byte(payload))
		f.Add(timed("2026-05-28T20:25:01Z", payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		ev, err := inputs.Timer(payload, today)
		if err != nil {
			if !errors.Is(err, ErrBadEvent) {
				t.Fatalf("error %v is not ErrBadEvent", err)
			}
			return
		}
		known := ev.Mode == ModeSync || ev.Mode == ModePlan || ev.Mode == ModeVerify
		if stays := ev.Stay(DefaultWait); !known || ev.Clock(today).After(today) || stays < 0 || stays > MaxWait || stays > 0 && ev.Mode == ModePlan {
			t.Fatalf("accepted %+v", ev)
		}
	})
}
