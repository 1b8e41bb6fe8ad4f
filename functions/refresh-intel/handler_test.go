package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

const spec = `[{"name":"list","url":"SRC/list","format":"plain","every":"2h","category":"scan","licence":"CC0"}]`

// versioned answers with a text once, and then that nothing has changed.
func versioned(body string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("ETag", `"v1"`)
		if r.Header.Get("If-None-Match") == `"v1"` {
			rw.WriteHeader(http.StatusNotModified)
			return
		}
		text(body)(rw, r)
	}
}

func TestAFeedIsAskedForWhenItIsDue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec)
	w.src.set("/list", versioned(list(40)))
	for i, step := range []struct {
		after   time.Duration
		event   string
		outcome string
		asked   int
	}{
		{0, "{}", loaded, 1},
		{time.Hour, "{}", fresh, 1},
		{0, `{"feeds":["list"]}`, unchanged, 2}, // somebody wants it now
		{2 * time.Hour, "{}", unchanged, 3},
		{time.Hour, "{}", fresh, 3},
	} {
		w.now = w.now.Add(step.after)
		res, out, err := w.run(step.event)
		if err != nil || res.Feeds[0].Outcome != step.outcome || w.src.asked["/list"] != step.asked || !strings.Contains(out, "last_success_timestamp") {
			t.Errorf("step %d: %+v, asked %d times, %v", i, res.Feeds, w.src.asked["/list"], err)
		}
		if step.outcome == unchanged && !res.Feeds[0].Loaded.Equal(w.now.UTC().Truncate(time.Second)) {
			t.Errorf("step %d: loaded %s, want now: its source has said so", i, res.Feeds[0].Loaded)
		}
	}
	set, err := w.reader.Set(t.Context())
	if s := set.Sources(); err != nil || len(s) != 1 || s[0].Category != "scan" || s[0].Licence != "CC0" || s[0].Entries != 40 {
		t.Errorf("sources = %+v, %v", s, err)
	}
}

func TestAFeedThatFailedIsAskedForAgainAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec)
	w.src.set("/list", text(list(40)))
	_, _, _ = w.run("{}")
	w.src.set("/list", status(500, ""))
	w.now = w.now.Add(3 * time.Hour)
	_, _, _ = w.run("{}")
	w.src.set("/list", text(list(41)))
	if res, _, err := w.run("{}"); err != nil || res.Feeds[0].Outcome != loaded {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestAnOperatorAcceptsAnotherSize(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(spec, "2h", "0s", 1))
	w.src.set("/list", text(list(40)))
	_, _, _ = w.run("{}")
	w.src.set("/list", text(list(3)))
	if _, _, err := w.run("{}"); !errors.Is(err, threatintel.ErrShrunk) || !strings.Contains(err.Error(), `{"accept":["list"]}`) {
		t.Errorf("err = %v", err)
	}
	if res, _, err := w.run(`{"accept":["list"]}`); err != nil || res.Feeds[0].Entries != 3 {
		t.Errorf("%+v, %v", res, err)
	}
	if res, _, err := w.run("{}"); err != nil || res.Feeds[0].Outcome != unchanged {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestAFeedThatIsReadInAnotherWayIsLoadedAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec)
	w.src.set("/list", versioned(list(40)))
	_, _, _ = w.run("{}")
	w.h.feeds[0].Confidence = 77
	if res, _, err := w.run("{}"); err != nil || res.Feeds[0].Outcome != loaded {
		t.Errorf("%+v, %v", res, err)
	}
	set, err := w.reader.Set(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if hits := set.Lookup(netip.MustParsePrefix(bad)); len(hits) != 1 || hits[0].Confidence != 77 {
		t.Errorf("hits = %v", hits)
	}
}

func TestAPlanWritesNothing(t *testing.T) {
	t.Parallel()
	for _, observed := range []bool{true, false} {
		w := newWorld(t, spec)
		w.src.set("/list", text(list(40)))
		w.h.enforce = !observed
		event := `{"mode":"plan"}`
		if observed {
			event = "{}"
		}
		res, _, err := w.run(event)
		if err != nil || res.Mode != "plan" || res.Feeds[0].Outcome != loaded || res.Entries != 40 || len(w.redis.Keys()) != 0 {
			t.Errorf("%+v, %v, keys %v", res, err, w.redis.Keys())
		}
	}
}

func TestAFeedThatIsTakenOutIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `[{"name":"a","url":"SRC/list","format":"plain"},{"name":"b","url":"SRC/list","format":"plain"}]`)
	w.src.set("/list", text(list(40)))
	_, _, _ = w.run("{}")
	if got := w.says(bad); !strings.HasPrefix(got, "b a ") {
		t.Fatalf("says %q", got)
	}
	w.h.feeds = w.h.feeds[:1]
	if _, _, err := w.run("{}"); err != nil || !strings.HasPrefix(w.says(bad), "a (") {
		t.Errorf("says %q, %v", w.says(bad), err)
	}
}

// Whoever was suspected must never be spared because an entry was rewritten.
func TestAFeedOfAnotherPurposeIsAnotherFeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(spec, "2h", "0s", 1))
	w.src.set("/list", text(list(40)))
	_, _, _ = w.run("{}")
	w.h.feeds[0].Purpose = threatintel.Allow
	w.src.set("/list", status(500, ""))
	if res, _, err := w.run("{}"); err == nil || res.Feeds[0].Outcome != missing || strings.Contains(w.says(bad), "spared by") {
		t.Errorf("%+v, %v, says %q", res, err, w.says(bad))
	}
}

