package sls_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aliyun/aliyun-log-go-sdk"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tracewall/tracewall/shared/sls"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestQueryReturnsEveryRowOnceComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{answers: []answer{incomplete(3), incomplete(0), complete(5)}}
		got, err := client(t, s).Query(t.Context(), "access", query, from, to, 10)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(rows(5), got); diff != "" {
			t.Error(diff)
		}
		if s.calls() != 3 {
			t.Errorf("calls = %d, want 3", s.calls())
		}
		for i := 1; i < len(s.seen); i++ {
			if string(s.seen[i].body) != string(s.seen[0].body) {
				t.Errorf("request %d differs from the first: the service would start anew", i)
			}
		}
	})
}

func TestQueryAsksForWhatItWasToldTo(t *testing.T) {
	s := &service{answers: []answer{complete(1)}}
	if _, err := client(t, s).Query(t.Context(), "access", query, from, to, 0); err != nil {
		t.Fatal(err)
	}
	var body struct {
		From, To int64
		Query    string
		PowerSQL bool `json:"powerSql"`
	}
	if err := json.Unmarshal(s.seen[0].body, &body); err != nil {
		t.Fatal(err)
	}
	if body.From != from.Unix() || body.To != to.Unix() || body.Query != query || body.PowerSQL {
		t.Errorf("request = %+v", body)
	}
	if got, want := s.seen[0].host+s.seen[0].path, "story.cn-hangzhou.log.aliyuncs.com/logstores/access/logs"; got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	if got := s.seen[0].header.Get("X-Acs-Security-Token"); got != token {
		t.Errorf("security token = %q", got)
	}
}

func TestSignatureVersionFollowsTheRegion(t *testing.T) {
	for region, want := range map[string]string{"cn-hangzhou": "SLS4-HMAC-SHA256 Credential=" + keyID + "/", "": "LOG " + keyID + ":"} {
		s := &service{answers: []answer{complete(1)}}
		c := client(t, s, func(c *sls.Config) { c.Region = region })
		if _, err := c.Query(t.Context(), "access", query, from, to, 0); err != nil {
			t.Fatal(err)
		}
		if got := s.seen[0].authorization; !strings.HasPrefix(got, want) {
			t.Errorf("region %q: authorization = %q, want %q…", region, got, want)
		}
	}
}

func TestCredentialsAreAskedForEachRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		s := &service{answers: []answer{incomplete(0), complete(1)}}
		c := client(t, s, func(c *sls.Config) {
			c.Region = ""
			c.Credentials = func(context.Context) (sls.Credentials, error) {
				return sls.Credentials{AccessKeyID: fmt.Sprint("key", asked.Add(1)), AccessKeySecret: secret}, nil
			}
		})
		if _, err := c.Query(t.Context(), "access", query, from, to, 0); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(s.seen[0].authorization, "LOG key1:") || !strings.HasPrefix(s.seen[1].authorization, "LOG key2:") {
			t.Errorf("authorizations = %q, %q", s.seen[0].authorization, s.seen[1].authorization)
		}
	})
}

// An answer that is not whole comes without rows, whatever made it so.
func TestPartialAnswersAreErrors(t *testing.T) {
	inaccurate := complete(3)
	inaccurate.meta["isAccurate"] = false
	short := complete(3)
	short.meta["count"] = 7
	noProgress := complete(3)
	delete(noProgress.meta, "progress")
	for name, c := range map[string]struct {
		answer    answer
		maxRows   int
		truncated bool
	}{
		"still incomplete at the deadline":    {answer: incomplete(3)},
		"without a progress":                  {answer: noProgress},
		"as many rows as the LIMIT":           {answer: complete(10), truncated: true},
		"more rows than the LIMIT":            {answer: complete(11), truncated: true},
		"more rows than the caller can hold":  {answer: complete(6), maxRows: 5, truncated: true},
		"computed over a part of the lines":   {answer: inaccurate, truncated: true},
		"fewer rows than the service counted": {answer: short},
		"too large to hold":                   {answer: answer{status: 200, header: http.Header{"X-Log-Bodyrawsize": {"99999999999"}, "X-Log-Compresstype": {"lz4"}}}, truncated: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				got, err := client(t, &service{answers: []answer{c.answer}}).Query(ctx, "access", query, from, to, c.maxRows)
				if !errors.Is(err, sls.ErrIncomplete) || got != nil {
					t.Fatalf("rows = %v, err = %v, want none and ErrIncomplete", got, err)
				}
				var cut interface{ Truncated() bool }
				if !errors.As(err, &cut) || cut.Truncated() != c.truncated {
					t.Errorf("truncated = %v, want %v: %v", !c.truncated, c.truncated, err)
				}
			})
		})
	}
}

