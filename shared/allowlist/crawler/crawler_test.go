package crawler_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/allowlist/crawler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	_ crawler.Resolver = (*net.Resolver)(nil)

	notFound = &net.DNSError{Err: "no such host", Name: "\x1b[31mattacker", IsNotFound: true}
	servfail = &net.DNSError{Err: "server misbehaving", Name: "\x1b[31mattacker", IsTemporary: true}
	timeout  = &net.DNSError{Err: "i/o timeout", Name: "\x1b[31mattacker", IsTimeout: true, IsTemporary: true}
)

// dns is a DNS in memory.
type dns struct {
	names   map[string][]string // PTR by address
	addrs   map[string][]string // A and AAAA by name, absolute
	failing map[string]error    // by address or name
	block   chan struct{}       // if set, look-ups wait for it or for their context
	onAsk   func()              // if set, called at each look-up

	mu     sync.Mutex
	asked  []string
	active int
	most   int
}

func (d *dns) ask(ctx context.Context, what string) error {
	d.mu.Lock()
	d.asked = append(d.asked, what)
	d.active++
	d.most = max(d.most, d.active)
	d.mu.Unlock()
	defer func() { d.mu.Lock(); d.active--; d.mu.Unlock() }()
	if d.onAsk != nil {
		d.onAsk()
	}
	if d.block != nil {
		select {
		case <-d.block:
		case <-ctx.Done():
			return &net.DNSError{Err: ctx.Err().Error(), IsTimeout: errors.Is(ctx.Err(), context.DeadlineExceeded)}
		}
	}
	return d.failing[what]
}

func (d *dns) LookupAddr(ctx context.Context, addr string) ([]string, error) {
	if err := d.ask(ctx, addr); err != nil {
		return d.names[addr], err
	}
	if len(d.names[addr]) == 0 {
		return nil, notFound
	}
	return d.names[addr], nil
}

func (d *dns) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if err := d.ask(ctx, host); err != nil {
		return nil, err
	}
	var found []netip.Addr
	for _, text := range d.addrs[host] {
		a := netip.MustParseAddr(text)
		if (network == "ip4") == a.Unmap().Is4() {
			found = append(found, a)
		}
	}
	if len(found) == 0 {
		return nil, notFound
	}
	return found, nil
}

