//go:build cgo

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/localcloud"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/logfile"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/progress"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/story"
	"github.com/tracewall/tracewall/shared/allowlist"
)

const localText = `Runs the whole system on this machine, in one process tree on loopback: an embedded Redis, the local Log
Service (DuckDB), firewalls on AWS, Alibaba Cloud and Tencent Cloud that already have rules of somebody's own, and
the functions, built as they are deployed and called through their clouds' runtime APIs. Needs Go and a C compiler, and a
clone of the source as working directory. Nothing leaves the machine.

Without --logs it plays an attack: half an hour of log lines, thousands of addresses around one account,
among them an office and a partner who must be spared. With --logs it reads your own file (plain or gzip,
"-" is standard input) and behaves as if now were the file's last line. Formats:
  story     [10/May/2025:12:55:31 +0800] and free text; a line without a time takes the one before it
  combined  Apache's and nginx's access log
  sshd      auth.log; the year is chosen so that the file does not lie in the future, the zone is UTC
  jsonl     one JSON object a line; the time from time, timestamp, @timestamp, ts, …, the address from
            remote_addr, client_ip, ip, src_ip, source.ip, …
  auto      told by the first 100 lines; it asks rather than guesses
Lines that do not fit are counted and told.

It then keeps running on its schedule until Ctrl-C, and releases who has served their term; --once stops
after one pass.

--json prints one object: {"rules":[{"id","rows","detections"}], "blocked":[{"indicator","kind":"ip|account",
"rules":[],"count","first_seen","last_seen","countries":[],"accounts":[],"addresses","expires_at"}], "observed":[the
same: verdicts that do not block], "spared":[{"indicator","reason"}], "rejected":[{"value","reason"}],
"targets":[{"kind","name","title","desired","enforced","overflow","writes","calls"}], "timings_ms":{}}, and besides: "as_of", "input":{"source",
"format","lines","left_out","first","last"}, "kind" and "count" in spared, "count" in rejected, "reason", "score", "tags" and "mitigating" (what
speaks for it) in blocked and observed, "challenged":[the same], "campaigns":[{"kind","value","rule","action","clients","count","first_seen",
"last_seen","reason"}], "notes":[].
Lists are sorted and never null, times are RFC 3339 in UTC. Accounts are whole there and shortened on the terminal.`

// localFlags are the flags of local.
type localFlags struct {
	logs, format, allowlist string
	walls                   string
	once, json, slsOnly     bool
	verbose                 bool
	term, latency           time.Duration
	seed                    uint64
	lines                   int
}

func runLocal(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("local [--logs FILE [--format FORMAT]] [--allowlist FILE] [--once] [--json]", localText)
	var f localFlags
	fs.StringVar(&f.logs, "logs", "", "read this `FILE` instead of playing the story")
	fs.StringVar(&f.format, "format", string(logfile.Auto), "the `format` of the file")
	fs.StringVar(&f.allowlist, "allowlist", "", "who must not be blocked, a `FILE` as tracewall allow takes it")
	fs.BoolVar(&f.once, "once", false, "stop after one pass")
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	fs.BoolVar(&f.verbose, "verbose", false, "show what the functions log, on standard error")
	fs.DurationVar(&f.term, "term", 0, "block for this `long` instead of the rules' own terms, 1m to 720h; 2m to watch the releases")
	fs.BoolVar(&f.slsOnly, "sls-only", false, "start the local Log Service alone, for any SLS client")
	fs.Uint64Var(&f.seed, "seed", 1, "another `number`, another story")
	fs.IntVar(&f.lines, "lines", story.DefaultLines, "how `many` lines the story has")
	fs.StringVar(&f.walls, "walls", "all", "which firewalls there are: all, or `aws-waf` alone")
	fs.DurationVar(&f.latency, "waf-latency", 50*time.Millisecond, "how `long` the local firewalls take for each call")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := noMore(rest); err != nil {
		return err
	}
	if f.term != 0 {
		if err := checkTerm(f.term); err != nil {
			return err
		}
	}
	if f.latency < 0 || f.latency > time.Minute {
		return usagef("--waf-latency %s: want 0s to 1m", f.latency)
	}
	if f.walls != "all" && f.walls != "aws-waf" {
		return usagef("--walls %q: want all or aws-waf", f.walls)
	}
	format, err := logfile.ParseFormat(f.format)
	if err != nil {
		return usagef("--%w", err)
	}
	switch {
	case f.slsOnly:
		return a.serveLogs(ctx)
	case f.logs != "":
		return a.localFile(ctx, f, format)
	default:
		return a.localStory(ctx, f)
	}
}

