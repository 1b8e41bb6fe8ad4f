package fcinvoke_test

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tracewall/tracewall/shared/fcinvoke"
	"github.com/tracewall/tracewall/shared/functiontest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var stand = functiontest.Credentials{AccessKeyID: "STS.abc", AccessKeySecret: "very-secret-key", SecurityToken: "very-secret-token"}

func identity(context.Context) (fcinvoke.Identity, error) {
	return fcinvoke.Identity{
		AccountID: "1234567890123456", Region: "cn-hangzhou", AccessKeyID: stand.AccessKeyID,
		AccessKey: "very-secret-key", SecurityToken: "very-secret-token",
	}, nil
}

func client(t *testing.T, cfg fcinvoke.Config) *fcinvoke.Client {
	t.Helper()
	if cfg.Identity == nil {
		cfg.Identity = identity
	}
	if cfg.Transport == nil {
		tr := &http.Transport{}
		t.Cleanup(tr.CloseIdleConnections)
		cfg.Transport = tr
	}
	c, err := fcinvoke.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// stage is a Function Compute with one function, which records what it is given.
type stage struct {
	api      *functiontest.FCAPI
	endpoint string
	got      chan string
}

func newStage(t *testing.T) stage {
	t.Helper()
	s := stage{api: functiontest.NewFCAPI(functiontest.FCAPIConfig{Credentials: stand}), got: make(chan string, 10)}
	t.Cleanup(s.api.Close)
	s.api.Handle("sls-ops-detect", func(_ context.Context, payload []byte, _ bool) ([]byte, error) {
		s.got <- string(payload)
		return nil, nil
	})
	var err error
	if s.endpoint, err = s.api.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// events returns what the function was given, once all of it has run.
func (s stage) events(t *testing.T) []string {
	t.Helper()
	if err := s.api.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	close(s.got)
	var all []string
	for e := range s.got {
		all = append(all, e)
	}
	return all
}

func TestThePayloadArrivesUnchanged(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		`{"rules":["a"],"from":"2026-11-21T12:00:00Z"}`, ` <&> "é` + "\u2028\n", "", "\xff\x00\x01", strings.Repeat("x", 128<<10),
	} {
		s := newStage(t)
		id, err := client(t, fcinvoke.Config{Endpoint: s.endpoint}).InvokeAsync(t.Context(), "sls-ops-detect", []byte(payload))
		if err != nil || len(id) != 36 {
			t.Fatalf("invoke: id %q, err %v", id, err)
		}
		if got := s.events(t); len(got) != 1 || got[0] != payload {
			t.Errorf("function got %.60q, want %.60q", got, payload)
		}
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	fault := func(status int, code string) []*functiontest.Fault {
		f := &functiontest.Fault{Status: status, Code: code, Message: "for key STS.abc very-secret-token"}
		return []*functiontest.Fault{f, f, f}
	}
	for _, tc := range []struct {
		name     string
		function string
		faults   []*functiontest.Fault
		want     error
		text     string
		calls    int
		runs     int
	}{
		{"throttled twice", "", fault(429, "ResourceThrottled"), fcinvoke.ErrThrottled, "status 429 ResourceThrottled", 2, 0},
		{"throttled once", "", fault(429, "ResourceThrottled")[:1], nil, "", 2, 1},
		{"an internal error twice", "", fault(500, "InternalServerError"), fcinvoke.ErrUnavailable, "status 500", 2, 0},
		{"no resources once", "", fault(503, "ResourceExhausted")[:1], nil, "", 2, 1},
		{"denied is not tried again", "", fault(403, "AccessDenied"), fcinvoke.ErrDenied, "status 403 AccessDenied", 1, 0},
		{"refused is not tried again", "", fault(400, "InvalidArgument"), fcinvoke.ErrRefused, "status 400", 1, 0},
		{"an unknown function", "other", nil, fcinvoke.ErrRefused, "status 404 FunctionNotFound", 1, 0},
		{"a cut connection", "", fault(0, ""), fcinvoke.ErrUnavailable, "EOF", 2, 0},
		{"taken, but the answer was lost: it runs twice", "", []*functiontest.Fault{{Accept: true}}, nil, "", 2, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			var calls atomic.Int64
			s.api.Fail(func(_ string, n int) *functiontest.Fault {
				calls.Store(int64(n))
				if n <= len(tc.faults) {
					return tc.faults[n-1]
				}
				return nil
			})
			function := tc.function
			if function == "" {
				function = "sls-ops-detect"
			}
			_, err := client(t, fcinvoke.Config{Endpoint: s.endpoint}).InvokeAsync(t.Context(), function, []byte("e"))
			if !errors.Is(err, tc.want) || err != nil && !strings.Contains(err.Error(), tc.text) {
				t.Errorf("err = %v, want %v with %q", err, tc.want, tc.text)
			}
			if err != nil && strings.Contains(err.Error(), "very-secret") {
				t.Errorf("error shows what the service repeated: %v", err)
			}
			if n := int(calls.Load()); n != tc.calls {
				t.Errorf("%d calls, want %d", n, tc.calls)
			}
			if got := s.events(t); len(got) != tc.runs {
				t.Errorf("%d events ran, want %d", len(got), tc.runs)
			}
		})
	}
}

func TestWrongCredentialsAreDenied(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]fcinvoke.Identity{
		"a wrong key":   {AccountID: "1", Region: "cn-hangzhou", AccessKeyID: stand.AccessKeyID, AccessKey: "guess", SecurityToken: "very-secret-token"},
		"an old token":  {AccountID: "1", Region: "cn-hangzhou", AccessKeyID: stand.AccessKeyID, AccessKey: "very-secret-key", SecurityToken: "old"},
		"no credential": {AccountID: "1", Region: "cn-hangzhou"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			c := client(t, fcinvoke.Config{Endpoint: s.endpoint, Identity: func(context.Context) (fcinvoke.Identity, error) { return id, nil }})
			if _, err := c.InvokeAsync(t.Context(), "sls-ops-detect", nil); !errors.Is(err, fcinvoke.ErrDenied) {
				t.Errorf("err = %v, want ErrDenied", err)
			}
		})
	}
	c := client(t, fcinvoke.Config{Identity: func(context.Context) (fcinvoke.Identity, error) {
		return fcinvoke.Identity{}, errors.New("no context")
	}})
	if _, err := c.InvokeAsync(t.Context(), "f", nil); !errors.Is(err, fcinvoke.ErrDenied) || !strings.Contains(err.Error(), "no context") {
		t.Errorf("err = %v, want ErrDenied and why", err)
	}
}

