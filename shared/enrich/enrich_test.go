package enrich_test

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/enrich"
	"github.com/tracewall/tracewall/shared/enrich/geoip"
	"github.com/tracewall/tracewall/shared/enrich/networks"
	"github.com/tracewall/tracewall/shared/threat"
)

// byFirst has a country for each first byte of an IPv4 address.
type byFirst map[byte]string

func (b byFirst) Country(a netip.Addr) string {
	if !a.Is4() {
		return ""
	}
	return b[a.As4()[0]]
}

// byThird has a country for each third byte.
type byThird map[byte]string

func (b byThird) Country(a netip.Addr) string { return b[a.As4()[2]] }

func table(tb testing.TB, text string) *networks.Table {
	tb.Helper()
	t, err := networks.Parse([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

var samePrefix = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestAProfileJoinsWhatIsKnown(t *testing.T) {
	countries := byFirst{203: "AU", 198: "US"}
	who := table(t, "203.0.113.0/24,64500,Example Net\n")
	all := enrich.Profiler{Countries: countries, Networks: who}
	net := netip.MustParsePrefix("203.0.113.0/24")
	for _, c := range []struct {
		name string
		p    enrich.Profiler
		addr string
		want enrich.Profile
	}{
		{"both know it", all, "203.0.113.7", enrich.Profile{Country: "AU", ASN: 64500, Operator: "Example Net", Network: net}},
		{"a mapped address is the IPv4 address", all, "::ffff:203.0.113.7", enrich.Profile{Country: "AU", ASN: 64500, Operator: "Example Net", Network: net}},
		{"one knows it", all, "198.51.100.7", enrich.Profile{Country: "US"}},
		{"nobody knows it", all, "2001:db8::1", enrich.Profile{}},
		{"no countries", enrich.Profiler{Networks: who}, "203.0.113.7", enrich.Profile{ASN: 64500, Operator: "Example Net", Network: net}},
		{"no networks", enrich.Profiler{Countries: countries}, "203.0.113.7", enrich.Profile{Country: "AU"}},
		{"no source at all", enrich.Profiler{}, "203.0.113.7", enrich.Profile{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.p.Profile(netip.MustParseAddr(c.addr)), samePrefix); diff != "" {
				t.Errorf("profile (-want +got):\n%s", diff)
			}
		})
	}
	if got := all.Profile(netip.Addr{}); got != (enrich.Profile{}) {
		t.Errorf("the zero Addr has %+v", got)
	}
}

func TestARangeHasWhatHoldsForAllOfIt(t *testing.T) {
	p := enrich.Profiler{Countries: byFirst{202: "AU", 203: "AU"}, Networks: table(t, "203.0.113.0/25,64500,a\n203.0.113.128/25,64500,a\n203.0.114.0/24,64501,b\n")}
	for key, want := range map[string]enrich.Profile{
		"ip:203.0.113.0/26": {Country: "AU", ASN: 64500, Operator: "a", Network: netip.MustParsePrefix("203.0.113.0/25")},
		"ip:203.0.113.0/24": {Country: "AU", ASN: 64500, Operator: "a"}, // announced in two halves
		"ip:203.0.112.0/22": {Country: "AU"},
		"account:abc":       {},
	} {
		ind, err := threat.ParseKey(key)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, p.Of(ind), samePrefix); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
	between := enrich.Profiler{Countries: byThird{114: "AU", 115: "NZ"}, Networks: table(t, "203.0.114.0/24,64500,a\n203.0.115.0/24,64501,b\n")}
	ind, err := threat.Range(netip.MustParsePrefix("203.0.114.0/23"))
	if err != nil {
		t.Fatal(err)
	}
	if got := between.Of(ind); got != (enrich.Profile{}) {
		t.Errorf("a range between two countries and two networks has %+v", got)
	}
	if got := p.Of(threat.Indicator{}); got != (enrich.Profile{}) {
		t.Errorf("the zero Indicator has %+v", got)
	}
}

func TestAnUnknownProfileIsEmptyJSON(t *testing.T) {
	b, err := json.Marshal(enrich.Profile{})
	if err != nil || string(b) != "{}" {
		t.Errorf("%s, %v", b, err)
	}
}

// TestBothEndsOfARangeAreAsked: a range between two countries has none.
func TestBothEndsOfARangeAreAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := netip.AddrFrom4([4]byte{20, rapid.Byte().Draw(t, "b"), rapid.Byte().Draw(t, "c"), rapid.Byte().Draw(t, "d")})
		prefix := netip.PrefixFrom(a, rapid.IntRange(9, 32).Draw(t, "bits")).Masked()
		ind, err := threat.Range(prefix)
		if err != nil {
			t.Skip()
		}
		asked := &recorder{}
		enrich.Profiler{Countries: asked}.Of(ind)
		if first := asked.addrs[0]; first != prefix.Addr() {
			t.Fatalf("first asked for %s", first)
		}
		if last := asked.addrs[len(asked.addrs)-1]; !prefix.Contains(last) || prefix.Contains(last.Next()) {
			t.Fatalf("last asked for %s of %s", last, prefix)
		}
	})
}

type recorder struct{ addrs []netip.Addr }

func (r *recorder) Country(a netip.Addr) string {
	r.addrs = append(r.addrs, a)
	return ""
}

func TestCountriesAreBuiltIn(t *testing.T) {
	var c geoip.Countries
	// Addresses whose country no source disputes: their operators' own anycast is left out.
	for addr, want := range map[string]string{
		"114.114.114.114": "CN", "::ffff:114.114.114.114": "CN", "2400:3200::1": "CN", "133.11.0.1": "JP",
		"10.0.0.1": "", "127.0.0.1": "", "192.0.2.7": "", "0.0.0.0": "", "255.255.255.255": "", "224.0.0.1": "", "100.64.0.1": "",
		"::": "", "::1": "", "fc00::1": "", "fe80::1%eth0": "", "ff02::1": "", "2001:db8::1": "", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff": "",
	} {
		if got := c.Country(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is in %q, want %q", addr, got, want)
		}
	}
	if got := c.Country(netip.Addr{}); got != "" {
		t.Errorf("the zero Addr is in %q", got)
	}
}

// FuzzCountry: every address is nowhere or in a country of two capitals.
func FuzzCountry(f *testing.F) {
	f.Add([]byte{1, 1, 1, 1})
	f.Add(make([]byte, 16))
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, ok := netip.AddrFromSlice(raw)
		if !ok {
			return
		}
		got := geoip.Countries{}.Country(a)
		if got != "" && (len(got) != 2 || strings.Trim(got, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" || got == "ZZ") {
			t.Fatalf("%s is in %q", a, got)
		}
	})
}

func BenchmarkProfile(b *testing.B) {
	p := enrich.Profiler{Countries: geoip.Countries{}, Networks: table(b, "203.0.113.0/24,64500,a\n")}
	a := netip.MustParseAddr("203.0.113.7")
	b.ReportAllocs()
	for b.Loop() {
		p.Profile(a)
	}
}
