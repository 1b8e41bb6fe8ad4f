package waftest_test

import (
	"fmt"
	"testing"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func BenchmarkEnforced(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c := newClient(b, waftest.AWSOptions{})
			var sets []fields
			var excepted []string // of which every tenth is excepted
			for i := 0; i < max(n/10_000, 2); i++ {
				addresses := make([]string, 0, 10_000)
				for k := range min(n, 10_000) {
					addresses = append(addresses, fmt.Sprintf("%d.0.%d.%d/32", 20+i, k>>8&255, k&255))
				}
				for k := 0; k < len(addresses); k += 10 {
					if len(excepted) < 10_000 {
						excepted = append(excepted, addresses[k])
					}
				}
				sets = append(sets, ref(c.set(fmt.Sprint("s", i), addresses...)))
			}
			except := c.set("except", excepted...)
			c.must("CreateWebACL", wall("w", rule("r", 0, and(or(sets...), not(ref(except))))))
			for b.Loop() {
				c.aws.Enforced(region, "REGIONAL", "w")
			}
		})
	}
}
