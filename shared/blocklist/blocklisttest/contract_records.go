package blocklisttest

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

func receive(t *testing.T, s Store, group, consumer string, claimAfter time.Duration) []blocklist.Notice {
	t.Helper()
	n, err := s.Receive(t.Context(), group, consumer, claimAfter)
	if err != nil {
		t.Fatalf("receive: %v", err)
	}
	return n
}

// words drops ids and generations.
func words(notices []blocklist.Notice) []blocklist.Notice {
	var out []blocklist.Notice
	for _, n := range notices {
		n.ID, n.Generation = "", 0
		out = append(out, n)
	}
	return out
}

func testHandoff(t *testing.T, h Harness) {
	a, b := address(t, "192.0.2.7"), address(t, "192.0.2.8")
	if n := receive(t, h.Store, "aws", "one", time.Hour); len(n) > 0 {
		t.Errorf("notices of an empty store = %v", n)
	}
	c := put(t, h.Store, noon, offence(a, noon), offence(b, noon))
	put(t, h.Store, noon, offence(a, noon))                                     // nothing new: no bell
	put(t, h.Store, noon, offence(a, noon.Add(-100*time.Hour)))                 // over: no bell
	put(t, h.Store, noon.Add(time.Minute), offence(a, noon.Add(2*time.Minute))) // longer: bell
	if _, err := h.Store.Remove(t.Context(), noon, "unblock", []threat.Indicator{b}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Store.Remove(t.Context(), noon, "unblock", []threat.Indicator{b}); err != nil { // nothing to take: no bell
		t.Fatal(err)
	}
	want := []blocklist.Notice{{Run: "run", Added: 2}, {Run: "run"}, {Run: "unblock", Removed: 1}}
	got := receive(t, h.Store, "aws", "one", time.Hour)
	if diff := cmp.Diff(want, words(got)); diff != "" {
		t.Fatalf("notices (-want +got):\n%s", diff)
	}
	if got[0].Generation != c.Generation || got[2].Generation <= got[0].Generation || got[0].ID == "" {
		t.Errorf("notices = %+v, want growing generations from %d on", got, c.Generation)
	}
	// Another target has its own copy, even if it comes late.
	if n := receive(t, h.Store, "aliyun", "one", time.Hour); len(n) != 3 {
		t.Errorf("second group got %d notices, want 3", len(n))
	}
	if n := receive(t, h.Other, "aws", "two", time.Hour); len(n) != 0 {
		t.Errorf("taken notices came again: %v", n)
	}
	if err := h.Store.Ack(t.Context(), "aws", got[0].ID); err != nil {
		t.Fatal(err)
	}
	// The first consumer died: another takes over what was not acknowledged.
	again := receive(t, h.Other, "aws", "two", 0)
	if diff := cmp.Diff(words(got[1:]), words(again)); diff != "" {
		t.Errorf("claimed (-want +got):\n%s", diff)
	}
	if err := h.Other.Ack(t.Context(), "aws", again[0].ID, again[1].ID); err != nil {
		t.Fatal(err)
	}
	if n := receive(t, h.Store, "aws", "one", 0); len(n) != 0 {
		t.Errorf("acknowledged notices came again: %v", n)
	}
	if err := h.Store.Ack(t.Context(), "aws"); err != nil {
		t.Errorf("ack of nothing: %v", err)
	}
}

func testLease(t *testing.T, h Harness) {
	ctx := t.Context()
	first, err := h.Store.Acquire(ctx, "sync-aws", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Other.Acquire(ctx, "sync-aws", time.Minute); !errors.Is(err, blocklist.ErrLeaseHeld) {
		t.Errorf("second acquire: err = %v, want ErrLeaseHeld", err)
	}
	if l, err := h.Other.Acquire(ctx, "another-job", time.Minute); err != nil || l.Release(ctx) != nil {
		t.Errorf("another job: %v", err)
	}
	if err := first.Renew(ctx); err != nil {
		t.Errorf("renew: %v", err)
	}
	if err := first.Release(ctx); err != nil {
		t.Errorf("release: %v", err)
	}
	if err := first.Renew(ctx); !errors.Is(err, blocklist.ErrLeaseLost) {
		t.Errorf("renew after release: err = %v, want ErrLeaseLost", err)
	}
	second, err := h.Other.Acquire(ctx, "sync-aws", time.Minute)
	if err != nil || second.Token() <= first.Token() {
		t.Fatalf("second lease: %v, err = %v, want a token above %d", second, err, first.Token())
	}
	if err := first.Renew(ctx); !errors.Is(err, blocklist.ErrLeaseLost) {
		t.Errorf("renewal of another's lease: err = %v, want ErrLeaseLost", err)
	}
	if err := first.Release(ctx); !errors.Is(err, blocklist.ErrLeaseLost) {
		t.Errorf("release of another's lease: err = %v, want ErrLeaseLost", err)
	}
	if _, err := h.Store.Acquire(ctx, "sync-aws", time.Minute); !errors.Is(err, blocklist.ErrLeaseHeld) {
		t.Errorf("acquire: err = %v: the first holder took the second's lease away", err)
	}
	if _, err := h.Store.Acquire(ctx, "sync-aws", 0); err == nil {
		t.Error("acquire took a lease for no time")
	}
	if h.Advance == nil {
		return
	}
	h.Advance(61 * time.Second)
	if err := second.Renew(ctx); !errors.Is(err, blocklist.ErrLeaseLost) {
		t.Errorf("renew after its time: err = %v, want ErrLeaseLost", err)
	}
	third, err := h.Store.Acquire(ctx, "sync-aws", time.Minute)
	if err != nil || third.Token() <= second.Token() {
		t.Errorf("third lease: %v, err = %v", third, err)
	}
}

func testFirst(t *testing.T, h Harness) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	firsts := 0
	for i := range 8 {
		s := []Store{h.Store, h.Other}[i%2]
		wg.Go(func() {
			ok, err := s.First(t.Context(), "alert 1 {x}\n"+strings.Repeat("long", 1000), time.Minute)
			if err != nil {
				t.Errorf("first: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if ok {
				firsts++
			}
		})
	}
	wg.Wait()
	if firsts != 1 {
		t.Errorf("%d were first, want 1", firsts)
	}
	if ok, err := h.Store.First(t.Context(), "alert 2", time.Minute); !ok || err != nil {
		t.Errorf("another key = %v %v, want true", ok, err)
	}
	if _, err := h.Store.First(t.Context(), "alert 3", 0); err == nil {
		t.Error("first took a ttl of 0")
	}
	if h.Advance != nil {
		h.Advance(61 * time.Second)
		if ok, err := h.Store.First(t.Context(), "alert 2", time.Minute); !ok || err != nil {
			t.Errorf("after its time = %v %v, want true", ok, err)
		}
	}
}

func testRecords(t *testing.T, h Harness) {
	ctx := t.Context()
	if _, err := h.Store.Run(ctx, "last"); !errors.Is(err, blocklist.ErrNoReport) {
		t.Errorf("run: err = %v, want ErrNoReport", err)
	}
	if _, err := h.Store.Status(ctx, "aws"); !errors.Is(err, blocklist.ErrNoReport) {
		t.Errorf("status: err = %v, want ErrNoReport", err)
	}
	for _, id := range []string{"run-1", "run-2"} {
		if err := h.Store.SaveRun(ctx, id, []byte(`{"id":"`+id+`"}`)); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]string{"run-1": "run-1", "run-2": "run-2", "last": "run-2"} {
		if b, err := h.Other.Run(ctx, id); err != nil || string(b) != `{"id":"`+want+`"}` {
			t.Errorf("run %s = %s, %v", id, b, err)
		}
	}
	if err := h.Store.SaveRun(ctx, "last", nil); err == nil {
		t.Error("save run took the id last")
	}
	if err := h.Store.SaveRun(ctx, "", nil); err == nil {
		t.Error("save run took no id")
	}
	if err := h.Store.SaveStatus(ctx, "aws-main", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if b, err := h.Other.Status(ctx, "aws-main"); err != nil || string(b) != "1" {
		t.Errorf("status = %s, %v", b, err)
	}
}

func testAllowlist(t *testing.T, h Harness) {
	ctx := t.Context()
	if _, err := h.Store.Allowlist(ctx); !errors.Is(err, blocklist.ErrNoAllowlist) {
		t.Errorf("allowlist: err = %v, want ErrNoAllowlist", err)
	}
	for _, text := range []string{"", "203.0.113.0/24 owner=office until=2026-12-31 second floor\naccount:\"jane doe\"\n"} {
		list, err := allowlist.Parse(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Store.SaveAllowlist(ctx, list); err != nil {
			t.Fatal(err)
		}
		got, err := h.Other.Allowlist(ctx)
		if err != nil || string(got.Text()) != text {
			t.Errorf("allowlist = %q, err = %v, want %q", got.Text(), err, text)
		}
	}
	h.Corrupt(t, "allowlist")
	if l, err := h.Store.Allowlist(ctx); !errors.Is(err, blocklist.ErrDamaged) || l.Len() > 0 {
		t.Errorf("garbled allowlist: %d entries, err = %v, want ErrDamaged", l.Len(), err)
	}
	h.Lose(t, "allowlist")
	if _, err := h.Store.Allowlist(ctx); !errors.Is(err, blocklist.ErrNoAllowlist) {
		t.Errorf("lost allowlist: err = %v, want ErrNoAllowlist", err)
	}
}
