package waftest_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// TestEnforcedIsWhatEvaluateBlocks compares the list with the judgement of every
// single address, for any nesting of any sets.
func TestEnforcedIsWhatEvaluateBlocks(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newClient(t, waftest.AWSOptions{})
		prefix := rapid.Custom(func(rt *rapid.T) string {
			bits := rapid.IntRange(28, 32).Draw(rt, "bits")
			addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(rapid.IntRange(0, 31).Draw(rt, "host"))})
			return netip.PrefixFrom(addr, bits).Masked().String()
		})
		var arns []any
		for i := range 3 {
			arns = append(arns, c.set(fmt.Sprint("s", i), append([]string{}, rapid.SliceOfN(prefix, 0, 6).Draw(rt, "set")...)...))
		}
		var draw func(depth int) fields
		draw = func(depth int) fields {
			kind := rapid.IntRange(0, 5).Draw(rt, "kind")
			switch {
			case depth == 0 || kind < 2:
				return ref(rapid.SampledFrom(arns).Draw(rt, "which"))
			case kind == 2:
				return geo
			case kind == 3:
				return not(draw(depth - 1))
			case kind == 4:
				return or(draw(depth-1), draw(depth-1))
			}
			return and(draw(depth-1), draw(depth-1), draw(depth-1))
		}
		c.must("CreateWebACL", wall("w", rule("r", 0, draw(3))))
		list := c.aws.Enforced(region, "REGIONAL", "w")
		for i := range 34 {
			addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})
			action, _, err := c.aws.Evaluate(region, "REGIONAL", "w", addr)
			if err != nil {
				rt.Fatal(err)
			}
			listed := slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) })
			if listed != (action == "Block") {
				rt.Fatalf("%s: %s, and enforced is %v", addr, action, list)
			}
		}
	})
}
