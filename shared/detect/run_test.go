package detect_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logs answers queries from a script by rule id, and records them.
type logs struct {
	mu     sync.Mutex
	answer func(query string, from, to time.Time) ([]map[string]string, error)
	asked  []string
}

func (l *logs) Query(_ context.Context, logstore, query string, from, to time.Time, maxRows int) ([]map[string]string, error) {
	l.mu.Lock()
	l.asked = append(l.asked, fmt.Sprintf("%s %s %d-%d %d", logstore, strings.Fields(query)[0], from.Unix(), to.Unix(), maxRows))
	l.mu.Unlock()
	return l.answer(query, from, to)
}

// store is a blocklist that remembers.
type store struct {
	mu          sync.Mutex
	checkpoints map[string]time.Time
	batches     []blocklist.Batch
	reports     map[string]string
	did         []string // "cases", "put", in order
	histories   map[threat.Indicator]blocklist.History
	size        int
	approval    blocklist.Approval
	cases       []blocklist.Case
	states      map[string][]byte
	putErr      error
	readErr     error
	saveErr     error
	historyErr  error
	sizeErr     error
	caseErr     error
	stateErr    error
}

func (s *store) Histories(context.Context, time.Time, []threat.Indicator) (map[threat.Indicator]blocklist.History, error) {
	return s.histories, s.historyErr
}

func (s *store) Size(context.Context, time.Time) (int, error) { return s.size, s.sizeErr }

func (s *store) UseApproval(_ context.Context, target string) (blocklist.Approval, bool, error) {
	a := s.approval
	s.approval = blocklist.Approval{}
	return a, a.Add > 0 && target == detect.ApprovalTarget, nil
}

func (s *store) SaveCases(_ context.Context, cases []blocklist.Case) error {
	s.cases = append(s.cases, cases...)
	s.did = append(s.did, "cases")
	return s.caseErr
}

func (s *store) State(_ context.Context, name string) ([]byte, bool, error) {
	text, ok := s.states[name]
	return text, ok, s.stateErr
}

func (s *store) SaveState(_ context.Context, name string, data []byte) error {
	if s.states == nil {
		s.states = map[string][]byte{}
	}
	s.states[name] = data
	return nil
}

func (s *store) Put(_ context.Context, b blocklist.Batch) (blocklist.Changes, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.putErr != nil {
		return blocklist.Changes{}, s.putErr
	}
	s.did = append(s.did, "put")
	s.batches = append(s.batches, b)
	maps.Copy(s.checkpoints, b.Checkpoints)
	return blocklist.Changes{Added: len(b.Offences)}, nil
}

func (s *store) Checkpoint(_ context.Context, rule string) (time.Time, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.checkpoints[rule]
	return t, ok, s.readErr
}

func (s *store) SaveRun(_ context.Context, id string, report []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports[id] = string(report)
	return s.saveErr
}

