package tencentfw_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/tencentfw"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// answers is a transport that answers as it is told, one after the other, the last one for ever.
type answers struct {
	list []reply
	n    atomic.Int64
}

// reply is what it answers to one call.
type reply struct {
	status     int
	kind, body string
	header     map[string]string
	err        error
	before     func(r *http.Request) // sees the request
	never      bool                  // nothing comes until the caller gives up
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	one := a.list[min(int(a.n.Add(1))-1, len(a.list)-1)]
	if one.before != nil {
		one.before(r)
	}
	if one.never {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if one.err != nil {
		return nil, one.err
	}
	header := http.Header{"Content-Type": {one.kind}}
	for name, value := range one.header {
		header.Set(name, value)
	}
	return &http.Response{
		StatusCode: one.status, Status: http.StatusText(one.status), Request: r, ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(strings.NewReader(one.body)),
	}, nil
}

func refusal(code string) reply {
	return reply{status: 200, kind: "application/json", body: `{"Response":{"Error":{"Code":"` + code + `","Message":"m"},"RequestId":"r"}}`}
}

var (
	fine   = reply{status: 200, kind: "application/json", body: `{"Response":{"RequestId":"r","Answer":7}}`}
	broken = reply{err: errors.New("connection reset")}
)

func configOf(transport http.RoundTripper) tencentfw.Config {
	return tencentfw.Config{
		Credentials: func(context.Context) (tencentfw.Credentials, error) {
			return tencentfw.Credentials{SecretID: "AKID", SecretKey: "the-secret-key", Token: "the-token"}, nil
		},
		Transport: transport, Pace: rate.NewLimiter(rate.Inf, 1),
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
}

func TestWhatIsTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		action string
		list   []reply
		calls  int64
		want   error
	}{
		"a throttled read":                   {"DescribeX", []reply{refusal("RequestLimitExceeded"), refusal("RequestLimitExceeded"), fine}, 3, nil},
		"a throttled write":                  {"CreateX", []reply{refusal("RequestLimitExceeded"), fine}, 2, nil},
		"a throttled write, five times":      {"CreateX", []reply{refusal("RequestLimitExceeded")}, 5, waf.ErrThrottled},
		"a write to what a task holds":       {"ModifyX", []reply{refusal("UnsupportedOperation.MutexOperationTaskRunning"), fine}, 2, nil},
		"a write to what stays held":         {"ModifyX", []reply{refusal("FailedOperation.ResourceInOperating")}, 10, waf.ErrUnavailable},
		"a read without an answer":           {"DescribeX", []reply{broken, fine}, 2, nil},
		"a read that failed within":          {"DescribeX", []reply{refusal("InternalError"), fine}, 2, nil},
		"never a write without an answer":    {"CreateX", []reply{broken, fine}, 1, waf.ErrUnavailable},
		"never a write that failed within":   {"CreateX", []reply{refusal("InternalError"), fine}, 1, waf.ErrUnavailable},
		"never what is denied":               {"DescribeX", []reply{refusal("UnauthorizedOperation"), fine}, 1, waf.ErrDenied},
		"a status other than 200, if a read": {"DescribeX", []reply{{status: 502, kind: "text/html", body: "<html>bad gateway"}, fine}, 2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			transport := &answers{list: c.list}
			err := tencentfw.Call(t.Context(), configOf(transport), guangzhou, "vpc", c.action, nil, nil)
			if !errors.Is(err, c.want) || transport.n.Load() != c.calls {
				t.Errorf("error %v after %d calls, want %v after %d", err, transport.n.Load(), c.want, c.calls)
			}
		})
	}
}

