package detecttest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/detect/detecttest"
	"github.com/tracewall/tracewall/shared/threat"
)

var start = time.Date(2025, 5, 10, 4, 54, 0, 0, time.UTC)

func rule(want []detect.TestWant, rejected ...string) detect.Rule {
	return detect.Rule{
		ID: "r", Window: 2 * time.Minute, Margin: time.Minute, Threshold: 2, Query: "* | select {{window}} limit 1000000",
		Subject: detect.Subject{Kind: threat.KindAddress, Column: "ip"}, Columns: detect.Columns{Count: "cnt", Window: "w"},
		Tests: []detect.Test{{
			Name: "t", Want: want, Rejected: rejected,
			Lines: []detect.TestLine{{Time: start.Add(5 * time.Second), Repeat: 3, Every: time.Minute, Fields: map[string]string{"msg": "line {{n}} of {{n}}"}}},
		}},
	}
}

func service(t *testing.T) detecttest.Service {
	return func(_ context.Context, lines []detecttest.Line, query string, from, to time.Time) ([]map[string]string, error) {
		if len(lines) != 3 || lines[2].Fields["msg"] != "line 3 of 3" || !lines[2].Time.Equal(start.Add(125*time.Second)) {
			t.Errorf("lines = %v", lines)
		}
		if query != "* | select 120 limit 1000000" || !from.Equal(start.Add(-time.Minute)) || !to.Equal(start.Add(4*time.Minute)) {
			t.Errorf("asked %q from %s to %s", query, from, to)
		}
		return []map[string]string{
			{"ip": "192.0.2.1", "cnt": "3", "w": "1746852840"},
			{"ip": "2001:db8::1", "cnt": "4", "w": "1746852840"},
			{"ip": "bad", "cnt": "4", "w": "1746852840"},
		}, nil
	}
}

func TestRunComparesExactly(t *testing.T) {
	one, two := detect.TestWant{Subject: "192.0.2.1", Count: 3, Windows: 1}, detect.TestWant{Subject: "2001:db8::/64", Count: 4, Windows: 1}
	for name, c := range map[string]struct {
		rule detect.Rule
		want string // in the problems; "" means it passes
	}{
		"all as wanted":       {rule([]detect.TestWant{two, one}, "bad"), ""},
		"a missing detection": {rule([]detect.TestWant{one, two, {Subject: "192.0.2.9", Count: 3, Windows: 1}}, "bad"), "192.0.2.9: no detection"},
		"one too many":        {rule([]detect.TestWant{one}, "bad"), "2001:db8::/64: count 4, want no detection"},
		"another count":       {rule([]detect.TestWant{{Subject: "192.0.2.1", Count: 5, Windows: 1}, two}, "bad"), "count 3 in 1 windows, want 5 in 1"},
		"other windows":       {rule([]detect.TestWant{{Subject: "192.0.2.1", Count: 3, Windows: 2}, two}, "bad"), "want 3 in 2"},
		"nothing rejected":    {rule([]detect.TestWant{one, two}), `rejected ["bad"], want []`},
		"addresses":           {rule([]detect.TestWant{{Subject: "192.0.2.1", Count: 3, Windows: 1, Addresses: []string{"192.0.2.5"}}, two}, "bad"), `addresses [], want ["192.0.2.5"]`},
	} {
		got := detecttest.Run(t.Context(), c.rule, service(t), func() time.Time { return start })
		text := strings.Join(got[0].Problems, "; ")
		if len(got) != 1 || (c.want == "") != (text == "") || !strings.Contains(text, c.want) {
			t.Errorf("%s: problems = %q, want %q", name, text, c.want)
		}
	}
}

func TestAServiceThatFailsIsAProblem(t *testing.T) {
	got := detecttest.Run(t.Context(), rule(nil), func(context.Context, []detecttest.Line, string, time.Time, time.Time) ([]map[string]string, error) {
		return nil, errors.New("no such column")
	}, func() time.Time { return start })
	if len(got[0].Problems) != 1 || got[0].Problems[0] != "query: no such column" {
		t.Errorf("problems = %q", got[0].Problems)
	}
}
