package waftest_test

import (
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func TestAnotherClientUsesTheRate(t *testing.T) {
	now := time.Unix(0, 0)
	c := newClient(t, waftest.AWSOptions{
		RateLimits: true, Now: func() time.Time { return now }, Roles: map[string]string{role: ""},
		OthersUse: map[string]time.Duration{"UpdateWebACL": 1500 * time.Millisecond},
	})
	try := func(op string, after time.Duration, throttled bool) {
		t.Helper()
		now = now.Add(after)
		if _, code := c.call(op, fields{"Scope": "REGIONAL"}); (code == "ThrottlingException") != throttled {
			t.Errorf("%s %s later at %s: %q, want throttled %t", op, after, now.Sub(time.Unix(0, 0)), code, throttled)
		}
	}
	try("UpdateWebACL", 0, false)
	try("UpdateWebACL", 1200*time.Millisecond, false) // the other one is throttled at 1.5 s
	try("UpdateWebACL", 1500*time.Millisecond, false) // at 2.7 s
	try("UpdateWebACL", 1400*time.Millisecond, false) // at 4.1 s; the other one is throttled at 3 and 4.5 s
	try("UpdateWebACL", 2400*time.Millisecond, true)  // at 6.5 s; the other one got through at 6 s
	try("UpdateWebACL", 600*time.Millisecond, false)  // a refused call takes nothing
	try("ListIPSets", 0, false)
	c.aws.Use(region, "ListIPSets")
	try("ListIPSets", 199*time.Millisecond, true)
	try("ListIPSets", time.Millisecond, false)
	try("CheckCapacity", 0, false)
	try("CheckCapacity", 999*time.Millisecond, true)
	try("AssociateWebACL", 0, false)
	try("AssociateWebACL", 1999*time.Millisecond, true)
	if got := c.aws.Throttled(); got != 4 {
		t.Errorf("%d throttled, want 4", got)
	}
	got := c.assume(map[string]string{"ExternalId": ""})
	c.auth, c.token = signed(got.Key, region, "wafv2"), got.Token
	try("AssociateWebACL", 0, false) // another account, another rate
}
