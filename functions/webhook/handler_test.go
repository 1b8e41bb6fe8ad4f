package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fccontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/fcinvoke"
	"github.com/tracewall/tracewall/shared/telemetry"
)

// memory is a store for marks that can fail, before it has done what it was asked or after.
type memory struct {
	mu    sync.Mutex
	marks map[string]bool
	fail  func() (applied, failed bool)
}

func (m *memory) First(_ context.Context, key string, ttl time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ttl != markTTL {
		return false, fmt.Errorf("ttl %s", ttl)
	}
	applied, failed := true, false
	if m.fail != nil {
		applied, failed = m.fail()
	}
	first := !m.marks[key]
	if applied {
		m.marks[key] = true
	}
	if failed {
		return false, errors.New("first: redis is down")
	}
	return first, nil
}

// starter records what detect was started with.
type starter struct {
	mu    sync.Mutex
	calls []string
	fail  func(payload string) error
}

func (s *starter) InvokeAsync(_ context.Context, function string, payload []byte) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if err := s.fail(string(payload)); err != nil {
			return "", err
		}
	}
	s.calls = append(s.calls, function+" "+string(payload))
	return "1-2-3", nil
}

// stage is a handler with everything around it.
type stage struct {
	*handler
	memory  *memory
	starter *starter
	logged  *bytes.Buffer
}

const alertUnix = 1780000000 // the events' own time, 2026-05-28T20:26:40Z

func newStage() stage {
	var logged bytes.Buffer
	now := func() time.Time { return at(alertUnix + 2) }
	s := stage{memory: &memory{marks: map[string]bool{}}, starter: &starter{}, logged: &logged}
	s.handler = &handler{
		door:    door{token: goodToken, sources: []netip.Prefix{netip.MustParsePrefix("120.76.47.88/32"), netip.MustParsePrefix("2001:db8::/64")}},
		rules:   map[string]string{"tracewall-rate-limit-address": "rate-limit-address", "tracewall-sms-account": "sms-account"},
		detect:  "sls-ops-tracewall-detect",
		marks:   marks{s.memory},
		invoker: s.starter,
		now:     now,
		log:     telemetry.New(&logged, function),
		metrics: telemetry.NewMetrics(&logged, now, telemetry.Plain, function),
	}
	return s
}

// post is a good request with an alert in it.
func post(body string) *request {
	r := &request{Body: body, Headers: map[string]string{"Authorization": "Bearer " + goodToken}, RawPath: "/alerts"}
	r.RequestContext.HTTP.Method, r.RequestContext.HTTP.Path, r.RequestContext.HTTP.SourceIP = "POST", "/alerts", "120.76.47.88"
	return r
}

func firing(change string) string {
	const fields = `"alert_id":"tracewall-rate-limit-address","alert_instance_id":"i-1","alert_time":1780000000,"status":"firing","results":[{"start_time":1779999880,"end_time":1780000000,"query":"* | select secret_query"}]`
	if change != "" {
		change = "," + change
	}
	return "{" + fields + change + "}"
}

func (s stage) send(t interface{ Fatal(...any) }, r *request) (response, answer) {
	payload, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Handle(context.Background(), payload)
	if err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal([]byte(got.Body), &a); err != nil {
		t.Fatal(err)
	}
	return got, a
}

