package redisstore_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/threat"
)

// many returns a batch of n offences as an operator's file makes them, in public address space.
func many(tb testing.TB, n int, now time.Time) blocklist.Batch {
	tb.Helper()
	b := blocklist.Batch{Run: "bench", Now: now, Offences: make([]blocklist.Offence, n)}
	addr := netip.MustParseAddr("20.0.0.0").As4()
	for i := range n {
		addr[1], addr[2], addr[3] = byte(i>>16), byte(i>>8), byte(i)
		ind, err := threat.Address(netip.AddrFrom4(addr))
		if err != nil {
			tb.Fatal(err)
		}
		b.Offences[i] = blocklist.Offence{
			Entry: blocklist.Entry{
				Indicator: ind, Source: blocklist.SourceDetect, Severity: threat.High,
				Rules: []string{"rate-limit-address"}, Count: int64(100 + i%1000),
				FirstSeen: now.Add(-30 * time.Minute), LastSeen: now.Add(-time.Minute), Countries: []string{"BR"},
			},
			At: now.Add(-time.Duration(i%30) * time.Minute), Term: 72 * time.Hour,
		}
	}
	return b
}

// BenchmarkPut1M writes 1,000,000 new entries to a real redis-server.
func BenchmarkPut1M(b *testing.B) {
	now := time.Now()
	batch := many(b, 1_000_000, now)
	for b.Loop() {
		b.StopTimer()
		store := open(b, blocklisttest.StartRedis(b).URL)
		b.StartTimer()
		changes, err := store.Put(b.Context(), batch)
		if err != nil || changes.Added != len(batch.Offences) {
			b.Fatalf("changes = %+v, err = %v", changes, err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/1M")
}

// BenchmarkSnapshot1M reads 1,000,000 entries from a real redis-server.
func BenchmarkSnapshot1M(b *testing.B) {
	now := time.Now()
	store := open(b, blocklisttest.StartRedis(b).URL)
	if _, err := store.Put(b.Context(), many(b, 1_000_000, now)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := store.Snapshot(b.Context(), now)
		if err != nil || len(s.Entries) != 1_000_000 {
			b.Fatalf("%d entries, err = %v", len(s.Entries), err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/1M")
}

// BenchmarkPutRun writes what one run finds in a large attack, to each kind of store.
func BenchmarkPutRun(b *testing.B) {
	now := time.Now()
	for _, n := range []int{5_000, 50_000} {
		batch := many(b, n, now)
		b.Run(fmt.Sprintf("miniredis/%d", n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				store := open(b, startMini(b))
				b.StartTimer()
				if _, err := store.Put(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("redis/%d", n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				store := open(b, blocklisttest.StartRedis(b).URL)
				b.StartTimer()
				if _, err := store.Put(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEnded1M asks a real redis-server about 1,000,000 prefixes: all ended, and none known.
func BenchmarkEnded1M(b *testing.B) {
	now := time.Now()
	store := open(b, blocklisttest.StartRedis(b).URL)
	batch := many(b, 1_000_000, now)
	if _, err := store.Put(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
	known, unknown := make([]netip.Prefix, len(batch.Offences)), make([]netip.Prefix, len(batch.Offences))
	for i, o := range batch.Offences {
		known[i] = o.Indicator.Prefix()
		addr := known[i].Addr().As4()
		addr[0] = 60
		unknown[i] = netip.PrefixFrom(netip.AddrFrom4(addr), 32)
	}
	for name, list := range map[string][]netip.Prefix{"ended": known, "unknown": unknown} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				n, err := store.Ended(b.Context(), now.Add(73*time.Hour), list)
				if err != nil || (n != len(list)) != (name == "unknown") {
					b.Fatalf("%d ended, err = %v", n, err)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/1M")
		})
	}
}

// BenchmarkPutAgain writes what is known already, ending a little later: 50,000 are merged.
func BenchmarkPutAgain(b *testing.B) {
	now := time.Now()
	store := open(b, blocklisttest.StartRedis(b).URL)
	batch := many(b, 50_000, now)
	if _, err := store.Put(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for i := range batch.Offences {
			batch.Offences[i].At = batch.Offences[i].At.Add(time.Second)
		}
		if c, err := store.Put(b.Context(), batch); err != nil || c.Extended != len(batch.Offences) {
			b.Fatalf("changes = %+v, err = %v", c, err)
		}
	}
}

// BenchmarkAccounts finds 1,000 accounts among 100,000 and among 1,000,000 addresses.
func BenchmarkAccounts(b *testing.B) {
	now := time.Now()
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			store := open(b, blocklisttest.StartRedis(b).URL)
			batch := many(b, n, now)
			for i := range 1000 {
				batch.Offences[i*(n/1000)].Indicator = indicator(b, fmt.Sprintf("account:a%d", i))
			}
			if _, err := store.Put(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if list, err := store.Accounts(b.Context(), now); err != nil || len(list) != 1000 {
					b.Fatalf("%d accounts, err = %v", len(list), err)
				}
			}
		})
	}
}

// BenchmarkHistories asks about 50,000 of whom half are on the list.
func BenchmarkHistories(b *testing.B) {
	now := time.Now()
	store := open(b, blocklisttest.StartRedis(b).URL)
	batch := many(b, 50_000, now)
	inds := make([]threat.Indicator, len(batch.Offences))
	for i, o := range batch.Offences {
		inds[i] = o.Indicator
	}
	batch.Offences = batch.Offences[:25_000]
	if _, err := store.Put(b.Context(), batch); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if known, err := store.Histories(b.Context(), now, inds); err != nil || len(known) != 25_000 {
			b.Fatalf("%d histories, err = %v", len(known), err)
		}
	}
}

// BenchmarkSaveCases writes 10,000 cases of 2 KB.
func BenchmarkSaveCases(b *testing.B) {
	now := time.Now()
	store := open(b, blocklisttest.StartRedis(b).URL)
	text := []byte(`{"why":"` + strings.Repeat("x", 2000) + `"}`)
	var cases []blocklist.Case
	for _, o := range many(b, blocklist.MaxCases, now).Offences {
		cases = append(cases, blocklist.Case{Indicator: o.Indicator, At: now, Keep: time.Hour, Text: text})
	}
	for b.Loop() {
		if err := store.SaveCases(b.Context(), cases); err != nil {
			b.Fatal(err)
		}
	}
}
