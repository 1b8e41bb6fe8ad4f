package aliwaf_test

import (
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func TestAddressBookKeepsTheContractOfFirewalls(t *testing.T) {
	for name, tt := range map[string]struct {
		opts   waftest.AlibabaOptions
		change func(*aliwaf.Target)
	}{
		"every object":                                   {},
		"objects by name":                                {change: func(t *aliwaf.Target) { t.Objects = []string{shopObject, apiObject} }},
		"addresses come back with their length":          {opts: waftest.AlibabaOptions{Form: waftest.WithBits}},
		"addresses come back in full and in capitals":    {opts: waftest.AlibabaOptions{Form: waftest.LongUpper}},
		"the service minds what is there already or not": {opts: waftest.AlibabaOptions{Pedantic: true}},
		"outside of the mainland": {
			opts:   waftest.AlibabaOptions{Region: aliwaf.RegionInternational},
			change: func(t *aliwaf.Target) { t.Region = aliwaf.RegionInternational },
		},
		"chosen by itself": {change: func(t *aliwaf.Target) { t.Mode = aliwaf.ModeAuto }},
	} {
		t.Run(name, func(t *testing.T) {
			waftest.TestFirewall(t, func(t *testing.T) waftest.Harness {
				c := newCloud(t, tt.opts)
				if tt.change != nil {
					tt.change(&c.target)
				}
				h := waftest.Harness{
					Open: func(t *testing.T) waf.Firewall {
						f := c.open(t)
						if choice, ok := f.(waf.Chooser); ok {
							chosen, err := choice.Choose(t.Context())
							if err != nil {
								t.Fatal(err)
							}
							return chosen
						}
						return f
					},
					Enforced: c.enforced,
					Foreign:  c.Foreign,
					Fail:     c.failWrite,
					FailCall: c.failCall,
					SetRoom:  func(n int) { c.SetQuotas(waftest.AlibabaQuotas{BookAddresses: n + 2}) },
					Swap:     2,
				}
				if c.target.Mode == aliwaf.ModeAuto {
					h.FailCall = nil // it would fail the choice, which comes before the run
				}
				return h
			})
		})
	}
}