func TestAnswersThatNoAPIGives(t *testing.T) {
	moved, packed := reply{status: 307, header: map[string]string{"Location": "http://198.51.100.1/"}}, fine
	packed.header = map[string]string{"Content-Encoding": "gzip"}
	var small bytes.Buffer // of what would be endless
	zip := gzip.NewWriter(&small)
	if _, err := io.WriteString(zip, fine.body+strings.Repeat(" ", 20<<20)); err != nil || zip.Close() != nil {
		t.Fatal(err)
	}
	packed.body = small.String()
	for name, one := range map[string]reply{
		"a redirection":         moved,
		"a packed one":          packed,
		"a stream of events":    {status: 200, kind: "text/event-stream; charset=utf-8", body: "data: x\n\n"},
		"an endless one":        {status: 200, kind: "application/json", body: `{"Response":{"Answer":7,"More":"` + strings.Repeat("x", 9<<20) + `"}}`},
		"no JSON":               {status: 200, kind: "text/html", body: "<html>" + strings.Repeat("x", 9000)},
		"JSON without Response": {status: 200, kind: "application/json", body: `{"hello":"world"}`},
		"another type":          {status: 200, kind: "application/json", body: `{"Response":{"Answer":"seven"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			var out struct{ Answer int }
			transport := &answers{list: []reply{one}}
			err := tencentfw.Call(t.Context(), configOf(transport), guangzhou, "vpc", "CreateX", nil, &out)
			if n := transport.n.Load(); n != 1 {
				t.Errorf("%d requests were sent, want 1: the token goes nowhere else", n)
			}
			if !errors.Is(err, waf.ErrUnavailable) || !tencentfw.Unsure(err) || len(err.Error()) > 1000 {
				t.Errorf("error %.1200v, want a short one of which the outcome is open", err)
			}
		})
	}
}

func TestSecretsAreInNoError(t *testing.T) {
	for _, one := range []reply{broken, refusal("AuthFailure.SignatureFailure"), {status: 500, kind: "text/plain", body: "no"}, {err: errors.New("dial https://vpc.tencentcloudapi.com/")}} {
		err := tencentfw.Call(t.Context(), configOf(&answers{list: []reply{one}}), guangzhou, "vpc", "CreateX", nil, nil)
		for _, s := range []string{"the-secret-key", "the-token"} {
			if err == nil || strings.Contains(err.Error(), s) || strings.Contains(fmt.Sprintf("%+v", err), s) {
				t.Errorf("error %v", err)
			}
		}
	}
}

func TestCredentialsAreAskedForBeforeEachCall(t *testing.T) {
	n := 0
	throttled := refusal("RequestLimitExceeded")
	throttled.before = func(r *http.Request) {
		if want := fmt.Sprintf("token-%d", n); r.Header.Get("X-TC-Token") != want || !strings.Contains(r.Header.Get("Authorization"), "Credential=AKID"+strconv.Itoa(n)+"/") {
			t.Errorf("token %q and %q, want those of call %d", r.Header.Get("X-TC-Token"), r.Header.Get("Authorization"), n)
		}
	}
	cfg := configOf(&answers{list: []reply{throttled}})
	cfg.Credentials = func(context.Context) (tencentfw.Credentials, error) {
		n++
		return tencentfw.Credentials{SecretID: "AKID" + strconv.Itoa(n), SecretKey: "k", Token: secret.Secret("token-" + strconv.Itoa(n))}, nil
	}
	_ = tencentfw.Call(t.Context(), cfg, guangzhou, "vpc", "DescribeX", nil, nil)
	if n != 5 {
		t.Errorf("asked %d times, want 5", n)
	}
	for name, ask := range map[string]func(context.Context) (tencentfw.Credentials, error){
		"an error": func(context.Context) (tencentfw.Credentials, error) {
			return tencentfw.Credentials{}, errors.New("no role")
		},
		"no key": func(context.Context) (tencentfw.Credentials, error) { return tencentfw.Credentials{SecretID: "x"}, nil },
		"no id": func(context.Context) (tencentfw.Credentials, error) {
			return tencentfw.Credentials{SecretKey: "x"}, nil
		},
	} {
		cfg.Credentials = ask
		if err := tencentfw.Call(t.Context(), cfg, guangzhou, "vpc", "DescribeX", nil, nil); !errors.Is(err, waf.ErrDenied) {
			t.Errorf("%s: error %v, want ErrDenied", name, err)
		}
	}
}

func TestCallsAreSignedWithTheClockThatWasHandedIn(t *testing.T) {
	at := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	seen := fine
	seen.before = func(r *http.Request) {
		if got := r.Header.Get("X-TC-Timestamp"); got != strconv.FormatInt(at.Unix(), 10) {
			t.Errorf("timestamp %s", got)
		}
		if r.URL.Scheme != "https" || r.URL.Host != "clb.tencentcloudapi.com" || r.Header.Get("X-TC-Version") != "2018-03-17" || r.Header.Get("X-TC-Region") != guangzhou || r.Header.Get("X-TC-Language") != "en-US" {
			t.Errorf("%s %v", r.URL, r.Header)
		}
	}
	cfg := configOf(&answers{list: []reply{seen}})
	cfg.Now = func() time.Time { return at }
	var out struct{ Answer int }
	if err := tencentfw.Call(t.Context(), cfg, guangzhou, "clb", "DescribeX", nil, &out); err != nil || out.Answer != 7 {
		t.Errorf("error %v, answer %d", err, out.Answer)
	}
}

func TestEndpointIsHTTPSExceptOnThisMachine(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"https://vpc.example.com": true, "https://vpc.example.com/": true, "http://127.0.0.1:8080": true, "http://[::1]:8080": true, "http://localhost": true,
		"http://vpc.example.com": false, "http://192.0.2.1": false, "ftp://127.0.0.1": false, "https://u:p@host": false, "https://host/path": false, "host": false, "https://": false, "https://h?x": false,
	} {
		if err := tencentfw.CheckEndpoint(endpoint); (err == nil) != ok {
			t.Errorf("%s: %v, want it to be accepted: %t", endpoint, err, ok)
		}
	}
	cfg := configOf(nil)
	cfg.Endpoint = "http://192.0.2.1"
	if _, err := tencentfw.New(cfg, tencentfw.Target{Name: "x", Region: guangzhou, Mode: tencentfw.ModeSecurityGroup, SecurityGroups: []string{"sg-12345678"}}); err == nil {
		t.Error("a plain endpoint is accepted")
	}
	if _, err := tencentfw.New(tencentfw.Config{}, tencentfw.Target{Name: "x", Region: guangzhou, Mode: tencentfw.ModeSecurityGroup, SecurityGroups: []string{"sg-12345678"}}); err == nil {
		t.Error("no credentials are accepted")
	}
}

func TestPaceAndBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		transport := &answers{list: []reply{fine}}
		cfg := configOf(transport)
		cfg.Sleep, cfg.Pace = nil, tencentfw.NewPace()
		began := time.Now()
		for range 41 {
			if err := tencentfw.Call(t.Context(), cfg, guangzhou, "vpc", "DescribeX", nil, nil); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(began); d < 2*time.Second || d > 2100*time.Millisecond {
			t.Errorf("41 calls take %s, want 2s: 20 a second", d)
		}
		transport = &answers{list: []reply{refusal("RequestLimitExceeded")}}
		cfg.Transport = transport
		began = time.Now()
		err := tencentfw.Call(t.Context(), cfg, guangzhou, "vpc", "DescribeX", nil, nil)
		if d := time.Since(began); !errors.Is(err, waf.ErrThrottled) || d < 3750*time.Millisecond || d > 8*time.Second {
			t.Errorf("%v after %s, want the pauses to double from half a second", err, d)
		}
		// It does not begin to wait for what the deadline would cut off.
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		began = time.Now()
		err = tencentfw.Call(ctx, cfg, guangzhou, "vpc", "DescribeX", nil, nil)
		if !errors.Is(err, waf.ErrOutOfTime) && !errors.Is(err, waf.ErrThrottled) || time.Since(began) > 300*time.Millisecond {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// One call that hangs must not eat the whole run, nor look like the run's deadline.
func TestCallThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := configOf(&answers{list: []reply{{never: true}}})
		began := time.Now()
		err := tencentfw.Call(t.Context(), cfg, guangzhou, "vpc", "CreateX", nil, nil)
		if !errors.Is(err, waf.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || !tencentfw.Unsure(err) || !strings.Contains(err.Error(), "no answer within") || time.Since(began) > 30*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

func TestThrottledCloudIsKeptUpWith(t *testing.T) {
	c := newGroupCloud(t, waftest.TencentOptions{})
	n := 0
	c.Before(func(waftest.TencentCall) *waftest.Fault {
		if n++; n%3 == 0 {
			return &waftest.Fault{Code: "RequestLimitExceeded"}
		}
		return nil
	})
	c.mustRun(t, c.open(t), 1, groupHosts(0, 25))
}

func TestServerThatSendsItsClock(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"Response":{"RequestId":"r"}}`))
	}))
	defer server.Close()
	cfg := configOf(server.Client().Transport)
	cfg.Endpoint = server.URL
	if err := tencentfw.Call(t.Context(), cfg, guangzhou, "waf", "DescribeX", map[string]any{"Domain": "global"}, nil); err != nil {
		t.Error(err)
	}
}
