package redisstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/threat"
)

// TestScriptsSayWhatApplySays holds the Lua against the Go, which the Fake runs on:
// any sequence of writes must have the same outcome in both.
func TestScriptsSayWhatApplySays(t *testing.T) {
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	words := []string{"a", "b", `c"/\`, "d", "é"}
	m := miniredis.RunT(t)
	store := open(t, "redis://"+m.Addr())
	rapid.Check(t, func(t *rapid.T) {
		m.FlushAll()
		if err := m.Set(prefix+"secret", secret); err != nil {
			t.Fatal(err)
		}
		fake := &blocklisttest.Fake{Secret: secret}
		now := noon
		inds := make([]threat.Indicator, 4)
		for i := range inds {
			inds[i], _ = threat.ParseAddress(fmt.Sprintf("192.0.2.%d", i))
		}
		pick := func(label string) []string { return rapid.SliceOfN(rapid.SampledFrom(words), 0, 3).Draw(t, label) }
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			step := time.Duration(rapid.SampledFrom([]int{0, 1, 500, 60_000, 3_600_000, 80 * 3_600_000, 35 * 24 * 3_600_000, 65 * 24 * 3_600_000}).Draw(t, "step ms")) * time.Millisecond
			// Redis forgets strikes and unblocks at last; Apply is not asked to.
			if now.Add(step).Sub(noon) >= redisstore.PastTTL {
				step = 0
			}
			now = now.Add(step)
			m.FastForward(step)
			if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
				chosen := rapid.SliceOfN(rapid.SampledFrom(inds), 0, 3).Draw(t, "remove")
				u := blocklist.Unblock{Run: "r", Now: now, Indicators: chosen}
				u.CoolOff = rapid.SampledFrom([]time.Duration{0, time.Second, 2 * time.Hour, blocklist.MaxCoolOff}).Draw(t, "cool-off")
				got, gotErr := store.Unblock(t.Context(), u)
				want, wantErr := fake.Unblock(t.Context(), u)
				if got != want || (gotErr == nil) != (wantErr == nil) {
					t.Fatalf("remove = %d, %v, want %d, %v", got, gotErr, want, wantErr)
				}
			} else {
				b := blocklist.Batch{Run: "r", Now: now}
				for range rapid.IntRange(0, 5).Draw(t, "offences") {
					at := now.Add(-time.Duration(rapid.SampledFrom([]int{-120, 0, 1, 60, 3600, 300_000, 600_000}).Draw(t, "ago")) * time.Second)
					o := blocklist.Offence{
						Entry: blocklist.Entry{
							Indicator: rapid.SampledFrom(inds).Draw(t, "indicator"),
							Source:    rapid.SampledFrom([]string{blocklist.SourceDetect, blocklist.SourceOperator}).Draw(t, "source"),
							Severity:  threat.Severity(rapid.IntRange(0, 3).Draw(t, "severity")),
							Rules:     pick("rules"), Countries: pick("countries"), Accounts: pick("accounts"),
							Reason:    rapid.SampledFrom([]string{"", "x", "y/\"z"}).Draw(t, "reason"),
							Challenge: rapid.Bool().Draw(t, "challenge"), Score: rapid.IntRange(0, 100).Draw(t, "score"), Tags: pick("tags"),
							Count: rapid.Int64Range(0, 1<<53).Draw(t, "count"), Addresses: rapid.IntRange(0, 9).Draw(t, "addresses"),
						},
						At:   at,
						Term: rapid.SampledFrom([]time.Duration{time.Minute, time.Hour + 500*time.Millisecond, 72 * time.Hour, blocklist.MaxTerm}).Draw(t, "term"),
					}
					if rapid.Bool().Draw(t, "seen") {
						o.FirstSeen, o.LastSeen = at.Add(-time.Minute), at
					}
					b.Offences = append(b.Offences, o)
				}
				got, err := store.Put(t.Context(), b)
				if err != nil {
					t.Fatal(err)
				}
				want, err := fake.Put(t.Context(), b)
				if err != nil {
					t.Fatal(err)
				}
				got.Generation, want.Generation = 0, 0
				if got != want {
					t.Fatalf("changes = %+v, want %+v", got, want)
				}
			}
			got, gotErr := store.Snapshot(t.Context(), now)
			want, wantErr := fake.Snapshot(t.Context(), now)
			if (gotErr == nil) != (wantErr == nil) {
				t.Fatalf("snapshot: err = %v, want %v", gotErr, wantErr)
			}
			order := cmpopts.SortSlices(func(a, b blocklist.Entry) bool { return a.Indicator.Compare(b.Indicator) < 0 })
			same := cmp.Comparer(func(a, b threat.Indicator) bool { return a == b })
			if diff := cmp.Diff(want.Entries, got.Entries, order, same, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("entries (-fake +redis):\n%s", diff)
			}
			gotPast, gotErr := store.Histories(t.Context(), now, inds)
			wantPast, wantErr := fake.Histories(t.Context(), now, inds)
			if diff := cmp.Diff(wantPast, gotPast); diff != "" || (gotErr == nil) != (wantErr == nil) {
				t.Fatalf("histories: err = %v, want %v (-fake +redis):\n%s", gotErr, wantErr, diff)
			}
		}
	})
}