func (d *dns) count() int { d.mu.Lock(); defer d.mu.Unlock(); return len(d.asked) }

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newVerifier(tb testing.TB, c crawler.Config) *crawler.Verifier {
	tb.Helper()
	if c.Clock == nil {
		c.Clock = (&clock{time.Unix(1795168800, 0)}).now
	}
	v, err := crawler.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

func verify(tb testing.TB, v *crawler.Verifier, addr string) (string, error) {
	tb.Helper()
	return v.Verify(tb.Context(), netip.MustParseAddr(addr))
}

func TestVerify(t *testing.T) {
	const google, six = "66.249.66.1", "2001:4860:4801:10::1"
	ptr := func(names ...string) map[string][]string { return map[string][]string{google: names, six: names} }
	back := func(host string, addrs ...string) map[string][]string { return map[string][]string{host: addrs} }
	var thousands, matching []string
	for i := range 4000 {
		thousands = append(thousands, fmt.Sprintf("a%d.example.", i))
		matching = append(matching, fmt.Sprintf("crawl-%d.googlebot.com.", i))
	}
	const crawl = "crawl-66-249-66-1.googlebot.com."
	for _, c := range []struct {
		name string
		addr string
		dns  *dns
		want string // the crawler, "not" or "unknown"
	}{
		{"the name points back", google, &dns{names: ptr(crawl), addrs: back(crawl, google)}, "Googlebot"},
		{"among other addresses", google, &dns{names: ptr(crawl), addrs: back(crawl, "66.249.66.9", google)}, "Googlebot"},
		{"IPv6", six, &dns{names: ptr(crawl), addrs: back(crawl, six)}, "Googlebot"},
		{"a mapped address is the IPv4 address", "::ffff:" + google, &dns{names: ptr(crawl), addrs: back(crawl, google)}, "Googlebot"},
		{"the resolver answers with mapped addresses", google, &dns{names: ptr(crawl), addrs: back(crawl, "::ffff:"+google)}, "Googlebot"},
		{"capitals", google, &dns{names: ptr("CRAWL-66-249-66-1.GoogleBot.COM."), addrs: back(crawl, google)}, "Googlebot"},
		{"no final dot", google, &dns{names: ptr("crawl-66-249-66-1.googlebot.com"), addrs: back(crawl, google)}, "Googlebot"},
		{"deeper in the domain", google, &dns{names: ptr("geo-crawl-1.geo.googlebot.com."), addrs: back("geo-crawl-1.geo.googlebot.com.", google)}, "Googlebot"},
		{"one of several names", google, &dns{names: ptr("x.example.", crawl), addrs: back(crawl, google)}, "Googlebot"},
		{"a special-case crawler", google, &dns{names: ptr("rate-limited-proxy-66-249-90-77.google.com."), addrs: back("rate-limited-proxy-66-249-90-77.google.com.", google)}, "Googlebot"},
		{"Bing", google, &dns{names: ptr("msnbot-1.search.msn.com."), addrs: back("msnbot-1.search.msn.com.", google)}, "Bingbot"},
		{"Baidu in Japan", google, &dns{names: ptr("baiduspider-1.crawl.baidu.jp."), addrs: back("baiduspider-1.crawl.baidu.jp.", google)}, "Baiduspider"},
		{"Yandex", google, &dns{names: ptr("spider-1.yandex.com."), addrs: back("spider-1.yandex.com.", google)}, "YandexBot"},
		{"Apple", google, &dns{names: ptr("17-1.applebot.apple.com."), addrs: back("17-1.applebot.apple.com.", google)}, "Applebot"},
		{"Petal", google, &dns{names: ptr("petalbot-1.petalsearch.com."), addrs: back("petalbot-1.petalsearch.com.", google)}, "PetalBot"},

		{"the PTR says Googlebot and the forward zone does not", google, &dns{names: ptr(crawl), addrs: back(crawl, "66.249.66.9")}, "not"},
		{"the name does not exist", google, &dns{names: ptr(crawl)}, "not"},
		{"the name has an address of the other family only", google, &dns{names: ptr(crawl), addrs: back(crawl, six)}, "not"},
		{"the attacker's reverse zone is an alias of Google's", "198.51.100.7", &dns{names: map[string][]string{"198.51.100.7": {crawl}}, addrs: back(crawl, google)}, "not"},
		{"no PTR", google, &dns{}, "not"},
		{"another domain that points back", google, &dns{names: ptr("host.example."), addrs: back("host.example.", google)}, "not"},
		{"a domain that ends like it", google, &dns{names: ptr("x.evil-googlebot.com."), addrs: back("x.evil-googlebot.com.", google)}, "not"},
		{"a domain that ends like it, without a dot", google, &dns{names: ptr("evilgooglebot.com."), addrs: back("evilgooglebot.com.", google)}, "not"},
		{"the domain within another", google, &dns{names: ptr("crawl.googlebot.com.evil.example."), addrs: back("crawl.googlebot.com.evil.example.", google)}, "not"},
		{"the domain itself", google, &dns{names: ptr("googlebot.com."), addrs: back("googlebot.com.", google)}, "not"},
		{"a virtual machine of Google Cloud", google, &dns{names: ptr("1.66.249.66.bc.googleusercontent.com."), addrs: back("1.66.249.66.bc.googleusercontent.com.", google)}, "not"},
		{"a proxy for anybody", google, &dns{names: ptr("google-proxy-66-249-66-1.google.com."), addrs: back("google-proxy-66-249-66-1.google.com.", google)}, "not"},
		{"another host of Seznam", google, &dns{names: ptr("mail.seznam.cz."), addrs: back("mail.seznam.cz.", google)}, "not"},
		{"an IDN that looks like it", google, &dns{names: ptr("crawl.googlebоt.com."), addrs: back("crawl.googlebоt.com.", google)}, "not"},
		{"an IDN in ASCII that looks like it", google, &dns{names: ptr("crawl.xn--googlebt-5bg.com."), addrs: back("crawl.xn--googlebt-5bg.com.", google)}, "not"},
		{"an IDN below it is no host name", google, &dns{names: ptr("é.googlebot.com."), addrs: back("é.googlebot.com.", google)}, "not"},
		{"a huge name", google, &dns{names: ptr(strings.Repeat("a.", 5000) + "googlebot.com."), addrs: back(strings.Repeat("a.", 5000)+"googlebot.com.", google)}, "not"},
		{"a huge label", google, &dns{names: ptr(strings.Repeat("a", 64) + ".googlebot.com."), addrs: back(strings.Repeat("a", 64)+".googlebot.com.", google)}, "not"},
		{"an empty label", google, &dns{names: ptr("a..googlebot.com."), addrs: back("a..googlebot.com.", google)}, "not"},
		{"two final dots", google, &dns{names: ptr("crawl-66-249-66-1.googlebot.com.."), addrs: back("crawl-66-249-66-1.googlebot.com..", google)}, "not"},
		{"control characters", google, &dns{names: ptr("a\x00b.googlebot.com."), addrs: back("a\x00b.googlebot.com.", google)}, "not"},
		{"an empty name", google, &dns{names: ptr("", ".")}, "not"},
		{"thousands of names", google, &dns{names: ptr(append(thousands, crawl)...), addrs: back(crawl, google)}, "not"},
		{"five matching names", google, &dns{names: ptr("a.googlebot.com.", "b.googlebot.com.", "c.googlebot.com.", "d.googlebot.com.", "e.googlebot.com.")}, "not"},
		{"thousands of matching names", google, &dns{names: ptr(matching...)}, "not"},

		{"the PTR server fails", google, &dns{failing: map[string]error{google: servfail}}, "unknown"},
		{"the PTR server is silent", google, &dns{failing: map[string]error{google: timeout}}, "unknown"},
		{"the forward server fails", google, &dns{names: ptr(crawl), failing: map[string]error{crawl: servfail}}, "unknown"},
		{"the forward server is silent", google, &dns{names: ptr(crawl), failing: map[string]error{crawl: timeout}}, "unknown"},
		{"some other failure", google, &dns{failing: map[string]error{google: errors.New("no network")}}, "unknown"},
		{"one name fails and another points back", google, &dns{names: ptr("a.googlebot.com.", crawl), addrs: back(crawl, google), failing: map[string]error{"a.googlebot.com.": servfail}}, "Googlebot"},
		{"some names were malformed and one is good", google, &dns{names: ptr(crawl), addrs: back(crawl, google), failing: map[string]error{google: &net.DNSError{Err: "invalid names"}}}, "Googlebot"},
		{"some names were malformed and the rest is no crawler's", google, &dns{names: ptr("x.example."), failing: map[string]error{google: &net.DNSError{Err: "invalid names"}}}, "not"},
		{"a subnet's own address", "2001:4860:4801:10::", &dns{}, "unknown"},
		{"an address with a zone", "fe80::1%eth0", &dns{}, "not"},
	} {
		t.Run(c.name, func(t *testing.T) {
			name, err := verify(t, newVerifier(t, crawler.Config{Resolver: c.dns}), c.addr)
			got := name
			switch {
			case errors.Is(err, crawler.ErrNot) && errors.Is(err, crawler.ErrUnknown):
				t.Errorf("%v is both", err)
			case errors.Is(err, crawler.ErrNot):
				got = "not"
			case errors.Is(err, crawler.ErrUnknown):
				got = "unknown"
			}
			if got != c.want || (err != nil) == (name != "") {
				t.Errorf("verify = %q, %v, want %s", name, err, c.want)
			}
			if err != nil && (len(err.Error()) > 200 || strings.ContainsAny(err.Error(), "\x1b\x00")) {
				t.Errorf("the error shows what an attacker wrote: %q", err)
			}
			if len(c.dns.asked) > 4 {
				t.Errorf("%d questions, want at most 4", len(c.dns.asked))
			}
		})
	}
	if _, err := newVerifier(t, crawler.Config{Resolver: &dns{}}).Verify(t.Context(), netip.Addr{}); !errors.Is(err, crawler.ErrNot) {
		t.Errorf("the zero Addr: %v", err)
	}
}

// TestOnlyTheCrawlersOwnZoneDecides: whatever an attacker's reverse zone says, nobody is
// verified unless a name in a crawler's domain holds the address.
func TestOnlyTheCrawlersOwnZoneDecides(t *testing.T) {
	alphabet := rapid.SampledFrom([]string{"googlebot", "com", "search", "msn", "evil", "a", "xn--a", "-", "", ".", "GOOGLEBOT", "COM", "é", "\x00"})
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(alphabet, 1, 6).Draw(t, "labels"), ".")
		}), 1, 5).Draw(t, "names")
		d := &dns{names: map[string][]string{"198.51.100.7": names}, addrs: map[string][]string{}}
		for _, name := range names { // the attacker's own zones point back, whatever they are called
			host := strings.ToLower(strings.TrimSuffix(name, ".")) + "."
			if !strings.HasSuffix(host, ".googlebot.com.") && !strings.HasSuffix(host, ".search.msn.com.") {
				d.addrs[host] = []string{"198.51.100.7"}
			}
		}
		v, err := crawler.New(crawler.Config{Resolver: d, Clock: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if name, err := v.Verify(context.Background(), netip.MustParseAddr("198.51.100.7")); !errors.Is(err, crawler.ErrNot) {
			t.Fatalf("%q is %q, %v", names, name, err)
		}
	})
}

