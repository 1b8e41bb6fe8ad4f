package tencentfw_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/tracewall/tracewall/shared/waf/tencentfw"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// What runs cost, with two security groups and one load balancer. A change in these numbers is a change in what
// users wait for: it belongs into ADR 0017.
func TestWhatRunsCost(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	c.target.SetSize = 20
	list := groupHosts(0, 50_000)
	for _, run := range []struct {
		name          string
		first, n      int
		calls, writes int
		overflow      int
	}{
		{"cold, 50,000 addresses", 0, 50_000, 39, 25, 49_600},
		{"no change", 0, 50_000, 6, 0, 49_600},
		{"all but one remain", 0, 400, 6, 0, 0},
		{"one removed", 1, 399, 9, 1, 0},
		{"one added", 0, 400, 9, 1, 0},
		{"one goes and one comes", 1, 400, 9, 1, 0},
	} {
		report := c.mustRun(t, c.open(t), 1, list[run.first:run.first+run.n])
		if report.Calls != run.calls || report.Writes != run.writes || report.Overflow != run.overflow {
			t.Errorf("%s: %d calls, %d writes, overflow %d; want %d, %d, %d: %q", run.name, report.Calls, report.Writes, report.Overflow, run.calls, run.writes, run.overflow, report.Plan)
		}
		if run.n <= 400 && !slices.Equal(c.enforced(), prefixesOf(list[run.first:run.first+run.n])) {
			t.Errorf("%s: the wall is not equal to the list", run.name)
		}
	}
}

// At 20 calls a second a cold wall is full in two seconds.
func TestColdRunAtTheDocumentedPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// No listener within the bubble: the stand-in is called directly.
		cloud := waftest.NewTencent(waftest.TencentOptions{Rate: tencentfw.DefaultPace, BalancerExpanded: 2000})
		c := &groupCloud{Tencent: cloud, target: tencentfw.Target{
			Name: "edge", Region: guangzhou, Mode: tencentfw.ModeSecurityGroup, SecurityGroups: []string{cloud.SeedSecurityGroup(guangzhou, "shop")},
		}}
		cfg := c.config()
		cfg.Endpoint, cfg.Transport, cfg.Pace = "", direct{cloud}, rate.NewLimiter(tencentfw.DefaultPace, 1)
		cfg.Sleep = func(_ context.Context, d time.Duration) error { time.Sleep(d); return nil }
		f, err := tencentfw.New(cfg, c.target)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		c.mustRun(t, f, 1, groupHosts(0, 50_000))
		if d := time.Since(began); d > 3*time.Second || cloud.Throttled() != 0 || len(c.enforced()) != 400 {
			t.Errorf("%s, %d throttled, %d dropped", d, cloud.Throttled(), len(c.enforced()))
		}
	})
}
