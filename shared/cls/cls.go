// Package cls asks Tencent Cloud's Cloud Log Service (CLS) questions and believes
// only whole answers. It stands on the common part of tencentcloud-sdk-go for
// requests and signatures (TC3-HMAC-SHA256), calls SearchLog of 2020-10-16, and
// makes the promises that package sls makes for Alibaba Cloud's Log Service, so
// that a rule does not notice which of the two it runs on:
//
//   - a context's deadline and cancellation bound every call;
//   - an answer that was cut, sampled, or computed over a part of the lines is
//     ErrIncomplete and comes without rows: a missing row looks exactly like an
//     innocent address, and a missing window like a quiet night;
//   - throttling and network errors are retried, with jitter, up to the deadline;
//     what a retry cannot cure is returned at once;
//   - errors mean one decision each (ErrDenied, ErrNotFound …) and carry no key, no
//     token and no signature.
//
// Where the two services differ, the difference is kept here or in a rule's
// dialect: CLS gives at most 10,000 rows at once, which Query asks for page by
// page and checks for gaps (pages.go); it answers numbers as numbers and NULL as
// null, which become text and "null" (rows.go); its errors come with HTTP 200.
//
// What no document says is treated as the careful case and marked UNVERIFIED.
//
// Query text never comes from outside: callers pass rules that they have loaded.
package cls

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/tracewall/tracewall/shared/endpoint"
	"github.com/tracewall/tracewall/shared/secret"
)

// Credentials sign a request. Token is empty for a long-lived key.
type Credentials struct {
	SecretID         string
	SecretKey, Token secret.Secret
}

// String keeps the secrets out of every %v.
func (Credentials) String() string { return "[redacted]" }

// GoString keeps the secrets out of every %#v.
func (Credentials) GoString() string { return "[redacted]" }

// Config says which CLS to talk to and how.
type Config struct {
	// Region is where the topics are: ap-guangzhou.
	Region string
	// Endpoint is the service's host. Empty: cls.tencentcloudapi.com. Accounts of the
	// international site may use cls.intl.tencentcloudapi.com, machines inside Tencent
	// Cloud cls.internal.tencentcloudapi.com. Without a scheme it means https; http is
	// for a loopback address with a port only, which is a CLS on a laptop.
	Endpoint string
	// Credentials is asked for every single request: temporary ones go stale.
	Credentials func(context.Context) (Credentials, error)
	// Transport carries the requests; nil: a transport of the Client's own.
	Transport http.RoundTripper
}

// DefaultEndpoint is the public host of the service.
const DefaultEndpoint = "cls.tencentcloudapi.com"

// Times that bound a call.
const (
	defaultDeadline = 2 * time.Minute        // for a context that brings none
	attemptTimeout  = 65 * time.Second       // how long CLS computes is UNVERIFIED; it then answers SearchTimeout
	backoffFirst    = 200 * time.Millisecond // doubled each time, with jitter
	backoffMost     = 5 * time.Second
)

// Client talks to one region. It is safe for concurrent use.
type Client struct {
	region       string
	scheme, host string
	creds        func(context.Context) (Credentials, error)
	base         http.RoundTripper
}

var regionName = regexp.MustCompile(`^[a-z]+(-[a-z0-9]+){1,4}$`)

// New checks the configuration, all of it, and returns a Client. It makes no call.
func New(c Config) (*Client, error) {
	var problems []error
	if !regionName.MatchString(c.Region) {
		problems = append(problems, fmt.Errorf("region %.40q: want one such as ap-guangzhou", c.Region))
	}
	if c.Credentials == nil {
		problems = append(problems, errors.New("credentials: want a function that returns them"))
	}
	scheme, host, err := ParseEndpoint(c.Endpoint)
	if err != nil {
		problems = append(problems, err)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("cls client: %w", err)
	}
	if c.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 16
		if scheme == "http" {
			t.Proxy = nil
		}
		c.Transport = t
	}
	return &Client{region: c.Region, scheme: scheme, host: host, creds: c.Credentials, base: c.Transport}, nil
}

// Close lets go of idle connections.
func (c *Client) Close() {
	if t, ok := c.base.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// ParseEndpoint reads a host, or an http or https URL that is no more than a host,
// and returns its scheme and its host with the port if there is one. Empty is
// DefaultEndpoint. Plain http is refused but for a loopback address: a request
// carries a signature that is good for five minutes, and the answer log lines.
// The text is never repeated in an error, since a URL may hold a password.
func ParseEndpoint(text string) (scheme, host string, err error) {
	if text == "" {
		text = DefaultEndpoint
	}
	at, err := endpoint.ParseHost(text)
	if err == nil && at.Scheme == "http" && !at.IP.IsLoopback() {
		err = errors.New("http is for a loopback address only")
	}
	if err != nil {
		return "", "", fmt.Errorf("endpoint: %w: want a host such as %s, or http://127.0.0.1:PORT on a laptop", err, DefaultEndpoint)
	}
	return at.Scheme, at.Host, nil
}
