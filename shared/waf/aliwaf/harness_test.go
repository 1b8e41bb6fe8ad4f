package aliwaf_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/time/rate"

	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

const (
	shopObject = "shop.example.com-waf"
	apiObject  = "api.example.com-waf"
)

func TestMain(m *testing.M) {
	code := m.Run()
	sharedHTTP.CloseIdleConnections()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// sharedHTTP keeps thousands of short-lived Firewalls from having a connection each.
var sharedHTTP = &http.Transport{MaxIdleConnsPerHost: 4}

// cloud is one stand-in account with what a user has in it.
type cloud struct {
	*waftest.Alibaba
	url    string
	target aliwaf.Target
	now    func() time.Time
	slept  int // how often a firewall waited before it made a call again
}

func newCloud(t testing.TB, opts waftest.AlibabaOptions) *cloud {
	t.Helper()
	c := emptyCloud(t, opts)
	c.SeedObjects(shopObject, apiObject)
	c.seedForeign(t)
	return c
}

// seedForeign makes what a user has beside us: books, templates and rules that look a little like ours.
func (c *cloud) seedForeign(t testing.TB) {
	t.Helper()
	office, err := c.SeedBook(waftest.AlibabaBook{Name: "tracewall-shops", Description: "tracewall:shops by hand", Addresses: []string{"198.51.100.7", "3FFF:1::/48"}})
	if err != nil {
		t.Fatal(err)
	}
	own := c.SeedTemplate(waftest.AlibabaTemplate{Scene: "custom_acl", Name: "own-rules", Description: "ours, not yours", Objects: []string{shopObject}})
	white := c.SeedTemplate(waftest.AlibabaTemplate{Scene: "whitelist", Name: "office", Default: true})
	for _, r := range []waftest.AlibabaRule{
		{Template: own, Name: "tracewall-shop", Config: fmt.Sprintf(`{"action":"block","conditions":[{"key":"IP","opValue":"in-list","values":"%d"}],"ccStatus":0,"grayStatus":1}`, office)},
		{Template: own, Name: "admin", Off: true, Config: `{"action":"monitor","conditions":[{"key":"URL","opValue":"contain","values":"/admin"}],"ccStatus":0}`},
		{Template: white, Name: "health", Config: `{"tags":["cc"],"conditions":[{"key":"URL","opValue":"contain","values":"/health"}]}`},
	} {
		if _, err := c.SeedRule(r); err != nil {
			t.Fatal(err)
		}
	}
	c.Forget()
}

func emptyCloud(t testing.TB, opts waftest.AlibabaOptions) *cloud {
	t.Helper()
	c := &cloud{
		Alibaba: waftest.NewAlibaba(opts), now: opts.Now,
		target: aliwaf.Target{Name: "shop", Region: aliwaf.RegionMainland, Mode: aliwaf.ModeAddressBook, Batch: 10},
	}
	if c.now == nil {
		c.now = time.Now
	}
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
	return c
}

// config is a Config that waits for nothing.
func (c *cloud) config() aliwaf.Config {
	return aliwaf.Config{
		Credentials: func(context.Context) (aliwaf.Credentials, error) {
			return aliwaf.Credentials{
				AccessKeyID: waftest.AlibabaKeyID, AccessKeySecret: secret.Secret(waftest.AlibabaKeySecret), SecurityToken: secret.Secret(waftest.AlibabaToken),
			}, nil
		},
		Endpoint: c.url, Transport: sharedHTTP, Pace: &aliwaf.Pace{WAF: rate.NewLimiter(rate.Inf, 1), CloudFirewall: rate.NewLimiter(rate.Inf, 1)}, Now: c.now,
		Sleep: func(ctx context.Context, _ time.Duration) error { c.slept++; return ctx.Err() },
	}
}

// open returns a Firewall as a new process would make it.
func (c *cloud) open(t testing.TB) waf.Firewall {
	t.Helper()
	return c.openAs(t, c.target)
}

func (c *cloud) openAs(t testing.TB, target aliwaf.Target) waf.Firewall {
	t.Helper()
	f, err := aliwaf.New(c.config(), target)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// failWrite lets the n-th write from now fail for good: cut off, before it takes effect or after.
func (c *cloud) failWrite(n int, after bool) {
	c.Heal()
	if n < 0 {
		return
	}
	c.FailWrite(n, 1, waftest.Fault{AfterChange: after, Drop: true})
	if !after { // and all its resends
		c.FailWrite(n+1, 2, waftest.Fault{Drop: true})
	}
}

// failCall lets the n-th call from now, and its resends, fail before it takes effect.
func (c *cloud) failCall(n int) {
	c.Heal()
	if n >= 0 {
		c.FailCall(n, 6, waftest.Fault{Code: "ServiceUnavailable"})
	}
}

// hosts are n single addresses from number first.
func hosts(first, n int) []netip.Prefix {
	list := make([]netip.Prefix, n)
	for i := range list {
		k := first + i
		list[i] = netip.PrefixFrom(netip.AddrFrom4([4]byte{203, byte(k >> 16), byte(k >> 8), byte(k)}), 32)
	}
	return list
}

func wanted(list []netip.Prefix) []waf.Want {
	wants := make([]waf.Want, len(list))
	for i, p := range list {
		wants[i] = waf.Want{Prefix: p}
	}
	return wants
}

// run reconciles once and remembers for the next run what enforce would.
type runner struct {
	c    *cloud
	f    waf.Firewall
	book *waf.BookMemory
}

func (r *runner) run(t testing.TB, generation uint64, list []netip.Prefix, change ...func(*waf.Reconciler)) (waf.Report, error) {
	t.Helper()
	if r.f == nil {
		r.f = r.c.open(t)
	}
	rec := &waf.Reconciler{
		Firewall: r.f, Name: "shop", Limits: r.c.target.Limits(), Guard: waf.Guard{Ended: waftest.AllEnded}, Book: r.book,
		Pause: func(context.Context, int) error { return nil },
	}
	for _, f := range change {
		f(rec)
	}
	report, err := rec.Reconcile(t.Context(), waf.Desired{Wants: wanted(list), Epoch: "epoch-1", Generation: generation})
	r.book = report.Book
	return report, err
}

// ok is run that must go well and leave exactly the list in force.
func (r *runner) ok(t testing.TB, generation uint64, list []netip.Prefix, change ...func(*waf.Reconciler)) waf.Report {
	t.Helper()
	report, err := r.run(t, generation, list, change...)
	if err != nil {
		t.Fatal(err)
	}
	got := r.c.enforced()
	slices.SortFunc(list, netip.Prefix.Compare)
	if !slices.Equal(got, list) {
		t.Fatalf("%d are in force, want %d: the plan was %q", len(got), len(list), report.Plan)
	}
	return report
}

// enforced is what our own place blocks.
func (c *cloud) enforced() []netip.Prefix {
	by := waftest.ByAddressBook
	switch c.target.Mode {
	case aliwaf.ModeIPBlacklist:
		by = waftest.ByBlacklist
	case aliwaf.ModeCloudFirewall:
		by = waftest.ByCloudFirewall
	}
	list := c.Enforced(by)
	return slices.DeleteFunc(list, func(p netip.Prefix) bool { return !slices.ContainsFunc(ourSpace, p.Overlaps) })
}

// ourSpace is where the tests' lists are from; what the seeds block is elsewhere.
var ourSpace = []netip.Prefix{netip.MustParsePrefix("203.0.0.0/9"), netip.MustParsePrefix("2001:db8::/32")}

func verify(r *waf.Reconciler) { r.Verify, r.Prove = true, true }
