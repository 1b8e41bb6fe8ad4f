package aliwaf_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func TestOnlyTLSOrThisMachineIsSpokenTo(t *testing.T) {
	for endpoint, ok := range map[string]bool{
		"https://waf.example.com": true, "https://waf.example.com/": true, "http://127.0.0.1:8080": true, "http://localhost:1": true, "http://[::1]:1": true,
		"http://waf.example.com": false, "http://10.0.0.1": false, "waf.example.com": false, "https://": false, "https://u:p@waf.example.com": false,
		"https://waf.example.com/x": false, "https://waf.example.com?x=1": false, "ftp://127.0.0.1": false,
	} {
		if err := aliwaf.CheckEndpoint(endpoint); (err == nil) != ok {
			t.Errorf("%s: %v", endpoint, err)
		}
		cfg := (&cloud{url: endpoint, now: time.Now}).config()
		if _, err := aliwaf.New(cfg, aliwaf.Target{Name: "shop", Region: aliwaf.RegionMainland}); (err == nil) != ok {
			t.Errorf("New with %s: %v", endpoint, err)
		}
	}
	if _, err := aliwaf.New(aliwaf.Config{}, aliwaf.Target{Name: "shop", Region: aliwaf.RegionMainland}); err == nil {
		t.Error("no credentials are taken")
	}
}

func TestCredentialsAreAskedForEachCallAndNeverShown(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	cfg := c.config()
	asked := 0
	good := cfg.Credentials
	cfg.Credentials = func(ctx context.Context) (aliwaf.Credentials, error) {
		asked++
		return good(ctx)
	}
	f, err := aliwaf.New(cfg, c.target)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Look(t.Context()); err != nil || asked != len(c.Calls()) || asked == 0 {
		t.Errorf("asked %d times for %d calls (%v)", asked, len(c.Calls()), err)
	}
	for name, give := range map[string]func() (aliwaf.Credentials, error){
		"none":     func() (aliwaf.Credentials, error) { return aliwaf.Credentials{}, nil },
		"an error": func() (aliwaf.Credentials, error) { return aliwaf.Credentials{}, errors.New("no role") },
		"a wrong key": func() (aliwaf.Credentials, error) {
			return aliwaf.Credentials{AccessKeyID: waftest.AlibabaKeyID, AccessKeySecret: "hunter2hunter2", SecurityToken: secret.Secret(waftest.AlibabaToken)}, nil
		},
		"no token": func() (aliwaf.Credentials, error) {
			return aliwaf.Credentials{AccessKeyID: waftest.AlibabaKeyID, AccessKeySecret: secret.Secret(waftest.AlibabaKeySecret)}, nil
		},
		"somebody's": func() (aliwaf.Credentials, error) {
			return aliwaf.Credentials{AccessKeyID: "LTAI", AccessKeySecret: "hunter2hunter2"}, nil
		},
		"an old token": func() (aliwaf.Credentials, error) {
			return aliwaf.Credentials{AccessKeyID: waftest.AlibabaKeyID, AccessKeySecret: secret.Secret(waftest.AlibabaKeySecret), SecurityToken: "hunter2hunter2"}, nil
		},
	} {
		cfg.Credentials = func(context.Context) (aliwaf.Credentials, error) { return give() }
		f, err := aliwaf.New(cfg, c.target)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Look(t.Context())
		if !errors.Is(err, waf.ErrDenied) {
			t.Errorf("%s: %v, want denied", name, err)
		}
		for _, hidden := range []string{"hunter2", waftest.AlibabaKeySecret, waftest.AlibabaToken} {
			if strings.Contains(fmt.Sprintf("%v %+v", err, err), hidden) {
				t.Errorf("%s: the error shows %s", name, hidden)
			}
		}
	}
}

// answers is a service that says what it is told to.
func answers(t *testing.T, h http.HandlerFunc) (waf.Firewall, *int) {
	t.Helper()
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n++; h(w, r) }))
	t.Cleanup(s.Close)
	c := &cloud{url: s.URL, now: time.Now, target: aliwaf.Target{Name: "shop", Region: aliwaf.RegionMainland, InstanceID: "waf-1", Mode: aliwaf.ModeAddressBook}}
	return c.open(t), &n
}

