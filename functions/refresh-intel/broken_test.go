package main

// A feed breaks in many ways, and in none of them may a list be lost or a wrong one believed. These tests run the whole
// function but its process: an HTTP server that breaks, the real client, the guards, and a Redis.

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/tracewall/tracewall/shared/enrich/threatintel/feeds"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/intelstore"
)

// source is a server of feeds whose answers can be exchanged.
type source struct {
	*httptest.Server
	mu      sync.Mutex
	answers map[string]http.HandlerFunc
	asked   map[string]int
}

func newSource(t *testing.T) *source {
	t.Helper()
	s := &source{answers: map[string]http.HandlerFunc{}, asked: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		h := s.answers[r.URL.Path]
		s.asked[r.URL.Path]++
		s.mu.Unlock()
		if h == nil {
			http.NotFound(w, r)
			return
		}
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *source) set(path string, h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[path] = h
}

// text answers with a text.
func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

func status(n int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(n); _, _ = w.Write([]byte(body)) }
}

// raw answers with bytes of its own, and ends the connection.
func raw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		_, _ = conn.Write([]byte(answer))
		_ = conn.Close()
	}
}

// world is one deployment of the function.
type world struct {
	t      *testing.T
	src    *source
	redis  *miniredis.Miniredis
	out    bytes.Buffer
	h      *handler
	reader *intelstore.Store
	now    time.Time
}

// newWorld deploys the function with feeds, in whose text SRC stands for the server.
func newWorld(t *testing.T, feedsText string) *world {
	t.Helper()
	w := &world{t: t, src: newSource(t), redis: miniredis.RunT(t), now: time.Now()}
	env := environment(map[string]string{
		"FEEDS": strings.ReplaceAll(feedsText, "SRC", w.src.URL), "FEED_SECRETS": "", "REDIS_URL": "redis://" + w.redis.Addr(),
	})
	var err error
	if w.h, err = wire(t.Context(), env, &w.out); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.h.store.Close() })
	w.h.fetcher = feeds.New(nil, feeds.Limits{Time: 2 * time.Second, Wire: 1 << 20, Plain: 2 << 20, Pages: 5}, w.clock)
	w.h.now = w.clock
	if w.reader, err = intelstore.Open(t.Context(), "redis://"+w.redis.Addr(), w.clock); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.reader.Close() })
	return w
}

func (w *world) clock() time.Time { return w.now }

// run runs the function and returns its result and what it has written since the last run.
func (w *world) run(payload string) (result, string, error) {
	w.t.Helper()
	w.out.Reset()
	res, err := w.h.Handle(w.t.Context(), json.RawMessage(payload))
	return res, w.out.String(), err
}

// says spells what a reader knows of an address: the feeds that list it, and whether it is spared.
func (w *world) says(ask string) string {
	w.t.Helper()
	set, err := w.reader.Set(w.t.Context())
	if err != nil {
		return "error: " + err.Error()
	}
	text := ""
	for _, h := range set.Lookup(netip.MustParsePrefix(ask)) {
		text += h.Source + " "
	}
	ranges, err := w.reader.AllowRanges(w.t.Context())
	if err != nil {
		text += "(" + err.Error() + ")"
	}
	for _, e := range ranges {
		if e.Prefix.Overlaps(netip.MustParsePrefix(ask)) {
			text += "spared by " + e.Owner
		}
	}
	return strings.TrimSpace(text)
}

// list is n lines with an address each, which begin with 45.
func list(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "45.1.%d.%d\n", i/250, i%250+1)
	}
	return b.String()
}

