// Package syncruntest is what the end-to-end tests of all sync functions share: a Redis with
// a small blocklist and an allowlist, the function as it is deployed, and a look at whether it
// kept its secrets. Each function's tests add their cloud's stand-in.
package syncruntest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/functiontest"
	"github.com/tracewall/tracewall/shared/syncrun"
	"github.com/tracewall/tracewall/shared/threat"
)

// What must never be seen in anything that a function writes or returns.
const (
	RedisPassword = "r3dis-p4ssw0rd"
	KeySecret     = "k3y-s3cr3t"
	KeyToken      = "k3y-t0ken"
	Account       = "nbNgQ01wRWiOSVcI2Y/hUw=="
)

// World is everything around a sync function but its cloud. It is for one test.
type World struct {
	Redis *miniredis.Miniredis
	Store *redisstore.Store
	Out   *functiontest.Transcript // all that the functions wrote, and what they returned
	Env   map[string]string        // what Start gives a function; the test adds its cloud's
	Clock time.Time                // of Redis and of what is put on the list
	Limit time.Duration            // the platform's timeout

	funcs []*functiontest.Function
}

// NewWorld makes a Redis whose allowlist spares an office, 198.51.100.0/24, and whose
// list holds four addresses, one of them the office's, and an account. Env
// has REDIS_URL, enforces, and does not stay.
func NewWorld(t *testing.T, at time.Time) *World {
	t.Helper()
	w := &World{Redis: miniredis.RunT(t), Out: &functiontest.Transcript{}, Clock: at, Limit: 30 * time.Second}
	w.Redis.SetTime(at) // by a later clock of the server's the entries would have ended
	w.Redis.RequireUserAuth("sync", RedisPassword)
	address := fmt.Sprintf("redis://sync:%s@%s", RedisPassword, w.Redis.Addr())
	var err error
	if w.Store, err = redisstore.Open(t.Context(), address); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Store.Close() })
	w.Allow(t, "198.51.100.0/24 owner=office\n")
	w.Block(t, "ip:203.0.113.7", "ip:192.0.2.44", "ip:2001:db8:1:2::/64", "ip:198.51.100.4", "account:"+Account)
	w.Env = map[string]string{"REDIS_URL": address, "SYNC_MODE": "enforce", "WAIT": "0"}
	return w
}

// Blocked is what a wall enforces of a new World's list.
func Blocked() []string { return []string{"192.0.2.44/32", "203.0.113.7/32", "2001:db8:1:2::/64"} }

// Allow replaces the allowlist.
func (w *World) Allow(t *testing.T, text string) {
	t.Helper()
	list, err := allowlist.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Store.SaveAllowlist(t.Context(), list); err != nil {
		t.Fatal(err)
	}
}

// Block puts subjects on the list for 72 hours, by their keys: "ip:192.0.2.1".
func (w *World) Block(t *testing.T, keys ...string) {
	t.Helper()
	batch := blocklist.Batch{Run: "test", Now: w.Clock}
	for _, key := range keys {
		batch.Offences = append(batch.Offences, blocklist.Offence{
			Entry: blocklist.Entry{Indicator: indicator(t, key), Source: blocklist.SourceDetect, Severity: threat.High, Rules: []string{"test"}},
			At:    w.Clock.Add(-time.Minute), Term: 72 * time.Hour,
		})
	}
	if _, err := w.Store.Put(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

// Crowd puts 30 addresses more on the list, and returns 20 of them: more than may vanish unexplained.
func (w *World) Crowd(t *testing.T) (many []string) {
	t.Helper()
	var all []string
	for i := range 30 {
		address := fmt.Sprintf("203.0.113.%d", 100+i)
		if all = append(all, "ip:"+address); i < 20 {
			many = append(many, address)
		}
	}
	w.Block(t, all...)
	return many
}

// Unblock takes subjects off the list as an operator does.
func (w *World) Unblock(t *testing.T, keys ...string) {
	t.Helper()
	var gone []threat.Indicator
	for _, key := range keys {
		gone = append(gone, indicator(t, key))
	}
	if _, err := w.Store.Remove(t.Context(), w.Clock, "test", gone); err != nil {
		t.Fatal(err)
	}
}

// Vanish takes addresses off the list as if they had never been on it.
func (w *World) Vanish(t *testing.T, addresses ...string) {
	t.Helper()
	const prefix = "{tracewall}:v1:"
	for _, address := range addresses {
		w.Redis.Del(prefix + "entry:ip:" + address)
		if _, err := w.Redis.ZRem(prefix+"expiry", "ip:"+address); err != nil {
			t.Fatal(err)
		}
	}
	left, err := w.Redis.ZMembers(prefix + "expiry")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Redis.Set(prefix+"size", fmt.Sprint(len(left))); err != nil {
		t.Fatal(err)
	}
}

// Approve lets the next run over a target release so many, as an operator does.
func (w *World) Approve(t *testing.T, kind, target string, release int) {
	t.Helper()
	if err := w.Store.SaveApproval(t.Context(), enforce.Key(kind, target), blocklist.Approval{Release: release, At: w.Clock}); err != nil {
		t.Fatal(err)
	}
}

func indicator(t *testing.T, key string) threat.Indicator {
	t.Helper()
	ind, err := threat.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return ind
}

// Starter is functiontest.StartLambda or functiontest.StartFC.
type Starter func(ctx context.Context, cfg functiontest.Config) (*functiontest.Function, error)

// Start starts a function with Env and, over it, cfg.Env (empty counts as absent). The
// secret and the token of its credentials are the World's.
func (w *World) Start(t *testing.T, start Starter, cfg functiontest.Config) *functiontest.Function {
	t.Helper()
	env := maps.Clone(w.Env)
	maps.Copy(env, cfg.Env)
	cfg.Env, cfg.Timeout, cfg.Stderr = env, w.Limit, w.Out
	cfg.Credentials.AccessKeySecret, cfg.Credentials.SecurityToken = KeySecret, KeyToken
	f, err := start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	w.funcs = append(w.funcs, f)
	return f
}

// Invoke hands a function an event and returns its result.
func (w *World) Invoke(t *testing.T, f *functiontest.Function, payload []byte) (syncrun.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	text, err := f.Invoke(ctx, payload)
	if err != nil {
		return syncrun.Result{}, err
	}
	_, _ = w.Out.Write(text)
	var res syncrun.Result
	if err := json.Unmarshal(text, &res); err != nil {
		t.Errorf("result %s: %v", text, err)
	}
	return res, nil
}

// Keeps ends the functions, whose last lines may come after their answer, and fails the test
// if their output, or what they returned, shows a secret or a whole account.
func (w *World) Keeps(t *testing.T) {
	t.Helper()
	for _, f := range w.funcs {
		f.Close()
	}
	for _, secret := range []string{RedisPassword, KeySecret, KeyToken, Account} {
		if out := w.Out.String(); strings.Contains(out, secret) {
			t.Errorf("output shows %s:\n%s", secret, out)
		}
	}
}

// Sample returns a file of events/, seen from a function's folder.
func Sample(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "events", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Until waits for something to become true, for as long as a loaded machine may take, and
// returns how long it took.
func Until(t *testing.T, what string, within time.Duration, is func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !is() {
		if time.Since(start) > within {
			t.Fatalf("%s: not within %s", what, within)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(start)
}
