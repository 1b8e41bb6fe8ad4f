package feeds

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"github.com/tracewall/tracewall/shared/endpoint"
	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/threat"
)

const (
	maxRedirects  = 3
	dialWithin    = 10 * time.Second
	headersWithin = 30 * time.Second
)

// newClient makes a client that goes where the feed's entry allows and nowhere else.
func newClient(f threatintel.Feed) *http.Client {
	own := ""
	if u, err := url.Parse(f.URL); err == nil {
		own = u.Hostname()
	}
	t := endpoint.Transport(1, 10*time.Second)
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	t.TLSHandshakeTimeout, t.ResponseHeaderTimeout = dialWithin, headersWithin
	t.DisableCompression = true
	t.MaxResponseHeaderBytes = 64 << 10
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(address)
		ours := host == own
		d := net.Dialer{Timeout: dialWithin, Control: func(_, address string, _ syscall.RawConn) error {
			// Here the name is resolved: whoever answers for it cannot point us elsewhere any more.
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("%w: not an address", threatintel.ErrRedirected)
			}
			return mayReach(ap.Addr(), ours && threatintel.OnThisMachine(host), ours && f.Private)
		}}
		return d.DialContext(ctx, network, address)
	}
	return &http.Client{Transport: t, CheckRedirect: func(req *http.Request, via []*http.Request) error { return mayFollow(f, req.URL, via) }}
}

// mayReach tells whether a connection to addr may be made: loopback and private networks only where the feed's own URL
// and entry say so, link-local addresses, where clouds keep their metadata, never.
func mayReach(addr netip.Addr, loopback, private bool) error {
	addr = addr.Unmap()
	switch _, err := threat.Address(addr); {
	case err == nil, loopback && addr.IsLoopback(), private && addr.IsPrivate():
		return nil
	}
	return fmt.Errorf(`%w: its server's address is not public (if that is meant, say "private":true in its entry)`, threatintel.ErrRedirected)
}

// mayFollow tells whether a redirect may be followed: to what CheckURL takes, never from https to http, and with a secret only
// within the feed's own host. Headers with a secret are sent along by the client only there, too.
func mayFollow(f threatintel.Feed, to *url.URL, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: more than %d redirects", threatintel.ErrRedirected, maxRedirects)
	}
	first, last := via[0].URL, via[len(via)-1].URL
	switch {
	case threatintel.CheckURL(to.String()) != nil, to.Scheme != last.Scheme:
		return fmt.Errorf("%w: a redirect that leaves https", threatintel.ErrRedirected)
	case f.Auth != "" && to.Host != first.Host:
		return fmt.Errorf("%w: a redirect to another host, and the request holds a secret", threatintel.ErrRedirected)
	case threatintel.OnThisMachine(to.Hostname()) && to.Host != first.Host:
		return fmt.Errorf("%w: a redirect to this machine", threatintel.ErrRedirected)
	}
	return nil
}