func (s *store) last(t *testing.T) detect.Report {
	t.Helper()
	var r detect.Report
	for _, text := range s.reports {
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

type office struct{}

func (office) Covers(ind threat.Indicator, _ time.Time) (string, bool) {
	return "allowlisted: office", ind.Key() == "ip:192.0.2.100"
}

const wall = 1746852931 // 2025-05-10 04:55:31 UTC

func cnt(n int) string { return fmt.Sprint(n) }

// flood is three addresses above the threshold in the first whole window after from, one of them the office's.
func flood(_ string, from, _ time.Time) ([]map[string]string, error) {
	w := cnt(int(detect.AlignUp(from, 2*time.Minute).Unix()))
	return []map[string]string{
		row("ip", "192.0.2.1", "cnt", "50", "w", w), row("ip", "192.0.2.2", "cnt", "40", "w", w), row("ip", "192.0.2.100", "cnt", "400", "w", w), row("ip", "999.1.1.1", "cnt", "1", "w", w),
	}, nil
}

func runner(t *testing.T, answer func(string, time.Time, time.Time) ([]map[string]string, error)) (*detect.Runner, *logs, *store) {
	t.Helper()
	rule := addressRule()
	rule.Query = "addresses | select {{window}} limit 1000000"
	rule.Lag = 45 * time.Second
	other := rule
	other.ID, other.Query, other.Action = "watch", "watch | select {{window}} limit 1000000", threat.Observe
	l := &logs{answer: answer}
	s := &store{checkpoints: map[string]time.Time{}, reports: map[string]string{}}
	return &detect.Runner{
		Logs: l, List: s, Allowlist: func(context.Context) (detect.Checker, error) { return office{}, nil },
		Rules: []detect.Rule{rule, other}, Logstore: "access", Clock: func() time.Time { return at(wall) },
	}, l, s
}

func TestAScheduledRunBlocksSparesReportsAndMovesOn(t *testing.T) {
	r, l, s := runner(t, flood)
	report, err := r.Run(t.Context(), detect.Request{Trigger: "timer", Now: at(wall), Run: "run-1"})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(l.asked)
	if diff := cmp.Diff([]string{"access addresses 1746851040-1746852886 1000000", "access watch 1746851040-1746852886 1000000"}, l.asked); diff != "" {
		t.Error(diff)
	}
	if len(s.batches) != 1 {
		t.Fatalf("%d batches, want one for the whole run", len(s.batches))
	}
	b := s.batches[0]
	var blocked []string
	for _, o := range b.Offences {
		blocked = append(blocked, o.Indicator.Key()+" "+strings.Join(o.Rules, ","))
	}
	if diff := cmp.Diff([]string{"ip:192.0.2.1 addresses", "ip:192.0.2.2 addresses"}, blocked); diff != "" {
		t.Error(diff)
	}
	closed := at(1746852840)
	if diff := cmp.Diff(map[string]time.Time{"addresses": closed, "watch": closed}, b.Checkpoints); diff != "" {
		t.Error(diff)
	}
	if b.Run != "run-1" || !b.Now.Equal(at(wall)) {
		t.Errorf("batch of %s at %s", b.Run, b.Now)
	}
	got, _ := json.Marshal(report.Summary)
	want := `{"run":"run-1","mode":"enforce","trigger":"timer","as_of":"2025-05-10T04:55:31Z","rules":[` +
		`{"id":"addresses","rows":4,"detections":3,"rejected":1,"from":"2025-05-10T04:24:00Z","to":"2025-05-10T04:54:46Z","queries":1,"ms":0},` +
		`{"id":"watch","rows":4,"detections":3,"rejected":1,"from":"2025-05-10T04:24:00Z","to":"2025-05-10T04:54:46Z","queries":1,"ms":0}],` +
		`"blocked":2,"challenged":0,"added":2,"extended":0,"unchanged":0,"observed":0,"spared":1,"rejected":2,"held":0,"campaigns":0}`
	if string(got) != want {
		t.Errorf("summary = %s\nwant      %s", got, want)
	}
	saved := s.last(t)
	if len(saved.BlockedList) != 2 || saved.BlockedList[0].Indicator != "192.0.2.1" || len(saved.SparedList) != 1 || saved.SparedList[0].Reason != "allowlisted: office" ||
		len(saved.ObservedList) != 0 || len(saved.RejectedList) != 2 || saved.RejectedList[0].Value != "999.1.1.1" {
		t.Errorf("saved report = %+v", saved)
	}
	if got := saved.BlockedList[0].ExpiresAt; !got.Equal(at(1746851040 + 120).Add(72 * time.Hour)) {
		t.Errorf("expires %s", got)
	}
}

func TestTheSameEventTwiceGivesTheSameBatch(t *testing.T) {
	r, _, s := runner(t, func(string, time.Time, time.Time) ([]map[string]string, error) {
		return []map[string]string{row("ip", "192.0.2.1", "cnt", "50", "w", "1746852600")}, nil
	})
	for range 2 {
		if _, err := r.Run(t.Context(), detect.Request{Now: at(wall), Run: "same"}); err != nil {
			t.Fatal(err)
		}
	}
	same := cmp.Comparer(func(a, b threat.Indicator) bool { return a == b })
	if diff := cmp.Diff(s.batches[0], s.batches[1], same); diff != "" {
		t.Error(diff)
	}
}

func TestOneFailingRuleLeavesTheOthersVerdicts(t *testing.T) {
	broken := errors.New("index is gone")
	r, _, s := runner(t, func(q string, from, to time.Time) ([]map[string]string, error) {
		if strings.HasPrefix(q, "watch") {
			return nil, broken
		}
		return flood(q, from, to)
	})
	report, err := r.Run(t.Context(), detect.Request{Now: at(wall)})
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), "rule watch: index is gone") {
		t.Errorf("err = %v", err)
	}
	if len(s.batches) != 1 || len(s.batches[0].Offences) != 2 {
		t.Fatalf("batches = %+v", s.batches)
	}
	if _, moved := s.batches[0].Checkpoints["watch"]; moved || len(s.batches[0].Checkpoints) != 1 {
		t.Errorf("checkpoints = %v, want the failing rule's left alone", s.batches[0].Checkpoints)
	}
	if report.Rules[1].Error == "" || s.last(t).Error == "" {
		t.Errorf("the report does not say that a rule failed: %+v", report.Summary)
	}
}

