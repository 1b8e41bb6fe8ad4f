package detect

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
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
	Histories(ctx context.Context, now time.Time, inds []threat.Indicator) (map[threat.Indicator]blocklist.History, error)
	Size(ctx context.Context, now time.Time) (int, error)
	UseApproval(ctx context.Context, target string) (blocklist.Approval, bool, error)
	SaveCases(ctx context.Context, cases []blocklist.Case) error
	State(ctx context.Context, name string) ([]byte, bool, error)
	SaveState(ctx context.Context, name string, data []byte) error
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
	Around  int       // with From: read also so many windows of each rule before it
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
	Policy    Policy
	// Intelligence returns what others know of addresses; asked once a run. Nil, in itself or returned: nothing.
	Intelligence func(ctx context.Context) (Intelligence, error)
	Crawlers     Crawlers                     // nil: DNS is not asked
	Network      func(addr netip.Addr) string // whose network an address is of, for people; nil: not known
	Clock        func() time.Time             // the wall clock
}

// Bounds of a run.
const (
	firstChunk = time.Hour       // what one query covers; it grows while answers come easily,
	lastChunk  = 24 * time.Hour  // up to this
	easyAnswer = 5 * time.Second // SLS ends a query after 55 s
	easyRows   = 100_000
	maxAhead   = 5 * time.Minute // how far an event's clock may be ahead of the wall clock
	maxRange   = 31 * 24 * time.Hour
	concurrent = 2 // rules at once: SLS allows 15 SQL queries at once in a whole project
)

// Run reads the logs, decides, and writes what it has decided, all of it or
// nothing. What can be done is done: when one rule fails, the others' verdicts
// still count, its own checkpoint stays where it is, and the returned error asks
// for the run to be repeated. The report is good even when the error is not nil.
//
// Nobody is blocked and no checkpoint moves when the allowlist cannot be read
// (ErrAllowlist), when what speaks for addresses cannot (ErrContext), or when the
// brake holds (ErrHeld), nor in observe mode or a dry run, whose reports are
// otherwise those of a real run.
func (r *Runner) Run(ctx context.Context, q Request) (Report, error) {
	started := r.Clock()
	rules, now, err := r.check(&q, started)
	if err != nil {
		return Report{}, fmt.Errorf("detect: %w", err)
	}
	report := Report{Summary: Summary{Run: q.Run, Mode: r.mode(q), Trigger: q.Trigger, AsOf: now}}
	m, err := r.recall(ctx)
	if err != nil {
		return report, fmt.Errorf("detect: %w", err)
	}
	rules = m.promoted(rules, now)
	if q.From.IsZero() {
		rules = m.due(rules, now)
	}

	outcomes := r.ask(ctx, accusing(rules), q, now)
	g, summaries, err := gathered(outcomes)
	problems := []error{err}
	facts, more, factsErr := r.context(ctx, g)
	g.Facts, g.Ordinary = facts.Facts, facts.Ordinary
	report.Rules = append(summaries, more...)

	v, judgeErr := r.judge(ctx, g, now, report.Mode == ModeEnforce && factsErr == nil)
	if factsErr != nil { // nobody can be told from an office
		v.Held, v.Block, v.Challenge = append(v.Held, v.Act()...), nil, nil
	}
	safe := factsErr == nil && judgeErr == nil
	problems = append(problems, factsErr, judgeErr)
	report.fill(v, g.Rejected)
	if report.Mode != ModeDryRun {
		// Before the list: whoever is on it has a case, also when this process ends in between.
		if err := r.keep(ctx, report, v, rules); err != nil {
			// To run again would not bring them back, since by then nobody is new.
			report.Notes = append(report.Notes, "not kept, so that tracewall explain will not know why: "+err.Error())
		}
	}
	if safe && report.Mode == ModeEnforce {
		b := r.batch(q.Run, now, v, outcomes)
		changes, err := r.List.Put(ctx, b)
		if err != nil {
			problems = append(problems, fmt.Errorf("put %d offences: %w", len(b.Offences), err))
		}
		report.Added, report.Extended, report.Unchanged = changes.Added, changes.Extended, changes.Unchanged
	}
	if report.Mode != ModeDryRun && q.From.IsZero() && safe {
		problems = append(problems, r.remind(ctx, outcomes, v.all(), now))
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

// batch is what a run writes to the list, with the checkpoints of the rules that were read whole.
func (r *Runner) batch(run string, now time.Time, v Verdicts, outcomes []outcome) blocklist.Batch {
	b := blocklist.Batch{Run: run, Now: now, Checkpoints: map[string]time.Time{}, Offences: []blocklist.Offence{}}
	for _, j := range v.Act() {
		b.Offences = append(b.Offences, j.offences()...)
	}
	for _, o := range outcomes {
		if o.err == nil && !o.checkpoint.IsZero() {
			b.Checkpoints[r.checkpoint(o.rule)] = o.checkpoint
		}
	}
	return b
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

func (r *Runner) save(ctx context.Context, report Report) error {
	text, err := json.Marshal(report)
	for most := MaxListed / 2; err == nil && len(text) > blocklist.MaxRecord && most > 0; most /= 2 {
		report.cut(most) // the numbers still count everybody
		text, err = json.Marshal(report)
	}
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
// the bell names and the windows around it, up to now; rules that are asked less often than
// each run (Every) wait for their time. ok is false when no rule reads that logstore.
func (r *Runner) LogTrigger(logstore string, begin, now time.Time) (q Request, ok bool) {
	for _, rule := range r.Rules {
		if (rule.Logstore == logstore || rule.Logstore == "" && r.Logstore == logstore) && rule.Every == 0 && rule.Class != ClassContext {
			q.Rules = append(q.Rules, rule.ID)
		}
	}
	if len(q.Rules) == 0 {
		return Request{}, false
	}
	slices.Sort(q.Rules)
	q.Around = r.Overlap
	if q.Around <= 0 {
		q.Around = DefaultOverlap
	}
	if begin.IsZero() || begin.After(now) || now.Sub(begin) > maxRange/2 {
		begin = now
	}
	// A range that ends where it begins would be none.
	q.From, q.To = begin.Add(-time.Second), now
	q.Now, q.Trigger = now, "log"
	return q, true
}
