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

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func noPause(context.Context, int) error { return nil }

func on(f waf.Firewall, size int) *waf.Reconciler {
	return &waf.Reconciler{Firewall: f, Name: "t", Limits: waf.Limits{SetSize: size}, Guard: waf.Guard{Ended: waftest.AllEnded}, Pause: noPause}
}

func desire(generation uint64, wants []waf.Want) waf.Desired {
	return waf.Desired{Wants: wants, Epoch: "e", Generation: generation}
}

func mustReconcile(t *testing.T, r *waf.Reconciler, d waf.Desired) waf.Report {
	t.Helper()
	report, err := r.Reconcile(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func host(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, byte(n >> 7), byte(n << 1)}), 32)
}

func hosts(first, n int) (list []waf.Want) {
	for i := range n {
		list = append(list, waf.Want{Prefix: host(first + i), ExpiresAt: time.Unix(int64(i), 0)})
	}
	return list
}

func TestNothingIsRemovedIfAnAddFailed(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	mustReconcile(t, on(w.Open(), 3), desire(1, hosts(0, 9)))
	w.OnWrite = func(op, set string) (bool, error) { return set != "b-v4-004", failing(set == "b-v4-004") }
	// 0 to 5 end, in two sets; 3 in the third set stay; 10 come.
	d := desire(2, append(hosts(6, 3), hosts(20, 10)...))
	report, err := on(w.Open(), 3).Reconcile(t.Context(), d)
	if !errors.Is(err, waf.ErrUnavailable) || !strings.Contains(report.Error, "b-v4-004") {
		t.Fatalf("error = %v, want the failed set", err)
	}
	want := []string{"create b-v4-004 with 3", "reference b-v4-004 b-v4-005"}
	if diff := cmp.Diff(want, report.Remaining); diff != "" {
		t.Error(diff)
	}
	if got := len(w.Enforced()); got != 10 || report.Enforced != 10 {
		t.Errorf("wall has %d, report says %d, want 10 both (3 stayed, 6 swapped in, 1 in the set that could be made)", got, report.Enforced)
	}

	w.OnWrite = func(op, set string) (bool, error) { return op != "reference", failing(op == "reference") }
	report, err = on(w.Open(), 3).Reconcile(t.Context(), desire(3, append(hosts(20, 10), hosts(50, 4)...)))
	if err == nil || !slices.Contains(report.Remaining, "trim b-v4-003 +0 -3 = 0") && !slices.ContainsFunc(report.Remaining, func(s string) bool { return strings.HasPrefix(s, "reference") }) {
		t.Errorf("error %v, remaining %q", err, report.Remaining)
	}
	w.OnWrite = nil
	if r := mustReconcile(t, on(w.Open(), 3), desire(3, append(hosts(20, 10), hosts(50, 4)...))); r.Enforced != 14 {
		t.Errorf("next run: %+v", r)
	}
}

func failing(now bool) error {
	if now {
		return waf.ErrUnavailable
	}
	return nil
}

func TestTrimsWaitForFailedAdds(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	mustReconcile(t, on(w.Open(), 4), desire(1, hosts(0, 4)))
	w.OnWrite = func(op, set string) (bool, error) { return false, waf.ErrUnavailable }
	v6 := []waf.Want{{Prefix: netip.MustParsePrefix("2001:db8::/64")}}
	report, err := on(w.Open(), 4).Reconcile(t.Context(), desire(2, append(v6, hosts(0, 2)...)))
	want := []string{"create b-v6-001 with 1", "reference b-v6-001", "trim b-v4-001 +0 -2 = 2"}
	if diff := cmp.Diff(want, report.Remaining); diff != "" || err == nil {
		t.Errorf("error %v\n%s", err, diff)
	}
	// The set cannot be made: only that write and the (harmless) repair of the rule were tried.
	if report.Writes != 2 {
		t.Errorf("writes = %d, want 2", report.Writes)
	}
}

