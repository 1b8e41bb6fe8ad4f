//go:build cgo

package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/localcloud"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/logfile"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/sls/slstest"
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
		Root: root, Clock: s.clock, Logstore: fileLogstore, Fields: lines.Fields(), Format: string(format), Term: f.term, Latency: f.latency, Logs: s.logs(),
		OnlyAWS: f.walls == "aws-waf", Past: true,
	})
	if err != nil {
		return err
	}
	defer s.cloud.Close()

	first, last, err := s.load(ctx, src, lines, format)
	if err != nil {
		return err
	}
	s.offset.Store(int64(time.Until(last)))
	if err := s.saveAllowlist(ctx, ""); err != nil {
		return err
	}
	if f.allowlist == "" {
		s.sayf("   no allowlist was given (--allowlist FILE): nobody is spared")
	}
	if err := s.judgeFile(ctx, first, last); err != nil {
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

// load reads the file into the Log Service while the functions are built and started.
func (s *session) load(ctx context.Context, src *logfile.Source, lines *logfile.Lines, format logfile.Format) (first, last time.Time, err error) {
	began := time.Now()
	done := make(chan struct{})
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(done)
		stats, err := s.cloud.Logs().LoadLines(groupCtx, fileLogstore, lines.Fields(), lines.Text(), func(line []byte, out *slstest.Line) (ok bool) {
			out.Time, ok = lines.Parse(line, out.Values)
			return ok
		})
		if err != nil {
			return fmt.Errorf("read log file %s: %w", src.Name, err)
		}
		s.took("load", began)
		first, last = time.Unix(stats.First, 0).UTC(), time.Unix(stats.Last, 0).UTC()
		refused := lines.Stats()
		s.report.Input = report.Input{
			Source: src.Name, Format: string(format), Lines: stats.Lines, Left: max(stats.Skipped, refused.Refused), First: first, Last: last,
		}
		s.sayf("   %s lines in %s (%s lines/s), from %s to %s", report.Number(stats.Lines), report.Took(time.Since(began)),
			report.Number(int64(float64(stats.Lines)/time.Since(began).Seconds())), first.Format(time.RFC3339), last.Format(time.RFC3339))
		s.sayRefused(refused)
		return nil
	})
	group.Go(func() error {
		began := time.Now()
		_, err := s.cloud.StartFunctions(groupCtx)
		s.took("functions", began)
		return err
	})
	go func() {
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
	}()
	return first, last, group.Wait()
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

// judgeFile runs detect over the whole file, on the file's clock, and then the sync.
func (s *session) judgeFile(ctx context.Context, first, last time.Time) error {
	began := time.Now()
	s.line.Say("detect is running the rules")
	run, err := s.cloud.DetectRange(ctx, first, last.Add(time.Second), last)
	s.took("detect", began)
	s.line.Done()
	if err != nil {
		return err
	}
	s.report.AddRun(run)
	return s.sync(ctx, last)
}

func (s *session) printFile() {
	w := s.out
	s.sayf("\ndetect (%s), as if now were %s", report.Took(time.Duration(s.report.Timings["detect"])*time.Millisecond), s.report.AsOf.Format(time.RFC3339))
	s.report.PrintRules(w)
	s.report.PrintBlocked(w)
	s.report.PrintAccounts(w, 0)
	s.report.PrintCountries(w)
	s.report.PrintObserved(w)
	s.report.PrintSpared(w)
	s.report.PrintRejected(w)
	s.sayf("\nsync-aws-waf (%s)", report.Took(time.Duration(s.report.Timings["sync"])*time.Millisecond))
	s.report.PrintTargets(w)
	s.sayf("\n%s from start to end", report.Took(time.Duration(s.report.Timings["total"])*time.Millisecond))
}
