package detect_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/threat"
)

// lists is an intelligence of a few addresses.
type lists map[string]int

func (l lists) Lookup(p netip.Prefix) []threatintel.Hit {
	var hits []threatintel.Hit
	for i := range l[p.Addr().String()] {
		hits = append(hits, threatintel.Hit{Source: fmt.Sprint("list ", i), Confidence: 80, Category: "scanner"})
	}
	return hits
}

// dns knows crawlers by address; "?" is one that it cannot tell.
type dns map[string]string

func (d dns) Verify(_ context.Context, addr netip.Addr) (string, error) {
	if name := d[addr.String()]; name != "?" {
		return name, nil
	}
	return "", errors.New("no answer")
}

func one(t *testing.T, address string, action threat.Action) threat.Detection {
	return threat.Detection{Rule: "r", Class: "flood", Indicator: ip(t, address), Action: action, Term: time.Hour, Count: 21, Threshold: 20, Windows: 1, Until: at(wall)}
}

func TestIntelligenceRaisesAndItsAbsenceStopsNothing(t *testing.T) {
	g := detect.Gathered{Detections: []threat.Detection{one(t, "192.0.2.1", threat.Challenge), one(t, "192.0.2.2", threat.Challenge)}}
	strikes := map[threat.Indicator]blocklist.History{ip(t, "192.0.2.1"): {Strikes: 2}, ip(t, "192.0.2.2"): {Strikes: 2}}
	v, err := judge(t, g, func(r *detect.Runner, s *store) {
		s.histories = strikes
		r.Intelligence = func(context.Context) (detect.Intelligence, error) { return lists{"192.0.2.1": 2, "192.0.2.2": 1}, nil }
	})
	if err != nil || len(v.Block) != 1 || v.Block[0].Indicator != ip(t, "192.0.2.1") || len(v.Challenge) != 1 {
		t.Errorf("verdicts = %v, %v; want two lists and a past to block, one list not", words(v), err)
	}
	v, err = judge(t, g, func(r *detect.Runner, s *store) {
		s.histories = strikes
		r.Intelligence = func(context.Context) (detect.Intelligence, error) { return nil, errors.New("half written") }
	})
	if err != nil || len(v.Block) != 0 || len(v.Challenge) != 2 || len(v.Notes) != 1 || !strings.Contains(v.Notes[0], "half written") {
		t.Errorf("verdicts = %v, notes %q, %v; want a note and nobody judged by it", words(v), v.Notes, err)
	}
}

