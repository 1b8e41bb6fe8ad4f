package sls

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	sdk "github.com/aliyun/aliyun-log-go-sdk"

	"github.com/tracewall/tracewall/shared/endpoint"
)

// Bounds on what we let a service, or somebody who speaks in its place, make us hold.
const (
	maxAnswer      = 512 << 20 // bytes on the wire; SLS's default result limit is 100 MB
	maxRawAnswer   = 1 << 30   // bytes after decompression
	maxErrorAnswer = 64 << 10
)

// exchange is one request to the service. The SDK takes no context and has a
// retry loop of its own that sleeps without looking at one; exchange stands in
// for its transport and credentials, binds both to a context, and turns every
// answer but 200 into an error that the SDK does not retry (a redirect too: a
// signed request is for one host only). A fresh SDK client is
// made for each exchange: it is a small struct, connections live in base.
type exchange struct {
	ctx    context.Context
	base   http.RoundTripper
	creds  func(context.Context) (Credentials, error)
	used   Credentials // what signed the request, to keep it out of error texts
	answer *sdk.Error  // what the service answered, unless 200
	err    error       // why no answer came
}

// GetCredentials implements the SDK's CredentialsProvider.
func (x *exchange) GetCredentials() (sdk.Credentials, error) {
	c, err := x.creds(x.ctx)
	if err == nil && (c.AccessKeyID == "" || c.AccessKeySecret == "") {
		err = errors.New("empty access key")
	}
	if err != nil {
		x.err = &failure{kind: ErrDenied, cause: err, text: "credentials: " + endpoint.Line(err.Error(), maxMessage)}
		return sdk.Credentials{}, err
	}
	x.used = c
	return sdk.Credentials{AccessKeyID: c.AccessKeyID, AccessKeySecret: c.AccessKeySecret, SecurityToken: c.SecurityToken}, nil
}

// RoundTrip implements http.RoundTripper.
func (x *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := x.base.RoundTrip(r.Clone(x.ctx))
	if err != nil {
		x.err = err
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorAnswer)) // half an error text is better than none
		x.answer = x.readError(resp, body)
		return nil, x.answer
	}
	if raw := resp.Header.Get("X-Log-Bodyrawsize"); raw != "" {
		// The SDK allocates whatever this header says.
		if n, err := strconv.ParseInt(raw, 10, 64); err != nil || n < 0 || n > maxRawAnswer {
			resp.Body.Close()
			x.err = &failure{kind: ErrIncomplete, text: "answer of " + endpoint.Line(raw, 20) + " bytes is too large", truncated: true}
			return nil, x.err
		}
	}
	tooLarge := &failure{kind: ErrIncomplete, text: fmt.Sprintf("answer larger than %d bytes", maxAnswer), truncated: true}
	resp.Body = endpoint.Bound(resp.Body, maxAnswer, tooLarge, func(err error) { x.err = err })
	return resp, nil
}

// readError makes of a failed answer what the SDK would, and removes our own
// credentials should the service repeat them.
func (x *exchange) readError(resp *http.Response, body []byte) *sdk.Error {
	e := &sdk.Error{}
	if json.Unmarshal(body, e) != nil || e.Code == "" && e.Message == "" {
		e = &sdk.Error{Message: string(bytes.TrimSpace(body))}
	}
	e.HTTPCode = int32(resp.StatusCode)
	e.RequestID = resp.Header.Get("X-Log-Requestid")
	for _, secret := range []string{x.used.AccessKeyID, x.used.AccessKeySecret, x.used.SecurityToken} {
		if secret != "" {
			e.Message = strings.ReplaceAll(e.Message, secret, "[redacted]")
		}
	}
	if errors.Is(kindOf(e), ErrDenied) {
		// Such texts may quote the string to sign and both signatures.
		e.Message, _, _ = strings.Cut(e.Message, "\n")
	}
	return e
}

// do makes one exchange and returns its classified error.
func (c *Client) do(ctx context.Context, call func(sdk.ClientInterface) error) error {
	attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	x := &exchange{ctx: attempt, base: c.base, creds: c.creds}
	client := sdk.CreateNormalInterfaceV2(c.endpoint, x)
	client.SetUserAgent(c.userAgent)
	client.SetHTTPClient(&http.Client{Transport: x})
	if c.region != "" {
		client.SetRegion(c.region)
		client.SetAuthVersion(sdk.AuthV4)
	}
	err := call(client)
	switch {
	case err == nil:
		return nil
	case x.err != nil:
		err = x.err
	}
	return classify(ctx, x.answer, err)
}

// retry repeats step until it succeeds, fails for good, or the deadline would
// pass before the next try. The last error is returned.
func (c *Client) retry(ctx context.Context, step func(ctx context.Context) error) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultDeadline)
		defer cancel()
	}
	for pause := backoffFirst; ; pause = min(2*pause, backoffMost) {
		if err := ctx.Err(); err != nil {
			return classify(ctx, nil, err)
		}
		err := step(ctx)
		if err == nil || !retryable(err) && !errors.Is(err, errAgain) {
			return err
		}
		// Half fixed, half random: callers that were throttled together do not come back together.
		if !endpoint.Pause(ctx, pause/2+rand.N(pause/2)) {
			return err
		}
	}
}
