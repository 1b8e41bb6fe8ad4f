//go:build cgo

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
)

const benchText = `Measures, on this machine, through the real SDKs and the functions as deployed:

  latency    seconds from a line put into the Log Service to the address enforced on the wall: on demand (alert,
             webhook, detect, sync, measured), while the sync function stays on the handoff stream (measured, also
             from detect's return), and by the deployed schedules (computed from the measured run times and every
             phase of the timers: measuring it would take hours)
  lines      lines per second of tracewall local --once over a story file, from process start to exit
  replay     lines per second of tracewall backtest --all over a combined log, from process start to exit, its CPU time
             and its largest size in memory; beside it GoAccess and fail2ban-regex over the same log, if they are on the PATH
  functions  milliseconds from an event in to its result out, cold (a new process) and warm
  redis      seconds to write and to read 1,000,000 entries in a real Redis, if redis-server is on the PATH

--json prints one object with the same numbers.`

// benchResult is what was measured. Fields of parts that did not run are absent.
type benchResult struct {
	OnDemand         *spread              `json:"latency_on_demand_s,omitempty"`
	BySchedule       *spread              `json:"latency_by_schedule_s,omitempty"`
	Staying          *spread              `json:"latency_staying_s,omitempty"`
	FromDetect       *spread              `json:"latency_from_detect_staying_s,omitempty"`
	FromDetectMinute *spread              `json:"latency_from_detect_minute_s,omitempty"`
	Lines            *linesResult         `json:"lines,omitempty"`
	Replay           *replayResult        `json:"replay,omitempty"`
	Functions        map[string]coldWarm  `json:"functions_ms,omitempty"`
	Redis            *redisResult         `json:"redis_s,omitempty"`
	Skipped          map[string]string    `json:"skipped,omitempty"`
	Settings         map[string]any       `json:"settings"`
	samples          map[string][]float64 // kept for the computed part
}

// spread is a distribution.
type spread struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	Max float64 `json:"max"`
}

type linesResult struct {
	Lines     int     `json:"lines"`
	Megabytes float64 `json:"megabytes"`
	PerSecond float64 `json:"per_second"` // the median run, process start to exit
	Best      float64 `json:"best_per_second"`
	Runs      int     `json:"runs"`
}

type coldWarm struct {
	Cold    float64 `json:"cold"` // median
	WarmP50 float64 `json:"warm_p50"`
	WarmP95 float64 `json:"warm_p95"`
}

type redisResult struct {
	Entries int     `json:"entries"`
	Write   float64 `json:"write"`
	Read    float64 `json:"read"`
}

// benchFlags are the flags of bench.
type benchFlags struct {
	json    bool
	only    string
	rounds  int
	lines   int
	entries int
	latency time.Duration
}

func (f benchFlags) wants(part string) bool {
	return f.only == "" || slices.Contains(strings.Split(f.only, ","), part)
}

func runBench(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("bench [--only latency,lines,replay,functions,redis] [--json]", benchText)
	var f benchFlags
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	fs.StringVar(&f.only, "only", "", "measure these `parts` only, with commas between them")
	fs.IntVar(&f.rounds, "rounds", 20, "how `often` latency and functions are measured")
	fs.IntVar(&f.lines, "lines", 1_000_000, "how `many` lines the story file and the combined log have")
	fs.IntVar(&f.entries, "entries", 1_000_000, "how `many` entries are written to Redis")
	fs.DurationVar(&f.latency, "waf-latency", 50*time.Millisecond, "how `long` the local AWS WAF takes for each call")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := noMore(rest); err != nil {
		return err
	}
	parts := map[string]func(context.Context, benchFlags, *benchResult) error{
		"latency": a.benchLatency, "lines": a.benchLines, "replay": a.benchReplay, "functions": a.benchFunctions, "redis": a.benchRedis,
	}
	if f.only != "" {
		for part := range strings.SplitSeq(f.only, ",") {
			if parts[part] == nil {
				return usagef("--only %q: want latency, lines, replay, functions or redis", part)
			}
		}
	}
	if f.rounds < 1 || f.rounds > 1000 || f.entries < 1 || f.lines < 5000 {
		return usagef("--rounds, --entries and --lines: want at least 1, 1 and 5000, and at most 1000 rounds")
	}
	res := benchResult{Skipped: map[string]string{}, Settings: map[string]any{"rounds": f.rounds, "waf_call_ms": f.latency.Milliseconds()}, samples: map[string][]float64{}}
	for _, part := range []string{"lines", "replay", "latency", "functions", "redis"} {
		if f.wants(part) {
			if err := parts[part](ctx, f, &res); err != nil {
				return fmt.Errorf("%s: %w", part, err)
			}
		}
	}
	if f.json {
		return json.NewEncoder(a.stdout).Encode(res)
	}
	res.print(a.stdout, f)
	return nil
}

