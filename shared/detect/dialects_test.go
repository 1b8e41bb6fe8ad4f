//go:build cgo

package detect_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/detect/detecttest"
	"github.com/tracewall/tracewall/shared/threat"
)

// clouds are both log services.
type clouds map[string]detecttest.Service

func bothClouds(t *testing.T) clouds {
	t.Helper()
	return clouds{detect.SLS: service(laptop(t)), detect.CLS: tencentService(tencent(t))}
}

// both asks a rule on both log services and fails unless all that comes out is the same.
func (c clouds) both(t *testing.T, rule detect.Rule, lines []detecttest.Line, in detect.Span) ([]threat.Detection, []detect.Rejected) {
	t.Helper()
	ask := func(dialect string) ([]threat.Detection, []detect.Rejected) {
		asked, ok := rule.In(dialect)
		if !ok {
			t.Fatalf("rule %s has no query for %s", rule.ID, dialect)
		}
		rows, err := c[dialect](t.Context(), lines, asked.SQL(), in.From.Add(-rule.Margin), in.To)
		if err != nil {
			t.Fatalf("%s: %v", dialect, err)
		}
		return asked.Detections(rows, in)
	}
	found, rejected := ask(detect.SLS)
	onCLS, rejectedOnCLS := ask(detect.CLS)
	same := cmp.Comparer(func(a, b threat.Indicator) bool { return a == b })
	if diff := cmp.Diff(found, onCLS, same); diff != "" {
		t.Errorf("rule %s: detections (-SLS +CLS):\n%s", rule.ID, diff)
	}
	if diff := cmp.Diff(rejected, rejectedOnCLS); diff != "" {
		t.Errorf("rule %s: rejected (-SLS +CLS):\n%s", rule.ID, diff)
	}
	return found, rejected
}

func TestTheStoryComesOutTheSameOnBothLogServices(t *testing.T) {
	t.Parallel()
	on := bothClouds(t)
	in := detect.Span{From: storyStart, To: storyStart.Add(4 * time.Minute)}
	for _, id := range []string{"rate-limit-address", "sms-account"} {
		rule := shippedRule(t, id)
		rule.Threshold = 0
		found, _ := on.both(t, rule, storyLines(), in)
		if len(found) == 0 {
			t.Errorf("%s finds nothing: the comparison proves nothing", id)
		}
	}
}

// The forgeries that a client can send, and lines beyond what is analysed. The
// searches differ in what splits words (a backslash does on CLS), so a line with the
// marker behind one may be found by one of them only; the rules' own tests prove
// that it blocks nobody on either.
func TestForgeriesComeOutTheSameOnBothLogServices(t *testing.T) {
	t.Parallel()
	on := bothClouds(t)
	var lines []detecttest.Line
	for i, msg := range []string{
		`rate limit for true-client-ip: 999.1.1.1 trace_id: a`, `"rate limit for true-client-ip": "203.0.113.4"`,
		`"GET / HTTP/1.1" 200 1 "-" "rate limit for true-client-ip: 203.0.113.9" "trace_id": a`, `rate limit for true-client-ip: ::ffff:10.1.2.3`,
		"rate limit for true-client-ip: 203.0.113.4 " + strings.Repeat("x", 600),
		"rate limit for true-client-ip:\t203.0.113.4\ttrace", `RATE LIMIT FOR TRUE-CLIENT-IP: 203.0.113.4`, "rate limit for true-client-ip: 地址 ", "rate limit for true-client-ip: 'x' or 1=1",
		`rate limit for true-client-ip: null`, `rate limit for true-client-ip: 2001:DB8::1`, `player.getSMScode Received "uid":a'b "trace_id":t rate limit for true-client-ip: 203.0.113.5`,
	} {
		for range i + 1 {
			lines = append(lines, detecttest.Line{Time: storyStart.Add(time.Duration(i) * time.Second), Fields: map[string]string{"msg": msg, "trace_id": "t"}})
		}
	}
	in := detect.Span{From: storyStart, To: storyStart.Add(2 * time.Minute)}
	for _, id := range []string{"rate-limit-address", "sms-account"} {
		rule := shippedRule(t, id)
		rule.Threshold = 0
		on.both(t, rule, lines, in)
	}
}