func TestAnAlertStartsDetect(t *testing.T) {
	t.Parallel()
	const call = `sls-ops-tracewall-detect {"rules":["rate-limit-address"],"from":"2026-05-28T20:24:40Z","to":"2026-05-28T20:26:40Z"}`
	for _, tc := range []struct {
		name  string
		edit  func(*request)
		calls []string
	}{
		{"as Log Service sends it", func(*request) {}, []string{call}},
		{"headers in any case", func(r *request) { r.Headers = map[string]string{"aUTHORIZATION": "bearer  " + goodToken + " "} }, []string{call}},
		{"the token in our own header", func(r *request) { r.Headers = map[string]string{"x-tracewall-token": goodToken} }, []string{call}},
		{"our own header beside another scheme", func(r *request) {
			r.Headers = map[string]string{"Authorization": "Basic xyz", "X-Tracewall-Token": goodToken}
		}, []string{call}},
		{"at the root", func(r *request) { r.RequestContext.HTTP.Path, r.RawPath = "/", "/" }, []string{call}},
		{"only a raw path", func(r *request) { r.RequestContext.HTTP.Path = "" }, []string{call}},
		{"from a range", func(r *request) { r.RequestContext.HTTP.SourceIP = "2001:db8::77" }, []string{call}},
		{"from a mapped address", func(r *request) { r.RequestContext.HTTP.SourceIP = "::ffff:120.76.47.88" }, []string{call}},
		{"a body in base64", func(r *request) {
			r.Body, r.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte(r.Body)), true
		}, []string{call}},
		{"two firings of one rule are one call", func(r *request) {
			r.Body = "[" + r.Body + "," + firing(`"alert_instance_id":"i-2","alert_time":1780000001`) + "]"
		}, []string{call}},
		{"two rules over the same time are one call", func(r *request) {
			r.Body = "[" + r.Body + "," + firing(`"alert_id":"tracewall-sms-account","alert_instance_id":"i-2"`) + "]"
		}, []string{strings.Replace(call, `"rate-limit-address"`, `"rate-limit-address","sms-account"`, 1)}},
		{"two rules over other times are two", func(r *request) {
			r.Body = "[" + r.Body + "," + firing(`"alert_id":"tracewall-sms-account","alert_instance_id":"i-2","results":[]`) + "]"
		}, []string{`sls-ops-tracewall-detect {"rules":["sms-account"],"from":"2026-05-28T20:16:40Z","to":"2026-05-28T20:26:40Z"}`, call}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newStage()
			r := post(firing(""))
			tc.edit(r)
			got, a := s.send(t, r)
			if got.StatusCode != 200 || a.Outcome != "ok" || a.Alerts[0].Outcome != started || a.Alerts[0].Rule == "" {
				t.Errorf("answer %+v, want 200 and started", got)
			}
			if got.Headers["Content-Type"] != "application/json" || got.IsBase64Encoded || got.Body == "" {
				t.Errorf("answer %+v, want all four fields", got)
			}
			slices.Sort(s.starter.calls)
			want := slices.Sorted(slices.Values(tc.calls))
			if diff := cmp.Diff(want, s.starter.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRequestsThatAreTurnedAway(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		edit   func(*request)
		status int
		reason string
	}{
		{"another method", func(r *request) { r.RequestContext.HTTP.Method = "GET" }, 405, "method"},
		{"a method in small letters", func(r *request) { r.RequestContext.HTTP.Method = "post" }, 405, "method"},
		{"another path", func(r *request) { r.RequestContext.HTTP.Path = "/alerts/x" }, 404, "path"},
		{"from elsewhere", func(r *request) { r.RequestContext.HTTP.SourceIP = "192.0.2.7" }, 403, "source address"},
		{"from nowhere", func(r *request) { r.RequestContext.HTTP.SourceIP = "" }, 403, "source address"},
		{"from elsewhere, claiming to be forwarded", func(r *request) {
			r.RequestContext.HTTP.SourceIP = "192.0.2.7"
			r.Headers["X-Forwarded-For"] = "120.76.47.88"
		}, 403, "source address"},
		{"from elsewhere with a wrong token: the token is not even tried", func(r *request) {
			r.RequestContext.HTTP.SourceIP, r.Headers = "192.0.2.7", nil
		}, 403, "source address"},
		{"no token", func(r *request) { r.Headers = nil }, 401, "token"},
		{"an empty token", func(r *request) { r.Headers["Authorization"] = "Bearer " }, 401, "token"},
		{"a wrong token", func(r *request) { r.Headers["Authorization"] = "Bearer " + strings.Repeat("x", len(goodToken)) }, 401, "token"},
		{"a token cut short", func(r *request) { r.Headers["Authorization"] = "Bearer " + goodToken[:len(goodToken)-1] }, 401, "token"},
		{"the token twice, as the gateway joins it", func(r *request) {
			r.Headers["Authorization"] = "Bearer " + goodToken + ",Bearer " + goodToken
		}, 401, "token"},
		{"the token without a scheme", func(r *request) { r.Headers["Authorization"] = goodToken }, 401, "token"},
		{"a body that is too large", func(r *request) { r.Body = strings.Repeat(" ", maxBody+1) }, 413, "body: want at most 262144 bytes"},
		{"one in base64", func(r *request) {
			r.Body, r.IsBase64Encoded = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte(" "), maxBody+1)), true
		}, 413, "body"},
		{"one in base64 that is far too large", func(r *request) { r.Body, r.IsBase64Encoded = strings.Repeat("A", maxBody*2), true }, 413, "body"},
		{"base64 that is none", func(r *request) { r.Body, r.IsBase64Encoded = "{}", true }, 400, "base64"},
		{"no JSON", func(r *request) { r.Body = "hello" }, 400, "body: want JSON"},
		{"nothing", func(r *request) { r.Body = "" }, 400, "body: want JSON"},
		{"nested too deep", func(r *request) { r.Body = strings.Repeat("[", 1000) }, 400, "nested deeper"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newStage()
			r := post(firing(""))
			tc.edit(r)
			got, a := s.send(t, r)
			if got.StatusCode != tc.status || a.Outcome != "refused" || !strings.Contains(a.Reason, tc.reason) {
				t.Errorf("answer %d %s, want %d for %q", got.StatusCode, got.Body, tc.status, tc.reason)
			}
			if len(s.starter.calls) != 0 || len(s.memory.marks) != 0 {
				t.Errorf("calls %v, marks %v after a refusal", s.starter.calls, s.memory.marks)
			}
			if !strings.Contains(s.logged.String(), fmt.Sprintf(`"status":%d`, tc.status)) {
				t.Errorf("log %s, want the status", s.logged)
			}
		})
	}
}