// spreadOf sorts the samples.
func spreadOf(samples []float64) *spread {
	slices.Sort(samples)
	return &spread{N: len(samples), P50: quantile(samples, 0.5), P95: quantile(samples, 0.95), Max: samples[len(samples)-1]}
}

// quantile takes the nearest rank of sorted samples.
func quantile(sorted []float64, q float64) float64 {
	at := int(q*float64(len(sorted))+0.9999) - 1
	return sorted[min(max(at, 0), len(sorted)-1)]
}

func (r benchResult) print(w io.Writer, f benchFlags) {
	row := func(what, value string) { fmt.Fprintf(w, "%-58s %s\n", what, value) }
	if s := r.OnDemand; s != nil {
		row(fmt.Sprintf("line put → address enforced, on demand (%s a WAF call)", f.latency), fmt.Sprintf("p50 %.2f s   p95 %.2f s   (%d rounds)", s.P50, s.P95, s.N))
	}
	if s := r.Staying; s != nil {
		row("the same while sync-aws-waf stays (WAIT)", fmt.Sprintf("p50 %.2f s   p95 %.2f s   max %.2f s", s.P50, s.P95, s.Max))
	}
	if s := r.FromDetect; s != nil {
		row("  of that, detect's return → address enforced", fmt.Sprintf("p50 %.2f s   p95 %.2f s   max %.2f s", s.P50, s.P95, s.Max))
	}
	if s := r.FromDetectMinute; s != nil {
		row("  the same at any moment of the deployed minute (computed)", fmt.Sprintf("p50 %.2f s   p95 %.2f s", s.P50, s.P95))
	}
	if s := r.BySchedule; s != nil {
		row("the same by the deployed schedules (computed)", fmt.Sprintf("p50 %.0f s   p95 %.0f s", s.P50, s.P95))
	}
	if l := r.Lines; l != nil {
		row(fmt.Sprintf("tracewall local --once, %s lines, %.0f MB", report.Number(l.Lines), l.Megabytes), fmt.Sprintf("%s lines/s (best %s)", report.Number(int64(l.PerSecond)), report.Number(int64(l.Best))))
	}
	if r.Replay != nil {
		r.Replay.rows(row)
	}
	for _, name := range []string{"detect", "webhook", "sync-aws-waf"} {
		if c, ok := r.Functions[name]; ok {
			row("event → result, "+name, fmt.Sprintf("warm p50 %.1f ms   p95 %.1f ms   cold %.0f ms", c.WarmP50, c.WarmP95, c.Cold))
		}
	}
	if d := r.Redis; d != nil {
		row(fmt.Sprintf("Redis, %s entries", report.Number(d.Entries)), fmt.Sprintf("write %.1f s   read %.1f s", d.Write, d.Read))
	}
	for part, why := range r.Skipped {
		row(part, "skipped: "+why)
	}
}

// tempDir makes a folder that goes away with the benchmark.
func tempDir() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", "tracewall-bench-")
	if err != nil {
		return "", nil, err
	}
	return dir, func() { _ = os.RemoveAll(dir) }, nil
}
