package awswaf_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// inProcess brings requests to a handler without a network, so that testing/synctest
// can count its time: hours of AWS's quotas pass in no time.
type inProcess struct {
	handler http.Handler
	latency time.Duration
	// connect is what the first request takes longer: TCP and TLS.
	connect time.Duration
}

// Do implements aws.HTTPClient.
func (p *inProcess) Do(req *http.Request) (resp *http.Response, err error) {
	wait := p.latency + p.connect
	p.connect = 0
	select {
	case <-time.After(wait / 2):
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	rec := httptest.NewRecorder()
	defer func() {
		if r := recover(); r != nil {
			if r != http.ErrAbortHandler { //nolint:errorlint // what panics with it uses this very value
				panic(r)
			}
			resp, err = nil, errors.New("connection reset by peer")
		}
	}()
	p.handler.ServeHTTP(rec, req)
	if req.Context().Err() != nil {
		return nil, req.Context().Err()
	}
	select {
	case <-time.After(wait - wait/2):
	case <-req.Context().Done():
		return nil, req.Context().Err()
	}
	return rec.Result(), nil
}

// virtual is a stand-in AWS with AWS's call rates inside a synctest bubble.
type virtual struct {
	*cloud
	http *inProcess
}

func newVirtual(t *testing.T, opts waftest.AWSOptions) *virtual {
	t.Helper()
	opts.RateLimits = true
	c := &cloud{AWS: waftest.NewAWS(opts), target: awswaf.Target{Name: "edge", Region: region, WebACL: acl, Priority: 101, SetSize: 10}}
	if err := c.SeedWebACL(region, awswaf.Regional, acl); err != nil {
		t.Fatal(err)
	}
	return &virtual{c, &inProcess{handler: c.AWS, latency: 50 * time.Millisecond, connect: 150 * time.Millisecond}}
}

// config is a new process's: its first call has to connect.
func (v *virtual) config() aws.Config {
	client := *v.http
	return aws.Config{
		HTTPClient: &client, BaseEndpoint: aws.String("http://waf.test"), Region: "eu-central-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	}
}

// process returns a Firewall as a new process would make it, with the pace that it ships with.
func (v *virtual) process(t *testing.T, opts ...awswaf.Option) *awswaf.Firewall {
	t.Helper()
	f, err := awswaf.New(v.config(), v.target, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// throttled counts the calls that AWS refused for coming too fast.
func (v *virtual) throttled(account string) (n int) {
	for _, call := range v.Calls() {
		if call.Code == "ThrottlingException" && call.Account == account {
			n++
		}
	}
	return n
}
