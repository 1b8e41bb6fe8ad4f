package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/fccall"
	"github.com/tracewall/tracewall/shared/riskcontrol"
	"github.com/tracewall/tracewall/shared/telemetry"
	"github.com/tracewall/tracewall/shared/threat"
)

// function is this function's name in log lines, metrics and keys.
const function = "detect"

const (
	// leaseSlack is how much longer than the function's own deadline a lease lives: a
	// run that FC kills leaves its lease behind, and the next run waits for it.
	leaseSlack = 5 * time.Second
	// defaultLease is for callers without a deadline, maxLease the longest that a store grants.
	defaultLease, maxLease = 15 * time.Minute, time.Hour
	// lastWords bounds what is still written to Redis after the work has stopped.
	lastWords = 2 * time.Second
)

// runner does the thinking; *detect.Runner.
type runner interface {
	Run(ctx context.Context, req detect.Request) (detect.Report, error)
	LogTrigger(logstore string, begin, now time.Time) (req detect.Request, ok bool)
}

// locker keeps two scheduled runs apart; *redisstore.Store.
type locker interface {
	Acquire(ctx context.Context, name string, ttl time.Duration) (*blocklist.Lease, error)
}

// accounts tells the user's risk-control service whom the list blocks; *riskcontrol.Notifier.
type accounts interface {
	Sync(ctx context.Context, now time.Time) (riskcontrol.Result, error)
	Send(ctx context.Context, events []riskcontrol.Event) (acknowledged int, err error)
}

// handler runs the rules, once for each event. It keeps nothing between events
// but clients.
type handler struct {
	runner   runner
	locks    locker
	risk     accounts // nil: there is no risk-control service
	source   string   // the log service, as LOG_SOURCE has it
	project  string
	logstore string
	log      *slog.Logger
	metrics  *telemetry.Metrics
	now      func() time.Time
}

// result is what a run returns. The log trigger's dispatch log keeps it, so it
// holds counts and never an address or an account.
type result struct {
	detect.Summary
	Skipped string `json:"skipped,omitempty"` // why nothing was done, without it being an error
	Told    *told  `json:"told,omitempty"`    // what the risk-control service was told; absent: there is none
}

// told is what a risk-control service has acknowledged.
type told struct {
	Blocked   int `json:"blocked"`
	Extended  int `json:"extended"`
	Released  int `json:"released"`
	Held      int `json:"held"`
	Campaigns int `json:"campaigns"`
}

// Handle runs the rules for one event. A returned error makes FC run the event
// again; that covers the same windows, since the event carries the clock.
func (h *handler) Handle(ctx context.Context, payload json.RawMessage) (result, error) {
	start := h.now()
	ctx = fccall.WithKeys(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		// Stop before FC does, so that what happened can still be told.
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-margin(deadline.Sub(start))))
		defer cancel()
	}
	res, err := h.run(ctx, payload, start)
	h.tell(ctx, start, res, err)
	return res, err
}

// margin is how long before FC's deadline the work stops: 10 s, or a tenth of a
// short timeout.
func margin(timeout time.Duration) time.Duration { return min(10*time.Second, timeout/10) }

func (h *handler) run(ctx context.Context, payload []byte, start time.Time) (result, error) {
	ev, err := decodeEvent(payload, start)
	if err != nil {
		return result{}, err
	}
	req, err := h.request(ev, start)
	if err != nil {
		return result{}, err
	}
	if ev.trigger != triggerDirect {
		release, err := h.acquire(ctx, req.Rules, start)
		if err != nil {
			res := result{Summary: detect.Summary{Trigger: req.Trigger, AsOf: req.Now, Rules: []detect.RuleSummary{}}}
			if errors.Is(err, blocklist.ErrLeaseHeld) {
				res.Skipped, err = "another run holds the lease", nil
			}
			return res, err
		}
		defer release()
	}
	report, err := h.runner.Run(ctx, req)
	res := result{Summary: report.Summary}
	if h.risk == nil || report.Mode != detect.ModeEnforce {
		return res, err
	}
	var tellErr error
	res.Told, tellErr = h.tellRisk(ctx, report)
	return res, errors.Join(err, tellErr)
}

// tellRisk makes the risk-control service equal to the list, also after a run that
// failed: who was released meanwhile shall not wait for it.
func (h *handler) tellRisk(ctx context.Context, report detect.Report) (*told, error) {
	r, err := h.risk.Sync(ctx, report.AsOf)
	t := &told{Blocked: r.Blocked, Extended: r.Extended, Released: r.Released, Held: r.Held}
	events := proposals(report)
	if len(events) == 0 {
		return t, err
	}
	var sendErr error
	t.Campaigns, sendErr = h.risk.Send(ctx, events)
	return t, errors.Join(err, sendErr)
}