func TestAnOutcomeIsRememberedForATime(t *testing.T) {
	const crawl = "crawl-66-249-66-1.googlebot.com."
	for _, c := range []struct {
		name string
		dns  *dns
		keep time.Duration
	}{
		{"a crawler", &dns{names: map[string][]string{"66.249.66.1": {crawl}}, addrs: map[string][]string{crawl: {"66.249.66.1"}}}, 12 * time.Hour},
		{"none", &dns{}, time.Hour},
		{"a doubt", &dns{failing: map[string]error{"66.249.66.1": servfail}}, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			clk := &clock{time.Unix(1795168800, 0)}
			v := newVerifier(t, crawler.Config{Resolver: c.dns, Clock: clk.now})
			name, first := verify(t, v, "66.249.66.1")
			asked := c.dns.count()
			clk.at = clk.at.Add(c.keep - time.Second)
			again, second := verify(t, v, "::ffff:66.249.66.1")
			if again != name || !errors.Is(second, first) || c.dns.count() != asked {
				t.Errorf("within %s: %q, %v after %d questions, want %q, %v after %d", c.keep, again, second, c.dns.count(), name, first, asked)
			}
			clk.at = clk.at.Add(time.Second)
			if _, _ = verify(t, v, "66.249.66.1"); c.dns.count() != 2*asked {
				t.Errorf("after %s: %d questions, want %d", c.keep, c.dns.count(), 2*asked)
			}
		})
	}
}

func TestTheMemoryIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	d := &dns{}
	v := newVerifier(t, crawler.Config{Resolver: d, Remember: 3})
	for _, addr := range []string{"198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.1", "198.51.100.4"} {
		_, _ = verify(t, v, addr)
	}
	if got := d.count(); got != 4 {
		t.Fatalf("%d questions, want 4", got)
	}
	_, _ = verify(t, v, "198.51.100.1") // used since: kept
	if got := d.count(); got != 4 {
		t.Errorf("what was used last is forgotten: %d questions, want 4", got)
	}
	_, _ = verify(t, v, "198.51.100.2") // used least: gone
	if got := d.count(); got != 5 {
		t.Errorf("what was used least is still there: %d questions, want 5", got)
	}
}

func TestACheckEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dns{block: make(chan struct{})}
		v := newVerifier(t, crawler.Config{Resolver: d, Clock: time.Now, Timeout: 2 * time.Second})
		began := time.Now()
		if _, err := verify(t, v, "66.249.66.1"); !errors.Is(err, crawler.ErrUnknown) || !strings.Contains(err.Error(), "timeout") {
			t.Errorf("err = %v, want a timeout", err)
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it took %s, want 2s", took)
		}
	})
}

func TestWhatTheCallerCutsShortIsNotRemembered(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	d := &dns{block: make(chan struct{}), onAsk: cancel}
	v := newVerifier(t, crawler.Config{Resolver: d})
	if _, err := v.Verify(ctx, netip.MustParseAddr("66.249.66.1")); !errors.Is(err, crawler.ErrUnknown) || !strings.Contains(err.Error(), "resolver") && !strings.Contains(err.Error(), "failure") {
		t.Errorf("err = %v, want ErrUnknown", err)
	}
	close(d.block)
	if _, err := verify(t, v, "66.249.66.1"); !errors.Is(err, crawler.ErrNot) {
		t.Errorf("err = %v, want ErrNot: the first answer was remembered", err)
	}
}

func TestOnlySoManyChecksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dns{block: make(chan struct{})}
		v := newVerifier(t, crawler.Config{Resolver: d, Concurrent: 2})
		var wait sync.WaitGroup
		for i := range 6 {
			wait.Go(func() { _, _ = verify(t, v, fmt.Sprintf("198.51.100.%d", i+1)) })
		}
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := v.Verify(short, netip.MustParseAddr("203.0.113.1")); !errors.Is(err, crawler.ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("who waits for a place: %v, want ErrUnknown and its deadline", err)
		}
		close(d.block)
		wait.Wait()
		if d.most != 2 {
			t.Errorf("%d at once, want 2", d.most)
		}
	})
}

func TestSeveralChecksOfOneAddressAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dns{block: make(chan struct{})}
		v := newVerifier(t, crawler.Config{Resolver: d, Concurrent: 1})
		var wait sync.WaitGroup
		for range 5 {
			wait.Go(func() { _, _ = verify(t, v, "198.51.100.1") })
		}
		synctest.Wait()
		close(d.block)
		wait.Wait()
		if d.count() != 1 {
			t.Errorf("%d questions, want 1", d.count())
		}
	})
}

func TestAClaimProvesNothing(t *testing.T) {
	const agent = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
	name, ok := crawler.Claimed(agent)
	if name != "Googlebot" || !ok {
		t.Fatalf("claimed = %q, %v", name, ok)
	}
	// The same agent from an address of nobody's: it is none.
	d := &dns{names: map[string][]string{"198.51.100.7": {"host.example."}}}
	if _, err := verify(t, newVerifier(t, crawler.Config{Resolver: d}), "198.51.100.7"); !errors.Is(err, crawler.ErrNot) {
		t.Errorf("who claims to be Googlebot: %v, want ErrNot", err)
	}
	for agent, want := range map[string]string{
		"Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)":                    "Bingbot",
		"Mozilla/5.0 (compatible; Baiduspider-render/2.0; +http://www.baidu.com/search/spider.html)": "Baiduspider",
		"Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)":                           "YandexBot",
		"Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)":        "Yahoo! Slurp",
		"Sogou web spider/4.0(+http://www.sogou.com/docs/help/webmasters.htm#07)":                    "Sogou",
		"facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)":                  "Facebook",
		"DuckDuckBot/1.1; (+http://duckduckgo.com/duckduckbot.html)":                                 "DuckDuckBot",
		"GOOGLEBOT": "Googlebot",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36": "", "": "", "-": "", strings.Repeat("x", 70_000) + "googlebot": "",
	} {
		if got, ok := crawler.Claimed(agent); got != want || ok != (want != "") {
			t.Errorf("%.80q claims to be %q, want %q", agent, got, want)
		}
	}
	for name, want := range map[string]bool{"Googlebot": true, "Sogou": true, "Facebook": false, "DuckDuckBot": false, "nobody": false, "": false} {
		if crawler.Provable(name) != want {
			t.Errorf("Provable(%q) = %v", name, !want)
		}
	}
}

func TestAVerifierNeedsItsParts(t *testing.T) {
	for name, c := range map[string]crawler.Config{
		"no resolver":          {Clock: time.Now},
		"no clock":             {Resolver: &dns{}},
		"a negative timeout":   {Resolver: &dns{}, Clock: time.Now, Timeout: -1},
		"negative concurrency": {Resolver: &dns{}, Clock: time.Now, Concurrent: -1},
		"a negative memory":    {Resolver: &dns{}, Clock: time.Now, Remember: -1},
	} {
		if _, err := crawler.New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func BenchmarkVerifyFromMemory(b *testing.B) {
	v := newVerifier(b, crawler.Config{Resolver: &dns{}})
	addr := netip.MustParseAddr("198.51.100.7")
	_, _ = v.Verify(b.Context(), addr)
	for b.Loop() {
		_, _ = v.Verify(b.Context(), addr)
	}
}

func BenchmarkClaimedLongAgent(b *testing.B) {
	agent := strings.Repeat("googlebo", 8<<10)
	for b.Loop() {
		crawler.Claimed(agent)
	}
}
