//go:build cgo

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"go4.org/netipx"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/localcloud"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/story"
)

// benchSession starts a local cloud with a small story in it and one pass done.
// rates says whether its WAF throttles as AWS does.
func (a *app) benchSession(ctx context.Context, latency time.Duration, rates bool) (*session, *story.Story, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, nil, err
	}
	s := a.newSession(localFlags{json: true, latency: latency})
	s.line.Say("starting the local cloud")
	s.cloud, err = localcloud.New(ctx, localcloud.Config{
		Root: root, Clock: s.clock, Logstore: storyLogstore, Fields: []string{"msg", "trace_id"}, Format: "story", Latency: latency, Rates: rates, Lookback: 45 * time.Minute, OnlyAWS: true,
	})
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) (*session, *story.Story, error) { s.cloud.Close(); return nil, nil, err }
	if _, err := s.cloud.StartFunctions(ctx); err != nil {
		return fail(err)
	}
	if err := s.saveAllowlist(ctx, story.AllowlistText); err != nil {
		return fail(err)
	}
	tale, err := story.New(story.Config{Lines: 60_000, End: time.Now()})
	if err != nil {
		return fail(err)
	}
	for _, act := range []func(context.Context, *story.Story) error{s.attack, s.timer, s.firstSync} {
		if err := act(ctx, tale); err != nil {
			return fail(err)
		}
	}
	return s, tale, nil
}

// benchLatency measures from a line put into the Log Service to the address on the wall.
func (a *app) benchLatency(ctx context.Context, f benchFlags, res *benchResult) error {
	s, tale, err := a.benchSession(ctx, f.latency, true)
	if err != nil {
		return err
	}
	defer s.cloud.Close()
	defer s.line.Done()
	var total, detect, sync []float64
	var last int64
	for round := range f.rounds {
		burst, began, err := s.burst(ctx, tale, &last)
		if err != nil {
			return err
		}
		found := time.Now()
		if err := s.sync(ctx, time.Now()); err != nil {
			return err
		}
		total = append(total, time.Since(began).Seconds())
		detect = append(detect, found.Sub(began).Seconds())
		sync = append(sync, time.Since(found).Seconds())
		if err := s.allBlocked(burst); err != nil {
			return err
		}
		s.line.Update("latency", int64(round+1), int64(f.rounds), "rounds")
	}
	res.OnDemand = spreadOf(total)
	res.BySchedule = spreadOf(scheduled(detect, sync))
	return a.benchStaying(ctx, f, s, tale, res)
}

// burst writes a burst of the attack and has the alert start detect; it returns when
// detect has. began is when the first line was about to be written, last the second of
// the burst before: there is one a second, since the second is its seed.
func (s *session) burst(ctx context.Context, tale *story.Story, last *int64) (burst *story.Story, began time.Time, err error) {
	// In a window's first seconds a burst would be all in seconds that are not over yet.
	early := func(t time.Time) bool { return t.Unix()%int64(story.Window/time.Second) < 3 }
	for now := time.Now(); now.Unix() == *last || early(now); now = time.Now() {
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return burst, began, err
		}
	}
	now := time.Now().UTC()
	*last = now.Unix()
	if burst, err = tale.Burst(now, waveAttackers); err != nil {
		return burst, began, err
	}
	began = time.Now()
	if _, _, _, err := s.write(ctx, burst); err != nil {
		return burst, began, err
	}
	_, _, err = s.cloud.Alert(ctx, now, now.Add(-story.Window), now.Add(time.Second))
	return burst, began, err
}

// stayLong is how long one call of the sync function stays in the benchmark: the longest that it may.
const stayLong = 120 * time.Second

// benchStaying measures the same while the sync function stays on the handoff stream,
// from detect's return to the last of the burst's addresses on the wall.
func (a *app) benchStaying(ctx context.Context, f benchFlags, s *session, tale *story.Story, res *benchResult) error {
	var total, rest []float64
	var stay *staying
	var until time.Time
	last := time.Now().Unix()
	for round := range f.rounds {
		if now := time.Now(); stay == nil || until.Sub(now) < stayLong/10 {
			if stay != nil {
				if err := stay.end(s); err != nil {
					return err
				}
			}
			// No longer than the rounds that are left may take: somebody waits for its end.
			wait := min(stayLong, time.Duration(f.rounds-round)*4*time.Second+stayLong/10)
			stay, until = s.stay(ctx, wait), now.Add(wait)
		}
		burst, began, err := s.burst(ctx, tale, &last)
		if err != nil {
			return err
		}
		found := time.Now()
		if !stay.until(ctx, func() bool { return s.allBlocked(burst) == nil }) {
			return fmt.Errorf("sync-aws-waf left before a burst was on the wall: %w", s.allBlocked(burst))
		}
		total, rest = append(total, time.Since(began).Seconds()), append(rest, time.Since(found).Seconds())
		s.line.Update("latency while it stays", int64(round+1), int64(f.rounds), "rounds")
	}
	if err := stay.end(s); err != nil {
		return err
	}
	if n := s.cloud.Throttled(); n > 0 {
		return fmt.Errorf("%d calls were throttled: quick is not allowed to mean too often", n)
	}
	res.Staying, res.FromDetect = spreadOf(total), spreadOf(rest)
	res.FromDetectMinute = spreadOf(wholeMinute(rest))
	return nil
}

