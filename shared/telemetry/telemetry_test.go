package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/telemetry"
)

func decode(t *testing.T, line []byte) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(line, &m); err != nil {
		t.Fatalf("line %q: %v", line, err)
	}
	return m
}

func TestLogLines(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		value any
		want  any
	}{
		{"times are in UTC", time.Date(2026, 11, 21, 20, 0, 0, 0, time.FixedZone("CST", 8*3600)), "2026-11-21T12:00:00Z"},
		{"durations are whole milliseconds", 1500 * time.Microsecond, float64(1)},
		{"errors are text", fmt.Errorf("put: %w", errors.New("no")), "put: no"},
		{"short text is whole", "a\n\x1b", "a\n\x1b"},
		{"long text is cut", strings.Repeat("x", 3000), strings.Repeat("x", 2048) + "… (3000 bytes)"},
		{"between letters, not within one", "x" + strings.Repeat("é", 2000), "x" + strings.Repeat("é", 1023) + "… (4001 bytes)"},
		{"long errors are cut too", errors.New(strings.Repeat("x", 3000)), strings.Repeat("x", 2048) + "… (3000 bytes)"},
		{"numbers are numbers", 42, float64(42)},
		{"a nil error is null", error(nil), nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			telemetry.New(&out, "detect").Info("m", "v", tc.value)
			got := decode(t, out.Bytes())
			if diff := cmp.Diff(tc.want, got["v"]); diff != "" {
				t.Errorf("value (-want +got):\n%s", diff)
			}
			if got["function"] != "detect" || !strings.HasSuffix(got["time"].(string), "Z") || strings.Count(out.String(), "\n") != 1 {
				t.Errorf("line %s, want one line with the function and a UTC time", out.String())
			}
		})
	}
}

func TestDone(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := telemetry.New(&out, "detect")
	telemetry.Done(t.Context(), log, "detect", time.Now().Add(-1500*time.Millisecond), nil)
	telemetry.Done(t.Context(), log, "detect", time.Now(), errors.New("redis is down"))
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	good, bad := decode(t, lines[0]), decode(t, lines[1])
	if good["msg"] != "detect done" || good["level"] != "INFO" || good["outcome"] != "ok" || good["err"] != nil {
		t.Errorf("line %s", lines[0])
	}
	if ms := good["duration_ms"].(float64); ms < 1500 || ms > 60_000 {
		t.Errorf("duration_ms = %v, want 1500", ms)
	}
	if bad["level"] != "ERROR" || bad["outcome"] != "error" || bad["err"] != "redis is down" {
		t.Errorf("line %s", lines[1])
	}
}

func clock() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

func TestMetricLines(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		format telemetry.Format
		emit   func(*telemetry.Metrics)
		want   string
	}{
		{"plain", telemetry.Plain, func(m *telemetry.Metrics) {
			m.Emit(telemetry.Labels{Rule: "rate-limit-address"}, telemetry.Values{telemetry.DetectionsTotal: 3, telemetry.BlockedTotal: 2})
		}, `{"blocked_total":2,"detections_total":3,"function":"detect","metrics":"tracewall","rule":"rate-limit-address","time":"2026-11-21T12:00:00Z"}`},
		{"a success says when", telemetry.Plain, func(m *telemetry.Metrics) {
			m.Success(telemetry.Labels{}, telemetry.Values{telemetry.GuardTripped: 0})
		}, `{"function":"detect","guard_tripped":0,"last_success_timestamp":1795262400,"metrics":"tracewall","time":"2026-11-21T12:00:00Z"}`},
		{"the embedded metric format", telemetry.EMF, func(m *telemetry.Metrics) {
			m.Emit(telemetry.Labels{}, telemetry.Values{telemetry.WAFPutTotal: 3})
		}, `{"_aws":{"Timestamp":1795262400000,"CloudWatchMetrics":[{"Namespace":"tracewall","Dimensions":[["function"]],"Metrics":[{"Name":"waf_put_total","Unit":"Count"}]}]},"function":"detect","waf_put_total":3}`},
		{"counters are rolled up over labels, levels are not", telemetry.EMF, func(m *telemetry.Metrics) {
			m.Emit(telemetry.Labels{Cloud: "aws", Target: "edge"}, telemetry.Values{telemetry.WAFPutTotal: 3, telemetry.EntriesEnforced: 7, telemetry.DurationMS: 5})
		}, `{"_aws":{"Timestamp":1795262400000,"CloudWatchMetrics":[{"Namespace":"tracewall","Dimensions":[["function","cloud","target"],["function"]],"Metrics":[{"Name":"waf_put_total","Unit":"Count"}]},{"Namespace":"tracewall","Dimensions":[["function","cloud","target"]],"Metrics":[{"Name":"duration_ms","Unit":"Milliseconds"},{"Name":"entries_enforced","Unit":"None"}]}]},"cloud":"aws","duration_ms":5,"entries_enforced":7,"function":"detect","target":"edge","waf_put_total":3}`},
		{"what is no number is left out", telemetry.Plain, func(m *telemetry.Metrics) {
			m.Emit(telemetry.Labels{}, telemetry.Values{telemetry.DurationMS: math.NaN(), telemetry.BlockedTotal: math.Inf(1)})
		}, ``},
		{"an address is no label", telemetry.Plain, func(m *telemetry.Metrics) {
			m.Emit(telemetry.Labels{Rule: "192.0.2.7", Cloud: "2001:db8::1", Target: "has a blank", Outcome: strings.Repeat("x", 65)}, telemetry.Values{telemetry.BlockedTotal: 1})
		}, `{"blocked_total":1,"cloud":"other","function":"detect","metrics":"tracewall","outcome":"other","rule":"other","target":"other","time":"2026-11-21T12:00:00Z"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			tc.emit(telemetry.NewMetrics(&out, clock, tc.format, "detect"))
			if tc.want == "" {
				if out.Len() > 0 {
					t.Errorf("line %s, want none", out.String())
				}
				return
			}
			if got := out.String(); !strings.HasSuffix(got, "\n") || strings.Count(got, "\n") != 1 {
				t.Errorf("output %q, want one line", got)
			}
			if diff := cmp.Diff(decode(t, []byte(tc.want)), decode(t, out.Bytes())); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMetricsFromManyGoroutinesAreWholeLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	m := telemetry.NewMetrics(&out, clock, telemetry.EMF, "detect")
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { m.Emit(telemetry.Labels{}, telemetry.Values{telemetry.BlockedTotal: 1}) })
	}
	wg.Wait()
	n := 0
	for line := range bytes.Lines(out.Bytes()) {
		decode(t, line)
		n++
	}
	if n != 100 {
		t.Errorf("%d lines, want 100", n)
	}
}
