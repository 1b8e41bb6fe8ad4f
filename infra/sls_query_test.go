//go:build cgo

package infra_test

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/aliyun/aliyun-log-go-sdk"

	"github.com/tracewall/tracewall/shared/sls/slstest"
	"github.com/tracewall/tracewall/shared/telemetry"
)

// logged is one log line and how often it stands there.
type logged struct {
	times  int
	fields map[string]string
}

// ask runs an alert's query on the local Log Service, over these lines, with only
// those columns that indexFile gives statistics to. It returns the one row of the answer.
func ask(t *testing.T, indexFile string, alert sdk.Alert, lines ...logged) map[string]string {
	t.Helper()
	query := alert.Configuration.QueryList[0]
	server, err := slstest.New(slstest.Config{Project: query.Project, AccessKeyID: "id", AccessKeySecret: "secret", TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	var index sdk.Index
	readJSON(t, indexFile, &index)
	columns := map[string]slstest.FieldType{}
	for name, key := range index.Keys {
		if key.DocValue {
			columns[name] = slstest.Text
		}
	}
	if err := server.CreateLogstore(query.Store, columns); err != nil {
		t.Fatal(err)
	}
	now, names := time.Now(), slices.Sorted(maps.Keys(columns))
	var rows []slstest.Row
	for _, l := range lines {
		row := slstest.Row{Time: now.Unix()}
		for _, name := range names {
			row.Values = append(row.Values, l.fields[name])
		}
		rows = append(rows, slices.Repeat([]slstest.Row{row}, l.times)...)
	}
	if _, err := server.Load(t.Context(), query.Store, names, func() ([]slstest.Row, error) { return rows, io.EOF }); err != nil {
		t.Fatal(err)
	}
	answer, err := server.Query(t.Context(), query.Store, query.Query, now.Add(-time.Minute), now.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Rows) != 1 {
		t.Fatalf("rows = %v, want one", answer.Rows)
	}
	return answer.Rows[0]
}

func TestAlertCountsAddressesOverTheLimit(t *testing.T) {
	msg := func(times int, text string) logged {
		return logged{times, map[string]string{"msg": text, "trace_id": "7b3d9f2a-418a-4b4e-9c52-a60c1f3e8b45"}}
	}
	const quoted = `[10/May/2025:13:55:36 +0800] "GET / HTTP/1.1" 200 432 "-" "Mozilla/5.0" "rate limit for true-client-ip": %s "trace_id": 7b3d9f2a`
	got := ask(t, "sls/index-gateway.json", alerts(t)["alert-rate-limit-address.json"],
		msg(21, fmt.Sprintf(quoted, "139.135.241.87")),
		msg(20, fmt.Sprintf(quoted, "139.135.241.88")),                                                                                        // at the limit, not over it
		msg(11, fmt.Sprintf(quoted, "139.135.241.89")), msg(10, "gateway-3 rate limit for true-client-ip: 139.135.241.89 trace_id: 7b3d9f2a"), // both shapes together
		msg(30, fmt.Sprintf(quoted, "2001:db8::7")),
		msg(500, `[10/May/2025:13:55:36 +0800] "GET / HTTP/1.1" 200 432 "-" "Mozilla/5.0" 139.135.241.90`), // not limited
	)
	if got["addresses"] != "3" {
		t.Errorf("addresses = %q, want 3", got["addresses"])
	}
}

// The functions' own lines, as telemetry writes them, are what the alarms count.
func TestAlarmsCountTheFunctionsOwnLines(t *testing.T) {
	line := func(deployed, function string, labels telemetry.Labels, values telemetry.Values, well bool) logged {
		var text strings.Builder
		metrics := telemetry.NewMetrics(&text, time.Now, telemetry.Plain, function)
		if well {
			metrics.Success(labels, values)
		} else {
			metrics.Emit(labels, values)
		}
		return logged{1, map[string]string{"message": strings.TrimSpace(text.String()), "functionName": deployed}}
	}
	written := func(values telemetry.Values, well bool) logged {
		return line("sls-ops-tracewall-detect", "detect", telemetry.Labels{}, values, well)
	}
	fcOwn := logged{3, map[string]string{"message": "FC Invoke Start RequestId: 1-6a18a400-000000000001", "functionName": "sls-ops-tracewall-detect"}}
	good := written(telemetry.Values{telemetry.GuardTripped: 0, telemetry.AllowlistUnreadable: 0}, true)
	held := written(telemetry.Values{telemetry.GuardTripped: 1, telemetry.AllowlistUnreadable: 0}, false)
	blind := written(telemetry.Values{telemetry.GuardTripped: 0, telemetry.AllowlistUnreadable: 1}, false)
	other := logged{1, maps.Clone(held.fields)}
	other.fields["functionName"] = "tracewall-webhook"

	type test struct {
		name, alarm, column, want string
		lines                     []logged
	}
	tests := []test{
		{"successes are counted", "alarm-detect-silent.json", "successes", "2", []logged{fcOwn, good, good, held}},
		{"runs without success are silence", "alarm-detect-silent.json", "successes", "0", []logged{fcOwn, held, blind}},
		{"a brake and a blind run trip", "alarm-guard-tripped.json", "trips", "2", []logged{fcOwn, good, held, blind}},
		{"good runs do not", "alarm-guard-tripped.json", "trips", "0", []logged{fcOwn, good, good}},
		{"nor do other functions", "alarm-guard-tripped.json", "trips", "0", []logged{good, other}},
	}
	for _, function := range fcSyncs {
		// A target that went well is none for a run in which another one failed.
		target := line("tracewall-"+function, function, telemetry.Labels{Cloud: "x", Target: "a"}, telemetry.Values{telemetry.GuardTripped: 0}, true)
		run := line("tracewall-"+function, function, telemetry.Labels{}, telemetry.Values{telemetry.DurationMS: 1}, true)
		held := line("tracewall-"+function, function, telemetry.Labels{Cloud: "x", Target: "b"}, telemetry.Values{telemetry.GuardTripped: 1, telemetry.Held: 1}, false)
		blind := line("tracewall-"+function, function, telemetry.Labels{}, telemetry.Values{telemetry.AllowlistUnreadable: 1}, false)
		silent, guard := "alarm-"+function+"-silent.json", "alarm-"+function+"-guard-tripped.json"
		tests = append(tests, []test{
			{function + ": runs are counted", silent, "successes", "2", []logged{target, run, run, good}},
			{function + ": targets are not", silent, "successes", "0", []logged{target, held, good}},
			{function + ": a held target and a blind run trip", guard, "trips", "2", []logged{target, run, held, blind}},
			{function + ": good runs do not", guard, "trips", "0", []logged{target, run, other}},
		}...)
	}
	feed := func(outcome string, failed float64) logged {
		return line("tracewall-refresh-intel", "refresh-intel", telemetry.Labels{Target: "ipsum", Outcome: outcome}, telemetry.Values{telemetry.FeedFailed: failed}, false)
	}
	refreshed := line("tracewall-refresh-intel", "refresh-intel", telemetry.Labels{}, telemetry.Values{telemetry.DurationMS: 1}, true)
	tests = append(tests, []test{
		{"refresh-intel: a feed that failed trips", "alarm-refresh-intel-feed-failed.json", "failures", "2", []logged{feed("loaded", 0), feed("kept", 1), feed("missing", 1), held}},
		{"refresh-intel: good feeds do not", "alarm-refresh-intel-feed-failed.json", "failures", "0", []logged{feed("loaded", 0), feed("unchanged", 0), refreshed}},
		{"refresh-intel: runs in which all went well are counted", "alarm-refresh-intel-silent.json", "successes", "1", []logged{feed("kept", 1), refreshed, good}},
	}...)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := ask(t, "sls/index-fc-logs.json", alerts(t)[test.alarm], test.lines...); got[test.column] != test.want {
				t.Errorf("%s = %q, want %s", test.column, got[test.column], test.want)
			}
		})
	}
}
