package blocklisttest_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/threat"
)

var _ blocklisttest.Store = (*blocklisttest.Fake)(nil)

func TestFakeKeepsTheContract(t *testing.T) {
	blocklisttest.TestStore(t, func(t *testing.T) blocklisttest.Harness {
		var mu sync.Mutex
		now := time.Now()
		f := &blocklisttest.Fake{Secret: "s", Clock: func() time.Time { mu.Lock(); defer mu.Unlock(); return now }}
		return blocklisttest.Harness{
			Store: f, Other: f, Secret: f.Secret,
			Flush:   func(blocklisttest.TB) { f.Flush() },
			Lose:    func(_ blocklisttest.TB, part string) { f.Lose(part) },
			Corrupt: func(_ blocklisttest.TB, part string) { f.Corrupt(part) },
			Erase:   func(_ blocklisttest.TB, ind threat.Indicator) { f.Erase(ind) },
			Advance: func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) },
		}
	})
}

func TestFakeFaultsHaveTwoSides(t *testing.T) {
	ind, err := threat.ParseAddress("192.0.2.7")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	batch := blocklist.Batch{Run: "r", Now: now, Offences: []blocklist.Offence{{
		Entry: blocklist.Entry{Indicator: ind, Source: blocklist.SourceDetect}, At: now, Term: time.Hour,
	}}}
	broken := errors.New("connection lost")
	for _, c := range []struct {
		name  string
		apply bool
		want  blocklist.Changes // of the next, undisturbed Put
	}{
		{"refused", false, blocklist.Changes{Added: 1, Generation: 1}},
		{"done but not answered", true, blocklist.Changes{Unchanged: 1, Generation: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &blocklisttest.Fake{OnPut: func(blocklist.Batch) (bool, error) { return c.apply, broken }}
			if _, err := f.Put(t.Context(), batch); !errors.Is(err, broken) {
				t.Fatalf("err = %v, want the fault", err)
			}
			f.OnPut = nil
			got, err := f.Put(t.Context(), batch)
			if err != nil || got != c.want {
				t.Errorf("changes = %+v, err = %v, want %+v", got, err, c.want)
			}
		})
	}
}
