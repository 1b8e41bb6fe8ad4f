//go:build cgo

package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/localcloud"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/logfile"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/replay"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
)

// fileLogstore is where the lines of a file go.
const fileLogstore = "file"

// localFile runs the system over a log file.
func (a *app) localFile(ctx context.Context, f localFlags, format logfile.Format) (err error) {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	s := a.newSession(f)
	defer s.line.Done()
	if f.allowlist != "" { // an error in it is cheaper before than after reading the logs
		if _, err := a.readAllowlist(f.allowlist); err != nil {
			return err
		}
	}
	src, err := logfile.Open(f.logs, a.stdin)
	if err != nil {
		return usageError{err}
	}
	defer src.Close()
	chosen := ""
	if format == logfile.Auto {
		if format, err = src.Sniff(); err != nil {
			return usageError{err}
		}
		chosen = ", told by its first lines"
	}
	lines, err := logfile.NewLines(src, format, a.now())
	if err != nil {
		return usageError{err}
	}
	s.sayf("%s: format %s%s", report.Safe(src.Name), format, chosen)
	s.cloud, err = localcloud.New(ctx, localcloud.Config{
		Root: root, Clock: s.clock, Logstore: fileLogstore, Stream: true, Fields: lines.Fields(), Format: string(format), Mapping: lines.Mapping(), Term: f.term, Latency: f.latency, Logs: s.logs(),
		OnlyAWS: f.walls == "aws-waf", Past: true,
	})
	if err != nil {
		return err
	}
	defer s.cloud.Close()

	if f.allowlist == "" {
		s.sayf("   no allowlist was given (--allowlist FILE): nobody is spared")
	}
	read, err := s.readFile(ctx, src, lines, format)
	if err != nil {
		return err
	}
	last := read.Last
	if err := s.sync(ctx, last); err != nil {
		return err
	}
	if err := s.finish(ctx, last); err != nil {
		return err
	}
	s.printFile()
	if f.once {
		return nil
	}
	return s.keepRunning(ctx, nil)
}

// reachBack is how far before a batch the rules look, at most: their counts add up over a
// day, and they join lines of an hour before that.
const reachBack = 26 * time.Hour

// readFile reads the file into the Log Service, while the functions are built and started,
// and has them judge it: at once if it is not long, else batch by batch, on the clock of what
// has been read, so that no file is too large. Lines that no batch to come can reach are forgotten.
func (s *session) readFile(ctx context.Context, src *logfile.Source, lines *logfile.Lines, format logfile.Format) (read replay.Lines, err error) {
	began := time.Now()
	var detecting time.Duration
	done, ready := make(chan struct{}), make(chan struct{})
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(ready)
		began := time.Now()
		_, err := s.cloud.StartFunctions(groupCtx)
		s.took("functions", began)
		return err
	})
	group.Go(func() (err error) {
		defer close(done)
		read, err = replay.Read(groupCtx, s.cloud.Stream(), replay.ReadConfig{
			Inputs: []replay.Input{{Name: src.Name, Fields: lines.Fields(), Start: lines.Start(), Text: lines.Text(), Parse: lines.Parse}},
			Fields: lines.Fields(), Reach: reachBack,
		}, func(ctx context.Context, from, to time.Time, read replay.Lines, last bool) error {
			select {
			case <-ready: // with the functions, or without them when they could not be started
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := context.Cause(groupCtx); err != nil {
				return err
			}
			now := to
			if last {
				now = read.Last
			}
			began := time.Now()
			defer func() { detecting += time.Since(began) }()
			return s.judgeLines(ctx, from, to, now)
		})
		if err != nil {
			return fmt.Errorf("read log file %s: %w", src.Name, err)
		}
		return nil
	})
	go s.showReading(src, done)
	if err := group.Wait(); err != nil {
		return read, err
	}
	loading := time.Since(began) - detecting
	s.report.Took("load", loading)
	s.report.Took("detect", detecting)
	refused := lines.Stats()
	s.report.Input = report.Input{Source: src.Name, Format: string(format), Lines: read.Count, Left: max(read.Skipped, refused.Refused), First: read.First, Last: read.Last}
	s.sayf("   %s lines in %s (%s lines/s), from %s to %s", report.Number(read.Count), report.Took(loading),
		report.Number(int64(float64(read.Count)/loading.Seconds())), read.First.Format(time.RFC3339), read.Last.Format(time.RFC3339))
	s.sayRefused(refused)
	if read.Late > 0 {
		s.sayf("   %s lines came too late for times that were judged already: is the file in order?", report.Number(read.Late))
	}
	return read, nil
}

// showReading shows how far the file has been read.
func (s *session) showReading(src *logfile.Source, done <-chan struct{}) {
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
			n, size := src.Progress()
			s.line.Update("reading", n, size, "bytes")
		}
	}
}

// mostAtOnce is the longest time that detect is asked about at once; it takes 31 days.
const mostAtOnce = 30 * 24 * time.Hour

// judgeLines runs detect over a part of the file, as if now were its end.
func (s *session) judgeLines(ctx context.Context, from, to, now time.Time) error {
	if s.offset.Load() == 0 {
		s.offset.Store(int64(time.Until(now)))
		if err := s.saveAllowlist(ctx, ""); err != nil {
			return err
		}
	}
	for from.Before(to) {
		end := to
		if to.Sub(from) > mostAtOnce {
			end = from.Add(mostAtOnce).Truncate(time.Hour)
		}
		asOf := now
		if end.Before(to) {
			asOf = end
		}
		s.offset.Store(int64(time.Until(asOf)))
		s.line.Say("detect is running the rules")
		run, err := s.cloud.DetectRange(ctx, from, end, asOf)
		if err != nil {
			return err
		}
		s.report.AddRun(run)
		from = end
	}
	return nil
}

func (s *session) sayRefused(stats logfile.Stats) {
	if stats.Refused == 0 {
		return
	}
	s.sayf("   %s lines were left out, for example:", report.Number(stats.Refused))
	for _, sample := range stats.Samples {
		s.sayf("     %s: %s", sample.Why, report.Safe(sample.Text))
	}
}

func (s *session) printFile() {
	w := s.out
	s.sayf("\ndetect (%s), as if now were %s", report.Took(time.Duration(s.report.Timings["detect"])*time.Millisecond), s.report.AsOf.Format(time.RFC3339))
	s.report.PrintRules(w)
	s.report.PrintBlocked(w)
	s.report.PrintAccounts(w, 0)
	s.report.PrintCountries(w)
	s.report.PrintChallenged(w)
	s.report.PrintObserved(w)
	s.report.PrintCampaigns(w)
	s.report.PrintSpared(w)
	s.report.PrintRejected(w)
	s.report.PrintNotes(w)
	s.sayf("\nsync-aws-waf (%s)", report.Took(time.Duration(s.report.Timings["sync"])*time.Millisecond))
	s.report.PrintTargets(w)
	s.sayf("\n%s from start to end", report.Took(time.Duration(s.report.Timings["total"])*time.Millisecond))
}
