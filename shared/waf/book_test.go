package waf_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func listed(generation uint64, prefixes ...string) waf.Desired {
	d := waf.Desired{Epoch: "e1", Generation: generation}
	for _, p := range prefixes {
		d.Wants = append(d.Wants, waf.Want{Prefix: netip.MustParsePrefix(p), ExpiresAt: noon.Add(time.Hour)})
	}
	return d
}

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// keeper runs one book's reconciles with the memory that enforce would keep.
type keeper struct {
	t      *testing.T
	wall   *waftest.BookWall
	now    time.Time
	memory *waf.BookMemory
}

func (k *keeper) run(want waf.Desired, change ...func(*waf.Reconciler)) (waf.Report, error) {
	k.t.Helper()
	r := &waf.Reconciler{
		Firewall: k.wall.Open(), Book: k.memory, Now: k.now, Guard: waf.Guard{Ended: waftest.AllEnded},
		Pause: func(context.Context, int) error { return nil },
	}
	for _, c := range change {
		c(r)
	}
	report, err := r.Reconcile(k.t.Context(), want)
	k.memory = report.Book
	return report, err
}

func (k *keeper) ok(want waf.Desired, change ...func(*waf.Reconciler)) waf.Report {
	k.t.Helper()
	report, err := k.run(want, change...)
	if err != nil {
		k.t.Fatal(err)
	}
	return report
}

func verify(r *waf.Reconciler) { r.Verify = true }

func on4(n ...int) (list []string) {
	for _, i := range n {
		list = append(list, fmt.Sprintf("20.0.%d.1/32", i))
	}
	return list
}

func TestABookIsReadOnceAndThenRemembered(t *testing.T) {
	k := keeper{t: t, wall: &waftest.BookWall{Blind: true}}
	k.ok(listed(1, on4(1, 2, 3)...))
	reads := k.wall.Reads()
	k.ok(listed(2, on4(1, 2, 3, 4)...))
	report := k.ok(listed(3, on4(2, 3, 4)...))
	if k.wall.Reads() != reads || report.Writes != 1 || report.Calls != 2 {
		t.Errorf("%d more reads, %d writes, %d calls; want 0, 1 and 2", k.wall.Reads()-reads, report.Writes, report.Calls)
	}
	k.ok(listed(3, on4(2, 3, 4)...), verify)
	if k.wall.Reads() != reads+1 {
		t.Error("Verify did not read the book")
	}
}

func TestAMemoryThatDoesNotFitIsNotBelieved(t *testing.T) {
	for name, tt := range map[string]struct {
		blind bool
		spoil func(k *keeper)
	}{
		"the book holds another number": {false, func(k *keeper) {
			k.wall.Edit(func(list map[netip.Prefix]time.Time) { delete(list, netip.MustParsePrefix("20.0.1.1/32")) })
		}},
		"the wall was stamped by a newer state": {true, func(k *keeper) {
			old := *k.memory
			k.ok(listed(5, on4(2, 7)...))
			k.memory = &old // what a restored Redis brings back
		}},
		"the memory is of another wall": {true, func(k *keeper) {
			k.memory.Wall = "the other account's"
			k.wall.Edit(func(list map[netip.Prefix]time.Time) { delete(list, netip.MustParsePrefix("20.0.1.1/32")) })
		}},
		"the memory is of another list": {true, func(k *keeper) {
			k.memory.Epoch = "e0"
			k.wall.Edit(func(list map[netip.Prefix]time.Time) { delete(list, netip.MustParsePrefix("20.0.1.1/32")) })
		}},
		"the book is gone": {true, func(k *keeper) { k.wall.Drop() }},
		"there is none": {true, func(k *keeper) {
			k.memory = nil
			k.wall.Edit(func(list map[netip.Prefix]time.Time) { delete(list, netip.MustParsePrefix("20.0.1.1/32")) })
		}},
	} {
		t.Run(name, func(t *testing.T) {
			k := keeper{t: t, wall: &waftest.BookWall{Blind: tt.blind}}
			k.ok(listed(1, on4(1, 2, 3)...))
			tt.spoil(&k)
			k.ok(listed(6, on4(1, 2, 3)...))
			if got := len(k.wall.Enforced()); got != 3 {
				t.Errorf("%d blocked, want 3", got)
			}
		})
	}
}