func TestAnEventThatIsNoRequest(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{"", "[]", "null", `"x"`, "{", `{"headers":[]}`, `{"body":1}`} {
		s := newStage()
		got, err := s.Handle(t.Context(), []byte(payload))
		if err != nil || got.StatusCode < 400 || got.StatusCode > 499 {
			t.Errorf("event %q: %+v, %v, want a 4xx", payload, got, err)
		}
	}
}

// Log Service sends again whatever is not answered with 200, so 200 also means "never mind".
func TestAlertsThatStartNothing(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body      string
		outcome, reason string
	}{
		{"resolved", firing(`"status":"resolved"`), ignored, "status: resolved"},
		{"unknown", firing(`"alert_id":"other"`), ignored, "alert_id: not in ALERT_RULES"},
		{"too old", firing(`"alert_time":1779999101`), rejected, "older than 15 minutes"},
		{"from the future", firing(`"alert_time":1780000303`), rejected, "more than 5 minutes ahead"},
		{"without an id", `{"alert_time":1780000000}`, rejected, "alert_id"},
		{"without a time", firing(`"alert_time":null`), rejected, "alert_time"},
		{"with an odd status", firing(`"status":"x"`), rejected, "status"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newStage()
			got, a := s.send(t, post(tc.body))
			if got.StatusCode != 200 || a.Alerts[0].Outcome != tc.outcome || !strings.Contains(a.Alerts[0].Reason, tc.reason) {
				t.Errorf("answer %d %s, want 200, %s, %q", got.StatusCode, got.Body, tc.outcome, tc.reason)
			}
			if len(s.starter.calls) != 0 || len(s.memory.marks) != 0 {
				t.Errorf("calls %v, marks %v", s.starter.calls, s.memory.marks)
			}
		})
	}
	s := newStage()
	for _, edge := range []string{`"alert_time":1779999102`, `"alert_time":1780000302`} {
		if _, a := s.send(t, post(firing(edge))); a.Alerts[0].Outcome != started {
			t.Errorf("alert with %s: %+v, want it started", edge, a)
		}
	}
}

func TestTheSameAlertStartsDetectOnce(t *testing.T) {
	t.Parallel()
	s := newStage()
	for i := range maxAttempts {
		want := duplicate
		if i == 0 {
			want = started
		}
		if got, a := s.send(t, post(firing(""))); got.StatusCode != 200 || a.Alerts[0].Outcome != want {
			t.Fatalf("time %d: %d %+v, want 200 and %s", i, got.StatusCode, a, want)
		}
	}
	_, a := s.send(t, post("["+firing(`"alert_time":1780000001`)+","+firing(`"alert_time":1780000001`)+"]"))
	if a.Alerts[0].Outcome != started || a.Alerts[1].Outcome != duplicate {
		t.Errorf("a new evaluation, twice in one body: %+v, want started and duplicate", a)
	}
	if len(s.starter.calls) != 2 {
		t.Errorf("calls %v, want two", s.starter.calls)
	}
}