func TestAnUnreadableAllowlistBlocksNobody(t *testing.T) {
	r, l, s := runner(t, flood)
	gone := errors.New("checksum is wrong")
	r.Allowlist = func(context.Context) (detect.Checker, error) { return nil, gone }
	report, err := r.Run(t.Context(), detect.Request{Now: at(wall)})
	if !errors.Is(err, detect.ErrAllowlist) || !errors.Is(err, gone) {
		t.Errorf("err = %v", err)
	}
	if len(s.batches) != 0 {
		t.Errorf("%d batches were put: checkpoints or blocks moved", len(s.batches))
	}
	if len(l.asked) != 2 || report.Rules[0].Detections != 3 || report.Blocked != 0 || report.Held != 3 {
		t.Errorf("report = %+v, want what was seen and nobody blocked", report.Summary)
	}
	if s.last(t).Error == "" {
		t.Error("the stored report does not say why")
	}
}

func TestTheBrakeHoldsEverything(t *testing.T) {
	r, _, s := runner(t, flood)
	r.Policy.Brake.MaxNew = 1
	report, err := r.Run(t.Context(), detect.Request{Now: at(wall)})
	if !errors.Is(err, detect.ErrHeld) || len(s.batches) != 0 || report.Held != 2 || report.Blocked != 0 {
		t.Errorf("err = %v, %d batches, report %+v", err, len(s.batches), report.Summary)
	}
}

func TestDryRunAndObserveModeReportTheSameAndWriteNothing(t *testing.T) {
	real, _, s := runner(t, flood)
	want, err := real.Run(t.Context(), detect.Request{Now: at(wall), Run: "x"})
	if err != nil || len(s.batches) != 1 {
		t.Fatal(err)
	}
	for mode, change := range map[string]func(*detect.Runner, *detect.Request){
		detect.ModeDryRun:  func(_ *detect.Runner, q *detect.Request) { q.DryRun = true },
		detect.ModeObserve: func(r *detect.Runner, _ *detect.Request) { r.Observe = true },
	} {
		r, _, s := runner(t, flood)
		q := detect.Request{Now: at(wall), Run: "x"}
		change(r, &q)
		got, err := r.Run(t.Context(), q)
		if err != nil || len(s.batches) != 0 || got.Mode != mode {
			t.Errorf("%s: err = %v, %d batches, mode %s", mode, err, len(s.batches), got.Mode)
		}
		got.Mode, got.Added = want.Mode, want.Added // the list alone knows what is new on it
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", mode, diff)
		}
	}
}