func TestQuotaTurnsIntoOverflow(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	mustReconcile(t, on(w.Open(), 3), desire(1, hosts(0, 6)))
	w.OnWrite = func(op, set string) (bool, error) {
		if set == "b-v4-003" {
			return false, waf.ErrQuota
		}
		return true, nil
	}
	// Two end, five come, and no third set can be had: three are overflow and the ended are gone.
	report, err := on(w.Open(), 3).Reconcile(t.Context(), desire(2, hosts(2, 9)))
	if !errors.Is(err, waf.ErrQuota) {
		t.Errorf("error = %v, want ErrQuota: somebody must raise it", err)
	}
	if report.Overflow != 3 || report.Enforced != 6 || len(w.Enforced()) != 6 || slices.Contains(w.Enforced(), host(0)) {
		t.Errorf("overflow %d, enforced %d, wall %v", report.Overflow, report.Enforced, w.Enforced())
	}
}

// TestARuleThatCannotBeWrittenHoldsNobody: whose term ended goes, whatever is wrong with the rule.
func TestARuleThatCannotBeWrittenHoldsNobody(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	mustReconcile(t, on(w.Open(), 3), desire(1, hosts(0, 6)))
	w.OnWrite = func(op, set string) (bool, error) {
		if op == "reference" {
			return false, waf.ErrTheirRules
		}
		return true, nil
	}
	report, err := on(notAsConfigured{w.Open()}, 3).Reconcile(t.Context(), desire(2, hosts(2, 4)))
	if !errors.Is(err, waf.ErrTheirRules) || len(w.Enforced()) != 4 || report.Enforced != 4 {
		t.Errorf("error %v, %d enforced, report says %d; want the two that ended gone", err, len(w.Enforced()), report.Enforced)
	}
}

func TestALookAheadIsTheFirstLook(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	f := w.Open()
	r := on(f, 3)
	through := r.LookAhead(t.Context())
	report := mustReconcile(t, r, desire(1, hosts(0, 3)))
	through()
	if calls, _ := f.Calls(); report.Enforced != 3 || report.Calls != calls || report.Calls != 3 {
		t.Errorf("%d enforced, %d calls, of %d in all; want one look, a put and a reference", report.Enforced, report.Calls, calls)
	}
	// Only the first one.
	if report = mustReconcile(t, r, desire(1, hosts(0, 3))); report.Calls != 1 {
		t.Errorf("the next run: %d calls, want a look of its own", report.Calls)
	}
	// What was seen ahead and has changed since is a conflict, and looked at again.
	seen := make(chan struct{}, 2)
	r.Firewall = noticed{f, seen}
	through = r.LookAhead(t.Context())
	defer through()
	<-seen
	mustReconcile(t, on(w.Open(), 3), desire(2, hosts(2, 2)))
	mustReconcile(t, r, desire(2, hosts(2, 3)))
	if len(w.Enforced()) != 3 {
		t.Errorf("%d enforced, want 3", len(w.Enforced()))
	}
}

func TestALookAheadEndsWithItsCaller(t *testing.T) {
	r := on(blind{(&waftest.Wall{Base: "b"}).Open()}, 3)
	r.LookAhead(t.Context())() // returns: nobody waits for the answer any more
	through := r.LookAhead(t.Context())
	defer through()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Reconcile(ctx, desire(1, hosts(0, 3))); !errors.Is(err, waf.ErrOutOfTime) {
		t.Errorf("error = %v, want ErrOutOfTime", err)
	}
}

func TestTheFirewallsRoomIsTheBound(t *testing.T) {
	w := &waftest.Wall{Base: "b", Room: 70}
	if r := mustReconcile(t, on(w.Open(), 1), desire(1, hosts(0, 80))); r.Enforced != 70 || r.Overflow != 10 {
		t.Errorf("%d enforced, %d without room, want 70 and 10", r.Enforced, r.Overflow)
	}
}

