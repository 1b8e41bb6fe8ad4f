package aliwaf

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
	"sync/atomic"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	"github.com/alibabacloud-go/tea/dara"
	"golang.org/x/time/rate"

	"github.com/tracewall/tracewall/shared/endpoint"
	"github.com/tracewall/tracewall/shared/waf"
)

const (
	// tries of one call, for throttling and, of those that only read, for answers that did not come.
	tries = 5
	// callTimeout is for one try: a hanging connection must not eat the whole run.
	callTimeout = 20 * time.Second
	// maxAnswer bounds what is read of an answer: a page of 500 addresses is 0.05 MB, 200 rules of 200 addresses 1 MB.
	maxAnswer = 4 << 20
)

// service is one of Alibaba Cloud's APIs.
type service struct {
	host    string // with %s for the region
	version string
	pace    func(*Pace) *rate.Limiter
}

// The services that this package calls. Cloud Firewall has the same two regions as WAF.
var (
	wafService = service{"wafopenapi.%s.aliyuncs.com", "2021-10-01", func(p *Pace) *rate.Limiter { return p.WAF }}
	cfwService = service{"cloudfw.%s.aliyuncs.com", "2017-12-07", func(p *Pace) *rate.Limiter { return p.CloudFirewall }}
)

// client calls operations of Alibaba Cloud by name. The generated SDKs of these services are not to
// be had from the Go module proxy in a version that knows address books; darabonba's generic call signs requests
// with ACS3-HMAC-SHA256 and is all that they do anyway. Not for concurrent use.
type client struct {
	cfg      Config
	region   string
	protocol string
	host     string // "" is the public endpoint
	http     *http.Client
	timeout  time.Duration

	calls, writes atomic.Int64

	date, asked time.Time // the service's time in its last answer, to the second, and ours then
}

func newClient(cfg Config, region string) (*client, error) {
	if cfg.Credentials == nil {
		return nil, errors.New("alibaba cloud client: no credentials")
	}
	if cfg.Pace == nil {
		cfg.Pace = NewPace()
	}
	if cfg.Sleep == nil {
		cfg.Sleep = endpoint.Wait
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &client{cfg: cfg, region: region, protocol: "https", timeout: callTimeout}
	if cfg.Endpoint != "" {
		var err error
		if c.protocol, c.host, err = endpoint.Parse(cfg.Endpoint); err != nil {
			return nil, fmt.Errorf("alibaba cloud client: %w", err)
		}
	}
	if cfg.Transport == nil {
		cfg.Transport = endpoint.Transport(2, time.Minute)
	}
	c.http = endpoint.Client(cfg.Transport)
	return c, nil
}

// CheckEndpoint tells what is wrong with an endpoint, if anything.
func CheckEndpoint(text string) error { return endpoint.Check(text) }

// Calls implements waf.Metered.
func (c *client) Calls() (calls, writes int) { return int(c.calls.Load()), int(c.writes.Load()) }

// params are the parameters of one call.
type params map[string]string

// list adds a repeated parameter: name.1, name.2, and so on.
func (p params) list(name string, values []string) params {
	for i, v := range values {
		p[name+"."+strconv.Itoa(i+1)] = v
	}
	return p
}

// json adds a parameter whose value is JSON text.
func (p params) json(name string, value any) params {
	text, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("aliwaf: parameter %s: %v", name, err)) // only our own structs and maps of strings come here
	}
	p[name] = string(text)
	return p
}

// isWrite tells operations that change something from those that only read.
func isWrite(action string) bool { return !strings.HasPrefix(action, "Describe") }

// call makes one call and reads its answer into out, which may be nil. All parameters go in the form body, so that no
// list of addresses ends in a URL, or in a log of URLs; RegionId is added. A throttled call is made again,
// one that only reads also when there was no answer or a broken one. Errors are of type *apiError, or ctx's.
func (c *client) call(ctx context.Context, s service, action string, p params, out any) error {
	body := map[string]any{"RegionId": c.region}
	for k, v := range p {
		body[k] = v
	}
	var err error
	for try := 1; ; try++ {
		err = c.try(ctx, s, action, body, out)
		again := errors.Is(err, waf.ErrThrottled) || !isWrite(action) && unsure(err)
		if !again || try == tries || ctx.Err() != nil {
			return err
		}
		d := backoff(try)
		if !endpoint.Outlasts(ctx, d) {
			return err
		}
		if serr := c.cfg.Sleep(ctx, d); serr != nil {
			return errors.Join(err, serr)
		}
	}
}

