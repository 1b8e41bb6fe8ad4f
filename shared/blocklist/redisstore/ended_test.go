package redisstore_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/threat"
)

// An unknown range is looked around, but not an endless number of them.
func TestWhatIsLookedUpAroundUnknownRangesIsBounded(t *testing.T) {
	store := open(t, startMini(t))
	ind, err := threat.ParseAddress("20.1.0.0/16")
	if err != nil {
		t.Fatal(err)
	}
	b := batch(t, 1)
	b.Offences[0].Indicator = ind
	if _, err := store.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	pieces := make([]netip.Prefix, 3*redisstore.AroundChunk)
	for i := range pieces {
		pieces[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{20, 1, byte(i >> 8), byte(i)}), 32)
	}
	for _, tt := range []struct{ budget, want int }{
		{1_000_000, len(pieces)},
		{1, redisstore.AroundChunk},
		{0, 0},
	} {
		store.SetBounds(tt.budget, time.Second)
		if n, err := store.Ended(t.Context(), noon.Add(100*time.Hour), pieces); err != nil || n != tt.want {
			t.Errorf("with %d lookups: %d ended, err = %v, want %d", tt.budget, n, err, tt.want)
		}
	}
}

// The index remembers 122 days, and so long a release is explained.
func TestWhatEndedIsRememberedAsLongAsItsPlace(t *testing.T) {
	m := miniredis.RunT(t)
	store := open(t, "redis://"+m.Addr())
	b := batch(t, 1)
	p := []netip.Prefix{b.Offences[0].Indicator.Prefix()}
	if _, err := store.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	end := noon.Add(72 * time.Hour)
	for _, tt := range []struct {
		days, want int
	}{{121, 1}, {123, 0}} {
		now := end.Add(time.Duration(tt.days) * 24 * time.Hour)
		if _, err := store.Put(t.Context(), blocklist.Batch{Run: "prune", Now: now}); err != nil {
			t.Fatal(err)
		}
		if n, err := store.Ended(t.Context(), now, p); err != nil || n != tt.want {
			t.Errorf("after %d days: %d ended, err = %v, want %d", tt.days, n, err, tt.want)
		}
	}
}

func TestEndedSpellsRangesAsTheListDoes(t *testing.T) {
	m := miniredis.RunT(t)
	store := open(t, "redis://"+m.Addr())
	raw := redis.NewClient(&redis.Options{Addr: m.Addr()})
	t.Cleanup(func() { _ = raw.Close() })
	for _, text := range []string{"20.1.2.3", "20.1.2.0/24", "2a00:1450::/64", "2a00:1450::7"} {
		ind, err := threat.ParseAddress(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.ZAdd(t.Context(), prefix+"expiry", redis.Z{Score: 1, Member: ind.Key()}).Err(); err != nil {
			t.Fatal(err)
		}
		if n, err := store.Ended(t.Context(), noon, []netip.Prefix{ind.Prefix()}); err != nil || n != 1 {
			t.Errorf("%s: %d ended, err = %v, want 1", text, n, err)
		}
	}
}

func TestEndedOfAStoreThatFailsIsAnError(t *testing.T) {
	m := miniredis.RunT(t)
	store := open(t, "redis://"+m.Addr())
	if err := m.Set(prefix+"expiry", "not a sorted set"); err != nil {
		t.Fatal(err)
	}
	if n, err := store.Ended(t.Context(), noon, []netip.Prefix{netip.MustParsePrefix("20.1.2.3/32")}); err == nil {
		t.Errorf("%d ended, and no error", n)
	}
}

func TestAGarbledApprovalApprovesOfNothing(t *testing.T) {
	m := miniredis.RunT(t)
	store := open(t, "redis://"+m.Addr())
	for _, text := range []string{"", "yes", `{"add":-1,"release":0,"at":"2026-11-20T12:00:00Z"}`, `{"add":5}`} {
		if err := m.Set(prefix+"approval:edge", text); err != nil {
			t.Fatal(err)
		}
		if a, ok, err := store.Approval(t.Context(), "edge"); ok || err == nil || a.Add != 0 && text == "" {
			t.Errorf("%q: approval = %+v %v %v", text, a, ok, err)
		}
	}
}
