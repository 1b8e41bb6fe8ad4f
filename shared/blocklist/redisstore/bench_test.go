package redisstore_test

import (
	"fmt"
	"net/netip"
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
