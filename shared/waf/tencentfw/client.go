package tencentfw

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"
	"golang.org/x/time/rate"

	"github.com/tracewall/tracewall/shared/endpoint"
	"github.com/tracewall/tracewall/shared/waf"
)

// versions says which API of each service is spoken.
var versions = map[string]string{
	"vpc": "2017-03-12",
	"clb": "2018-03-17",
	"waf": "2018-01-25",
}

const (
	callTimeout = 20 * time.Second // per try
	maxTries    = 5                // of one call, while it is throttled; of one that only reads, also while it is not answered
	maxBusy     = 10               // tries of a change while another task of the cloud's holds the object: half a minute in all
	maxAnswer   = 8 << 20          // bytes; the longest page is 100 templates of 20 members, some 300 kB
)

// client makes calls to Tencent Cloud: signed with TC3-HMAC-SHA256, paced, tried again where that is
// safe, and counted.
//
// It tries again what was surely not done (throttled, or the object is held by another task of the
// cloud's) and what only reads. A change without an answer is the caller's to look after: see unsure.
type client struct {
	cfg      Config
	region   string
	scheme   string
	host     string // "": the service's public endpoint
	carrier  http.RoundTripper
	pace     *rate.Limiter
	timeout  time.Duration
	calls    atomic.Int64
	writes   atomic.Int64
	observed atomic.Int64 // the cloud's clock minus ours in seconds, from the last answer that said it
}

func newClient(cfg Config, region string) (*client, error) {
	if cfg.Credentials == nil {
		return nil, errors.New("tencent cloud client: no credentials")
	}
	c := &client{cfg: cfg, region: region, scheme: "https", pace: cfg.Pace, timeout: callTimeout}
	if cfg.Endpoint != "" {
		var err error
		if c.scheme, c.host, err = endpoint.Parse(cfg.Endpoint); err != nil {
			return nil, fmt.Errorf("tencent cloud client: %w", err)
		}
	}
	if c.pace == nil {
		c.pace = NewPace()
	}
	if c.cfg.Sleep == nil {
		c.cfg.Sleep = endpoint.Wait
	}
	if c.cfg.Now == nil {
		c.cfg.Now = time.Now
	}
	carrier := cfg.Transport
	if carrier == nil {
		plain := endpoint.Transport(2, 30*time.Second)
		plain.TLSHandshakeTimeout = 10 * time.Second
		carrier = plain
	}
	c.carrier = bounded{carrier, &c.observed, c.cfg.Now}
	return c, nil
}

// CheckEndpoint tells what is wrong with an endpoint, if anything: the security token travels with each call.
func CheckEndpoint(text string) error { return endpoint.Check(text) }

// Calls implements waf.Metered for whatever embeds the client.
func (c *client) Calls() (calls, writes int) { return int(c.calls.Load()), int(c.writes.Load()) }

// call makes one call and decodes the answer's Response object into out, if that is not nil.
// params are the action's own, as the API documents them. The error wraps a sentinel of package waf.
func (c *client) call(ctx context.Context, service, action string, params map[string]any, out any) error {
	var err error
	for try, busy := 1, 0; ; try++ {
		err = c.once(ctx, service, action, params, out)
		again := try < maxTries && (errors.Is(err, waf.ErrThrottled) || !isWrite(action) && errors.Is(err, waf.ErrUnavailable))
		if isBusy(err) {
			busy++
			again = busy < maxBusy
		}
		if !again || ctx.Err() != nil {
			break
		}
		if waited := c.wait(ctx, try); waited != nil {
			err = errors.Join(waited, err)
			break
		}
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", service, action, err)
	}
	return nil
}

// wait sleeps before the try after this one: half a second, doubled each time up to eight, at random. It does not
// begin to wait for what the deadline will cut off.
func (c *client) wait(ctx context.Context, try int) error {
	d := min(500*time.Millisecond<<min(try-1, 4), 8*time.Second)
	d = d/2 + rand.N(d/2)
	if !endpoint.Outlasts(ctx, d) {
		return waf.ErrOutOfTime
	}
	return c.cfg.Sleep(ctx, d)
}

func (c *client) once(ctx context.Context, service, action string, params map[string]any, out any) error {
	if err := c.turn(ctx); err != nil {
		return err
	}
	creds, err := c.cfg.Credentials(ctx)
	if err != nil {
		return fmt.Errorf("credentials: %w: %w", waf.ErrDenied, err)
	}
	if creds.SecretID == "" || creds.SecretKey == "" {
		return fmt.Errorf("credentials: %w: no secret id or no secret key", waf.ErrDenied)
	}
	callCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request := tchttp.NewCommonRequest(service, versions[service], action)
	if params == nil {
		params = map[string]any{}
	}
	if err := request.SetActionParameters(params); err != nil {
		return fmt.Errorf("%w: %w", waf.ErrInvalid, err)
	}
	request.SetContext(callCtx)
	request.SetHeader(map[string]string{"X-TC-Timestamp": strconv.FormatInt(c.cfg.Now().Unix(), 10)})
	c.calls.Add(1)
	if isWrite(action) {
		c.writes.Add(1)
	}
	answer := &answer{BaseResponse: &tchttp.BaseResponse{}}
	err = c.sender(creds).Send(request, answer)
	switch {
	case err == nil:
		return answer.decode(out)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", waf.ErrUnavailable, ctx.Err())
	case callCtx.Err() != nil:
		// Not the run's deadline: do not let it look like that.
		return fmt.Errorf("%w: no answer within %s", errNoAnswer, c.timeout)
	default:
		return mapError(err)
	}
}

// turn waits for the pace.
func (c *client) turn(ctx context.Context) error {
	if err := c.pace.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("wait for the pace: %w", waf.ErrOutOfTime) // it would be after the deadline
	}
	return nil
}

// sender is the SDK's client for one call. Its own retries are off: it sleeps without looking at the context.
func (c *client) sender(creds Credentials) *common.Client {
	p := profile.NewClientProfile()
	p.Language = "en-US"
	p.HttpProfile.Scheme, p.HttpProfile.Endpoint, p.HttpProfile.ReqTimeout = c.scheme, c.host, 0
	token := common.NewTokenCredential(creds.SecretID, creds.SecretKey.Reveal(), creds.Token.Reveal())
	return common.NewCommonClient(token, c.region, p).WithHttpTransport(c.carrier)
}

// answer keeps what came as the bytes that came: the SDK's own kind turns numbers into floats.
type answer struct {
	*tchttp.BaseResponse
	body []byte
}

// UnmarshalJSON keeps a copy.
func (a *answer) UnmarshalJSON(data []byte) error {
	a.body = append([]byte(nil), data...)
	return nil
}

func (a *answer) decode(out any) error {
	if out == nil {
		return nil
	}
	var whole struct{ Response json.RawMessage }
	if err := json.Unmarshal(a.body, &whole); err != nil {
		return fmt.Errorf("%w: answer: %w", errNoAnswer, err)
	}
	if len(whole.Response) == 0 {
		return fmt.Errorf("%w: answer without a Response", errNoAnswer)
	}
	if err := json.Unmarshal(whole.Response, out); err != nil {
		return fmt.Errorf("%w: answer: %w", errNoAnswer, err)
	}
	return nil
}

// bounded refuses what no API answers: redirections, which the SDK would follow with the token, and endless bodies.
type bounded struct {
	next     http.RoundTripper
	observed *atomic.Int64
	now      func() time.Time
}

// RoundTrip implements http.RoundTripper.
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		b.observed.Store(int64(date.Sub(b.now()) / time.Second))
	}
	refuse := ""
	switch {
	case response.StatusCode >= 300 && response.StatusCode < 400:
		refuse = "answer redirects, which no API does"
	case response.Header.Get("Content-Encoding") != "":
		refuse = "answer is encoded, which was not asked for"
	case strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream"):
		refuse = "answer is a stream of events"
	}
	if refuse != "" {
		_ = response.Body.Close()
		return nil, errors.New(refuse)
	}
	body, err := io.ReadAll(endpoint.Bound(response.Body, maxAnswer, fmt.Errorf("answer of more than %d bytes", maxAnswer), nil))
	_ = response.Body.Close()
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(strings.NewReader(string(body)))
	return response, nil
}

// isWrite tells actions that change something.
func isWrite(action string) bool {
	for _, reads := range []string{"Describe", "Get", "List", "Query"} {
		if strings.HasPrefix(action, reads) {
			return false
		}
	}
	return true
}