func TestAFailureIsNotMarked(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		err    error
		status int
	}{
		{"unavailable", fcinvoke.ErrUnavailable, 503},
		{"throttled", fcinvoke.ErrThrottled, 503},
		{"denied", fcinvoke.ErrDenied, 500},
		{"refused", fcinvoke.ErrRefused, 500},
		{"anything else", errors.New("boom"), 503},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newStage()
			s.starter.fail = func(string) error { return fmt.Errorf("invoke: %w", tc.err) }
			for range 3 {
				if got, a := s.send(t, post(firing(""))); got.StatusCode != tc.status || a.Outcome != "failed" || a.Alerts[0].Outcome != failed {
					t.Errorf("answer %d %s, want %d and failed", got.StatusCode, got.Body, tc.status)
				}
			}
			s.starter.fail = nil
			if got, a := s.send(t, post(firing(""))); got.StatusCode != 200 || a.Alerts[0].Outcome != started {
				t.Errorf("sent again: %d %s, want it started: a failure swallowed the alert", got.StatusCode, got.Body)
			}
			if _, a := s.send(t, post(firing(""))); a.Alerts[0].Outcome != duplicate {
				t.Errorf("and again: %+v, want a duplicate", a)
			}
		})
	}
}

func TestWhatWasStartedIsNotStartedAgainWithWhatFailed(t *testing.T) {
	t.Parallel()
	s := newStage()
	s.starter.fail = func(payload string) error {
		if strings.Contains(payload, "sms-account") {
			return fcinvoke.ErrThrottled
		}
		return nil
	}
	body := "[" + firing("") + "," + firing(`"alert_id":"tracewall-sms-account","alert_instance_id":"i-2","results":[]`) + "]"
	if got, a := s.send(t, post(body)); got.StatusCode != 503 || a.Alerts[0].Outcome != started || a.Alerts[1].Outcome != failed {
		t.Errorf("answer %d %s, want 503, started and failed", got.StatusCode, got.Body)
	}
	s.starter.fail = nil
	if got, a := s.send(t, post(body)); got.StatusCode != 200 || a.Alerts[0].Outcome != duplicate || a.Alerts[1].Outcome != started {
		t.Errorf("sent again: %d %s, want 200, duplicate and started", got.StatusCode, got.Body)
	}
}

func TestRedisDown(t *testing.T) {
	t.Parallel()
	s := newStage()
	s.memory.fail = func() (bool, bool) { return false, true }
	if got, a := s.send(t, post(firing(""))); got.StatusCode != 503 || a.Alerts[0].Outcome != failed || len(s.starter.calls) != 0 {
		t.Errorf("answer %d %s, want 503 and nothing started", got.StatusCode, got.Body)
	}
	s.memory.fail = nil
	if _, a := s.send(t, post(firing(""))); a.Alerts[0].Outcome != started {
		t.Errorf("sent again: %+v, want it started", a)
	}

	// Down only when the mark is to be set after the start: the alert was started, and says so.
	s = newStage()
	s.memory.fail = func() (bool, bool) { return true, len(s.memory.marks) == 1 }
	if got, a := s.send(t, post(firing(""))); got.StatusCode != 200 || a.Alerts[0].Outcome != started {
		t.Errorf("answer %d %s, want 200", got.StatusCode, got.Body)
	}
}

// Whatever fails and whenever: an alert that was answered with 200 has started detect.
func TestNoFaultSwallowsAnAlert(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newStage()
		fault := func(label string) bool { return rapid.IntRange(0, 3).Draw(t, label) == 0 }
		faults := true
		s.memory.fail = func() (bool, bool) {
			if !faults || !fault("store fails") {
				return true, false
			}
			return fault("applied"), true
		}
		s.starter.fail = func(string) error {
			if faults && fault("start fails") {
				return fcinvoke.ErrUnavailable
			}
			return nil
		}
		for range rapid.IntRange(1, 40).Draw(t, "requests") {
			if got, _ := s.send(t, post(firing(""))); got.StatusCode == 200 && len(s.starter.calls) == 0 {
				t.Fatalf("answered 200 and detect was never started: %s", got.Body)
			}
		}
		faults = false
		if got, _ := s.send(t, post(firing(""))); got.StatusCode != 200 || len(s.starter.calls) == 0 {
			t.Fatalf("without faults: %d, %d starts", got.StatusCode, len(s.starter.calls))
		}
	})
}