// The set-up of CLS's own threat-IP detection: choose a topic and the field that
// holds the source address.
func TestChoosingAFieldMakesTheGenericRulesWork(t *testing.T) {
	t.Parallel()
	on := bothClouds(t)
	var lines []detecttest.Line
	add := func(address, status string, n int) {
		for i := range n {
			lines = append(lines, detecttest.Line{Time: storyStart.Add(time.Duration(i%100) * time.Second), Fields: map[string]string{"client_ip": address, "code": status, "remote_addr": "192.0.2.250"}})
		}
	}
	add("203.0.113.7", "200", 301)
	add("203.0.113.8", "404", 101)
	add("unknown", "200", 1)
	in := detect.Span{From: storyStart, To: storyStart.Add(2 * time.Minute)}
	for id, want := range map[string]string{"requests-address": "203.0.113.7 301", "errors-address": "203.0.113.8 101"} {
		rule, err := shippedRule(t, id).WithFields(map[string]string{"address": "client_ip", "status": "code"})
		if err != nil {
			t.Fatal(err)
		}
		found, _ := on.both(t, rule, lines, in)
		if len(found) != 1 || fmt.Sprint(found[0].Indicator, " ", found[0].Count) != want {
			t.Errorf("%s: detections = %+v, want %s", id, found, want)
		}
	}
}

// Who floods the log with invented addresses shall not be able to blind us, with
// 10,000 rows a page either. Should CLS give no second page, the time is halved.
func TestAFloodOfInventedAddressesDoesNotBlindUsOnCLS(t *testing.T) {
	t.Parallel()
	s, client := tencent(t)
	rule, _ := shippedRule(t, "requests-address").In(detect.CLS)
	run := func(topic string, invented int) (detect.Report, error) {
		var lines []detecttest.Line
		for i := range invented {
			lines = append(lines, detecttest.Line{Time: storyStart.Add(time.Duration(i%240) * time.Second), Fields: map[string]string{"remote_addr": fmt.Sprintf("x%d.example", i)}})
		}
		for range 301 {
			lines = append(lines, detecttest.Line{Time: storyStart, Fields: map[string]string{"remote_addr": "203.0.113.7"}})
		}
		if err := fill(t.Context(), s, topic, lines); err != nil {
			t.Fatal(err)
		}
		r := &detect.Runner{
			Logs: client, List: &store{checkpoints: map[string]time.Time{}, reports: map[string]string{}}, Rules: []detect.Rule{rule}, Logstore: topic, Source: detect.CLS,
			Allowlist: func(context.Context) (detect.Checker, error) { return office{}, nil }, Clock: func() time.Time { return storyStart.Add(5 * time.Minute) },
		}
		return r.Run(t.Context(), detect.Request{From: storyStart, To: storyStart.Add(4 * time.Minute)})
	}
	for name, c := range map[string]struct {
		invented int
		capRows  bool
		queries  int // 0: it must fail
	}{
		"pages":               {21_000, false, 1},
		"no pages, halves":    {16_000, true, 3},
		"no pages, no halves": {21_000, true, 0},
	} {
		s.Faults().CapRows(c.capRows)
		report, err := run(strings.ReplaceAll(strings.ReplaceAll(name, ",", ""), " ", "-"), c.invented)
		if c.queries == 0 {
			if err == nil || report.Blocked != 0 {
				t.Errorf("%s: %d blocked, %v; want an error, not silence", name, report.Blocked, err)
			}
			continue
		}
		if err != nil || report.Blocked != 1 || report.Rejected < 10_000 || report.Rules[0].Queries != c.queries {
			t.Errorf("%s: %d blocked, %d rejected, rules %+v, %v", name, report.Blocked, report.Rejected, report.Rules, err)
		}
	}
}

func TestCheckpointsOfTheLogServicesAreApart(t *testing.T) {
	st := &store{checkpoints: map[string]time.Time{}, reports: map[string]string{}}
	for _, source := range []string{"", detect.SLS, detect.CLS} {
		r, _, _ := runner(t, func(string, time.Time, time.Time) ([]map[string]string, error) { return nil, nil })
		r.List, r.Source = st, source
		if _, err := r.Run(t.Context(), detect.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"addresses", "cls:addresses"} {
		if _, ok := st.checkpoints[name]; !ok {
			t.Errorf("no checkpoint %s in %v", name, st.checkpoints)
		}
	}
}
