package enforce_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func TestAListThatCannotBeTrustedChangesNoWall(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil   func(*testing.T, *blocklisttest.Fake)
		want    error
		guarded bool
	}{
		"no allowlist":        {func(_ *testing.T, f *blocklisttest.Fake) { f.Lose("allowlist") }, enforce.ErrAllowlist, false},
		"a garbled allowlist": {func(_ *testing.T, f *blocklisttest.Fake) { f.Corrupt("allowlist") }, enforce.ErrAllowlist, true},
		"a flushed store":     {func(_ *testing.T, f *blocklisttest.Fake) { f.Flush() }, enforce.ErrAllowlist, false},
		"no epoch":            {func(_ *testing.T, f *blocklisttest.Fake) { f.Lose("epoch") }, blocklist.ErrNoEpoch, true},
		"no index":            {func(_ *testing.T, f *blocklisttest.Fake) { f.Lose("expiry") }, blocklist.ErrDamaged, true},
		"a lost entry":        {func(_ *testing.T, f *blocklisttest.Fake) { f.Lose("entry:ip:20.1.0.0") }, blocklist.ErrDamaged, true},
		"a list founded anew": {func(t *testing.T, f *blocklisttest.Fake) {
			f.Flush()
			allowOn(t, f, "")
			block(t, f, now, "ip:20.9.9.9")
		}, waf.ErrEpoch, true},
		"a list emptied by hand": {func(t *testing.T, f *blocklisttest.Fake) {
			f.Erase(indicators(t, some(40)...)...)
		}, waf.ErrHeld, true},
		"a list thinned by hand": {func(t *testing.T, f *blocklisttest.Fake) {
			f.Erase(indicators(t, some(15)...)...)
		}, waf.ErrHeld, true},
		"a list emptied by hand but for a newcomer": {func(t *testing.T, f *blocklisttest.Fake) {
			f.Erase(indicators(t, some(40)...)...)
			block(t, f, now, "ip:20.9.9.9")
		}, waf.ErrHeld, true},
	} {
		t.Run(name, func(t *testing.T) {
			list := listOf(t, "", some(40)...)
			w := &waftest.Wall{Base: "w"}
			walls := []enforce.Wall{wallOf("w", w)}
			if _, err := passOf(list, now).Run(t.Context(), walls); err != nil || len(w.Enforced()) != 40 {
				t.Fatalf("at first: err = %v, enforced %v", err, w.Enforced())
			}
			block(t, list, now, "ip:20.8.8.8") // rings; nobody may say that it was answered
			tt.spoil(t, list)
			got, err := passOf(list, now).Run(t.Context(), walls)
			if !errors.Is(err, tt.want) || got[0].Writes != 0 || got[0].Guarded != tt.guarded {
				t.Errorf("err = %v, %d writes, guarded %v; want %v, none and %v", err, got[0].Writes, got[0].Guarded, tt.want, tt.guarded)
			}
			if len(w.Enforced()) != 40 {
				t.Errorf("the wall enforces %d, want 40 as before", len(w.Enforced()))
			}
			if name != "a flushed store" && waiting(t, list, "w") == 0 {
				t.Error("the announcement was acknowledged")
			}
			// What went wrong is there to be read, and a held run says its numbers.
			if s := statusOf(t, list, "w"); s.Result.Error == "" || (s.Held != nil) != errors.Is(err, waf.ErrHeld) || (got[0].Held != nil) != (s.Held != nil) {
				t.Errorf("status = %+v, held %+v", s.Result, s.Held)
			}
		})
	}
}

func TestAListRestoredFromAnOlderStateChangesNoWall(t *testing.T) {
	list, older := listOf(t, "", some(40)...), listOf(t, "", some(40)...) // of the same epoch
	block(t, list, now, "ip:20.9.9.9")
	w := &waftest.Wall{}
	walls := []enforce.Wall{wallOf("w", w)}
	if _, err := passOf(list, now).Run(t.Context(), walls); err != nil {
		t.Fatal(err)
	}
	got, err := passOf(older, now).Run(t.Context(), walls)
	if !errors.Is(err, waf.ErrStale) || !got[0].Guarded || got[0].Calls != 1 || len(w.Enforced()) != 41 {
		t.Errorf("err = %v, result %+v, %d enforced; want ErrStale and 41 as before", err, got[0], len(w.Enforced()))
	}
	adopt := passOf(older, now)
	adopt.AdoptEpoch = true
	if _, err := adopt.Run(t.Context(), walls); err != nil || len(w.Enforced()) != 40 {
		t.Errorf("adopted: err = %v, %d enforced, want the older 40", err, len(w.Enforced()))
	}
}

