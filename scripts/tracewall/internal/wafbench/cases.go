package wafbench

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// Promise is what a case may cost at most, in the mean.
type Promise struct {
	Writes  float64 `json:"writes"`
	Calls   float64 `json:"calls"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
}

// scenario is one line of the table.
type scenario struct {
	name    string
	promise *Promise // nil: nothing is promised, the line is there to be known
	cold    bool     // each run begins with nothing of ours there
	fresh   bool     // each run is a new process', which remembers nothing
	runs    int
	step    func(h *History) // what changes before each run
}

// turn says when a scenario has its turn, where one follows the other.
func (sc scenario) turn() int {
	switch {
	case sc.cold:
		return 0
	case sc.fresh:
		return 2
	}
	return 1
}

// scenarios are the lines of the table for lists of n.
func scenarios(o Options) []scenario {
	percent := max(1, o.Addresses/100)
	few := max(1, o.Runs/10)
	return []scenario{
		{name: "cold", cold: true, fresh: true, runs: 1, promise: &Promise{14, 18, 2_000_000, 15}},
		{name: "no change", fresh: true, runs: few, promise: &Promise{0, 2, 1000, 1}},
		{name: "one removed, one added", runs: few, promise: &Promise{1, 4, 200_000, 1}, step: func(h *History) { h.Random(1, 1) }},
		{name: "1 % random churn", runs: o.Runs, promise: &Promise{3, 8, 400_000, 4}, step: func(h *History) { h.Random(percent, percent) }},
		{name: "1 % churn by expiry", runs: o.Runs, promise: &Promise{2, 6, 400_000, 3}, step: func(h *History) { h.Expire(percent) }},
		{name: "growth by 1 %", runs: few, step: func(h *History) { h.Random(0, percent) }},
		{name: "1 % random churn, each run a new process", fresh: true, runs: few, step: func(h *History) { h.Random(percent, percent) }},
	}
}

// Case is one line of the table, measured.
type Case struct {
	Name      string   `json:"case"`
	Tracewall Numbers  `json:"tracewall"`
	Story     *Numbers `json:"story,omitempty"`
	Promise   *Promise `json:"promised,omitempty"`
	// Failed says in words what was promised and not kept.
	Failed []string `json:"failed,omitempty"`
}

// Numbers are what a scheme's runs of one case cost.
type Numbers struct {
	Runs   int     `json:"runs"`
	Writes float64 `json:"writes"` // mean
	Calls  float64 `json:"calls"`
	Bytes  float64 `json:"bytes"`
	// Actions are the calls of each action; mean.
	Actions map[string]float64 `json:"calls_by_action"`
	// Seconds at AWS's quotas and 50 ms a call: computed from the calls of each run for
	// tracewall, which paces itself, and simulated with the SDK's own waits for the story; mean.
	Seconds float64 `json:"seconds"`
	// Real is the time of one run on the real clock, the program's own time included,
	// with the quotas in force. Nil: not run.
	Real *float64 `json:"seconds_real,omitempty"`
	// Throttled calls of the runs with the quotas in force, per run.
	Throttled float64 `json:"throttled"`
	// Aborted is how many runs the quotas ended, for each that got through.
	Aborted float64 `json:"aborted"`
	// Unprotected is the most addresses that were blocked, are wanted, and were not
	// blocked at one moment, over all runs; Faulted of these had a fault in them.
	Unprotected int `json:"unprotected"`
	Faulted     int `json:"runs_with_fault"`
}

func (n *Numbers) add(c cost) {
	k := float64(n.Runs)
	roll := func(old *float64, v float64) { *old = (*old*k + v) / (k + 1) }
	roll(&n.Writes, float64(c.writes))
	roll(&n.Calls, float64(c.calls))
	roll(&n.Bytes, float64(c.bytes))
	roll(&n.Seconds, c.seconds)
	if n.Actions == nil {
		n.Actions = map[string]float64{}
	}
	for action := range c.actions {
		n.Actions[action] += 0
	}
	for action, mean := range n.Actions {
		roll(&mean, float64(c.actions[action]))
		n.Actions[action] = mean
	}
	n.Unprotected = max(n.Unprotected, c.unprotected)
	n.Runs++
}

// actions says which calls there were.
func (n *Numbers) actions() string {
	var words []string
	for _, action := range slices.Sorted(maps.Keys(n.Actions)) {
		words = append(words, short(n.Actions[action])+" "+action)
	}
	return strings.Join(words, ", ")
}

// bench is one scheme on one stage with one history.
type bench struct {
	*stage
	scheme  scheme
	history *History
}

func (b *bench) close() { b.stage.close() }

// once is one run, which must leave the wall equal to the list.
func (b *bench) once(ctx context.Context) (cost, error) {
	want := b.history.Desired()
	wanted := prefixesOf(want.Wants)
	c, err := b.run(wanted, func() error { return b.scheme.sync(ctx, want) })
	if err != nil {
		return c, err
	}
	return c, b.equal(wanted)
}

// faulty is a run with a fault in it and the one after it, which must repair what the
// first one left. It returns the most unprotected addresses of both.
func (b *bench) faulty(ctx context.Context, rng *rand.Rand, calls int) (int, error) {
	want := b.history.Desired()
	wanted := prefixesOf(want.Wants)
	runCtx, cancel := b.trouble(ctx, rng, calls)
	c, err := b.run(wanted, func() error { return b.scheme.sync(runCtx, want) })
	killed := runCtx.Err() != nil
	cancel()
	b.calm()
	if err != nil && killed {
		if err := b.scheme.restart(); err != nil {
			return 0, err
		}
	}
	again, err := b.once(ctx)
	return max(c.unprotected, again.unprotected), err
}

// opener makes a bench with nothing of ours in it.
type opener func(opts waftest.AWSOptions) (*bench, error)

func (o Options) tracewall(pace bool) opener {
	return func(opts waftest.AWSOptions) (*bench, error) {
		s, err := newStage(opts)
		if err != nil {
			return nil, err
		}
		var p *awswaf.Pace
		if pace {
			p = awswaf.NewPace(awswaf.WriteEvery, awswaf.ReadEvery)
		}
		t, err := newTracewall(s, target(o.SetSize), p)
		if err != nil {
			s.close()
			return nil, err
		}
		return &bench{stage: s, scheme: t, history: o.history()}, nil
	}
}

func (o Options) story(c *clock) opener {
	return func(opts waftest.AWSOptions) (*bench, error) {
		s, err := newStage(opts)
		if err != nil {
			return nil, err
		}
		s.clock = c
		return &bench{stage: s, scheme: newStory(s, c, max(1, o.SetSize/2)), history: o.history()}, nil
	}
}

// history is the list that every case begins with.
func (o Options) history() *History {
	if len(o.Lists) > 0 {
		return FromList(1, o.Lists[0])
	}
	return NewHistory(1, o.Addresses)
}

// measure plays a scenario: clean runs for the means, and then runs with faults in them.
func (o Options) measure(ctx context.Context, sc scenario, open opener, runs, faulted int, n *Numbers) (err error) {
	o.say("%s: %d runs and %d with a fault", sc.name, runs, faulted)
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", sc.name, err)
		}
	}()
	b, err := open(waftest.AWSOptions{})
	if err != nil {
		return err
	}
	defer func() { b.close() }()
	if !sc.cold {
		if _, err := b.once(ctx); err != nil {
			return fmt.Errorf("fill the wall: %w", err)
		}
	}
	next := func() error {
		if sc.cold {
			b.close()
			var err error
			if b, err = open(waftest.AWSOptions{}); err != nil {
				return err
			}
		}
		if sc.step != nil {
			sc.step(b.history)
		}
		if sc.fresh {
			return b.scheme.restart()
		}
		return ctx.Err()
	}
	for i := range runs {
		if err := next(); err != nil {
			return err
		}
		c, err := b.once(ctx)
		if err != nil {
			return fmt.Errorf("run %d: %w", i+1, err)
		}
		n.add(c)
	}
	rng := rand.New(rand.NewPCG(3, uint64(len(sc.name))))
	for i := range faulted {
		if err := next(); err != nil {
			return err
		}
		worst, err := b.faulty(ctx, rng, int(n.Calls)+1)
		if err != nil {
			return fmt.Errorf("run %d with a fault, and the one after it: %w", i+1, err)
		}
		n.Unprotected = max(n.Unprotected, worst)
		n.Faulted++
	}
	return nil
}

// real plays one run of each case, one after the other, on the real clock with the
// quotas in force. Between two runs it waits until the first one's last call is as
// good as forgotten; in use it was a minute ago.
func (o Options) real(ctx context.Context, list []scenario, into []*Numbers) error {
	b, err := o.tracewall(true)(waftest.AWSOptions{RateLimits: true, Latency: latency})
	if err != nil {
		return err
	}
	defer b.close()
	// Those that need a new process come last: the others are a running one's.
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(list[i].turn(), list[j].turn()) })
	for _, i := range order {
		sc := list[i]
		if err := pause(ctx, 2*awswaf.WriteEvery); err != nil {
			return err
		}
		if sc.step != nil {
			sc.step(b.history)
		}
		if sc.fresh {
			if err := b.scheme.restart(); err != nil {
				return err
			}
		}
		want := b.history.Desired()
		b.aws.Forget()
		b.unwatched = true // looking takes the stand-in's time
		began := time.Now()
		err := b.scheme.sync(ctx, want)
		took := time.Since(began).Seconds()
		b.unwatched = false
		if err == nil {
			err = b.equal(prefixesOf(want.Wants))
		}
		if err != nil {
			return fmt.Errorf("%s, with the quotas in force: %w", sc.name, err)
		}
		into[i].Real, into[i].Throttled = &took, float64(costOf(b.aws.Calls()).throttled)
	}
	return nil
}

// maxTries bounds how often the story's program is started for one run that gets through.
const maxTries = 200

// storyAtQuotas simulates the story's runs with the quotas in force, one case after
// the other, a minute apart. A run that the quotas end is started again at once,
// which its schedule would not do.
func (o Options) storyAtQuotas(ctx context.Context, list []scenario, times int, into []*Numbers) error {
	for i := range times {
		clock := newClock(uint64(i))
		b, err := o.story(clock)(waftest.AWSOptions{RateLimits: true, Now: clock.Now})
		if err != nil {
			return err
		}
		err = o.storyDay(ctx, b, list, into)
		b.close()
		if err != nil {
			return err
		}
	}
	for _, n := range into {
		n.Seconds, n.Throttled, n.Aborted = n.Seconds/float64(times), n.Throttled/float64(times), n.Aborted/float64(times)
	}
	return nil
}

func (o Options) storyDay(ctx context.Context, b *bench, list []scenario, into []*Numbers) error {
	for i, sc := range list {
		n := into[i]
		b.clock.advance(time.Minute)
		if sc.step != nil {
			sc.step(b.history)
		}
		want := b.history.Desired()
		wanted := prefixesOf(want.Wants)
		began := b.clock.Now()
		for try := 1; ; try++ {
			c, err := b.run(wanted, func() error { return b.scheme.sync(ctx, want) })
			n.Throttled += float64(c.throttled)
			n.Unprotected = max(n.Unprotected, c.unprotected)
			if err == nil {
				break
			}
			n.Aborted++
			if c.throttled == 0 || try == maxTries {
				return fmt.Errorf("%s, the story's program, try %d: %w", sc.name, try, err)
			}
		}
		n.Seconds += b.clock.Now().Sub(began).Seconds()
		if err := b.equal(wanted); err != nil {
			return fmt.Errorf("%s, the story's program: %w", sc.name, err)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
