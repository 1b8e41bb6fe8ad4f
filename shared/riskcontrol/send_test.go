package riskcontrol_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"

	"github.com/tracewall/tracewall/shared/riskcontrol"
	"github.com/tracewall/tracewall/shared/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func campaign(id string) riskcontrol.Event {
	return riskcontrol.CampaignEvent(riskcontrol.Campaign{
		ID: id, Subject: "path", Value: "/api/sms", Proposal: "limit /api/sms to 5 requests a minute and address",
		Severity: "high", Rules: []string{"distributed-flood"}, Addresses: 10_372, Since: now, Until: now.Add(time.Hour),
	})
}

// roundTripper is a function as a transport.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answering(status int, header http.Header, seen *int) roundTripper {
	return func(*http.Request) (*http.Response, error) {
		*seen++
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader("p4ss account-0000 is what you said"))}, nil
	}
}

func TestWhatAnAnswerMeans(t *testing.T) {
	for _, c := range []struct {
		status   int
		want     error
		attempts int
		says     string
	}{
		{200, nil, 1, ""},
		{204, nil, 1, ""},
		{301, riskcontrol.ErrRefused, 1, "set RISK_WEBHOOK_URL to where it leads"},
		{307, riskcontrol.ErrRefused, 1, "redirects"},
		{400, riskcontrol.ErrRefused, 1, "schema.json"},
		{401, riskcontrol.ErrRefused, 1, "is RISK_WEBHOOK_SECRET the same on both sides"},
		{403, riskcontrol.ErrRefused, 1, "RISK_WEBHOOK_SECRET"},
		{404, riskcontrol.ErrRefused, 1, "path in RISK_WEBHOOK_URL"},
		{405, riskcontrol.ErrRefused, 1, "path in RISK_WEBHOOK_URL"},
		{410, riskcontrol.ErrRefused, 1, "path in RISK_WEBHOOK_URL"},
		{413, riskcontrol.ErrRefused, 1, "1048576 bytes"},
		{418, riskcontrol.ErrRefused, 1, "its own log"},
		{422, riskcontrol.ErrRefused, 1, "an account that it does not know is no error"},
		{408, riskcontrol.ErrUnavailable, 5, "408"},
		{425, riskcontrol.ErrUnavailable, 5, "425"},
		{429, riskcontrol.ErrUnavailable, 5, "429"},
		{500, riskcontrol.ErrUnavailable, 5, "500"},
		{503, riskcontrol.ErrUnavailable, 5, "503"},
	} {
		t.Run(fmt.Sprint(c.status), func(t *testing.T) {
			w, attempts := newWorld(), 0
			n := w.notifier(t, answering(c.status, http.Header{"Location": {"https://elsewhere.example.com/p4ss"}}, &attempts))
			told, err := n.Send(t.Context(), []riskcontrol.Event{campaign("1")})
			if !errors.Is(err, c.want) || (err == nil) != (told == 1) || attempts != c.attempts {
				t.Fatalf("%d told, %v after %d attempts, want %v after %d", told, err, attempts, c.want, c.attempts)
			}
			if err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("the error does not say %q: %v", c.says, err)
			}
			noSecret(t, err)
		})
	}
}

// noSecret checks that an error shows neither secret, nor account, nor the URL, nor an answer.
func noSecret(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, word := range []string{"p4ss", "account-0", "token", "hook", "you said", "elsewhere"} {
		if strings.Contains(err.Error(), word) {
			t.Errorf("the error shows %q: %v", word, err)
		}
	}
}

func TestTheWaitsGrowAndHeedTheReceiver(t *testing.T) {
	for _, c := range []struct {
		after string
		want  []time.Duration
	}{
		{"", []time.Duration{1e9, 2e9, 4e9, 8e9}},
		{"3", []time.Duration{3e9, 3e9, 4e9, 8e9}},
		{"86400", []time.Duration{30e9, 30e9, 30e9, 30e9}},
		{"99999999999999999999", []time.Duration{1e9, 2e9, 4e9, 8e9}},
		{"-5", []time.Duration{1e9, 2e9, 4e9, 8e9}},
		{"Fri, 20 Nov 2026 12:00:00 GMT", []time.Duration{1e9, 2e9, 4e9, 8e9}},
	} {
		w, attempts := newWorld(), 0
		n := w.notifier(t, answering(429, http.Header{"Retry-After": {c.after}}, &attempts))
		_, err := n.Send(t.Context(), []riskcontrol.Event{campaign("1")})
		if diff := cmp.Diff(c.want, w.wait); diff != "" || err == nil {
			t.Errorf("Retry-After %q: %v, waits (-want +got):\n%s", c.after, err, diff)
		}
	}
}

