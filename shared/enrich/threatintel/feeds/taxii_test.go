package feeds_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/feeds"
	"github.com/tracewall/tracewall/shared/secret"
)

// collection is a TAXII 2.1 server with one API root and a collection of pages, strict about what it is asked.
type collection struct {
	t       *testing.T
	pages   int
	byDate  bool // pages are found by date instead of by token
	answers map[string]http.HandlerFunc
	mu      sync.Mutex
	asked   []string
}

func (c *collection) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.asked = append(c.asked, r.URL.RequestURI())
	c.mu.Unlock()
	if user, password, _ := r.BasicAuth(); user != "reader" || password != "p4ss" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.Header.Get("Accept") != "application/taxii+json;version=2.1" {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	w.Header().Set("Content-Type", "application/taxii+json;version=2.1")
	if h := c.answers[r.URL.Path]; h != nil {
		h(w, r)
		return
	}
	switch r.URL.Path {
	case "/taxii2/":
		_, _ = fmt.Fprint(w, `{"title":"a server","default":"/api1/","api_roots":["/api0/","/api1/"]}`)
	case "/api0/collections/":
		_, _ = fmt.Fprint(w, `{}`)
	case "/api1/collections/":
		_, _ = fmt.Fprint(w, `{"collections":[{"id":"91a7b528-80eb-42ed-a74d-c6fbd5a26116","title":"High Value","alias":"high","can_read":true,"can_write":false},
			{"id":"52892447-4d7e-4f70-b94d-d7f22742ff63","title":"Drop box","can_read":false,"can_write":true}]}`)
	case "/api1/collections/91a7b528-80eb-42ed-a74d-c6fbd5a26116/objects/":
		c.page(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (c *collection) page(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if got := q.Get("match[type]"); got != "indicator" {
		c.t.Errorf("match[type] = %q", got)
	}
	n, _ := strconv.Atoi(q.Get("next"))
	if c.byDate && q.Get("added_after") != "" {
		at, err := time.Parse(time.RFC3339, q.Get("added_after"))
		if err != nil {
			c.t.Error(err)
		}
		n = at.Second()
	}
	next := fmt.Sprintf(`"next":"%d",`, n+1)
	if c.byDate {
		next = ""
		w.Header().Set("X-TAXII-Date-Added-Last", fmt.Sprintf("2026-11-21T00:00:%02dZ", n+1))
	}
	_, _ = fmt.Fprintf(w, `{"more":%t,%s"objects":[{"type":"indicator","spec_version":"2.1","id":"indicator--00000000-0000-4000-8000-%012d",
		"created":"2026-11-01T00:00:00.000Z","modified":"2026-11-01T00:00:00.000Z","valid_from":"2026-11-01T00:00:00Z","pattern_type":"stix","pattern":"[ipv4-addr:value = '198.51.100.%d']"}]}`,
		n+1 < c.pages, next, n, n)
}

func (c *collection) open(t *testing.T) threatintel.Feed {
	t.Helper()
	c.t = t
	f := feed(serve(t, c.ServeHTTP).URL+"/taxii2/", "taxii")
	f.Auth, f.Secret, f.Collection = "basic", "taxii", "high"
	return f
}

func fetch(t *testing.T, f threatintel.Feed) (feeds.Fetched, error) {
	t.Helper()
	return feeds.New(map[string]secret.Secret{"taxii": "reader:p4ss"}, feeds.Limits{Time: 10 * time.Second, Pages: 20}, clock).Fetch(t.Context(), f, feeds.Known{})
}

const objects = "/api1/collections/91a7b528-80eb-42ed-a74d-c6fbd5a26116/objects/"

func TestACollectionIsThreeGETs(t *testing.T) {
	t.Parallel()
	c := &collection{pages: 1}
	got, err := fetch(t, c.open(t))
	if err != nil || spell(got) != "198.51.100.0/32" {
		t.Errorf("%q, %v", spell(got), err)
	}
	if want := []string{"/taxii2/", "/api1/collections/", objects + "?match%5Btype%5D=indicator"}; !slices.Equal(c.asked, want) {
		t.Errorf("asked %q, want %q", c.asked, want)
	}
}

func TestACollectionIsFound(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*threatintel.Feed){
		"by its id":       func(f *threatintel.Feed) { f.Collection = "91a7b528-80eb-42ed-a74d-c6fbd5a26116" },
		"by its title":    func(f *threatintel.Feed) { f.Collection = "High Value" },
		"as the only one": func(f *threatintel.Feed) { f.Collection = "" },
		"by its URL": func(f *threatintel.Feed) {
			f.URL = strings.TrimSuffix(f.URL, "/taxii2/") + strings.TrimSuffix(objects, "objects/")
		},
		"by its objects' URL": func(f *threatintel.Feed) { f.URL = strings.TrimSuffix(f.URL, "/taxii2/") + objects },
	} {
		c := &collection{pages: 1}
		f := c.open(t)
		change(&f)
		if got, err := fetch(t, f); err != nil || spell(got) != "198.51.100.0/32" {
			t.Errorf("%s: %q, %v", name, spell(got), err)
		}
	}
}

func TestACollectionIsReadToItsLastPage(t *testing.T) {
	t.Parallel()
	for _, byDate := range []bool{false, true} {
		c := &collection{pages: 12, byDate: byDate}
		got, err := fetch(t, c.open(t))
		if err != nil || got.Arrival.Table.Len() != 12 {
			t.Errorf("by date %t: %q, %v", byDate, spell(got), err)
		}
	}
}

func TestABrokenCollectionIsNoCollection(t *testing.T) {
	t.Parallel()
	text := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, s) }
	}
	status := func(n int) http.HandlerFunc { return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n) } }
	for _, tc := range []struct {
		name   string
		path   string
		answer http.HandlerFunc
		change func(*threatintel.Feed)
		want   error
	}{
		{"a wrong password", "/taxii2/", status(401), nil, threatintel.ErrDenied},
		{"a page for a discovery", "/taxii2/", text("<html>"), nil, threatintel.ErrNotAFeed},
		{"a discovery without roots", "/taxii2/", text("{}"), nil, threatintel.ErrNotAFeed},
		{"a discovery that leads elsewhere", "/taxii2/", text(`{"api_roots":["https://evil.example/api1/"]}`), nil, threatintel.ErrRedirected},
		{"a discovery that leads to another port", "/taxii2/", text(`{"api_roots":["http://127.0.0.1:1/api1/"]}`), nil, threatintel.ErrRedirected},
		{"a huge discovery", "/taxii2/", text(`{"title":"` + strings.Repeat("x", 2<<20) + `"}`), nil, threatintel.ErrTooLarge},
		{"no such collection", "", nil, func(f *threatintel.Feed) { f.Collection = "other" }, threatintel.ErrNotAFeed},
		{"a collection that may not be read", "", nil, func(f *threatintel.Feed) { f.Collection = "Drop box" }, threatintel.ErrDenied},
		{"several collections and no name", "/api1/collections/", text(`{"collections":[{"id":"a","can_read":true},{"id":"b","can_read":true}]}`), func(f *threatintel.Feed) { f.Collection = "" }, threatintel.ErrNotAFeed},
		{"an id that is a path", "/api1/collections/", text(`{"collections":[{"id":"../../x","alias":"high","can_read":true}]}`), nil, threatintel.ErrNotAFeed},
		{"a server's error", objects, status(500), nil, threatintel.ErrUnreachable},
		{"an error for a page", objects, text(`{"title":"Forbidden","http_status":"403"}`), nil, threatintel.ErrNotAFeed},
		{"a page that is cut", objects, text(`{"more":false,"objects":[{"type":"ind`), nil, threatintel.ErrTruncated},
		{"pages in a circle", objects, text(`{"more":true,"next":"1","objects":[]}`), nil, threatintel.ErrNotAFeed},
		{"more, and no way to it", objects, text(`{"more":true,"objects":[]}`), nil, threatintel.ErrTruncated},
		{"pages without end", objects, func(w http.ResponseWriter, r *http.Request) {
			n, _ := strconv.Atoi(r.URL.Query().Get("next"))
			_, _ = fmt.Fprintf(w, `{"more":true,"next":"%d","objects":[]}`, n+1)
		}, nil, threatintel.ErrTooLarge},
		{"a page in the middle that fails", objects, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("next") == "2" {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			n, _ := strconv.Atoi(r.URL.Query().Get("next"))
			_, _ = fmt.Fprintf(w, `{"more":true,"next":"%d","objects":[]}`, n+1)
		}, nil, threatintel.ErrUnreachable},
		{"a redirect to another host", objects, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example"+r.URL.Path, http.StatusFound)
		}, nil, threatintel.ErrRedirected},
	} {
		c := &collection{pages: 1, answers: map[string]http.HandlerFunc{tc.path: tc.answer}}
		f := c.open(t)
		if tc.change != nil {
			tc.change(&f)
		}
		if got, err := fetch(t, f); !errors.Is(err, tc.want) || got.Arrival.Table != nil {
			t.Errorf("%s: %q, %v, want %v", tc.name, spell(got), err, tc.want)
		} else if strings.Contains(err.Error(), "p4ss") {
			t.Errorf("%s: the error shows the password: %v", tc.name, err)
		}
	}
}
