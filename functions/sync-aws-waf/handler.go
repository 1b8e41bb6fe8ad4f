package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/telemetry"
)

// function is this function's name in log lines, metrics and keys.
const function = "sync-aws-waf"

// errAllowlist means that the allowlist is absent or could not be read whole, so
// that nothing was planned and the walls stay as they are.
var errAllowlist = errors.New("read allowlist")

// list is what the function needs of the blocklist's store.
type list interface {
	Snapshot(ctx context.Context, now time.Time) (blocklist.Snapshot, error)
	Allowlist(ctx context.Context) (allowlist.List, error)
	Acquire(ctx context.Context, name string, ttl time.Duration) (*blocklist.Lease, error)
	Receive(ctx context.Context, group, consumer string, claimAfter time.Duration) ([]blocklist.Notice, error)
	Ack(ctx context.Context, group string, ids ...string) error
	SaveStatus(ctx context.Context, target string, status []byte) error
}

// handler makes every target equal to the list, once for each event. It keeps
// nothing between events but clients.
type handler struct {
	list    list
	walls   []wall
	enforce bool // false: SYNC_MODE is observe, and every run is a plan
	log     *slog.Logger
	metrics *telemetry.Metrics
	now     func() time.Time
}

// result is what a run returns. Its JSON form is stable.
type result struct {
	AsOf       time.Time      `json:"as_of"`
	Mode       string         `json:"mode"` // "sync", or "plan" when nothing was to be written
	Generation uint64         `json:"generation"`
	Targets    []targetResult `json:"targets"` // in order of name

	asked bool // somebody asked for a plan: no run that the dead-man alarm may count
}

// Handle runs one pass over the targets. A returned error lists everything that
// went wrong, and makes Lambda try again or park the event; the targets that could be
// done are done all the same, and running again does no harm.
func (h *handler) Handle(ctx context.Context, payload json.RawMessage) (result, error) {
	start := h.now()
	res, err := h.run(ctx, payload, start)
	h.tell(ctx, start, res, err)
	return res, err
}

func (h *handler) run(ctx context.Context, payload []byte, start time.Time) (result, error) {
	ev, err := decodeEvent(payload, start)
	if err != nil {
		return result{}, err
	}
	walls, err := h.choose(ev.targets)
	if err != nil {
		return result{}, err
	}
	p := pass{
		list: h.list, now: ev.clock(start), dryRun: !h.enforce || ev.mode == modePlan, asked: ev.mode == modePlan,
		adoptEpoch: ev.adoptEpoch, outer: ctx,
	}
	p.work = ctx
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		p.work, cancel = context.WithDeadline(ctx, deadline.Add(-margin(deadline.Sub(start))))
		defer cancel()
		p.lease = deadline.Sub(start) + leaseSlack
	}
	p.desired = sync.OnceValues(func() (desired, error) { return readDesired(p.work, h.list, p.now) })

	res := result{AsOf: p.now, Mode: modeSync, Targets: make([]targetResult, len(walls)), asked: p.asked}
	if p.dryRun {
		res.Mode = modePlan
	}
	errs := make([]error, len(walls))
	var group sync.WaitGroup
	for i, w := range walls {
		group.Go(func() { res.Targets[i], errs[i] = p.target(w) })
	}
	group.Wait()
	for i, err := range errs {
		res.Generation = max(res.Generation, res.Targets[i].generation)
		if err != nil {
			errs[i] = fmt.Errorf("target %s: %w", walls[i].name, err)
		}
	}
	return res, errors.Join(errs...)
}

// choose returns the named walls, or all of them.
func (h *handler) choose(names []string) ([]wall, error) {
	if names == nil {
		return h.walls, nil
	}
	var chosen []wall
	for _, name := range names {
		i := slices.IndexFunc(h.walls, func(w wall) bool { return w.name == name })
		if i < 0 {
			known := make([]string, len(h.walls))
			for i, w := range h.walls {
				known[i] = w.name
			}
			return nil, badEvent("targets", name, "names from WAF_TARGETS: "+strings.Join(known, ", "))
		}
		chosen = append(chosen, h.walls[i])
	}
	return chosen, nil
}

// margin is how long before Lambda's deadline the work stops, so that what was
// done can still be recorded: 10 s, or a tenth of a short timeout.
func margin(timeout time.Duration) time.Duration { return min(10*time.Second, timeout/10) }

// tell writes the metrics of each target and the one summary line.
func (h *handler) tell(ctx context.Context, start time.Time, res result, err error) {
	var enforced, overflow, spared, writes, calls, failed int
	for _, t := range res.Targets {
		enforced, overflow, spared = enforced+t.Enforced, overflow+t.Overflow, max(spared, t.Spared)
		writes, calls = writes+t.Writes, calls+t.Calls
		if t.Error != "" {
			failed++
		}
		h.count(t, res.asked)
	}
	if errors.Is(err, errAllowlist) {
		h.metrics.Emit(telemetry.Labels{}, telemetry.Values{telemetry.AllowlistUnreadable: 1})
	}
	skipped := slices.ContainsFunc(res.Targets, func(t targetResult) bool { return t.Skipped != "" })
	if err == nil && !res.asked && !skipped {
		h.metrics.Success(telemetry.Labels{}, telemetry.Values{telemetry.DurationMS: float64(h.now().Sub(start).Milliseconds())})
	}
	telemetry.Done(ctx, h.log, function, start, err,
		slog.Time("as_of", res.AsOf), slog.String("mode", res.Mode), slog.Uint64("generation", res.Generation),
		slog.Int("targets", len(res.Targets)), slog.Int("failed", failed), slog.Int("enforced", enforced),
		slog.Int("overflow", overflow), slog.Int("spared", spared), slog.Int("writes", writes), slog.Int("calls", calls))
}

// count writes one target's metrics. What a wall holds is told only by a run that
// went well: after an error it is not known, and 0 would be a lie.
func (h *handler) count(t targetResult, asked bool) {
	if t.Skipped != "" {
		return
	}
	labels := telemetry.Labels{Cloud: "aws", Target: t.Name}
	values := telemetry.Values{
		telemetry.WAFPutTotal: float64(t.Writes), telemetry.OverflowTotal: float64(t.Overflow), telemetry.GuardTripped: 0,
	}
	if t.guarded {
		values[telemetry.GuardTripped] = 1
	}
	if t.Error != "" {
		h.metrics.Emit(labels, values)
		return
	}
	values[telemetry.EntriesDesired], values[telemetry.EntriesEnforced] = float64(t.Desired), float64(t.Enforced)
	if asked {
		h.metrics.Emit(labels, values)
		return
	}
	h.metrics.Success(labels, values)
}
