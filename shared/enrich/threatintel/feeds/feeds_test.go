package feeds_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/feeds"
	"github.com/tracewall/tracewall/shared/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return noon }

func feed(url, format string) threatintel.Feed {
	return threatintel.Feed{Name: "test", URL: url, Format: format, Purpose: threatintel.Signal, Confidence: 50, Column: "1", Delimiter: ",", MaxAge: 168 * time.Hour, MaxCoverage: 5}
}

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func client(secrets map[string]secret.Secret) *feeds.Client {
	return feeds.New(secrets, feeds.Limits{Time: 10 * time.Second}, clock)
}

func spell(f feeds.Fetched) string {
	if f.Arrival.Table == nil {
		return ""
	}
	var b strings.Builder
	for item := range f.Arrival.Table.All() {
		fmt.Fprintf(&b, "%s ", item.Prefix)
	}
	return strings.TrimSpace(b.String())
}

func zip(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.Bytes()
}

func TestAListIsFetched(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"as it is": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("198.51.100.7\n")) },
		"compressed": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(zip("198.51.100.7\n"))
		},
		"as a compressed file": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(zip("198.51.100.7")) },
		"in pieces": func(w http.ResponseWriter, _ *http.Request) {
			for _, piece := range []string{"198.51", ".100.7"} {
				_, _ = w.Write([]byte(piece))
				w.(http.Flusher).Flush()
			}
		},
		"after a redirect": func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/a" {
				http.Redirect(w, r, "/b", http.StatusFound)
				return
			}
			_, _ = w.Write([]byte("198.51.100.7\n"))
		},
	} {
		got, err := client(nil).Fetch(t.Context(), feed(serve(t, answer).URL+"/a", "plain"), feeds.Known{})
		if err != nil || spell(got) != "198.51.100.7/32" || got.Unchanged {
			t.Errorf("%s: %q, %v", name, spell(got), err)
		}
	}
}

func TestAServerNeedNotSendAListAgain(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == `"v1"` && r.Header.Get("If-Modified-Since") == "Sat, 21 Nov 2026 10:00:00 GMT" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", `"v1"`)
		w.Header().Set("Last-Modified", "Sat, 21 Nov 2026 10:00:00 GMT")
		_, _ = w.Write([]byte("198.51.100.7\n"))
	})
	got, err := client(nil).Fetch(t.Context(), feed(s.URL, "plain"), feeds.Known{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := client(nil).Fetch(t.Context(), feed(s.URL, "plain"), got.Known)
	if err != nil || !again.Unchanged || again.Known != got.Known {
		t.Errorf("%+v, %v", again, err)
	}
	huge := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", strings.Repeat("x", 5000))
		_, _ = w.Write([]byte("198.51.100.7\n"))
	})
	if got, err := client(nil).Fetch(t.Context(), feed(huge.URL, "plain"), feeds.Known{}); err != nil || got.Known != (feeds.Known{}) {
		t.Errorf("a huge ETag: %+v, %v", got.Known, err)
	}
}

func TestASecretTravelsAsTheFeedSays(t *testing.T) {
	t.Parallel()
	secrets := map[string]secret.Secret{"mine": "user:p4ss:word"}
	for auth, want := range map[string]string{"": "", "basic": "Basic dXNlcjpwNHNzOndvcmQ=", "bearer": "Bearer user:p4ss:word", "header X-Api-Key": "user:p4ss:word"} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("Authorization") + r.Header.Get("X-Api-Key"); got != want {
				t.Errorf("%q: sent %q, want %q", auth, got, want)
			}
			_, _ = w.Write([]byte("198.51.100.7\n"))
		})
		f := feed(s.URL, "plain")
		if f.Auth = auth; auth != "" {
			f.Secret = "mine"
		}
		if _, err := client(secrets).Fetch(t.Context(), f, feeds.Known{}); err != nil {
			t.Error(err)
		}
	}
	f := feed("https://lists.example/", "plain")
	f.Auth, f.Secret = "bearer", "other"
	if _, err := client(secrets).Fetch(t.Context(), f, feeds.Known{}); !errors.Is(err, threatintel.ErrDenied) {
		t.Errorf("a secret that is not there: %v", err)
	}
}

func TestErrorsShowNoURL(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	_, err := client(nil).Fetch(t.Context(), feed(s.URL+"/list?key=s3cret", "plain"), feeds.Known{})
	if !errors.Is(err, threatintel.ErrUnreachable) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("err = %v", err)
	}
}

func TestAPrivateServerIsNotReached(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"https://10.255.255.1/", "https://169.254.169.254/latest/meta-data/", "https://100.100.100.200/", "https://[fd00::1]/"} {
		if _, err := client(nil).Fetch(t.Context(), feed(url, "plain"), feeds.Known{}); !errors.Is(err, threatintel.ErrRedirected) || !strings.Contains(err.Error(), `"private":true`) {
			t.Errorf("%s: %v", url, err)
		}
	}
}
