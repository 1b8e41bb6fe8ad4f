package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fccontext"
	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/fccall"
	"github.com/tracewall/tracewall/shared/riskcontrol"
	"github.com/tracewall/tracewall/shared/sls"
	"github.com/tracewall/tracewall/shared/telemetry"
)

// fakeRunner answers what it is told to and remembers what it was asked. Its
// rules are a and b on logstore gateway.
type fakeRunner struct {
	requests []detect.Request
	contexts []context.Context
	report   detect.Report
	err      error
	wait     bool // until the work is told to stop
}

func (f *fakeRunner) Run(ctx context.Context, req detect.Request) (detect.Report, error) {
	f.requests, f.contexts = append(f.requests, req), append(f.contexts, ctx)
	if f.wait {
		<-ctx.Done()
		return detect.Report{}, ctx.Err()
	}
	report := f.report
	report.Trigger, report.AsOf = req.Trigger, req.Now
	return report, f.err
}

func (f *fakeRunner) LogTrigger(logstore string, begin, now time.Time) (detect.Request, bool) {
	if logstore != "gateway" {
		return detect.Request{}, false
	}
	return detect.Request{Rules: []string{"a", "b", "rate-limit-address"}, From: begin.Add(-4 * time.Minute), To: now, Now: now, Trigger: "log"}, true
}

// fakeLocks grants leases, unless it has an error.
type fakeLocks struct {
	err      error
	names    []string
	ttl      time.Duration
	released int
}

func (f *fakeLocks) Acquire(_ context.Context, name string, ttl time.Duration) (*blocklist.Lease, error) {
	f.names, f.ttl = append(f.names, name), ttl
	if f.err != nil {
		return nil, f.err
	}
	nothing := func(context.Context) error { return nil }
	return blocklist.NewLease(1, nothing, func(ctx context.Context) error {
		if ctx.Err() == nil {
			f.released++
		}
		return ctx.Err()
	}), nil
}

func newHandler() (*handler, *fakeRunner, *fakeLocks, *bytes.Buffer) {
	var out bytes.Buffer
	run := &fakeRunner{report: detect.Report{Summary: detect.Summary{
		Run: "run-1", Mode: detect.ModeEnforce, Added: 3, Blocked: 4, Extended: 1, Spared: 2,
		Rules: []detect.RuleSummary{{ID: "a", Rows: 9, Detections: 6, Rejected: 1}},
	}, BlockedList: []detect.Finding{{Indicator: "192.0.2.7"}}}}
	locks := &fakeLocks{}
	return &handler{
		runner: run, locks: locks, project: "tracewall-logs", logstore: "gateway", now: func() time.Time { return wall },
		log: telemetry.New(&out, function), metrics: telemetry.NewMetrics(&out, func() time.Time { return wall }, telemetry.Plain, function),
	}, run, locks, &out
}

// lines returns the JSON lines of out that have the key.
func lines(t *testing.T, out *bytes.Buffer, key string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for text := range strings.Lines(out.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("line %q: %v", text, err)
		}
		if _, ok := line[key]; ok {
			found = append(found, line)
		}
	}
	return found
}

func TestHandleAsksTheRunnerWhatTheEventSays(t *testing.T) {
	clock := wall.Add(-time.Second)
	tests := []struct {
		name    string
		payload string
		want    detect.Request
	}{
		{
			"the timer's clock is the run's", string(sample(t, "detect.timer.json")),
			detect.Request{Rules: []string{"rate-limit-address", "sms-account"}, Now: clock, Trigger: "timer"},
		},
		{
			"a log trigger is a bell for its logstore", string(sample(t, "detect.log.json")),
			detect.Request{Rules: []string{"rate-limit-address"}, From: clock.Add(-4 * time.Minute), To: clock, Now: clock, Trigger: "log"},
		},
		{
			"a direct call may choose everything", string(sample(t, "detect.direct.json")),
			detect.Request{
				Rules: []string{"rate-limit-address"}, From: clock.Add(-30*time.Minute - 40*time.Second), To: clock.Add(-40 * time.Second),
				DryRun: true, Now: clock, Trigger: "direct",
			},
		},
		{"a call without a clock runs on ours", `{}`, detect.Request{Now: wall, Trigger: "direct"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, run, _, _ := newHandler()
			if _, err := h.Handle(t.Context(), []byte(tt.payload)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]detect.Request{tt.want}, run.requests); diff != "" {
				t.Errorf("requests (-want +got):\n%s", diff)
			}
		})
	}
}

