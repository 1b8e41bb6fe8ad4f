package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/tracewall/tracewall/shared/fcinvoke"
	"github.com/tracewall/tracewall/shared/telemetry"
)

const (
	answerWithin = 1800 * time.Millisecond // Log Service waits 5 s; the promise is 2
	marksWithin  = 600 * time.Millisecond  // of that, for Redis; the rest is for Function Compute
	atOnce       = 8                       // calls to Redis or Function Compute at the same time
)

// What becomes of an alert, in answers and logs.
const (
	started   = "started"
	duplicate = "duplicate" // started before
	ignored   = "ignored"   // nothing to do, now or later
	rejected  = "rejected"  // something is wrong with it, now and later
	failed    = "failed"    // something is wrong with us: send it again
)

// invoker starts a function and does not wait for it.
type invoker interface {
	InvokeAsync(ctx context.Context, function string, payload []byte) (requestID string, err error)
}

type handler struct {
	door    door
	rules   map[string]string // alert id → rule id
	detect  string
	marks   marks
	invoker invoker
	now     func() time.Time
	log     *slog.Logger
	metrics *telemetry.Metrics
}

// answer is the body of a response. It goes to whoever knows the token and holds
// nothing that was not in the request or in our own rules.
type answer struct {
	Outcome     string       `json:"outcome"` // ok, refused or failed
	Reason      string       `json:"reason,omitempty"`
	Alerts      []result     `json:"alerts,omitempty"`
	Invocations []invocation `json:"invocations,omitempty"`
}

