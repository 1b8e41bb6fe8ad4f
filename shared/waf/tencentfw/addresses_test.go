package tencentfw_test

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/waf/tencentfw"
)

func TestReadAddress(t *testing.T) {
	for text, want := range map[string][]string{
		"192.0.2.1":                                  {"192.0.2.1/32"},
		" 192.0.2.1/32\r\n":                          {"192.0.2.1/32"},
		"192.0.2.0/24\r\n":                           {"192.0.2.0/24"},
		"192.0.2.77/24":                              {"192.0.2.0/24"},
		"::ffff:192.0.2.1":                           {"192.0.2.1/32"},
		"2001:0DB8:0000::/48":                        {"2001:db8::/48"},
		"2001:db8::1":                                {"2001:db8::1/128"},
		"192.0.2.1-192.0.2.1":                        {"192.0.2.1/32"},
		"192.0.2.0-192.0.2.255":                      {"192.0.2.0/24"},
		"192.0.2.1-192.0.2.6":                        {"192.0.2.1/32", "192.0.2.2/31", "192.0.2.4/31", "192.0.2.6/32"},
		"0.0.0.0-255.255.255.255":                    {"0.0.0.0/0"},
		"::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": {"::/0"},
		"192.0.2.9-192.0.2.1":                        nil,
		"192.0.2.1-2001:db8::1":                      nil,
		"192.0.2.0/24-192.0.3.0/24":                  nil,
		"fe80::1%eth0":                               nil,
		"":                                           nil,
		"MY_PUBLIC_IP":                               nil,
	} {
		var got []string
		for _, p := range tencentfw.ReadAddress(text) {
			got = append(got, p.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPrefix(t)
		if got := tencentfw.ReadAddress(tencentfw.Spell(p)); len(got) != 1 || got[0] != p {
			t.Fatalf("%s is read back as %v", p, got)
		}
	})
}

// A range is made up of blocks that are in it, touch each other and begin and end where it does.
func TestRangesAreMadeUpOfTheirBlocks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawPrefix(t).Addr(), drawPrefix(t).Addr()
		if a.BitLen() != b.BitLen() {
			return
		}
		if b.Less(a) {
			a, b = b, a
		}
		list := tencentfw.ReadAddress(a.String() + "-" + b.String())
		next := a
		for _, p := range list {
			if p.Addr() != next || p != p.Masked() {
				t.Fatalf("%s-%s: %v, want a block that begins at %s", a, b, list, next)
			}
			next = lastOf(p).Next()
		}
		if next != b.Next() {
			t.Fatalf("%s-%s: %v does not end at its end", a, b, list)
		}
	})
}

func lastOf(p netip.Prefix) netip.Addr {
	raw := p.Addr().AsSlice()
	for i := p.Bits(); i < len(raw)*8; i++ {
		raw[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(raw)
	return a
}

func drawPrefix(t *rapid.T) netip.Prefix {
	n := rapid.SampledFrom([]int{4, 16}).Draw(t, "bytes")
	raw := rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "address")
	a, _ := netip.AddrFromSlice(raw)
	a = a.Unmap()
	p, _ := a.Prefix(rapid.IntRange(0, a.BitLen()).Draw(t, "bits"))
	return p
}