func TestOneRowBelowTheLimitIsWhole(t *testing.T) {
	got, err := client(t, &service{answers: []answer{complete(9)}}).Query(t.Context(), "access", query, from, to, 9)
	if err != nil || len(got) != 9 {
		t.Fatalf("rows = %d, err = %v", len(got), err)
	}
}

func TestAQueryWithoutAnExplicitLimitIsNotSent(t *testing.T) {
	for _, q := range []string{
		"* | select ip from log",
		"* | select ip from log limit all",
		"* | select 'limit 10' from log",
		"* | select ip from log limit 10 offset 5",
		"* | select ip from log limit 0",
		"* | select ip from log limit 1000001",
		"limit 10",
		"",
	} {
		s := &service{answers: []answer{complete(1)}}
		if _, err := client(t, s).Query(t.Context(), "access", q, from, to, 0); !errors.Is(err, sls.ErrInvalid) || s.calls() != 0 {
			t.Errorf("%q: err = %v after %d calls, want ErrInvalid after none", q, err, s.calls())
		}
	}
	for _, q := range []string{"* | select 1 LIMIT 10", "* | select 1 limit 5, 10 \n"} {
		if _, err := client(t, &service{answers: []answer{complete(1)}}).Query(t.Context(), "access", q, from, to, 0); err != nil {
			t.Errorf("%q: %v", q, err)
		}
	}
}

func TestBadRequestsAreNotSent(t *testing.T) {
	s := &service{answers: []answer{complete(1)}}
	c := client(t, s)
	for name, call := range map[string]func() error{
		"logstore with a path": func() error { _, err := c.Query(t.Context(), "a/../b", query, from, to, 0); return err },
		"empty time range":     func() error { _, err := c.Query(t.Context(), "a", query, from, from, 0); return err },
		"range below a second": func() error {
			_, err := c.Query(t.Context(), "a", query, from, from.Add(time.Millisecond), 0)
			return err
		},
		"put to a strange name": func() error { return c.Put(t.Context(), "a?b", nil) },
	} {
		if err := call(); !errors.Is(err, sls.ErrInvalid) {
			t.Errorf("%s: err = %v, want ErrInvalid", name, err)
		}
	}
	if s.calls() != 0 {
		t.Errorf("%d calls were made", s.calls())
	}
}