// noticed is a firewall that tells when it has looked.
type noticed struct {
	*waftest.Firewall
	seen chan<- struct{}
}

func (f noticed) Look(ctx context.Context) (waf.State, error) {
	defer func() { f.seen <- struct{}{} }()
	return f.Firewall.Look(ctx)
}

// blind is a firewall that does not answer.
type blind struct{ *waftest.Firewall }

func (f blind) Look(ctx context.Context) (waf.State, error) {
	<-ctx.Done()
	return waf.State{}, ctx.Err()
}

// notAsConfigured is a firewall whose rule somebody has changed.
type notAsConfigured struct{ *waftest.Firewall }

func (f notAsConfigured) Look(ctx context.Context) (waf.State, error) {
	state, err := f.Firewall.Look(ctx)
	state.RuleOK = false
	return state, err
}

func TestQuotaOfAFreshAccountKeepsWhatCouldBeMade(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	w.OnWrite = func(op, set string) (bool, error) {
		if set == "b-v4-003" {
			return false, waf.ErrQuota
		}
		return true, nil
	}
	report, err := on(w.Open(), 3).Reconcile(t.Context(), desire(1, hosts(0, 9)))
	if !errors.Is(err, waf.ErrQuota) || report.Enforced != 6 || report.Overflow != 3 || len(w.Enforced()) != 6 {
		t.Errorf("error %v, enforced %d, overflow %d, wall %d", err, report.Enforced, report.Overflow, len(w.Enforced()))
	}
}

func TestAnAddressThatTheFirewallRefusesCostsOnlyItself(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	bad := host(4)
	f := refusing{w.Open(), bad}
	report := mustReconcile(t, on(f, 3), desire(1, hosts(0, 9)))
	if report.Enforced != 8 || report.Desired != 8 || len(report.Rejected) != 1 || report.Rejected[0].Value != bad.String() {
		t.Errorf("report %+v", report)
	}
}

// refusing is a firewall with something against one address.
type refusing struct {
	*waftest.Firewall
	bad netip.Prefix
}

func (f refusing) Put(ctx context.Context, set waf.Set) error {
	if slices.Contains(set.Prefixes, f.bad) {
		return fmt.Errorf("put: %w", &waf.EntryError{Prefix: f.bad, Err: waf.ErrInvalid})
	}
	return f.Firewall.Put(ctx, set)
}

func TestOutOfTimeKeepsWhatIsFilled(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	puts := 0
	w.OnWrite = func(op, set string) (bool, error) {
		if op == "put" {
			puts++
		}
		if puts > 2 && op == "put" {
			return false, waf.ErrOutOfTime
		}
		return true, nil
	}
	report, err := on(w.Open(), 3).Reconcile(t.Context(), desire(1, hosts(0, 12)))
	if !errors.Is(err, waf.ErrOutOfTime) || strings.Count(err.Error(), "out of time") != 1 {
		t.Errorf("error = %v, want ErrOutOfTime, said once", err)
	}
	if puts != 3 || report.Enforced != 6 || len(w.Enforced()) != 6 {
		t.Errorf("puts %d, enforced %d (wall %d); want no put after the third and the two filled sets in force", puts, report.Enforced, len(w.Enforced()))
	}
	want := []string{"create b-v4-003 with 3", "create b-v4-004 with 3", "reference b-v4-001 b-v4-002 b-v4-003 b-v4-004"}
	if diff := cmp.Diff(want, report.Remaining); diff != "" {
		t.Error(diff)
	}
	w.OnWrite = nil
	if r := mustReconcile(t, on(w.Open(), 3), desire(1, hosts(0, 12))); r.Enforced != 12 || r.Writes != 3 {
		t.Errorf("next run: %+v", r)
	}
}

