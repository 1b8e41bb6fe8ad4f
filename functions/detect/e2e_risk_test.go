//go:build cgo

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/riskcontrol"
	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/threat"
)

// riskSecret signs what the risk-control service is told.
const riskSecret = "r1sk-0123456789abcdef0123456789abcdef"

// riskService is the user's own service, as the package riskcontrol asks for one.
type riskService struct {
	mu       sync.Mutex
	heard    []string // "account.blocked NAME"
	problems []string
}

func (s *riskService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		err = riskcontrol.Verify([]secret.Secret{riskSecret}, r.Header.Get(riskcontrol.SignatureHeader), body, time.Now())
	}
	var d struct {
		Events []riskcontrol.Event `json:"events"`
	}
	if err == nil {
		err = json.Unmarshal(body, &d)
	}
	if err != nil {
		s.problems = append(s.problems, err.Error())
		http.Error(w, "refused", http.StatusUnauthorized)
		return
	}
	for _, e := range d.Events {
		if e.Account != nil {
			s.heard = append(s.heard, string(e.Type)+" "+e.Account.ID+" "+e.Account.Action)
		}
	}
}

// withRiskService lets the function tell a service of this test which accounts are blocked.
func (w *world) withRiskService(t *testing.T) *riskService {
	t.Helper()
	s := &riskService{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	w.env["RISK_WEBHOOK_URL"], w.env["RISK_WEBHOOK_SECRET"] = server.URL+"/tracewall", riskSecret
	return s
}

// since returns what was heard since it was asked last.
func (s *riskService) since() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	heard := s.heard
	s.heard = nil
	return heard
}

func TestTheRiskControlServiceHearsOfABlockedAccountOnceAndOfItsRelease(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	service := w.withRiskService(t)
	f := w.start(t, nil)
	at := clock
	run := func(what string, want told, heard ...string) {
		t.Helper()
		got, err := w.invoke(t, f, tickAt(at))
		if err != nil {
			t.Fatalf("%s: %v\n%s", what, err, w.out)
		}
		if got.Told == nil || *got.Told != want {
			t.Errorf("%s: told %+v, want %+v", what, got.Told, want)
		}
		if diff := cmp.Diff(heard, service.since()); diff != "" {
			t.Errorf("%s: heard (-want +got):\n%s", what, diff)
		}
		at = at.Add(time.Minute)
	}
	run("the first run", told{Blocked: 1}, "account.blocked "+attacker+" block")
	run("the next one", told{})
	for _, key := range w.redis.Keys() {
		if strings.Contains(key, ":state:riskcontrol-") {
			w.redis.Del(key)
		}
	}
	run("after its memory was lost", told{Blocked: 1}, "account.blocked "+attacker+" block")
	if _, err := w.store.Unblock(t.Context(), blocklist.Unblock{Run: "operator", Now: at, Indicators: []threat.Indicator{someone(t, attacker)}, CoolOff: 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	run("after tracewall unblock", told{Released: 1}, "account.released "+attacker+" block")
	run("and then", told{})
	if len(service.problems) > 0 {
		t.Errorf("the service refused: %q", service.problems)
	}
	w.keeps(t)
	if out := w.out.String(); strings.Contains(out, riskSecret) || strings.Contains(out, w.env["RISK_WEBHOOK_URL"]) {
		t.Errorf("output shows the secret or the address of the risk-control service:\n%s", out)
	}
	if !slices.Contains(w.redis.Keys(), "{tracewall}:v1:epoch") {
		t.Error("no list")
	}
}

func TestARiskControlServiceThatIsDownIsAnErrorAndTheAddressesAreBlockedAllTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	w.env["RISK_WEBHOOK_URL"], w.env["RISK_WEBHOOK_SECRET"] = server.URL, riskSecret
	_, err := w.invoke(t, w.start(t, nil), tickAt(clock))
	if err == nil || !strings.Contains(err.Error(), "RISK_WEBHOOK_URL") {
		t.Errorf("error = %v, want what to do", err)
	}
	if n := len(w.listed(t, clock)); n != 4 {
		t.Errorf("%d on the list, want 4", n)
	}
	w.keeps(t)
}