func TestProvenCrawlersAreSparedAndUnprovenOnesAreNot(t *testing.T) {
	g := detect.Gathered{Facts: map[threat.Indicator]detect.Facts{}}
	for i := range 4 {
		d := one(t, fmt.Sprint("192.0.2.", i+1), threat.Block)
		g.Detections = append(g.Detections, d)
		g.Facts[d.Indicator] = detect.Facts{Ordinary: 20}
	}
	quiet := one(t, "192.0.2.9", threat.Block)
	g.Detections = append(g.Detections, quiet)
	v, err := judge(t, g, func(r *detect.Runner, _ *store) {
		r.Crawlers = dns{"192.0.2.1": "Googlebot", "192.0.2.2": "", "192.0.2.3": "?", "192.0.2.9": "Googlebot"}
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "block ip:192.0.2.2 [] | block ip:192.0.2.4 [] | block ip:192.0.2.9 [] | challenge ip:192.0.2.3 [] | spare ip:192.0.2.1 [] Googlebot, as forward-confirmed reverse DNS says"
	if got := strings.Join(words(v), " | "); got != want {
		t.Errorf("verdicts = %s\nwant       %s", got, want)
	}
	if len(v.Notes) != 1 || !strings.Contains(v.Notes[0], "1 addresses are crawlers") {
		t.Errorf("notes = %q", v.Notes)
	}
}

func TestDNSIsAskedAboutAFewOnly(t *testing.T) {
	g := detect.Gathered{Facts: map[threat.Indicator]detect.Facts{}}
	crawlers := dns{}
	for i := range 101 {
		d := one(t, fmt.Sprint("198.51.100.", i), threat.Block)
		g.Detections = append(g.Detections, d)
		g.Facts[d.Indicator] = detect.Facts{Ordinary: int64(20 + i)}
		crawlers[fmt.Sprint("198.51.100.", i)] = "Bingbot"
	}
	v, err := judge(t, g, func(r *detect.Runner, _ *store) { r.Crawlers = crawlers })
	if err != nil || len(v.Spared) != 100 || len(v.Block) != 1 || v.Block[0].Indicator != ip(t, "198.51.100.0") || len(v.Notes) != 1 {
		t.Errorf("%d spared, %d blocked, notes %q, %v", len(v.Spared), len(v.Block), v.Notes, err)
	}
}

func TestAccountsFirstWatchesTheAddressesOfBlockedAccounts(t *testing.T) {
	behind := threat.Detection{Rule: "a", Class: "flood", Indicator: account(t, "zoe"), Action: threat.Block, Term: time.Hour, Evidence: []threat.Indicator{ip(t, "192.0.2.1"), ip(t, "192.0.2.2")}}
	probe := one(t, "192.0.2.2", threat.Block)
	probe.Rule, probe.Class = "probe", "scan"
	g := detect.Gathered{Detections: []threat.Detection{behind, one(t, "192.0.2.1", threat.Block), one(t, "192.0.2.2", threat.Block), probe, one(t, "192.0.2.3", threat.Block)}}
	for name, c := range map[string]struct {
		first bool
		zoe   threat.Action
		want  string
	}{
		"all":                            {false, threat.Block, "ip:192.0.2.1 ip:192.0.2.2 ip:192.0.2.3 account:zoe"},
		"needed":                         {true, threat.Block, "ip:192.0.2.2 ip:192.0.2.3 account:zoe"},
		"needed, the account is watched": {true, threat.Observe, "ip:192.0.2.1 ip:192.0.2.2 ip:192.0.2.3"},
	} {
		g.Detections[0].Action = c.zoe
		v, err := judge(t, g, func(r *detect.Runner, _ *store) { r.Policy.AccountsFirst = c.first })
		var blocked []string
		for _, j := range v.Block {
			blocked = append(blocked, j.Indicator.Key())
		}
		if got := strings.Join(blocked, " "); err != nil || got != c.want {
			t.Errorf("%s: blocked %s, want %s, %v", name, got, c.want, err)
		}
	}
}

func TestAnApprovalLetsOneRunThrough(t *testing.T) {
	r, _, s := runner(t, flood)
	r.Policy.Brake.MaxNew = 1
	s.approval = blocklist.Approval{Add: 1}
	report, err := r.Run(t.Context(), detect.Request{Now: at(wall)})
	if !errors.Is(err, detect.ErrHeld) || len(s.batches) != 0 || !strings.Contains(report.HeldFor, "2 indicators would be new") {
		t.Errorf("an approval of fewer: err = %v, %d batches, %q", err, len(s.batches), report.HeldFor)
	}
	s.approval = blocklist.Approval{Add: 2}
	if _, err := r.Run(t.Context(), detect.Request{Now: at(wall), DryRun: true}); !errors.Is(err, detect.ErrHeld) || s.approval.Add != 2 {
		t.Errorf("a dry run: err = %v, approval %+v; want it held and the approval left", err, s.approval)
	}
	report, err = r.Run(t.Context(), detect.Request{Now: at(wall)})
	if err != nil || len(s.batches) != 1 || report.Blocked != 2 || len(report.Notes) != 1 {
		t.Errorf("err = %v, %d batches, %+v", err, len(s.batches), report)
	}
	if _, err := r.Run(t.Context(), detect.Request{Now: at(wall)}); !errors.Is(err, detect.ErrHeld) {
		t.Errorf("an approval holds twice: %v", err)
	}
}

func TestWhoIsOnTheListAlreadyIsNotNew(t *testing.T) {
	r, _, s := runner(t, flood)
	r.Policy.Brake.MaxNew = 1
	s.histories = map[threat.Indicator]blocklist.History{ip(t, "192.0.2.1"): {Listed: true, Strikes: 1}}
	if report, err := r.Run(t.Context(), detect.Request{Now: at(wall)}); err != nil || report.Blocked != 2 {
		t.Errorf("report = %+v, %v", report.Summary, err)
	}
	s.histories[ip(t, "192.0.2.1")] = blocklist.History{Listed: true, Challenge: true, Strikes: 1}
	if _, err := r.Run(t.Context(), detect.Request{Now: at(wall)}); !errors.Is(err, detect.ErrHeld) {
		t.Errorf("who was challenged and is to be blocked is not new: %v", err)
	}
}

// withContext adds a rule that says what speaks for addresses.
func withContext(r *detect.Runner) {
	rule := addressRule()
	rule.ID, rule.Class, rule.Action, rule.Threshold, rule.Window = "context", detect.ClassContext, threat.Observe, 0, time.Hour
	rule.Columns.Users, rule.Columns.Total, rule.Columns.Successes = "users", "total", "ok"
	rule.Query = "context | select {{window}} limit 1000000"
	r.Rules = append(r.Rules, rule)
}

func TestWhatSpeaksForAnAddressIsAskedWhenSomebodyIsNamed(t *testing.T) {
	office := func(q string, from, to time.Time) ([]map[string]string, error) {
		if !strings.HasPrefix(q, "context") {
			return flood(q, from, to)
		}
		w := cnt(int(from.Unix()))
		return []map[string]string{
			row("ip", "192.0.2.2", "cnt", "500", "users", "40", "w", w, "total", "9000"), row("ip", "192.0.2.77", "cnt", "500", "users", "40", "w", w, "total", "9000"),
		}, nil
	}
	r, l, s := runner(t, office)
	withContext(r)
	report, err := r.Run(t.Context(), detect.Request{Rules: []string{"addresses"}, Now: at(wall)})
	if err != nil {
		t.Fatal(err)
	}
	if report.Blocked != 1 || report.Observed != 1 || report.ObservedList[0].Indicator != "192.0.2.2" || report.ObservedList[0].Facts.Users != 40 {
		t.Errorf("report = %+v", report)
	}
	if f := report.BlockedList[0].Facts; f == nil || f.Ordinary != 0 {
		t.Errorf("facts of who has none = %+v", f)
	}
	if len(s.batches[0].Checkpoints) != 1 {
		t.Errorf("checkpoints = %v", s.batches[0].Checkpoints)
	}
	for _, asked := range l.asked {
		if strings.Contains(asked, "context") && asked != "access context 1746846000-1746849600 1000000" && asked != "access context 1746849600-1746853200 1000000" {
			t.Errorf("asked %s", asked)
		}
	}
	var c detect.Case
	for _, kept := range s.cases {
		if kept.Indicator == ip(t, "192.0.2.2") {
			if err := json.Unmarshal(kept.Text, &c); err != nil {
				t.Fatal(err)
			}
		}
	}
	if c.Verdict != "observe" || c.Score != 30 || c.Facts.Users != 40 || len(c.Rules) != 1 || c.Rules[0].Search != `"192.0.2.2"` || len(c.Rules[0].Query) != 64 || c.Rules[0].Logstore != "access" {
		t.Errorf("case = %+v", c)
	}

	calm, l, _ := runner(t, func(string, time.Time, time.Time) ([]map[string]string, error) { return nil, nil })
	withContext(calm)
	if _, err := calm.Run(t.Context(), detect.Request{Now: at(wall)}); err != nil || len(l.asked) != 2 {
		t.Errorf("asked %v in a calm minute, %v", l.asked, err)
	}
}

func TestNobodyIsBlockedWhenWhatSpeaksForThemCannotBeRead(t *testing.T) {
	gone := errors.New("index is gone")
	r, _, s := runner(t, func(q string, from, to time.Time) ([]map[string]string, error) {
		if strings.HasPrefix(q, "context") {
			return nil, gone
		}
		return flood(q, from, to)
	})
	withContext(r)
	report, err := r.Run(t.Context(), detect.Request{Now: at(wall)})
	if !errors.Is(err, detect.ErrContext) || !errors.Is(err, gone) || len(s.batches) != 0 || report.Blocked != 0 || report.Held != 2 {
		t.Errorf("err = %v, %d batches, %+v", err, len(s.batches), report.Summary)
	}
}

func TestARuleOutOfItsTrialBlocks(t *testing.T) {
	r, _, s := runner(t, flood)
	r.Rules = r.Rules[:1]
	r.Rules[0].Action, r.Rules[0].Trial = threat.Observe, &detect.Trial{For: time.Hour, Then: threat.Block}
	blocked := func(now time.Time) int {
		t.Helper()
		r.Clock = func() time.Time { return now }
		report, err := r.Run(t.Context(), detect.Request{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		return report.Blocked
	}
	r.Allowlist = func(context.Context) (detect.Checker, error) { return checker(nobody), nil }
	if blocked(at(wall)) != 0 || blocked(at(wall).Add(59*time.Minute)) != 0 || blocked(at(wall).Add(time.Hour)) != 3 {
		t.Errorf("states = %s", s.states[detect.TrialsState])
	}
	r.Allowlist = func(context.Context) (detect.Checker, error) { return office{}, nil }
	if blocked(at(wall).Add(2*time.Hour)) != 2 || blocked(at(wall).Add(2*time.Hour+time.Minute)) != 0 {
		t.Errorf("a rule that would have blocked the office goes on: %s", s.states[detect.TrialsState])
	}
	s.states[detect.TrialsState] = []byte("{half")
	if _, err := r.Run(t.Context(), detect.Request{Now: r.Clock()}); err == nil || !strings.Contains(err.Error(), "begin the trials anew") {
		t.Errorf("err = %v", err)
	}
}

func TestCasesAreOfTheNewAndFitTheirBounds(t *testing.T) {
	var rows []map[string]string
	long := strings.Repeat("\x1b", 600)
	for i := range 30 {
		rows = append(rows, row("ip", fmt.Sprint("192.0.2.", i), "cnt", "50", "w", "1746852600", "line", fmt.Sprint(i, long)))
	}
	r, _, s := runner(t, func(string, time.Time, time.Time) ([]map[string]string, error) { return rows, nil })
	r.Rules = r.Rules[:1]
	r.Rules[0].Columns.Sample = "line"
	r.Network = func(netip.Addr) string { return "AS64500 Example" }
	for i := range 20 {
		rule := r.Rules[0]
		rule.ID = fmt.Sprint("addresses-", i)
		r.Rules = append(r.Rules, rule)
	}
	s.histories = map[threat.Indicator]blocklist.History{ip(t, "192.0.2.1"): {Listed: true, Strikes: 1}}
	if _, err := r.Run(t.Context(), detect.Request{Now: at(wall)}); err != nil {
		t.Fatal(err)
	}
	if len(s.cases) != 29 {
		t.Errorf("%d cases, want one for each who is new", len(s.cases))
	}
	for _, c := range s.cases {
		if err := c.Check(); err != nil {
			t.Error(err)
		}
	}
	var c detect.Case
	if err := json.Unmarshal(s.cases[0].Text, &c); err != nil || c.Verdict != "block" || c.Network != "AS64500 Example" || c.ExpiresAt.IsZero() {
		t.Errorf("case = %+v, %v", c, err)
	}
	s.cases = nil
	if _, err := r.Run(t.Context(), detect.Request{Now: at(wall), DryRun: true}); err != nil || len(s.cases) != 0 {
		t.Errorf("a dry run keeps %d cases, %v", len(s.cases), err)
	}
}
