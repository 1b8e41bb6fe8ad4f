package detect_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

// To repeat a run would not bring back its cases: by then nobody is new any more.
func TestCasesThatCannotBeKeptAreANoteAndNoReasonToRepeatTheRun(t *testing.T) {
	r, _, s := runner(t, flood)
	s.caseErr = errors.New("no permission")
	report, err := r.Run(t.Context(), detect.Request{Now: at(wall)})
	if err != nil || len(s.batches) != 1 || report.Blocked != 2 {
		t.Errorf("report = %+v, %v, %d batches; want the verdicts written", report.Summary, err, len(s.batches))
	}
	if len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "no permission") || !strings.Contains(report.Notes[0], "tracewall explain") || len(s.last(t).Notes) != 1 {
		t.Errorf("notes = %q", report.Notes)
	}
}

func TestWhoeverIsOnTheListHasACaseAlsoWhenTheRunEndsInBetween(t *testing.T) {
	r, _, s := runner(t, flood)
	if _, err := r.Run(t.Context(), detect.Request{Now: at(wall)}); err != nil || !slices.Equal(s.did, []string{"cases", "put"}) {
		t.Errorf("did %q, %v; want the cases written before the list", s.did, err)
	}
}

// slowCases takes as long for cases as it is given.
type slowCases struct{ deadlineStore }

func (slowCases) SaveCases(ctx context.Context, _ []blocklist.Case) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestCasesThatTakeTooLongLeaveTimeToBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _, s := runner(t, flood)
		r.List, r.Clock = slowCases{deadlineStore{s}}, time.Now
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		report, err := r.Run(ctx, detect.Request{})
		if err != nil || len(s.batches) != 1 || len(report.Notes) != 1 {
			t.Errorf("%d batches, notes %q, %v", len(s.batches), report.Notes, err)
		}
	})
}

// Whoever is blocked asks why he was, not what he has done since.
func TestTheCaseOfWhoeverIsOnTheListIsNotReplaced(t *testing.T) {
	listed := map[threat.Indicator]blocklist.History{
		ip(t, "192.0.2.1"): {Listed: true, Strikes: 1}, ip(t, "192.0.2.2"): {Listed: true, Strikes: 1}, ip(t, "192.0.2.100"): {Listed: true, Strikes: 1},
	}
	for name, change := range map[string]func(r *detect.Runner, s *store){
		"he is watched and spared since": func(r *detect.Runner, _ *store) { r.Rules = r.Rules[1:] },
		"the brake holds":                func(r *detect.Runner, s *store) { r.Policy.Brake.MaxNew = 1; s.approval = blocklist.Approval{} },
		"nobody can read the allowlist": func(r *detect.Runner, _ *store) {
			r.Allowlist = func(context.Context) (detect.Checker, error) { return nil, errors.New("gone") }
		},
		"nor the list": func(r *detect.Runner, s *store) {
			r.Allowlist = func(context.Context) (detect.Checker, error) { return nil, errors.New("gone") }
			s.historyErr = errors.New("gone")
		},
		"only the list cannot be read": func(_ *detect.Runner, s *store) { s.historyErr = errors.New("gone") },
	} {
		t.Run(name, func(t *testing.T) {
			r, _, s := runner(t, flood)
			s.histories = listed
			change(r, s)
			_, _ = r.Run(t.Context(), detect.Request{Now: at(wall)})
			if len(s.cases) != 0 {
				t.Errorf("%d cases were written: %s", len(s.cases), s.cases[0].Text)
			}
		})
	}
	r, _, s := runner(t, flood)
	s.histories = map[threat.Indicator]blocklist.History{ip(t, "192.0.2.1"): {Listed: true, Challenge: true, Strikes: 1}}
	if _, err := r.Run(t.Context(), detect.Request{Now: at(wall)}); err != nil || !slices.ContainsFunc(s.cases, func(c blocklist.Case) bool { return c.Indicator == ip(t, "192.0.2.1") }) {
		t.Errorf("a challenge that becomes a block has no case of it: %v", err)
	}
}