func TestNobodyWaitsForWhatTheDeadlineCutsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, attempts := newWorld(), 0
		cfg := w.config(answering(503, nil, &attempts))
		cfg.Wait = nil // the real one
		n, err := riskcontrol.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		_, err = n.Send(ctx, []riskcontrol.Event{campaign("1")})
		if !errors.Is(err, riskcontrol.ErrUnavailable) || attempts != 3 || time.Since(began) != 3*time.Second {
			t.Errorf("%v after %d attempts and %s, want 3 in 3s: the next wait is longer than what is left", err, attempts, time.Since(began))
		}
	})
}

func TestAReceiverThatIsSilentIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		cfg := w.config(roundTripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		}))
		cfg.Timeout = 3 * time.Second
		n, err := riskcontrol.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err = n.Send(t.Context(), []riskcontrol.Event{campaign("1")})
		if !errors.Is(err, riskcontrol.ErrUnavailable) || !strings.Contains(err.Error(), "no answer within 3s") || time.Since(began) != 15*time.Second {
			t.Errorf("%v after %s, want five times 3s", err, time.Since(began))
		}
	})
}

func TestWhyThereWasNoAnswer(t *testing.T) {
	for want, broken := range map[string]error{
		"does not resolve":  &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "p4ss"}},
		"certificate":       &tls.CertificateVerificationError{Err: errors.New("x509: p4ss")},
		"connection failed": errors.New("malformed HTTP response \"p4ss account-0000\""),
		"context canceled":  context.Canceled,
	} {
		w := newWorld()
		n := w.notifier(t, roundTripper(func(*http.Request) (*http.Response, error) { return nil, broken }))
		_, err := n.Send(t.Context(), []riskcontrol.Event{campaign("1")})
		if !errors.Is(err, riskcontrol.ErrUnavailable) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		noSecret(t, err)
	}
}