// deployedWait is template.yaml's default of how long of each minute the function stays.
const deployedWait = 50.0

// wholeMinute computes the delay at any moment of the deployed minute: what is announced
// in the seconds in which nobody stays waits for the next tick.
func wholeMinute(rest []float64) []float64 {
	r := rand.New(rand.NewPCG(3, 4))
	out := make([]float64, 20_000)
	for i := range out {
		out[i] = rest[r.IntN(len(rest))] + max(0, r.Float64()*deployedEvery-deployedWait)
	}
	return out
}

// allBlocked holds the walls against a burst: a fast answer that is wrong is no answer. A wall
// that has room for a part only is not asked.
func (s *session) allBlocked(burst *story.Story) error {
	for _, w := range s.cloud.Walls() {
		if s.full(w) {
			continue
		}
		var b netipx.IPSetBuilder
		for _, p := range w.Enforced() {
			b.AddPrefix(p)
		}
		wall, err := b.IPSet()
		if err != nil {
			return err
		}
		for _, addr := range burst.Cast().Attackers {
			if !wall.Contains(addr) {
				return fmt.Errorf("%s attacked and is not on %s", addr, w.Title)
			}
		}
	}
	return nil
}

// full tells whether a wall had no room for all when it was last written.
func (s *session) full(w localcloud.Wall) bool {
	return slices.ContainsFunc(s.report.Targets, func(t report.Target) bool { return t.Kind == w.Kind && t.Name == w.Name && t.Overflow > 0 })
}

// The deployed schedules: a timer of one minute for detect (s.yaml) and for sync-aws-waf (template.yaml), and the
// lag after which a rule believes that a moment's lines have all arrived.
const (
	deployedEvery = 60.0
	ruleLag       = 45.0
)

// scheduled computes the delay by the deployed timers from measured run times: a line waits
// until the rules' lag has passed, then for detect's next tick, then for the sync's.
func scheduled(detect, sync []float64) []float64 {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]float64, 20_000)
	for i := range out {
		ready := r.Float64() * deployedEvery // detect's tick after the lag
		out[i] = ruleLag + ready + detect[r.IntN(len(detect))] + r.Float64()*deployedEvery + sync[r.IntN(len(sync))]
	}
	return out
}

// pause waits, unless somebody ends it.
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

// benchFunctions measures each function by itself: what its cloud would bill.
func (a *app) benchFunctions(ctx context.Context, f benchFlags, res *benchResult) error {
	s, _, err := a.benchSession(ctx, 0, false)
	if err != nil {
		return err
	}
	defer s.cloud.Close()
	defer s.line.Done()
	const colds = 5
	cold, warm := map[string][]float64{}, map[string][]float64{}
	for round := range colds {
		if err := s.cloud.RestartFunctions(ctx); err != nil {
			return err
		}
		for range 1 + f.rounds/colds {
			now := time.Now().UTC()
			if _, err := s.cloud.DetectByTimer(ctx, now); err != nil {
				return err
			}
			if _, err := s.cloud.Sync(ctx, now); err != nil {
				return err
			}
		}
		// The webhook's events start detect; its own time is what it takes to answer.
		for range 1 + f.rounds/colds {
			now := time.Now().UTC()
			if _, _, err := s.cloud.Alert(ctx, now, now.Add(-story.Window), now.Add(time.Second)); err != nil {
				return err
			}
		}
		for name, t := range s.cloud.Timings() {
			cold[name] = append(cold[name], milliseconds(t.Cold))
			n := len(t.Warm)
			if name == "detect" {
				n = f.rounds / colds // the timer's events, without the alerts' smaller ones
			}
			for _, d := range t.Warm[:min(n, len(t.Warm))] {
				warm[name] = append(warm[name], milliseconds(d))
			}
		}
		s.line.Update("functions", int64(round+1), colds, "rounds")
	}
	res.Functions = map[string]coldWarm{}
	for name := range cold {
		slices.Sort(cold[name])
		c := coldWarm{Cold: quantile(cold[name], 0.5)}
		if len(warm[name]) > 0 {
			w := spreadOf(warm[name])
			c.WarmP50, c.WarmP95 = w.P50, w.P95
		}
		res.Functions[name] = c
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// executable is this program, for parts that measure a whole process.
func executable() (string, error) { return os.Executable() }
