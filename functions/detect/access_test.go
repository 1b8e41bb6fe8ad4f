//go:build cgo

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/intelstore"
	"github.com/tracewall/tracewall/shared/sls/slstest"
	"github.com/tracewall/tracewall/shared/threat"
)

// visit is one line of an ALB's access log, with an account that the application adds.
type visit struct {
	at               time.Time
	address, account string
	method, path     string
	status           int
	agent, referer   string
}

// browser is the agent of whoever has no other.
const browser = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"

// log is an access log in the making.
type log []visit

// get adds n requests of an address, spread evenly over a time. each may change the nth one.
func (l *log) get(address string, from time.Time, over time.Duration, n int, each func(n int, v *visit)) {
	for i := range n {
		v := visit{at: from.Add(over * time.Duration(i) / time.Duration(n)), address: address, method: "GET", path: "/", status: 200, agent: browser}
		if each != nil {
			each(i, &v)
		}
		*l = append(*l, v)
	}
}

// put stores the log as SLS has an ALB's, in order of time.
func (l log) put(t *testing.T, logs *slstest.Server) {
	t.Helper()
	text := []string{"client_ip", "user_id", "request_method", "request_uri", "http_user_agent", "http_referer", "host"}
	index := map[string]slstest.FieldType{"status": slstest.Long}
	for _, field := range text {
		index[field] = slstest.Text
	}
	if err := logs.CreateLogstore("gateway", index); err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(l, func(a, b visit) int { return a.at.Compare(b.at) })
	rows := make([]slstest.Row, len(l))
	for i, v := range l {
		rows[i] = slstest.Row{Time: v.at.Unix(), Values: []string{v.address, v.account, v.method, v.path, v.agent, v.referer, "shop.example.com", strconv.Itoa(v.status)}}
	}
	if _, err := logs.Load(t.Context(), "gateway", append(text, "status"), func() ([]slstest.Row, error) { return rows, io.EOF }); err != nil {
		t.Fatal(err)
	}
}

// onAccessLog is the world with an ALB's access log in the Log Service.
func (w *world) onAccessLog(t *testing.T, l log) {
	t.Helper()
	l.put(t, w.logs)
	for key, value := range map[string]string{"FORMAT": "access", "FIELDS": "alb", "FIELD_ACCOUNT": "user_id"} {
		w.env[key] = value
	}
}

// publish is what refresh-intel leaves in Redis: feeds that name addresses, and one of ranges to spare.
func (w *world) publish(t *testing.T, signals map[string][]string, spared ...string) {
	t.Helper()
	store, err := intelstore.Open(t.Context(), w.address("refresh-intel"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	before, base, err := store.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next := threatintel.Catalog{Sequence: before.Sequence + 1, Written: time.Now()}
	save := func(r threatintel.Record, prefixes []string) {
		items := make([]threatintel.Item, len(prefixes))
		for i, text := range prefixes {
			items[i] = threatintel.Item{Prefix: netip.MustParsePrefix(text), Confidence: 80}
		}
		r.Loaded, r.Checked, r.MaxAge = time.Now(), time.Now(), 48*time.Hour
		if r, err = store.Save(t.Context(), r, threatintel.NewTable(items)); err != nil {
			t.Fatal(err)
		}
		next.Feeds = append(next.Feeds, r)
	}
	for name, prefixes := range signals {
		save(threatintel.Record{Name: name, Purpose: threatintel.Signal, Category: "botnet"}, prefixes)
	}
	if len(spared) > 0 {
		save(threatintel.Record{Name: "googlebot", Purpose: threatintel.Allow, Category: "crawler"}, spared)
	}
	slices.SortFunc(next.Feeds, func(a, b threatintel.Record) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	if err := store.Publish(t.Context(), base, next); err != nil {
		t.Fatal(err)
	}
}

// tickAt is a timer's event for every rule.
func tickAt(at time.Time) []byte {
	return fmt.Appendf(nil, `{"triggerTime":%q,"triggerName":"every-minute","payload":""}`, at.UTC().Format(time.RFC3339))
}

// report is the last run's.
func (w *world) report(t *testing.T) detect.Report {
	t.Helper()
	text, err := w.store.Run(t.Context(), "last")
	if err != nil {
		t.Fatal(err)
	}
	var r detect.Report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// someone is the Indicator of an address, a range or, failing that, an account.
func someone(t *testing.T, text string) threat.Indicator {
	t.Helper()
	if p, err := netip.ParsePrefix(text); err == nil {
		ind, err := threat.Range(p)
		if err != nil {
			t.Fatal(err)
		}
		return ind
	}
	ind, err := threat.ParseAddress(text)
	if err != nil {
		if ind, err = threat.Account(text); err != nil {
			t.Fatal(err)
		}
	}
	return ind
}

// caseOf is what is kept of why somebody was judged so.
func (w *world) caseOf(t *testing.T, text string) (detect.Case, bool) {
	t.Helper()
	kept, ok, err := w.store.Case(t.Context(), someone(t, text))
	if err != nil {
		t.Fatal(err)
	}
	var c detect.Case
	if ok {
		if err := json.Unmarshal(kept.Text, &c); err != nil {
			t.Fatalf("case of %s: %v", text, err)
		}
	}
	return c, ok
}

// listed is the list as of a time, by indicator.
func (w *world) listed(t *testing.T, at time.Time) map[string]blocklist.Entry {
	t.Helper()
	s, err := w.store.Snapshot(t.Context(), at)
	if err != nil && !errors.Is(err, blocklist.ErrNoEpoch) { // nobody was ever on it
		t.Fatal(err)
	}
	all := map[string]blocklist.Entry{}
	for _, e := range s.Entries {
		all[e.Indicator.String()] = e
	}
	return all
}