func TestFaultsOfTheStoreAreErrors(t *testing.T) {
	down := errors.New("redis is down")
	for name, breakIt := range map[string]func(*store){
		"put":        func(s *store) { s.putErr = down },
		"checkpoint": func(s *store) { s.readErr = down },
		"save run":   func(s *store) { s.saveErr = down },
		"histories":  func(s *store) { s.historyErr = down },
		"size":       func(s *store) { s.sizeErr = down },
		"state":      func(s *store) { s.stateErr = down },
	} {
		r, _, s := runner(t, flood)
		breakIt(s)
		if _, err := r.Run(t.Context(), detect.Request{Now: at(wall)}); !errors.Is(err, down) {
			t.Errorf("%s: err = %v", name, err)
		}
		if (name == "histories" || name == "size" || name == "state") && len(s.batches) > 0 {
			t.Errorf("%s: somebody was blocked", name)
		}
	}
}

func TestADirectCallReadsWholeWindowsAndMovesNoCheckpoint(t *testing.T) {
	r, l, s := runner(t, flood)
	_, err := r.Run(t.Context(), detect.Request{Rules: []string{"addresses"}, From: at(1746852301), To: at(1746852722), Now: at(wall)})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"access addresses 1746852240-1746852840 1000000"}, l.asked); diff != "" {
		t.Error(diff)
	}
	if len(s.batches) != 1 || len(s.batches[0].Checkpoints) != 0 || len(s.batches[0].Offences) != 2 {
		t.Errorf("batches = %+v", s.batches)
	}
}

func TestBadRequestsAreRefusedBeforeAnyCall(t *testing.T) {
	for name, c := range map[string]struct {
		q    detect.Request
		want error
	}{
		"unknown rule":     {detect.Request{Rules: []string{"nope"}}, detect.ErrRequest},
		"from without to":  {detect.Request{From: at(1)}, detect.ErrRequest},
		"to before from":   {detect.Request{From: at(10), To: at(5)}, detect.ErrRequest},
		"a whole year":     {detect.Request{From: at(0), To: at(365 * 86400)}, detect.ErrRequest},
		"a clock far off":  {detect.Request{Now: at(wall).Add(6 * time.Minute)}, detect.ErrClock},
		"both things at a": {detect.Request{Rules: []string{"nope"}, Now: at(wall + 86400)}, detect.ErrClock},
	} {
		r, l, s := runner(t, flood)
		if _, err := r.Run(t.Context(), c.q); !errors.Is(err, c.want) || len(l.asked)+len(s.batches)+len(s.reports) > 0 {
			t.Errorf("%s: err = %v after %d queries", name, err, len(l.asked))
		}
	}
	r, _, _ := runner(t, flood)
	if _, err := r.Run(t.Context(), detect.Request{Now: at(wall).Add(4 * time.Minute)}); err != nil {
		t.Errorf("a clock that is four minutes ahead: %v", err)
	}
}

type cutError struct{}

func (cutError) Error() string   { return "1000000 rows reach the LIMIT" }
func (cutError) Truncated() bool { return true }