func TestAnAnswerThatIsNotTheServicesOwnIsUnavailable(t *testing.T) {
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		tries  int
		want   error
	}{
		"a gateway's page": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<html>bad gateway", http.StatusBadGateway)
		}, 5, waf.ErrUnavailable},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, 5, waf.ErrUnavailable},
		"not JSON": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }, 5, waf.ErrUnavailable},
		"too long": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"x":"`+strings.Repeat("x", 5<<20)+`"}`)
		}, 5, waf.ErrUnavailable},
		"throttled": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			_, _ = io.WriteString(w, `{"Code":"Throttling.User","Message":"slow down"}`)
		}, 5, waf.ErrThrottled},
		"status 429 of a gateway": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, 5, waf.ErrThrottled},
		"denied":                  {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, 1, waf.ErrDenied},
		"no end of pages": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"Rules":[{"RuleId":1,"RuleName":"x"}]}`)
		}, 400, waf.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			f, n := answers(t, tt.answer)
			_, err := f.Look(t.Context())
			if !errors.Is(err, tt.want) || *n != tt.tries {
				t.Errorf("after %d tries: %v; want %d and %v", *n, err, tt.tries, tt.want)
			}
			if name == "too long" && !strings.Contains(err.Error(), "an answer of more than") {
				t.Errorf("error %v", err)
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestWhatTheServiceWritesIsShownHarmlessly(t *testing.T) {
	f, _ := answers(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(400)
		_, _ = fmt.Fprintf(w, `{"Code":"Odd\u001b[2J","Message":"line\none \u202e%s","RequestId":"r-1"}`, strings.Repeat("x", 5000))
	})
	_, err := f.Look(t.Context())
	if err == nil || len(err.Error()) > 1000 || strings.ContainsAny(err.Error(), "\n\x1b\u202e") || !strings.Contains(err.Error(), "r-1") {
		t.Errorf("error %q", err)
	}
}

func TestARunThatEndsIsLeftAtOnce(t *testing.T) {
	release := make(chan struct{})
	f, _ := answers(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := f.Look(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	// The next turn is too late for the deadline: it is not waited for.
	c := newCloud(t, waftest.AlibabaOptions{})
	cfg := c.config()
	cfg.Pace = &aliwaf.Pace{WAF: rate.NewLimiter(rate.Every(time.Hour), 1)}
	late, err := aliwaf.New(cfg, c.target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := late.Look(ctx); !errors.Is(err, waf.ErrOutOfTime) {
		t.Errorf("error %v", err)
	}
}

func TestTheInstanceIsFoundOnceAndNamedWhenItIsNotThere(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	f := c.open(t)
	for range 3 {
		if _, err := f.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.Calls("DescribeInstance")); n != 1 {
		t.Errorf("asked %d times", n)
	}
	for name, tt := range map[string]struct {
		opts   waftest.AlibabaOptions
		change func(*aliwaf.Target)
	}{
		"none":              {opts: waftest.AlibabaOptions{NoInstance: true}},
		"in another region": {opts: waftest.AlibabaOptions{Region: aliwaf.RegionInternational}},
		"another id":        {change: func(t *aliwaf.Target) { t.InstanceID = "waf-other" }},
		"expired":           {opts: waftest.AlibabaOptions{Expired: true}},
	} {
		c := newCloud(t, tt.opts)
		if tt.change != nil {
			tt.change(&c.target)
		}
		if _, err := c.open(t).Look(t.Context()); !errors.Is(err, waf.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnInstanceThatIsNotTheAccountsIsNamed(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	c.target.InstanceID = "waf-other"
	for _, check := range c.open(t).(waf.Examiner).Examine(t.Context()) {
		if check.Name == "instance" && check.State == waf.CheckFail && strings.Contains(check.Text, "waf-other") && strings.Contains(check.Text, waftest.AlibabaInstance) {
			return
		}
	}
	t.Error("the doctor does not say which instance there is and which one is named")
}

// An instance that was replaced is found although a memory names the old one.
func TestAMemoryOfAnotherInstanceDoesNotStick(t *testing.T) {
	old := newCloud(t, waftest.AlibabaOptions{InstanceID: "waf-old"})
	r := &runner{c: old}
	r.ok(t, 1, hosts(0, 5))
	c := newCloud(t, waftest.AlibabaOptions{})
	r.c, r.book = c, nil
	memory := r.f.(waf.Rememberer).Memory()
	r.f = c.open(t)
	r.f.(waf.Rememberer).Recall(memory)
	r.ok(t, 2, hosts(0, 5))
}