func TestALogTriggerOfAnotherSourceIsRefused(t *testing.T) {
	bell := func(project, logstore, rules string) string {
		return fmt.Sprintf(`{"source":{"projectName":%q,"logstoreName":%q,"beginCursor":"c"},"cursorTime":1780000000,"parameter":{"rules":[%s]}}`, project, logstore, rules)
	}
	tests := []struct {
		name, payload string
		want          []string
	}{
		{"another project", bell("other", "gateway", `"a"`), []string{"source.projectName", `"other"`, "tracewall-logs"}},
		{"another logstore", bell("tracewall-logs", "audit", `"a"`), []string{"source.logstoreName", `"audit"`, "gateway"}},
		{"a rule that does not read it", bell("tracewall-logs", "gateway", `"ssh"`), []string{"parameter.rules", `"ssh"`, "a, b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, run, _, _ := newHandler()
			_, err := h.Handle(t.Context(), []byte(tt.payload))
			if !errors.Is(err, errBadEvent) || len(run.requests) != 0 {
				t.Fatalf("error = %v after %d runs, want errBadEvent after none", err, len(run.requests))
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not mention %q", err, want)
				}
			}
		})
	}
}

func TestALogTriggerHasNoPlaceOnCLS(t *testing.T) {
	h, run, _, _ := newHandler()
	h.source, h.project = detect.CLS, ""
	_, err := h.Handle(t.Context(), []byte(`{"source":{"projectName":"","logstoreName":"gateway","beginCursor":"c"},"cursorTime":1780000000}`))
	if !errors.Is(err, errBadEvent) || !strings.Contains(err.Error(), "LOG_SOURCE is cls") || len(run.requests) != 0 {
		t.Errorf("error = %v after %d runs, want errBadEvent after none", err, len(run.requests))
	}
}

