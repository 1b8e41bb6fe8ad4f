package cls

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"github.com/tracewall/tracewall/shared/endpoint"
)

// Bounds on what we let a service, or somebody who speaks in its place, make us hold.
const (
	maxAnswer      = 64 << 20 // bytes after decompression; an answer has at most 49 MB (SearchLog, API reference)
	maxErrorAnswer = 64 << 10
)

// exchange is one request to the service. It stands in for the SDK's transport,
// so that every answer is bounded and everything but HTTP 200 is an error that
// the SDK neither retries nor follows: a signed request is for one host only.
type exchange struct {
	ctx  context.Context
	base http.RoundTripper
	used Credentials // what signed the request, to keep it out of error texts
	err  error       // why no answer came
}

// RoundTrip implements http.RoundTripper.
func (x *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := x.base.RoundTrip(r)
	if err != nil {
		x.err = err
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorAnswer)) // half an error text is better than none
		var answer struct {
			Response struct {
				Error     struct{ Code, Message string }
				RequestID string `json:"RequestId"`
			}
		}
		_ = json.Unmarshal(body, &answer) // a proxy's page has no code; its status says enough
		x.err = refusal(answer.Response.Error.Code, answer.Response.Error.Message, answer.Response.RequestID, resp.StatusCode, x.used)
		return nil, x.err
	}
	if resp.Header.Get("Content-Encoding") != "" {
		// The transport has undone what it asked for; the SDK would undo the rest, without a bound.
		resp.Body.Close()
		x.err = &failure{kind: ErrUnavailable, text: "answer is in an encoding that nobody asked for"}
		return nil, x.err
	}
	// The SDK would take other types for a stream of events, or would not look for errors.
	resp.Header.Set("Content-Type", "application/json")
	tooLarge := &failure{kind: ErrIncomplete, text: fmt.Sprintf("answer larger than %d bytes", maxAnswer), truncated: true}
	resp.Body = endpoint.Bound(resp.Body, maxAnswer, tooLarge, func(err error) { x.err = err })
	return resp, nil
}

// do makes one call of SearchLog and returns its answer, or a classified error.
func (c *Client) do(ctx context.Context, parameters map[string]any) (*answer, error) {
	attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	used, err := c.creds(attempt)
	if err == nil && (used.SecretID == "" || used.SecretKey == "") {
		err = errors.New("empty secret id or key")
	}
	if err != nil {
		return nil, &failure{kind: ErrDenied, cause: err, text: "credentials: " + endpoint.Line(err.Error(), maxMessage)}
	}
	x := &exchange{ctx: attempt, base: c.base, used: used}
	settings := profile.NewClientProfile()
	settings.HttpProfile.Scheme, settings.HttpProfile.Endpoint = c.scheme, c.host
	settings.HttpProfile.ReqTimeout = 0 // the context bounds the call
	settings.Language = "en-US"
	client := (&common.Client{}).Init(c.region).
		WithCredential(common.NewTokenCredential(used.SecretID, used.SecretKey.Reveal(), used.Token.Reveal())).
		WithProfile(settings).WithHttpTransport(x)
	request := tchttp.NewCommonRequest("cls", "2020-10-16", "SearchLog")
	request.SetContext(attempt)
	if err := request.SetActionParameters(parameters); err != nil {
		return nil, classify(ctx, err, used)
	}
	got := &answer{BaseResponse: &tchttp.BaseResponse{}}
	err = client.Send(request, got)
	switch {
	case err == nil:
		return got, nil
	case x.err != nil:
		err = x.err
	}
	return nil, classify(ctx, err, used)
}

// retry repeats step until it succeeds, fails for good, or the deadline would
// pass before the next try. The last error is returned, but for a deadline that
// passes in the middle of a try: what the service said before says more.
func retry(ctx context.Context, step func() error) error {
	var last error
	for pause := backoffFirst; ; pause = min(2*pause, backoffMost) {
		err := ctx.Err()
		if err == nil {
			err = step()
		}
		if err != nil && ctx.Err() != nil {
			return cmp.Or(last, classify(ctx, err, Credentials{}))
		}
		last = err
		if err == nil || !retryable(err) && !errors.Is(err, errAgain) {
			return err
		}
		// Half fixed, half random: callers that were throttled together do not come back together.
		if !endpoint.Pause(ctx, pause/2+rand.N(pause/2)) {
			return err
		}
	}
}
