package waf_test

import (
	"context"
	"errors"
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func TestAStampIsRenewedHourlyAndWithManyWritesAndFirstWhenAnotherListIsAdopted(t *testing.T) {
	w := &waftest.Wall{NoEmpty: true}
	var ops []string
	w.AfterWrite = func(op, _ string) { ops = append(ops, op) }
	run := func(want waf.Desired, change func(*waf.Reconciler)) waf.Report {
		t.Helper()
		ops = nil
		r := &waf.Reconciler{Firewall: w.OpenStamped(), Limits: waf.Limits{SetSize: 2}, Guard: waf.Guard{Ended: waftest.AllEnded}}
		change(r)
		report, err := r.Reconcile(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	plain := func(*waf.Reconciler) {}
	stamped := func() int {
		for i, op := range ops {
			if op == "stamp" {
				return i
			}
		}
		return -1
	}
	run(listed(1, on4(1, 2, 3)...), plain)
	if at := stamped(); at != len(ops)-1 {
		t.Errorf("a new wall: %q, want the stamp last", ops)
	}
	if run(listed(2, on4(1, 2, 4)...), plain); stamped() >= 0 {
		t.Errorf("one change: %q, want no stamp", ops)
	}
	if run(listed(2, on4(1, 2, 4)...), verify); len(ops) != 1 || stamped() != 0 {
		t.Errorf("the hourly run: %q, want a stamp and nothing else", ops)
	}
	if run(listed(2, on4(1, 2, 4)...), verify); len(ops) != 0 {
		t.Errorf("the next hourly run: %q, want nothing", ops)
	}
	many := make([]int, 25)
	for i := range many {
		many[i] = 10 + 2*i
	}
	if run(listed(3, on4(many...)...), plain); stamped() < 0 {
		t.Errorf("many writes: %q, want a stamp", ops)
	}
	other := listed(1, on4(many...)...)
	other.Epoch = "e2"
	r := &waf.Reconciler{Firewall: w.OpenStamped()}
	if _, err := r.Reconcile(t.Context(), other); !errors.Is(err, waf.ErrEpoch) {
		t.Errorf("another list: %v, want it refused", err)
	}
	other.Wants = other.Wants[1:]
	if run(other, func(r *waf.Reconciler) { r.AdoptEpoch = true }); stamped() != 0 {
		t.Errorf("adopted: %q, want the stamp first", ops)
	}
}

// without is a wall that refuses a rule with exceptions.
type without struct {
	waf.SetFirewall
	asked int
}

func (f *without) Reference(ctx context.Context, add, drop []string) error {
	for _, name := range add {
		if name == waf.ExceptName("tracewall", waf.IPv4, 1) {
			f.asked++
			return waf.ErrInvalid
		}
	}
	return f.SetFirewall.Reference(ctx, add, drop)
}

func TestAFirewallThatRefusesExceptionsDoesWithout(t *testing.T) {
	w := &waftest.Wall{}
	f := &without{SetFirewall: w.Open()}
	var report waf.Report
	run := func(generation uint64, from, to, step int, change ...func(*waf.Reconciler)) {
		t.Helper()
		var n []int
		for i := from; i < to; i++ {
			if i%step != 0 {
				n = append(n, i)
			}
		}
		r := &waf.Reconciler{Firewall: f, Limits: waf.Limits{SetSize: 10}, Guard: waf.Guard{Ended: waftest.AllEnded}, NoExceptions: report.NoExceptions}
		for _, c := range change {
			c(r)
		}
		var err error
		if report, err = r.Reconcile(t.Context(), listed(generation, on4(n...)...)); err != nil || len(w.Enforced()) != len(n) {
			t.Fatalf("error %v, %d blocked, want %d", err, len(w.Enforced()), len(n))
		}
	}
	run(1, 0, 100, 1000)
	run(2, 0, 100, 10) // one of each set goes: by exception, if it could be had
	if f.asked != 1 || !report.NoExceptions {
		t.Fatalf("asked %d times, report %+v; want once and told", f.asked, report.NoExceptions)
	}
	run(3, 0, 100, 5)
	if f.asked != 1 || !report.NoExceptions {
		t.Errorf("asked %d times although it is known", f.asked)
	}
	run(4, 0, 100, 3, verify)
	if f.asked != 2 {
		t.Errorf("asked %d times after the hourly run, want another try", f.asked)
	}
}
