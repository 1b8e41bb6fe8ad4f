package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/telemetry"
)

// function is this function's name in log lines, metrics and keys.
const function = "sync-aws-waf"

// kind names the kind of firewall in leases and consumer groups.
const kind = "aws-waf"

// handler makes every target equal to the list, once for each event. It keeps
// nothing between events but clients.
type handler struct {
	list    enforce.List
	walls   []enforce.Wall
	enforce bool // false: SYNC_MODE is observe, and every run is a plan
	log     *slog.Logger
	metrics *telemetry.Metrics
	now     func() time.Time
}

// result is what a run returns. Its JSON form is stable.
type result struct {
	AsOf       time.Time        `json:"as_of"`
	Mode       string           `json:"mode"` // "sync", or "plan" when nothing was to be written
	Generation uint64           `json:"generation"`
	Targets    []enforce.Result `json:"targets"` // in order of name

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
	p := enforce.Pass{
		List: h.list, Kind: kind, Now: ev.clock(start), DryRun: !h.enforce || ev.mode == modePlan,
		NoTrace: ev.mode == modePlan, AdoptEpoch: ev.adoptEpoch,
	}
	res := result{AsOf: p.Now, Mode: modeSync, asked: p.NoTrace}
	if p.DryRun {
		res.Mode = modePlan
	}
	res.Targets, err = p.Run(ctx, walls)
	for _, t := range res.Targets {
		res.Generation = max(res.Generation, t.Generation)
	}
	return res, err
}

// choose returns the named walls, or all of them.
func (h *handler) choose(names []string) ([]enforce.Wall, error) {
	if names == nil {
		return h.walls, nil
	}
	var chosen []enforce.Wall
	for _, name := range names {
		i := slices.IndexFunc(h.walls, func(w enforce.Wall) bool { return w.Name == name })
		if i < 0 {
			known := make([]string, len(h.walls))
			for i, w := range h.walls {
				known[i] = w.Name
			}
			return nil, badEvent("targets", name, "names from WAF_TARGETS: "+strings.Join(known, ", "))
		}
		chosen = append(chosen, h.walls[i])
	}
	return chosen, nil
}

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
	if errors.Is(err, enforce.ErrAllowlist) {
		h.metrics.Emit(telemetry.Labels{}, telemetry.Values{telemetry.AllowlistUnreadable: 1})
	}
	skipped := slices.ContainsFunc(res.Targets, func(t enforce.Result) bool { return t.Skipped != "" })
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
func (h *handler) count(t enforce.Result, asked bool) {
	if t.Skipped != "" {
		return
	}
	labels := telemetry.Labels{Cloud: "aws", Target: t.Name}
	values := telemetry.Values{
		telemetry.WAFPutTotal: float64(t.Writes), telemetry.OverflowTotal: float64(t.Overflow), telemetry.GuardTripped: 0,
	}
	if t.Guarded {
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