func TestTheResultHoldsCountsOnly(t *testing.T) {
	h, _, _, _ := newHandler()
	got, err := h.Handle(t.Context(), []byte(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "192.0.2.7") || strings.Contains(string(text), "list") {
		t.Errorf("result shows whom the run found: %s", text)
	}
	for _, want := range []string{`"run":"run-1"`, `"mode":"enforce"`, `"added":3`, `"spared":2`, `"as_of":"2026-05-28T20:26:41Z"`, `"id":"a"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("result %s lacks %s", text, want)
		}
	}
}

func TestARunIsToldInOneLineAndInMetrics(t *testing.T) {
	h, _, _, out := newHandler()
	if _, err := h.Handle(t.Context(), sample(t, "detect.timer.json")); err != nil {
		t.Fatal(err)
	}
	done := lines(t, out, "outcome")
	summary := done[len(done)-1]
	if summary["msg"] != "detect done" || summary["added"] != 3.0 || summary["trigger"] != "timer" || summary["outcome"] != "ok" {
		t.Errorf("last line = %v", summary)
	}
	if got := lines(t, out, "last_success_timestamp"); len(got) != 1 || got[0]["blocked_total"] != 3.0 || got[0]["allowlisted_total"] != 2.0 || got[0]["guard_tripped"] != 0.0 {
		t.Errorf("success metrics = %v", got)
	}
	if got := lines(t, out, "detections_total"); len(got) != 1 || got[0]["rule"] != "a" || got[0]["detections_total"] != 6.0 {
		t.Errorf("rule metrics = %v", got)
	}
}

func TestAFailedRunIsAnErrorAndRaisesItsAlarm(t *testing.T) {
	tests := []struct {
		name   string
		err    error
		metric string
	}{
		{"the brake holds", fmt.Errorf("detect: %w", detect.ErrHeld), "guard_tripped"},
		{"the allowlist is unreadable", fmt.Errorf("detect: %w", detect.ErrAllowlist), "allowlist_unreadable"},
		{"an answer is incomplete", fmt.Errorf("detect: %w", sls.ErrIncomplete), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, run, locks, out := newHandler()
			run.err = tt.err
			if _, err := h.Handle(t.Context(), sample(t, "detect.timer.json")); !errors.Is(err, tt.err) {
				t.Errorf("error = %v, want %v", err, tt.err)
			}
			if locks.released != 1 {
				t.Error("the lease was not released")
			}
			if n := len(lines(t, out, "last_success_timestamp")); n != 0 {
				t.Errorf("%d success metrics", n)
			}
			for _, metric := range []string{"guard_tripped", "allowlist_unreadable"} {
				want := 0.0
				if metric == tt.metric {
					want = 1
				}
				if got := lines(t, out, metric); len(got) != 1 || got[0][metric] != want {
					t.Errorf("metric %s = %v, want %v", metric, got, want)
				}
			}
			done := lines(t, out, "err")
			if len(done) != 1 || done[0]["level"] != slog.LevelError.String() {
				t.Errorf("summary = %v, want one error line", done)
			}
		})
	}
}

func TestOnlyScheduledRunsTakeALease(t *testing.T) {
	tests := []struct {
		name, payload string
		lease         string
	}{
		{"a timer for all rules", `{"triggerTime":"2026-05-28T20:26:40Z","triggerName":"t"}`, "detect:gateway"},
		{"a timer for some rules has its own", string(sample(t, "detect.timer.json")), "detect:gateway:"},
		{"a bell", string(sample(t, "detect.log.json")), "detect:gateway:"},
		{"a direct call", `{}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, run, locks, out := newHandler()
			locks.err = fmt.Errorf("acquire: %w", blocklist.ErrLeaseHeld)
			got, err := h.Handle(t.Context(), []byte(tt.payload))
			if err != nil {
				t.Fatal(err)
			}
			if tt.lease == "" {
				if len(locks.names) != 0 || len(run.requests) != 1 {
					t.Errorf("leases %v, %d runs; want none and one", locks.names, len(run.requests))
				}
				return
			}
			if len(locks.names) != 1 || !strings.HasPrefix(locks.names[0], tt.lease) || tt.lease == "detect:gateway" && locks.names[0] != tt.lease {
				t.Errorf("leases %v, want %s", locks.names, tt.lease)
			}
			if len(run.requests) != 0 || got.Skipped == "" {
				t.Errorf("%d runs, skipped %q; want none, while another run holds the lease", len(run.requests), got.Skipped)
			}
			if n := len(lines(t, out, "last_success_timestamp")); n != 0 {
				t.Errorf("%d success metrics for a run that did nothing", n)
			}
		})
	}
}

func TestRedisUnreachableIsAnErrorBeforeAnyQuery(t *testing.T) {
	h, run, locks, _ := newHandler()
	locks.err = errors.New("dial tcp: connection refused")
	if _, err := h.Handle(t.Context(), sample(t, "detect.timer.json")); !errors.Is(err, locks.err) || len(run.requests) != 0 {
		t.Errorf("error = %v after %d runs", err, len(run.requests))
	}
}

func TestWorkStopsBeforeFCsDeadline(t *testing.T) {
	h, run, locks, out := newHandler()
	h.now = time.Now
	run.wait = true
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := h.Handle(ctx, sample(t, "detect.timer.json")); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("error = %v, want DeadlineExceeded", err)
	}
	if ctx.Err() != nil {
		t.Error("the run used its whole time")
	}
	if locks.released != 1 || len(lines(t, out, "err")) != 1 {
		t.Errorf("released %d leases, wrote %s; want one, and a summary", locks.released, out)
	}
	if locks.ttl > 6*time.Second {
		t.Errorf("lease lives %s, want little longer than the deadline", locks.ttl)
	}
}