func TestAWriteOfUnknownOutcomePutsTheMemoryInDoubt(t *testing.T) {
	for name, tt := range map[string]struct {
		err   error
		doubt bool
	}{
		"lost":      {waf.ErrUnavailable, true},
		"throttled": {waf.ErrThrottled, false},
		"denied":    {waf.ErrDenied, false},
	} {
		t.Run(name, func(t *testing.T) {
			k := keeper{t: t, wall: &waftest.BookWall{Blind: true}}
			k.ok(listed(1, on4(1)...))
			k.wall.OnWrite = func(string) (bool, error) { return errors.Is(tt.err, waf.ErrUnavailable), tt.err }
			if _, err := k.run(listed(2, on4(1, 2)...)); !errors.Is(err, tt.err) || (k.memory == nil) != tt.doubt {
				t.Fatalf("error %v, memory %v", err, k.memory)
			}
			// Wanted no more, and in the book: only who reads it knows.
			k.wall.OnWrite = nil
			k.ok(listed(3, on4(1)...))
			if got := k.wall.Enforced(); len(got) != 1 {
				t.Errorf("blocked: %v, want one", got)
			}
		})
	}
}

func TestABookWhoseNumberChangedTellsWhatSomebodyElseDid(t *testing.T) {
	k := keeper{t: t, wall: &waftest.BookWall{}}
	k.ok(listed(1, on4(1, 2)...))
	k.wall.Edit(func(list map[netip.Prefix]time.Time) { delete(list, netip.MustParsePrefix("20.0.1.1/32")) })
	report, err := k.run(listed(1, on4(1, 2)...), func(r *waf.Reconciler) { r.ReportDrift = true })
	if !errors.Is(err, waf.ErrDrift) || len(report.Drift) != 1 || len(k.wall.Enforced()) != 1 {
		t.Errorf("error %v, drift %q, %d blocked; want it reported and left", err, report.Drift, len(k.wall.Enforced()))
	}
	if report, err = k.run(listed(1, on4(1, 2)...), func(r *waf.Reconciler) { r.ReportDrift = true }); !errors.Is(err, waf.ErrDrift) {
		t.Errorf("error %v, drift %q in the next run; want it reported until it is repaired", err, report.Drift)
	}
	if report := k.ok(listed(1, on4(1, 2)...)); len(report.Drift) != 1 || len(k.wall.Enforced()) != 2 {
		t.Errorf("drift %q, %d blocked; want it told and repaired", report.Drift, len(k.wall.Enforced()))
	}
}

func TestAKnownBookTellsWhatSomebodyElseDid(t *testing.T) {
	k := keeper{t: t, wall: &waftest.BookWall{Blind: true}}
	k.ok(listed(1, on4(1, 2)...))
	k.wall.Edit(func(list map[netip.Prefix]time.Time) {
		delete(list, netip.MustParsePrefix("20.0.1.1/32"))
		list[netip.MustParsePrefix("20.0.9.1/32")] = time.Time{}
	})
	report := k.ok(listed(1, on4(1, 2)...), verify)
	if len(report.Drift) != 1 || len(k.wall.Enforced()) != 2 {
		t.Errorf("drift %q, %d blocked; want one line and 2", report.Drift, len(k.wall.Enforced()))
	}
}

func TestAFullBookIsFilledToItsLastPlaceAndNotTriedAgain(t *testing.T) {
	k := keeper{t: t, wall: &waftest.BookWall{Blind: true, Room: 17}}
	want := listed(1)
	for i := range 40 {
		want.Wants = append(want.Wants, waf.Want{Prefix: netip.MustParsePrefix(on4(i)[0]), Count: int64(i)})
	}
	report, err := k.run(want)
	if !errors.Is(err, waf.ErrQuota) || report.Enforced != 17 || report.Overflow != 23 {
		t.Fatalf("error %v, %d enforced, %d overflow; want a quota, 17 and 23", err, report.Enforced, report.Overflow)
	}
	want.Generation = 2
	report = k.ok(want)
	if report.Writes != 0 || report.Overflow != 23 {
		t.Errorf("%d writes, %d overflow; want 0 and 23: it is known to be full", report.Writes, report.Overflow)
	}
	// One goes, the most urgent of those that wait takes its place, in one call each.
	want.Wants, want.Generation = slices.DeleteFunc(want.Wants, func(w waf.Want) bool { return w.Count == 30 }), 3
	report = k.ok(want)
	if report.Writes != 2 || report.Overflow != 22 || report.Plan[0] != "remove from book -1" {
		t.Errorf("%d writes, %d overflow, plan %q", report.Writes, report.Overflow, report.Plan)
	}
	if report = k.ok(want, verify); report.Overflow != 22 {
		t.Errorf("%d overflow after the hourly try at a book that is still full, want 22 and no error", report.Overflow)
	}
	k.wall.Room = 0
	if report = k.ok(want, verify); report.Overflow != 0 {
		t.Errorf("%d overflow after the hourly try, want 0", report.Overflow)
	}
}