func TestARunStopsBeforeItsDeadline(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	r := on(hanging{w.Open()}, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	r.Reserve = 100 * time.Millisecond
	_, err := r.Reconcile(ctx, desire(1, hosts(0, 3)))
	if !errors.Is(err, waf.ErrOutOfTime) || ctx.Err() != nil {
		t.Errorf("error = %v (context %v), want ErrOutOfTime with time left", err, ctx.Err())
	}
	if len(w.Enforced()) != 0 {
		t.Error("nothing was filled, yet something is enforced")
	}
}

// hanging never answers a Put.
type hanging struct{ *waftest.Firewall }

func (f hanging) Put(ctx context.Context, _ waf.Set) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestDeniedStopsTheRun(t *testing.T) {
	w := &waftest.Wall{Base: "b", OnWrite: func(op, set string) (bool, error) { return false, waf.ErrDenied }}
	report, err := on(w.Open(), 3).Reconcile(t.Context(), desire(1, hosts(0, 30)))
	if !errors.Is(err, waf.ErrDenied) || report.Writes > 2 {
		t.Errorf("error %v after %d writes, want ErrDenied at once", err, report.Writes)
	}
}

func TestVerifySeesWhatMarksDoNotShow(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	mustReconcile(t, on(w.Open(), 5), desire(1, hosts(0, 9)))
	// Somebody takes an address out and leaves the mark as it is.
	outsider := w.Open()
	state, err := outsider.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	edited := state.Sets[0]
	edited.Prefixes = slices.Delete(slices.Clone(w.Sets()[edited.Name]), 0, 1)
	if err := outsider.Put(t.Context(), edited); err != nil {
		t.Fatal(err)
	}
	if r := mustReconcile(t, on(w.Open(), 5), desire(1, hosts(0, 9))); r.Writes != 0 || len(w.Enforced()) != 8 {
		t.Fatalf("a plain run believes the mark: %+v", r)
	}
	r := on(w.Open(), 5)
	r.Verify = true
	if report := mustReconcile(t, r, desire(1, hosts(0, 9))); report.Writes != 1 || report.Enforced != 9 || len(w.Enforced()) != 9 {
		t.Errorf("verifying run: %+v", report)
	}
}

func TestEpochIsJudgedBeforeAnyCall(t *testing.T) {
	for _, epoch := range []string{"", "two words", "e\n", strings.Repeat("x", 65)} {
		f := (&waftest.Wall{Base: "b"}).Open()
		_, err := on(f, 5).Reconcile(t.Context(), waf.Desired{Epoch: epoch})
		if calls, _ := f.Calls(); !errors.Is(err, waf.ErrInvalid) || calls != 0 {
			t.Errorf("epoch %q: error %v after %d calls, want ErrInvalid", epoch, err, calls)
		}
	}
}

func TestRejectionsAreBounded(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	wants := hosts(0, 3)
	for i := range 1500 {
		wants = append(wants, waf.Want{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(i), byte(i >> 8), 0, 0}), 12)})
	}
	report := mustReconcile(t, on(w.Open(), 5), desire(1, wants))
	if len(report.Rejected) != 1000 || len(report.Notes) != 1 || report.Enforced != 3 {
		t.Errorf("%d rejections listed, notes %q, enforced %d", len(report.Rejected), report.Notes, report.Enforced)
	}
}