// recorder is a transport that answers 202 and keeps the request.
type recorder struct {
	r      *http.Request
	status int
	body   string
}

func (rec *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	rec.r = r
	if rec.status == 0 {
		rec.status = 202
	}
	return &http.Response{StatusCode: rec.status, Status: "x", Header: http.Header{}, Body: io.NopCloser(strings.NewReader(rec.body)), Request: r}, nil
}

func TestTheEndpointIsThatOfTheCallersAccountAndRegion(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	if _, err := client(t, fcinvoke.Config{Transport: rec}).InvokeAsync(t.Context(), "sls-ops-detect", []byte("e")); err != nil {
		t.Fatal(err)
	}
	if got, want := rec.r.URL.String(), "https://1234567890123456.cn-hangzhou.fc.aliyuncs.com/2023-03-30/functions/sls-ops-detect/invocations"; got != want {
		t.Errorf("url = %s, want %s", got, want)
	}
	c := client(t, fcinvoke.Config{Transport: rec, Identity: func(context.Context) (fcinvoke.Identity, error) {
		return fcinvoke.Identity{AccessKeyID: "a", AccessKey: "b", Region: "evil.example/", AccountID: "1"}, nil
	}})
	if _, err := c.InvokeAsync(t.Context(), "f", nil); !errors.Is(err, fcinvoke.ErrRefused) {
		t.Errorf("err = %v, want ErrRefused for a region that is none", err)
	}
}

func TestStrangeAnswers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		status int
		body   string
		want   error
	}{
		{"a gateway's page", 502, "<html>", fcinvoke.ErrUnavailable},
		{"a firewall's page", 403, "<html>", fcinvoke.ErrDenied},
		{"200 means that it ran synchronously, which was not asked", 200, "{}", fcinvoke.ErrRefused},
		{"an error without a body", 500, "", fcinvoke.ErrUnavailable},
		{"an error that never ends", 503, strings.Repeat("x", 1<<20), fcinvoke.ErrUnavailable},
		{"an acceptance with a body", 202, "thanks", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := client(t, fcinvoke.Config{Transport: &recorder{status: tc.status, body: tc.body}}).InvokeAsync(t.Context(), "f", nil)
			if !errors.Is(err, tc.want) {
				t.Errorf("err = %v, want %v", err, tc.want)
			}
		})
	}
}