// TestOverTheNetwork speaks to a real server: over TLS, without following where it sends
// us, and with no more of its answer than is needed.
func TestOverTheNetwork(t *testing.T) {
	w := newWorld()
	r := w.receiver()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("followed a redirect") }))
	defer elsewhere.Close()
	mux := http.NewServeMux()
	mux.Handle("/hook", r)
	mux.HandleFunc("/away", func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		for chunk := strings.Repeat("p4ss", 16<<10); ; { // until the client has had enough
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	})
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	send := func(path string, transport http.RoundTripper) error {
		cfg := w.config(transport)
		cfg.URL = secret.Secret(server.URL + path)
		n, err := riskcontrol.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = n.Send(t.Context(), []riskcontrol.Event{campaign("1")})
		return err
	}
	transport := server.Client().Transport
	if err := send("/hook", transport); err != nil || len(r.campaigns) != 1 {
		t.Errorf("%v, %d campaigns", err, len(r.campaigns))
	}
	if err := send("/away", transport); !errors.Is(err, riskcontrol.ErrRefused) {
		t.Errorf("a redirect: %v", err)
	}
	began := time.Now()
	if err := send("/endless", transport); err != nil || time.Since(began) > 8*time.Second { // the attempt's own bound is 10 s
		t.Errorf("an endless answer: %v after %s", err, time.Since(began))
	}
	if err := send("/hook", nil); !errors.Is(err, riskcontrol.ErrUnavailable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
	transport.(*http.Transport).CloseIdleConnections()
	server.Close()
	if err := send("/hook", transport); !errors.Is(err, riskcontrol.ErrUnavailable) || !strings.Contains(err.Error(), "nobody listens") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestABatchThatIsTooLargeIsSplit(t *testing.T) {
	w := newWorld()
	r := w.receiver()
	var events []riskcontrol.Event
	for i := range 100 {
		c := campaign(fmt.Sprint(i))
		c.Campaign.Proposal = strings.Repeat("<", 3000) // six bytes each in JSON
		events = append(events, c)
	}
	told, err := w.notifier(t, r).Send(t.Context(), events)
	if err != nil || told != 100 || len(r.campaigns) != 100 || r.requests < 2 {
		t.Fatalf("%d told in %d deliveries, %v", told, r.requests, err)
	}
	for _, body := range r.bodies {
		if len(body) > riskcontrol.MaxBody {
			t.Errorf("a body of %d bytes", len(body))
		}
	}
	if r.campaigns[99].ID != "99" {
		t.Error("the order is not kept")
	}
	if told, err := w.notifier(t, r).Send(t.Context(), nil); told != 0 || err != nil {
		t.Errorf("nothing to tell: %d, %v", told, err)
	}
}

// TestThePayloadIsWhatTheSchemaSays: schema.json is what receivers are written by.
func TestThePayloadIsWhatTheSchemaSays(t *testing.T) {
	text, err := os.ReadFile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld()
	r := w.receiver()
	n := w.notifier(t, r)
	w.block(now, "full", "bare", "gone")
	w.entries[0].Countries, w.entries[0].Tags, w.entries[0].Score = []string{"CN"}, []string{"bot"}, 95
	w.entries[0].Challenge = true
	w.entries[1].Rules, w.entries[1].Reason, w.entries[1].Addresses = nil, "", 0
	if _, err := n.Sync(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	w.unblock("gone")
	w.entries[0].ExpiresAt = w.entries[0].ExpiresAt.Add(time.Hour)
	if _, err := n.Sync(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Send(t.Context(), []riskcontrol.Event{campaign("1")}); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, body := range r.bodies {
		instance, err := jsonschema.UnmarshalJSON(strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(instance); err != nil {
			t.Errorf("%s\n%v", body, err)
		}
		for _, typ := range []string{"account.blocked", "account.extended", "account.released", "campaign.proposed"} {
			seen[typ] = seen[typ] || strings.Contains(string(body), `"`+typ+`"`)
		}
		// And a body that is not what it says is refused.
		for _, change := range [][2]string{{`"version":1`, `"version":2`}, {`"kind":"`, `"kind":"x`}, {`"type":"`, `"type":"x`}, {`"id":"`, `"uid":"`}} {
			instance, err := jsonschema.UnmarshalJSON(strings.NewReader(strings.Replace(string(body), change[0], change[1], 1)))
			if err != nil {
				t.Fatal(err)
			}
			if schema.Validate(instance) == nil {
				t.Errorf("%s instead of %s is accepted", change[1], change[0])
			}
		}
	}
	if len(seen) != 4 || !seen["account.released"] || !seen["account.extended"] {
		t.Errorf("not every type was tried: %v", seen)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for text, ok := range map[string]bool{
		"https://risk.example.com": true, "https://risk.example.com:8443/a/b?token=x": true, "http://127.0.0.1:8080/hook": true, "http://[::1]/": true, "http://localhost:1/": true,
		"http://risk.example.com": false, "http://10.0.0.1/p4ss": false, "http://127.0.0.1.example.com/": false, "https://u:p4ss@risk.example.com/": false, "https://risk.example.com/#p4ss": false,
		"": false, "risk.example.com/p4ss": false, "ftp://risk.example.com/p4ss": false, "https:///p4ss": false, "https://:443/p4ss": false, "https:p4ss": false, "https://risk.example.com/%zz": false,
	} {
		err := riskcontrol.CheckURL(text)
		if (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
		noSecret(t, err)
	}
	for text, want := range map[string]int{
		oldSecret: 1, oldSecret + "," + newSecret: 2, " " + oldSecret + " , " + newSecret: 2,
		"": 0, "p4ss": 0, oldSecret + ",": 0, oldSecret + "," + oldSecret: 0, oldSecret + "," + newSecret + "," + oldSecret + "3": 0, "p4ss " + oldSecret: 0, "p4ssé" + oldSecret: 0, strings.Repeat("p4ss", 65): 0,
	} {
		all, err := riskcontrol.ParseSecrets(text)
		if (err == nil) != (want > 0) || err == nil && len(all) != want {
			t.Errorf("%q: %d, %v", text, len(all), err)
		}
		noSecret(t, err)
	}
	w := newWorld()
	for name, change := range map[string]func(*riskcontrol.Config){
		"no URL":       func(c *riskcontrol.Config) { c.URL = "" },
		"no secret":    func(c *riskcontrol.Config) { c.Secrets = nil },
		"no list":      func(c *riskcontrol.Config) { c.List = nil },
		"no memory":    func(c *riskcontrol.Config) { c.Memory = nil },
		"no allowlist": func(c *riskcontrol.Config) { c.Allowlist = nil },
		"no clock":     func(c *riskcontrol.Config) { c.Clock = nil },
	} {
		cfg := w.config(nil)
		change(&cfg)
		if _, err := riskcontrol.New(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	out, err := yaml.Marshal(w.config(nil).Secrets)
	if err != nil || strings.Contains(string(out)+fmt.Sprintf("%v %+v %#v", w.config(nil).Secrets, w.config(nil).URL, w.config(nil).URL), "p4ss") {
		t.Errorf("a config shows its secrets: %s %v", out, err)
	}
}
