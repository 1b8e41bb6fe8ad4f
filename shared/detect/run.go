package detect

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// Querier is the log service. An answer is whole or an error; an error with a
// method Truncated() bool that returns true means: ask for a shorter time.
type Querier interface {
	Query(ctx context.Context, logstore, query string, from, to time.Time, maxRows int) ([]map[string]string, error)
}

// Store is the blocklist, as far as a run needs it.
type Store interface {
	Put(ctx context.Context, b blocklist.Batch) (blocklist.Changes, error)
	Checkpoint(ctx context.Context, rule string) (time.Time, bool, error)
	SaveRun(ctx context.Context, id string, report []byte) error
}

// Checker is a whole allowlist; allowlist.List is one.
type Checker interface {
	Covers(ind threat.Indicator, now time.Time) (reason string, ok bool)
}

// Request is what a trigger asks for. The zero Request is a scheduled run of all rules.
type Request struct {
	Rules   []string  // ids; none means all of the Runner's
	From    time.Time // with To: read these windows, aligned outward; checkpoints stay
	To      time.Time
	DryRun  bool      // decide and report, write nothing to the list
	Now     time.Time // the run's clock: the event's own time. Zero: the wall clock
	Trigger string    // "timer", "log", "direct", "alert": for the report
	Run     string    // the run's id; "" makes one
}

// Runner runs rules. Its fields are set once; it is safe for concurrent use, and
// two runs over the same time, one after the other or at once, leave the same list.
type Runner struct {
	Logs      Querier
	List      Store
	Allowlist func(ctx context.Context) (Checker, error) // asked once a run
	Rules     []Rule
	Logstore  string        // for rules that name none
	Source    string        // the log service, of Dialects; "" is SLS. Each has checkpoints of its own
	Observe   bool          // decide and report only
	Term      time.Duration // overrides the rules' terms; 0 does not
	Lookback  time.Duration // of a rule's first run; 0 means DefaultLookback
	Overlap   int           // windows read again; 0 means DefaultOverlap
	Brake     Brake
	Clock     func() time.Time // the wall clock
}

// Bounds of a run.
const (
	maxAhead   = 5 * time.Minute // how far an event's clock may be ahead of the wall clock
	maxRange   = 31 * 24 * time.Hour
	maxChunk   = time.Hour // the longest time that one query covers
	concurrent = 2         // rules at once: SLS allows 15 SQL queries at once in a whole project
)

// outcome is what one rule came to.
type outcome struct {
	rule       Rule
	span       Span
	checkpoint time.Time // zero: leave it
	detections []threat.Detection
	rejected   []Rejected
	rows       int
	queries    int
	took       time.Duration
	err        error
}

// Run reads the logs, decides, and writes what it has decided, all of it or
// nothing. What can be done is done: when one rule fails, the others' verdicts
// still count, its own checkpoint stays where it is, and the returned error asks
// for the run to be repeated. The report is good even when the error is not nil.
//
// Nobody is blocked and no checkpoint moves when the allowlist cannot be read
// (ErrAllowlist) or the brake holds (ErrHeld), nor in observe mode or a dry run,
// whose reports are otherwise those of a real run.
func (r *Runner) Run(ctx context.Context, q Request) (Report, error) {
	started := r.Clock()
	rules, now, err := r.check(&q, started)
	if err != nil {
		return Report{}, fmt.Errorf("detect: %w", err)
	}
	report := Report{Summary: Summary{Run: q.Run, Mode: r.mode(q), Trigger: q.Trigger, AsOf: now}}

	var problems []error
	outcomes := r.ask(ctx, rules, q, now)
	var (
		detections []threat.Detection
		rejected   []Rejected
		moved      = map[string]time.Time{}
		byID       = map[string]Rule{}
	)
	for _, o := range outcomes {
		byID[o.rule.ID] = o.rule
		report.Rules = append(report.Rules, o.summary())
		if o.err != nil {
			problems = append(problems, fmt.Errorf("rule %s: %w", o.rule.ID, o.err))
			continue
		}
		detections = append(detections, o.detections...)
		rejected = append(rejected, o.rejected...)
		if !o.checkpoint.IsZero() {
			moved[r.checkpoint(o.rule)] = o.checkpoint
		}
	}

	verdicts, err := r.decide(ctx, detections, now)
	if err != nil {
		problems = append(problems, err)
	}
	report.fill(verdicts, rejected, byID)
	if err == nil && report.Mode == ModeEnforce {
		changes, err := r.List.Put(ctx, batch(q.Run, now, verdicts.Block, byID, moved))
		if err != nil {
			problems = append(problems, fmt.Errorf("put %d offences: %w", len(verdicts.Block), err))
		}
		report.Added, report.Extended, report.Unchanged = changes.Added, changes.Extended, changes.Unchanged
	}

	err = errors.Join(problems...)
	if err != nil {
		report.Error = err.Error()
	}
	if saveErr := r.save(ctx, report); saveErr != nil {
		err = errors.Join(err, saveErr)
	}
	if err != nil {
		return report, fmt.Errorf("detect: %w", err)
	}
	return report, nil
}

