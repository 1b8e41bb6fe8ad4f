package waftest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/threat"
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
	// FailCall makes the n-th call from now, reads included, fail for good before it takes effect; negative: none. Nil if it cannot.
	FailCall func(n int)
	// SetRoom bounds how many addresses the wall takes from now on, 20 at least. Nil if it cannot.
	SetRoom func(n int)
	// Swap is how many writes one gone and one come cost; default 1, a book takes 2.
	Swap int
	// CannotProve: nobody can tell here whether what the wall holds is in force.
	CannotProve bool
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
		{"no fault at any call opens a gap, and the next run converges", testCalls},
		{"what has no room is told, and the most urgent are in", testRoom},
		{"what is told as in force is in force", testProof},
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
	if diff := gocmp.Diff(spell(list), spell(h.Enforced())); diff != "" {
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
	if diff := gocmp.Diff(foreign, h.Foreign()); diff != "" {
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
	if r := reconcile(t, h, f, 2, addrs(1, 25)); r.Writes > cmp.Or(h.Swap, 1) {
		t.Errorf("one gone and one come: %d writes (%q), want %d", r.Writes, r.Plan, cmp.Or(h.Swap, 1))
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
	if diff := gocmp.Diff(said.Plan, did.Plan); diff != "" || len(did.Plan) > did.Writes {
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
	c := churn{h: h}
	for n := range 8 {
		for _, after := range []bool{false, true} {
			c.through(t, fmt.Sprintf("write %d, after the change %t", n, after), func() { h.Fail(n, after) }, func() { h.Fail(-1, false) })
		}
	}
}

// testCalls lets each call fail, those included that only read.
func testCalls(t *testing.T, h Harness) {
	if h.FailCall == nil {
		t.Skip("this wall's calls cannot be made to fail")
	}
	c := churn{h: h}
	for n := range 12 {
		c.through(t, fmt.Sprintf("call %d", n), func() { h.FailCall(n) }, func() { h.FailCall(-1) })
	}
}

// churn makes a wall grow and shrink while it is made to fail.
type churn struct {
	h          Harness
	generation uint64
	at         int
}

// through makes the wall fail, then mends it, once while it grows and once while it shrinks.
func (c *churn) through(t *testing.T, what string, fail, mend func()) {
	t.Helper()
	for _, size := range []int{35, 12} {
		before := c.h.Enforced()
		c.at += 5
		list := addrs(c.at, size)
		c.generation++
		fail()
		report, err := reconciler(c.h.Open(t)).Reconcile(t.Context(), waf.Desired{Wants: wants(list), Epoch: "e1", Generation: c.generation})
		where := fmt.Sprintf("%s, to %d: %v", what, size, err)
		now := c.h.Enforced()
		for _, p := range list {
			if slices.Contains(before, p) && !slices.Contains(now, p) {
				t.Fatalf("%s: %s is wanted and no longer blocked", where, p)
			}
		}
		if report.Enforced > len(now) {
			t.Errorf("%s: report says %d enforced, the wall has %d", where, report.Enforced, len(now))
		}
		mend()
		reconcile(t, c.h, c.h.Open(t), c.generation, list)
	}
}

// testRoom fills a wall beyond its room, of either kind: one that tells how much it takes and one that only refuses.
func testRoom(t *testing.T, h Harness) {
	if h.SetRoom == nil {
		t.Skip("this wall's room cannot be bounded")
	}
	h.SetRoom(20)
	list := addrs(0, 60)
	for i := range list { // no two of them make a range
		list[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(i), 1}), 32)
	}
	desired := waf.Desired{Wants: wants(list), Epoch: "e1", Generation: 1}
	for i := range desired.Wants {
		desired.Wants[i].Severity = threat.Low
		if i >= 50 {
			desired.Wants[i].Severity = threat.Critical
		}
	}
	// That the wall is full may be an error once, where only a refused write tells.
	report, err := reconciler(h.Open(t)).Reconcile(t.Context(), desired)
	now := h.Enforced()
	if err != nil && !errors.Is(err, waf.ErrQuota) || report.Enforced != 20 || report.Overflow != 40 || len(report.Overflowed) != 40 || len(now) != 20 {
		t.Fatalf("error %v; %d enforced by the report and %d on the wall, %d overflow; want 20, 20 and 40", err, report.Enforced, len(now), report.Overflow)
	}
	for _, p := range list[50:] {
		if !slices.Contains(now, p) {
			t.Errorf("%s is the most urgent and did not get in", p)
		}
	}
	// What goes makes room for what waits.
	desired.Wants, desired.Generation = desired.Wants[:50], 2
	report, err = reconciler(h.Open(t)).Reconcile(t.Context(), desired)
	if err != nil && !errors.Is(err, waf.ErrQuota) || report.Overflow != 30 || len(h.Enforced()) != 20 {
		t.Errorf("ten gone: error %v, %d on the wall, %d overflow; want 20 and 30", err, len(h.Enforced()), report.Overflow)
	}
}

// testProof asks a wall that can tell whether what it holds is in force.
func testProof(t *testing.T, h Harness) {
	f := h.Open(t)
	if _, ok := f.(waf.Prover); !ok {
		t.Skip("this wall proves nothing")
	}
	r := reconciler(f)
	r.Prove = true
	report, err := r.Reconcile(t.Context(), waf.Desired{Wants: wants(addrs(0, 5)), Epoch: "e1", Generation: 1})
	if err != nil || report.Proof == nil {
		t.Fatalf("error %v, proof %+v", err, report.Proof)
	}
	if h.CannotProve {
		if report.Proof.Effective || len(report.Proof.Reasons) == 0 {
			t.Errorf("the proof says %+v, which nobody can know", report.Proof)
		}
		return
	}
	if blocked := len(h.Enforced()) == 5; report.Proof.Effective != blocked || !blocked {
		t.Errorf("the proof says %+v, the wall blocks %d of 5", report.Proof, len(h.Enforced()))
	}
}