func TestReleasesThatSomebodyGaveAReasonForAreFree(t *testing.T) {
	later := now.Add(2 * time.Hour)
	for name, tt := range map[string]struct {
		do   func(*testing.T, *blocklisttest.Fake)
		at   time.Time
		want int
	}{
		"the last term ends":   {func(*testing.T, *blocklisttest.Fake) {}, later, 0},
		"most terms end":       {func(t *testing.T, f *blocklisttest.Fake) { block(t, f, now.Add(90*time.Minute), some(3)...) }, later, 3},
		"all are unblocked":    {func(t *testing.T, f *blocklisttest.Fake) { unblock(t, f, some(40)...) }, now.Add(time.Minute), 0},
		"half are unblocked":   {func(t *testing.T, f *blocklisttest.Fake) { unblock(t, f, some(20)...) }, now.Add(time.Minute), 20},
		"all are allowlisted":  {func(t *testing.T, f *blocklisttest.Fake) { allowOn(t, f, "20.1.0.0/16") }, now, 0},
		"a range takes all in": {func(t *testing.T, f *blocklisttest.Fake) { block(t, f, now, "ip:20.1.0.0/16") }, now, 1},
	} {
		t.Run(name, func(t *testing.T) {
			list := listOf(t, "", some(40)...)
			w := &waftest.Wall{}
			walls := []enforce.Wall{wallOf("w", w)}
			if _, err := passOf(list, now).Run(t.Context(), walls); err != nil || len(w.Enforced()) != 40 {
				t.Fatalf("at first: err = %v, enforced %v", err, w.Enforced())
			}
			tt.do(t, list)
			if _, err := passOf(list, tt.at).Run(t.Context(), walls); err != nil || len(w.Enforced()) != tt.want {
				t.Errorf("err = %v, %d enforced, want %d", err, len(w.Enforced()), tt.want)
			}
			if n := waiting(t, list, "w"); n != 0 {
				t.Errorf("%d announcements wait, want none", n)
			}
		})
	}
}

func unblock(t *testing.T, list *blocklisttest.Fake, keys ...string) {
	t.Helper()
	if _, err := list.Remove(t.Context(), now.Add(time.Second), "unblock", indicators(t, keys...)); err != nil {
		t.Fatal(err)
	}
}

// A split range's pieces leave the wall when the range's term ends.
func TestThePiecesOfASplitRangeEndWithIt(t *testing.T) {
	list := listOf(t, "20.1.7.7\n20.1.100.100\n", "ip:20.1.0.0/16")
	w := &waftest.Wall{}
	walls := []enforce.Wall{wallOf("w", w)}
	if _, err := passOf(list, now).Run(t.Context(), walls); err != nil || len(w.Enforced()) < 20 {
		t.Fatalf("err = %v, enforced %v, want some twenty pieces", err, w.Enforced())
	}
	if _, err := passOf(list, now.Add(2*time.Hour)).Run(t.Context(), walls); err != nil || len(w.Enforced()) != 0 {
		t.Errorf("err = %v, enforced %v, want nothing", err, w.Enforced())
	}
}

// If nobody can say who ended, nobody is released.
func TestAListThatDoesNotSayWhoEndedHoldsTheRun(t *testing.T) {
	list := listOf(t, "", some(40)...)
	w := &waftest.Wall{}
	walls := []enforce.Wall{wallOf("w", w)}
	if _, err := passOf(list, now).Run(t.Context(), walls); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("connection lost")
	list.OnRead = func(what string) error {
		if what == "ended" {
			return broken
		}
		return nil
	}
	if _, err := passOf(list, now.Add(2*time.Hour)).Run(t.Context(), walls); !errors.Is(err, broken) || len(w.Enforced()) != 40 {
		t.Errorf("err = %v, %d enforced, want the fault and 40 as before", err, len(w.Enforced()))
	}
}