// TestFaultsAnywhere lets random writes of random histories fail in both ways and
// judges the wall after every write that takes effect.
func TestFaultsAnywhere(t *testing.T) {
	space := corner()
	rapid.Check(t, func(t *rapid.T) {
		w := &waftest.Wall{Base: "b"}
		size := rapid.IntRange(2, 6).Draw(t, "size")
		for generation := range rapid.IntRange(1, 5).Draw(t, "runs") {
			wants := genWants(t)
			faults := rapid.SliceOfN(rapid.IntRange(0, 5), 12, 12).Draw(t, "faults")
			w.OnWrite = func(op, set string) (bool, error) {
				if len(faults) == 0 {
					return true, nil
				}
				fault := faults[0]
				faults = faults[1:]
				switch fault {
				case 1:
					return false, waf.ErrUnavailable
				case 2:
					return true, waf.ErrUnavailable
				case 3:
					return false, waf.ErrConflict
				}
				return true, nil
			}
			before := w.Enforced()
			w.AfterWrite = func(op, set string) {
				now := w.Enforced()
				for _, a := range space {
					if covers(before, a) && covers(prefixes(wants), a) && !covers(now, a) {
						t.Fatalf("%s was blocked, is wanted, and is not blocked after %s %s", a, op, set)
					}
				}
				before = now
			}
			report, err := on(w.Open(), size).Reconcile(context.Background(), desire(uint64(generation), wants))
			certain := 0
			for _, want := range distinct(wants) {
				if covers(w.Enforced(), want.Addr()) {
					certain++
				}
			}
			if report.Enforced > certain {
				t.Fatalf("report says %d enforced, at most %d are: %v", report.Enforced, certain, err)
			}
			w.OnWrite = nil
			if report, err := on(w.Open(), size).Reconcile(context.Background(), desire(uint64(generation), wants)); err != nil || report.Enforced != report.Desired {
				t.Fatalf("the next run does not converge: %v, %+v", err, report)
			}
			for _, a := range space {
				if covers(prefixes(wants), a) != covers(w.Enforced(), a) {
					t.Fatalf("%s: wanted %t", a, covers(prefixes(wants), a))
				}
			}
		}
	})
}

func prefixes(wants []waf.Want) (list []netip.Prefix) {
	for _, w := range wants {
		list = append(list, w.Prefix)
	}
	return list
}

func distinct(wants []waf.Want) (list []netip.Prefix) {
	for _, w := range wants {
		if !slices.Contains(list, w.Prefix) {
			list = append(list, w.Prefix)
		}
	}
	return list
}

// TestTwoRunsInterleaved starts a whole second run before some write of a first
// one. With the same list no gap may open at any moment. With a newer list the wall must
// be right in the end; that a slow older run takes nothing away meanwhile is the lease's part.
func TestTwoRunsInterleaved(t *testing.T) {
	space := corner()
	rapid.Check(t, func(t *rapid.T) {
		w := &waftest.Wall{Base: "b"}
		size := rapid.IntRange(2, 6).Draw(t, "size")
		first := genWants(t)
		if _, err := on(w.Open(), size).Reconcile(context.Background(), desire(1, first)); err != nil {
			t.Fatal(err)
		}
		second := genWants(t)
		third := second
		same := rapid.Bool().Draw(t, "same list")
		if !same {
			third = genWants(t)
		}
		at, n := rapid.IntRange(0, 6).Draw(t, "at write"), 0
		before := w.Enforced()
		w.AfterWrite = func(op, set string) {
			now := w.Enforced()
			for _, a := range space {
				if same && covers(before, a) && covers(prefixes(second), a) && !covers(now, a) {
					t.Fatalf("%s was blocked, is wanted, and is not blocked after %s %s", a, op, set)
				}
			}
			before = now
		}
		w.OnWrite = func(op, set string) (bool, error) {
			if n++; n-1 == at {
				if _, err := on(w.Open(), size).Reconcile(context.Background(), desire(3, third)); err != nil {
					t.Fatalf("second run: %v", err)
				}
			}
			return true, nil
		}
		_, err := on(w.Open(), size).Reconcile(context.Background(), desire(2, second))
		if err != nil && !errors.Is(err, waf.ErrStale) {
			t.Fatalf("first run: %v", err)
		}
		w.OnWrite = nil
		if _, err := on(w.Open(), size).Reconcile(context.Background(), desire(3, third)); err != nil {
			t.Fatal(err)
		}
		for _, a := range space {
			if covers(prefixes(third), a) != covers(w.Enforced(), a) {
				t.Fatalf("%s: wanted %t", a, covers(prefixes(third), a))
			}
		}
	})
}
