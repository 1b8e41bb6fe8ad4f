package awswaf_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// TestNoGapWhileChangesSpread looks at the wall where old and new versions of objects
// meet, between any two completed runs: what is wanted in both is blocked there, and nothing that is wanted in neither.
func TestNoGapWhileChangesSpread(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, waftest.AWSOptions{})
			rng := rand.New(rand.NewPCG(seed, 7))
			wants := hosts(0, 20)
			c.mustRun(t, c.open(t), 1, wants)
			from := c.Mark()
			for generation := range uint64(8) {
				before := wants
				wants = slices.Concat(hosts(rng.IntN(20), 10+rng.IntN(30)), hosts(100+rng.IntN(10), rng.IntN(10)))
				c.mustRun(t, c.open(t), generation+2, wants)
				to := c.Mark()
				for range 30 {
					there := c.Edge(rng, region, awswaf.Regional, acl, from, to)
					for _, want := range wants {
						if contains(before, want.Prefix) && !slices.Contains(there, want.Prefix) {
							t.Fatalf("%s is wanted before and after and somewhere not blocked", want.Prefix)
						}
					}
					for _, p := range there {
						if !contains(before, p) && !contains(wants, p) {
							t.Fatalf("%s is wanted neither before nor after and somewhere blocked", p)
						}
					}
				}
				from = to
			}
		})
	}
}