func TestAnotherURLIsNoMeasure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, strings.Replace(spec, "2h", "24h", 1))
	w.src.set("/list", text(list(1000)))
	_, _, _ = w.run("{}")
	w.src.set("/other", status(500, ""))
	w.h.feeds[0].URL = w.src.URL + "/other"
	if res, _, err := w.run("{}"); err == nil || res.Feeds[0].Outcome != kept || !strings.HasPrefix(w.says(bad), "list ") {
		t.Errorf("%+v, %v, says %q: want the old list until the new one is there", res, err, w.says(bad))
	}
	w.src.set("/other", text("198.51.100.7\n"))
	if res, _, err := w.run("{}"); err != nil || res.Feeds[0].Entries != 1 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestWhatRedisHasLostIsLoadedAnew(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(w *world){
		"everything":                 func(w *world) { w.redis.FlushAll() },
		"the catalog":                func(w *world) { w.redis.Del("{tracewall}:v1:intel:catalog") },
		"a catalog that can be read": func(w *world) { _ = w.redis.Set("{tracewall}:v1:intel:catalog", "x") },
		"a table": func(w *world) {
			for _, key := range w.redis.Keys() {
				if strings.Contains(key, ":table:") {
					w.redis.Del(key)
				}
			}
		},
	} {
		w := newWorld(t, strings.Replace(spec, "2h", "24h", 1))
		w.src.set("/list", versioned(list(40))) // who has lost it must not be told that it has not changed
		_, _, _ = w.run("{}")
		lose(w)
		_, _, err := w.run("{}")
		if told := err != nil; told != strings.Contains(name, "catalog") {
			t.Errorf("%s: %v", name, err)
		}
		if got := w.says(bad); !strings.HasPrefix(got, "list ") {
			t.Errorf("%s: says %q", name, got)
		}
		if _, _, err := w.run("{}"); err != nil {
			t.Errorf("%s, the run after: %v", name, err)
		}
	}
}

func TestATableThatIsLostWithItsSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t, `[{"name":"a","url":"SRC/a","format":"plain","every":"0s"},{"name":"b","url":"SRC/b","format":"plain","every":"0s"}]`)
	w.src.set("/a", text(list(40)))
	w.src.set("/b", text("198.51.100.7\n"))
	_, _, _ = w.run("{}")
	c, _, _ := w.reader.Catalog(t.Context())
	w.redis.Del("{tracewall}:v1:intel:table:" + c.Feeds[0].Digest + ":0")
	w.src.set("/a", status(500, ""))
	res, _, err := w.run("{}")
	if err == nil || res.Feeds[0].Outcome != missing || res.Feeds[1].Outcome != unchanged || w.says("198.51.100.7/32") == "" || strings.HasPrefix(w.says(bad), "error") {
		t.Errorf("%+v, %v, says %q", res, err, w.says(bad))
	}
	w.src.set("/a", text(list(3))) // a list of 40 is still the measure
	if _, _, err := w.run("{}"); !errors.Is(err, threatintel.ErrShrunk) {
		t.Errorf("err = %v", err)
	}
}

func TestRedisIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec)
	w.redis.Close()
	if _, out, err := w.run("{}"); err == nil || !strings.Contains(out, `"outcome":"error"`) || strings.Contains(out, "last_success") {
		t.Errorf("%v\n%s", err, out)
	}
	if n := w.src.asked["/list"]; n != 0 {
		t.Errorf("%d requests for a list that cannot be kept", n)
	}
}

func TestABadEventIsNoSuccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t, spec)
	if _, out, err := w.run(`{"feed":["list"]}`); !errors.Is(err, errBadEvent) || strings.Contains(out, "last_success") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Several runs at once leave one whole catalog, and no run's list is lost to another's that did not ask for it.
func TestRunsAtTheSameTime(t *testing.T) {
	t.Parallel()
	var feeds []string
	for i := range 4 {
		feeds = append(feeds, fmt.Sprintf(`{"name":"f%d","url":"SRC/f%d","format":"plain","every":"0s"}`, i, i))
	}
	w := newWorld(t, "["+strings.Join(feeds, ",")+"]")
	for i := range 4 {
		w.src.set(fmt.Sprintf("/f%d", i), text(fmt.Sprintf("198.51.100.%d\n", i)))
	}
	var all sync.WaitGroup
	errs := make([]error, 4)
	for i := range 4 {
		all.Go(func() { _, errs[i] = w.h.Handle(t.Context(), fmt.Appendf(nil, `{"feeds":["f%d"]}`, i)) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if got := w.says(fmt.Sprintf("198.51.100.%d/32", i)); !strings.HasPrefix(got, fmt.Sprintf("f%d ", i)) {
			t.Errorf("feed %d: says %q", i, got)
		}
	}
}

func TestAllFeedsTogetherAreBounded(t *testing.T) {
	t.Parallel()
	record := func(n int) threatintel.Record {
		return threatintel.Record{Purpose: threatintel.Signal, Digest: "d", Entries: n}
	}
	visits := []visit{
		{outcome: loaded, record: record(1_000_000), whole: true, last: record(10)},
		{outcome: fresh, record: record(999_999), whole: true, last: record(999_999)},
		{outcome: loaded, record: record(5), whole: true, last: record(1)},
		{outcome: loaded, record: threatintel.Record{Purpose: threatintel.Allow, Digest: "d", Entries: 1_000_000}},
	}
	fit(visits)
	if visits[0].outcome != loaded || visits[2].outcome != kept || visits[2].record.Entries != 1 || !errors.Is(visits[2].err, threatintel.ErrTooLarge) || visits[3].outcome != loaded {
		t.Errorf("visits = %+v", visits)
	}
}