// backoff grows from about a second to about ten. Alibaba Cloud's own scripts wait 5, 10 and 15 s after
// Throttling.User; the pace keeps us from most of it. Jitter: two that collide shall not collide again.
func backoff(try int) time.Duration {
	d := time.Second << (try - 1)
	return d/2 + rand.N(d)
}

func (c *client) try(ctx context.Context, s service, action string, body map[string]any, out any) error {
	if err := s.pace(c.cfg.Pace).Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", action, ctx.Err())
		}
		return fmt.Errorf("%s: %w: %w", action, waf.ErrOutOfTime, err) // the deadline is nearer than the next turn
	}
	id, err := c.cfg.Credentials(ctx)
	if err == nil && (id.AccessKeyID == "" || id.AccessKeySecret == "") {
		err = errNoCredentials
	}
	if err != nil {
		return &apiError{op: action, decision: waf.ErrDenied, local: fmt.Errorf("credentials: %w", err)}
	}
	host := c.host
	if host == "" {
		host = fmt.Sprintf(s.host, c.region)
	}
	tryCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	w := &wire{http: c.http}
	signer, err := openapi.NewClient(&openapiutil.Config{ // no connection, only settings: cheap enough for each try
		AccessKeyId:     dara.String(id.AccessKeyID),
		AccessKeySecret: dara.String(id.AccessKeySecret.Reveal()),
		SecurityToken:   dara.String(id.SecurityToken.Reveal()),
		Endpoint:        dara.String(host),
		Protocol:        dara.String(c.protocol),
		UserAgent:       dara.String("tracewall"),
		HttpClient:      w,
	})
	if err != nil {
		return &apiError{op: action, decision: waf.ErrDenied, local: fmt.Errorf("signer: %w", err)}
	}
	c.calls.Add(1)
	if isWrite(action) {
		c.writes.Add(1)
	}
	_, err = signer.CallApiWithCtx(tryCtx, &openapiutil.Params{
		Action:      dara.String(action),
		Version:     dara.String(s.version),
		Protocol:    dara.String(c.protocol),
		Pathname:    dara.String("/"),
		Method:      dara.String(http.MethodPost),
		AuthType:    dara.String("AK"),
		Style:       dara.String("RPC"),
		ReqBodyType: dara.String("formData"),
		BodyType:    dara.String("byte"),
	}, &openapiutil.OpenApiRequest{
		Headers: map[string]*string{"x-acs-date": dara.String(c.cfg.Now().UTC().Format("2006-01-02T15:04:05Z"))},
		Body:    body,
	}, &dara.RuntimeOptions{})
	if date, derr := http.ParseTime(w.date); derr == nil {
		c.date, c.asked = date, c.cfg.Now()
	}
	switch {
	case w.sent && ctx.Err() != nil && w.status == 0:
		return &apiError{op: action, decision: waf.ErrUnavailable, local: ctx.Err()} // it may have been made
	case ctx.Err() != nil && w.status == 0:
		return fmt.Errorf("%s: %w", action, ctx.Err())
	case w.status == 0 && tryCtx.Err() != nil:
		// Not the run's deadline: do not let it look like that.
		return &apiError{op: action, decision: waf.ErrUnavailable, local: fmt.Errorf("no answer within %s", c.timeout)}
	case w.status == 0 && w.err != nil:
		return &apiError{op: action, decision: waf.ErrUnavailable, local: w.err}
	case w.status == 0:
		return &apiError{op: action, decision: waf.ErrInvalid, local: fmt.Errorf("the request could not be made: %w", err), unsent: true}
	case w.status != http.StatusOK:
		return answered(action, w)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(w.body, out); err != nil {
		return &apiError{op: action, decision: waf.ErrUnavailable, status: w.status, local: errors.New("the answer is not the JSON that was expected")}
	}
	return nil
}

// wire carries darabonba's requests and keeps what came back. One serves one try. What it saw is the
// truth about a call: the SDK's own error types hide the status whenever an error's body is not the expected JSON.
type wire struct {
	http   *http.Client
	sent   bool
	status int
	date   string
	body   []byte
	err    error
}

// Call implements darabonba's HttpClient. The transport that darabonba offers is
// left alone: it makes a new one for each call, with its own idea of proxies.
func (w *wire) Call(r *http.Request, _ *http.Transport) (*http.Response, error) {
	w.sent = true
	resp, err := w.http.Do(r)
	if err != nil {
		w.err = endpoint.Bare(err)
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(endpoint.Bound(resp.Body, maxAnswer, fmt.Errorf("an answer of more than %d bytes", maxAnswer), nil))
	if err != nil {
		w.err = endpoint.Bare(err)
		return nil, err
	}
	w.status, w.body, w.date = resp.StatusCode, body, resp.Header.Get("Date")
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}