func TestABadEventIsNeverASuccess(t *testing.T) {
	h, run, locks, out := newHandler()
	if _, err := h.Handle(t.Context(), sample(t, "detect.malformed.json")); !errors.Is(err, errBadEvent) {
		t.Errorf("error = %v, want errBadEvent", err)
	}
	if len(run.requests)+len(locks.names) != 0 || len(lines(t, out, "err")) != 1 {
		t.Errorf("%d runs, leases %v, output %s", len(run.requests), locks.names, out)
	}
}

func TestCredentialsOfTheCallComeFirst(t *testing.T) {
	environment := fccall.Keys{ID: "env-id", Secret: "env-secret", Token: "env-token"}
	fresh := fccontext.NewContext(t.Context(), &fccontext.FcContext{
		Credentials: fccontext.Credentials{AccessKeyId: "call-id", AccessKeySecret: "call-secret", SecurityToken: "call-token"},
	})
	tests := []struct {
		name string
		ctx  context.Context
		keys fccall.Keys
		want sls.Credentials
		err  error
	}{
		{"the call's own", fresh, environment, sls.Credentials{AccessKeyID: "call-id", AccessKeySecret: "call-secret", SecurityToken: "call-token"}, nil},
		{"the environment's on a laptop", t.Context(), environment, sls.Credentials{AccessKeyID: "env-id", AccessKeySecret: "env-secret", SecurityToken: "env-token"}, nil},
		{
			"the environment's when the function has no role", fccontext.NewContext(t.Context(), &fccontext.FcContext{}), environment,
			sls.Credentials{AccessKeyID: "env-id", AccessKeySecret: "env-secret", SecurityToken: "env-token"},
			nil,
		},
		{"none at all", t.Context(), fccall.Keys{}, sls.Credentials{}, errNoCredentials},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, run, _, _ := newHandler()
			if _, err := h.Handle(tt.ctx, []byte(`{}`)); err != nil {
				t.Fatal(err)
			}
			got, err := config{Keys: tt.keys}.credentials(run.contexts[0])
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("credentials = %#v, %v", got.AccessKeyID, err)
			}
		})
	}
}

// service is a risk-control service as the handler sees it.
type service struct {
	at     []time.Time
	events []riskcontrol.Event
	err    error
}

func (s *service) Sync(_ context.Context, now time.Time) (riskcontrol.Result, error) {
	s.at = append(s.at, now)
	return riskcontrol.Result{Blocked: 1, Released: 2}, s.err
}

func (s *service) Send(_ context.Context, events []riskcontrol.Event) (int, error) {
	s.events = append(s.events, events...)
	return len(events), nil
}

func TestTheRiskControlServiceIsToldAfterEachRunThatEnforces(t *testing.T) {
	h, run, _, _ := newHandler()
	s := &service{}
	h.risk = s
	run.report.CampaignList = []detect.CampaignFinding{
		{Kind: "path", Value: "/works?q=\x1b", Rule: "flood-path", Action: "challenge", Clients: 10_372, LastSeen: wall, Until: wall},
		{Kind: "agent", Value: "x", Rule: "flood-agent", Action: "observe", Clients: 500},
	}
	payload := json.RawMessage(`{"triggerTime":"2026-05-28T20:26:40Z","triggerName":"t","payload":""}`)
	res, err := h.Handle(t.Context(), payload)
	if err != nil || res.Told == nil || *res.Told != (told{Blocked: 1, Released: 2, Campaigns: 1}) {
		t.Errorf("result = %+v, %v", res.Told, err)
	}
	if len(s.events) != 1 || s.events[0].Campaign.Addresses != 10_372 || s.events[0].Type != riskcontrol.CampaignProposed {
		t.Errorf("events = %+v", s.events)
	}
	run.err = errors.New("one rule failed")
	s.err = errors.New("service is down")
	if _, err := h.Handle(t.Context(), payload); !errors.Is(err, s.err) || !errors.Is(err, run.err) || len(s.at) != 2 {
		t.Errorf("err = %v after %d calls; want both, and the service told all the same", err, len(s.at))
	}
	run.report.Mode = detect.ModeObserve
	if res, _ := h.Handle(t.Context(), payload); res.Told != nil || len(s.at) != 2 {
		t.Error("the service is told of what is only observed")
	}
}
