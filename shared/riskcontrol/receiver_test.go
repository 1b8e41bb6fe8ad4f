package riskcontrol_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/riskcontrol"
	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/threat"
)

const (
	oldSecret = "p4ss-old-0123456789abcdef0123456789"
	newSecret = "p4ss-new-0123456789abcdef0123456789"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// receiver is a risk-control service as the package comment asks for one. It shares no
// code with the sender.
type receiver struct {
	secret string
	clock  func() time.Time

	// fault, if set, is asked for each request: a status instead of 200, whether the
	// delivery is applied all the same, and whether the answer is lost.
	fault func(n int) (status int, apply, lost bool)

	mu         sync.Mutex
	requests   int
	deliveries map[string]int // how often each was seen
	ids        map[string]int // how often each event was applied
	state      map[string]riskcontrol.Account
	campaigns  []riskcontrol.Campaign
	bodies     [][]byte
	signatures []string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.requests
	r.requests++
	r.bodies = append(r.bodies, body)
	r.signatures = append(r.signatures, req.Header.Get("Tracewall-Signature"))
	if !r.genuine(req.Header.Get("Tracewall-Signature"), body) {
		http.Error(w, "who are you", http.StatusUnauthorized)
		return
	}
	status, apply, lost := 200, true, false
	if r.fault != nil {
		status, apply, lost = r.fault(n)
	}
	if apply {
		r.apply(req.Header.Get("Tracewall-Delivery"), body)
	}
	if lost {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte("p4ss: I repeat what you say: " + string(body)))
}

func (r *receiver) genuine(header string, body []byte) bool {
	at, good := "", false
	for part := range strings.SplitSeq(header, ",") {
		if t, ok := strings.CutPrefix(part, "t="); ok {
			at = t
		}
	}
	h := hmac.New(sha256.New, []byte(r.secret))
	h.Write([]byte(at + "." + string(body)))
	want := hex.EncodeToString(h.Sum(nil))
	for part := range strings.SplitSeq(header, ",") {
		if v1, ok := strings.CutPrefix(part, "v1="); ok {
			good = hmac.Equal([]byte(want), []byte(v1)) || good
		}
	}
	seconds, err := strconv.ParseInt(at, 10, 64)
	return good && err == nil && r.clock().Sub(time.Unix(seconds, 0)).Abs() <= 5*time.Minute
}

func (r *receiver) apply(delivery string, body []byte) {
	if r.deliveries == nil {
		r.deliveries, r.ids, r.state = map[string]int{}, map[string]int{}, map[string]riskcontrol.Account{}
	}
	if r.deliveries[delivery]++; r.deliveries[delivery] > 1 {
		return // seen
	}
	var d struct {
		Version int
		Source  string
		Events  []riskcontrol.Event
	}
	if err := json.Unmarshal(body, &d); err != nil || d.Version != 1 {
		panic("not a delivery")
	}
	for _, e := range d.Events {
		r.ids[e.ID]++
		switch e.Type {
		case riskcontrol.AccountBlocked, riskcontrol.AccountExtended:
			r.state[e.Account.ID] = *e.Account
		case riskcontrol.AccountReleased:
			delete(r.state, e.Account.ID)
		case riskcontrol.CampaignProposed:
			r.campaigns = append(r.campaigns, *e.Campaign)
		}
	}
}

// blocked returns what holds at a time: a block ends at its end by itself.
func (r *receiver) blocked(at time.Time) map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string]string{}
	for account, a := range r.state {
		if a.Until.After(at) {
			all[account] = a.Action + " until " + a.Until.Format(time.RFC3339)
		}
	}
	return all
}

// RoundTrip makes the receiver a transport, without a network.
func (r *receiver) RoundTrip(req *http.Request) (answer *http.Response, err error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p == http.ErrAbortHandler { //nolint:errorlint // what net/http panics with is this value itself
			answer, err = nil, io.ErrUnexpectedEOF
		} else if p != nil {
			panic(p)
		}
	}()
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w.Result(), nil
}

// world is a list, a memory and the clocks around a notifier.
type world struct {
	entries []blocklist.Entry
	listErr error
	allow   allowlist.List
	allErr  error

	memory map[string][]byte
	// onState and onSave, if set, may fail a call; apply tells whether a save happens all the same.
	onState func(name string) error
	onSave  func(name string) (apply bool, err error)
	saves   int

	at   time.Time
	wait []time.Duration
}

func newWorld() *world { return &world{memory: map[string][]byte{}, at: now} }

func (w *world) Accounts(context.Context, time.Time) ([]blocklist.Entry, error) {
	return w.entries, w.listErr
}

func (w *world) Allowlist(context.Context) (allowlist.List, error) { return w.allow, w.allErr }

func (w *world) State(_ context.Context, name string) ([]byte, bool, error) {
	if w.onState != nil {
		if err := w.onState(name); err != nil {
			return nil, false, err
		}
	}
	data, ok := w.memory[name]
	return data, ok, nil
}

func (w *world) SaveState(_ context.Context, name string, data []byte) error {
	w.saves++
	apply, err := true, error(nil)
	if w.onSave != nil {
		apply, err = w.onSave(name)
	}
	if apply {
		w.memory[name] = bytes.Clone(data)
	}
	return err
}

func (w *world) clock() time.Time { return w.at }

func (w *world) config(t http.RoundTripper, secrets ...secret.Secret) riskcontrol.Config {
	if len(secrets) == 0 {
		secrets = []secret.Secret{oldSecret}
	}
	return riskcontrol.Config{
		URL: "https://risk.example.com/hook?token=p4ss-query", Secrets: secrets, List: w, Memory: w, Allowlist: w.Allowlist, Clock: w.clock, Transport: t,
		Wait: func(ctx context.Context, d time.Duration) error { w.wait = append(w.wait, d); return ctx.Err() },
	}
}

func (w *world) notifier(tb testing.TB, t http.RoundTripper, secrets ...secret.Secret) *riskcontrol.Notifier {
	tb.Helper()
	n, err := riskcontrol.New(w.config(t, secrets...))
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func (w *world) receiver() *receiver { return &receiver{secret: oldSecret, clock: w.clock} }

// block puts accounts on the list, from a time on for an hour.
func (w *world) block(at time.Time, accounts ...string) {
	for _, account := range accounts {
		ind, err := threat.Account(account)
		if err != nil {
			panic(err)
		}
		w.entries = append(w.entries, blocklist.Entry{
			Indicator: ind, Source: blocklist.SourceDetect, Severity: threat.High, Rules: []string{"sms-flood"}, Reason: "9,412 addresses share it",
			Since: at, ExpiresAt: at.Add(time.Hour), Addresses: 9412,
		})
	}
}

// unblock takes an account off the list.
func (w *world) unblock(account string) {
	for i, e := range w.entries {
		if e.Indicator.Account() == account {
			w.entries = append(w.entries[:i:i], w.entries[i+1:]...)
			return
		}
	}
}

// listed is what a receiver should hold.
func (w *world) listed(at time.Time) map[string]string {
	all := map[string]string{}
	for _, e := range w.entries {
		if _, spared := w.allow.Covers(e.Indicator, at); !spared && e.ExpiresAt.After(at) {
			action := "block"
			if e.Challenge {
				action = "challenge"
			}
			all[e.Indicator.Account()] = action + " until " + e.ExpiresAt.Format(time.RFC3339)
		}
	}
	return all
}

var errBroken = errors.New("connection refused")
