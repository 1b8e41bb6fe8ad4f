package enforce_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// told is one pass that a Watch told of.
type told struct {
	res   enforce.Result
	err   error
	after time.Duration
}

// vigil is a Watch of 50 s under a platform's deadline of 90 s, in a synctest bubble.
type vigil struct {
	list *blocklisttest.Fake
	bell enforce.Bell // the list's own if nil
	wait time.Duration

	mu    sync.Mutex
	start time.Time
	told  []told
}

// run watches walls, doing each thing at its time, and returns when the watch is over.
func (v *vigil) run(t *testing.T, walls []enforce.Wall, things map[time.Duration]func()) ([]enforce.Result, time.Duration, error) {
	t.Helper()
	v.start = time.Now()
	for after, do := range things {
		time.AfterFunc(after, do)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	bell := v.bell
	if bell == nil {
		bell = v.list
	}
	got, err := enforce.Watch{
		Pass: passOf(v.list, now), Bell: bell, Wait: v.wait, Clock: time.Now,
		Each: func(res enforce.Result, err error) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.told = append(v.told, told{res, err, time.Since(v.start)})
		},
	}.Run(ctx, walls)
	return got, time.Since(v.start), err
}

// passes returns when the passes over a wall were over.
func (v *vigil) passes(name string) (times []time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, one := range v.told {
		if one.res.Name == name {
			times = append(times, one.after)
		}
	}
	return times
}

func TestAWatchWithoutWaitingIsOnePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vigil{list: listOf(t, "", some(3)...)}
		a, b := &waftest.Wall{Base: "a"}, &waftest.Wall{Base: "b"}
		got, took, err := v.run(t, []enforce.Wall{wallOf("a", a), wallOf("b", b)}, nil)
		if err != nil || len(got) != 2 || got[0].Name != "a" || got[1].Enforced != 3 || took != 0 || len(v.told) != 2 {
			t.Errorf("results = %+v, err = %v after %s, told %d", got, err, took, len(v.told))
		}
	})
}

func TestWhatIsAnnouncedIsEnforcedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vigil{list: listOf(t, "", some(3)...), wait: 50 * time.Second}
		w := &waftest.Wall{}
		got, took, err := v.run(t, []enforce.Wall{wallOf("w", w)}, map[time.Duration]func(){
			10 * time.Second: func() { block(t, v.list, now.Add(10*time.Second), "ip:20.9.9.1") },
			// Several at once are one pass.
			20 * time.Second:                        func() { block(t, v.list, now.Add(20*time.Second), "ip:20.9.9.3") },
			20*time.Second + 50*time.Millisecond:    func() { block(t, v.list, now.Add(20*time.Second), "ip:20.9.9.5") },
			20*time.Second + 90*time.Millisecond:    func() { block(t, v.list, now.Add(20*time.Second), "ip:20.9.9.7") },
			49*time.Second + 999*time.Millisecond:   func() { block(t, v.list, now.Add(49*time.Second), "ip:20.9.9.9") },
			50*time.Second + 10001*time.Millisecond: func() { block(t, v.list, now.Add(50*time.Second), "ip:20.9.9.11") },
		})
		if err != nil || got[0].Enforced != 8 || len(w.Enforced()) != 8 {
			t.Errorf("results = %+v, err = %v", got, err)
		}
		times := v.passes("w")
		want := []time.Duration{0, 10 * time.Second, 20 * time.Second, 50 * time.Second}
		if len(times) != len(want) {
			t.Fatalf("passes at %v, want about %v", times, want)
		}
		for i := range want {
			if times[i] < want[i] || times[i] > want[i]+200*time.Millisecond {
				t.Errorf("passes at %v, want about %v", times, want)
			}
		}
		if took < 50*time.Second || took > 51*time.Second {
			t.Errorf("it took %s, want 50 s", took)
		}
		// A later pass stands for a later moment.
		if s := statusOf(t, v.list, "w"); !s.AsOf.Equal(now.Add(50 * time.Second)) {
			t.Errorf("status as of %s, want %s", s.AsOf, now.Add(50*time.Second))
		}
	})
}

