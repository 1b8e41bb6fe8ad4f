package awswaf_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// TestNoEditOfASecondWriterIsLost lets a user or Terraform edit the web ACL before
// calls of ours, and after some of them, in 100 seeded ways.
func TestNoEditOfASecondWriterIsLost(t *testing.T) {
	ours := netip.MustParsePrefix("203.0.0.0/16") // what hosts returns; the writer blocks other addresses
	for seed := range uint64(100) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, waftest.AWSOptions{})
			w, err := c.SecondWriter(seed, region, awswaf.Regional, acl)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(seed, 7))
			edit := func(odds int) {
				if rng.IntN(odds) > 0 {
					return
				}
				if _, err := w.Edit(); err != nil {
					t.Error(err)
				}
			}
			c.Before(func(waftest.Call) *waftest.Fault { edit(3); return nil })
			c.After(func(waftest.Call) { edit(10) })
			first := 0
			for generation := range uint64(5) {
				first += rng.IntN(10)
				wants := hosts(first, 5+rng.IntN(30))
				_, _ = c.run(t, c.open(t), generation+1, wants) // a run may give up after too many conflicts
				if lost := w.Lost(); lost != nil {
					t.Fatalf("after %q: %v", w.Did(), lost)
				}
			}
			c.Before(nil)
			c.After(nil)
			wants := hosts(first, 20)
			if _, err := c.run(t, c.open(t), 9, wants); err != nil {
				t.Error(err)
			}
			blocked := slices.DeleteFunc(c.enforced(), func(p netip.Prefix) bool { return !ours.Contains(p.Addr()) })
			if len(blocked) != len(wants) || slices.ContainsFunc(blocked, func(p netip.Prefix) bool { return !contains(wants, p) }) {
				t.Errorf("blocked of ours %v, want 20", blocked)
			}
			if lost := w.Lost(); lost != nil {
				t.Errorf("after %q: %v", w.Did(), lost)
			}
		})
	}
}
