//go:build cgo

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/backtest"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/progress"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
)

// replayResult is how fast a combined log goes through the whole rule set, from the
// start of the process to its end, and through what else is installed.
type replayResult struct {
	Lines     int           `json:"lines"`
	Megabytes float64       `json:"megabytes"`
	Rules     int           `json:"rules"`
	PerSecond float64       `json:"per_second"` // the median run
	Best      float64       `json:"best_per_second"`
	CPU       float64       `json:"cpu_s"`             // of the median run, all CPUs together
	Peak      int64         `json:"peak_mb,omitempty"` // the largest of any run
	Runs      int           `json:"runs"`
	Others    []replayOther `json:"others"`
}

// replayOther is another program over the same file.
type replayOther struct {
	Name      string  `json:"name"`
	Does      string  `json:"does"`
	Lines     int     `json:"lines"`
	PerSecond float64 `json:"per_second"`
	Ratio     float64 `json:"ratio"` // how many times as fast tracewall is
}

// fewLines is how many lines those get that take minutes for more.
const fewLines = 100_000

// benchReplay measures whole processes of tracewall backtest --all over a combined log.
func (a *app) benchReplay(ctx context.Context, f benchFlags, res *benchResult) error {
	line := progress.New(a.stderr)
	defer line.Done()
	dir, remove, err := tempDir()
	if err != nil {
		return err
	}
	defer remove()
	line.Say("writing the combined log")
	file, few := filepath.Join(dir, "access.log"), filepath.Join(dir, "few.log")
	size, err := writeCombined(file, f.lines)
	if err != nil {
		return err
	}
	if _, err := writeCombined(few, min(f.lines, fewLines)); err != nil {
		return err
	}
	self, err := executable()
	if err != nil {
		return err
	}
	r := &replayResult{Lines: f.lines, Megabytes: float64(size) / 1e6, Runs: lineRuns, Others: []replayOther{}}
	type run struct{ took, cpu time.Duration }
	var runs []run
	for i := range lineRuns {
		line.Say(fmt.Sprintf("backtest over the combined log, run %d of %d", i+1, lineRuns))
		out, state, took, err := timed(ctx, self, "backtest", "--all", "--json", "--gate", "none", "--format", "combined", "--logs", file)
		if err != nil {
			return fmt.Errorf("tracewall backtest: %w", err)
		}
		var told backtest.Result
		if err := json.Unmarshal(out, &told); err != nil {
			return fmt.Errorf("tracewall backtest --json: %w", err)
		}
		if told.Source.Lines != int64(f.lines) || len(told.Verdicts) == 0 {
			return fmt.Errorf("tracewall backtest saw %d of %d lines and named %d", told.Source.Lines, f.lines, len(told.Verdicts))
		}
		r.Rules = len(told.Rules)
		r.Peak = max(r.Peak, peakBytes(state)>>20)
		runs = append(runs, run{took, state.UserTime() + state.SystemTime()})
	}
	slices.SortFunc(runs, func(a, b run) int { return int(a.took - b.took) })
	median := runs[len(runs)/2]
	r.PerSecond, r.Best, r.CPU = float64(f.lines)/median.took.Seconds(), float64(f.lines)/runs[0].took.Seconds(), median.cpu.Seconds()

	for _, other := range []struct {
		name, does string
		lines      int
		args       []string
	}{
		{"goaccess", "parses and counts, judges nobody", f.lines, []string{"goaccess", file, "--no-global-config", "--log-format=COMBINED", "--no-progress", "-o", filepath.Join(dir, "goaccess.json")}},
		{"fail2ban-regex", "one filter, nginx-botsearch", min(f.lines, fewLines), []string{"fail2ban-regex", few, "nginx-botsearch"}},
	} {
		if _, err := exec.LookPath(other.args[0]); err != nil {
			res.Skipped["replay with "+other.name] = "not on the PATH"
			continue
		}
		line.Say(other.name + " over the same log")
		_, _, took, err := timed(ctx, other.args[0], other.args[1:]...)
		if err != nil {
			res.Skipped["replay with "+other.name] = err.Error()
			continue
		}
		rate := float64(other.lines) / took.Seconds()
		r.Others = append(r.Others, replayOther{Name: other.name, Does: other.does, Lines: other.lines, PerSecond: rate, Ratio: r.PerSecond / rate})
	}
	res.Replay = r
	return nil
}

