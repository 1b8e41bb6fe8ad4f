// Package sls asks Alibaba Cloud's Log Service (SLS) questions and believes only
// whole answers. It stands on aliyun-log-go-sdk for requests, signatures and
// decoding, and adds what a system that blocks people needs:
//
//   - a context's deadline and cancellation, which the SDK does not know;
//   - a query repeated until the service says Complete. An answer that is still
//     partial, cut at its LIMIT or computed over a part of the lines is
//     ErrIncomplete and comes without rows: a missing row looks exactly like an
//     innocent address, and a missing window like a quiet night;
//   - throttling and network errors retried, with jitter, up to the deadline, and
//     everything that a retry cannot cure returned at once;
//   - errors that mean one decision each (ErrDenied, ErrNotFound …) and that carry
//     no key, no token and no signature.
//
// Query text never comes from outside: callers pass rules that they have loaded.
package sls

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"time"

	"github.com/tracewall/tracewall/shared/endpoint"
)

// Credentials sign a request. Token is empty for a long-lived key.
type Credentials struct {
	AccessKeyID     string
	AccessKeySecret string
	SecurityToken   string
}

// String keeps the secrets out of every %v.
func (Credentials) String() string { return "[redacted]" }

// GoString keeps the secrets out of every %#v.
func (Credentials) GoString() string { return "[redacted]" }

// Config says which project to talk to and how.
type Config struct {
	// Endpoint is the service's host without the project: cn-hangzhou.log.aliyuncs.com,
	// or its -intranet form inside the region. Without a scheme it means https. An
	// IP address with a port (http://127.0.0.1:8080) is a Log Service on a laptop:
	// requests name the host <project>.sls.localhost and go to that address.
	Endpoint string
	Project  string
	// Region chooses signature version 4, for which it is needed. Empty: version 1.
	Region string
	// Credentials is asked for every single request: on Function Compute the keys
	// come with each invocation and go stale after it.
	Credentials func(context.Context) (Credentials, error)
	// HTTPClient lends its Transport; its Timeout is not used, the context's
	// deadline is. nil: a transport of the Client's own.
	HTTPClient *http.Client
	// PowerSQL uses dedicated SQL: 100 queries at once and 2 GB scanned per shard
	// instead of 15 and 400 MB. It is billed by CPU time.
	PowerSQL bool
	// UserAgent is what the service's own audit log calls us. Empty: "tracewall".
	UserAgent string
}

// Times that bound a call.
const (
	defaultDeadline = 2 * time.Minute        // for a context that brings none
	attemptTimeout  = 65 * time.Second       // SLS gives up on a query after 55 s
	backoffFirst    = 200 * time.Millisecond // doubled each time, with jitter
	backoffMost     = 5 * time.Second
)

// Client talks to one project. It is safe for concurrent use.
type Client struct {
	project   string
	endpoint  string // as the SDK wants it: scheme://host
	region    string
	creds     func(context.Context) (Credentials, error)
	base      http.RoundTripper
	powerSQL  bool
	userAgent string
}

// projectName is what SLS allows: 3 to 63 lower-case letters, digits and hyphens.
var projectName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)

// New checks the configuration, all of it, and returns a Client. It makes no call.
func New(c Config) (*Client, error) {
	var problems []error
	if !projectName.MatchString(c.Project) {
		problems = append(problems, fmt.Errorf("project %q: want 3 to 63 lower-case letters, digits and hyphens", c.Project))
	}
	if c.Credentials == nil {
		problems = append(problems, errors.New("credentials: want a function that returns them"))
	}
	service, dial, err := parseEndpoint(c.Endpoint)
	if err != nil {
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("log service client: %w", err)
	}
	if c.UserAgent == "" {
		c.UserAgent = "tracewall"
	}
	return &Client{
		project: c.Project, endpoint: service, region: c.Region, creds: c.Credentials,
		base: transport(c.HTTPClient, dial), powerSQL: c.PowerSQL, userAgent: c.UserAgent,
	}, nil
}

// Close lets go of idle connections.
func (c *Client) Close() {
	if t, ok := c.base.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// parseEndpoint returns the endpoint for the SDK, which puts "<project>." in
// front of its host, and the address to dial when that host is not a name.
func parseEndpoint(text string) (service, dial string, err error) {
	at, err := endpoint.ParseHost(text)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("endpoint: %w: want a host such as cn-hangzhou.log.aliyuncs.com, or http://IP:PORT", err)
	case at.IP.IsValid():
		return "http://sls.localhost", at.Host, nil
	default:
		return at.Scheme + "://" + at.Host, "", nil
	}
}

// transport returns the RoundTripper for all calls. A client that is handed in
// keeps its transport; only the address to dial is replaced, on a copy.
func transport(given *http.Client, dial string) http.RoundTripper {
	var t *http.Transport
	switch {
	case given == nil || given.Transport == nil:
		t = http.DefaultTransport.(*http.Transport).Clone()
		// SLS closes idle connections after 60 s.
		t.IdleConnTimeout = 50 * time.Second
		t.MaxIdleConnsPerHost = 16
	default:
		own, ok := given.Transport.(*http.Transport)
		if !ok || dial == "" {
			return given.Transport
		}
		t = own.Clone()
	}
	if dial != "" {
		t.Proxy = nil
		dialer := &net.Dialer{Timeout: 10 * time.Second}
		t.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, dial)
		}
	}
	return t
}
