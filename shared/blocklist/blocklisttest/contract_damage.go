package blocklisttest

import (
	"errors"
	"testing"

	"github.com/tracewall/tracewall/shared/blocklist"
)

// readers asks every reader and wants each to fail with want.
func readers(t *testing.T, s Store, want error) {
	t.Helper()
	if snap, err := s.Snapshot(t.Context(), noon); !errors.Is(err, want) || len(snap.Entries) > 0 {
		t.Errorf("snapshot: %d entries, err = %v, want %v", len(snap.Entries), err, want)
	}
	if _, err := s.Each(t.Context(), noon, func([]blocklist.Entry) error { return nil }); !errors.Is(err, want) {
		t.Errorf("each: err = %v, want %v", err, want)
	}
}

func testNoEpoch(t *testing.T, h Harness) {
	readers(t, h.Store, blocklist.ErrNoEpoch)
	if _, _, err := h.Store.Lookup(t.Context(), noon, address(t, "192.0.2.7")); !errors.Is(err, blocklist.ErrNoEpoch) {
		t.Errorf("lookup: err = %v, want ErrNoEpoch", err)
	}
	// Things beside the list do not make one, and do not stop one from being made.
	if _, err := h.Store.Receive(t.Context(), "aws", "one", 0); err != nil {
		t.Errorf("receive: %v", err)
	}
	if err := h.Store.SaveStatus(t.Context(), "aws", []byte("{}")); err != nil {
		t.Errorf("save status: %v", err)
	}
	readers(t, h.Store, blocklist.ErrNoEpoch)
	// A run that found nothing founds the list: an empty list, known to be empty.
	put(t, h.Store, noon)
	snap, err := h.Other.Snapshot(t.Context(), noon)
	if err != nil || snap.Epoch == "" || len(snap.Entries) != 0 {
		t.Errorf("snapshot = %+v, err = %v, want an empty list with an epoch", snap, err)
	}
}

func testLostEpoch(t *testing.T, h Harness) {
	put(t, h.Store, noon, offence(address(t, "192.0.2.7"), noon))
	h.Lose(t, "epoch")
	readers(t, h.Store, blocklist.ErrNoEpoch)
	_, err := h.Store.Put(t.Context(), blocklist.Batch{Run: "run", Now: noon, Offences: []blocklist.Offence{offence(address(t, "192.0.2.8"), noon)}})
	if !errors.Is(err, blocklist.ErrDamaged) {
		t.Errorf("put: err = %v, want ErrDamaged", err)
	}
	readers(t, h.Store, blocklist.ErrNoEpoch) // and no new epoch has covered it up
	h.Lose(t, "handoff")
	if _, err := h.Store.Put(t.Context(), blocklist.Batch{Run: "run", Now: noon}); !errors.Is(err, blocklist.ErrDamaged) {
		t.Errorf("put without epoch and handoff: err = %v, want ErrDamaged", err)
	}
	if _, err := h.Store.Remove(t.Context(), noon, "run", nil); !errors.Is(err, blocklist.ErrDamaged) {
		t.Errorf("remove: err = %v, want ErrDamaged", err)
	}
}

func testLostEntry(t *testing.T, h Harness) {
	a, b := address(t, "192.0.2.7"), address(t, "192.0.2.8")
	put(t, h.Store, noon, offence(a, noon), offence(b, noon))
	h.Lose(t, "entry:"+a.Key())
	readers(t, h.Store, blocklist.ErrDamaged)
	// The same offence again mends it, without a strike.
	put(t, h.Store, noon, offence(a, noon))
	if e := snapshot(t, h.Store, noon)[a.Key()]; e.Strikes != 1 {
		t.Errorf("mended entry = %+v, want its first strike", e)
	}
	h.Corrupt(t, "entry:"+b.Key())
	readers(t, h.Store, blocklist.ErrDamaged)
	put(t, h.Store, noon, offence(b, noon))
	if got := snapshot(t, h.Store, noon); len(got) != 2 || got[b.Key()].Strikes != 1 {
		t.Errorf("mended list = %v", got)
	}
}

func testLostParts(t *testing.T, h Harness) {
	o := offence(address(t, "192.0.2.7"), noon)
	for _, part := range []string{"generation", "expiry"} {
		h.Flush(t)
		put(t, h.Store, noon, o)
		h.Lose(t, part)
		readers(t, h.Store, blocklist.ErrDamaged)
		if _, err := h.Store.Put(t.Context(), blocklist.Batch{Run: "run", Now: noon, Offences: []blocklist.Offence{o}}); !errors.Is(err, blocklist.ErrDamaged) {
			t.Errorf("put without %s: err = %v, want ErrDamaged", part, err)
		}
	}
	// The bell may get lost: the list is the truth.
	h.Flush(t)
	put(t, h.Store, noon, o)
	h.Lose(t, "handoff")
	if got := snapshot(t, h.Store, noon); len(got) != 1 {
		t.Errorf("entries = %v, want one", got)
	}
}

func testFlush(t *testing.T, h Harness) {
	put(t, h.Store, noon, offence(address(t, "192.0.2.7"), noon))
	before, err := h.Store.Snapshot(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	h.Flush(t)
	readers(t, h.Store, blocklist.ErrNoEpoch)
	put(t, h.Store, noon, offence(address(t, "192.0.2.8"), noon))
	after, err := h.Store.Snapshot(t.Context(), noon)
	if err != nil || after.Epoch == before.Epoch || len(after.Entries) != 1 {
		t.Errorf("epoch %q after %q, %d entries, err = %v", after.Epoch, before.Epoch, len(after.Entries), err)
	}
}