func TestAnApprovalIsNotUsedUpByARunThatCanActOnNobody(t *testing.T) {
	r, _, s := runner(t, func(q string, from, to time.Time) ([]map[string]string, error) {
		if strings.HasPrefix(q, "context") {
			return nil, errors.New("index is gone")
		}
		return flood(q, from, to)
	})
	withContext(r)
	r.Policy.Brake.MaxNew = 1
	s.approval = blocklist.Approval{Add: 10}
	if _, err := r.Run(t.Context(), detect.Request{Now: at(wall)}); !errors.Is(err, detect.ErrContext) || s.approval.Add != 10 || len(s.batches) != 0 {
		t.Errorf("err = %v, approval %+v, %d batches", err, s.approval, len(s.batches))
	}
}

// A report that the store refuses would fail every run for as long as the attack lasts.
func TestAReportIsCutUntilItCanBeStored(t *testing.T) {
	accounts := make([]string, 20)
	for i := range accounts {
		accounts[i] = fmt.Sprintf("%s-%d", strings.Repeat("a", 200), i)
	}
	text, err := json.Marshal(accounts)
	if err != nil {
		t.Fatal(err)
	}
	const n = 8000
	rows := make([]map[string]string, n)
	for i := range rows {
		rows[i] = row("ip", fmt.Sprintf("45.10.%d.%d", i/250, i%250), "cnt", "50", "w", "1746852600", "accounts", string(text))
	}
	r, _, s := runner(t, func(string, time.Time, time.Time) ([]map[string]string, error) { return rows, nil })
	r.Rules = r.Rules[:1]
	r.Rules[0].Columns.Accounts = "accounts"
	report, err := r.Run(t.Context(), detect.Request{Now: at(wall)})
	if err != nil {
		t.Fatal(err)
	}
	stored := s.last(t)
	if size := len(s.reports[report.Run]); size > blocklist.MaxRecord || stored.Blocked != n || len(stored.BlockedList) != 2500 || len(report.BlockedList) != n {
		t.Errorf("%d bytes stored, %d blocked, %d listed", size, stored.Blocked, len(stored.BlockedList))
	}
}

// Two deployments remember at the same second of each minute.
func TestWhatAnotherDeploymentHasNotedMeanwhileStays(t *testing.T) {
	var s *store
	noted := detect.TrialState{Version: 7, Since: at(wall), Runs: 1, Would: 3, Collateral: 3, Last: "an office"}
	r, _, s := runner(t, func(q string, from, to time.Time) ([]map[string]string, error) {
		text, err := json.Marshal(map[string]detect.TrialState{"theirs": noted})
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		s.states = map[string][]byte{detect.TrialsState: text}
		s.mu.Unlock()
		return flood(q, from, to)
	})
	r.Rules[0].Trial = &detect.Trial{For: time.Hour, Then: threat.Block}
	if _, err := r.Run(t.Context(), detect.Request{Now: at(wall)}); err != nil {
		t.Fatal(err)
	}
	var after map[string]detect.TrialState
	if err := json.Unmarshal(s.states[detect.TrialsState], &after); err != nil || after["theirs"] != noted || after["addresses"].Runs != 1 {
		t.Errorf("remembered: %+v, %v", after, err)
	}
}

// The brake compares with the requests of everybody, in all windows, whether or not one address was there in each of them.
func TestTheShareOfTheBrakeIsOfAllWindows(t *testing.T) {
	run := func(share int) error {
		r, _, _ := runner(t, func(q string, from, to time.Time) ([]map[string]string, error) {
			if !strings.HasPrefix(q, "context") {
				return flood(q, from, to)
			}
			w := func(n int) string { return cnt(1746846000 + 1800*n) }
			return []map[string]string{ // whom the flood's address shares the first window with, and somebody else in the next
				row("ip", "192.0.2.1", "cnt", "140", "w", w(0), "total", "1000"), row("ip", "45.10.0.1", "cnt", "900", "w", w(0), "total", "1000"),
				row("ip", "45.10.0.2", "cnt", "900", "w", w(1), "total", "1000"),
			}, nil
		})
		withContext(r)
		r.Rules = append(r.Rules[:1], r.Rules[2])
		r.Rules[1].Window = 30 * time.Minute
		r.Policy.Brake.MaxShare = share
		_, err := r.Run(t.Context(), detect.Request{Now: at(wall)})
		return err
	}
	if err := run(5); err != nil {
		t.Errorf("%v; want 90 more than are held against it, of 2,000, to be no 5 %%", err)
	}
	if err := run(3); !errors.Is(err, detect.ErrHeld) {
		t.Errorf("err = %v, want 90 more than are held against it, of 2,000, held at 3 %%", err)
	}
}
