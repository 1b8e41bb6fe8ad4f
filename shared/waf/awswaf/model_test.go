package awswaf_test

import (
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// TestEveryRequestFitsTheModel runs the adapter's suite against a stand-in that first
// lets the official API model judge every request.
func TestEveryRequestFitsTheModel(t *testing.T) {
	m := waftest.ReadModel(t)
	waftest.TestFirewall(t, func(t *testing.T) waftest.Harness {
		c := newCloud(t, waftest.AWSOptions{Judge: m.Requests})
		return waftest.Harness{
			Open:     func(t *testing.T) waf.Firewall { return c.open(t) },
			Enforced: c.enforced,
			Foreign:  func() string { return c.foreign(t) },
			Fail:     c.failWrite,
		}
	})
}
