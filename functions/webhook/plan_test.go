package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestWindow(t *testing.T) {
	t.Parallel()
	now := at(1780000100)
	for _, tc := range []struct {
		name             string
		from, to         int64
		at               int64
		wantFrom, wantTo int64
	}{
		{"what the queries covered", 1779999880, 1780000000, 1780000000, 1779999880, 1780000000},
		{"without it, ten minutes", 0, 0, 1780000000, 1779999400, 1780000000},
		{"never after the alert", 1779999880, 1780000050, 1780000000, 1779999880, 1780000000},
		{"never after now, when the alert's clock is ahead", 1780000000, 1780000200, 1780000200, 1780000000, 1780000100},
		{"never more than a day", 1700000000, 1780000000, 1780000000, 1779913600, 1780000000},
		{"wholly after the alert: ten minutes", 1780000050, 1780000060, 1780000000, 1779999400, 1780000000},
		{"wholly before that day: ten minutes", 1700000000, 1700000060, 1780000000, 1779999400, 1780000000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a := alert{At: at(tc.at)}
			if tc.from != 0 {
				a.From, a.To = at(tc.from), at(tc.to)
			}
			from, to := window(a, now)
			if from.Unix() != tc.wantFrom || to.Unix() != tc.wantTo {
				t.Errorf("window = %d to %d, want %d to %d", from.Unix(), to.Unix(), tc.wantFrom, tc.wantTo)
			}
		})
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	// jobs are written "rule from to", in minutes
	for _, tc := range []struct {
		name string
		jobs []string
		want []string
	}{
		{"one alert is one call", []string{"a 0 2"}, []string{"a 0 2"}},
		{"the same twice is one call", []string{"a 0 2", "a 0 2"}, []string{"a 0 2"}},
		{"ranges of a rule that touch become one", []string{"a 2 4", "a 0 2"}, []string{"a 0 4"}},
		{"also when one holds the other", []string{"a 0 9", "a 2 4", "a 8 10"}, []string{"a 0 10"}},
		{"a gap stays a gap", []string{"a 0 2", "a 3 4"}, []string{"a 0 2", "a 3 4"}},
		{"rules with the same range go together", []string{"b 0 2", "a 0 2"}, []string{"a,b 0 2"}},
		{"also after merging", []string{"b 0 4", "a 0 2", "a 2 4"}, []string{"a,b 0 4"}},
		{"rules with other ranges do not", []string{"a 0 2", "b 0 3"}, []string{"a 0 2", "b 0 3"}},
		{"never longer than a day", []string{"a 0 1430", "a 10 1450"}, []string{"a 0 1430", "a 10 1450"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var jobs []job
			for i, text := range tc.jobs {
				var j job
				var from, to int64
				if _, err := fmt.Sscan(text, &j.rule, &from, &to); err != nil {
					t.Fatal(err)
				}
				j.index, j.from, j.to = i, at(1780000000+from*60), at(1780000000+to*60)
				jobs = append(jobs, j)
			}
			var got []string
			members := 0
			for _, g := range plan(jobs) {
				got = append(got, fmt.Sprintf("%s %d %d", strings.Join(g.Rules, ","), (g.From.Unix()-1780000000)/60, (g.To.Unix()-1780000000)/60))
				members += len(g.jobs)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if members != len(jobs) {
				t.Errorf("%d jobs in the calls, want %d", members, len(jobs))
			}
		})
	}
}

func TestPlanCoversEveryJobOnceAndStaysWithinBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var jobs []job
		for i := range rapid.IntRange(0, maxAlerts).Draw(t, "jobs") {
			from := at(1780000000 + rapid.Int64Range(0, 100_000).Draw(t, "from"))
			length := time.Duration(rapid.IntRange(1, int(maxRange/time.Second)).Draw(t, "seconds")) * time.Second
			jobs = append(jobs, job{index: i, rule: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "rule"), from: from, to: from.Add(length)})
		}
		groups := plan(jobs)
		seen := map[int]bool{}
		for _, g := range groups {
			if g.To.Sub(g.From) > maxRange || !g.From.Before(g.To) {
				t.Fatalf("call from %v to %v", g.From, g.To)
			}
			for _, j := range g.jobs {
				if seen[j.index] {
					t.Fatalf("job %d is in two calls", j.index)
				}
				seen[j.index] = true
				if j.from.Before(g.From) || j.to.After(g.To) || !strings.Contains(strings.Join(g.Rules, " "), j.rule) {
					t.Fatalf("job %+v is in a call %+v that does not do it", j, g.invocation)
				}
			}
		}
		if len(seen) != len(jobs) || len(groups) > len(jobs) {
			t.Fatalf("%d jobs in %d calls, want %d", len(seen), len(groups), len(jobs))
		}
	})
}

func TestAnInvocationIsWhatDetectReads(t *testing.T) {
	t.Parallel()
	got, err := json.Marshal(invocation{[]string{"a", "b"}, at(1780000000), at(1780000120)})
	want := `{"rules":["a","b"],"from":"2026-05-28T20:26:40Z","to":"2026-05-28T20:28:40Z"}`
	if err != nil || string(got) != want {
		t.Errorf("payload %s, %v, want %s", got, err, want)
	}
}
