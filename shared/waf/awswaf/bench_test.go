package awswaf_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// BenchmarkRuns measures whole runs over 100,000 addresses in sets of 10,000,
// without pace or latency, and reports what they cost the service.
func BenchmarkRuns(b *testing.B) {
	const n = 100_000
	list := func(first int) []waf.Want {
		wants := make([]waf.Want, n)
		for i := range wants {
			k := first + i
			addr := netip.AddrFrom4([4]byte{203, byte(k >> 16), byte(k >> 8), byte(k)})
			wants[i] = waf.Want{Prefix: netip.PrefixFrom(addr, 32), ExpiresAt: time.Unix(int64(k), 0)}
		}
		return wants
	}
	for _, c := range []struct {
		name string
		cold bool
		step int // addresses that end and come between two runs
	}{{"cold", true, 0}, {"nothing changed", false, 0}, {"one gone and one come", false, 1}, {"one percent by expiry", false, 1000}} {
		b.Run(c.name, func(b *testing.B) {
			var calls, writes, sent int
			var server *waftest.AWS
			var f waf.Firewall
			fresh := func() {
				if server != nil {
					_ = server.Close()
				}
				server = waftest.NewAWS(waftest.AWSOptions{})
				url, err := server.Start()
				if err != nil {
					b.Fatal(err)
				}
				f = openAt(b, url, awswaf.Target{Name: "edge", Region: region, WebACL: acl})
			}
			run := func(first int) {
				report, err := on(f, 10_000).Reconcile(b.Context(), waf.Desired{Wants: list(first), Epoch: "e", Generation: uint64(first)})
				if err != nil || report.Enforced != n {
					b.Fatalf("%v, %d enforced", err, report.Enforced)
				}
				calls, writes = report.Calls, report.Writes
			}
			fresh()
			run(0)
			i := 0
			for b.Loop() {
				if c.cold {
					b.StopTimer()
					fresh()
					b.StartTimer()
				}
				server.Forget()
				i++
				run(i * c.step)
			}
			for _, call := range server.Calls() {
				sent += call.Sent
			}
			_ = server.Close()
			b.ReportMetric(float64(calls), "calls")
			b.ReportMetric(float64(writes), "writes")
			b.ReportMetric(float64(sent), "sentB")
		})
	}
}
