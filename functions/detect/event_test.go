package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// wall is a moment shortly after the events in events/.
var wall = time.Date(2026, 5, 28, 20, 26, 41, 0, time.UTC)

func sample(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "events", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestDecodeEventReadsEverySample(t *testing.T) {
	now := time.Date(2026, 5, 28, 20, 26, 40, 0, time.UTC)
	tests := map[string]event{
		"detect.timer.json": {trigger: triggerTimer, now: now, rules: []string{"rate-limit-address", "sms-account"}},
		"detect.log.json": {
			trigger: triggerLog, now: now, rules: []string{"rate-limit-address"}, project: "tracewall-logs", logstore: "gateway",
		},
		"detect.direct.json": {
			trigger: triggerDirect, now: now, rules: []string{"rate-limit-address"}, dryRun: true, replay: true,
			from: now.Add(-30*time.Minute - 40*time.Second), to: now.Add(-40 * time.Second),
		},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := decodeEvent(sample(t, name), wall)
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
	tests := []struct {
		name, payload string
		want          event
	}{
		{
			"a timer without a payload", `{"triggerTime":"2026-05-28T20:26:40Z","triggerName":"t","payload":""}`,
			event{trigger: triggerTimer, now: wall.Add(-time.Second)},
		},
		{
			"a timer in another zone", `{"triggerTime":"2026-05-29T04:26:40+08:00","triggerName":"t"}`,
			event{trigger: triggerTimer, now: wall.Add(-time.Second)},
		},
		{
			"a timer with a field that FC may add some day", `{"triggerTime":"2026-05-28T20:26:40Z","triggerName":"t","zone":{}}`,
			event{trigger: triggerTimer, now: wall.Add(-time.Second)},
		},
		{
			"a timer from long ago, whose file is replayed", `{"triggerTime":"2015-05-17T10:05:03Z","triggerName":"t"}`,
			event{trigger: triggerTimer, now: time.Date(2015, 5, 17, 10, 5, 3, 0, time.UTC)},
		},
		{
			"a log trigger without parameter and clock", `{"source":{"projectName":"p","logstoreName":"l","beginCursor":"c"},"parameter":null}`,
			event{trigger: triggerLog, project: "p", logstore: "l"},
		},
		{"an empty direct call", `{}`, event{trigger: triggerDirect}},
		{"rule ids in any order and twice", `{"rules":["b","a","b"]}`, event{trigger: triggerDirect, rules: []string{"a", "b"}}},
		{
			"epoch seconds, as an alert's template prints them", `{"from":1779999880,"to":1780000000}`,
			event{trigger: triggerDirect, from: wall.Add(-121 * time.Second), to: wall.Add(-time.Second)},
		},
		{
			"a replay over a month", `{"from":"2015-12-01T00:00:00Z","to":"2016-01-01T00:00:00Z","as_of":"2016-01-01T00:00:00Z"}`,
			event{
				trigger: triggerDirect, replay: true, now: time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC),
				from: time.Date(2015, 12, 1, 0, 0, 0, 0, time.UTC), to: time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC),
			},
		},
		{
			"a clock five minutes ahead", `{"as_of":"2026-05-28T20:31:41Z"}`,
			event{trigger: triggerDirect, replay: true, now: wall.Add(maxSkew)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeEvent([]byte(tt.payload), wall)
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
		{"nothing", ``, []string{"payload", "empty", "JSON object"}},
		{"text", `tracewall`, []string{"payload", "9 bytes that are not JSON", "JSON object"}},
		{"an array, as merged alerts make it", `[{"alert_id":"a"}]`, []string{"payload", "array", "JSON object"}},
		{"null", `null`, []string{"payload", "null", "JSON object"}},
		{"an HTTP request", `{"version":"v1","rawPath":"/","requestContext":{"http":{}}}`, []string{"requestContext", "webhook function"}},
		{"an alert sent straight here", `{"alert_id":"alert-1","status":"firing"}`, []string{"alert_id", "webhook function", `{"rules":["RULE"]}`}},
		{"a misspelt field", `{"rules":["a"],"form":1}`, []string{`field "form"`, "rules, from, to, dry_run, as_of"}},
		{"a field in capitals", `{"Rules":["a"]}`, []string{`field "Rules"`}},
		{"query text from outside", `{"query":"* | select 1"}`, []string{`field "query"`}},
		{"another function's input", `{"mode":"sync"}`, []string{`field "mode"`}},
		{"no rule at all", `{"rules":[]}`, []string{"rules", "[]", "1 to 100"}},
		{"rules that are no list", `{"rules":"a"}`, []string{"rules", "1 to 100"}},
		{"a rule without a name", `{"rules":[""]}`, []string{"rules", "1 to 100"}},
		{"a name of a kilobyte", `{"rules":["` + strings.Repeat("x", 1024) + `"]}`, []string{"rules", "…"}},
		{"a start without an end", `{"from":1779999880}`, []string{"from without to"}},
		{"an end before the start", `{"from":1780000000,"to":1779999880}`, []string{"to", "2026-05-28T20:24:40Z", "after from"}},
		{"a day and a second of live logs", `{"from":1779913599,"to":1780000000}`, []string{"from", "24h0m0s", "as_of"}},
		{"a replay of a month and a second", `{"from":"2015-11-30T23:59:59Z","to":"2016-01-01T00:00:00Z","as_of":"2016-01-01T00:00:00Z"}`, []string{"from", "744h"}},
		{"an end in the future", `{"from":"2026-05-28T20:00:00Z","to":"2026-05-28T20:40:00Z"}`, []string{"to", "20:40:00Z", "not after now"}},
		{"an end after the replay's clock", `{"from":"2015-05-17T10:00:00Z","to":"2015-05-17T11:00:00Z","as_of":"2015-05-17T10:30:00Z"}`, []string{"to", "not after now"}},
		{"milliseconds", `{"from":1779999880000,"to":1780000000000}`, []string{"from", "1779999880000", "not milliseconds"}},
		{"half a second", `{"from":1779999880.5,"to":1780000000}`, []string{"from", "1779999880.5", "epoch seconds"}},
		{"a time in words", `{"from":"yesterday","to":1780000000}`, []string{"from", "yesterday", "2026-05-28T20:26:40Z"}},
		{"a dry run of maybe", `{"dry_run":"yes"}`, []string{"dry_run", "yes", "true or false"}},
		{"two problems, both named", `{"dry_run":1,"as_of":"now"}`, []string{"dry_run", "as_of"}},
		{"a clock from the future", `{"as_of":"2026-05-28T20:31:42Z"}`, []string{"as_of", "20:31:42Z", "5m0s after now"}},
		{"a timer from the future", `{"triggerTime":"2026-05-29T20:26:40Z","triggerName":"t"}`, []string{"triggerTime", "5m0s after now"}},
		{"a timer without a time", `{"triggerName":"t"}`, []string{"triggerTime", "2026-05-28T20:26:40Z"}},
		{"a timer with a number for a time", `{"triggerName":"t","triggerTime":1780000000}`, []string{"triggerTime", "number"}},
		{"a timer whose payload is text", `{"triggerTime":"2026-05-28T20:26:40Z","payload":"go"}`, []string{"payload", "go", `{"rules":["RULE", …]}`}},
		{"a timer whose payload misspells", `{"triggerTime":"2026-05-28T20:26:40Z","payload":"{\"rule\":\"a\"}"}`, []string{"payload", "rule", `{"rules":["RULE", …]}`}},
		{"a log trigger without a cursor", `{"source":{"projectName":"p","logstoreName":"l"}}`, []string{"source.beginCursor"}},
		{"a log trigger with a clock in milliseconds", `{"source":{"beginCursor":"c"},"cursorTime":1780000000000}`, []string{"cursorTime", "not milliseconds"}},
		{"a log trigger from the future", `{"source":{"beginCursor":"c"},"cursorTime":1790000000}`, []string{"cursorTime", "5m0s after now"}},
		{"a payload of a megabyte", `{"rules":["` + strings.Repeat("x", 1<<20) + `"]}`, []string{"payload of 1048", "262144"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ev, err := decodeEvent([]byte(tt.payload), wall)
			if !errors.Is(err, errBadEvent) {
				t.Fatalf("decodeEvent = %+v, %v; want errBadEvent", ev, err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not mention %q", err, want)
				}
			}
			if len(err.Error()) > 600 {
				t.Errorf("error is %d bytes long", len(err.Error()))
			}
		})
	}
}

func TestDecodeEventRefusesTheMalformedSample(t *testing.T) {
	if _, err := decodeEvent(sample(t, "detect.malformed.json"), wall); !errors.Is(err, errBadEvent) {
		t.Errorf("error = %v, want errBadEvent", err)
	}
}

func TestDecodeEventNeverRepeatsAPayloadItCannotRead(t *testing.T) {
	const token = "s3cr3t-t0k3n"
	for _, payload := range []string{token, `"` + token + `"`, `["` + token + `"]`, `{"requestContext":{},"headers":{"Authorization":"` + token + `"}}`} {
		if _, err := decodeEvent([]byte(payload), wall); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("payload %s: error %v", payload, err)
		}
	}
}

func FuzzDecodeEvent(f *testing.F) {
	for _, name := range []string{"detect.timer.json", "detect.log.json", "detect.direct.json", "detect.malformed.json"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "events", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		ev, err := decodeEvent(payload, wall)
		if err != nil {
			if !errors.Is(err, errBadEvent) {
				t.Fatalf("error %v is not errBadEvent", err)
			}
			return
		}
		bad := ev.now.Sub(wall) > maxSkew || ev.from.IsZero() != ev.to.IsZero() || ev.to.Before(ev.from) ||
			ev.to.Sub(ev.from) > maxReplay || len(ev.rules) > maxRules
		if bad {
			t.Fatalf("accepted %s", fmt.Sprintf("%+v", ev))
		}
	})
}
