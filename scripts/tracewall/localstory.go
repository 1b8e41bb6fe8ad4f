//go:build cgo

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go4.org/netipx"
	"golang.org/x/sync/errgroup"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/localcloud"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/story"
	"github.com/tracewall/tracewall/shared/sls"
)

// storyLogstore is where the story is written.
const storyLogstore = "gateway"

// burstAttackers is how many new ones the second wave has.
const burstAttackers = 300

// localStory plays the founding story.
func (a *app) localStory(ctx context.Context, f localFlags) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	if f.lines < story.MinLines || f.lines > 20_000_000 {
		return usagef("--lines %d: want %d to 20000000", f.lines, story.MinLines)
	}
	s := a.newSession(f)
	defer s.line.Done()
	s.sayf("tracewall: the whole system on this machine\n")
	began := time.Now()
	s.line.Say("building the functions as they are deployed (the first time takes a minute or so)")
	s.cloud, err = localcloud.New(ctx, localcloud.Config{
		Root: root, Clock: s.clock, Logstore: storyLogstore, Fields: []string{"msg", "trace_id"}, Format: "story",
		Term: f.term, Latency: f.latency, Lookback: 45 * time.Minute, Logs: s.logs(), OnlyAWS: f.walls == "aws-waf",
	})
	if err != nil {
		return err
	}
	defer s.cloud.Close()
	built, err := s.cloud.StartFunctions(ctx)
	if err != nil {
		return err
	}
	s.took("functions", began)
	if err := s.saveAllowlist(ctx, story.AllowlistText); err != nil {
		return err
	}
	s.sayParts(built, time.Since(began))

	tale, err := story.New(story.Config{Seed: f.seed, Lines: f.lines, End: time.Now()})
	if err != nil {
		return usageError{err}
	}
	for _, act := range []func(context.Context, *story.Story) error{s.attack, s.timer, s.firstSync, s.alert} {
		if err := act(ctx, tale); err != nil {
			return err
		}
	}
	if err := s.finish(ctx, s.clock().UTC().Truncate(time.Second)); err != nil {
		return err
	}
	s.sayf("%s from start to end", report.Took(time.Since(s.began)))
	if f.once {
		return nil
	}
	return s.keepRunning(ctx, tale)
}

func (s *session) sayParts(built int, d time.Duration) {
	redis, logs, aws, alibaba, tencent := s.cloud.Endpoints()
	theirs, _ := s.cloud.TheirRules()
	how := "as built before"
	if built > 0 {
		how = fmt.Sprintf("%d built now", built)
	}
	s.sayf("   %-13s %s, embedded", "Redis", redis)
	s.sayf("   %-13s %s, project %s, logstore %s", "Log Service", logs, localcloud.Project, storyLogstore)
	s.sayf("   %-13s %s, web ACL shop with %d rules of somebody's own", "AWS WAF", aws, len(theirs))
	if alibaba != "" {
		s.sayf("   %-13s %s, WAF 3.0 and Cloud Firewall", "Alibaba Cloud", alibaba)
		s.sayf("   %-13s %s, a security group before a load balancer, and WAF", "Tencent Cloud", tencent)
	}
	s.sayf("   %-13s sync-aws-waf on Lambda, the others on Function Compute; %s   %s\n", "functions", how, report.Took(d))
}

// attack writes the story through the SDK.
func (s *session) attack(ctx context.Context, tale *story.Story) error {
	began := time.Now()
	n, first, last, err := s.write(ctx, tale)
	if err != nil {
		return err
	}
	d := s.took("write", began)
	s.report.Input = report.Input{Source: "story", Format: "story", Lines: n, First: first, Last: last}
	s.sayf("1  An attack: %s lines of many kinds are written with PutLogs, %s to %s UTC   %s",
		report.Number(n), first.Format(time.TimeOnly), last.Format(time.TimeOnly), report.Took(d))
	shown := map[string]bool{}
	for l := range tale.Lines() {
		kind := "other"
		switch {
		case strings.Contains(l.Msg, `"rate limit for true-client-ip": `):
			kind = "limit"
		case strings.Contains(l.Msg, "player.getSMScode Received"):
			kind = "sms"
		}
		if !shown[kind] {
			shown[kind] = true
			s.sayf("   %.150s", report.Safe(maskAccount(l.Msg)))
		}
		if len(shown) == 3 {
			break
		}
	}
	s.sayf("")
	return nil
}