type result struct {
	Alert   string `json:"alert_id,omitempty"`
	Outcome string `json:"outcome"`
	Rule    string `json:"rule,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// Handle answers one HTTP request and returns no error: Function Compute would turn one into a
// status of its own choice.
//
// Log Service takes exactly 200 for success and sends everything else again. So the
// status says whether sending it again can help. 200: every alert was started, or never
// will be. 4xx: the request itself is wrong, which its sender should see in the alert's
// history. 503 or 500: some alert could not be started because of us; those that could are marked and
// will not be started again.
func (h *handler) Handle(ctx context.Context, payload []byte) (response, error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	ctx, id := withCaller(ctx)
	log := h.log.With("request_id", id)

	var r request
	if err := json.Unmarshal(payload, &r); err != nil {
		return h.refuse(ctx, log, start, &r, &refusal{http.StatusBadRequest, "event: want an HTTP request"}), nil
	}
	if no := h.door.check(&r); no != nil {
		return h.refuse(ctx, log, start, &r, no), nil
	}
	body, no := r.body()
	if no != nil {
		return h.refuse(ctx, log, start, &r, no), nil
	}
	alerts, problems, err := parseAlerts(body)
	if err != nil {
		return h.refuse(ctx, log, start, &r, &refusal{http.StatusBadRequest, err.Error()}), nil
	}

	a, err := h.start(ctx, log, alerts, problems)
	status := statusFor(err)
	h.tell(ctx, log, start, status, a, err)
	return respond(status, a), nil
}

func (h *handler) refuse(ctx context.Context, log *slog.Logger, start time.Time, r *request, no *refusal) response {
	telemetry.Done(ctx, log, function, start, nil,
		slog.Int("status", no.status), slog.String("reason", no.reason), slog.String("source", r.source().String()),
		slog.Int("body_bytes", len(r.Body)))
	h.metrics.Emit(telemetry.Labels{Outcome: strconv.Itoa(no.status)}, telemetry.Values{telemetry.RefusedTotal: 1})
	return respond(no.status, answer{Outcome: "refused", Reason: no.reason})
}

// start starts detect for every alert that asks for it. The error joins what went
// wrong with us.
func (h *handler) start(ctx context.Context, log *slog.Logger, alerts []alert, problems []string) (answer, error) {
	a := answer{Outcome: "ok", Alerts: make([]result, len(alerts))}
	jobs := h.triage(log, alerts, problems, a.Alerts)
	jobs, err := h.unhandled(ctx, jobs, a.Alerts)
	groups := plan(jobs)
	errs := h.invoke(ctx, groups)
	h.settle(ctx, log, groups, errs, &a)
	if err = errors.Join(append(errs, err)...); err != nil {
		a.Outcome, a.Reason = "failed", "not every alert could be started: send it again"
	}
	return a, err
}

// triage sorts out the alerts that need nothing, and turns the others into jobs. The same alert
// twice in a body is one job.
func (h *handler) triage(log *slog.Logger, alerts []alert, problems []string, results []result) []job {
	now := h.now()
	var jobs []job
	seen := make(map[string]bool)
	for i, al := range alerts {
		rule, known := h.rules[al.ID]
		results[i] = result{Alert: al.ID, Outcome: ignored}
		key := fmt.Sprintf("%q %d %q", al.Instance, al.At.Unix(), al.Status)
		switch stale := staleness(al.At, now); {
		case problems[i] != "":
			results[i].Outcome, results[i].Reason = rejected, problems[i]
			log.Warn("alert rejected", "alert_id", al.ID, "reason", problems[i])
		case !known:
			results[i].Reason = "alert_id: not in ALERT_RULES"
			log.Warn("alert ignored", "alert_id", al.ID, "reason", results[i].Reason)
		case !al.Firing:
			results[i].Reason = "status: resolved"
		case stale != "":
			results[i].Outcome, results[i].Reason = rejected, stale
			log.Warn("alert rejected", "alert_id", al.ID, "reason", stale, "alert_time", al.At)
		case seen[key]:
			results[i].Outcome = duplicate
		default:
			seen[key] = true
			from, to := window(al, now)
			results[i].Rule = rule
			jobs = append(jobs, job{index: i, key: key, rule: rule, from: from, to: to})
		}
	}
	return jobs
}

// unhandled leaves out the jobs that an earlier request has done, and those that
// cannot be looked up: without Redis detect would not get far either.
func (h *handler) unhandled(ctx context.Context, jobs []job, results []result) ([]job, error) {
	ctx, cancel := context.WithTimeout(ctx, marksWithin)
	defer cancel()
	done, errs := make([]bool, len(jobs)), make([]error, len(jobs))
	together(len(jobs), func(i int) {
		jobs[i].attempt, done[i], errs[i] = h.marks.begin(ctx, jobs[i].key)
	})
	var open []job
	var first error
	for i, j := range jobs {
		switch {
		case errs[i] != nil:
			results[j.index].Outcome = failed
			if first == nil { // they are all alike
				first = errs[i]
			}
		case done[i]:
			results[j.index].Outcome = duplicate
		default:
			open = append(open, j)
		}
	}
	return open, first
}

// invoke makes the calls, several at a time, and returns an error or nil for each.
func (h *handler) invoke(ctx context.Context, groups []group) []error {
	errs := make([]error, len(groups))
	together(len(groups), func(i int) {
		payload, err := json.Marshal(groups[i].invocation)
		if err == nil {
			_, err = h.invoker.InvokeAsync(ctx, h.detect, payload)
		}
		errs[i] = err
	})
	return errs
}

// settle records what became of each job, and marks those that were started. A mark
// that cannot be set costs at most one more run of detect.
func (h *handler) settle(ctx context.Context, log *slog.Logger, groups []group, errs []error, a *answer) {
	var handled []job
	for i, gr := range groups {
		outcome := failed
		if errs[i] == nil {
			outcome = started
			a.Invocations = append(a.Invocations, gr.invocation)
		}
		for _, j := range gr.jobs {
			a.Alerts[j.index].Outcome = outcome
		}
		if outcome == started {
			handled = append(handled, gr.jobs...)
		}
	}
	unmarked := make([]error, len(handled))
	together(len(handled), func(i int) {
		unmarked[i] = h.marks.finish(ctx, handled[i].key, handled[i].attempt)
	})
	if err := errors.Join(unmarked...); err != nil {
		log.Warn("alerts not marked", "err", err)
	}
}

// together does n things, atOnce at a time, and waits for all of them.
func together(n int, do func(i int)) {
	places := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i := range n {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			do(i)
		})
	}
	all.Wait()
}

// statusFor says whether to send the request again at once (503) or whether
// somebody must look first (500). Log Service tries again either way.
func statusFor(err error) int {
	switch {
	case err == nil:
		return http.StatusOK
	case errors.Is(err, fcinvoke.ErrDenied), errors.Is(err, fcinvoke.ErrRefused):
		return http.StatusInternalServerError
	default:
		return http.StatusServiceUnavailable
	}
}

func (h *handler) tell(ctx context.Context, log *slog.Logger, start time.Time, status int, a answer, err error) {
	count := make(map[string]int)
	for _, r := range a.Alerts {
		count[r.Outcome]++
	}
	telemetry.Done(ctx, log, function, start, err,
		slog.Int("status", status), slog.Int("alerts", len(a.Alerts)), slog.Int(started, count[started]),
		slog.Int(duplicate, count[duplicate]), slog.Int(ignored, count[ignored]), slog.Int(rejected, count[rejected]),
		slog.Int(failed, count[failed]), slog.Int("invocations", len(a.Invocations)))
	values := telemetry.Values{telemetry.AlertsTotal: float64(len(a.Alerts))}
	if err != nil {
		h.metrics.Emit(telemetry.Labels{Outcome: failed}, values)
		return
	}
	h.metrics.Success(telemetry.Labels{Outcome: "ok"}, values)
}
