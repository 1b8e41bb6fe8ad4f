//go:build cgo

// These tests run the function as it is deployed: its static binary, called
// through FC's runtime API, against a local Log Service and an embedded Redis.
// They need cgo for the Log Service only.

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/fccall"
	"github.com/tracewall/tracewall/shared/functiontest"
	"github.com/tracewall/tracewall/shared/sls"
	"github.com/tracewall/tracewall/shared/sls/slstest"
	"github.com/tracewall/tracewall/shared/threat"
)

// What must never be seen in anything that the function writes or returns.
const (
	redisPassword = "r3dis-p4ssw0rd"
	keySecret     = "k3y-s3cr3t"
	keyToken      = "k3y-t0ken"
	attacker      = "nbNgQ01wRWiOSVcI2Y/hUw=="
)

// clock is the time of the events in events/.
var clock = time.Date(2026, 5, 28, 20, 26, 40, 0, time.UTC)

// maxBinary is what the deployed function may weigh.
const maxBinary = 20 << 20

// built is the function as it is deployed, built once for all tests.
var built = functiontest.Binary{Root: filepath.Join("..", ".."), Package: "./functions/detect"}

func TestMain(m *testing.M) { built.Main(m) }

// world is everything around the function.
type world struct {
	redis *miniredis.Miniredis // nil where it is a real one
	logs  *slstest.Server
	store *redisstore.Store // the operator's

	address func(user string) string // of that Redis
	out     *functiontest.Transcript
	env     map[string]string
	funcs   []*functiontest.Function
}

// newWorld makes a Log Service with the story's lines shortly before clock, and a
// Redis whose allowlist lets the office off.
func newWorld(t *testing.T) *world {
	t.Helper()
	redis := miniredis.RunT(t)
	redis.RequireUserAuth("detect", redisPassword)
	address := fmt.Sprintf("redis://detect:%s@%s", redisPassword, redis.Addr())
	w := newWorldAt(t, func(string) string { return address })
	w.redis = redis
	if err := w.logs.CreateLogstore("gateway", map[string]slstest.FieldType{"msg": slstest.Text, "trace_id": slstest.Text}); err != nil {
		t.Fatal(err)
	}
	w.write(t)
	return w
}

