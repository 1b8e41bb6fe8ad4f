package waf_test

import (
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// failsAt returns an OnWrite that lets the n-th write from now fail.
func failsAt(n int, after bool) func() (bool, error) {
	return func() (bool, error) {
		n--
		if n == -1 {
			return after, waf.ErrUnavailable
		}
		return true, nil
	}
}

func TestFake(t *testing.T) {
	for name, tt := range map[string]struct {
		wall *waftest.Wall
		open func(w *waftest.Wall) waf.Firewall
	}{
		"marked sets":             {&waftest.Wall{}, func(w *waftest.Wall) waf.Firewall { return w.Open() }},
		"marked, no exceptions":   {&waftest.Wall{NoExcept: true}, func(w *waftest.Wall) waf.Firewall { return w.Open() }},
		"stamped":                 {&waftest.Wall{NoEmpty: true}, func(w *waftest.Wall) waf.Firewall { return w.OpenStamped() }},
		"stamped, empty sets":     {&waftest.Wall{}, func(w *waftest.Wall) waf.Firewall { return w.OpenStamped() }},
		"in force by being there": {&waftest.Wall{NoEmpty: true, Inherent: true}, func(w *waftest.Wall) waf.Firewall { return w.OpenStamped() }},
	} {
		t.Run(name, func(t *testing.T) {
			waftest.TestFirewall(t, func(*testing.T) waftest.Harness {
				w := &waftest.Wall{NoExcept: tt.wall.NoExcept, NoEmpty: tt.wall.NoEmpty, Inherent: tt.wall.Inherent}
				return waftest.Harness{
					Open:     func(*testing.T) waf.Firewall { return tt.open(w) },
					Enforced: w.Enforced,
					Foreign:  func() string { return "" },
					Fail: func(n int, after bool) {
						fail := failsAt(n, after)
						w.OnWrite = func(string, string) (bool, error) { return fail() }
					},
					SetRoom: func(n int) { w.Room = n / 10 },
				}
			})
		})
	}
}

func TestFakeBook(t *testing.T) {
	for name, wall := range map[string]*waftest.BookWall{
		"counted":       {},
		"blind":         {Blind: true},
		"room is told":  {Told: true},
		"one at a time": {Batch: 1},
	} {
		t.Run(name, func(t *testing.T) {
			waftest.TestFirewall(t, func(*testing.T) waftest.Harness {
				return bookHarness(&waftest.BookWall{Blind: wall.Blind, Told: wall.Told, Batch: wall.Batch})
			})
		})
	}
	t.Run("with ends", func(t *testing.T) {
		waftest.TestFirewall(t, func(*testing.T) waftest.Harness {
			return bookHarness(&waftest.BookWall{Now: func() time.Time { return time.Unix(0, 0) }, Grid: time.Hour})
		})
	})
}

func bookHarness(w *waftest.BookWall) waftest.Harness {
	return waftest.Harness{
		Open:     func(*testing.T) waf.Firewall { return w.Open() },
		Enforced: w.Enforced,
		Foreign:  func() string { return "" },
		Fail: func(n int, after bool) {
			fail := failsAt(n, after)
			w.OnWrite = func(string) (bool, error) { return fail() }
		},
		FailCall: func(n int) {
			one := failsAt(n, false)
			w.OnRead = func(string) error { _, err := one(); return err }
			w.OnWrite = func(string) (bool, error) { return one() }
		},
		SetRoom: func(n int) { w.Room = n },
		Swap:    2,
	}
}
