package threatintel_test

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

// heap returns how much memory is in use once everything unreachable is gone.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

const maxSetMemory = 64 << 20 // what a set of a million prefixes may take, as promised

func TestAMillionPrefixesAreSmall(t *testing.T) {
	encoded := table(million(7)...).Encode()
	before := heap()
	decoded, err := threatintel.Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	set := newSet(t, noon, decoded)
	decoded = nil //nolint:ineffassign,wastedassign // let it go: a Set keeps no table
	used := heap() - before
	t.Logf("a million prefixes: %.1f MB encoded, %.1f MB as a set", float64(len(encoded))/1e6, float64(used)/1e6)
	if set.Len() < threatintel.MaxEntries*95/100 || used > maxSetMemory { // some ranges met
		t.Errorf("%d entries in %d bytes, want about a million in less than %d", set.Len(), used, maxSetMemory)
	}
	runtime.KeepAlive(set)
	runtime.KeepAlive(encoded)
}

// BenchmarkLoad1M is what a reader does with what it got from the store.
func BenchmarkLoad1M(b *testing.B) {
	encoded := table(million(7)...).Encode()
	before := heap()
	var set *threatintel.Set
	for b.Loop() {
		decoded, err := threatintel.Decode(encoded)
		if err != nil {
			b.Fatal(err)
		}
		set = newSet(b, noon, decoded)
	}
	b.ReportMetric(float64(heap()-before)/1e6, "MB/set")
	b.ReportMetric(float64(len(encoded))/1e6, "MB/encoded")
	runtime.KeepAlive(encoded)
	runtime.KeepAlive(set)
}

// BenchmarkLookup asks a set of two feeds with a million entries each; every second question has an answer.
func BenchmarkLookup(b *testing.B) {
	all := million(7)
	var asks []netip.Prefix
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 1 << 16 {
		if i%2 == 0 {
			asks = append(asks, all[r.IntN(len(all))].Prefix)
			continue
		}
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], r.Uint32())
		asks = append(asks, netip.PrefixFrom(netip.AddrFrom4(a), 32))
	}
	set := newSet(b, noon, table(all...), table(million(8)...))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		set.Lookup(asks[i&(1<<16-1)])
		i++
	}
}
