package waftest

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

	"github.com/tracewall/tracewall/shared/waf"
)

// Harness is one fresh wall to try a waf.Firewall on.
type Harness struct {
	// Open returns a Firewall on the wall, as another process would.
	Open func(t *testing.T) waf.Firewall
	// Enforced returns what the wall blocks, in order.
	Enforced func() []netip.Prefix
	// Foreign returns all on the wall that is not ours, byte for byte.
	Foreign func() string
	// Fail makes the n-th write from now (from 0) fail for good: before it takes effect, or after. Nil if it cannot.
	Fail func(n int, afterChange bool)
}

// TestFirewall is what every waf.Firewall must pass. open makes a fresh wall.
func TestFirewall(t *testing.T, open func(t *testing.T) Harness) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(t *testing.T, h Harness)
	}{
		{"the wall becomes equal to the list, and nothing else changes", testEqual},
		{"nothing changed costs no write", testNothing},
		{"one change costs one write", testOne},
		{"both families live side by side", testFamilies},
		{"a dry run says what the real run then does, and writes nothing", testDry},
		{"a list with another epoch is refused and the wall stays", testEpoch},
		{"an older state of the list is refused and the wall stays", testStale},
		{"sets that are no longer needed go away", testShrink},
		{"a second process finds everything as it is", testSecond},
		{"no fault at any write opens a gap, and the next run converges", testFaults},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

const suiteSize = 10 // addresses per set: small, so that everything happens early

// addrs returns n single addresses, numbered from first.
func addrs(first, n int) []netip.Prefix {
	list := make([]netip.Prefix, n)
	for i := range list {
		k := first + i
		list[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(k >> 8), byte(k)}), 32)
	}
	return list
}

func wants(list []netip.Prefix) []waf.Want {
	out := make([]waf.Want, len(list))
	for i, p := range list {
		out[i] = waf.Want{Prefix: p, ExpiresAt: time.Unix(int64(i), 0)}
	}
	return out
}

// AllEnded is the Ended of a waf.Guard for lists of which nobody goes but in good order.
func AllEnded(_ context.Context, prefixes []netip.Prefix) (int, error) { return len(prefixes), nil }

func reconciler(f waf.Firewall) *waf.Reconciler {
	return &waf.Reconciler{
		Firewall: f, Name: "suite", Limits: waf.Limits{SetSize: suiteSize}, Guard: waf.Guard{Ended: AllEnded},
		Pause: func(context.Context, int) error { return nil },
	}
}

func reconcile(t *testing.T, h Harness, f waf.Firewall, generation uint64, list []netip.Prefix) waf.Report {
	t.Helper()
	report, err := reconciler(f).Reconcile(t.Context(), waf.Desired{Wants: wants(list), Epoch: "e1", Generation: generation})
	if err != nil {
		t.Fatalf("reconcile: %v", err)
	}
	if diff := cmp.Diff(spell(list), spell(h.Enforced())); diff != "" {
		t.Fatalf("the wall is not equal to the list (-want +got):\n%s", diff)
	}
	if report.Enforced != len(list) || report.Desired != len(list) {
		t.Fatalf("report says desired %d, enforced %d, want %d both", report.Desired, report.Enforced, len(list))
	}
	return report
}

func spell(list []netip.Prefix) string {
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = p.String()
	}
	slices.Sort(texts)
	return strings.Join(texts, "\n")
}

func testEqual(t *testing.T, h Harness) {
	foreign := h.Foreign()
	f := h.Open(t)
	for i, list := range [][]netip.Prefix{addrs(0, 25), addrs(5, 25), addrs(5, 3), nil, addrs(100, 41)} {
		reconcile(t, h, f, uint64(i), list)
	}
	if diff := cmp.Diff(foreign, h.Foreign()); diff != "" {
		t.Errorf("what is not ours changed:\n%s", diff)
	}
}

func testNothing(t *testing.T, h Harness) {
	reconcile(t, h, h.Open(t), 1, addrs(0, 25))
	for _, f := range []waf.Firewall{h.Open(t), h.Open(t)} {
		if r := reconcile(t, h, f, 7, addrs(0, 25)); r.Writes != 0 || len(r.Plan) != 0 {
			t.Errorf("writes %d, plan %q, want none", r.Writes, r.Plan)
		}
	}
}

func testOne(t *testing.T, h Harness) {
	f := h.Open(t)
	reconcile(t, h, f, 1, addrs(0, 25))
	if r := reconcile(t, h, f, 2, addrs(1, 25)); r.Writes != 1 {
		t.Errorf("one gone and one come: %d writes (%q), want 1", r.Writes, r.Plan)
	}
	if r := reconcile(t, h, h.Open(t), 3, addrs(1, 24)); r.Writes != 1 {
		t.Errorf("one gone: %d writes (%q), want 1", r.Writes, r.Plan)
	}
}