// proposals are the campaigns of a run for which something is to be done.
func proposals(report detect.Report) []riskcontrol.Event {
	var events []riskcontrol.Event
	for _, c := range report.CampaignList {
		if c.Action == threat.Observe.String() {
			continue
		}
		sum := sha256.Sum256([]byte(c.Kind + "\x00" + c.Value))
		events = append(events, riskcontrol.CampaignEvent(riskcontrol.Campaign{
			ID: c.Rule + ":" + hex.EncodeToString(sum[:8]), Subject: c.Kind, Value: c.Value, Proposal: c.Action + " what comes from everywhere for this " + c.Kind + ", or limit its rate", Severity: c.Severity.String(),
			Rules: []string{c.Rule}, Addresses: c.Clients, Since: c.FirstSeen, Until: c.Until.Add(campaignStays),
		}))
	}
	return events
}

// campaignStays is how long after its last window a proposal about a campaign is worth following.
const campaignStays = 10 * time.Minute

// request turns an event into what the Runner is asked for.
func (h *handler) request(ev event, start time.Time) (detect.Request, error) {
	now := ev.now
	if now.IsZero() {
		now = start
	}
	if ev.trigger != triggerLog {
		return detect.Request{Rules: ev.rules, From: ev.from, To: ev.to, DryRun: ev.dryRun, Now: now, Trigger: ev.trigger}, nil
	}
	if h.source == detect.CLS {
		return detect.Request{}, badEvent("source.projectName", ev.project, "no log trigger where LOG_SOURCE is cls: a timer, or a direct call")
	}
	if ev.project != h.project {
		return detect.Request{}, badEvent("source.projectName", ev.project, h.project+", as in SLS_PROJECT")
	}
	req, ok := h.runner.LogTrigger(ev.logstore, now, now)
	if !ok {
		return detect.Request{}, badEvent("source.logstoreName", ev.logstore, "a logstore that a rule reads, such as "+h.logstore+" of SLS_LOGSTORE")
	}
	if ev.rules != nil {
		for _, id := range ev.rules {
			if !slices.Contains(req.Rules, id) {
				return detect.Request{}, badEvent("parameter.rules", id, "rules that read logstore "+ev.logstore+": "+strings.Join(req.Rules, ", "))
			}
		}
		req.Rules = ev.rules
	}
	return req, nil
}

// acquire takes the lease for a scheduled run of these rules. It spares double
// work and no more: two runs over the same time leave the same list anyway, which
// is why a direct call does without. Each choice of rules has a lease of its
// own; with one for all, a timer for one rule could starve a timer for another
// that always fires in the same second.
func (h *handler) acquire(ctx context.Context, rules []string, start time.Time) (release func(), err error) {
	name := function + ":" + h.logstore
	if len(rules) > 0 {
		sum := sha256.Sum256([]byte(strings.Join(rules, ",")))
		name += ":" + hex.EncodeToString(sum[:8])
	}
	ttl := defaultLease
	if deadline, ok := ctx.Deadline(); ok {
		ttl = min(deadline.Sub(start)+leaseSlack, maxLease)
	}
	lease, err := h.locks.Acquire(ctx, name, ttl)
	if err != nil {
		return nil, fmt.Errorf("take lease: %w", err)
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		_ = lease.Release(ctx) // it ends by itself, and a lost lease does not undo the work
	}, nil
}

// tell writes the metrics of each rule and of the run, and the one summary line.
func (h *handler) tell(ctx context.Context, start time.Time, res result, err error) {
	for _, r := range res.Rules {
		outcome := "ok"
		if r.Error != "" {
			outcome = "error"
		}
		h.metrics.Emit(telemetry.Labels{Rule: r.ID, Outcome: outcome}, telemetry.Values{
			telemetry.DetectionsTotal: float64(r.Detections), telemetry.RejectedTotal: float64(r.Rejected),
		})
	}
	values := telemetry.Values{
		telemetry.AllowlistedTotal: float64(res.Spared), telemetry.BlockedTotal: float64(res.Added),
		telemetry.GuardTripped: 0, telemetry.AllowlistUnreadable: 0,
		telemetry.DurationMS: float64(h.now().Sub(start).Milliseconds()),
	}
	if errors.Is(err, detect.ErrHeld) {
		values[telemetry.GuardTripped] = 1
	}
	if errors.Is(err, detect.ErrAllowlist) {
		values[telemetry.AllowlistUnreadable] = 1
	}
	switch {
	case err != nil:
		h.metrics.Emit(telemetry.Labels{}, values)
	case res.Skipped == "":
		h.metrics.Success(telemetry.Labels{}, values)
	}
	telemetry.Done(ctx, h.log, function, start, err,
		slog.String("run", res.Run), slog.String("trigger", res.Trigger), slog.String("mode", res.Mode), slog.Time("as_of", res.AsOf),
		slog.Int("rules", len(res.Rules)), slog.Int("blocked", res.Blocked), slog.Int("added", res.Added), slog.Int("extended", res.Extended), slog.Int("challenged", res.Challenged), slog.Int("campaigns", res.Campaigns),
		slog.Int("observed", res.Observed), slog.Int("spared", res.Spared), slog.Int("rejected", res.Rejected), slog.Int("held", res.Held),
		slog.String("skipped", res.Skipped), slog.Any("notes", res.Notes))
}