func TestErrorsMeanOneDecisionEach(t *testing.T) {
	for name, c := range map[string]struct {
		answer answer
		want   error
		again  bool
	}{
		"no permission":             {answer{status: 403, code: "Unauthorized"}, sls.ErrDenied, false},
		"wrong key":                 {answer{status: 403, code: "SignatureNotMatch"}, sls.ErrDenied, false},
		"clock is off":              {answer{status: 400, code: "RequestTimeTooSkewed"}, sls.ErrDenied, false},
		"no project":                {answer{status: 404, code: "ProjectNotExist"}, sls.ErrNotFound, false},
		"no logstore":               {answer{status: 404, code: "LogStoreNotExist"}, sls.ErrNotFound, false},
		"no index":                  {answer{status: 404, code: "IndexConfigNotExist"}, sls.ErrNotFound, false},
		"bad query":                 {answer{status: 400, code: "InvalidQueryString"}, sls.ErrInvalid, false},
		"bad parameter":             {answer{status: 400, code: "ParameterInvalid"}, sls.ErrInvalid, false},
		"unknown code, 400":         {answer{status: 400, code: "Novelty"}, sls.ErrInvalid, false},
		"unknown code, 401":         {answer{status: 401, code: "Novelty"}, sls.ErrDenied, false},
		"read quota":                {answer{status: 403, code: "ReadQuotaExceed"}, sls.ErrThrottled, true},
		"shard quota":               {answer{status: 403, code: "ShardReadQuotaExceed"}, sls.ErrThrottled, true},
		"project quota":             {answer{status: 403, code: "ProjectQuotaExceed"}, sls.ErrThrottled, true},
		"busy":                      {answer{status: 503, code: "ServerBusy"}, sls.ErrThrottled, true},
		"429 from a proxy":          {answer{status: 429, text: "slow down"}, sls.ErrThrottled, true},
		"internal":                  {answer{status: 500, code: "InternalServerError"}, sls.ErrUnavailable, true},
		"502 from a proxy":          {answer{status: 502, text: "<html>bad gateway</html>"}, sls.ErrUnavailable, true},
		"broken connection":         {answer{cut: true}, sls.ErrUnavailable, true},
		"not JSON":                  {answer{status: 200, text: "<html>" + secret}, sls.ErrUnavailable, true},
		"redirect":                  {answer{status: 307, header: http.Header{"Location": {"http://evil.example/"}}}, sls.ErrInvalid, false},
		"unreadable compressed row": {answer{status: 200, text: "xx", header: http.Header{"X-Log-Bodyrawsize": {"10"}, "X-Log-Compresstype": {"lz4"}}}, sls.ErrUnavailable, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				s := &service{answers: []answer{c.answer}}
				started := time.Now()
				_, err := client(t, s).Query(ctx, "access", query, from, to, 0)
				if !errors.Is(err, c.want) {
					t.Fatalf("err = %v, want %v", err, c.want)
				}
				if again := s.calls() > 1; again != c.again {
					t.Errorf("calls = %d, want more than one: %v", s.calls(), c.again)
				}
				if took := time.Since(started); took > 20*time.Second {
					t.Errorf("took %s, beyond the deadline", took)
				}
				for _, secret := range []string{secret, token} {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("error shows a secret: %v", err)
					}
				}
				// Then the service recovers.
				if c.again {
					s := &service{answers: []answer{c.answer, c.answer, complete(2)}}
					if got, err := client(t, s).Query(ctx2(t), "access", query, from, to, 0); err != nil || len(got) != 2 {
						t.Errorf("after recovery: rows = %d, err = %v", len(got), err)
					}
				}
			})
		})
	}
}

func ctx2(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestTheOriginalErrorIsKept(t *testing.T) {
	s := &service{answers: []answer{{status: 400, code: "InvalidQueryString", text: "line 1:8: Column 'x' cannot be resolved"}}}
	_, err := client(t, s).Query(t.Context(), "access", query, from, to, 0)
	var original *sdk.Error
	if !errors.As(err, &original) || original.Code != "InvalidQueryString" || original.HTTPCode != 400 || original.RequestID != "REQ1" {
		t.Errorf("original = %+v", original)
	}
	want := "query logstore access: log service refused the request: InvalidQueryString: line 1:8: Column 'x' cannot be resolved (request REQ1)"
	if err.Error() != want {
		t.Errorf("err = %q\nwant  %q", err, want)
	}
}

func TestErrorsRepeatNoSecretTheServiceEchoes(t *testing.T) {
	s := &service{answers: []answer{{status: 403, code: "SignatureNotMatch", text: "key " + keyID + " token " + token + "\nStringToSign: POST\n" + strings.Repeat("x", 5000)}}}
	_, err := client(t, s).Query(t.Context(), "access", query, from, to, 0)
	for _, bad := range []string{keyID, token, secret, "StringToSign", "\n"} {
		if strings.Contains(err.Error(), bad) {
			t.Errorf("error contains %q: %v", bad, err)
		}
	}
	if len(err.Error()) > 600 {
		t.Errorf("error has %d bytes", len(err.Error()))
	}
	if got := fmt.Sprintf("%v %+v %#v", sls.Credentials{AccessKeySecret: secret}, sls.Credentials{AccessKeySecret: secret}, sls.Credentials{AccessKeySecret: secret}); strings.Contains(got, secret) {
		t.Errorf("credentials print as %s", got)
	}
}

func TestCredentialsThatCannotBeHadAreDenied(t *testing.T) {
	broken := errors.New("no role")
	for name, f := range map[string]func(context.Context) (sls.Credentials, error){
		"error": func(context.Context) (sls.Credentials, error) { return sls.Credentials{}, broken },
		"empty": func(context.Context) (sls.Credentials, error) { return sls.Credentials{AccessKeyID: "a"}, nil },
	} {
		s := &service{answers: []answer{complete(1)}}
		c := client(t, s, func(c *sls.Config) { c.Credentials = f })
		_, err := c.Query(t.Context(), "access", query, from, to, 0)
		if !errors.Is(err, sls.ErrDenied) || s.calls() != 0 || name == "error" && !errors.Is(err, broken) {
			t.Errorf("%s: err = %v after %d calls", name, err, s.calls())
		}
	}
}

func TestBackoffGrowsAndJitters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{answers: []answer{{status: 503, code: "ServerBusy"}}}
		_, err := client(t, s).Query(t.Context(), "access", query, from, to, 0) // no deadline: the client's own holds
		if !errors.Is(err, sls.ErrThrottled) {
			t.Fatal(err)
		}
		if n := s.calls(); n < 20 || n > 60 {
			t.Errorf("calls in two minutes = %d, want some 30", n)
		}
		for i := 1; i < len(s.seen); i++ {
			if pause := s.seen[i].at.Sub(s.seen[i-1].at); pause < 100*time.Millisecond || pause > 5*time.Second {
				t.Errorf("pause %d = %s", i, pause)
			}
		}
		if last := s.seen[len(s.seen)-1].at.Sub(s.seen[0].at); last > 2*time.Minute {
			t.Errorf("still asking after %s", last)
		}
	})
}

