//go:build cgo

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/localcloud"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/progress"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/story"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/threat"
)

// lineRuns is how often the file is judged; the median counts.
const lineRuns = 3

// benchLines measures whole processes of tracewall local --once over a story file.
func (a *app) benchLines(ctx context.Context, f benchFlags, res *benchResult) error {
	line := progress.New(a.stderr)
	defer line.Done()
	dir, remove, err := tempDir()
	if err != nil {
		return err
	}
	defer remove()
	line.Say("writing the story file")
	file := filepath.Join(dir, "story.log")
	size, err := writeStory(file, f.lines)
	if err != nil {
		return err
	}
	self, err := executable()
	if err != nil {
		return err
	}
	if err := buildAll(ctx); err != nil { // else the first run would measure the compiler
		return err
	}
	var rates []float64
	for run := range lineRuns {
		line.Say(fmt.Sprintf("judging the story file, run %d of %d", run+1, lineRuns))
		began := time.Now()
		var out, said bytes.Buffer
		cmd := exec.CommandContext(ctx, self, "local", "--once", "--json", "--logs", file, "--format", "story", "--walls", "aws-waf", "--waf-latency", f.latency.String())
		cmd.Stdout, cmd.Stderr = &out, &said
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		cmd.WaitDelay = 10 * time.Second
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("tracewall local: %w: %s", err, bytes.TrimSpace(said.Bytes()))
		}
		took := time.Since(began)
		var r report.Report
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			return fmt.Errorf("tracewall local --json: %w", err)
		}
		if r.Input.Lines != int64(f.lines) || len(r.Blocked) == 0 || len(r.Targets) != 1 || r.Targets[0].Enforced == 0 {
			return fmt.Errorf("tracewall local saw %d of %d lines and blocked %d", r.Input.Lines, f.lines, len(r.Blocked))
		}
		rates = append(rates, float64(f.lines)/took.Seconds())
	}
	slices.Sort(rates)
	res.Lines = &linesResult{Lines: f.lines, Megabytes: float64(size) / 1e6, PerSecond: quantile(rates, 0.5), Best: rates[len(rates)-1], Runs: lineRuns}
	return nil
}

func writeStory(file string, lines int) (int64, error) {
	tale, err := story.New(story.Config{Lines: lines, Span: time.Hour, End: time.Now().Add(-time.Minute)})
	if err != nil {
		return 0, err
	}
	out, err := os.Create(file)
	if err != nil {
		return 0, err
	}
	w := bufio.NewWriterSize(out, 1<<20)
	var size int64
	for l := range tale.Lines() {
		_, _ = w.WriteString(l.Msg) // a bufio.Writer keeps its first error for Flush
		_ = w.WriteByte('\n')
		size += int64(len(l.Msg)) + 1
	}
	return size, errors.Join(w.Flush(), out.Close())
}

func buildAll(ctx context.Context) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	return localcloud.BuildAll(ctx, root)
}

// benchRedis writes and reads entries in a real Redis.
func (a *app) benchRedis(ctx context.Context, f benchFlags, res *benchResult) error {
	line := progress.New(a.stderr)
	defer line.Done()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		res.Skipped["redis"] = "no redis-server on the PATH"
		return nil
	}
	store, stop, err := startRedisServer(ctx, path)
	if err != nil {
		return err
	}
	defer stop()
	now := time.Now().UTC().Truncate(time.Second)
	write, read := time.Duration(0), time.Duration(0)
	const part = 50_000
	for done := 0; done < f.entries; {
		n := min(part, f.entries-done)
		batch := blocklist.Batch{Run: "bench", Now: now, Offences: make([]blocklist.Offence, n)}
		for i := range n {
			v := done + i
			ind, err := threat.Address(netip.AddrFrom4([4]byte{byte(20 + v>>24), byte(v >> 16), byte(v >> 8), byte(v)}))
			if err != nil {
				return err
			}
			batch.Offences[i] = blocklist.Offence{Entry: blocklist.Entry{
				Indicator: ind, Source: blocklist.SourceDetect, Severity: threat.High, Rules: []string{"rate-limit-address"},
				Count: int64(20 + v%500), FirstSeen: now.Add(-time.Minute), LastSeen: now, Countries: []string{"ID"},
			}, At: now, Term: blocklist.DefaultTerm}
		}
		began := time.Now()
		if _, err := store.Put(ctx, batch); err != nil {
			return err
		}
		write += time.Since(began)
		done += n
		line.Update("redis", int64(done), int64(f.entries), "entries")
	}
	began := time.Now()
	snapshot, err := store.Snapshot(ctx, now)
	if err != nil {
		return err
	}
	read = time.Since(began)
	if len(snapshot.Entries) != f.entries {
		return fmt.Errorf("%d entries came back of %d", len(snapshot.Entries), f.entries)
	}
	res.Redis = &redisResult{Entries: f.entries, Write: write.Seconds(), Read: read.Seconds()}
	return nil
}

// startRedisServer runs a real Redis on loopback, without a disk.
func startRedisServer(ctx context.Context, path string) (*redisstore.Store, func(), error) {
	dir, remove, err := tempDir()
	if err != nil {
		return nil, nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		remove()
		return nil, nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close() // redis-server takes the port over
	cmd := exec.CommandContext(context.WithoutCancel(ctx), path, "--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--save", "", "--appendonly", "no", "--dir", dir, "--loglevel", "warning")
	if err := cmd.Start(); err != nil {
		remove()
		return nil, nil, fmt.Errorf("start redis-server: %w", err)
	}
	stop := func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		remove()
	}
	store, err := redisstore.Open(ctx, fmt.Sprintf("redis://127.0.0.1:%d", port))
	if err != nil {
		stop()
		return nil, nil, err
	}
	for range 100 {
		if err = store.Ping(ctx); err == nil {
			return store, func() { _ = store.Close(); stop() }, nil
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			break
		}
	}
	_ = store.Close()
	stop()
	return nil, nil, fmt.Errorf("redis-server does not answer: %w", err)
}
