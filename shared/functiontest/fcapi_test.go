package functiontest_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/functiontest"
)

var caller = functiontest.Credentials{AccessKeyID: "STS.abc", AccessKeySecret: "the secret", SecurityToken: "the token"}

func clock() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

// call is a request to FCAPI, signed as Alibaba Cloud documents it. A test changes
// it before it is signed (edit) or after (tamper).
type call struct {
	path   string
	async  bool
	body   string
	edit   func(h http.Header)
	tamper func(r *http.Request)
	unsign string // a header that is left out of the signature
	secret string
	nonce  string
}

func do(t *testing.T, endpoint string, c call) (status int, header http.Header, body string) {
	t.Helper()
	if c.path == "" {
		c.path = "/2023-03-30/functions/detect/invocations"
	}
	if c.secret == "" {
		c.secret = caller.AccessKeySecret
	}
	if c.nonce == "" {
		c.nonce = fmt.Sprint(time.Now().UnixNano())
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(c.body))
	h := r.Header
	h.Set("x-acs-action", "InvokeFunction")
	h.Set("x-acs-version", "2023-03-30")
	h.Set("x-acs-date", clock().Format("2006-01-02T15:04:05Z"))
	h.Set("x-acs-signature-nonce", c.nonce)
	h.Set("x-acs-content-sha256", hex.EncodeToString(sum[:]))
	h.Set("x-acs-security-token", caller.SecurityToken)
	if c.async {
		h.Set("x-fc-invocation-type", "Async")
	}
	if c.edit != nil {
		c.edit(h)
	}

	var names []string
	values := ""
	for _, name := range []string{"host", "x-acs-action", "x-acs-content-sha256", "x-acs-date", "x-acs-security-token", "x-acs-signature-nonce", "x-acs-version"} {
		v := h.Get(name)
		if name == "host" {
			v = r.URL.Host
		}
		if v != "" && name != c.unsign {
			names, values = append(names, name), values+name+":"+v+"\n"
		}
	}
	signed := strings.Join(names, ";")
	canonical := "POST\n" + r.URL.Path + "\n\n" + values + "\n" + signed + "\n" + h.Get("x-acs-content-sha256")
	digest := sha256.Sum256([]byte(canonical))
	mac := hmac.New(sha256.New, []byte(c.secret))
	fmt.Fprintf(mac, "ACS3-HMAC-SHA256\n%x", digest)
	h.Set("Authorization", fmt.Sprintf("ACS3-HMAC-SHA256 Credential=%s,SignedHeaders=%s,Signature=%x", caller.AccessKeyID, signed, mac.Sum(nil)))
	if c.tamper != nil {
		c.tamper(r)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

func startAPI(t *testing.T, cfg functiontest.FCAPIConfig) (*functiontest.FCAPI, string) {
	t.Helper()
	cfg.Credentials, cfg.Now = caller, clock
	if cfg.Backoff == 0 {
		cfg.Backoff = time.Millisecond
	}
	api := functiontest.NewFCAPI(cfg)
	t.Cleanup(api.Close)
	endpoint, err := api.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return api, endpoint
}

func echo(_ context.Context, payload []byte, async bool) ([]byte, error) {
	return fmt.Appendf(nil, "%s %v", payload, async), nil
}

func TestFCAPIRefuses(t *testing.T) {
	t.Parallel()
	api, endpoint := startAPI(t, functiontest.FCAPIConfig{})
	api.Handle("detect", echo)
	set := func(name, value string) func(http.Header) { return func(h http.Header) { h.Set(name, value) } }
	for _, tc := range []struct {
		name   string
		call   call
		status int
		code   string
	}{
		{"an unknown function", call{path: "/2023-03-30/functions/other/invocations"}, 404, "FunctionNotFound"},
		{"another path", call{path: "/2023-03-30/functions"}, 400, "PathNotSupported"},
		{"an unsigned call", call{tamper: func(r *http.Request) { r.Header.Del("Authorization") }}, 403, "InvalidArgument"},
		{"a wrong secret", call{secret: "guess"}, 403, "SignatureNotMatch"},
		{"another key", call{tamper: func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "STS.abc", "STS.xyz", 1))
		}}, 403, "InvalidAccessKeyID"},
		{"another token", call{edit: set("x-acs-security-token", "old")}, 403, "InvalidSecurityToken"},
		{"a changed body", call{body: "a", tamper: func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader("b")) }}, 403, "SignatureNotMatch"},
		{"a changed header", call{tamper: func(r *http.Request) { r.Header.Set("x-acs-date", "2026-11-21T12:00:01Z") }}, 403, "SignatureNotMatch"},
		{"an added header", call{tamper: func(r *http.Request) { r.Header.Set("x-acs-extra", "1") }}, 403, "SignatureNotMatch"},
		{"a date that is not signed", call{unsign: "x-acs-date"}, 403, "SignatureNotMatch"},
		{"a host that is not signed", call{unsign: "host"}, 403, "SignatureNotMatch"},
		{"no nonce", call{edit: func(h http.Header) { h.Del("x-acs-signature-nonce") }}, 400, "MissingRequiredHeader"},
		{"no date", call{edit: func(h http.Header) { h.Del("x-acs-date") }}, 400, "MissingRequiredHeader"},
		{"an old date", call{edit: set("x-acs-date", "2026-11-21T11:44:59Z")}, 403, "InvalidArgument"},
		{"a date to come", call{edit: set("x-acs-date", "2026-11-21T12:15:01Z")}, 403, "InvalidArgument"},
		{"a date in another form", call{edit: set("x-acs-date", "today")}, 403, "InvalidArgument"},
		{"another operation", call{edit: set("x-acs-action", "DeleteFunction")}, 400, "InvalidArgument"},
		{"another version", call{edit: set("x-acs-version", "2021-04-06")}, 400, "InvalidArgument"},
		{"an unknown kind of call", call{edit: set("x-fc-invocation-type", "Later")}, 400, "InvalidArgument"},
		{"an asynchronous event over 128 KB", call{async: true, body: strings.Repeat("x", 128<<10+1)}, 400, "EntityTooLarge"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			status, header, body := do(t, endpoint, tc.call)
			var e struct {
				Code, Message string
				RequestID     string `json:"RequestId"`
			}
			if err := json.Unmarshal([]byte(body), &e); err != nil {
				t.Fatalf("body %q: %v", body, err)
			}
			if status != tc.status || e.Code != tc.code {
				t.Errorf("answer %d %s (%s), want %d %s", status, e.Code, e.Message, tc.status, tc.code)
			}
			if e.RequestID == "" || e.RequestID != header.Get("x-fc-request-id") {
				t.Errorf("request id %q in the body, %q in the header", e.RequestID, header.Get("x-fc-request-id"))
			}
		})
	}
}