// dropList is Spamhaus DROP of n records, made at a time.
func dropList(n int, at time.Time) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"cidr":"45.1.%d.0/24","sblid":"SBL%d","rir":"ripencc"}`+"\n", i, i)
	}
	fmt.Fprintf(&b, `{"type":"metadata","timestamp":%d,"size":1,"records":%d}`+"\n", at.Unix(), n)
	return b.String()
}

func stixList(n int) string {
	var objects []string
	for i := range n {
		objects = append(objects, fmt.Sprintf(`{"type":"indicator","spec_version":"2.1","id":"indicator--00000000-0000-4000-8000-%012d","created":"2026-01-01T00:00:00.000Z","modified":"2026-01-01T00:00:00.000Z",
			"valid_from":"2026-01-01T00:00:00Z","pattern_type":"stix","pattern":"[ipv4-addr:value = '45.1.0.%d']"}`, i, i+1))
	}
	return `{"type":"bundle","id":"bundle--00000000-0000-4000-8000-000000000000","objects":[` + strings.Join(objects, ",") + `]}`
}

func zipped(body string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(body))
	_ = z.Close()
	return b.Bytes()
}

func compressed(body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(body)
	}
}

// good is a first answer in each format that lists 45.1.0.1, or its /24.
func good(format string, now time.Time) string {
	switch format {
	case "spamhaus":
		return dropList(40, now.Add(-time.Hour))
	case "stix":
		return stixList(40)
	case "csv":
		return "ip,seen\n" + strings.ReplaceAll(list(40), "\n", ",today\n")
	case "prefixes":
		var all []string
		for i := range 40 {
			all = append(all, fmt.Sprintf(`{"ipv4Prefix":"45.1.%d.0/24"}`, i))
		}
		return `{"prefixes":[` + strings.Join(all, ",") + `]}`
	case "ipsum":
		return strings.ReplaceAll(list(40), "\n", "\t5\n")
	}
	return list(40)
}

const bad = "45.1.0.1/32" // who is on every good list

func TestABrokenFeedKeepsItsLastGoodList(t *testing.T) {
	t.Parallel()
	now := time.Now()
	lines := list(40)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range 64 {
		_, _ = z.Write(bytes.Repeat([]byte("# nothing\n"), 10_000))
	}
	_ = z.Close()
	self := func(w *world, to string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, strings.ReplaceAll(to, "SRC", w.src.URL), http.StatusFound)
		}
	}
	type breakage struct {
		name, format string
		answer       http.HandlerFunc
		redirect     string // in place of an answer
		want         string // the problem's word
	}
	cut := good("stix", now)
	for _, tc := range []breakage{
		{name: "not found", format: "plain", answer: status(404, "not found"), want: "unreachable"},
		{name: "gone", format: "plain", answer: status(410, lines), want: "unreachable"},
		{name: "a server's error with a list below it", format: "plain", answer: status(500, lines), want: "unreachable"},
		{name: "too many requests", format: "ipsum", answer: status(429, "slow down"), want: "unreachable"},
		{name: "part of the list", format: "plain", answer: status(206, lines), want: "unreachable"},
		{name: "no content", format: "plain", answer: status(204, ""), want: "unreachable"},
		{name: "access denied", format: "stix", answer: status(401, "{}"), want: "denied"},
		{name: "the licence has ended", format: "csv", answer: status(403, "pay"), want: "denied"},
		{name: "not modified, to nobody who asked", format: "plain", answer: status(304, ""), want: "unreachable"},
		{name: "a redirect without an address", format: "plain", answer: status(302, ""), want: "redirected"},
		{name: "a redirect to a login page", format: "plain", redirect: "SRC/login", want: "not-a-feed"},
		{name: "a redirect in a circle", format: "plain", redirect: "SRC/list", want: "redirected"},
		{name: "a redirect to the cloud's metadata", format: "plain", redirect: "http://169.254.169.254/latest/meta-data/", want: "redirected"},
		{name: "a redirect to a file", format: "plain", redirect: "file:///etc/passwd", want: "redirected"},
		{name: "a redirect to Redis", format: "plain", redirect: "http://127.0.0.1:6379/", want: "redirected"},
		{name: "a page with status 200", format: "plain", answer: text("<!DOCTYPE html>\n<html><body>Checking your browser</body></html>"), want: "not-a-feed"},
		{name: "a page for JSON", format: "prefixes", answer: text("\n<html>"), want: "not-a-feed"},
		{name: "a page that has moved on to prose", format: "plain", answer: text("This list has moved.\nPlease see our blog.\nSincerely\n"), want: "bad-lines"},
		{name: "an error in JSON", format: "plain", answer: text(`{"error":"rate limit exceeded"}`), want: "not-a-feed"},
		{name: "an error in JSON for a bundle", format: "stix", answer: text(`{"error":"unauthorized"}`), want: "not-a-feed"},
		{name: "an error in JSON for DROP", format: "spamhaus", answer: text(`{"error":"blocked"}`), want: "not-a-feed"},
		{name: "an error in JSON for prefixes", format: "prefixes", answer: text(`{"message":"gone"}`), want: "not-a-feed"},
		{name: "nothing", format: "plain", answer: text(""), want: "empty"},
		{name: "only comments", format: "plain", answer: text("# updated hourly\n# 0 entries\n"), want: "empty"},
		{name: "an empty bundle", format: "stix", answer: text(`{"type":"bundle","id":"bundle--1"}`), want: "empty"},
		{name: "a bundle in which all is revoked", format: "stix", answer: text(strings.ReplaceAll(cut, `"pattern_type"`, `"revoked":true,"pattern_type"`)), want: "empty"},
		{name: "a list with a heading only", format: "csv", answer: text("ip,seen\n"), want: "empty"},
		{name: "an empty DROP", format: "spamhaus", answer: text(dropList(0, now)), want: "empty"},
		{name: "less than was announced", format: "plain", answer: raw("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + lines), want: "truncated"},
		{name: "a chunk that is cut", format: "plain", answer: raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + lines), want: "truncated"},
		{name: "chunks without a last one", format: "plain", answer: raw(fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(lines), lines)), want: "truncated"},
		{name: "an end in the middle of a line, of unknown length", format: "plain", answer: raw("HTTP/1.0 200 OK\r\n\r\n" + strings.TrimSuffix(lines, "\n")), want: "truncated"},
		{name: "a table that ends in the middle of a line", format: "csv", answer: raw("HTTP/1.0 200 OK\r\n\r\n" + strings.TrimSuffix(good("csv", now), "\n")), want: "truncated"},
		{name: "half of the JSON", format: "stix", answer: text(cut[:len(cut)/2]), want: "truncated"},
		{name: "half of the prefixes", format: "prefixes", answer: text(good("prefixes", now)[:300]), want: "truncated"},
		{name: "half of what is compressed", format: "plain", answer: compressed(zipped(lines)[:100]), want: "truncated"},
		{name: "compressed, and its checksum is missing", format: "plain", answer: compressed(zipped(lines)[:len(zipped(lines))-8]), want: "truncated"},
		{name: "compressed, and damaged", format: "plain", answer: compressed(append(zipped(lines)[:len(zipped(lines))-8], "xxxxxxxx"...)), want: "unreachable"},
		{name: "not compressed, as it says", format: "plain", answer: compressed([]byte(lines)), want: "not-a-feed"},
		{name: "an encoding that nobody asked for", format: "plain", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = w.Write([]byte(lines))
		}, want: "not-a-feed"},
		{name: "DROP without its last line", format: "spamhaus", answer: text(strings.Join(strings.SplitAfter(dropList(40, now), "\n")[:40], "")), want: "truncated"},
		{name: "DROP without a line in the middle", format: "spamhaus", answer: text(strings.Join(strings.SplitAfter(dropList(40, now), "\n")[1:], "")), want: "truncated"},
		{name: "a DROP of last month", format: "spamhaus", answer: text(dropList(40, now.AddDate(0, -1, 0))), want: "stale"},
		{name: "an older DROP than the last one", format: "spamhaus", answer: text(dropList(40, now.Add(-2*time.Hour))), want: "stale"},
		{name: "a bomb", format: "plain", answer: compressed(bomb.Bytes()), want: "too-large"},
		{name: "more bytes than there may be", format: "plain", answer: text(strings.Repeat("# nothing at all\n", 100_000)), want: "too-large"},
		{name: "more bytes than there may be, in chunks", format: "plain", answer: func(w http.ResponseWriter, _ *http.Request) {
			for range 100 {
				_, _ = w.Write(bytes.Repeat([]byte("# nothing at all\n"), 1000))
				w.(http.Flusher).Flush()
			}
		}, want: "too-large"},
		{name: "a line without end", format: "plain", answer: text(strings.Repeat("4", 100_000)), want: "too-large"},
		{name: "a tenth and more of bad lines", format: "plain", answer: text(lines + strings.Repeat("nobody.example\n", 6)), want: "bad-lines"},
		{name: "another format", format: "plain", answer: text(strings.ReplaceAll(lines, "45.", "ip=45.")), want: "bad-lines"},
		{name: "a column that has been renamed", format: "csv", answer: text(strings.Replace(good("csv", now), "ip,seen", "address,seen", 1)), want: "not-a-feed"},
		{name: "private addresses", format: "plain", answer: text(strings.ReplaceAll(lines, "45.1.", "10.1.")), want: "bad-lines"},
		{name: "the whole Internet", format: "plain", answer: text("0.0.0.0/0\n::/0\n"), want: "bad-lines"},
		{name: "a tenth of the Internet", format: "plain", answer: text(lines + eights(20, 46)), want: "too-wide"},
		{name: "what everybody needs", format: "plain", answer: text(lines + "8.8.8.0/24\n1.1.1.1\n"), want: "protected"},
		{name: "a fraction of the list", format: "plain", answer: text(list(19)), want: "shrunk"},
		{name: "a fraction of the bundle", format: "stix", answer: text(stixList(19)), want: "shrunk"},
		{name: "a list that has exploded", format: "plain", answer: text(list(1001)), want: "grown"},
		{name: "binary data", format: "plain", answer: text("\x7fELF\x00\x00\x01"), want: "not-a-feed"},
		{name: "UTF-16", format: "plain", answer: text("\xff\xfe4\x005\x00.\x001\x00"), want: "not-a-feed"},
		{name: "a bundle of another type", format: "stix", answer: text(strings.Replace(cut, `"type":"bundle"`, `"type":"report"`, 1)), want: "not-a-feed"},
		{name: "indicators that cannot be read", format: "stix", answer: text(strings.ReplaceAll(cut, `"modified":"2026-01-01T00:00:00.000Z"`, `"modified":5`)), want: "bad-lines"},
		{name: "a connection that ends at once", format: "plain", answer: raw(""), want: "unreachable"},
		{name: "no HTTP", format: "plain", answer: raw("SSH-2.0-OpenSSH_9.9\r\n"), want: "unreachable"},
		{name: "headers without end", format: "plain", answer: raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 200_000) + "\r\n\r\n" + lines), want: "unreachable"},
		{name: "no answer", format: "plain", answer: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, want: "unreachable"},
		{name: "an answer that never ends", format: "plain", answer: func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(lines))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, want: "unreachable"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			extra := ""
			if tc.format == "csv" {
				extra = `,"column":"ip"`
			}
			w := newWorld(t, fmt.Sprintf(`[{"name":"broken","url":"SRC/list","format":%q,"every":"0s"%s},{"name":"sound","url":"SRC/sound","format":"plain","every":"0s"}]`, tc.format, extra))
			w.src.set("/list", text(good(tc.format, w.now)))
			w.src.set("/sound", text("198.51.100.7\n"))
			if _, out, err := w.run("{}"); err != nil || w.says(bad) != "broken (no feed of ranges to spare is configured)" {
				t.Fatalf("the first run: %v, says %q\n%s", err, w.says(bad), out)
			}
			before, _, _ := w.reader.Catalog(t.Context())

			answer := tc.answer
			if tc.redirect != "" {
				answer = self(w, tc.redirect)
			}
			w.src.set("/list", answer)
			w.src.set("/login", text("<html>please log in</html>"))
			w.src.set("/sound", text("198.51.100.7\n198.51.100.8\n"))
			w.now = w.now.Add(time.Minute)
			res, out, err := w.run("{}")
			if err == nil || res.Failed != 1 || res.Feeds[0].Problem != tc.want || res.Feeds[0].Outcome != kept {
				t.Fatalf("result %+v, %v, want problem %q", res.Feeds, err, tc.want)
			}
			if !strings.HasPrefix(w.says(bad), "broken ") || res.Feeds[0].Entries != before.Feeds[0].Entries {
				t.Errorf("the last good list is lost: says %q, %d entries", w.says(bad), res.Feeds[0].Entries)
			}
			after, _, _ := w.reader.Catalog(t.Context())
			if after.Feeds[0].Digest != before.Feeds[0].Digest || !after.Feeds[0].Loaded.Equal(before.Feeds[0].Loaded) || after.Feeds[0].Failures != 1 {
				t.Errorf("record %+v, was %+v", after.Feeds[0], before.Feeds[0])
			}
			if !strings.HasPrefix(w.says("198.51.100.8/32"), "sound ") {
				t.Error("the sound feed beside it was not refreshed")
			}
			if !strings.Contains(out, `"feed_failed":1`) || strings.Contains(out, "last_success_timestamp") || !strings.Contains(out, `"outcome":"error"`) {
				t.Errorf("no alarm:\n%s", out)
			}
			if strings.Contains(out, "45.1.") || strings.Contains(fmt.Sprint(err), "45.1.") {
				t.Errorf("the output holds addresses of the feed:\n%s", out)
			}

			// And when it is mended, it is believed again.
			w.src.set("/list", text(good(tc.format, w.now)))
			if _, out, err := w.run("{}"); err != nil || !strings.Contains(out, "last_success_timestamp") || strings.Contains(out, `"feed_failed":1`) {
				t.Errorf("mended: %v\n%s", err, out)
			}
		})
	}
}

// eights is n ranges of an IPv4 /8 from a first one on.
func eights(n, from int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d.0.0.0/8\n", from+i)
	}
	return b.String()
}

// Who is to be spared is read whole or not at all, and stays spared however long the feed is broken.
func TestABrokenAllowFeedKeepsSparing(t *testing.T) {
	t.Parallel()
	lines := list(40)
	for name, answer := range map[string]http.HandlerFunc{
		"gone":              status(404, ""),
		"a page":            text("<html>"),
		"one bad line":      text(lines + "nobody.example\n"),
		"one private range": text(lines + "10.0.0.0/8\n"),
		"a fraction":        text(list(10)),
		"grown too quickly": text(list(121)),
		"half of the world": text(eights(100, 20)),
		"nothing":           text(""),
	} {
		w := newWorld(t, `[{"name":"bots","url":"SRC/list","format":"plain","purpose":"allow","every":"0s","max_age":"24h"},{"name":"scan","url":"SRC/scan","format":"plain","every":"0s","max_age":"24h"}]`)
		w.src.set("/list", text(lines))
		w.src.set("/scan", text(lines))
		if _, _, err := w.run("{}"); err != nil || w.says(bad) != "scan spared by bots" {
			t.Fatalf("the first run: %v, says %q", err, w.says(bad))
		}
		w.src.set("/list", answer)
		w.src.set("/scan", status(500, ""))
		for range 3 {
			w.now = w.now.Add(30 * time.Hour)
			if _, out, err := w.run("{}"); err == nil || strings.Count(out, `"feed_failed":1`) != 2 {
				t.Errorf("%s: %v\n%s", name, err, out)
			}
			if got := w.says(bad); got != "spared by bots" {
				t.Errorf("%s: after %s it says %q, want the suspicion faded and the sparing kept", name, w.now, got)
			}
		}
	}
}

func TestANewAllowFeedThatIsBrokenHoldsEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `[{"name":"bots","url":"SRC/list","format":"plain","purpose":"allow","every":"0s"}]`)
	w.src.set("/list", status(500, ""))
	if res, out, err := w.run("{}"); err == nil || res.Feeds[0].Outcome != missing || !strings.Contains(out, `"feed_failed":1`) {
		t.Errorf("%+v, %v\n%s", res, err, out)
	}
	if got := w.says(bad); !strings.Contains(got, "ranges to spare were never loaded (unreachable): mend its entry in FEEDS or take it out") {
		t.Errorf("says %q", got)
	}
}

// A certificate that nobody vouches for may be anybody's.
func TestACertificateMustBeGood(t *testing.T) {
	t.Parallel()
	secure := httptest.NewTLSServer(text(list(40)))
	secure.Config.ErrorLog = nil
	t.Cleanup(secure.Close)
	w := newWorld(t, fmt.Sprintf(`[{"name":"list","url":%q,"format":"plain"}]`, secure.URL+"/list"))
	if res, _, err := w.run("{}"); err == nil || res.Feeds[0].Problem != "unreachable" || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestNobodyListens(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	w := newWorld(t, fmt.Sprintf(`[{"name":"list","url":"http://%s/list","format":"plain"}]`, address))
	if res, _, err := w.run("{}"); err == nil || res.Feeds[0].Problem != "unreachable" || res.Feeds[0].Outcome != missing {
		t.Errorf("%+v, %v", res, err)
	}
}
