package awswaf_test

import (
	"math"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
)

// What AWS takes as a description.
var awsDescription = regexp.MustCompile(`^[\w+=:#@/\-,\.][\w+=:#@/\-,\.\s]+[\w+=:#@/\-,\.]$`)

func TestDescriptionFitsAndComesBack(t *testing.T) {
	sum := waf.SumOf("e", []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")})
	for _, m := range []waf.Mark{
		{Epoch: "e", Sum: sum},
		{Epoch: strings.Repeat("x", 64), Generation: math.MaxUint64, Count: 10_000, Sum: sum, Retired: true},
	} {
		for _, acl := range []string{"", "0b5e1c52-2d5b-4a6f-8a55-0a1b2c3d4e5f"} {
			text := awswaf.Describe(m, acl)
			if len(text) > 256 || !awsDescription.MatchString(text) {
				t.Errorf("AWS does not take %q (%d)", text, len(text))
			}
			got, gotACL, ok := awswaf.ParseDescription(text)
			if !ok || got != m || gotACL != acl {
				t.Errorf("%q came back as %+v, %q, %t", text, got, gotACL, ok)
			}
		}
	}
}

func TestExceptionsSetsAreKnownByName(t *testing.T) {
	const base = "tracewall-edge"
	for name, want := range map[string]string{
		waf.SetName(base, waf.IPv4, 1): "block", waf.SetName(base, waf.IPv6, 120): "block",
		waf.ExceptName(base, waf.IPv4, 1): "except", waf.ExceptName(base, waf.IPv6, 7): "except",
		base + "-v4-except": "", base + "-v4-except-1": "", base + "-v5-except-001": "", base + "-except-v4-001": "", base + "-v4-except-001-old": "",
		"tracewall-edge-v4-v4-001": "", "tracewall-edges-v4-001": "", base + "-v4-001-except-001": "",
		waf.SetName("tracewall-edge-v4-except", waf.IPv4, 1): "", // of a target named edge-v4-except
	} {
		got := awswaf.KindOfSet(base, name)
		if got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func FuzzParseDescription(f *testing.F) {
	good := awswaf.Describe(waf.Mark{Epoch: "e", Generation: 7, Count: 3}, "0b5e")
	for _, s := range []string{good, good + " ", "tracewall " + good, strings.Replace(good, "gen:7", "gen:99999999999999999999", 1), "", "the office"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, acl, ok := awswaf.ParseDescription(text)
		if ok && !strings.HasPrefix(text, "tracewall ") {
			t.Errorf("took %q for ours", text)
		}
		if ok {
			if again, acl2, ok2 := awswaf.ParseDescription(awswaf.Describe(m, acl)); !ok2 || again != m || acl2 != acl {
				t.Errorf("%q does not come back", text)
			}
		}
	})
}