// The SDK knows no context: without the binding this test waits for a minute.
func TestACancelledContextEndsAQueryThatHangs(t *testing.T) {
	entered := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that the client is gone
		close(entered)
		<-r.Context().Done()
	}))
	defer srv.Close()
	c := client(t, nil, func(c *sls.Config) { c.Endpoint, c.HTTPClient = srv.URL, nil })
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	started := time.Now()
	_, err := c.Query(ctx, "access", query, from, to, 0)
	if !errors.Is(err, context.Canceled) || time.Since(started) > 10*time.Second {
		t.Errorf("err = %v after %s", err, time.Since(started))
	}
}

// Likewise when the answer has begun and its end never comes.
func TestADeadlineEndsAnAnswerThatStalls(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write([]byte(`{"meta":{"progress":"Complete"},`))
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	defer srv.Close()
	c := client(t, nil, func(c *sls.Config) { c.Endpoint, c.HTTPClient = srv.URL, nil })
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := c.Query(ctx, "access", query, from, to, 0); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, sls.ErrUnavailable) {
		t.Errorf("err = %v", err)
	}
}

func TestAnEndpointWithAnAddressIsDialledUnderTheProjectsName(t *testing.T) {
	var host atomic.Value
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host.Store(r.Host)
		complete(1).write(w)
	}))
	defer srv.Close()
	_, port, _ := net.SplitHostPort(srv.Listener.Addr().String())
	for _, given := range []*http.Client{nil, {Transport: &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return nil, errors.New("proxy asked") }}}} {
		c := client(t, nil, func(c *sls.Config) { c.Endpoint, c.HTTPClient = "http://127.0.0.1:"+port, given })
		if _, err := c.Query(t.Context(), "access", query, from, to, 0); err != nil {
			t.Fatal(err)
		}
		c.Close()
		if got := host.Load(); got != "story.sls.localhost" {
			t.Errorf("host = %v", got)
		}
	}
}

func TestConfigurationProblemsComeAllAtOnce(t *testing.T) {
	_, err := sls.New(sls.Config{Endpoint: "ftp://user:hunter2@x", Project: "UPPER"})
	for _, want := range []string{"endpoint", "project \"UPPER\"", "credentials"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want %s in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error shows a password: %v", err)
	}
	for endpoint, ok := range map[string]bool{
		"cn-hangzhou.log.aliyuncs.com": true, "https://cn-hangzhou.log.aliyuncs.com/": true, "http://[::1]:80": true, "http://127.0.0.1": true,
		"": false, "https://127.0.0.1:443": false, "https://h/path": false, "https://h?x=1": false, "http://": false, "://": false,
	} {
		_, err := sls.New(sls.Config{Endpoint: endpoint, Project: "story", Credentials: fixed})
		if (err == nil) != ok {
			t.Errorf("endpoint %q: err = %v", endpoint, err)
		}
	}
}
