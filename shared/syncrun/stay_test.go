package syncrun

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
)

// handled is what Handle came to.
type handled struct {
	res  Result
	err  error
	took time.Duration
}

// handle runs Handle beside the test, on the bubble's clock, with a platform's timeout.
func handle(f *Function, payload string, timeout time.Duration) <-chan handled {
	f.Now = time.Now
	done := make(chan handled, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		start := time.Now()
		res, err := f.Handle(ctx, []byte(payload))
		done <- handled{res, err, time.Since(start)}
	}()
	return done
}

func TestWhatIsAnnouncedWhileItStaysIsEnforcedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &fakeWall{name: "a"}, &fakeWall{name: "b"}
		f, list, out := newFunction(a, b)
		done := handle(f, `{"wait":"50s"}`, 5*time.Minute)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		list.announce("ip:203.0.113.99")
		time.Sleep(time.Second)
		for _, w := range []*fakeWall{a, b} {
			if !slices.Contains(w.holds(), "203.0.113.99/32") {
				t.Errorf("a second after the announcement %s holds %v", w.name, w.holds())
			}
		}
		got := <-done
		if got.err != nil || got.took != 50*time.Second {
			t.Fatalf("ended after %s with %v, want after 50 s", got.took, got.err)
		}
		if got.res.Passes != 4 || got.res.Generation != 43 || got.res.Writes <= got.res.Targets[0].Writes {
			t.Errorf("result = %+v, want two passes over each of two targets and all their writes", got.res)
		}
		if n := len(lines(t, out, "outcome")); n != 1 {
			t.Errorf("%d summary lines, want one", n)
		}
		passes := 0
		for _, line := range lines(t, out, "msg") {
			if line["msg"] == "sync-aws-waf pass" {
				passes++
			}
		}
		if passes != 4 {
			t.Errorf("%d lines about passes, want one for each that did something: 4", passes)
		}
		if n := len(lines(t, out, "waf_put_total")); n != 4 {
			t.Errorf("metrics of %d passes, want 4", n)
		}
	})
}

func TestALaterPassThatFailsMakesTheRunFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &fakeWall{name: "a"}, &fakeWall{name: "b"}
		f, list, _ := newFunction(a, b)
		done := handle(f, `{"wait":"50s"}`, 5*time.Minute)
		time.Sleep(10 * time.Second)
		a.mu.Lock()
		a.err = waf.ErrDenied
		a.mu.Unlock()
		list.announce("ip:203.0.113.99")
		if got := <-done; !errors.Is(got.err, waf.ErrDenied) || got.res.Targets[0].Error == "" || got.res.Targets[1].Error != "" {
			t.Errorf("result = %+v, error %v; want target a's", got.res, got.err)
		}
	})
}

func TestOnlyWhoWritesStays(t *testing.T) {
	for name, tt := range map[string]struct {
		payload string
		observe bool
		timeout time.Duration
		want    time.Duration
	}{
		"a tick of the schedule":              {payload: old, timeout: 5 * time.Minute, want: 50 * time.Second},
		"an operator's call":                  {payload: `{}`, timeout: 5 * time.Minute},
		"a plan":                              {payload: `{"mode":"plan"}`, timeout: 5 * time.Minute},
		"a verifying run":                     {payload: `{"mode":"verify"}`, timeout: 5 * time.Minute},
		"a call that asks to":                 {payload: `{"wait":20}`, timeout: 5 * time.Minute, want: 20 * time.Second},
		"a tick that only observes":           {payload: old, observe: true, timeout: 5 * time.Minute},
		"a call that asks to and may not act": {payload: `{"wait":20}`, observe: true, timeout: 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, _, _ := newFunction(&fakeWall{name: "a"})
				f.Enforce, f.Wait = !tt.observe, 50*time.Second
				if got := <-handle(f, tt.payload, tt.timeout); got.err != nil || got.took != tt.want {
					t.Errorf("stayed %s, error %v; want %s", got.took, got.err, tt.want)
				}
			})
		})
	}
}

func TestARunLeavesBeforeItsTimeoutCutsItShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _, _ := newFunction(&fakeWall{name: "a"})
		f.Wait = 50 * time.Second
		if got := <-handle(f, old, 30*time.Second); got.err != nil || got.took >= 30*time.Second || got.took < 10*time.Second {
			t.Errorf("stayed %s of 30 s, error %v", got.took, got.err)
		}
	})
}

// old is a tick from before the bubble's clock began.
var old = string(tick("1999-12-31T23:59:59Z"))
