package wafbench

import (
	"time"

	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// cost is what one run cost the service.
type cost struct {
	calls, writes, throttled int
	bytes                    int64 // sent
	seconds                  float64
	unprotected              int
	actions                  map[string]int // calls of each
}

// costOf counts calls, and computes how long they would have taken at the deployed
// pace with latency each: without the program's own time.
func costOf(calls []waftest.Call) cost {
	c := cost{calls: len(calls), actions: map[string]int{}}
	var now time.Duration
	next := map[string]time.Duration{} // when an action's turn comes
	for _, call := range calls {
		c.actions[call.Op]++
		every := awswaf.ReadEvery
		if call.Write() {
			every = awswaf.WriteEvery
			c.writes++
		}
		if call.Code == "ThrottlingException" {
			c.throttled++
		}
		c.bytes += int64(call.Sent)
		now = max(now, next[call.Op])
		next[call.Op] = now + every
		now += latency
	}
	c.seconds = now.Seconds()
	return c
}
