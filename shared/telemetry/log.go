// Package telemetry is how a function tells what it did: a JSON log line for
// people, one summary line for each invocation, and metric lines for alarms.
//
// Everything is written as lines to an io.Writer, since both clouds read a
// function's output: CloudWatch turns lines in the embedded metric format into
// metrics, and Log Service counts plain JSON lines with SQL. There is no agent, no
// exporter and no network call, so telemetry can neither fail a run nor slow it.
//
// Keys are lower_snake and stable, because dashboards and alarms query them.
// Times are in UTC. Text is cut at 2 KiB: much of what is logged here was written
// by an attacker, and encoding/json has already escaped it.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"
	"unicode/utf8"
)

// maxText bounds one logged text, in bytes. A line is then far below what either
// cloud cuts (Lambda: 256 KiB a line; Log Service: 1 MB a line).
const maxText = 2 << 10

// New returns a logger that writes one JSON object a line to w, each with the
// function's name. It logs from level Info up and is safe for concurrent use if
// nothing else writes to w.
func New(w io.Writer, function string) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: tidy})).With("function", function)
}

// tidy spells values the same way everywhere: UTC, bounded text, and durations as
// whole milliseconds (slog's own form is nanoseconds, which no dashboard expects).
func tidy(_ []string, a slog.Attr) slog.Attr {
	a.Value = a.Value.Resolve()
	switch a.Value.Kind() {
	case slog.KindTime:
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	case slog.KindDuration:
		a.Value = slog.Int64Value(a.Value.Duration().Milliseconds())
	case slog.KindString:
		a.Value = slog.StringValue(cut(a.Value.String()))
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok && err != nil {
			a.Value = slog.StringValue(cut(err.Error()))
		}
	}
	return a
}

// cut shortens text to maxText bytes at a rune boundary and says how long it was.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	end := maxText
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%d bytes)", text[:end], len(text))
}

// Done writes the one summary line of an invocation, whether it went well or not:
// msg "<name> done", outcome "ok" or "error", duration_ms since start, err, and
// what the caller adds. It is the last line of every run, and the absence of it is what
// the alarm for a dead function looks for.
func Done(ctx context.Context, log *slog.Logger, name string, start time.Time, err error, attrs ...slog.Attr) {
	level, outcome := slog.LevelInfo, "ok"
	if err != nil {
		level, outcome = slog.LevelError, "error"
	}
	all := make([]slog.Attr, 0, len(attrs)+3)
	all = append(all, slog.String("outcome", outcome), slog.Duration("duration_ms", time.Since(start)))
	all = append(all, attrs...)
	if err != nil {
		all = append(all, slog.Any("err", err))
	}
	log.LogAttrs(ctx, level, name+" done", all...)
}