// maskAccount hides the account of a line that is shown, as everything on a terminal does.
func maskAccount(line string) string {
	before, rest, ok := strings.Cut(line, `"uid":`)
	if !ok {
		return line
	}
	_, after, _ := strings.Cut(rest, " ")
	return before + `"uid":… ` + after
}

// write puts the lines of a story into the Log Service, several requests at a time.
func (s *session) write(ctx context.Context, tale *story.Story) (n int64, first, last time.Time, err error) {
	const batch, writers = 4096, 3
	batches := make(chan []sls.Log, writers)
	group, groupCtx := errgroup.WithContext(ctx)
	for range writers {
		group.Go(func() error {
			for logs := range batches {
				if err := s.cloud.Client().Put(groupCtx, storyLogstore, logs); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(batches)
		var logs []sls.Log
		send := func() error {
			select {
			case batches <- logs:
			case <-groupCtx.Done():
				return groupCtx.Err()
			}
			logs = make([]sls.Log, 0, batch)
			s.line.Update("writing the attack", n, int64(tale.Len()), "lines")
			return nil
		}
		for l := range tale.Lines() {
			if n == 0 {
				first = l.Time
			}
			last = l.Time
			n++
			log := sls.Log{Time: l.Time, Fields: []sls.Field{{Key: "msg", Value: l.Msg}}}
			if l.TraceID != "" {
				log.Fields = append(log.Fields, sls.Field{Key: "trace_id", Value: l.TraceID})
			}
			if logs = append(logs, log); len(logs) == batch {
				if err := send(); err != nil {
					return err
				}
			}
		}
		return send()
	})
	err = group.Wait()
	s.line.Done()
	return n, first, last, err
}

// timer lets detect run as its timer makes it run.
func (s *session) timer(ctx context.Context, _ *story.Story) error {
	began := time.Now()
	s.line.Say("detect is running the rules")
	now := s.clock().UTC().Truncate(time.Second)
	run, err := s.cloud.DetectByTimer(ctx, now)
	s.line.Done()
	if err != nil {
		return err
	}
	d := s.took("detect", began)
	s.report.AddRun(run)
	snapshot, err := s.cloud.Store().Snapshot(ctx, now)
	if err != nil {
		return fmt.Errorf("read blocklist: %w", err)
	}
	s.report.SetListed(snapshot.Entries)
	s.sayf("2  detect runs on its timer and asks the Log Service   %s", report.Took(d))
	s.report.PrintRules(s.out)
	s.report.PrintAccounts(s.out, s.addressesSeen(ctx, now))
	s.report.PrintCountries(s.out)
	s.report.PrintCampaigns(s.out)
	s.report.PrintSpared(s.out)
	s.report.PrintRejected(s.out)
	s.report.PrintBlocked(s.out)
	if gone := run.Blocked - len(snapshot.Entries); gone > 0 {
		s.sayf("   %s more were found and had served the term of %s already", report.Number(gone), s.flags.term)
	}
	s.sayf("")
	return nil
}

// addressesSeen asks how many clients were over the limit at all; 0 if that cannot be told.
func (s *session) addressesSeen(ctx context.Context, now time.Time) int {
	const query = `"rate limit for true-client-ip" | select count(distinct ip) as n from (select regexp_extract(msg, 'rate limit for true-client-ip"?\s*:\s*"?([^\s",}]+)', 1) as ip from log) limit 10`
	rows, err := s.cloud.Client().Query(ctx, storyLogstore, query, now.Add(-time.Hour), now.Add(time.Minute), 10)
	if err != nil || len(rows) != 1 {
		return 0
	}
	n, _ := strconv.Atoi(rows[0]["n"])
	return n
}

// firstSync lets the sync function run as its schedule makes it run.
func (s *session) firstSync(ctx context.Context, _ *story.Story) error {
	began := time.Now()
	if err := s.sync(ctx, s.clock().UTC().Truncate(time.Second)); err != nil {
		return err
	}
	s.sayf("3  The sync functions run on their schedules, side by side   %s", report.Took(time.Since(began)))
	s.report.PrintTargets(s.out)
	s.sayTheirs()
	s.sayf("")
	return nil
}

func (s *session) sayTheirs() {
	state := "untouched, byte for byte"
	for _, w := range s.cloud.Walls() {
		if !w.Untouched() {
			state = "CHANGED at " + w.Title + ", which must never happen"
		}
	}
	s.sayf("   everybody else's rules on all of them are %s", state)
}

// stayFor is how long the sync function stays here; in the cloud it is most of a minute.
const stayFor = 5 * time.Second

// alert lets the attack go on, and Log Service ring the webhook, while the sync
// function stays on the handoff stream.
func (s *session) alert(ctx context.Context, tale *story.Story) error {
	now := s.clock().UTC().Truncate(time.Second)
	burst, err := tale.Burst(now, burstAttackers)
	if err != nil {
		return err
	}
	stay := s.stay(ctx, stayFor)
	began := time.Now()
	n, _, _, err := s.write(ctx, burst)
	if err != nil {
		return errors.Join(err, stay.end(s))
	}
	run, answered, err := s.cloud.Alert(ctx, now, now.Add(-story.Window), now.Add(time.Second))
	if err != nil {
		return errors.Join(err, stay.end(s))
	}
	found := time.Now()
	s.took("webhook", began)
	s.report.AddRun(run)
	s.line.Say("the sync functions stay, and write to the walls")
	quick := stay.until(ctx, func() bool { return s.allBlocked(burst) == nil })
	s.line.Done()
	total, rest := time.Since(began), time.Since(found)
	if quick {
		s.report.Took("line_to_wall", total)
		s.report.Took("detect_to_wall", rest)
	}
	if err := stay.end(s); err != nil {
		return err
	}
	if !quick { // it left before: in the cloud, the next minute's run goes on
		if err := s.sync(ctx, s.clock().UTC().Truncate(time.Second)); err != nil {
			return err
		}
		total = s.took("line_to_wall", began)
	}
	s.sayf("4  The attack goes on: %s more lines, %d new addresses; Log Service sends its alert to the webhook", report.Number(n), burstAttackers)
	s.sayf("   webhook answered after %s and started detect, which put %s more on the list", report.Took(answered), report.Number(run.Added))
	if quick {
		s.sayf("   the sync functions had stayed since their last run and heard of it: on every wall %s later", report.Took(rest))
	}
	s.report.PrintTargets(s.out)
	s.sayf("   %s from the first line written to the last address on the wall", report.Took(total))
	s.sayTheirs()
	s.sayTruth(tale, burst)
	s.sayf("")
	return nil
}

// sayTruth holds the wall against the story's cast.
func (s *session) sayTruth(tales ...*story.Story) {
	if s.flags.term != 0 && s.flags.term < time.Hour || s.flags.allowlist != "" {
		return // most have served their term already, or the story's friends are nobody's
	}
	var guilty, spared, innocent []netip.Addr
	for _, t := range tales {
		c := t.Cast()
		guilty = append(append(guilty, c.Attackers...), c.Scrapers...)
		spared, innocent = append(spared, c.Spared...), append(innocent, c.Innocent...)
	}
	s.sayf("   held against the story's own truth:")
	for _, w := range s.cloud.Walls() {
		var b netipx.IPSetBuilder
		for _, p := range w.Enforced() {
			b.AddPrefix(p)
		}
		wall, err := b.IPSet()
		if err != nil {
			return
		}
		blocked := func(addrs []netip.Addr) (n int) {
			for _, addr := range addrs {
				if wall.Contains(addr) {
					n++
				}
			}
			return n
		}
		s.sayf("   %-32s %7s of %s attackers are blocked, %d of %d allowlisted and %d of %d innocent ones", w.Title,
			report.Number(blocked(guilty)), report.Number(len(guilty)), blocked(spared), len(spared), blocked(innocent), len(innocent))
	}
}