// check completes a request and finds everything wrong with it before any call.
func (r *Runner) check(q *Request, wall time.Time) ([]Rule, time.Time, error) {
	var problems []error
	rules := r.Rules
	if len(q.Rules) > 0 {
		var err error
		if rules, err = Select(r.Rules, q.Rules); err != nil {
			problems = append(problems, err)
		}
	}
	now := q.Now
	if now.IsZero() {
		now = wall
	}
	now = now.UTC().Truncate(time.Second)
	if now.After(wall.Add(maxAhead)) {
		problems = append(problems, fmt.Errorf("%w: the run's clock %s is more than %s ahead of the wall clock %s", ErrClock, now.Format(time.RFC3339), span(maxAhead), wall.UTC().Format(time.RFC3339)))
	}
	switch {
	case q.From.IsZero() && q.To.IsZero():
	case q.From.IsZero() || q.To.IsZero():
		problems = append(problems, fmt.Errorf("%w: from and to: want both or none", ErrRequest))
	case !q.From.Before(q.To) || q.To.Sub(q.From) > maxRange || q.From.Unix() < 0:
		problems = append(problems, fmt.Errorf("%w: from %s to %s: want from before to, at most 31 days apart", ErrRequest, q.From.Format(time.RFC3339), q.To.Format(time.RFC3339)))
	}
	if q.Run == "" {
		q.Run = now.Format("20060102T150405Z") + "-" + rand.Text()[:8]
	}
	return rules, now, errors.Join(problems...)
}

func (r *Runner) mode(q Request) string {
	switch {
	case q.DryRun:
		return ModeDryRun
	case r.Observe:
		return ModeObserve
	default:
		return ModeEnforce
	}
}

// ask runs every rule's queries, a few rules at a time. The outcomes are in the
// order of the rules.
//
// The queries get three quarters of the time that is left: one that never
// completes must not keep the others' verdicts from being written.
func (r *Runner) ask(ctx context.Context, rules []Rule, q Request, now time.Time) []outcome {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline.Sub(r.Clock())*3/4)
		defer cancel()
	}
	outcomes := make([]outcome, len(rules))
	var wg sync.WaitGroup
	slots := make(chan struct{}, concurrent)
	for i, rule := range rules {
		if r.Term > 0 {
			rule.Term = r.Term
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			started := r.Clock()
			o := r.askOne(ctx, rule, q, now)
			o.rule, o.took = rule, r.Clock().Sub(started)
			outcomes[i] = o
		})
	}
	wg.Wait()
	return outcomes
}

func (r *Runner) askOne(ctx context.Context, rule Rule, q Request, now time.Time) (o outcome) {
	if q.From.IsZero() {
		checkpoint, _, err := r.List.Checkpoint(ctx, r.checkpoint(rule))
		if err != nil {
			o.err = fmt.Errorf("checkpoint: %w", err)
			return o
		}
		o.span, o.checkpoint = r.schedule(rule).Next(now, checkpoint)
	} else {
		o.span = Outward(q.From, q.To, rule.Window)
	}
	store := rule.Logstore
	if store == "" {
		store = r.Logstore
	}
	// Rows become detections chunk by chunk, so that a long absence costs time, not
	// memory. A chunk is whole windows, hence no window is judged in two parts.
	for _, chunk := range o.span.chunks(rule.Window, maxChunk) {
		if o.err = r.askSpan(ctx, rule, store, chunk, &o); o.err != nil {
			return o
		}
	}
	o.detections = combine(o.detections)
	return o
}

// checkpoint is the name under which the store keeps how far a rule has read. A
// rule that reads two log services reads each at its own pace.
func (r *Runner) checkpoint(rule Rule) string {
	if r.Source == "" || r.Source == SLS {
		return rule.ID
	}
	return r.Source + ":" + rule.ID
}