func TestFCAPIRefusesARecordedCall(t *testing.T) {
	t.Parallel()
	api, endpoint := startAPI(t, functiontest.FCAPIConfig{})
	api.Handle("detect", echo)
	c := call{nonce: "once"}
	if status, _, body := do(t, endpoint, c); status != 200 {
		t.Fatalf("first: %d %s", status, body)
	}
	if status, _, body := do(t, endpoint, c); status != 403 || !strings.Contains(body, "SignatureNonceUsed") {
		t.Errorf("again: %d %s, want 403 SignatureNonceUsed", status, body)
	}
}

func TestFCAPISynchronousCalls(t *testing.T) {
	t.Parallel()
	api, endpoint := startAPI(t, functiontest.FCAPIConfig{})
	var tries int
	api.Handle("detect", echo)
	api.Handle("broken", func(context.Context, []byte, bool) ([]byte, error) {
		tries++
		return nil, &functiontest.FunctionError{Type: "errorString", Message: "redis is down"}
	})
	if status, _, body := do(t, endpoint, call{body: "<&>"}); status != 200 || body != "<&> false" {
		t.Errorf("answer %d %q", status, body)
	}
	status, header, body := do(t, endpoint, call{path: "/2023-03-30/functions/broken/invocations"})
	if status != 200 || header.Get("X-Fc-Error-Type") != "HandledInvocationError" || !strings.Contains(body, "redis is down") {
		t.Errorf("answer %d %v %q, want 200 and the error's type in a header", status, header, body)
	}
	if tries != 1 {
		t.Errorf("%d tries of a synchronous call, want 1", tries)
	}
}

