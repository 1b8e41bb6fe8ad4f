package blocklist_test

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/blocklist"
)

// A store that fetches places beforehand must know which ones are asked for.
func TestLeftInOrderAsksOnlyForWhatIsAroundAndWithin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		addr := rapid.SampledFrom([]netip.Addr{
			netip.MustParseAddr("20.1.130.77"), netip.MustParseAddr("2001:db8:1:2:83::7"),
		}).Draw(t, "addr")
		p := netip.PrefixFrom(addr, rapid.IntRange(1, addr.BitLen()).Draw(t, "bits")).Masked()
		known := []netip.Prefix{p}
		known = slices.AppendSeq(known, blocklist.Wider(p))
		known = slices.AppendSeq(known, blocklist.Within(p))
		if len(known) > 1+33+510 {
			t.Fatalf("%s: %d places", p, len(known))
		}
		place := rapid.SampledFrom([]blocklist.Place{blocklist.PlaceNone, blocklist.PlaceNone, blocklist.PlaceActive, blocklist.PlaceEnded})
		memory := map[netip.Prefix]blocklist.Place{}
		blocklist.LeftInOrder(p, func(q netip.Prefix) blocklist.Place {
			if !slices.Contains(known, q) || q != q.Masked() {
				t.Fatalf("%s: asks for %s", p, q)
			}
			if _, ok := memory[q]; !ok {
				memory[q] = place.Draw(t, q.String())
			}
			return memory[q]
		})
	})
}

// A range counts by its members exactly as by asking for each.
func TestAMergedRangeHasLeftWhenItsMembersHave(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := netip.PrefixFrom(netip.MustParseAddr("20.1.130.0"), rapid.IntRange(26, 31).Draw(t, "bits"))
		places := map[netip.Prefix]blocklist.Place{}
		whole, ended := true, false
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			one := rapid.SampledFrom([]blocklist.Place{blocklist.PlaceEnded, blocklist.PlaceEnded, blocklist.PlaceActive, blocklist.PlaceNone}).Draw(t, a.String())
			if rapid.IntRange(0, 9).Draw(t, "often") > 0 && one == blocklist.PlaceNone {
				one = blocklist.PlaceEnded
			}
			places[netip.PrefixFrom(a, 32)] = one
			whole, ended = whole && one != blocklist.PlaceNone, ended || one == blocklist.PlaceEnded
		}
		got := blocklist.LeftInOrder(p, func(q netip.Prefix) blocklist.Place { return places[q] })
		if got != (whole && ended) {
			t.Fatalf("%s: %v, want %v", p, got, whole && ended)
		}
	})
}