// newWorldAt makes a world whose Log Service is empty, around the Redis that each
// user of infra/redis/users.acl has an address of.
func newWorldAt(t *testing.T, address func(user string) string) *world {
	t.Helper()
	w := &world{out: &functiontest.Transcript{}, address: address}
	var err error
	if w.store, err = redisstore.Open(t.Context(), address("operator")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	allow, err := allowlist.Parse(strings.NewReader("198.51.100.0/24 owner=office\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.SaveAllowlist(t.Context(), allow); err != nil {
		t.Fatal(err)
	}

	if w.logs, err = slstest.New(slstest.Config{
		Project: "tracewall-logs", AccessKeyID: "call-id", AccessKeySecret: keySecret, SecurityToken: keyToken,
		Region: "cn-hangzhou", Threads: 1, TempDir: t.TempDir(),
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.logs.Close() })
	if err := w.logs.Start(); err != nil {
		t.Fatal(err)
	}
	w.env = map[string]string{
		"SLS_ENDPOINT": w.logs.Endpoint, "SLS_PROJECT": "tracewall-logs", "SLS_LOGSTORE": "gateway", "SLS_REGION": "cn-hangzhou",
		"REDIS_URL": address("detect"), "MODE": "enforce", "CRAWLER_DNS": "off",
	}
	return w
}

// write puts the lines through the SDK: an account behind two addresses, a /64
// whose addresses are small one by one, an office, somebody harmless, and a forgery.
func (w *world) write(t *testing.T) {
	t.Helper()
	at := clock.Add(-6*time.Minute - 40*time.Second) // the start of a window of two minutes
	w.lines(t, at, "203.0.113.7", attacker, 60)
	w.lines(t, at, "192.0.2.44", attacker, 60)
	w.lines(t, at, "198.51.100.4", "", 200)
	w.lines(t, at, "203.0.113.200", "", 5)
	w.lines(t, at, "999.1.1.1", "", 1)
	for i := range 8 {
		w.lines(t, at, fmt.Sprintf("2001:db8:1:2::%d", i+1), "", 5)
	}
}

// lines puts n requests that were over the rate limit, each with the account that it was for, if any.
func (w *world) lines(t *testing.T, at time.Time, address, account string, n int) {
	t.Helper()
	client, err := sls.New(sls.Config{
		Endpoint: w.logs.Endpoint, Project: "tracewall-logs", Region: "cn-hangzhou",
		Credentials: config{Keys: fccall.Keys{ID: "call-id", Secret: keySecret, Token: keyToken}}.credentials,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var logs []sls.Log
	for i := range n {
		trace := fmt.Sprintf("trace-%s-%d", address, i)
		put := func(msg string) {
			logs = append(logs, sls.Log{Time: at.Add(time.Duration(i%50) * time.Second), Fields: []sls.Field{{Key: "msg", Value: msg}, {Key: "trace_id", Value: trace}}})
		}
		if account != "" {
			put(fmt.Sprintf(`player.getSMScode Received "uid":%s "trace_id":%s`, account, trace))
		}
		put(fmt.Sprintf(`"GET /index.html HTTP/1.1" 200 432 "-" "Mozilla/5.0" "rate limit for true-client-ip": %s "trace_id": %s`, address, trace))
	}
	if err := client.Put(t.Context(), "gateway", logs); err != nil {
		t.Fatal(err)
	}
}

// start starts the function with changes to its environment.
func (w *world) start(t *testing.T, changes map[string]string) *functiontest.Function {
	t.Helper()
	env := maps.Clone(w.env)
	maps.Copy(env, changes)
	f, err := functiontest.StartFC(t.Context(), functiontest.Config{
		Name: "sls-ops-tracewall-detect", Binary: built.Path(t), Env: env, Timeout: 30 * time.Second,
		Credentials: functiontest.Credentials{AccessKeyID: "call-id", AccessKeySecret: keySecret, SecurityToken: keyToken},
		Stderr:      w.out,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	w.funcs = append(w.funcs, f)
	return f
}

// invoke calls the function with a sample event.
func (w *world) invoke(t *testing.T, f *functiontest.Function, payload []byte) (result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	text, err := f.Invoke(ctx, payload)
	if err != nil {
		return result{}, err
	}
	_, _ = w.out.Write(text)
	var res result
	if err := json.Unmarshal(text, &res); err != nil {
		t.Fatalf("result %s: %v", text, err)
	}
	return res, nil
}

// keeps ends the function, whose last lines may come after its answer, and fails if
// its output, or what it returned, shows a secret or a whole account.
func (w *world) keeps(t *testing.T) {
	t.Helper()
	for _, f := range w.funcs {
		f.Close()
	}
	for _, secret := range []string{redisPassword, keySecret, keyToken, attacker} {
		if out := w.out.String(); strings.Contains(out, secret) {
			t.Errorf("output shows %s:\n%s", secret, out)
		}
	}
}

func (w *world) snapshot(t *testing.T) (blocklist.Snapshot, error) {
	t.Helper()
	s, err := w.store.Snapshot(t.Context(), clock)
	slices.SortFunc(s.Entries, func(a, b blocklist.Entry) int { return a.Indicator.Compare(b.Indicator) })
	return s, err
}

func TestBinaryFindsAttackersInLogLines(t *testing.T) {
	w := newWorld(t)
	f := w.start(t, nil)
	got, err := w.invoke(t, f, sample(t, "detect.timer.json"))
	if err != nil {
		t.Fatalf("%v\n%s", err, w.out)
	}
	if got.Mode != "enforce" || got.Added != 4 || got.Spared != 1 || got.Rejected != 1 || len(got.Rules) != 3 || !got.AsOf.Equal(clock) {
		t.Errorf("result = %+v", got)
	}
	first, err := w.snapshot(t)
	if err != nil {
		t.Fatal(err)
	}
	var blocked []string
	for _, e := range first.Entries {
		blocked = append(blocked, e.Indicator.Key())
		if !firstTerm(e) || e.ExpiresAt.Before(clock) {
			t.Errorf("%s blocked from %s to %s, want 72h and up to a tenth of it from the end of its window", e.Indicator.Key(), e.Since, e.ExpiresAt)
		}
	}
	want := []string{"ip:192.0.2.44", "ip:203.0.113.7", "ip:2001:db8:1:2::/64", "account:" + attacker}
	if diff := cmp.Diff(want, blocked); diff != "" {
		t.Errorf("blocked (-want +got):\n%s", diff)
	}

	// Triggers are at-least-once, and each may ring for the same lines.
	for _, event := range []string{"detect.timer.json", "detect.log.json", "detect.direct.json"} {
		if _, err := w.invoke(t, f, sample(t, event)); err != nil {
			t.Errorf("%s again: %v", event, err)
		}
	}
	again, err := w.snapshot(t)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, again, cmp.Comparer(func(a, b threat.Indicator) bool { return a == b })); diff != "" {
		t.Errorf("the list changed by reading the same lines again (-first +again):\n%s", diff)
	}
	w.keeps(t)
}

func TestTwoInstancesAtOnceLeaveTheListOfOne(t *testing.T) {
	w := newWorld(t)
	// A direct call takes no lease, so these two really do the same work at once.
	payload := []byte(`{"from":"2026-05-28T19:56:00Z","to":"2026-05-28T20:26:00Z","as_of":"2026-05-28T20:26:40Z"}`)
	var group sync.WaitGroup
	for range 2 {
		f := w.start(t, nil)
		for range 3 {
			group.Go(func() {
				if _, err := f.Invoke(t.Context(), payload); err != nil {
					t.Error(err)
				}
			})
		}
	}
	group.Wait()
	list, err := w.snapshot(t)
	if err != nil || len(list.Entries) != 4 {
		t.Fatalf("list = %+v, %v; want four entries", list.Entries, err)
	}
	for _, e := range list.Entries {
		if e.Strikes != 1 || !firstTerm(e) {
			t.Errorf("%s has %d strikes and lasts %s, want one block of 72h", e.Indicator.Masked(), e.Strikes, e.ExpiresAt.Sub(e.Since))
		}
	}
}

func TestBinaryBlocksNobodyWhenItMustNot(t *testing.T) {
	tests := []struct {
		name   string
		env    map[string]string
		broken func(*world)
		want   string // in the error; "" for none
	}{
		{"in observe mode", map[string]string{"MODE": "observe"}, nil, ""},
		{"when the brake holds", map[string]string{"MAX_NEW": "1"}, nil, "held by the brake"},
		{"without an allowlist", nil, func(w *world) { w.redis.Del("{tracewall}:v1:allowlist") }, "allowlist unreadable"},
		{"with half an allowlist", nil, func(w *world) { _ = w.redis.Set("{tracewall}:v1:allowlist", "198.51.100.0/24") }, "allowlist unreadable"},
		{"when the project is not there", nil, func(w *world) { w.env["SLS_PROJECT"] = "other-logs" }, "rule rate-limit-address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			if tt.broken != nil {
				tt.broken(w)
			}
			got, err := w.invoke(t, w.start(t, tt.env), sample(t, "detect.timer.json"))
			if tt.want == "" && (err != nil || got.Blocked != 4 || got.Added != 0) {
				t.Errorf("result = %+v, %v; want 4 that would be blocked", got, err)
			}
			if tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
			if s, err := w.snapshot(t); len(s.Entries) != 0 {
				t.Errorf("%d entries on the list (%v)", len(s.Entries), err)
			}
			if _, ok, err := w.store.Checkpoint(t.Context(), "rate-limit-address"); ok || err != nil {
				t.Errorf("checkpoint moved: %t, %v", ok, err)
			}
			w.keeps(t)
		})
	}
}

func TestBinaryFailsWhenRedisIsUnreachable(t *testing.T) {
	w := newWorld(t)
	f := w.start(t, nil)
	w.redis.Close()
	for _, event := range []string{"detect.timer.json", "detect.direct.json"} {
		if _, err := w.invoke(t, f, sample(t, event)); err == nil {
			t.Errorf("%s: no error", event)
		}
	}
	w.keeps(t)
}

func TestBinaryRefusesABadEventAndGoesOn(t *testing.T) {
	w := newWorld(t)
	f := w.start(t, nil)
	_, err := w.invoke(t, f, sample(t, "detect.malformed.json"))
	failure, ok := errors.AsType[*functiontest.FunctionError](err)
	if !ok || !strings.Contains(failure.Message, `field "form"`) {
		t.Errorf("error = %v, want one that names the field", err)
	}
	if _, err := w.invoke(t, f, sample(t, "detect.direct.json")); err != nil {
		t.Errorf("the next event: %v", err)
	}
}

func TestBinaryEndsWithEveryProblemOfItsConfiguration(t *testing.T) {
	_, err := functiontest.StartFC(t.Context(), functiontest.Config{
		Name: "detect", Binary: built.Path(t), Env: map[string]string{"SLS_PROJECT": "P", "MODE": "on", "BLOCK_TERM": "1", "REDIS_URL": "mysql://u:" + redisPassword + "@h"},
	})
	exit, ok := errors.AsType[*functiontest.ExitError](err)
	if !ok {
		t.Fatalf("error = %v, want an ExitError", err)
	}
	for _, want := range []string{"SLS_ENDPOINT is not set", "SLS_PROJECT", "SLS_LOGSTORE is not set", "REDIS_URL (value withheld", "BLOCK_TERM", "MODE"} {
		if !strings.Contains(exit.Output, want) {
			t.Errorf("output does not name %s:\n%s", want, exit.Output)
		}
	}
	if strings.Contains(exit.Output, redisPassword) {
		t.Errorf("output shows a password:\n%s", exit.Output)
	}
}

func TestBinaryStaysSmall(t *testing.T) {
	info, err := os.Stat(built.Path(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("detect weighs %.1f MB", float64(info.Size())/1e6)
	if info.Size() >= maxBinary {
		t.Errorf("detect weighs %d bytes, want less than %d", info.Size(), maxBinary)
	}
}

// firstTerm tells whether a block lasts the default term, with the jitter that only the store knows.
func firstTerm(e blocklist.Entry) bool {
	lasts := e.ExpiresAt.Sub(e.Since)
	return lasts >= blocklist.DefaultTerm && lasts < blocklist.DefaultTerm*11/10
}
