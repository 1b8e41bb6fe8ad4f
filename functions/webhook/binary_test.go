package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"go.uber.org/goleak"

	"github.com/tracewall/tracewall/shared/functiontest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "local-webhook-token-for-this-laptop-only"

var role = functiontest.Credentials{AccessKeyID: "STS.local", AccessKeySecret: "very-secret-key", SecurityToken: "very-secret-token"}

// event is the sample payload with another time: now, since the binary's clock is the real one.
func event(t *testing.T, now time.Time) []byte {
	t.Helper()
	text, err := os.ReadFile("../../events/webhook.alert.json")
	if err != nil {
		t.Fatal(err)
	}
	shift := strings.NewReplacer("1780000000", fmt.Sprint(now.Unix()), "1779999880", fmt.Sprint(now.Unix()-120))
	return []byte(shift.Replace(string(text)))
}

// TestTheBinary runs the function as it is deployed: its own process, Function Compute's
// runtime API, a Redis, and a Function Compute that checks signatures.
func TestTheBinary(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(t.TempDir(), "main")
	if err := functiontest.Build(t.Context(), ".", ".", bin); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(bin)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("binary: %.1f MB", float64(info.Size())/1e6)
	if info.Size() > 15_000_000 {
		t.Errorf("binary of %d bytes, want below 15 MB", info.Size())
	}

	redis := miniredis.RunT(t)
	var mu sync.Mutex
	var got []string
	api := functiontest.NewFCAPI(functiontest.FCAPIConfig{Credentials: role})
	t.Cleanup(api.Close)
	api.Handle("sls-ops-tracewall-detect", func(_ context.Context, payload []byte, async bool) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, fmt.Sprint(async, " ", string(payload)))
		return nil, nil
	})
	endpoint, err := api.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	var output functiontest.Transcript
	config := functiontest.Config{
		Name: "tracewall-webhook", Binary: bin, Timeout: 10 * time.Second, Credentials: role, Stderr: &output,
		Env: map[string]string{
			"WEBHOOK_TOKEN": token, "DETECT_FUNCTION": "sls-ops-tracewall-detect", "FC_ENDPOINT": endpoint,
			"REDIS_URL":   "redis://" + redis.Addr(),
			"ALERT_RULES": `{"tracewall-rate-limit-address":"rate-limit-address"}`,
		},
	}
	f, err := functiontest.StartFC(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)

	payload := event(t, now)
	statusOf := func(f *functiontest.Function, payload []byte) (status int, outcome string) {
		t.Helper()
		body, err := f.Invoke(t.Context(), payload)
		if err != nil {
			t.Fatal(err)
		}
		var r map[string]json.RawMessage
		if err := json.Unmarshal(body, &r); err != nil || len(r) != 4 {
			t.Fatalf("answer %s, %v, want the four fields", body, err)
		}
		var inner string
		_ = json.Unmarshal(r["statusCode"], &status)
		_ = json.Unmarshal(r["body"], &inner)
		var a struct{ Alerts []struct{ Outcome string } }
		_ = json.Unmarshal([]byte(inner), &a)
		if len(a.Alerts) > 0 {
			outcome = a.Alerts[0].Outcome
		}
		return status, outcome
	}
	if status, outcome := statusOf(f, payload); status != 200 || outcome != "started" {
		t.Fatalf("answer %d %s, want 200 started; output:\n%s", status, outcome, output.String())
	}
	if status, outcome := statusOf(f, payload); status != 200 || outcome != "duplicate" {
		t.Errorf("again: %d %s, want 200 duplicate", status, outcome)
	}
	for i := range 50 {
		statusOf(f, bytes.ReplaceAll(payload, []byte("0123456789abcdef-0000001"), fmt.Appendf(nil, "0123456789abcdef-1%06d", i)))
	}
	if err := api.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`true {"rules":["rate-limit-address"],"from":%q,"to":%q}`, now.Add(-2*time.Minute).Format(time.RFC3339), now.Format(time.RFC3339))
	mu.Lock()
	if len(got) != 51 || got[0] != want {
		t.Errorf("%d events, the first %s, want 51 of %s", len(got), got[:min(1, len(got))], want)
	}
	mu.Unlock()
	took := f.Timings()
	slices.Sort(took.Warm)
	t.Logf("init %v, cold %v, warm median %v", took.Init, took.Cold, took.Warm[len(took.Warm)/2])

	malformed, err := os.ReadFile("../../events/webhook.malformed.json")
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := statusOf(f, malformed); status != 400 {
		t.Errorf("malformed event: %d, want 400", status)
	}

	// Redis gone, then silent: an answer all the same, in time, and Log Service sends it again.
	goneAddr := redis.Addr()
	redis.Close()
	fresh := bytes.ReplaceAll(payload, []byte("0123456789abcdef-0000001"), []byte("0123456789abcdef-0000009"))
	for name, address := range map[string]string{"gone": goneAddr, "silent": silent(t)} {
		config.Env["REDIS_URL"] = "redis://:hunter2@" + address
		g, err := functiontest.StartFC(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if status, outcome := statusOf(g, fresh); status != 503 || outcome != "failed" {
			t.Errorf("Redis %s: %d %s, want 503 failed", name, status, outcome)
		}
		if took := time.Since(began); took > 3*time.Second { // at most 1.8 s, and a busy machine
			t.Errorf("Redis %s: answer after %v, want it within 2 s", name, took)
		}
		t.Logf("Redis %s: answer after %v", name, time.Since(began))
		g.Close()
	}
	for _, secret := range []string{token, "very-secret", "hunter2", "1000000000000000", "select"} {
		if strings.Contains(output.String(), secret) {
			t.Errorf("output has %q:\n%s", secret, output.String())
		}
	}
}

// A function that is configured wrongly ends before any call and names every problem.
func TestTheBinaryRefusesAnEmptyEnvironment(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(t.TempDir(), "main")
	if err := functiontest.Build(t.Context(), ".", ".", bin); err != nil {
		t.Fatal(err)
	}
	_, err := functiontest.StartFC(t.Context(), functiontest.Config{Name: "webhook", Binary: bin})
	var ended *functiontest.ExitError
	if !errors.As(err, &ended) || ended.State != "exit status 1" {
		t.Fatalf("err = %v, want exit status 1", err)
	}
	for _, key := range []string{"WEBHOOK_TOKEN", "ALERT_RULES", "DETECT_FUNCTION", "REDIS_URL"} {
		if !strings.Contains(ended.Output, key+" is not set") {
			t.Errorf("output lacks %s:\n%s", key, ended.Output)
		}
	}
}

// silent is a server that takes connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
		}
	}()
	return l.Addr().String()
}
