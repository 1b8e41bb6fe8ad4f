package blocklisttest

import (
	"errors"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

func testStrikes(t *testing.T, h Harness) {
	ind := address(t, "192.0.2.7")
	at, total := noon, time.Duration(0)
	for i, term := range []time.Duration{72, 144, 288, 576, 720, 720, 720} {
		term *= time.Hour
		if h.Advance != nil && i > 0 {
			h.Advance(total)
		}
		put(t, h.Store, at, offence(ind, at))
		e := snapshot(t, h.Store, at)[ind.Key()]
		end := h.end(offence(ind, at), i+1)
		if e.Strikes != i+1 || !e.ExpiresAt.Equal(end) || !e.Since.Equal(at) {
			t.Fatalf("block %d: %d strikes, since %s until %s, want until %s", i+1, e.Strikes, e.Since, e.ExpiresAt, end)
		}
		if late := end.Sub(at.Add(term)); late < 0 || late >= term/10 || late == 0 != (term == blocklist.MaxTerm) {
			t.Errorf("block %d of %s ends %s later: want less than a tenth, and at %s none", i+1, term, late, blocklist.MaxTerm)
		}
		// Offences while it is blocked lengthen the block but are no strikes.
		put(t, h.Store, at.Add(time.Hour), offence(ind, at.Add(time.Hour)))
		e = snapshot(t, h.Store, at)[ind.Key()]
		if e.Strikes != i+1 || !e.ExpiresAt.Equal(end.Add(time.Hour)) {
			t.Fatalf("block %d seen again: %d strikes until %s", i+1, e.Strikes, e.ExpiresAt)
		}
		// What happened during the block is no new strike either when it is read late.
		total = end.Add(time.Hour).Sub(at)
		at = at.Add(total)
	}
}

func testRemove(t *testing.T, h Harness) {
	a, b := address(t, "192.0.2.7"), address(t, "192.0.2.8")
	if _, err := h.Store.Remove(t.Context(), noon, "run", []threat.Indicator{a}); !errors.Is(err, blocklist.ErrNoEpoch) {
		t.Errorf("remove from an empty store: err = %v, want ErrNoEpoch", err)
	}
	c := put(t, h.Store, noon, offence(a, noon))
	unblocked := noon.Add(10*time.Minute + 700*time.Millisecond)
	n, err := h.Store.Remove(t.Context(), unblocked, "unblock", []threat.Indicator{a, b})
	if err != nil || n != 1 {
		t.Fatalf("removed = %d, err = %v, want 1", n, err)
	}
	sameEntries(t, snapshot(t, h.Other, noon), map[string]blocklist.Entry{})
	if _, ok, err := h.Store.Lookup(t.Context(), noon, a); ok || err != nil {
		t.Errorf("lookup = %v %v", ok, err)
	}
	snap, err := h.Store.Snapshot(t.Context(), noon)
	if err != nil || snap.Generation <= c.Generation {
		t.Errorf("generation = %d after %d, err = %v", snap.Generation, c.Generation, err)
	}
	// Windows that ended before the unblock are read again; b was never listed.
	old := []blocklist.Offence{offence(a, noon), offence(b, noon), offence(a, unblocked.Truncate(time.Second))}
	same(t, put(t, h.Store, unblocked, old...), blocklist.Changes{Released: 3})
	if h.Advance != nil {
		h.Advance(24 * time.Hour)
	}
	same(t, put(t, h.Store, noon.Add(24*time.Hour), old...), blocklist.Changes{Released: 3})
	// The operator changes their mind within the second.
	o := offence(b, unblocked)
	o.Source = blocklist.SourceOperator
	same(t, put(t, h.Store, unblocked, o), blocklist.Changes{Added: 1})
	// What happens after the unblock counts.
	same(t, put(t, h.Store, unblocked, offence(a, unblocked.Add(2*time.Minute))), blocklist.Changes{Added: 1})

	if n, err := h.Store.Remove(t.Context(), noon.Add(time.Hour), "again", []threat.Indicator{a, a}); err != nil || n != 1 {
		t.Errorf("removed = %d, err = %v, want 1", n, err)
	}
	if n, err := h.Store.Remove(t.Context(), noon.Add(time.Hour), "again", []threat.Indicator{a}); err != nil || n != 0 {
		t.Errorf("removed again = %d, err = %v, want 0", n, err)
	}
	if _, err := h.Store.Remove(t.Context(), noon, "x", []threat.Indicator{{}}); err == nil {
		t.Error("remove took nobody")
	}
}

func testForgive(t *testing.T, h Harness) {
	ind := address(t, "192.0.2.7")
	put(t, h.Store, noon, offence(ind, noon))
	if _, err := h.Store.Remove(t.Context(), noon.Add(time.Hour), "unblock", []threat.Indicator{ind}); err != nil {
		t.Fatal(err)
	}
	at := noon.Add(2 * time.Hour)
	put(t, h.Store, at, offence(ind, at))
	e := snapshot(t, h.Store, at)[ind.Key()]
	if e.Strikes != 1 || !e.Since.Equal(at) || !e.ExpiresAt.Equal(h.end(offence(ind, at), 1)) {
		t.Errorf("entry after an unblock = %+v, want a first strike", e)
	}
	// An unblock after the block is over takes nothing back.
	at = at.Add(80 * time.Hour)
	if n, err := h.Store.Remove(t.Context(), at, "unblock", []threat.Indicator{ind}); err != nil || n != 0 {
		t.Fatalf("removed = %d, err = %v, want 0", n, err)
	}
	at = at.Add(time.Hour)
	put(t, h.Store, at, offence(ind, at))
	if e := snapshot(t, h.Store, at)[ind.Key()]; e.Strikes != 2 {
		t.Errorf("strikes = %d, want 2", e.Strikes)
	}
}

func testCheckpoints(t *testing.T, h Harness) {
	set := func(at time.Time, offences ...blocklist.Offence) {
		t.Helper()
		b := blocklist.Batch{Run: "run", Now: noon, Offences: offences, Checkpoints: map[string]time.Time{"rate-limit-address": at, "other": noon}}
		if _, err := h.Store.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok, err := h.Store.Checkpoint(t.Context(), "rate-limit-address"); ok || err != nil {
		t.Errorf("checkpoint of an empty store = %v %v, want none", ok, err)
	}
	set(noon.Add(500 * time.Millisecond))
	set(noon.Add(-time.Hour), offence(address(t, "192.0.2.7"), noon))
	at, ok, err := h.Other.Checkpoint(t.Context(), "rate-limit-address")
	if err != nil || !ok || !at.Equal(noon) {
		t.Errorf("checkpoint = %s %v %v, want %s", at, ok, err, noon)
	}
	set(noon.Add(time.Minute))
	if at, _, _ := h.Other.Checkpoint(t.Context(), "rate-limit-address"); !at.Equal(noon.Add(time.Minute)) {
		t.Errorf("checkpoint = %s, want a minute on", at)
	}
	if _, ok, _ := h.Other.Checkpoint(t.Context(), "third"); ok {
		t.Error("a rule without a checkpoint has one")
	}
}

func testEnded(t *testing.T, h Harness) {
	short := offence(address(t, "192.0.2.7"), noon)
	short.Term = 2 * time.Minute
	put(t, h.Store, noon, short, offence(address(t, "192.0.2.8"), noon))
	if h.Advance != nil {
		h.Advance(h.end(short, 1).Sub(noon) + time.Second) // the value goes on the server's clock
	}
	for _, now := range []time.Time{noon.Add(time.Minute), noon.Add(3 * time.Minute)} {
		if _, err := h.Store.Snapshot(t.Context(), now); err != nil {
			t.Errorf("snapshot at %s: %v", now.Sub(noon), err)
		}
	}
	got := snapshot(t, h.Store, noon.Add(3*time.Minute))
	if len(got) != 1 || got["ip:192.0.2.8"].Strikes != 1 {
		t.Errorf("entries = %v, want the long one", got)
	}
}
