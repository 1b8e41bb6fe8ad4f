package aliwaf_test

import (
	"testing"

	"github.com/tracewall/tracewall/shared/waf/aliwaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// newCloudFirewall is an account whose user has books and policies of their own.
func newCloudFirewall(t testing.TB, opts waftest.AlibabaOptions) *cloud {
	t.Helper()
	c := newCloud(t, opts)
	c.target = aliwaf.Target{Name: "shop", Region: aliwaf.RegionMainland, Mode: aliwaf.ModeCloudFirewall, Batch: 10, Manage: true}
	for _, b := range []waftest.AlibabaBook{
		{Name: "office", Description: "ours, not yours", Addresses: []string{"198.51.100.7/32"}},
		{Name: "tracewall-shop-001-v4-001", Description: "tracewall:shop-001 the target shop-001", Addresses: []string{"198.51.100.9/32"}},
		{Name: "tracewall-shop-v6-001", Description: "made by hand", Kind: "ipv6", Addresses: []string{"3fff::/32"}},
	} {
		if _, err := c.SeedCloudBook(b); err != nil {
			t.Fatal(err)
		}
	}
	c.SeedPolicy(waftest.AlibabaPolicy{Description: "let the office in", Action: "accept", Source: "office", Group: true})
	c.SeedPolicy(waftest.AlibabaPolicy{Description: "the rest", Action: "log", Source: "0.0.0.0/0"})
	c.SeedPolicy(waftest.AlibabaPolicy{Description: "out", Action: "accept", Direction: "out", Source: "0.0.0.0/0"})
	c.Forget()
	return c
}

func TestCloudFirewallKeepsTheContractOfFirewalls(t *testing.T) {
	for name, tt := range map[string]struct {
		opts   waftest.AlibabaOptions
		change func(*aliwaf.Target)
	}{
		"one book": {},
		"addresses come back without their length":       {opts: waftest.AlibabaOptions{Form: waftest.WithoutBits}},
		"addresses come back in full and in capitals":    {opts: waftest.AlibabaOptions{Form: waftest.LongUpper}},
		"the service minds what is there already or not": {opts: waftest.AlibabaOptions{Pedantic: true}},
		"a book cannot be empty":                         {opts: waftest.AlibabaOptions{NoEmptyBooks: true}},
		"at the end of the policies":                     {change: func(t *aliwaf.Target) { t.Order = 99 }},
		"several books":                                  {change: func(t *aliwaf.Target) { t.Books = 3 }},
	} {
		t.Run(name, func(t *testing.T) {
			waftest.TestFirewall(t, func(t *testing.T) waftest.Harness {
				c := newCloudFirewall(t, tt.opts)
				if tt.change != nil {
					tt.change(&c.target)
				}
				h := c.harness()
				h.Swap = 2
				h.SetRoom = func(n int) { c.SetQuotas(waftest.AlibabaQuotas{CloudSpread: n + 3}) } // three policies are the user's
				return h
			})
		})
	}
}
