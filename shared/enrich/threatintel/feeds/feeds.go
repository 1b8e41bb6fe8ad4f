// Package feeds fetches threat intelligence over HTTPS: one GET for a list, the requests of TAXII 2.1 for a collection.
//
// The operator names the servers, but what they answer, and where they send us, is theirs. So
//
//   - where (reach.go): https, or this machine; never to a private address, the cloud's metadata service above all, unless
//     the feed's entry says that its own server has one; a redirect cannot go where the feed's own URL could not;
//   - how much (body.go): bytes on the wire and after decompression, pages, and time are bounded;
//   - how whole: a body that ends early, in whatever layer, is an error and no shorter list.
//
// Secrets travel in headers, to the feed's own host only. No error holds a URL: it may hold a key.
package feeds

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/endpoint"
	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/formats"
	"github.com/tracewall/tracewall/shared/secret"
)

// Limits bound one feed. The zero value of a field stands for its default.
type Limits struct {
	Time  time.Duration // for everything; default 1 minute
	Wire  int64         // bytes that come, of all pages together; default 64 MB
	Plain int64         // bytes after decompression, of all pages together; default 256 MB
	Pages int           // of a TAXII collection; default 1,000
}

func (l Limits) orDefault() Limits {
	if l.Time == 0 {
		l.Time = time.Minute
	}
	if l.Wire == 0 {
		l.Wire = 64 << 20
	}
	if l.Plain == 0 {
		l.Plain = 256 << 20
	}
	if l.Pages == 0 {
		l.Pages = 1000
	}
	return l
}

// Client fetches feeds. It is safe for concurrent use and keeps no connections between fetches.
type Client struct {
	secrets map[string]secret.Secret
	limits  Limits
	now     func() time.Time
}

// New makes a Client. secrets are those that feeds name (Feed.Secret). now is the clock by which entries with an end are
// judged.
func New(secrets map[string]secret.Secret, limits Limits, now func() time.Time) *Client {
	return &Client{secrets: secrets, limits: limits.orDefault(), now: now}
}

// Known is what a server said about the list that we have, so that it need not send it again.
type Known struct {
	ETag         string
	LastModified string
}

// Fetched is what a fetch brought.
type Fetched struct {
	Unchanged bool // the server says that Known is still its list; there is no Arrival
	Arrival   threatintel.Arrival
	Known     Known // for the next time
}

// Fetch fetches one feed and reads it. Whether it is believable is for threatintel.Judge. Every error has a word of
// threatintel.Problem.
func (c *Client) Fetch(ctx context.Context, f threatintel.Feed, known Known) (Fetched, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.Time)
	defer cancel()
	visit, err := c.visit(f)
	if err != nil {
		return Fetched{}, err
	}
	defer visit.client.CloseIdleConnections()
	if f.Format == threatintel.TAXII {
		arrival, err := visit.taxii(ctx)
		return Fetched{Arrival: arrival}, err
	}
	return visit.list(ctx, known)
}

// visit is one fetch of one feed: its requests share bounds.
type visit struct {
	feed   threatintel.Feed
	secret secret.Secret
	client *http.Client
	limits Limits
	now    func() time.Time
	wire   int64 // bytes left
	plain  int64
}

func (c *Client) visit(f threatintel.Feed) (*visit, error) {
	v := &visit{feed: f, client: newClient(f), limits: c.limits, now: c.now, wire: c.limits.Wire, plain: c.limits.Plain}
	if f.Auth != "" {
		var ok bool
		if v.secret, ok = c.secrets[f.Secret]; !ok || v.secret == "" {
			return nil, fmt.Errorf("%w: FEED_SECRETS has no %q", threatintel.ErrDenied, f.Secret)
		}
	}
	return v, nil
}

// list fetches a feed that is one document.
func (v *visit) list(ctx context.Context, known Known) (Fetched, error) {
	header := http.Header{"Accept": {"*/*"}}
	if known.ETag != "" {
		header.Set("If-None-Match", known.ETag)
	}
	if known.LastModified != "" {
		header.Set("If-Modified-Since", known.LastModified)
	}
	res, err := v.get(ctx, v.feed.URL, header)
	if err != nil {
		return Fetched{}, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNotModified {
		if known == (Known{}) {
			return Fetched{}, fmt.Errorf("%w: it says that nothing has changed, to somebody who has nothing", threatintel.ErrUnreachable)
		}
		return Fetched{Unchanged: true, Known: known}, nil
	}
	body, err := v.body(res)
	if err != nil {
		return Fetched{}, err
	}
	arrival, err := formats.Read(v.feed, v.now(), body)
	if err == nil {
		err = body.whole(v.feed.Format)
	}
	if err != nil {
		return Fetched{}, bare(err)
	}
	return Fetched{Arrival: arrival, Known: Known{ETag: header1(res, "ETag"), LastModified: header1(res, "Last-Modified")}}, nil
}

// header1 returns a header that is sent back the next time; one that is too long is left out.
func header1(res *http.Response, name string) string {
	if value := res.Header.Get(name); len(value) <= 200 {
		return value
	}
	return ""
}

// get sends one request and returns an answer of status 200, or 304 where header asks for it.
func (v *visit) get(ctx context.Context, url string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("%w: its URL cannot be asked for", threatintel.ErrUnreachable)
	}
	req.Header = header
	req.Header.Set("User-Agent", "tracewall (+https://github.com/tracewall/tracewall)")
	req.Header.Set("Accept-Encoding", "gzip") // by hand: so that the transport does not undo it unbounded
	v.authorize(req)
	res, err := v.client.Do(req)
	if err != nil {
		return nil, bare(err)
	}
	conditional := header.Get("If-None-Match")+header.Get("If-Modified-Since") != ""
	switch s := res.StatusCode; {
	case s == http.StatusOK, s == http.StatusNotModified && conditional:
		return res, nil
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		err = fmt.Errorf("%w: status %d", threatintel.ErrDenied, s)
	case s == http.StatusNotModified:
		err = fmt.Errorf("%w: it says that nothing has changed, to somebody who has nothing", threatintel.ErrUnreachable)
	case s >= 300 && s < 400:
		err = fmt.Errorf("%w: status %d", threatintel.ErrRedirected, s)
	default:
		err = fmt.Errorf("%w: status %d", threatintel.ErrUnreachable, s)
	}
	_ = res.Body.Close()
	return nil, err
}

// authorize puts the secret where the feed's entry says.
func (v *visit) authorize(req *http.Request) {
	switch kind, name, _ := strings.Cut(v.feed.Auth, " "); kind {
	case "basic":
		user, password, _ := strings.Cut(v.secret.Reveal(), ":")
		req.SetBasicAuth(user, password)
	case "bearer":
		req.Header.Set("Authorization", "Bearer "+v.secret.Reveal())
	case "header":
		req.Header.Set(name, v.secret.Reveal())
	}
}

// bare gives an error of a request or of reading a body the word it needs, takes the URL out and bounds it.
func bare(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: it was not there in time", threatintel.ErrUnreachable)
	}
	err = endpoint.Bare(err)
	if threatintel.Problem(err) != "other" {
		return err
	}
	return fmt.Errorf("%w: %s", threatintel.ErrUnreachable, endpoint.Line(err.Error(), 200))
}