// A redirect would carry the security token to wherever it points.
func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		t.Error("the redirect was followed")
		w.WriteHeader(http.StatusAccepted)
	}))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	if _, err := client(t, fcinvoke.Config{Endpoint: server.URL}).InvokeAsync(t.Context(), "f", nil); !errors.Is(err, fcinvoke.ErrRefused) {
		t.Errorf("err = %v, want ErrRefused", err)
	}
}

func TestASilentServiceCostsNoMoreThanTheBudget(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)

	began := time.Now()
	_, err := client(t, fcinvoke.Config{Endpoint: server.URL}).InvokeAsync(t.Context(), "f", nil)
	if took := time.Since(began); took < 1400*time.Millisecond || took > 3*time.Second { // 1.55 s, and a busy machine
		t.Errorf("two tries took %v, want about 1.5 s", took)
	}
	if !errors.Is(err, fcinvoke.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v, want ErrUnavailable by deadline", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began = time.Now()
	if _, err = client(t, fcinvoke.Config{Endpoint: server.URL}).InvokeAsync(ctx, "f", nil); !errors.Is(err, fcinvoke.ErrUnavailable) {
		t.Errorf("err = %v, want ErrUnavailable", err)
	}
	if took := time.Since(began); took > 650*time.Millisecond { // less than one try
		t.Errorf("took %v after the context's 100 ms", took)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	_, err = client(t, fcinvoke.Config{Endpoint: "http://" + l.Addr().String()}).InvokeAsync(t.Context(), "f", nil)
	if !errors.Is(err, fcinvoke.ErrUnavailable) || strings.Contains(err.Error(), "/functions/") {
		t.Errorf("err = %v, want ErrUnavailable without the URL", err)
	}
}

// A name that cannot be resolved, or a certificate for another, is told with the name.
func TestNoErrorNamesTheAccount(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"no such name":     &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "1234567890123456.cn-hangzhou.fc.aliyuncs.com"}},
		"the wrong server": x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"a.example"}}, Host: "1234567890123456.cn-hangzhou.fc.aliyuncs.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := client(t, fcinvoke.Config{Transport: failing{err}}).InvokeAsync(t.Context(), "f", nil)
			if !errors.Is(err, fcinvoke.ErrUnavailable) || strings.Contains(err.Error(), "1234567890123456") {
				t.Errorf("err = %v, want ErrUnavailable without the account's number", err)
			}
		})
	}
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

func TestWhatIsRefusedBeforeAnyCall(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	c := client(t, fcinvoke.Config{Transport: rec})
	for _, function := range []string{"", "a/b", "../x", "a b", "9a", strings.Repeat("a", 65), "a?x=1"} {
		if _, err := c.InvokeAsync(t.Context(), function, nil); !errors.Is(err, fcinvoke.ErrRefused) {
			t.Errorf("function %q: err = %v, want ErrRefused", function, err)
		}
	}
	if _, err := c.InvokeAsync(t.Context(), "f", make([]byte, 128<<10+1)); !errors.Is(err, fcinvoke.ErrRefused) {
		t.Errorf("err = %v, want ErrRefused for a large event", err)
	}
	if rec.r != nil {
		t.Error("a call was made")
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, endpoint := range []string{"fc.example", "ftp://fc.example", "http://fc.example", "http://192.0.2.1", "https://", "https://u:p@fc.example", "https://fc.example/x", "https://fc.example?x", "://"} {
		if _, err := fcinvoke.New(fcinvoke.Config{Endpoint: endpoint, Identity: identity}); err == nil {
			t.Errorf("endpoint %q accepted", endpoint)
		}
	}
	for _, endpoint := range []string{"", "https://fc.example", "https://fc.example:8443/", "http://127.0.0.1:9000", "http://[::1]:9000", "http://localhost:9000"} {
		if _, err := fcinvoke.New(fcinvoke.Config{Endpoint: endpoint, Identity: identity}); err != nil {
			t.Errorf("endpoint %q: %v", endpoint, err)
		}
	}
	if _, err := fcinvoke.New(fcinvoke.Config{}); err == nil {
		t.Error("no identity accepted")
	}
	if _, err := fcinvoke.New(fcinvoke.Config{Identity: identity, Try: 2 * time.Second}); err == nil {
		t.Error("a try of 2 s accepted")
	}
}

func TestAnIdentityDoesNotPrintItsSecrets(t *testing.T) {
	t.Parallel()
	id, _ := identity(t.Context())
	text, err := json.Marshal(id)
	if err != nil || strings.Contains(string(text), "very-secret") {
		t.Errorf("identity prints as %s, %v", text, err)
	}
}