func (r *Runner) schedule(rule Rule) Schedule {
	s := Schedule{Window: rule.Window, Lag: rule.Lag, Lookback: r.Lookback, Overlap: r.Overlap, CatchUp: rule.Term}
	if s.Lookback <= 0 {
		s.Lookback = DefaultLookback
	}
	if s.Overlap <= 0 {
		s.Overlap = DefaultOverlap
	}
	// An older window's block would be over already; but never read less than a first run does.
	s.CatchUp = max(s.CatchUp, s.Lookback)
	return s
}

// askSpan asks about one span. An answer that was cut is asked for again in
// halves, down to single windows: who floods the log with invented addresses
// shall not be able to blind us.
func (r *Runner) askSpan(ctx context.Context, rule Rule, store string, in Span, o *outcome) error {
	o.queries++
	rows, err := r.Logs.Query(ctx, store, rule.SQL(), in.From.Add(-rule.Margin), in.To, MaxRows)
	if err != nil {
		var cut interface{ Truncated() bool }
		first, second, ok := in.halves(rule.Window)
		if !ok || !errors.As(err, &cut) || !cut.Truncated() {
			return err
		}
		if err := r.askSpan(ctx, rule, store, first, o); err != nil {
			return err
		}
		return r.askSpan(ctx, rule, store, second, o)
	}
	detections, rejected := rule.Detections(rows, in)
	o.rows += len(rows)
	o.detections = append(o.detections, detections...)
	o.rejected = addRejected(o.rejected, rejected)
	return nil
}

func (o outcome) summary() RuleSummary {
	s := RuleSummary{
		ID: o.rule.ID, Rows: o.rows, Detections: len(o.detections), Rejected: len(o.rejected),
		From: o.span.From, To: o.span.To, Queries: o.queries, Millis: o.took.Milliseconds(),
	}
	if o.err != nil {
		s.Error = o.err.Error()
	}
	return s
}

// decide reads the allowlist and sorts the detections. When it returns an error,
// nothing may be written.
func (r *Runner) decide(ctx context.Context, detections []threat.Detection, now time.Time) (Verdicts, error) {
	list, err := r.Allowlist(ctx)
	if err != nil {
		// Reported as held: without the allowlist nobody can be told from a partner.
		return Verdicts{Held: detections}, fmt.Errorf("%w, %d detections not acted upon: %w", ErrAllowlist, len(detections), err)
	}
	v := Decide(detections, func(ind threat.Indicator) (string, bool) { return list.Covers(ind, now) }, r.Brake)
	return v, v.Err()
}

func batch(run string, now time.Time, block []threat.Detection, rules map[string]Rule, checkpoints map[string]time.Time) blocklist.Batch {
	b := blocklist.Batch{Run: run, Now: now, Checkpoints: checkpoints, Offences: make([]blocklist.Offence, len(block))}
	for i, d := range block {
		b.Offences[i] = rules[d.Rule].Offence(d)
	}
	return b
}

func (r *Runner) save(ctx context.Context, report Report) error {
	text, err := json.Marshal(report)
	if err != nil {
		return fmt.Errorf("save run %s: %w", report.Run, err)
	}
	if err := r.List.SaveRun(ctx, report.Run, text); err != nil {
		return fmt.Errorf("save run %s: %w", report.Run, err)
	}
	return nil
}

// LogTrigger returns the request for an SLS log trigger: a bell that says which
// logstore has new lines. It runs the rules that read that logstore, over the time
// the bell names and the windows around it, up to now. ok is false when no rule reads that logstore.
func (r *Runner) LogTrigger(logstore string, begin, now time.Time) (q Request, ok bool) {
	var widest time.Duration
	for _, rule := range r.Rules {
		if rule.Logstore == logstore || rule.Logstore == "" && r.Logstore == logstore {
			q.Rules = append(q.Rules, rule.ID)
			widest = max(widest, rule.Window)
		}
	}
	if len(q.Rules) == 0 {
		return Request{}, false
	}
	slices.Sort(q.Rules)
	overlap := r.Overlap
	if overlap <= 0 {
		overlap = DefaultOverlap
	}
	if begin.IsZero() || begin.After(now) || now.Sub(begin) > maxRange/2 {
		begin = now
	}
	q.From, q.To = begin.Add(-time.Duration(overlap)*widest), now
	q.Now, q.Trigger = now, "log"
	return q, true
}
