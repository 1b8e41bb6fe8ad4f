package waf_test

import (
	"net/netip"
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
)

func TestSum(t *testing.T) {
	a, b := pfx("192.0.2.1/32", "2001:db8::/64"), pfx("198.51.100.0/24")
	whole := waf.SumOf("e", pfx("198.51.100.0/24", "2001:db8::/64", "192.0.2.1/32"))
	if got := waf.SumOf("e", a).Add(waf.SumOf("e", b)); got != whole {
		t.Errorf("the sum of two lists is %s, of both together %s", got, whole)
	}
	back, err := waf.ParseSum(whole.String())
	if err != nil || back != whole {
		t.Errorf("ParseSum(%s) = %s, %v", whole, back, err)
	}
	for name, other := range map[string]waf.Sum{
		"another epoch":        waf.SumOf("f", append(a, b...)),
		"one less":             waf.SumOf("e", a),
		"one twice":            waf.SumOf("e", append(a, b[0], b[0])),
		"another length":       waf.SumOf("e", append(pfx("198.51.100.0/25"), a...)),
		"a mapped IPv4 prefix": waf.SumOf("e", append([]netip.Prefix{netip.MustParsePrefix("::ffff:198.51.100.0/120")}, a...)),
	} {
		if other == whole {
			t.Errorf("%s has the same sum", name)
		}
	}
	for _, bad := range []string{"", "00", whole.String() + "0", "zz" + whole.String()[2:]} {
		if _, err := waf.ParseSum(bad); err == nil {
			t.Errorf("ParseSum(%q) took it", bad)
		}
	}
}

func BenchmarkSumOf(b *testing.B) {
	list := make([]netip.Prefix, 100_000)
	for i := range list {
		list[i] = host(i)
	}
	for b.Loop() {
		waf.SumOf("e", list)
	}
}
