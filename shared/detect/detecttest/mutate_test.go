package detecttest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/detect/detecttest"
	"github.com/tracewall/tracewall/shared/webattack"
)

const joined = `word and join | select a.ip as ip, count(distinct a.path) as cnt, array_agg(distinct u) as users
from (select {{time}} as t, x as "where" from log where y <> 'a or b' and (p = 1 or q = 2)) a
left join (select distinct ip from log) b on a.ip = b.ip and a.t between b.f and b.l
group by ip having count(1) > {{threshold}} and count(distinct path) > {{paths}} order by cnt desc {{limit}}`

func changes(r detect.Rule) []string {
	var all []string
	for _, m := range detecttest.Mutants(r) {
		all = append(all, m.Kind+": "+m.Change)
	}
	return all
}

func TestMutantsChangeEveryThingThatDecides(t *testing.T) {
	rule := detect.Rule{
		Window: time.Minute, Over: 4 * time.Minute, Threshold: 20, Query: joined, Parameters: map[string]int64{"paths": 5, "near": 10},
		Content: &detect.Content{Columns: []string{"path"}, Classes: []webattack.Class{webattack.SQLInjection, webattack.XSS}},
	}
	want := []string{
		"threshold: threshold 20 → 21", "threshold: threshold 20 → 19",
		"window: window 1m0s → 30s", "window: window 1m0s → 2m0s",
		"over: over 4m0s → 2m0s", "over: over 4m0s → 8m0s",
		"content: any content counts", "content: without sql-injection", "content: without xss", "content: every class counts",
		"parameter: near 10 → 5", "parameter: near 10 → 20", "parameter: paths 5 → 4", "parameter: paths 5 → 6",
		"distinct: not count(distinct a.path)", "distinct: not select distinct ip from log)", "distinct: not count(distinct path)",
		"filter: filter without y <> 'a or b'", "filter: filter without (p = 1 or q = 2)",
		"having: having without count(distinct path) > {{paths}}",
		"join: left join → join", "join: join without a.ip = b.ip", "join: join without a.t between b.f and b.l",
	}
	if diff := cmp.Diff(want, changes(rule)); diff != "" {
		t.Error(diff)
	}
}

func TestMutantsMoveTheNumbersThatDecide(t *testing.T) {
	rule := detect.Rule{Window: time.Second, Class: detect.ClassContext, Query: `f(1) > 2 | select 'n > 7' as x, substr(a, 1, 20) as b from (select ip, count(1) as n {{log}} group by ip) where n <= 2
and t >= s - 5 * {{window}} and strpos(a, 'b') > 0 and length(a) < 512 and good * 4 > bad {{limit}}`}
	var got []string
	for _, m := range detecttest.Mutants(rule) {
		if m.Kind == detecttest.OfNumber {
			got = append(got, strings.Split(m.Change, " in ")[0])
			if len(got) == 2 && !strings.Contains(m.Rule.Query, "where n <= 3\nand t >= s - 5 *") {
				t.Errorf("query = %s", m.Rule.Query)
			}
		}
	}
	if diff := cmp.Diff([]string{"2 → 1", "2 → 3", "5 → 4", "5 → 6", "4 → 3", "4 → 5"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAMutantDiffersInOneThingAndLeavesItsRuleAlone(t *testing.T) {
	rule := detect.Rule{Window: time.Minute, Threshold: 20, Query: joined, Parameters: map[string]int64{"paths": 5}}
	for _, m := range detecttest.Mutants(rule) {
		switch m.Change {
		case "join without a.ip = b.ip":
			if want := strings.Replace(joined, "on a.ip = b.ip ", "on 1 = 1 ", 1); m.Rule.Query != want {
				t.Errorf("query = %s", m.Rule.Query)
			}
		case "left join → join":
			if want := strings.Replace(joined, "left join", "join", 1); m.Rule.Query != want {
				t.Errorf("query = %s", m.Rule.Query)
			}
		case "paths 5 → 6":
			if m.Rule.Parameters["paths"] != 6 || m.Rule.Query != joined || rule.Parameters["paths"] != 5 {
				t.Errorf("parameters = %v, the rule's %v", m.Rule.Parameters, rule.Parameters)
			}
		case "threshold 20 → 21":
			if m.Rule.Threshold != 21 || m.Rule.Window != rule.Window {
				t.Errorf("threshold %d, window %s", m.Rule.Threshold, m.Rule.Window)
			}
		}
	}
}

func TestMutantsLeaveOutWhatCannotMatter(t *testing.T) {
	flat := detect.Rule{Window: time.Second, Threshold: 0, Query: `* | select ip, count(1) as cnt from log group by ip having count(1) > {{threshold}} limit 1000000`}
	if got := changes(flat); slices.Contains(got, "having: having without count(1) > {{threshold}}") || slices.Contains(got, "threshold: threshold 0 → -1") {
		t.Errorf("mutants = %q", got)
	}
	flat.Query = strings.Replace(flat.Query, " limit", " or {{unusual:ip}} limit", 1)
	want := []string{"threshold: threshold 0 → 1", "window: window 1s → 2s", "having: having without count(1) > {{threshold}}", "having: having without {{unusual:ip}}"}
	if diff := cmp.Diff(want, changes(flat)); diff != "" {
		t.Error(diff)
	}
	flat.Class = detect.ClassContext
	if got := changes(flat); slices.Contains(got, "threshold: threshold 0 → 1") {
		t.Errorf("a rule that accuses nobody has a threshold: %q", got)
	}
}

func TestTryTellsKilledSurvivedAndBroken(t *testing.T) {
	good := rule([]detect.TestWant{{Subject: "192.0.2.1", Count: 3, Windows: 1}, {Subject: "2001:db8::/64", Count: 4, Windows: 1}}, "bad")
	m := detecttest.Mutant{Kind: detecttest.OfThreshold, Change: "none", Rule: good}
	if f := detecttest.Try(t.Context(), m, service(t)); !f.Survived() {
		t.Errorf("fate = %+v, want a survivor", f)
	}
	m.Rule.Threshold = 3
	if f := detecttest.Try(t.Context(), m, service(t)); f.KilledBy != "t" || f.Survived() {
		t.Errorf("fate = %+v, want killed by t", f)
	}
	broken := func(context.Context, []detecttest.Line, string, time.Time, time.Time) ([]map[string]string, error) {
		return nil, errors.New("no such column")
	}
	if f := detecttest.Try(t.Context(), m, broken); f.Broken == "" || f.KilledBy != "" || f.Survived() {
		t.Errorf("fate = %+v, want broken, which is no proof", f)
	}
}
