package aliwaf_test

import (
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// newBlacklist is an account whose user has IP blacklists of their own.
func newBlacklist(t testing.TB, opts waftest.AlibabaOptions) *cloud {
	t.Helper()
	c := newCloud(t, opts)
	c.target = aliwaf.Target{Name: "shop", Region: aliwaf.RegionMainland, Mode: aliwaf.ModeIPBlacklist}
	own := c.SeedTemplate(waftest.AlibabaTemplate{Scene: "ip_blacklist", Name: "own-blacklist", Description: "not yours", Objects: []string{shopObject}})
	other := c.SeedTemplate(waftest.AlibabaTemplate{Scene: "ip_blacklist", Name: "tracewall-shop-001-001", Description: "tracewall:shop-001 the target shop-001", Objects: []string{apiObject}})
	for _, r := range []waftest.AlibabaRule{
		{Template: own, Name: "tracewall-shop-v4-001", Config: `{"remoteAddr":["198.51.100.7","198.51.100.0/25"],"action":"block"}`},
		{Template: other, Name: "tracewall-shop-001-v4-001", Config: `{"remoteAddr":["198.51.100.9"],"action":"block"}`},
	} {
		if _, err := c.SeedRule(r); err != nil {
			t.Fatal(err)
		}
	}
	c.Forget()
	return c
}

func (c *cloud) harness() waftest.Harness {
	return waftest.Harness{
		Open:     func(t *testing.T) waf.Firewall { return c.open(t) },
		Enforced: c.enforced, Foreign: c.Foreign, Fail: c.failWrite, FailCall: c.failCall,
	}
}

func TestBlacklistKeepsTheContractOfFirewalls(t *testing.T) {
	for name, tt := range map[string]struct {
		opts   waftest.AlibabaOptions
		change func(*aliwaf.Target)
	}{
		"every object":    {},
		"objects by name": {change: func(t *aliwaf.Target) { t.Objects = []string{shopObject, apiObject} }},
		"two rules in a template, all objects bound": {
			opts:   waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{BlacklistRules: 2}, OneDefault: true},
			change: func(t *aliwaf.Target) { t.Templates = 9 },
		},
		"addresses come back with their length":       {opts: waftest.AlibabaOptions{Form: waftest.WithBits}},
		"addresses come back in full and in capitals": {opts: waftest.AlibabaOptions{Form: waftest.LongUpper}},
		"times come back as text":                     {opts: waftest.AlibabaOptions{TextTimes: true}},
		"outside of the mainland": {
			opts:   waftest.AlibabaOptions{Region: aliwaf.RegionInternational},
			change: func(t *aliwaf.Target) { t.Region = aliwaf.RegionInternational },
		},
	} {
		t.Run(name, func(t *testing.T) {
			waftest.TestFirewall(t, func(t *testing.T) waftest.Harness {
				c := newBlacklist(t, tt.opts)
				if tt.change != nil {
					tt.change(&c.target)
				}
				h := c.harness()
				h.SetRoom = func(n int) {
					c.SetQuotas(waftest.AlibabaQuotas{BlacklistRules: n / 10, BlacklistTemplates: 3}) // two are the user's
				}
				return h
			})
		})
	}
}
