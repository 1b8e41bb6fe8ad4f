package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// today is a moment shortly after the events in events/.
var today = time.Date(2026, 5, 28, 20, 25, 1, 0, time.UTC)

func sample(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "events", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestDecodeEventReadsEverySample(t *testing.T) {
	scheduled := event{mode: modeSync, now: time.Date(2026, 5, 28, 20, 25, 0, 0, time.UTC), scheduled: true}
	ten, fifty := 10*time.Second, 50*time.Second
	tests := map[string]event{
		"sync-aws-waf.rule.json":     scheduled,
		"sync-aws-waf.schedule.json": scheduled,
		"sync-aws-waf.input.json":    {mode: modePlan},
		"sync-aws-waf.verify.json":   {mode: modeVerify},
		"sync-aws-waf.hourly.json":   {mode: modeVerify, wait: &ten},
		"sync-aws-waf.wait.json":     {mode: modeSync, targets: []string{"edge"}, wait: &fifty},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := decodeEvent(sample(t, name), today)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(event{})); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeEventAccepts(t *testing.T) {
	scheduled := event{mode: modeSync, now: today, scheduled: true}
	none, minute := time.Duration(0), time.Minute
	tests := []struct {
		name, payload string
		want          event
	}{
		{"an empty input", `{}`, event{mode: modeSync}},
		{
			"an input of every field", `{"mode":"sync","targets":["b","a","b"],"as_of":"2026-05-28T22:25:01+02:00","adopt_epoch":true}`,
			event{mode: modeSync, now: today, targets: []string{"a", "b"}, adoptEpoch: true},
		},
		{"a wait in seconds", `{"wait":60}`, event{mode: modeSync, wait: &minute}},
		{"a wait in seconds as text", `{"wait":"60"}`, event{mode: modeSync, wait: &minute}},
		{"a wait while verifying", `{"mode":"verify","wait":"1m"}`, event{mode: modeVerify, wait: &minute}},
		{"no wait for a plan", `{"mode":"plan","wait":0}`, event{mode: modePlan, wait: &none}},
		{"an envelope without detail", `{"source":"aws.events","detail-type":"Scheduled Event","time":"2026-05-28T20:25:01Z"}`, scheduled},
		{"a detail of null", `{"source":"aws.scheduler","detail-type":"Scheduled Event","time":"2026-05-28T20:25:01Z","detail":null}`, scheduled},
		{"a detail of an empty string", `{"source":"aws.scheduler","detail-type":"Scheduled Event","time":"2026-05-28T20:25:01Z","detail":""}`, scheduled},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeEvent([]byte(tt.payload), today)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(event{})); diff != "" {
				t.Errorf("event (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeEventRefuses(t *testing.T) {
	tests := []struct {
		name, payload string
		want          []string // what the error must name: field, value, what is allowed
	}{
		{"nothing", ``, []string{"payload of 0 bytes", "mode, targets, as_of, adopt_epoch, wait"}},
		{"text", `sync`, []string{"payload of 4 bytes", "JSON object"}},
		{"an array", `[]`, []string{"payload", "JSON object"}},
		{"null", `null`, []string{"payload", "JSON object"}},
		{"an SQS batch", `{"Records":[{"messageId":"m","eventSource":"aws:sqs","body":"{}"}]}`, []string{"SQS", "scheduled event"}},
		{"an SNS notification", `{"Records":[{"EventSource":"aws:sns","Sns":{}}]}`, []string{"SNS", "scheduled event"}},
		{"records of another service", `{"Records":[{"eventSource":"aws:s3"}]}`, []string{"Records", "scheduled event"}},
		{"a Function URL's request", `{"version":"2.0","rawPath":"/","requestContext":{"http":{"method":"POST"}}}`, []string{"HTTP request", "scheduled event"}},
		{
			"another service's event", `{"source":"aws.ec2","detail-type":"EC2 Instance State-change Notification","time":"2026-05-28T20:25:01Z","detail":{}}`,
			[]string{"source", "aws.ec2", "aws.scheduler"},
		},
		{
			"another event of the same source", `{"source":"aws.events","detail-type":"Something Else","time":"2026-05-28T20:25:01Z","detail":{}}`,
			[]string{"detail-type", "Something Else", "Scheduled Event"},
		},
		{"an envelope without a time", `{"source":"aws.events","detail-type":"Scheduled Event","detail":{}}`, []string{"time", "2026-05-28T20:25:00Z"}},
		{
			"settings inside the envelope", `{"source":"aws.events","detail-type":"Scheduled Event","time":"2026-05-28T20:25:01Z","detail":{"mode":"plan"}}`,
			[]string{"detail", "Input"},
		},
		{
			"settings inside the envelope's string", `{"source":"aws.scheduler","detail-type":"Scheduled Event","time":"2026-05-28T20:25:01Z","detail":"{\"mode\":\"plan\"}"}`,
			[]string{"detail", "Input"},
		},
		{"a source that is no text", `{"source":1}`, []string{"source", "number"}},
		{"the console's test event", `{"key1":"value1","key2":"value2"}`, []string{`field "key1"`, `field "key2"`, "mode, targets"}},
		{"an unknown mode", `{"mode":"sink"}`, []string{"mode", "sink", `"sync", "plan" or "verify"`}},
		{"a mode of null", `{"mode":null}`, []string{"mode", "null"}},
		{"no target at all", `{"targets":[]}`, []string{"targets", "[]", "WAF_TARGETS"}},
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
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ev, err := decodeEvent([]byte(tt.payload), today)
			if !errors.Is(err, errBadEvent) {
				t.Fatalf("decodeEvent = %+v, %v; want errBadEvent", ev, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not mention %q", err, want)
				}
			}
		})
	}
}

func TestDecodeEventRefusesTheMalformedSample(t *testing.T) {
	if _, err := decodeEvent(sample(t, "sync-aws-waf.malformed.json"), today); !errors.Is(err, errBadEvent) {
		t.Errorf("error = %v, want errBadEvent", err)
	}
}

func TestClockIsTheEventsOwnButNeverAheadOfOurs(t *testing.T) {
	tests := []struct {
		name  string
		event time.Time
		want  time.Time
	}{
		{"an event without a clock takes ours", time.Time{}, today},
		{"a late event keeps its own", today.Add(-time.Hour), today.Add(-time.Hour)},
		{"an event from the future takes ours", today.Add(time.Hour), today},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := (event{now: tt.event}).clock(today); !got.Equal(tt.want) {
				t.Errorf("clock = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestOnlyASchedulesOwnTickStaysByItself(t *testing.T) {
	hour := time.Hour
	for name, tt := range map[string]struct {
		ev   event
		want time.Duration
	}{
		"a schedule's tick":          {event{mode: modeSync, scheduled: true}, 50 * time.Second},
		"an operator's input":        {event{mode: modeSync}, 0},
		"a verifying input":          {event{mode: modeVerify}, 0},
		"an input that asks to stay": {event{mode: modeSync, wait: &hour}, time.Hour},
	} {
		if got := tt.ev.stay(50 * time.Second); got != tt.want {
			t.Errorf("%s stays %s, want %s", name, got, tt.want)
		}
	}
}

func FuzzDecodeEvent(f *testing.F) {
	for _, name := range []string{"rule", "schedule", "input", "verify", "wait", "malformed"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "events", "sync-aws-waf."+name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		ev, err := decodeEvent(payload, today)
		if err != nil {
			if !errors.Is(err, errBadEvent) {
				t.Fatalf("error %v is not errBadEvent", err)
			}
			return
		}
		known := ev.mode == modeSync || ev.mode == modePlan || ev.mode == modeVerify
		if stays := ev.stay(defaultWait); !known || ev.clock(today).After(today) || stays < 0 || stays > maxWait || stays > 0 && ev.mode == modePlan {
			t.Fatalf("accepted %+v", ev)
		}
	})
}
