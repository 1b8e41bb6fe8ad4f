package detect

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tracewall/tracewall/shared/threat"
)

// Gather asks the rules about a range of time, aligned outward to their windows, and
// then what speaks for the addresses that they name. It reads and writes nothing but
// the logs. Parts of a longer time can be gathered one after the other and joined, if
// each begins where the one before ended. The error joins those of all rules that failed; what
// the others found is good.
func (r *Runner) Gather(ctx context.Context, rules []Rule, from, to, now time.Time) (Gathered, []RuleSummary, error) {
	q := Request{From: from, To: to}
	outcomes := r.ask(ctx, accusing(rules), q, now)
	g, summaries, err := gathered(outcomes)
	facts, more, factsErr := r.context(ctx, g)
	g.Facts, g.Ordinary = facts.Facts, facts.Ordinary
	return g, append(summaries, more...), errors.Join(err, factsErr)
}

// accusing are the rules that name somebody.
func accusing(rules []Rule) []Rule {
	return slices.DeleteFunc(slices.Clone(rules), func(r Rule) bool { return r.Class == ClassContext })
}

// gathered joins the outcomes of rules, in their order.
func gathered(outcomes []outcome) (g Gathered, summaries []RuleSummary, err error) {
	var problems []error
	for _, o := range outcomes {
		summaries = append(summaries, o.summary())
		if o.err != nil {
			problems = append(problems, fmt.Errorf("rule %s: %w", o.rule.ID, o.err))
			continue
		}
		g.Detections = append(g.Detections, o.detections...)
		g.Campaigns = append(g.Campaigns, o.campaigns...)
		g.Rejected = append(g.Rejected, o.rejected...)
	}
	return g, summaries, errors.Join(problems...)
}

// contextBefore is how long before the first line that is held against anybody it is
// asked what speaks for them.
const contextBefore = time.Hour

// context asks the Runner's rules of class context, whichever others a run is about, about the addresses that were named. Without
// a name nothing is asked: it is the dearest question, about everybody's ordinary requests.
func (r *Runner) context(ctx context.Context, g Gathered) (Gathered, []RuleSummary, error) {
	var from, to time.Time
	for _, d := range g.Detections {
		if d.Indicator.Kind() != threat.KindAddress {
			continue
		}
		if from.IsZero() || d.FirstSeen.Before(from) {
			from = d.FirstSeen
		}
		if d.Until.After(to) {
			to = d.Until
		}
	}
	if from.IsZero() {
		return Gathered{}, nil, nil
	}
	from = from.Add(-contextBefore)
	var asked []Rule
	for _, rule := range r.Rules {
		if rule.Class == ClassContext {
			asked = append(asked, rule)
		}
	}
	named := map[threat.Indicator]bool{}
	for _, d := range g.Detections {
		named[d.Indicator] = true
	}
	outcomes := r.askAbout(ctx, asked, Request{From: from, To: to}, to, named)
	found, summaries, err := gathered(outcomes)
	if err != nil {
		return Gathered{}, summaries, fmt.Errorf("%w: %w", ErrContext, err)
	}
	all := Gathered{Facts: map[threat.Indicator]Facts{}}
	for _, o := range outcomes {
		all.Ordinary = saturate(all.Ordinary, o.total)
	}
	for _, d := range found.Detections {
		f := all.Facts[d.Indicator]
		all.Facts[d.Indicator] = Facts{Ordinary: saturate(f.Ordinary, d.Count), Users: max(f.Users, d.Users), Successes: saturate(f.Successes, d.Successes)}
	}
	if len(asked) > 0 {
		for ind := range named { // asked about, and nothing speaks for it
			if _, ok := all.Facts[ind]; !ok && ind.Kind() == threat.KindAddress {
				all.Facts[ind] = Facts{}
			}
		}
	}
	return all, summaries, nil
}

// Join adds what was gathered over another part of the time. rules are those that
// gathered both.
func (g *Gathered) Join(other Gathered, rules []Rule) {
	joiners := map[string]func(a, b threat.Detection) threat.Detection{}
	for _, r := range rules {
		joiners[r.ID] = r.joiner()
	}
	byRule := func(ds []threat.Detection) map[string][]threat.Detection {
		all := map[string][]threat.Detection{}
		for _, d := range ds {
			all[d.Rule] = append(all[d.Rule], d)
		}
		return all
	}
	mine, theirs := byRule(g.Detections), byRule(other.Detections)
	for id, ds := range theirs {
		mine[id] = append(mine[id], ds...)
	}
	g.Detections = g.Detections[:0:0]
	for _, id := range slices.Sorted(maps.Keys(mine)) {
		j := joiners[id]
		if j == nil {
			j = join
		}
		g.Detections = append(g.Detections, combine(mine[id], j)...)
	}
	g.Campaigns = combineCampaigns(append(g.Campaigns, other.Campaigns...))
	g.Rejected = addRejected(g.Rejected, other.Rejected)
	if g.Facts == nil {
		g.Facts = map[threat.Indicator]Facts{}
	}
	for ind, f := range other.Facts {
		mine := g.Facts[ind]
		g.Facts[ind] = Facts{Ordinary: saturate(mine.Ordinary, f.Ordinary), Users: max(mine.Users, f.Users), Successes: saturate(mine.Successes, f.Successes)}
	}
	g.Ordinary = saturate(g.Ordinary, other.Ordinary)
}