func testFamilies(t *testing.T, h Harness) {
	list := append(addrs(0, 12), netip.MustParsePrefix("2001:db8::/64"), netip.MustParsePrefix("2001:db8:1::/48"))
	f := h.Open(t)
	reconcile(t, h, f, 1, list)
	reconcile(t, h, f, 2, list[12:])
	reconcile(t, h, h.Open(t), 3, list[:13])
}

func testDry(t *testing.T, h Harness) {
	reconcile(t, h, h.Open(t), 1, addrs(0, 25))
	before := h.Enforced()
	dry := reconciler(h.Open(t))
	dry.DryRun = true
	said, err := dry.Reconcile(t.Context(), waf.Desired{Wants: wants(addrs(3, 40)), Epoch: "e1", Generation: 2})
	if err != nil {
		t.Fatal(err)
	}
	if said.Writes != 0 || !said.DryRun || !slices.Equal(before, h.Enforced()) {
		t.Errorf("the dry run wrote: %+v", said)
	}
	did := reconcile(t, h, h.Open(t), 2, addrs(3, 40))
	if diff := cmp.Diff(said.Plan, did.Plan); diff != "" || len(did.Plan) > did.Writes {
		t.Errorf("dry and real run differ, or the plan has more lines than there were writes (%d):\n%s", did.Writes, diff)
	}
}

func testEpoch(t *testing.T, h Harness) { testRefused(t, h, "e2", 9, waf.ErrEpoch) }
func testStale(t *testing.T, h Harness) { testRefused(t, h, "e1", 4, waf.ErrStale) }

func testRefused(t *testing.T, h Harness, epoch string, generation uint64, want error) {
	t.Helper()
	reconcile(t, h, h.Open(t), 5, addrs(0, 25))
	r := reconciler(h.Open(t))
	desired := waf.Desired{Wants: wants(addrs(40, 2)), Epoch: epoch, Generation: generation}
	report, err := r.Reconcile(t.Context(), desired)
	if !errors.Is(err, want) || report.Writes != 0 || spell(h.Enforced()) != spell(addrs(0, 25)) {
		t.Fatalf("error %v, %d writes, %d enforced; want %v and the wall as it was", err, report.Writes, len(h.Enforced()), want)
	}
	r.AdoptEpoch = true
	if _, err := r.Reconcile(t.Context(), desired); err != nil || spell(h.Enforced()) != spell(addrs(40, 2)) {
		t.Errorf("with AdoptEpoch: error %v, %d enforced, want 2", err, len(h.Enforced()))
	}
	r.AdoptEpoch = false
	if _, err := r.Reconcile(t.Context(), desired); err != nil {
		t.Errorf("after adopting: %v", err)
	}
}

func testShrink(t *testing.T, h Harness) {
	f := h.Open(t)
	reconcile(t, h, f, 1, addrs(0, 50))
	reconcile(t, h, f, 2, addrs(0, 10))
	r := reconcile(t, h, f, 3, addrs(0, 10))
	if len(r.Sets) > 2 {
		t.Errorf("sets left: %+v, want the full one and one to spare", r.Sets)
	}
	if r := reconcile(t, h, h.Open(t), 4, addrs(0, 10)); r.Writes != 0 {
		t.Errorf("third run still writes: %q", r.Plan)
	}
}

func testSecond(t *testing.T, h Harness) {
	a, b := h.Open(t), h.Open(t)
	for i := range 6 {
		f := a
		if i%2 == 1 {
			f = b
		}
		reconcile(t, h, f, uint64(i), addrs(i*7, 20))
	}
}

// testFaults lets each write of growing, churning and shrinking fail in both ways.
func testFaults(t *testing.T, h Harness) {
	if h.Fail == nil {
		t.Skip("this wall cannot be made to fail")
	}
	generation, at := uint64(0), 0
	for n := range 8 {
		for _, after := range []bool{false, true} {
			for _, size := range []int{35, 12} {
				before := h.Enforced()
				at += 5
				list := addrs(at, size)
				generation++
				h.Fail(n, after)
				report, err := reconciler(h.Open(t)).Reconcile(t.Context(), waf.Desired{Wants: wants(list), Epoch: "e1", Generation: generation})
				where := fmt.Sprintf("write %d, after the change %t, to %d: %v", n, after, size, err)
				now := h.Enforced()
				for _, p := range list {
					if slices.Contains(before, p) && !slices.Contains(now, p) {
						t.Fatalf("%s: %s is wanted and no longer blocked", where, p)
					}
				}
				if report.Enforced > len(now) {
					t.Errorf("%s: report says %d enforced, the wall has %d", where, report.Enforced, len(now))
				}
				h.Fail(-1, false)
				reconcile(t, h, h.Open(t), generation, list)
			}
		}
	}
}