// timed runs a program to its end.
func timed(ctx context.Context, name string, args ...string) (out []byte, state *os.ProcessState, took time.Duration, err error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	began := time.Now()
	err = cmd.Run()
	took = time.Since(began)
	if err != nil {
		text := strings.TrimSpace(stderr.String())
		return nil, nil, took, fmt.Errorf("%w: %s", err, text[max(0, len(text)-300):])
	}
	return stdout.Bytes(), cmd.ProcessState, took, nil
}

// writeCombined writes an access log like those of real sites: many readers whose visits are
// a page and what belongs to it, crawlers, and some of those whom rules are after. 300 requests a second.
func writeCombined(file string, lines int) (int64, error) {
	out, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	agents := []string{
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9_1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0.1700.77 Safari/537.36",
		"Mozilla/5.0 (Windows NT 6.1; WOW64; rv:27.0) Gecko/20100101 Firefox/27.0",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 6_0 like Mac OS X) AppleWebKit/536.26 (KHTML, like Gecko) Version/6.0 Mobile/10A5376e Safari/8536.25 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
		"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "UniversalFeedParser/4.2-pre-314-svn +http://feedparser.org/", "-",
	}
	probes := []string{"/wp-login.php", "/.env", "/phpmyadmin/index.php", "/.git/config", "/admin.php?id=1%27%20union%20select%201,2,3--", "/cgi-bin/test-cgi", "/../../etc/passwd"}
	w := bufio.NewWriterSize(out, 1<<20)
	var size int64
	begins := time.Date(2025, 5, 17, 0, 0, 0, 0, time.UTC)
	stamp, second := "", -1
	var state uint64 = 1
	draw := func(n int) int { // the same lines each time, whatever the Go version
		state = state*6364136223846793005 + 1442695040888963407
		return int(state>>33) % n
	}
	reader := 0
	for i := range lines {
		if s := i / 300; s != second {
			second, stamp = s, begins.Add(time.Duration(s)*time.Second).Format("02/Jan/2006:15:04:05 -0700")
		}
		if i%8 == 0 {
			reader = draw(40_000)
		}
		address := fmt.Sprintf("%d.%d.%d.%d", 20+reader%60, reader/60%200, reader%251, 1+reader%250)
		path := fmt.Sprintf("/presentations/talk-%d/images/page-%d.png", reader%50, draw(200))
		agent, status, method := agents[reader%len(agents)], 200, "GET"
		switch draw(100) {
		case 0, 1:
			path, status = fmt.Sprintf("/gone/%d?utm_source=feed&id=%d", draw(5000), draw(100_000)), 404
		case 2:
			path, status, address, agent = probes[draw(len(probes))], 404, fmt.Sprintf("91.236.75.%d", 1+draw(40)), "Mozilla/5.0 zgrab/0.x"
		case 3:
			path, method, address = "/login", "POST", fmt.Sprintf("45.155.205.%d", 1+draw(20))
			status = 401
		}
		n, _ := fmt.Fprintf(w, "%s - - [%s] \"%s %s HTTP/1.1\" %d %d \"http://www.example.com/presentations/talk-%d/\" \"%s\"\n", address, stamp, method, path, status, 200+draw(90_000), reader%50, agent)
		size += int64(n) // a bufio.Writer keeps its first error for Flush
	}
	return size, errors.Join(w.Flush(), out.Close())
}

// rows prints the replay.
func (r *replayResult) rows(row func(what, value string)) {
	value := fmt.Sprintf("%s lines/s (best %s), %.1f s of CPU", report.Number(int64(r.PerSecond)), report.Number(int64(r.Best)), r.CPU)
	if r.Peak > 0 {
		value += fmt.Sprintf(", %d MB at most", r.Peak)
	}
	row(fmt.Sprintf("backtest --all, %s combined lines, %.0f MB, %d rules", report.Number(r.Lines), r.Megabytes, r.Rules), value)
	for _, o := range r.Others {
		row(fmt.Sprintf("  %s (%s), %s lines", o.Name, o.Does, report.Number(o.Lines)), fmt.Sprintf("%s lines/s: tracewall is %.1f times as fast", report.Number(int64(o.PerSecond)), o.Ratio))
	}
}