// Answers that are cut are asked for again in halves, down to single windows, and
// the parts make the same detections as the whole.
func TestAnswersThatAreCutAreAskedForInParts(t *testing.T) {
	const w = 120
	answer := func(most time.Duration) func(string, time.Time, time.Time) ([]map[string]string, error) {
		return func(_ string, from, to time.Time) ([]map[string]string, error) {
			if to.Sub(from) > most {
				return nil, fmt.Errorf("query: %w", cutError{})
			}
			var rows []map[string]string
			for sec := from.Unix(); sec < to.Unix(); sec += w {
				rows = append(rows, row("ip", "192.0.2.1", "cnt", cnt(int(sec/w%50)), "w", cnt(int(sec)), "country", "C"+cnt(int(sec/w%3))), row("ip", "bad", "cnt", "1", "w", cnt(int(sec))))
			}
			return rows, nil
		}
	}
	var want detect.Report
	for i, most := range []time.Duration{time.Hour, 17 * time.Minute, 2 * time.Minute} {
		r, l, _ := runner(t, answer(most))
		r.Rules = r.Rules[:1]
		got, err := r.Run(t.Context(), detect.Request{From: at(1746849600), To: at(1746849600 + 3600), Now: at(wall), Run: "x"})
		if err != nil {
			t.Fatal(err)
		}
		if got.Rules[0].Queries != len(l.asked) {
			t.Errorf("%d queries reported, %d made", got.Rules[0].Queries, len(l.asked))
		}
		got.Rules[0].Queries = 0
		if i == 0 {
			want = got
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("at most %s: %s", most, diff)
		}
	}
	if want.Blocked != 1 || want.RejectedList[0].Count != 30 {
		t.Errorf("report = %+v", want)
	}

	r, _, s := runner(t, answer(time.Minute)) // even one window is too much
	if _, err := r.Run(t.Context(), detect.Request{Now: at(wall)}); !errors.As(err, &cutError{}) {
		t.Errorf("err = %v", err)
	}
	if len(s.batches) != 1 || len(s.batches[0].Checkpoints)+len(s.batches[0].Offences) != 0 {
		t.Errorf("batches = %+v, want an empty one", s.batches)
	}
}

func TestALongAbsenceIsCaughtUpInPieces(t *testing.T) {
	r, l, s := runner(t, func(string, time.Time, time.Time) ([]map[string]string, error) { return nil, nil })
	r.Rules = r.Rules[:1]
	s.checkpoints["addresses"] = at(wall).Add(-5 * time.Hour)
	if _, err := r.Run(t.Context(), detect.Request{Now: at(wall)}); err != nil {
		t.Fatal(err)
	}
	want := []string{"access addresses 1746834600-1746838200 1000000", "access addresses 1746838200-1746845400 1000000", "access addresses 1746845400-1746852886 1000000"}
	if diff := cmp.Diff(want, l.asked); diff != "" {
		t.Errorf("an hour, then twice as long as long as answers come easily: %s", diff)
	}

	hard, l, s := runner(t, func(_ string, from, to time.Time) ([]map[string]string, error) {
		return make([]map[string]string, 100_000), nil
	})
	hard.Rules = hard.Rules[:1]
	s.checkpoints["addresses"] = at(wall).Add(-5 * time.Hour)
	if _, err := hard.Run(t.Context(), detect.Request{Now: at(wall)}); err != nil {
		t.Fatal(err)
	}
	if len(l.asked) != 6 {
		t.Errorf("asked %v, want an hour at a time where there is much", l.asked)
	}
}

func TestTheMarginIsReadButNotJudged(t *testing.T) {
	r, l, s := runner(t, flood) // its rows are of the first window that was asked about
	r.Rules = r.Rules[:1]
	r.Rules[0].Margin = 10 * time.Minute
	if _, err := r.Run(t.Context(), detect.Request{From: at(1746852240), To: at(1746852840), Now: at(wall)}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"access addresses 1746851640-1746852840 1000000"}, l.asked); diff != "" {
		t.Error(diff)
	}
	if len(s.batches[0].Offences) != 0 {
		t.Errorf("windows of the margin were judged: %+v", s.batches[0].Offences)
	}
}

func TestTheTermOfTheDeploymentOverridesTheRules(t *testing.T) {
	r, _, s := runner(t, flood)
	r.Term = 2 * time.Minute
	if _, err := r.Run(t.Context(), detect.Request{Now: at(wall)}); err != nil {
		t.Fatal(err)
	}
	if got := s.batches[0].Offences[0].Term; got != 2*time.Minute {
		t.Errorf("term = %s", got)
	}
}

