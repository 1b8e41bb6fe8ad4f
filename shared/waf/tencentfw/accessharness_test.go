package tencentfw_test

import (
	"context"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/tencentfw"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

const shop = "shop.example.com"

// cloudWAF is one stand-in Tencent Cloud with a domain of a user's behind its WAF.
type cloudWAF struct {
	*waftest.Tencent
	url    string
	target tencentfw.Target
	now    time.Time // of the cloud and of every Firewall
}

// dawn is when the clocks stand unless a test says otherwise.
var dawn = time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)

func newCloudWAF(t testing.TB, opts waftest.TencentOptions) *cloudWAF {
	t.Helper()
	c := &cloudWAF{
		target: tencentfw.Target{Name: "edge", Region: "ap-guangzhou", Mode: tencentfw.ModeWAF, Domain: shop, Edition: tencentfw.EditionSaaS},
		now:    dawn,
	}
	opts.Now = func() time.Time { return c.now }
	c.Tencent = waftest.NewTencent(opts)
	url, err := c.Start()
	if err != nil {
		t.Fatal(err)
	}
	c.url = url
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	c.SeedDomain(shop, "", true)
	for _, seed := range []struct {
		domain, note string
		action       int64
		until        time.Time
		addresses    []string
	}{
		{shop, "the guest of last May", waftest.TencentBlock, time.Time{}, []string{"198.51.100.66", "198.51.100.128/26"}},
		{shop, "office", waftest.TencentAllow, time.Time{}, []string{"198.51.100.1"}},
		{shop, "tracewall:other 0123456789ab 7", waftest.TencentBlock, time.Time{}, []string{"198.51.100.9"}},
		{tencentfw.Global, "", waftest.TencentBlock, dawn.AddDate(1, 0, 0), []string{"198.51.100.77"}},
	} {
		if _, err := c.SeedAccess(seed.domain, seed.action, seed.note, seed.until, seed.addresses...); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

var sharedTransport = &http.Transport{MaxIdleConnsPerHost: 4}

// open returns a Firewall as a new process would make it, without any waiting.
func (c *cloudWAF) open(t testing.TB) waf.BookFirewall {
	t.Helper()
	f, err := tencentfw.New(c.config(), c.target)
	if err != nil {
		t.Fatal(err)
	}
	return f.(waf.BookFirewall)
}

func (c *cloudWAF) config() tencentfw.Config {
	return tencentfw.Config{
		Credentials: func(context.Context) (tencentfw.Credentials, error) {
			return tencentfw.Credentials{SecretID: waftest.TencentSecretID, SecretKey: secret.Secret(waftest.TencentSecretKey)}, nil
		},
		Endpoint: c.url, Transport: sharedTransport, Pace: rate.NewLimiter(rate.Inf, 1),
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		Now:   func() time.Time { return c.now },
	}
}

// enforced returns what our own and the other rules of the domain block, without what others put there.
func (c *cloudWAF) enforced() []netip.Prefix {
	others := map[netip.Prefix]bool{}
	for _, text := range []string{"198.51.100.66/32", "198.51.100.128/26", "198.51.100.9/32", "198.51.100.77/32"} {
		others[netip.MustParsePrefix(text)] = true
	}
	var list []netip.Prefix
	for _, p := range c.EnforcedAccess(c.target.Domain) {
		if !others[p] {
			list = append(list, p)
		}
	}
	return list
}

// failing lets the n-th call, or write, from now fail for good; its resends too.
func (c *cloudWAF) failing(n int, writes, after bool) {
	if n < 0 {
		c.Before(nil)
		return
	}
	seen := 0
	failed := ""
	c.Before(func(call waftest.TencentCall) *waftest.Fault {
		if writes && !call.Write() {
			return nil
		}
		if failed != "" && failed == call.Action+call.Object && !call.Write() {
			return &waftest.Fault{Code: "InternalError"} // a resend of a read
		}
		failed = ""
		if seen++; seen-1 != n {
			return nil
		}
		failed = call.Action + call.Object
		return &waftest.Fault{Code: "InternalError", AfterChange: after, Drop: after}
	})
}

func (c *cloudWAF) harness(t *testing.T) waftest.Harness {
	return waftest.Harness{
		Open:     func(t *testing.T) waf.Firewall { return c.open(t) },
		Enforced: c.enforced,
		Foreign:  c.Foreign,
		Fail:     func(n int, after bool) { c.failing(n, true, after) },
		FailCall: func(n int) { c.failing(n, false, false) },
		SetRoom:  func(n int) { c.target.Entries = n + 4 }, // four addresses of others, black and white, are in the quota
		Swap:     2,
	}
}

func TestAccess(t *testing.T) {
	for name, opts := range map[string]waftest.TencentOptions{
		"plain":                     {},
		"an address may be twice":   {AccessRepeats: true},
		"always a prefix":           {Form: waftest.TencentForms["always a prefix"]},
		"expanded":                  {Form: waftest.TencentForms["expanded"]},
		"what has ended is gone":    {AccessEndedGo: true},
		"offsets are pages":         {AccessOffsetPages: true},
		"pages of twenty":           {AccessPage: 20},
		"two deletions at a time":   {AccessDeletes: 2},
		"entries of five addresses": {AccessBatch: 5},
	} {
		t.Run(name, func(t *testing.T) {
			waftest.TestFirewall(t, func(t *testing.T) waftest.Harness {
				c := newCloudWAF(t, opts)
				c.now = time.Unix(0, 0).UTC() // the suite's list ends in 1970
				return c.harness(t)
			})
		})
	}
}

// raw makes one call, as somebody else's tool would.
func (c *cloudWAF) raw(t testing.TB, action string, params map[string]any) error {
	t.Helper()
	return tencentfw.Call(t.Context(), c.config(), c.target.Region, "waf", action, params, nil)
}

// seed makes a rule of the allowlist.
func seed(c *cloudWAF, domain, note string, addresses ...string) {
	if _, err := c.SeedAccess(domain, waftest.TencentAllow, note, time.Time{}, addresses...); err != nil {
		panic(err) // the test's own mistake
	}
}

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }
