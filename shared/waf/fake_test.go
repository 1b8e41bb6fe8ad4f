package waf_test

import (
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func TestFake(t *testing.T) {
	waftest.TestFirewall(t, func(*testing.T) waftest.Harness {
		w := &waftest.Wall{}
		return waftest.Harness{
			Open:     func(*testing.T) waf.Firewall { return w.Open() },
			Enforced: w.Enforced,
			Foreign:  func() string { return "" },
			Fail: func(n int, after bool) {
				w.OnWrite = func(string, string) (bool, error) {
					n--
					if n == -1 {
						return after, waf.ErrUnavailable
					}
					return true, nil
				}
			},
		}
	})
}
