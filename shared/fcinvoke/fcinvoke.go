// Package fcinvoke asks Alibaba Function Compute to run another function, without
// waiting for it.
//
// It is the one call that the webhook makes, so it is built for a caller with two
// seconds to live: each try has its own short timeout, there is at most one more try,
// and every failure comes back as one of four sentinels that each mean one decision.
// A try whose answer is lost may have been taken: the event can arrive twice, and the
// function that it starts must bear that (asynchronous events are at-least-once anyway).
//
// The request goes through darabonba's generic call, which signs it with
// ACS3-HMAC-SHA256. Function Compute's own generated SDK is not to be had from the Go
// module proxy, and the generic call does what is needed: it was read on the wire that
// a body handed over as a stream arrives unchanged, that every x-acs- header is
// signed, and that an answer without a body is no error. It adds 2 MB to a binary.
package fcinvoke

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	"github.com/alibabacloud-go/tea/dara"

	"github.com/tracewall/tracewall/shared/endpoint"
	"github.com/tracewall/tracewall/shared/secret"
)

// Each sentinel means one decision.
var (
	// ErrDenied: the credentials are missing, wrong or lack fc:InvokeFunction. Trying again does not help; somebody must look.
	ErrDenied = errors.New("function compute denied the call")
	// ErrRefused: the call itself is wrong, say a function that does not exist. Trying again does not help either.
	ErrRefused = errors.New("function compute refused the call")
	// ErrThrottled: too many calls at the moment. Try again later.
	ErrThrottled = errors.New("function compute throttled the call")
	// ErrUnavailable: no answer, or an error of the service. Try again; the event may have been taken.
	ErrUnavailable = errors.New("function compute is unavailable")
)

const (
	apiVersion = "2023-03-30"
	// maxPayload is Function Compute's limit for an asynchronous event (256 KB only on request).
	maxPayload = 128 << 10
	// maxAnswer bounds what is read of an answer: an acceptance is empty, an error short.
	maxAnswer = 16 << 10

	defaultTry = 700 * time.Millisecond // two of them and the pause fit in the 2 s that the webhook has
	maxTry     = 1500 * time.Millisecond
	minPause   = 50 * time.Millisecond
)

// Identity is who calls, from the context of the invocation in which the call is made.
type Identity struct {
	AccountID     string
	Region        string
	AccessKeyID   string
	AccessKey     secret.Secret
	SecurityToken secret.Secret
}

// Config describes a Client.
type Config struct {
	// Endpoint is "https://host" to be used instead of the public endpoint of the
	// caller's account and region; plain http only on this machine, since the security
	// token travels with each call.
	Endpoint string
	// Identity is asked before each try: Function Compute hands fresh credentials
	// with each invocation, and those of the process's start end after 36 hours.
	Identity func(context.Context) (Identity, error)
	// Try bounds one try, at most 1.5 s; 0 is 700 ms.
	Try time.Duration
	// Transport is for tests; nil is a plain one without a proxy.
	Transport http.RoundTripper
}

// Client asks Function Compute to run functions. It is safe for concurrent use.
type Client struct {
	cfg      Config
	protocol string
	host     string // "" is the public endpoint
	http     *http.Client
}

// New checks cfg and returns a Client. It makes no call.
func New(cfg Config) (*Client, error) {
	if cfg.Identity == nil {
		return nil, errors.New("function compute client: no identity")
	}
	if cfg.Try == 0 {
		cfg.Try = defaultTry
	}
	if cfg.Try < 0 || cfg.Try > maxTry {
		return nil, fmt.Errorf("function compute client: try %s: want at most %s", cfg.Try, maxTry)
	}
	c := &Client{cfg: cfg, protocol: "https"}
	if cfg.Endpoint != "" {
		var err error
		if c.protocol, c.host, err = endpoint.Parse(cfg.Endpoint); err != nil {
			return nil, fmt.Errorf("function compute client: %w", err)
		}
	}
	if cfg.Transport == nil {
		cfg.Transport = endpoint.Transport(4, time.Minute)
	}
	c.http = endpoint.Client(cfg.Transport)
	return c, nil
}

// CheckEndpoint tells what is wrong with an endpoint, if anything.
func CheckEndpoint(text string) error { return endpoint.Check(text) }