// hanging is a store and an invoker that never answer.
type hanging struct{}

func (hanging) First(ctx context.Context, _ string, _ time.Duration) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

func (hanging) InvokeAsync(ctx context.Context, _ string, _ []byte) (string, error) {
	<-ctx.Done()
	return "", ctx.Err()
}

func TestTheAnswerComesInTime(t *testing.T) {
	t.Parallel()
	for name, hang := range map[string]func(*handler){
		"Redis hangs":            func(h *handler) { h.marks = marks{hanging{}} },
		"Function Compute hangs": func(h *handler) { h.invoker = hanging{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage()
			hang(s.handler)
			began := time.Now()
			got, _ := s.send(t, post(firing("")))
			if took := time.Since(began); took > 3*time.Second || got.StatusCode != 503 { // 1.8 s, and a busy machine
				t.Errorf("answer %d after %v, want 503 within 2 s", got.StatusCode, took)
			}
		})
	}
}

func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	s := newStage()
	const evil = `ev\"il\u2028\u001b[31m`
	for _, body := range []string{firing(""), firing(`"alert_id":"` + evil + `"`), "no json " + goodToken, firing(`"alert_time":1`)} {
		r := post(body)
		s.send(t, r)
		r.Headers["Authorization"] = "Bearer another-" + goodToken
		s.send(t, r)
	}
	ctx := fccontext.NewContext(t.Context(), &fccontext.FcContext{
		RequestID: "req-1", AccountId: "1234567890123456",
		Credentials: fccontext.Credentials{AccessKeyId: "STS.x", AccessKeySecret: "very-secret-key", SecurityToken: "very-secret-token"},
	})
	payload, _ := json.Marshal(post(firing("")))
	if _, err := s.Handle(ctx, payload); err != nil {
		t.Fatal(err)
	}
	text := s.logged.String()
	for _, secret := range []string{goodToken, "secret_query", "very-secret", "1234567890123456", "\x1b", "\u2028"} {
		if strings.Contains(text, secret) {
			t.Errorf("log has %q", secret)
		}
	}
	if !strings.Contains(text, `"request_id":"req-1"`) {
		t.Error("log lacks the request's id")
	}
	for line := range strings.Lines(text) {
		if !json.Valid([]byte(line)) {
			t.Errorf("log line %q is no JSON", line)
		}
	}
}

func TestTheCallerIsTakenFromTheContext(t *testing.T) {
	t.Parallel()
	if _, err := callerFrom(t.Context()); err == nil {
		t.Error("a caller without a context")
	}
	ctx, _ := withCaller(fccontext.NewContext(t.Context(), &fccontext.FcContext{
		AccountId: "1", Region: "cn-hangzhou",
		Credentials: fccontext.Credentials{AccessKeyId: "a", AccessKeySecret: "b", SecurityToken: "c"},
	}))
	got, err := callerFrom(ctx)
	want := fcinvoke.Identity{AccountID: "1", Region: "cn-hangzhou", AccessKeyID: "a", AccessKey: "b", SecurityToken: "c"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("caller (-want +got):\n%s%v", diff, err)
	}
}

func TestTheSampleEvents(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		file   string
		status int
		want   []string
	}{
		{"webhook.alert.json", 200, []string{started}},
		{"webhook.alerts-array.json", 200, []string{started, started, ignored}},
		{"webhook.malformed.json", 400, nil},
	} {
		payload, err := os.ReadFile("../../events/" + tc.file)
		if err != nil {
			t.Fatal(err)
		}
		s := newStage()
		got, err := s.Handle(t.Context(), payload)
		if err != nil {
			t.Fatal(err)
		}
		var a answer
		if err := json.Unmarshal([]byte(got.Body), &a); err != nil {
			t.Fatal(err)
		}
		var outcomes []string
		for _, r := range a.Alerts {
			outcomes = append(outcomes, r.Outcome)
		}
		if got.StatusCode != tc.status || !slices.Equal(outcomes, tc.want) {
			t.Errorf("%s: %d %v, want %d %v", tc.file, got.StatusCode, outcomes, tc.status, tc.want)
		}
	}
}