func TestWhatGoesToMakeRoomTouchesNothingOnItsWayIn(t *testing.T) {
	k := keeper{t: t, wall: &waftest.BookWall{Room: 2, Told: true}}
	k.ok(listed(1, "20.0.0.0/30", "30.0.0.1/32"))
	least := 2
	k.wall.OnWrite = func(op string) (bool, error) {
		if got := k.wall.Enforced(); op == "add" && !slices.Contains(got, netip.MustParsePrefix("20.0.0.0/30")) {
			least = len(got)
		}
		return true, nil
	}
	// Both are to go, but addresses of the range are wanted still: it may go only when they are in.
	report, err := k.run(listed(2, "20.0.0.1/32", "20.0.0.3/32"))
	if err != nil || least != 2 || report.Overflow != 1 {
		t.Fatalf("error %v, overflow %d, plan %q", err, report.Overflow, report.Plan)
	}
	k.ok(listed(2, "20.0.0.1/32", "20.0.0.3/32"))
	if got := fmt.Sprint(k.wall.Enforced()); got != "[20.0.0.1/32 20.0.0.3/32]" {
		t.Errorf("blocked: %s", got)
	}
}

func TestOneBadAddressIsFoundAndTheRestGetsIn(t *testing.T) {
	bad := netip.MustParsePrefix("20.0.13.1/32")
	k := keeper{t: t, wall: &waftest.BookWall{Batch: 20, Refuses: func(p netip.Prefix) bool { return p == bad }}}
	var all []string
	for i := range 30 {
		all = append(all, on4(i)...)
	}
	report := k.ok(listed(1, all...))
	if len(k.wall.Enforced()) != 29 || len(report.Rejected) != 1 || report.Rejected[0].Value != bad.String() || !report.Rejected[0].ByFirewall {
		t.Fatalf("%d blocked, rejected %+v", len(k.wall.Enforced()), report.Rejected)
	}
	refused := func(r *waf.Reconciler) { r.Refused = report.Rejected }
	if again := k.ok(listed(2, all...), refused); again.Writes != 0 || len(again.Rejected) != 1 {
		t.Errorf("%d writes, rejected %+v; want none, and it told again", again.Writes, again.Rejected)
	}
	if again := k.ok(listed(2, all[:5]...), refused); len(again.Rejected) != 0 {
		t.Errorf("rejected %+v although nobody wants it any more", again.Rejected)
	}
}

func TestATermThatGrewIsRenewedWithoutAGapAndOneThatEndedIsGone(t *testing.T) {
	now := noon
	k := keeper{t: t, now: noon, wall: &waftest.BookWall{Now: func() time.Time { return now }, Grid: 10 * time.Minute}}
	want := listed(1, on4(1, 2)...)
	k.ok(want)
	want.Wants[0].ExpiresAt = noon.Add(3 * time.Hour)
	want.Generation = 2
	report := k.ok(want)
	if report.Writes != 1 || !strings.Contains(report.Plan[0], "+0, 1 with a later end") {
		t.Errorf("plan %q", report.Plan)
	}
	// Nobody runs any more: each ends by itself, after its term and not much later.
	now = noon.Add(time.Hour)
	if len(k.wall.Enforced()) != 2 {
		t.Error("a listing ended before its term's run could take it out")
	}
	now = noon.Add(time.Hour + 20*time.Minute)
	if len(k.wall.Enforced()) != 1 {
		t.Error("a listing whose term is over is still there")
	}
	// And the next run takes nothing for held that is gone.
	k.now = now
	gone := want
	gone.Wants, gone.Generation = want.Wants[:1], 3
	if report := k.ok(gone); report.Writes != 0 {
		t.Errorf("%d writes for what has ended by itself: %q", report.Writes, report.Plan)
	}
	want.Wants[1].ExpiresAt, want.Generation = now.Add(time.Hour), 3
	if k.ok(want); len(k.wall.Enforced()) != 2 {
		t.Error("blocked anew, but not on the wall")
	}
}

