package wafbench

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func TestTableOfASmallListKeepsWhatIsPromised(t *testing.T) {
	r, err := Measure(t.Context(), Quick())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	r.Print(&out)
	if n := r.Broken(); n > 0 {
		t.Errorf("%d promises are not kept:\n%s", n, &out)
	}
	for _, c := range r.Cases {
		if !strings.Contains(out.String(), c.Name) {
			t.Errorf("the table lacks the case %q:\n%s", c.Name, &out)
		}
		if c.Tracewall.Faulted == 0 || c.Story.Runs == 0 {
			t.Errorf("%s: %d runs with a fault, %d of the story's program, want some of both", c.Name, c.Tracewall.Faulted, c.Story.Runs)
		}
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

// The comparison would be worth nothing if the watch saw no gaps where there are some,
// or if the story's program were slower or worse than it has to be.
func TestStoryCostsWhatWasMeasuredOfIt(t *testing.T) {
	o := Quick()
	open := func() *bench {
		b, err := o.story(nil)(waftest.AWSOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.close)
		return b
	}
	sync := func(b *bench) cost {
		t.Helper()
		c, err := b.once(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	b := open()
	if c := sync(b); c.calls != 24 || c.writes != 21 {
		t.Errorf("cold: %d calls, %d of them writes, want 24 and 21", c.calls, c.writes)
	}
	if c := sync(b); c.calls != 44 || c.writes != 21 || c.unprotected != 0 {
		t.Errorf("no change: %d calls, %d of them writes, %d unprotected, want 44, 21 and 0", c.calls, c.writes, c.unprotected)
	}
	b.history.Random(0, 20)
	if c := sync(b); c.unprotected == 0 {
		t.Error("growth by 1 % shifts the groups: some addresses are unprotected for a while, want to see them")
	}
}

func TestCostCountsThePaceAndTheLatency(t *testing.T) {
	c := costOf([]waftest.Call{
		{Op: "ListIPSets", Sent: 10}, {Op: "UpdateIPSet", Sent: 100}, {Op: "UpdateIPSet", Sent: 100}, {Op: "UpdateWebACL", Sent: 1, Code: "ThrottlingException"},
	})
	if c.calls != 4 || c.writes != 3 || c.throttled != 1 || c.bytes != 211 {
		t.Errorf("cost = %+v, want 4 calls, 3 writes, 1 throttled, 211 bytes", c)
	}
	// List at 0, the first update at 0.05, the second 1.1 s after it, the web ACL after that.
	if want := 0.05 + 1.1 + 0.05 + 0.05; c.seconds < want-1e-9 || c.seconds > want+1e-9 {
		t.Errorf("seconds = %v, want %v", c.seconds, want)
	}
}

func TestJudge(t *testing.T) {
	p := &Promise{Writes: 1, Calls: 4, Bytes: 100, Seconds: 1}
	slow := 1.5
	for _, tt := range []struct {
		name string
		n    Numbers
		want int
	}{
		{"all is kept", Numbers{Writes: 1, Calls: 4, Bytes: 100, Seconds: 1}, 0},
		{"a write too many", Numbers{Writes: 1.1}, 1},
		{"a call too many", Numbers{Calls: 5}, 1},
		{"a byte too many", Numbers{Bytes: 101}, 1},
		{"too slow by the quotas", Numbers{Seconds: 1.1}, 1},
		{"too slow on the real clock", Numbers{Real: &slow}, 1},
		{"throttled", Numbers{Throttled: 1}, 1},
		{"a gap", Numbers{Unprotected: 1}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := Case{Promise: p, Tracewall: tt.n}
			if c.judge(); len(c.Failed) != tt.want {
				t.Errorf("failed = %q, want %d", c.Failed, tt.want)
			}
		})
	}
}

func TestSimulationOfASmallList(t *testing.T) {
	o := Quick()
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte("# a list\n192.0.2.1\t3\n192.0.2.77/25 # twice\n192.0.2.0/25\n\n2001:db8::1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := ReadList(file)
	if err != nil || len(first) != 3 {
		t.Fatalf("list = %v, %v, want three", first, err)
	}
	second := []netip.Prefix{first[2], netip.MustParsePrefix("192.0.2.9/32")}
	o.Lists, o.SetSize, o.Addresses = [][]netip.Prefix{first, second}, 200, 2000
	r, err := Simulate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	means := map[string]float64{}
	for _, p := range r.Simulation {
		means[p.Change+"; "+p.Scheme] = p.Mean
	}
	for _, c := range []string{"random churn 1 %", "expiry in order of arrival, 1 %", "one out, one in"} {
		ours := means[c+"; tracewall (adaptive)"]
		for _, other := range []string{"tracewall without exceptions (sticky)", "by position", "by hash"} {
			if ours > means[c+"; "+other] {
				t.Errorf("%s: %.2f writes, want at most %q's %.2f", c, ours, other, means[c+"; "+other])
			}
		}
	}
	if _, ok := means["the given list's real editions; by hash"]; !ok {
		t.Error("the given list's editions were not simulated")
	}
	var out strings.Builder
	r.Print(&out)
	if !strings.Contains(out.String(), "pure overlay") {
		t.Errorf("no pure overlay in:\n%s", &out)
	}
}

func TestReadListSaysWhichLineIsNoAddress(t *testing.T) {
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte("192.0.2.1\nexample.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadList(file); err == nil || !strings.Contains(err.Error(), "line 2") {
		t.Errorf("err = %v, want one that names line 2", err)
	}
}

func TestAttackersAreTheSameAndLieLikeThoseOfPublishedLists(t *testing.T) {
	a, b := NewAttackers(7), NewAttackers(7)
	const n = 20_000
	list := map[netip.Addr]bool{}
	text := 0
	for range n {
		p := a.Next()
		if q := b.Next(); p != q {
			t.Fatalf("%s and %s of one seed", p, q)
		}
		if list[p.Addr()] {
			t.Fatalf("%s twice", p)
		}
		list[p.Addr()] = true
		text += len(p.String()) + 3
	}
	neighbours := 0
	for addr := range list {
		if list[addr.Next()] || list[addr.Prev()] {
			neighbours++
		}
	}
	if share := float64(neighbours) / n; share < 0.18 || share > 0.38 {
		t.Errorf("%.0f %% have a neighbour, want 18 to 38 as on published lists", 100*share)
	}
	if mean := float64(text) / n; mean < perAddress-0.5 || mean > perAddress+0.5 {
		t.Errorf("%.2f bytes an address, want about %.1f", mean, perAddress)
	}
}

func TestHistoryKeepsTheOrderInWhichTermsEnd(t *testing.T) {
	h := NewHistory(1, 500)
	for i := range 20 {
		switch i % 4 {
		case 0:
			h.Expire(5)
		case 1:
			h.Refresh(5)
		case 2:
			h.Random(5, 5)
		case 3:
			h.Daily(5)
		}
		if len(h.live) != 500 || len(h.last.Added) != 5 || len(h.last.Removed) != 5 {
			t.Fatalf("step %d: %d live, %d came, %d went, want 500, 5 and 5", i, len(h.live), len(h.last.Added), len(h.last.Removed))
		}
		var last time.Time
		for _, w := range h.live {
			if w.ExpiresAt.Before(last) {
				t.Fatalf("step %d: %s ends before the one ahead of it", i, w.Prefix)
			}
			last = w.ExpiresAt
		}
	}
}

// Redis hands keys out by their hash: neither by address nor by age.
func TestScanTakesKeysByTheirHash(t *testing.T) {
	h := NewHistory(1, 1000)
	before := scan(h.Desired())
	if again := scan(h.Desired()); !slices.Equal(before, again) {
		t.Error("the order of the same keys changed")
	}
	if slices.IsSorted(before) {
		t.Error("the keys are in order of their text")
	}
	h.Random(0, 1)
	after := scan(h.Desired())
	at := slices.Index(after, h.Last().Added[0].String())
	if rest := slices.Delete(slices.Clone(after), at, at+1); !slices.Equal(rest, before) {
		t.Error("a newcomer changed the order of the others")
	}
	last := after[0]
	for _, key := range after[1:] {
		if hash(key) < hash(last) {
			t.Fatalf("%s comes after %s, whose hash is larger", key, last)
		}
		last = key
	}
}
