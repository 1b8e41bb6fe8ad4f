//go:build cgo

package cls_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/cls"
)

// answers is a transport that says what it is told.
type answers func(*http.Request) (int, http.Header, string)

// RoundTrip implements http.RoundTripper.
func (f answers) RoundTrip(r *http.Request) (*http.Response, error) {
	status, header, body := f(r)
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// with answers with another body.
func (f answers) with(body io.Reader) http.RoundTripper { return swapped{f, body} }

type swapped struct {
	answers
	body io.Reader
}

// RoundTrip implements http.RoundTripper.
func (s swapped) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.answers.RoundTrip(r)
	resp.Body = io.NopCloser(s.body)
	return resp, err
}

func TestNoErrorShowsASecretOrAnAnswer(t *testing.T) {
	said := fmt.Sprintf(`%s %s %s`, keyID, key, token)
	signed := `\nstring to sign: TC3-HMAC-SHA256`
	for name, c := range map[string]struct {
		answer answers
		kind   error
	}{
		"a denial that repeats them": {func(*http.Request) (int, http.Header, string) {
			return 200, nil, `{"Response":{"Error":{"Code":"AuthFailure.SignatureFailure","Message":"` + said + signed + `"},"RequestId":"r"}}`
		}, cls.ErrDenied},
		"a refusal that repeats them": {func(*http.Request) (int, http.Header, string) {
			return 200, nil, `{"Response":{"Error":{"Code":"InvalidParameter","Message":"` + said + `"},"RequestId":"r"}}`
		}, cls.ErrInvalid},
		"a denial with a status": {func(*http.Request) (int, http.Header, string) {
			return 403, nil, `{"Response":{"Error":{"Code":"AuthFailure","Message":"` + said + `"}}}`
		}, cls.ErrDenied},
		"an answer that is no JSON": {func(*http.Request) (int, http.Header, string) {
			return 200, nil, "log line of a customer " + said
		}, cls.ErrUnavailable},
		"an answer of another shape": {func(*http.Request) (int, http.Header, string) {
			return 200, nil, `{"Response":{"AnalysisRecords":"log line of a customer"}}`
		}, cls.ErrUnavailable},
		"a redirect to elsewhere": {func(*http.Request) (int, http.Header, string) {
			return 307, http.Header{"Location": {"https://elsewhere.example.com/"}}, ""
		}, cls.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			var hosts []string
			asker, err := cls.New(cls.Config{Region: "ap-guangzhou", Credentials: fixed, Transport: answers(func(r *http.Request) (int, http.Header, string) {
				hosts = append(hosts, r.URL.Host)
				return c.answer(r)
			})})
			if err != nil {
				t.Fatal(err)
			}
			_, err = asker.Query(within(t, 250*time.Millisecond), topic, counted, from, to, 0)
			if !errors.Is(err, c.kind) {
				t.Errorf("err = %v, want %v", err, c.kind)
			}
			for _, secret := range []string{keyID, key, token, "string to sign", "customer"} {
				if strings.Contains(fmt.Sprintf("%v %+v", err, err), secret) {
					t.Errorf("error shows %q: %v", secret, err)
				}
			}
			for _, host := range hosts {
				if host != cls.DefaultEndpoint {
					t.Errorf("asked %s", host)
				}
			}
		})
	}
}

// endless is an answer without an end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func TestAnAnswerWithoutAnEndIsCutOff(t *testing.T) {
	for status, want := range map[int]error{http.StatusOK: cls.ErrIncomplete, http.StatusForbidden: cls.ErrDenied} {
		c, err := cls.New(cls.Config{Region: "ap-guangzhou", Credentials: fixed, Transport: answers(func(*http.Request) (int, http.Header, string) { return status, nil, "" }).with(endless{})})
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.Query(within(t, 30*time.Second), topic, counted, from, to, 0); !errors.Is(err, want) {
			t.Errorf("HTTP %d: err = %v, want %v", status, err, want)
		}
	}
}

// A search over several topics is not ours to make, but its errors hide in the answer.
func TestAnErrorInsideTheAnswerIsAnError(t *testing.T) {
	c, err := cls.New(cls.Config{Region: "ap-guangzhou", Credentials: fixed, Transport: answers(func(*http.Request) (int, http.Header, string) {
		return 200, nil, `{"Response":{"Analysis":true,"AnalysisRecords":[],"Topics":{"Errors":[{"TopicId":"t","ErrorMsg":"closed","ErrorCodeStr":"FailedOperation.TopicClosed"}]}}}`
	})})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Query(within(t, 10*time.Second), topic, counted, from, to, 0); !errors.Is(err, cls.ErrNotFound) {
		t.Errorf("err = %v, want ErrNotFound", err)
	}
}

func TestCredentialsAreAskedForEachRequestAndNeverPrinted(t *testing.T) {
	s := service(t, 1)
	s.Faults().Fail(2, "RequestLimitExceeded")
	asked := 0
	c := client(t, s, func(c *cls.Config) {
		c.Credentials = func(ctx context.Context) (cls.Credentials, error) {
			asked++
			return fixed(ctx)
		}
	})
	if _, err := c.Query(within(t, 10*time.Second), topic, counted, from, to, 0); err != nil || asked != 3 {
		t.Errorf("asked %d times, want once for each of three requests; %v", asked, err)
	}
	for name, give := range map[string]func(context.Context) (cls.Credentials, error){
		"none":     func(context.Context) (cls.Credentials, error) { return cls.Credentials{}, nil },
		"an error": func(context.Context) (cls.Credentials, error) { return cls.Credentials{}, errors.New("no role") },
	} {
		_, err := client(t, s, func(c *cls.Config) { c.Credentials = give }).Query(t.Context(), topic, counted, from, to, 0)
		if !errors.Is(err, cls.ErrDenied) {
			t.Errorf("%s: err = %v", name, err)
		}
	}
	got, _ := fixed(t.Context())
	if text := fmt.Sprintf("%v %+v %#v %s", got, got, got, got); strings.Contains(text, key) || strings.Contains(text, token) {
		t.Errorf("printed credentials: %s", text)
	}
}

func TestNewChecksItsConfiguration(t *testing.T) {
	_, err := cls.New(cls.Config{Region: "Guangzhou", Endpoint: "ftp://x"})
	for _, want := range []string{"region", "credentials", "endpoint"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want %s in it", err, want)
		}
	}
}

func TestEndpointsAreHTTPSButForALaptop(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "https://" + cls.DefaultEndpoint,
		"cls.intl.tencentcloudapi.com":       "https://cls.intl.tencentcloudapi.com",
		"https://cls.tencentcloudapi.com/":   "https://cls.tencentcloudapi.com",
		"http://127.0.0.1:8080":              "http://127.0.0.1:8080",
		"http://[::1]":                       "http://[::1]:80",
		"http://cls.tencentcloudapi.com":     "",
		"http://192.0.2.1:80":                "",
		"http://localhost:80":                "",
		"https://127.0.0.1":                  "",
		"ftp://cls.tencentcloudapi.com":      "",
		"https://u:p4ss@tencentcloudapi.com": "",
		"https://tencentcloudapi.com/x":      "",
		"https://tencentcloudapi.com?x":      "",
		"https://":                           "",
		"http://%zz":                         "",
	} {
		scheme, host, err := cls.ParseEndpoint(text)
		if got := scheme + "://" + host; (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("%q: %s, %v, want %q", text, got, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "p4ss") {
			t.Errorf("error shows a password: %v", err)
		}
	}
}
