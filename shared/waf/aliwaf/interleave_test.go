package aliwaf_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// TestTwoRunsInterleave has a second process carry out the same state of the list, whole, before the n-th call of the
// first: whatever comes of the first run, nothing that is wanted and was in force is out of it, and the next run
// converges.
func TestTwoRunsInterleave(t *testing.T) {
	list := spaced(45)
	for name, open := range map[string]func(testing.TB, waftest.AlibabaOptions) *cloud{"ip blacklist": newBlacklist, "cloud firewall": newCloudFirewall} {
		for n := range 24 {
			t.Run(fmt.Sprintf("%s, call %d", name, n), func(t *testing.T) {
				c := open(t, waftest.AlibabaOptions{Pedantic: n%2 == 1})
				if name == "ip blacklist" {
					c.target.SetSize = 10
				}
				foreign := c.Foreign()
				for i, wants := range [][]netip.Prefix{list[:25], list[5:40], list[30:]} {
					before := c.enforced()
					count, inside := -1, false
					c.Before(func(waftest.AlibabaCall) *waftest.Fault {
						if inside {
							return nil
						}
						if count++; count == n {
							inside = true
							if _, err := (&runner{c: c}).run(t, uint64(i), slices.Clone(wants)); err != nil {
								t.Errorf("the second run: %v", err)
							}
							inside = false
						}
						return nil
					})
					_, err := (&runner{c: c}).run(t, uint64(i), slices.Clone(wants))
					c.Heal()
					now := c.enforced()
					for _, p := range wants {
						if slices.Contains(before, p) && !slices.Contains(now, p) {
							t.Fatalf("list %d: %s was in force, is wanted, and is not in force any more (the first run: %v)", i, p, err)
						}
					}
					(&runner{c: c}).ok(t, uint64(i), slices.Clone(wants))
				}
				if c.Foreign() != foreign {
					t.Error("what is not ours changed")
				}
			})
		}
	}
}
