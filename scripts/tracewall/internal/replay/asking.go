//go:build cgo

package replay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/sls/slstest"
	"github.com/tracewall/tracewall/shared/threat"
)

// asked is one rule and how far it has been asked.
type asked struct {
	rule    detect.Rule
	witness bool // of Config.Witness
	query   string
	window  int64 // seconds, as is margin
	margin  int64
	next    int64         // start of the first window that has not been asked about; 0: none has
	cost    time.Duration // of the last question
	sums    *sums         // nil unless the rule's counts add up over windows
	summary detect.RuleSummary
}

func newAsked(rules, witness []detect.Rule) []*asked {
	all := make([]*asked, len(rules)+len(witness))
	for i, r := range slices.Concat(rules, witness) {
		all[i] = &asked{
			rule: r, witness: i >= len(rules), query: r.SQL(), window: int64(r.Window / time.Second), margin: int64(r.Margin / time.Second),
			summary: detect.RuleSummary{ID: r.ID},
		}
		if r.Over > 0 {
			all[i].sums = newSums(r)
		}
	}
	return all
}

// question is one rule to be asked about whole windows.
type question struct {
	rule int // index
	span detect.Span
}

// due tells whether the rule shall be asked now, and about what. Windows that end before
// complete are; at the last, all are.
//
// A rule with a margin reads the margin's lines again each time. It waits until as many
// lines have come as that margin holds, or a batch of them in a busy log: the more lines one
// question is about, the more memory it takes.
func (a *asked) due(r *replay, i int, complete int64, last bool) (question, bool) {
	first := r.result.Read.First.Unix()
	from := a.next
	if from == 0 {
		from = first - first%a.window
	}
	to := complete - complete%a.window
	if last {
		end := r.result.Read.Last.Unix() + 1
		to = end + (a.window-end%a.window)%a.window
	}
	if to <= from {
		return question{}, false
	}
	if a.margin > 0 && !last && min(r.stream.Count(from-a.margin, from), r.config.Batch) > r.stream.Count(from, to) {
		return question{}, false
	}
	a.next = to
	return question{rule: i, span: detect.Span{From: time.Unix(from, 0).UTC(), To: time.Unix(to, 0).UTC()}}, true
}

// needs is the time of the oldest line that a question to come may read.
func (a *asked) needs() int64 { return a.next - a.margin }

// answer is what one question came to.
type answer struct {
	question
	detections []threat.Detection
	campaigns  []detect.Campaign
	rejected   []detect.Rejected
	rows       int
	queries    int
	took       time.Duration
	err        error
}

// answered is a batch, in the order of the rules.
type answered struct {
	answers []answer
	err     error
}

// answer asks a batch's questions, as many at once as there are CPUs.
func (r *replay) answer(ctx context.Context, due []question) answered {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	byRule := make([]*answer, len(r.asked))
	var wait sync.WaitGroup
	var next atomic.Int64
	for range min(r.config.Threads, len(due)) {
		wait.Go(func() {
			for {
				at := int(next.Add(1)) - 1
				if at >= len(due) {
					return
				}
				ans := r.askOne(ctx, due[at])
				byRule[ans.rule] = &ans
				if ans.err != nil {
					cancel()
				}
			}
		})
	}
	wait.Wait()
	var done answered
	for _, ans := range byRule {
		switch {
		case ans == nil:
		case ans.err == nil:
			done.answers = append(done.answers, *ans)
		case done.err == nil || errors.Is(done.err, context.Canceled): // who was stopped says less than who failed
			done.err = fmt.Errorf("rule %s: %w", r.asked[ans.rule].rule.ID, ans.err)
		}
	}
	return done
}

func (r *replay) askOne(ctx context.Context, q question) answer {
	began := time.Now()
	ans := answer{question: q}
	a := r.asked[q.rule]
	ans.err = r.askSpan(ctx, a, q.span, &ans)
	ans.took = time.Since(began)
	return ans
}

// askSpan asks about a span. An answer as long as the service's longest counts as cut, and
// is asked for in halves, as the functions do; so is one that does not fit into memory.
func (r *replay) askSpan(ctx context.Context, a *asked, in detect.Span, ans *answer) error {
	ans.queries++
	result, err := r.query(ctx, a, in)
	rows := result.Rows
	if errors.Is(err, slstest.ErrMemory) || len(rows) >= detect.MaxRows {
		windows := int64(in.To.Sub(in.From)/time.Second) / a.window
		if windows < 2 && err != nil {
			return fmt.Errorf("one window, %s, takes more memory than the %d MB that answers may use; give it more: %w", in, engineMemory(r.config.Memory)>>20, err)
		}
		if windows < 2 {
			return fmt.Errorf("more than %d rows in the one window %s: raise its threshold", detect.MaxRows-1, in)
		}
		middle := in.From.Add(time.Duration(windows/2*a.window) * time.Second)
		if err := r.askSpan(ctx, a, detect.Span{From: in.From, To: middle}, ans); err != nil {
			return err
		}
		return r.askSpan(ctx, a, detect.Span{From: middle, To: in.To}, ans)
	}
	if err != nil {
		return err
	}
	ans.rows += len(rows)
	if a.sums != nil {
		rows = a.sums.add(rows, in)
	}
	detections, rejected := a.rule.Detections(rows, in)
	campaigns, more := a.rule.Campaigns(rows, in)
	ans.detections = append(ans.detections, detections...)
	ans.campaigns = append(ans.campaigns, campaigns...)
	ans.rejected = append(ans.rejected, append(rejected, more...)...)
	return nil
}

// query asks the engine, when there is room beside the others. What does not fit into memory all
// the same is asked again alone, so that it does not depend on the others whether it must be halved.
func (r *replay) query(ctx context.Context, a *asked, in detect.Span) (slstest.Result, error) {
	from := in.From.Add(-a.rule.Margin)
	ask := func(room int64) (slstest.Result, error) {
		if err := r.room.Acquire(ctx, room); err != nil {
			return slstest.Result{}, err
		}
		defer r.room.Release(room)
		return r.server.Query(ctx, logstore, a.query, from, in.To)
	}
	result, err := ask(min(max(r.stream.Count(from.Unix(), in.To.Unix()), 1), linesAtOnce))
	if errors.Is(err, slstest.ErrMemory) {
		return ask(linesAtOnce)
	}
	return result, err
}

// note adds an answer to the rule's summary.
func (a *asked) note(ans answer) {
	s := &a.summary
	a.cost = ans.took
	s.Rows += ans.rows
	s.Queries += ans.queries
	s.Detections += len(ans.detections)
	s.Campaigns += len(ans.campaigns)
	s.Rejected += len(ans.rejected)
	s.Millis += ans.took.Milliseconds()
	if s.From.IsZero() {
		s.From = ans.span.From
	}
	s.To = ans.span.To
}