func TestALogTriggerRunsTheRulesOfItsLogstore(t *testing.T) {
	r, _, _ := runner(t, flood)
	r.Rules[1].Logstore, r.Rules[1].Window = "elsewhere", time.Hour
	q, ok := r.LogTrigger("access", at(wall-60), at(wall))
	if !ok || !slices.Equal(q.Rules, []string{"addresses"}) || q.Trigger != "log" || q.From.Unix() != wall-61 || q.To.Unix() != wall || q.Now.Unix() != wall {
		t.Errorf("request = %+v, %v", q, ok)
	}
	if q, ok := r.LogTrigger("elsewhere", time.Time{}, at(wall)); !ok || !slices.Equal(q.Rules, []string{"watch"}) || q.From.Unix() != wall-1 {
		t.Errorf("request = %+v, %v", q, ok)
	}
	r, l, _ := runner(t, flood)
	q, _ = r.LogTrigger("access", at(wall-60), at(wall))
	if _, err := r.Run(t.Context(), q); err != nil || !slices.Contains(l.asked, "access addresses 1746852600-1746852960 1000000") {
		t.Errorf("asked %v, want two windows before the bell's: %v", l.asked, err)
	}
	r.Rules[0].Every = time.Hour
	if q, _ := r.LogTrigger("access", at(wall-60), at(wall)); slices.Contains(q.Rules, "addresses") {
		t.Error("a rule that is asked once an hour answers every bell")
	}
	if _, ok := r.LogTrigger("unknown", at(wall), at(wall)); ok {
		t.Error("an unknown logstore has rules")
	}
}

// stuck never answers about one rule.
type stuck struct{ *logs }

func (s stuck) Query(ctx context.Context, logstore, query string, from, to time.Time, maxRows int) ([]map[string]string, error) {
	if strings.HasPrefix(query, "watch") {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.logs.Query(ctx, logstore, query, from, to, maxRows)
}

// deadlineStore refuses to write once the context is over, as a real one does.
type deadlineStore struct{ *store }

func (s deadlineStore) Put(ctx context.Context, b blocklist.Batch) (blocklist.Changes, error) {
	if err := ctx.Err(); err != nil {
		return blocklist.Changes{}, err
	}
	return s.store.Put(ctx, b)
}

func TestARuleThatNeverAnswersLeavesTimeToWriteTheOthersVerdicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, l, s := runner(t, flood)
		r.Logs, r.List, r.Clock = stuck{l}, deadlineStore{s}, time.Now
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := r.Run(ctx, detect.Request{})
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "rule watch:") {
			t.Errorf("err = %v", err)
		}
		if len(s.batches) != 1 || len(s.batches[0].Offences) != 2 {
			t.Errorf("batches = %+v, want the other rule's verdicts", s.batches)
		}
	})
}

// What goes back to the log trigger, and from there into a logstore, names nobody.
func TestTheSummaryNamesNobody(t *testing.T) {
	r, _, s := runner(t, func(_ string, from, _ time.Time) ([]map[string]string, error) {
		return []map[string]string{row("account", "nbNgQ01wRWiOSVcI2Y", "cnt", "50", "w", cnt(int(from.Unix())), "ips", `["192.0.2.1"]`), row("account", " jane doe", "cnt", "50", "w", cnt(int(from.Unix())))}, nil
	})
	rule := accountRule()
	rule.Query = "a | select {{window}} limit 1000000"
	r.Rules = []detect.Rule{rule}
	report, err := r.Run(t.Context(), detect.Request{Now: at(wall)})
	if err != nil || report.Blocked != 1 {
		t.Fatal(report, err)
	}
	text, _ := json.Marshal(report.Summary)
	for _, name := range []string{"nbNgQ01", "192.0.2.1", "jane"} {
		if strings.Contains(string(text), name) {
			t.Errorf("summary contains %s: %s", name, text)
		}
	}
	if saved := s.last(t); saved.BlockedList[0].Indicator != "nbNgQ01wRWiOSVcI2Y" || saved.BlockedList[0].Addresses != 1 {
		t.Errorf("stored report = %+v", saved.BlockedList)
	}
}
