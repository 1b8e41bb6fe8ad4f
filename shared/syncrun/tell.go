package syncrun

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/telemetry"
)

// tell writes the run's own metrics and the one summary line.
func (f *Function) tell(ctx context.Context, start time.Time, res Result, err error) {
	var enforced, pending, overflow, spared, failed int
	for _, t := range res.Targets {
		enforced, pending, overflow, spared = enforced+t.Enforced, pending+t.Pending, overflow+t.Overflow, max(spared, t.Spared)
		if t.Error != "" {
			failed++
		}
	}
	if errors.Is(err, enforce.ErrAllowlist) {
		f.Metrics.Emit(telemetry.Labels{}, telemetry.Values{telemetry.AllowlistUnreadable: 1})
	}
	skipped := slices.ContainsFunc(res.Targets, func(t enforce.Result) bool { return t.Skipped != "" })
	if err == nil && !res.asked && !skipped {
		f.Metrics.Success(telemetry.Labels{}, telemetry.Values{telemetry.DurationMS: float64(f.Now().Sub(start).Milliseconds())})
	}
	telemetry.Done(ctx, f.Log, f.Name, start, err,
		slog.Time("as_of", res.AsOf), slog.String("mode", res.Mode), slog.Uint64("generation", res.Generation),
		slog.Int("targets", len(res.Targets)), slog.Int("failed", failed), slog.Int("passes", res.Passes), slog.Int("enforced", enforced),
		slog.Int("pending", pending), slog.Int("overflow", overflow), slog.Int("spared", spared),
		slog.Int("writes", res.Writes), slog.Int("calls", res.Calls))
}

// tellPass writes a line about one pass of a run that stays, if it did something:
// the summary at the end knows only each target's last one.
func (f *Function) tellPass(ctx context.Context, t enforce.Result, err error) {
	if t.Writes == 0 && err == nil {
		return
	}
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("target", t.Name), slog.Uint64("generation", t.Generation), slog.Int("desired", t.Desired), slog.Int("enforced", t.Enforced),
		slog.Int("pending", t.Pending), slog.Int("overflow", t.Overflow), slog.Int("writes", t.Writes), slog.Int("calls", t.Calls),
	}
	if err != nil {
		level, attrs = slog.LevelError, append(attrs, slog.Any("err", err))
	}
	f.Log.LogAttrs(ctx, level, f.Name+" pass", attrs...)
}

// count writes the metrics of one pass over one target. What a wall holds is told only by a
// pass that went well: after an error it is not known, and 0 would be a lie.
func (f *Function) count(t enforce.Result, asked bool) {
	if t.Skipped != "" {
		return
	}
	labels := telemetry.Labels{Cloud: f.Cloud, Target: t.Name}
	values := telemetry.Values{
		telemetry.WAFPutTotal: float64(t.Writes), telemetry.OverflowTotal: float64(t.Overflow), telemetry.DriftTotal: float64(len(t.Drift)),
		telemetry.GuardTripped: one(t.Guarded), telemetry.Held: one(t.Held != nil),
	}
	if t.Effective != nil {
		values[telemetry.Effective] = one(*t.Effective)
	}
	if t.Error != "" {
		f.Metrics.Emit(labels, values)
		return
	}
	values[telemetry.EntriesDesired], values[telemetry.EntriesEnforced] = float64(t.Desired), float64(t.Enforced)
	values[telemetry.PendingTotal] = float64(t.Pending)
	if asked {
		f.Metrics.Emit(labels, values)
		return
	}
	f.Metrics.Success(labels, values)
}

// one is 1 for yes.
func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