// functionName is what may stand in the path: Function Compute's rule for names.
var (
	functionName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,63}$`)
	accountID    = regexp.MustCompile(`^[0-9]{1,20}$`)
	regionID     = regexp.MustCompile(`^[a-z]{2,3}(-[a-z0-9]{1,20}){1,3}$`)
)

// CheckFunction tells what is wrong with a function's name, if anything.
func CheckFunction(name string) error {
	if !functionName.MatchString(name) {
		return fmt.Errorf("function %.80q: want a letter or _ and then up to 63 letters, digits, - or _", name)
	}
	return nil
}

// InvokeAsync asks Function Compute to run function with payload soon, and returns the request's id.
// It tries once more after a throttled or unanswered try if ctx leaves time for
// that. Errors wrap one of the package's sentinels, or ctx's error.
func (c *Client) InvokeAsync(ctx context.Context, function string, payload []byte) (requestID string, err error) {
	if err := CheckFunction(function); err != nil {
		return "", fmt.Errorf("invoke: %w: %w", ErrRefused, err)
	}
	if len(payload) > maxPayload {
		return "", fmt.Errorf("invoke %s: %w: event of %d bytes, the limit is %d", function, ErrRefused, len(payload), maxPayload)
	}
	requestID, err = c.try(ctx, function, payload)
	if errors.Is(err, ErrThrottled) || errors.Is(err, ErrUnavailable) {
		if pause(ctx) {
			requestID, err = c.try(ctx, function, payload)
		}
	}
	if err != nil {
		return "", fmt.Errorf("invoke %s: %w", function, err)
	}
	return requestID, nil
}

// pause waits 50 to 150 ms, so that callers who were throttled together do not come
// back together. It reports whether there is still time for a try.
func pause(ctx context.Context) bool {
	wait := minPause + rand.N(2*minPause)
	return endpoint.Outlasts(ctx, wait+minPause) && endpoint.Wait(ctx, wait) == nil
}

func (c *Client) try(ctx context.Context, function string, payload []byte) (requestID string, err error) {
	id, err := c.cfg.Identity(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: credentials: %w", ErrDenied, err)
	}
	if id.AccessKeyID == "" || id.AccessKey == "" {
		return "", fmt.Errorf("%w: no credentials: give the function a role", ErrDenied)
	}
	host := c.host
	if host == "" {
		if !accountID.MatchString(id.AccountID) || !regionID.MatchString(id.Region) {
			return "", fmt.Errorf("%w: no account or region in the invocation's context", ErrRefused)
		}
		host = id.AccountID + "." + id.Region + ".fc.aliyuncs.com"
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Try)
	defer cancel()

	wire := &wire{http: c.http}
	client, err := openapi.NewClient(&openapiutil.Config{ // no connection, only settings: cheap enough for each try
		AccessKeyId:     dara.String(id.AccessKeyID),
		AccessKeySecret: dara.String(id.AccessKey.Reveal()),
		SecurityToken:   dara.String(id.SecurityToken.Reveal()),
		Endpoint:        dara.String(host),
		Protocol:        dara.String(c.protocol),
		UserAgent:       dara.String("tracewall"),
		HttpClient:      wire,
	})
	if err != nil {
		return "", fmt.Errorf("%w: signer: %w", ErrDenied, err)
	}
	_, err = client.CallApiWithCtx(ctx, &openapiutil.Params{
		Action:      dara.String("InvokeFunction"),
		Version:     dara.String(apiVersion),
		Protocol:    dara.String(c.protocol),
		Pathname:    dara.String("/" + apiVersion + "/functions/" + function + "/invocations"),
		Method:      dara.String(http.MethodPost),
		AuthType:    dara.String("AK"),
		Style:       dara.String("ROA"),
		ReqBodyType: dara.String("binary"),
		BodyType:    dara.String("byte"),
	}, &openapiutil.OpenApiRequest{
		Headers: map[string]*string{"x-fc-invocation-type": dara.String("Async")},
		Stream:  bytes.NewReader(payload),
	}, &dara.RuntimeOptions{})
	return wire.requestID, verdict(ctx, wire, err)
}

// verdict turns the outcome of a try into a sentinel. It goes by what the wire saw
// and not by the SDK's error types: those hide the status whenever an error's body is not the expected
// JSON, as from a gateway on the way. The SDK's text is left out for the same
// reason, and because a service may repeat parts of the request in it.
func verdict(ctx context.Context, w *wire, err error) error {
	switch {
	case w.status == http.StatusAccepted:
		return nil
	case w.status == 0 && errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%w: %w", ErrUnavailable, context.Canceled)
	case w.status == 0 && w.err != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, w.err)
	case w.status == 0:
		return fmt.Errorf("%w: the request could not be made: %w", ErrRefused, err)
	case w.status == http.StatusUnauthorized, w.status == http.StatusForbidden:
		return fmt.Errorf("%w: %s", ErrDenied, w)
	case w.status == http.StatusTooManyRequests:
		return fmt.Errorf("%w: %s", ErrThrottled, w)
	case w.status >= 400 && w.status < 500, w.status < 400:
		return fmt.Errorf("%w: %s", ErrRefused, w)
	default:
		return fmt.Errorf("%w: %s", ErrUnavailable, w)
	}
}

// wire carries darabonba's requests and remembers what came back. One serves one try.
type wire struct {
	http      *http.Client
	status    int
	code      string
	requestID string
	err       error
}

// Call implements darabonba's HttpClient. The transport that darabonba offers is
// left alone: it makes a new one for each call, with its own idea of proxies.
func (w *wire) Call(r *http.Request, _ *http.Transport) (*http.Response, error) {
	resp, err := w.http.Do(r)
	if err != nil {
		w.err = unnamed{err, r.URL.Hostname()}
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		w.err = unnamed{err, r.URL.Hostname()}
		return nil, err
	}
	w.status = resp.StatusCode
	w.requestID = printable(resp.Header.Get("x-fc-request-id"))
	w.code = errorCode(body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// String describes an answer for an error: status, code and request id, nothing else of the body.
func (w *wire) String() string {
	text := fmt.Sprintf("status %d", w.status)
	if w.code != "" {
		text += " " + w.code
	}
	if w.requestID != "" {
		text += ", request " + w.requestID
	}
	return text
}