// ask runs the rules' queries, a few rules at a time. The outcomes are in the order
// of the rules.
//
// The queries get three quarters of the time that is left: one that never
// completes must not keep the others' verdicts from being written.
func (r *Runner) ask(ctx context.Context, rules []Rule, q Request, now time.Time) []outcome {
	return r.askAbout(ctx, rules, q, now, nil)
}

// askAbout is ask, and keeps of the detections only those about the named, unless that is nil: what
// speaks for addresses is asked about everybody, and of a large site that is too much to hold.
func (r *Runner) askAbout(ctx context.Context, rules []Rule, q Request, now time.Time, named map[threat.Indicator]bool) []outcome {
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
			o := r.askOne(ctx, rule, q, now, named)
			o.rule, o.took = rule, r.Clock().Sub(started)
			outcomes[i] = o
		})
	}
	wg.Wait()
	return outcomes
}

func (r *Runner) askOne(ctx context.Context, rule Rule, q Request, now time.Time, named map[threat.Indicator]bool) (o outcome) {
	o.named = named
	switch {
	case q.From.IsZero():
		checkpoint, _, err := r.List.Checkpoint(ctx, r.checkpoint(rule))
		if err != nil {
			o.err = fmt.Errorf("checkpoint: %w", err)
			return o
		}
		o.span, o.checkpoint = r.schedule(rule).Next(now, checkpoint)
	case q.Around > 0:
		o.span = Outward(q.From.Add(-time.Duration(q.Around)*rule.Window), q.To, rule.Window)
	default:
		o.span = Outward(q.From, q.To, rule.Window)
	}
	store := rule.Logstore
	if store == "" {
		store = r.Logstore
	}
	// Rows become detections chunk by chunk, so that a long absence costs time, not
	// memory. A chunk is whole windows, hence no window is judged in two parts. An
	// answer that came easily lets the next question be about twice the time.
	step := max(firstChunk, rule.Over)
	for from := o.span.From; from.Before(o.span.To); {
		chunk := Span{From: from, To: o.span.To}.first(rule.Window, step)
		started, rows := r.Clock(), o.rows
		if o.err = r.askSpan(ctx, rule, store, chunk, &o); o.err != nil {
			return o
		}
		if r.Clock().Sub(started) < easyAnswer && o.rows-rows < easyRows {
			step = min(2*step, lastChunk)
		} else {
			step = max(step/2, firstChunk, rule.Over)
		}
		from = chunk.To
	}
	o.detections = combine(o.detections, rule.joiner())
	o.campaigns = combineCampaigns(o.campaigns)
	return o
}

// askSpan asks about one span. An answer that was cut is asked for again in
// halves, down to single windows: who floods the log with invented addresses
// shall not be able to blind us.
func (r *Runner) askSpan(ctx context.Context, rule Rule, store string, in Span, o *outcome) error {
	o.queries++
	rows, err := r.Logs.Query(ctx, store, rule.SQL(), in.From.Add(-rule.Reach()), in.To, MaxRows)
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
	o.rows += len(rows)
	t := rule.tally(rows, in)
	detections := rule.detections(t, in)
	if o.named != nil {
		o.total = saturate(o.total, t.total(in))
		detections = slices.DeleteFunc(detections, func(d threat.Detection) bool { return !o.named[d.Indicator] })
	}
	o.detections = append(o.detections, detections...)
	o.campaigns = append(o.campaigns, rule.campaigns(t, in)...)
	o.rejected = addRejected(o.rejected, t.rejected.list())
	return nil
}

// outcome is what one rule came to.
type outcome struct {
	rule       Rule
	span       Span
	checkpoint time.Time // zero: leave it
	detections []threat.Detection
	campaigns  []Campaign
	rejected   []Rejected
	named      map[threat.Indicator]bool // whom alone detections are kept about; nil: everybody
	total      int64                     // of everybody, where only some are kept
	rows       int
	queries    int
	took       time.Duration
	err        error
}

func (o outcome) summary() RuleSummary {
	s := RuleSummary{
		ID: o.rule.ID, Rows: o.rows, Detections: len(o.detections), Campaigns: len(o.campaigns), Rejected: len(o.rejected),
		From: o.span.From, To: o.span.To, Queries: o.queries, Millis: o.took.Milliseconds(),
	}
	if o.err != nil {
		s.Error = o.err.Error()
	}
	return s
}
