package tencentfw_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// remembering runs as enforce does: each run is a process of its own, and what one leaves the next one knows.
type remembering struct {
	c      *cloudWAF
	book   *waf.BookMemory
	memory []byte
	n      uint64
}

func (r *remembering) run(t *testing.T, wants []waf.Want, change func(*waf.Reconciler)) waf.Report {
	t.Helper()
	f := r.c.open(t)
	f.(waf.Rememberer).Recall(r.memory)
	k := on(f, r.c.now)
	k.Book = r.book
	if change != nil {
		change(k)
	}
	r.n++
	report, err := k.Reconcile(context.Background(), waf.Desired{Wants: wants, Epoch: "e1", Generation: r.n})
	if err != nil {
		t.Fatal(err)
	}
	r.book, r.memory = report.Book, f.(waf.Rememberer).Memory()
	return report
}

var severities = []threat.Severity{threat.Low, threat.Medium, threat.High}

// threeDays is a list of n whose terms end one after the other within three days, in three severities.
func threeDays(n int) []waf.Want {
	wants := make([]waf.Want, n)
	for i, p := range hosts(0, n) {
		wants[i] = waf.Want{Prefix: p, Severity: severities[i%len(severities)], ExpiresAt: dawn.Add(time.Hour + 72*time.Hour*time.Duration(i)/time.Duration(n))}
	}
	return wants
}

// TestWhatRunsOfTheWAFCost holds the numbers of calls that the package promises for a list of three days.
func TestWhatRunsOfTheWAFCost(t *testing.T) {
	if testing.Short() {
		t.Skip("20,000 addresses")
	}
	for name, repeats := range map[string]bool{"an address may be twice": true, "an address may not be twice": false} {
		t.Run(name, func(t *testing.T) { testCost(t, repeats) })
	}
}

func testCost(t *testing.T, repeats bool) {
	const size = 19_990 // with four addresses of others the quota of 20,000 is not reached
	c := newCloudWAF(t, waftest.TencentOptions{AccessRepeats: repeats})
	r := &remembering{c: c}
	wants := threeDays(size)
	cost := func(what string, maxCalls, maxWrites int, report waf.Report) {
		t.Helper()
		t.Logf("%s: %d calls, %d of them writes", what, report.Calls, report.Writes)
		if report.Calls > maxCalls || report.Writes > maxWrites {
			t.Errorf("%s: %d calls, %d writes; want at most %d and %d", what, report.Calls, report.Writes, maxCalls, maxWrites)
		}
	}
	tick := func() { c.now = c.now.Add(time.Second) }
	cost("cold", 460, 450, r.run(t, wants, nil))
	if n := len(c.enforced()); n != size {
		t.Fatalf("%d in force, want %d", n, size)
	}
	tick()
	cost("nothing changed", 1, 0, r.run(t, wants, nil))
	pages := (len(c.Access(shop)) + 99) / 100
	one := append([]waf.Want{}, wants[1:]...)
	cost("one removed", 2+pages, 1, r.run(t, one, nil))
	tick()
	one[500].ExpiresAt = one[500].ExpiresAt.Add(10 * time.Hour)
	cost("one renewed", 2+pages+1, 2, r.run(t, one, nil))
	tick()
	one = append(one, waf.Want{Prefix: netip.MustParsePrefix("192.0.2.1/32"), ExpiresAt: dawn.Add(30 * time.Hour)})
	cost("one added", 2+pages, 1, r.run(t, one, nil))
	tick()
	cost("verified, which notes the newer generation too", 2+pages, 1, r.run(t, one, func(k *waf.Reconciler) { k.Verify = true }))
	// The next address on the list comes to the end of its term: the list goes without it.
	c.now = one[0].ExpiresAt.Add(time.Second)
	ended := one[1:]
	cost("one ended", 2+pages, 1, r.run(t, ended, nil))
	tick()
	cost("nothing changed again", 1, 0, r.run(t, ended, nil))
	if n := len(c.enforced()); n != len(ended) {
		t.Errorf("%d in force, want %d", n, len(ended))
	}
}