// session is one run of local.
type session struct {
	app    *app
	flags  localFlags
	cloud  *localcloud.Cloud
	report *report.Report
	out    io.Writer // text for people; nothing with --json
	line   *progress.Line
	began  time.Time
	offset atomic.Int64 // of the run's clock from the wall's, in nanoseconds
}

func (a *app) newSession(f localFlags) *session {
	s := &session{app: a, flags: f, report: report.New(), out: a.stdout, line: progress.New(a.stderr), began: time.Now()}
	if f.json {
		s.out = io.Discard
	}
	return s
}

// clock is the run's: the wall's, or on a replay the file's, which goes on from its last line.
func (s *session) clock() time.Time { return time.Now().Add(time.Duration(s.offset.Load())) }

// logs gets what the functions log.
func (s *session) logs() io.Writer {
	if s.flags.verbose {
		return s.app.stderr
	}
	return nil
}

// sayf prints a line for people.
func (s *session) sayf(format string, args ...any) {
	s.line.Done()
	fmt.Fprintf(s.out, format+"\n", args...)
}

// took prints how long a step took, and keeps it for the report.
func (s *session) took(step string, began time.Time) time.Duration {
	d := time.Since(began)
	s.report.Took(step, d)
	return d
}

// saveAllowlist puts the allowlist into Redis: the file's, else text.
func (s *session) saveAllowlist(ctx context.Context, text string) error {
	list, err := allowlist.Parse(strings.NewReader(text))
	if s.flags.allowlist != "" {
		list, err = s.app.readAllowlist(s.flags.allowlist)
	}
	if err != nil {
		return err
	}
	return s.cloud.Store().SaveAllowlist(ctx, list)
}

// finish completes the report of the first pass and prints it if it was asked for as JSON.
func (s *session) finish(ctx context.Context, now time.Time) error {
	snapshot, err := s.cloud.Store().Snapshot(ctx, now)
	if err != nil {
		return fmt.Errorf("read blocklist: %w", err)
	}
	s.report.SetListed(snapshot.Entries)
	s.report.AsOf = now
	s.report.Took("total", time.Since(s.began))
	if s.flags.json {
		s.line.Done()
		return s.report.WriteJSON(s.app.stdout)
	}
	return nil
}

// sync runs the sync function and notes what it did.
func (s *session) sync(ctx context.Context, now time.Time) error {
	began := time.Now()
	s.line.Say("the sync functions are writing to the walls")
	targets, err := s.cloud.Sync(ctx, now)
	s.took("sync", began)
	s.line.Done()
	if err != nil {
		return err
	}
	return s.synced(targets)
}

// synced notes what the sync function says it did.
func (s *session) synced(targets []localcloud.Target) error {
	for _, t := range targets {
		if t.Error != "" {
			return fmt.Errorf("target %s: %s", t.Name, t.Error)
		}
		i := slices.IndexFunc(s.cloud.Walls(), func(w localcloud.Wall) bool { return w.Kind == t.Kind && w.Name == t.Name })
		if i < 0 {
			return fmt.Errorf("target %s %s: want one of the walls that are here", t.Kind, t.Name)
		}
		wall := s.cloud.Walls()[i]
		// What is enforced is asked of the wall itself and not of who wrote it.
		s.report.SetTarget(report.Target{
			Kind: t.Kind, Name: t.Name, Title: wall.Title, Desired: t.Desired, Enforced: len(wall.Enforced()),
			Overflow: t.Overflow, Writes: t.Writes, Calls: t.Calls,
		})
	}
	return nil
}

// serveLogs is --sls-only.
func (a *app) serveLogs(ctx context.Context) error {
	server, client, err := localcloud.StartLogs("", nil)
	if err != nil {
		return err
	}
	defer server.Close()
	defer client.Close()
	if err := server.CreateLogstore("gateway", nil); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, `The local Log Service is listening. It keeps everything in memory and forgets it when it ends.

  endpoint           %[1]s
  project            %[2]s
  logstore           gateway (others are made by the first write to them)
  access key id      %[3]s
  access key secret  %[4]s

Clients name the project in the Host header, so they must dial the address above for the host
%[2]s.<anything>. This project's own client (shared/sls) does that by itself: SLS_ENDPOINT=%[1]s.
With the Go SDK: CreateNormalInterface("http://sls.localhost", …) and an http.Client that dials %[5]s.
With curl: curl --connect-to ::%[5]s http://%[2]s.sls.localhost/…

Ctrl-C ends it.
`, server.Endpoint, localcloud.Project, localcloud.AccessKeyID, localcloud.AccessSecret, server.Endpoint[len("http://"):])
	<-ctx.Done()
	return nil
}

// interrupted tells an end by Ctrl-C from a failure.
func interrupted(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled) || errors.Is(err, os.ErrClosed))
}
