package wafbench

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	slices.SortFunc(list, comparePrefix)
	return list
}

func TestWatch(t *testing.T) {
	a, b, c := "192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"
	for _, tt := range []struct {
		name   string
		before []string
		wanted []string
		looks  [][]string
		want   int
	}{
		{"what stays is protected", []string{a, b}, []string{a, b}, [][]string{{a, b}, {a, b}}, 0},
		{"what is not wanted may go", []string{a, b}, []string{a}, [][]string{{a}}, 0},
		{"what was not blocked may come late", []string{a}, []string{a, b}, [][]string{{a}, {a, b}}, 0},
		{"what is gone for one moment was unprotected", []string{a, b}, []string{a, b}, [][]string{{a}, {a, b}}, 1},
		{"the worst moment counts", []string{a, b, c}, []string{a, b, c}, [][]string{{c}, {b, c}, {a, b, c}}, 2},
		{"what came in the run must not go again", []string{a}, []string{a, b}, [][]string{{a, b}, {a}}, 1},
		{"also after a moment of trouble", []string{a}, []string{a, b}, [][]string{{b}, {a}}, 1},
		{"a range protects what is within it", []string{a, b}, []string{a, b}, [][]string{{"192.0.2.0/24"}}, 0},
		{"a range is protected by its halves", []string{"192.0.2.0/24"}, []string{"192.0.2.0/24"}, [][]string{{"192.0.2.0/25", "192.0.2.128/25"}}, 0},
		{"but not by one of them", []string{"192.0.2.0/24"}, []string{"192.0.2.0/24"}, [][]string{{"192.0.2.128/25"}}, 1},
		{"an IPv6 range is as good", []string{"2001:db8::/64"}, []string{"2001:db8::/64"}, [][]string{{a}, {"2001:db8::/64"}}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w watch
			w.begin(prefixes(tt.before...), prefixes(tt.wanted...))
			for _, look := range tt.looks {
				w.look(prefixes(look...))
			}
			if w.worst != tt.want {
				t.Errorf("unprotected = %d, want %d", w.worst, tt.want)
			}
		})
	}
}

// A sweep says of each range what looking at every address says.
func TestSweepAgreesWithLookingAtEveryAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) []netip.Prefix {
			list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) netip.Prefix {
				addr := netip.AddrFrom4([4]byte{192, 0, 2, rapid.Byte().Draw(t, "host")})
				return netip.PrefixFrom(addr, rapid.IntRange(26, 32).Draw(t, "bits")).Masked()
			}), 0, 12).Draw(t, name)
			slices.SortFunc(list, comparePrefix)
			return list
		}
		spans, others := spansOf(draw("spans")), draw("others")
		in := func(addr netip.Addr) bool {
			return slices.ContainsFunc(others, func(p netip.Prefix) bool { return p.Contains(addr) })
		}
		sweep(spans, spansOf(others), func(i int, within bool) {
			want := true
			for addr := spans[i].from; ; addr = addr.Next() {
				want = want && in(addr)
				if addr == spans[i].to {
					break
				}
			}
			if within != want {
				t.Errorf("%s to %s within %v = %v, want %v", spans[i].from, spans[i].to, others, within, want)
			}
		})
	})
}