// What is announced while the first pass reads the list must ring.
func TestWhatIsAnnouncedDuringThePassIsNotMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vigil{list: listOf(t, "", some(3)...), wait: 50 * time.Second}
		w := &waftest.Wall{}
		var once sync.Once
		w.AfterWrite = func(string, string) { once.Do(func() { block(t, v.list, now, "ip:20.9.9.1") }) }
		if _, _, err := v.run(t, []enforce.Wall{wallOf("w", w)}, nil); err != nil || len(w.Enforced()) != 4 {
			t.Errorf("err = %v, %d enforced, want 4", err, len(w.Enforced()))
		}
		if times := v.passes("w"); len(times) != 2 || times[1] > 200*time.Millisecond {
			t.Errorf("passes at %v, want the second at once", times)
		}
	})
}

func TestBetweenPassesNoLeaseIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vigil{list: listOf(t, "", some(3)...), wait: 50 * time.Second}
		w := &waftest.Wall{}
		_, _, err := v.run(t, []enforce.Wall{wallOf("w", w)}, map[time.Duration]func(){
			10 * time.Second: func() {
				lease, err := v.list.Acquire(t.Context(), "sync:test-waf:w", time.Minute)
				if err != nil {
					t.Errorf("another run: %v", err)
					return
				}
				_ = lease.Release(t.Context())
			},
		})
		if err != nil {
			t.Error(err)
		}
	})
}

// slow is a firewall that takes its time to look.
type slow struct {
	waf.SetFirewall
	takes time.Duration
}

func (f slow) Look(ctx context.Context) (waf.State, error) {
	select {
	case <-ctx.Done():
		return waf.State{}, ctx.Err()
	case <-time.After(f.takes):
		return f.SetFirewall.Look(ctx)
	}
}

func TestAHangingWallDelaysNoOthersNextPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vigil{list: listOf(t, "", some(3)...), wait: 50 * time.Second}
		good, late := &waftest.Wall{Base: "good"}, &waftest.Wall{Base: "late"}
		walls := []enforce.Wall{
			{Name: "hung", Firewall: hung{}}, wallOf("good", good), {Name: "late", Firewall: slow{late.Open(), 12 * time.Second}},
		}
		got, took, err := v.run(t, walls, map[time.Duration]func(){
			10 * time.Second: func() { block(t, v.list, now.Add(10*time.Second), "ip:20.9.9.1") },
			20 * time.Second: func() { block(t, v.list, now.Add(20*time.Second), "ip:20.9.9.3") },
		})
		if err == nil || got[0].Error == "" || got[1].Error != "" || got[2].Error != "" || len(good.Enforced()) != 5 || len(late.Enforced()) != 5 {
			t.Errorf("results = %+v, err = %v", got, err)
		}
		if times := v.passes("good"); len(times) != 3 || times[1] > 11*time.Second || times[2] > 21*time.Second {
			t.Errorf("good's passes at %v, want one at each announcement", times)
		}
		// What came while it was busy is one more pass after it.
		if times := v.passes("late"); len(times) != 3 || times[1] != 24*time.Second || times[2] != 36*time.Second {
			t.Errorf("late's passes at %v, want 12 s, 24 s and 36 s", times)
		}
		if took >= 90*time.Second {
			t.Errorf("it took %s, longer than the platform gives", took)
		}
	})
}

func TestAWallThatAnotherRunHoldsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vigil{list: listOf(t, "", some(3)...), wait: 50 * time.Second}
		w := &waftest.Wall{}
		lease, err := v.list.Acquire(t.Context(), "sync:test-waf:w", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := v.run(t, []enforce.Wall{wallOf("w", w)}, map[time.Duration]func(){
			5500 * time.Millisecond: func() { _ = lease.Release(t.Context()) },
		})
		times := v.passes("w")
		if err != nil || got[0].Skipped != "" || len(w.Enforced()) != 3 || len(times) != 2 || times[1] > 7*time.Second {
			t.Errorf("results = %+v, err = %v, told of at %v; want it skipped once and done after 6 s", got, err, times)
		}
		// It stands for its own moment, not for that of the run that was skipped.
		if s := statusOf(t, v.list, "w"); s.AsOf.Before(now.Add(5 * time.Second)) {
			t.Errorf("status as of %s, want %s at least", s.AsOf, now.Add(5*time.Second))
		}
	})
}

func TestAnErrorEndsNoWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vigil{list: listOf(t, "", some(3)...), wait: 50 * time.Second}
		w := &waftest.Wall{OnWrite: func(string, string) (bool, error) {
			if time.Since(v.start) < 5*time.Second {
				return false, waf.ErrThrottled
			}
			return true, nil
		}}
		got, _, err := v.run(t, []enforce.Wall{wallOf("w", w)}, map[time.Duration]func(){
			10 * time.Second: func() { block(t, v.list, now.Add(10*time.Second), "ip:20.9.9.1") },
		})
		if err != nil || got[0].Error != "" || len(w.Enforced()) != 4 || len(v.told) != 2 || v.told[0].err == nil {
			t.Errorf("results = %+v, err = %v, told %+v; want the first to fail and the second not", got, err, v.told)
		}
	})
}

// bell is a bell that fails, or answers without reason, at will.
type bell struct {
	enforce.Bell
	mu   sync.Mutex
	err  error
	asks int
}

func (b *bell) set(err error) { b.mu.Lock(); defer b.mu.Unlock(); b.err = err }

func (b *bell) Await(ctx context.Context, after string, timeout time.Duration) (string, error) {
	b.mu.Lock()
	b.asks++
	err := b.err
	b.mu.Unlock()
	if err != nil {
		return after, err
	}
	return b.Bell.Await(ctx, after, timeout)
}

func TestABellThatFailedForAWhileRingsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vigil{list: listOf(t, "", some(3)...), wait: 50 * time.Second}
		broken := &bell{Bell: v.list, err: errors.New("connection lost")}
		v.bell = broken
		w := &waftest.Wall{}
		_, _, err := v.run(t, []enforce.Wall{wallOf("w", w)}, map[time.Duration]func(){
			5 * time.Second:  func() { block(t, v.list, now.Add(5*time.Second), "ip:20.9.9.1") },
			10 * time.Second: func() { broken.set(nil) },
			20 * time.Second: func() { block(t, v.list, now.Add(20*time.Second), "ip:20.9.9.3") },
		})
		times := v.passes("w")
		if err != nil || len(w.Enforced()) != 5 || len(times) != 3 || times[1] > 12*time.Second || times[2] > 21*time.Second {
			t.Errorf("err = %v, %d enforced, passes at %v", err, len(w.Enforced()), times)
		}
		if broken.asks > 30 {
			t.Errorf("%d questions in 50 s", broken.asks)
		}
	})
}

func TestABellThatNeverWorksIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no permission")
		v := &vigil{list: listOf(t, "", some(3)...), wait: 50 * time.Second}
		v.bell = &bell{Bell: v.list, err: broken}
		w := &waftest.Wall{}
		got, took, err := v.run(t, []enforce.Wall{wallOf("w", w)}, nil)
		if !errors.Is(err, broken) || got[0].Error != "" || len(w.Enforced()) != 3 || took > 51*time.Second {
			t.Errorf("results = %+v, err = %v after %s; want the wall done and the bell's error", got, err, took)
		}
	})
}

// restless is a bell that comes back at once and has nothing to say.
type restless struct{ asks int }

func (b *restless) Await(context.Context, string, time.Duration) (string, error) {
	b.asks++
	return "1-0", nil
}

func TestARestlessBellMakesNoBusyLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &restless{}
		v := &vigil{list: listOf(t, "", some(3)...), wait: 50 * time.Second, bell: b}
		if _, _, err := v.run(t, []enforce.Wall{wallOf("w", &waftest.Wall{})}, nil); err != nil || b.asks > 600 || len(v.told) != 1 {
			t.Errorf("err = %v, %d questions, %d passes", err, b.asks, len(v.told))
		}
	})
}

func TestNoPassBeginsShortBeforeTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The platform gives 90 s; a wait of two minutes cannot be kept.
		v := &vigil{list: listOf(t, "", some(3)...), wait: 2 * time.Minute}
		w := &waftest.Wall{}
		_, took, err := v.run(t, []enforce.Wall{wallOf("w", w)}, map[time.Duration]func(){
			59 * time.Second: func() { block(t, v.list, now.Add(59*time.Second), "ip:20.9.9.1") },
			61 * time.Second: func() { block(t, v.list, now.Add(61*time.Second), "ip:20.9.9.3") },
		})
		if err != nil || took > 61*time.Second || len(w.Enforced()) != 4 {
			t.Errorf("err = %v after %s, %d enforced; want it over after 60 s with what came before", err, took, len(w.Enforced()))
		}
	})
}

// Walls that are busy when the waiting is over still answer what was announced
// before, unless it is too late for a whole pass.
func TestABusyWallAnswersTheLastAnnouncementIfThereIsTime(t *testing.T) {
	for name, tt := range map[string]struct {
		wait, first, last time.Duration
		want              int // passes over each wall
	}{
		"in time":  {50 * time.Second, 40 * time.Second, 45 * time.Second, 3},
		"too late": {2 * time.Minute, 50 * time.Second, 55 * time.Second, 2}, // 62 s of 90 are over by then
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := &vigil{list: listOf(t, "", some(3)...), wait: tt.wait}
				var walls []enforce.Wall
				for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
					walls = append(walls, enforce.Wall{Name: name, Firewall: slow{(&waftest.Wall{Base: name}).Open(), 12 * time.Second}})
				}
				_, took, err := v.run(t, walls, map[time.Duration]func(){
					tt.first: func() { block(t, v.list, now, "ip:20.9.9.1") },
					tt.last:  func() { block(t, v.list, now, "ip:20.9.9.3") },
				})
				if err != nil || took > 70*time.Second {
					t.Errorf("err = %v after %s", err, took)
				}
				for _, w := range walls {
					if times := v.passes(w.Name); len(times) != tt.want {
						t.Errorf("%s: passes at %v, want %d", w.Name, times, tt.want)
					}
				}
			})
		})
	}
}

func TestACallerWhoGivesUpEndsTheWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := listOf(t, "", some(3)...)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Second, cancel)
		begin := time.Now()
		got, err := enforce.Watch{Pass: passOf(list, now), Bell: list, Wait: time.Minute, Clock: time.Now}.Run(ctx, []enforce.Wall{wallOf("w", &waftest.Wall{})})
		if err != nil || got[0].Enforced != 3 || time.Since(begin) != 5*time.Second {
			t.Errorf("results = %+v, err = %v after %s", got, err, time.Since(begin))
		}
	})
}

// Walls whose passes begin together read the list once.
func TestPassesThatBeginTogetherReadTheListOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := &vigil{list: listOf(t, "", some(3)...), wait: 50 * time.Second}
		var mu sync.Mutex
		reads := 0
		v.list.OnRead = func(what string) error {
			mu.Lock()
			defer mu.Unlock()
			if what == "snapshot" {
				reads++
			}
			return nil
		}
		var walls []enforce.Wall
		for _, name := range []string{"a", "b", "c", "d"} {
			walls = append(walls, wallOf(name, &waftest.Wall{Base: name}))
		}
		_, _, err := v.run(t, walls, map[time.Duration]func(){
			10 * time.Second: func() { block(t, v.list, now.Add(10*time.Second), "ip:20.9.9.1") },
		})
		if err != nil || reads != 2 || len(v.told) != 8 {
			t.Errorf("err = %v, the list was read %d times for %d passes, want twice for 8", err, reads, len(v.told))
		}
	})
}