func TestTheMostUrgentComeFirstAndTheRuleRightAfterThem(t *testing.T) {
	w := &waftest.BookWall{Batch: 2}
	var seen []string
	w.OnWrite = func(op string) (bool, error) {
		seen = append(seen, fmt.Sprint(op, len(w.Enforced())))
		return true, nil
	}
	k := keeper{t: t, wall: w}
	want := listed(1, on4(1, 2, 3, 4, 5)...)
	want.Wants[4].Severity = threat.Critical
	report := k.ok(want)
	if strings.Join(seen, " ") != "add0 refer0 add2 add4" || report.Enforced != 5 {
		t.Errorf("writes %q, %d enforced", seen, report.Enforced)
	}
}

// Whatever fails, and however often, nothing that is wanted and blocked is released, and
// a run that succeeds leaves exactly the list.
func TestABookConvergesWhateverHappens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := &waftest.BookWall{
			Batch: rapid.IntRange(1, 4).Draw(rt, "batch"), Blind: rapid.Bool().Draw(rt, "blind"), Told: true,
			Room: rapid.SampledFrom([]int{0, 0, 6}).Draw(rt, "room"),
		}
		k := keeper{t: t, wall: w, now: noon}
		for generation := range uint64(rapid.IntRange(2, 12).Draw(rt, "runs")) {
			want := listed(generation)
			for i := range 12 {
				if rapid.Bool().Draw(rt, "wanted") {
					p := netip.PrefixFrom(netip.AddrFrom4([4]byte{20, 0, 0, byte(i * 4)}), rapid.SampledFrom([]int{32, 32, 30}).Draw(rt, "bits"))
					want.Wants = append(want.Wants, waf.Want{Prefix: p, Count: int64(i)})
				}
			}
			before := coverage(w.Enforced())
			fault := rapid.SampledFrom([]error{nil, nil, waf.ErrUnavailable, waf.ErrThrottled, waf.ErrConflict, waf.ErrDenied}).Draw(rt, "fault")
			at, applied := rapid.IntRange(0, 6).Draw(rt, "at"), rapid.Bool().Draw(rt, "applied")
			n := 0
			w.OnWrite = func(string) (bool, error) {
				n++
				if n-1 == at && fault != nil {
					return applied && errors.Is(fault, waf.ErrUnavailable), fault
				}
				return true, nil
			}
			if rapid.IntRange(0, 3).Draw(rt, "forgets") == 0 {
				k.memory = nil
			}
			report, err := k.run(want)
			after := coverage(w.Enforced())
			for _, p := range want.Wants {
				if slices.ContainsFunc(report.Overflowed, p.Prefix.Overlaps) {
					continue
				}
				if before.holds(p.Prefix) && !after.holds(p.Prefix) {
					rt.Fatalf("%s was blocked, is wanted and is free (error %v, plan %q)", p.Prefix, err, report.Plan)
				}
			}
			if err == nil && len(report.Overflowed) == 0 {
				for _, p := range want.Wants {
					if !after.holds(p.Prefix) {
						rt.Fatalf("%s is not blocked after a run without an error", p.Prefix)
					}
				}
				for _, p := range w.Enforced() {
					if !slices.ContainsFunc(want.Wants, func(w waf.Want) bool { return w.Prefix.Overlaps(p) }) {
						rt.Fatalf("%s is blocked and nobody wants it", p)
					}
				}
			}
		}
	})
}

type coverage []netip.Prefix

func (c coverage) holds(p netip.Prefix) bool {
	return slices.ContainsFunc(c, func(q netip.Prefix) bool { return q.Bits() <= p.Bits() && q.Contains(p.Addr()) })
}

func TestAConflictMakesTheRunReadTheBookAgain(t *testing.T) {
	k := keeper{t: t, wall: &waftest.BookWall{Blind: true}}
	k.ok(listed(1, on4(1, 2)...))
	first := true
	k.wall.OnWrite = func(string) (bool, error) {
		if !first {
			return true, nil
		}
		first = false
		k.wall.Edit(func(list map[netip.Prefix]time.Time) { delete(list, netip.MustParsePrefix("20.0.1.1/32")) })
		return false, waf.ErrConflict
	}
	k.ok(listed(2, on4(1, 2, 3)...))
	if got := len(k.wall.Enforced()); got != 3 {
		t.Errorf("%d blocked, want 3", got)
	}
}