func TestFCAPIRetriesAsynchronousEvents(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		retries int
		failing int // how many tries fail
		want    []string
	}{
		{"a good event runs once", 0, 0, []string{"0 final"}},
		{"a failing one is tried three more times", 0, 9, []string{"0 redis", "1 redis", "2 redis", "3 redis final"}},
		{"until it works", 0, 2, []string{"0 redis", "1 redis", "2 final"}},
		{"as often as configured", 1, 9, []string{"0 redis", "1 redis final"}},
		{"or never", -1, 9, []string{"0 redis final"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var got []string
			ids := map[string]bool{}
			api, endpoint := startAPI(t, functiontest.FCAPIConfig{Retries: tc.retries, Observe: func(x functiontest.Execution) {
				mu.Lock()
				defer mu.Unlock()
				text := fmt.Sprint(x.Attempt)
				if x.Err != nil {
					text += " " + x.Err.Error()
				}
				if x.Final {
					text += " final"
				}
				got = append(got, text)
				ids[x.RequestID] = true
			}})
			tries := 0
			api.Handle("detect", func(_ context.Context, payload []byte, async bool) ([]byte, error) {
				tries++
				if !async || string(payload) != "e" {
					t.Errorf("event %q, async %v", payload, async)
				}
				if tries <= tc.failing {
					return nil, errors.New("redis")
				}
				return nil, nil
			})
			status, header, body := do(t, endpoint, call{async: true, body: "e"})
			if status != 202 || body != "" {
				t.Errorf("answer %d %q, want 202 and nothing", status, body)
			}
			if err := api.Drain(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("tries (-want +got):\n%s", diff)
			}
			if len(ids) != 1 || !ids[header.Get("x-fc-request-id")] {
				t.Errorf("request ids %v, want only the answer's %q", ids, header.Get("x-fc-request-id"))
			}
		})
	}
}

func TestFCAPITellsTheFunctionHowOftenItWasTried(t *testing.T) {
	t.Parallel()
	f, err := functiontest.StartFC(t.Context(), functiontest.Config{Name: "detect", Binary: program(t, "fcfn"), Timeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var last functiontest.Execution
	api, endpoint := startAPI(t, functiontest.FCAPIConfig{Observe: func(x functiontest.Execution) { last = x }})
	tries := 0
	api.Handle("detect", func(ctx context.Context, payload []byte, _ bool) ([]byte, error) {
		if tries++; tries < 3 {
			return nil, errors.New("not yet")
		}
		return f.Invoke(ctx, payload)
	})
	_, header, _ := do(t, endpoint, call{async: true, body: `{}`})
	if err := api.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got answer
	if err := json.NewDecoder(bytes.NewReader(last.Answer)).Decode(&got); err != nil {
		t.Fatalf("%+v: %v", last, err)
	}
	if got.Retry != 2 || got.ID != header.Get("x-fc-request-id") {
		t.Errorf("function saw retry %d of %q, want 2 of %q", got.Retry, got.ID, header.Get("x-fc-request-id"))
	}
}

func TestFCAPIFaults(t *testing.T) {
	t.Parallel()
	api, endpoint := startAPI(t, functiontest.FCAPIConfig{})
	var ran sync.WaitGroup
	ran.Add(2)
	api.Handle("detect", func(context.Context, []byte, bool) ([]byte, error) { ran.Done(); return nil, nil })
	api.Fail(func(function string, n int) *functiontest.Fault {
		switch {
		case function != "detect":
			return nil
		case n == 1:
			return &functiontest.Fault{Status: 429, Code: "ResourceThrottled"}
		case n == 2:
			return &functiontest.Fault{Accept: true} // taken, but the answer is lost
		}
		return nil
	})
	if status, _, body := do(t, endpoint, call{async: true}); status != 429 || !strings.Contains(body, "ResourceThrottled") {
		t.Errorf("first: %d %q, want 429", status, body)
	}
	if status, _, body := do(t, endpoint, call{async: true}); status != 0 {
		t.Errorf("second: %d %q, want a cut connection", status, body)
	}
	if status, _, body := do(t, endpoint, call{async: true}); status != 202 {
		t.Errorf("third: %d %q, want 202", status, body)
	}
	ran.Wait() // the second and the third
}

func TestFCAPICloseCancelsWhatIsQueued(t *testing.T) {
	t.Parallel()
	api, endpoint := startAPI(t, functiontest.FCAPIConfig{Backoff: time.Hour})
	failed := make(chan struct{}, 1)
	api.Handle("detect", func(context.Context, []byte, bool) ([]byte, error) {
		failed <- struct{}{}
		return nil, errors.New("redis")
	})
	do(t, endpoint, call{async: true})
	<-failed
	api.Close() // hangs for an hour unless the pause before the retry can be cut short
}
