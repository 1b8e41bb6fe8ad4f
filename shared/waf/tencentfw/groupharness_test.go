package tencentfw_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/tencentfw"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

const guangzhou = "ap-guangzhou"

// groupHTTP keeps thousands of short-lived Firewalls from having a connection each.
var groupHTTP = &http.Transport{MaxIdleConnsPerHost: 4}

// groupCloud is one stand-in Tencent Cloud with two security groups of a user's and a load balancer in it.
type groupCloud struct {
	*waftest.Tencent
	url    string
	target tencentfw.Target
}

func newGroupCloud(t testing.TB, opts waftest.TencentOptions) *groupCloud {
	t.Helper()
	if opts.BalancerExpanded == 0 {
		opts.BalancerExpanded = 2000 // unless a test is about it
	}
	c := &groupCloud{Tencent: waftest.NewTencent(opts)}
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
	first, second := c.SeedSecurityGroup(guangzhou, "shop"), c.SeedSecurityGroup(guangzhou, "api")
	c.SeedProtected(first, 3)
	c.target = tencentfw.Target{
		Name: "edge", Region: guangzhou, Mode: tencentfw.ModeSecurityGroup, SetSize: 10,
		SecurityGroups: []string{first, second},
		LoadBalancers:  []string{c.SeedLoadBalancer(guangzhou, "shop", first)},
	}
	theirs, err := c.SeedTemplate(guangzhou, "office", "198.51.100.0/24", "203.0.113.9")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.SeedTemplateGroup(guangzhou, "offices", theirs); err != nil {
		t.Fatal(err)
	}
	c.SeedSecurityGroup(guangzhou, "nobody's business")
	return c
}

// open returns a Firewall as a new process would make it, without any waiting.
func (c *groupCloud) open(t testing.TB) fullGroup {
	t.Helper()
	f, err := tencentfw.New(c.config(), c.target)
	if err != nil {
		t.Fatal(err)
	}
	return f.(fullGroup)
}

// fullGroup is what a Firewall of mode security-group is.
type fullGroup interface {
	waf.SetFirewall
	waf.Metered
	waf.Prover
	waf.Preflighter
	waf.Stamper
}

func (c *groupCloud) config() tencentfw.Config {
	return tencentfw.Config{
		Credentials: func(context.Context) (tencentfw.Credentials, error) {
			return tencentfw.Credentials{SecretID: waftest.TencentSecretID, SecretKey: secret.Secret(waftest.TencentSecretKey)}, nil
		},
		Endpoint: c.url, Transport: groupHTTP, Pace: rate.NewLimiter(rate.Inf, 1),
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
}

// enforced returns what the first security group drops and is not the user's own.
func (c *groupCloud) enforced() []netip.Prefix { return c.enforcedBy(c.target.SecurityGroups[0]) }

func (c *groupCloud) enforcedBy(group string) []netip.Prefix {
	return slices.DeleteFunc(c.EnforcedGroup(group), func(p netip.Prefix) bool { return p.String() == "203.0.113.66/32" })
}

// failing lets the n-th call, or write, from now fail for good, its resends too. After a lost answer the service judges these by itself.
func (c *groupCloud) failing(n int, writes, after bool) {
	seen, failed := -1, ""
	c.Before(func(call waftest.TencentCall) *waftest.Fault {
		if n < 0 || writes && !call.Write() {
			return nil
		}
		if key := call.Action + call.Object; key == failed {
			if after {
				return nil
			}
			return &waftest.Fault{Code: "InternalError"}
		}
		failed = ""
		if seen++; seen != n {
			return nil
		}
		failed = call.Action + call.Object
		return &waftest.Fault{Code: "InternalError", AfterChange: after, Drop: after}
	})
}

func (c *groupCloud) harness() waftest.Harness {
	return waftest.Harness{
		Open:     func(t *testing.T) waf.Firewall { return c.open(t) },
		Enforced: c.enforced,
		Foreign:  c.Foreign,
		Fail:     func(n int, after bool) { c.failing(n, true, after) },
		FailCall: func(n int) { c.failing(n, false, false) },
	}
}

func TestGroup(t *testing.T) {
	for name, opts := range map[string]waftest.TencentOptions{
		"plain":                          {},
		"host bits":                      {Form: waftest.TencentForms["host bits"]},
		"always a prefix":                {Form: waftest.TencentForms["always a prefix"]},
		"expanded":                       {Form: waftest.TencentForms["expanded"]},
		"templates are in every region":  {SharedTemplates: true},
		"used templates can be deleted":  {UsedTemplatesGo: true},
		"templates can be empty as well": {EmptyTemplates: true},
	} {
		t.Run(name, func(t *testing.T) {
			waftest.TestFirewall(t, func(t *testing.T) waftest.Harness { return newGroupCloud(t, opts).harness() })
		})
	}
}

// run reconciles as the functions do.
func (c *groupCloud) run(t testing.TB, f waf.Firewall, generation uint64, list []waf.Want) (waf.Report, error) {
	t.Helper()
	r := waf.Reconciler{
		Firewall: f, Name: "edge", Limits: c.target.Limits(), Guard: waf.Guard{Ended: waftest.AllEnded},
		Pause: func(context.Context, int) error { return nil },
	}
	return r.Reconcile(t.Context(), waf.Desired{Wants: list, Epoch: "epoch-1", Generation: generation})
}

func (c *groupCloud) mustRun(t testing.TB, f waf.Firewall, generation uint64, list []waf.Want) waf.Report {
	t.Helper()
	report, err := c.run(t, f, generation, list)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// hosts returns n addresses of which no two make a range, numbered from first.
func groupHosts(first, n int) []waf.Want {
	list := make([]waf.Want, n)
	for i := range list {
		k := first + i
		list[i].Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, byte(k >> 14), byte(k >> 7), byte(k<<1) | 1}), 32)
	}
	return list
}

func prefixesOf(list []waf.Want) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, w := range list {
		out[i] = w.Prefix
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}

// mumbling is a cloud that does not say which address it refuses.
type mumbling struct{}

func (mumbling) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := groupHTTP.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return nil, err
	}
	var answer struct {
		Response struct {
			Error *struct{ Code, Message string } `json:",omitempty"`
		}
	}
	if json.Unmarshal(body, &answer) == nil && answer.Response.Error != nil {
		answer.Response.Error.Message = "An address is not allowed."
		if body, err = json.Marshal(answer); err != nil {
			return nil, err
		}
	}
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return response, nil
}

// direct carries calls to a stand-in without a network.
type direct struct{ cloud http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r.Host = r.URL.Host
	d.cloud.ServeHTTP(w, r)
	return w.Result(), nil
}