func TestNothingIsAddedToAFullBookFromWhichNothingCouldBeTaken(t *testing.T) {
	k := keeper{t: t, wall: &waftest.BookWall{Room: 2, Told: true}}
	k.ok(listed(1, on4(1, 2)...))
	k.wall.OnWrite = func(op string) (bool, error) {
		return op != "remove", map[bool]error{true: waf.ErrUnavailable}[op == "remove"]
	}
	report, err := k.run(listed(2, on4(1, 3)...))
	if !errors.Is(err, waf.ErrUnavailable) || report.Writes != 1 || len(k.wall.Enforced()) != 2 {
		t.Errorf("error %v, %d writes; want the removal's error and no add", err, report.Writes)
	}
}

func TestAFirewallMayRefuseMoreThanOneRunMeets(t *testing.T) {
	k := keeper{t: t, wall: &waftest.BookWall{Batch: 50, Refuses: func(p netip.Prefix) bool { return p.Addr().As4()[2]%2 == 1 }}}
	var all []string
	for i := range 100 {
		all = append(all, on4(i)...)
	}
	var rejected []waf.Rejection
	for range 4 {
		report, _ := k.run(listed(1, all...), func(r *waf.Reconciler) { r.Refused = rejected })
		rejected = report.Rejected
	}
	if len(rejected) != 50 || len(k.wall.Enforced()) != 50 {
		t.Errorf("%d refused and %d blocked after four runs, want 50 and 50", len(rejected), len(k.wall.Enforced()))
	}
}

// A firewall that needs a call for each end may enter a part of a batch before it refuses.
func TestABatchThatWasEnteredInPartIsReadBack(t *testing.T) {
	w := &waftest.BookWall{Now: func() time.Time { return noon }, Blind: true, Room: 3, Batch: 10}
	k := keeper{t: t, now: noon, wall: w}
	want := listed(1, on4(1, 2, 3, 4)...)
	for i := range want.Wants {
		want.Wants[i].Count = 1 << (9 - i)
	}
	first := true
	w.OnWrite = func(op string) (bool, error) {
		if op == "add" && first {
			first = false
			w.Edit(func(list map[netip.Prefix]time.Time) {
				list[netip.MustParsePrefix("20.0.4.1/32")] = noon.Add(2 * time.Hour)
			})
			return false, waf.ErrQuota
		}
		return true, nil
	}
	report, _ := k.run(want)
	if got := w.Enforced(); len(got) != 3 || report.Enforced != 3 || slices.Contains(got, netip.MustParsePrefix("20.0.4.1/32")) {
		t.Errorf("blocked %v, report says %d; want the three most urgent", got, report.Enforced)
	}
}

func TestAFullBookThatHasRoomForAllIsNoError(t *testing.T) {
	k := keeper{t: t, wall: &waftest.BookWall{Room: 3}}
	k.ok(listed(1, on4(1, 2, 3)...))
	// It does not say how much it takes, so the newcomer is tried first, and only then is one taken out.
	report := k.ok(listed(2, on4(2, 3, 4)...))
	if len(k.wall.Enforced()) != 3 || report.Overflow != 0 {
		t.Errorf("%d blocked, %d overflow", len(k.wall.Enforced()), report.Overflow)
	}
	// From then on the room is known.
	if report = k.ok(listed(3, on4(3, 4, 5)...)); report.Writes != 2 || report.Plan[0] != "remove from book -1" {
		t.Errorf("%d writes, plan %q", report.Writes, report.Plan)
	}
}

// That no more rules can be had says nothing about how much the book takes.
func TestALimitOnRulesIsNotTakenForTheBooks(t *testing.T) {
	k := keeper{t: t, wall: &waftest.BookWall{Batch: 2}}
	k.wall.OnWrite = func(op string) (bool, error) { return op != "refer", map[bool]error{true: waf.ErrQuota}[op == "refer"] }
	want := listed(1, on4(1, 2, 3, 4, 5, 6, 7)...)
	if report, err := k.run(want); !errors.Is(err, waf.ErrQuota) || report.Overflow != 0 {
		t.Errorf("error %v, %d overflow; want the quota told and nobody without room", err, report.Overflow)
	}
	if k.memory == nil || k.memory.Room != 0 {
		t.Errorf("remembered: %+v, want no room", k.memory)
	}
	k.wall.OnWrite = nil
	if k.ok(want); len(k.wall.Enforced()) != 7 {
		t.Errorf("%d blocked once rules can be had again, want 7", len(k.wall.Enforced()))
	}
}
