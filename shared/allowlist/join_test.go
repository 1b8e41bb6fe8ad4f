package allowlist_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func ranges(owner string, prefixes ...string) []allowlist.Entry {
	var all []allowlist.Entry
	for _, p := range prefixes {
		all = append(all, allowlist.Entry{Prefix: netip.MustParsePrefix(p), Owner: owner, Reason: "published ranges"})
	}
	return all
}

func made(tb testing.TB, entries []allowlist.Entry) allowlist.List {
	tb.Helper()
	l, err := allowlist.New(entries)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func TestEntriesFromElsewhereAreHeldToTheSameRules(t *testing.T) {
	good := made(t, []allowlist.Entry{
		{Prefix: netip.MustParsePrefix("192.0.2.77/24"), Owner: "googlebot", Reason: "published ranges"},
		{Prefix: netip.MustParsePrefix("::ffff:198.51.100.0/120")},
		{Account: "jane doe", Until: now.Add(time.Hour)},
	})
	for key, want := range map[string]bool{"ip:192.0.2.1": true, "ip:198.51.100.9": true, "account:jane doe": true, "ip:203.0.113.1": false, "account:jane": false} {
		if _, got := good.Covers(indicator(t, key), now); got != want {
			t.Errorf("covers %s = %v", key, got)
		}
	}
	if _, ok := good.Covers(indicator(t, "account:jane doe"), now.Add(time.Hour)); ok {
		t.Error("an ended entry covers")
	}
	for name, e := range map[string]allowlist.Entry{
		"nobody":              {Owner: "x"},
		"both":                {Prefix: netip.MustParsePrefix("192.0.2.7/32"), Account: "a"},
		"everybody":           {Prefix: netip.MustParsePrefix("0.0.0.0/0")},
		"every IPv6":          {Prefix: netip.MustParsePrefix("::/0")},
		"mapped, too wide":    {Prefix: netip.MustParsePrefix("::ffff:0:0/90")},
		"mapped everybody":    {Prefix: netip.MustParsePrefix("::ffff:0:0/96")},
		"a bad account":       {Account: "a\x00b"},
		"an owner of words":   {Account: "a", Owner: "the office"},
		"an unprintable one":  {Account: "a", Owner: "\x1b[31m"},
		"a long owner":        {Account: "a", Owner: strings.Repeat("x", 101)},
		"an unprintable why":  {Account: "a", Reason: "a\nb"},
		"a reason of a novel": {Account: "a", Reason: strings.Repeat("x", 501)},
	} {
		l, err := allowlist.New([]allowlist.Entry{{Account: "fine"}, e})
		if !errors.Is(err, allowlist.ErrBadList) || l.Len() != 0 || !strings.Contains(err.Error(), "entry 2: ") {
			t.Errorf("%s: %d entries, err = %v; want none and the place of the bad one", name, l.Len(), err)
		}
		if err != nil && (len(err.Error()) > 400 || strings.ContainsAny(err.Error(), "\x1b\x00")) {
			t.Errorf("%s: the error shows too much: %q", name, err)
		}
	}
	if _, err := allowlist.New(make([]allowlist.Entry, allowlist.MaxLines+1)); !errors.Is(err, allowlist.ErrBadList) {
		t.Errorf("too many: %v", err)
	}
	if _, err := allowlist.New(make([]allowlist.Entry, 5000)); err == nil || len(err.Error()) > 20_000 || !strings.Contains(err.Error(), "more bad entries") {
		t.Errorf("5,000 bad entries: the error has %d bytes", len(err.Error()))
	}
	own := ranges("x", "192.0.2.77/24")
	made(t, own)
	if own[0].Prefix.String() != "192.0.2.77/24" {
		t.Error("New changed its caller's entries")
	}
}

func TestAJoinedListCoversWhatAnyPartCovers(t *testing.T) {
	operator := parse(t, "203.0.113.0/24 owner=office\n66.249.64.0/24 until=2020-01-01\naccount:a owner=qa")
	feed := made(t, ranges("googlebot", "66.249.64.0/19", "2001:4860:4801:10::/60"))
	both := allowlist.Join(operator, feed)
	for key, want := range map[string]string{
		"ip:203.0.113.9":            "allowlisted as 203.0.113.0/24, owner office",
		"ip:66.249.64.9":            "allowlisted as 66.249.64.0/19, owner googlebot: published ranges", // ended within it
		"ip:66.249.0.0/16":          "allowlisted as 66.249.64.0/19, owner googlebot: published ranges", // overlap both ways
		"ip:2001:4860:4801:10::/64": "allowlisted as 2001:4860:4801:10::/60, owner googlebot: published ranges",
		"account:a":                 "allowlisted as account:…(1), owner qa",
		"ip:198.51.100.7":           "",
	} {
		if got, ok := both.Covers(indicator(t, key), now); got != want || ok != (want != "") {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if l := allowlist.Join(); l.Len() != 0 {
		t.Error("no lists have entries")
	}
}

// TestJoinIsUnion: to join is to ask each.
func TestJoinIsUnion(t *testing.T) {
	prefix := rapid.Custom(func(t *rapid.T) netip.Prefix {
		a := [4]byte{20, rapid.Byte().Draw(t, "a") & 3, rapid.Byte().Draw(t, "b") & 3, rapid.Byte().Draw(t, "c")}
		return netip.PrefixFrom(netip.AddrFrom4(a), rapid.IntRange(8, 32).Draw(t, "bits")).Masked()
	})
	entry := rapid.Custom(func(t *rapid.T) allowlist.Entry {
		e := allowlist.Entry{Prefix: prefix.Draw(t, "prefix")}
		if rapid.Bool().Draw(t, "ended") {
			e.Until = now
		}
		return e
	})
	rapid.Check(t, func(t *rapid.T) {
		var lists []allowlist.List
		for range rapid.IntRange(0, 4).Draw(t, "lists") {
			l, err := allowlist.New(rapid.SliceOfN(entry, 0, 10).Draw(t, "entries"))
			if err != nil {
				t.Fatal(err)
			}
			lists = append(lists, l)
		}
		wanted, err := threat.Range(prefix.Draw(t, "wanted"))
		if err != nil {
			t.Skip("this draw is no indicator")
		}
		_, got := allowlist.Join(lists...).Covers(wanted, now)
		want := slices.ContainsFunc(lists, func(l allowlist.List) bool { _, ok := l.Covers(wanted, now); return ok })
		if got != want {
			t.Fatalf("joined %v, apart %v", got, want)
		}
	})
}

func source(name string, l allowlist.List, err error) allowlist.Source {
	return allowlist.Source{Name: name, Read: func(context.Context) (allowlist.List, error) { return l, err }}
}

func TestOneSourceThatCannotBeReadSpoilsAll(t *testing.T) {
	operator, feed := parse(t, "203.0.113.0/24"), made(t, ranges("googlebot", "66.249.64.0/19"))
	broken := errors.New("connection refused")
	for name, s := range map[string]allowlist.Sources{
		"the first": {source("operator", feed, broken), source("published ranges", feed, nil)},
		"the last":  {source("operator", operator, nil), source("published ranges", operator, broken)},
	} {
		l, err := s.Allowlist(t.Context())
		if !errors.Is(err, broken) || l.Len() != 0 {
			t.Errorf("%s: %d entries, err = %v; want none and the source's error", name, l.Len(), err)
		}
	}
	l, err := allowlist.Sources{source("operator", operator, nil), source("published ranges", feed, nil), source("own balancers", allowlist.List{}, nil)}.Allowlist(t.Context())
	if err != nil || l.Len() != 2 {
		t.Errorf("%d entries, %v", l.Len(), err)
	}
	if _, err := (allowlist.Sources{}).Allowlist(t.Context()); err == nil {
		t.Error("no source at all is a list")
	}
	entries := allowlist.FromEntries(func(context.Context) ([]allowlist.Entry, error) { return ranges("x", "0.0.0.0/0"), nil })
	if _, err := (allowlist.Sources{{Name: "published ranges", Read: entries}}).Allowlist(t.Context()); !errors.Is(err, allowlist.ErrBadList) || !strings.HasPrefix(err.Error(), "published ranges: ") {
		t.Errorf("a feed of everybody: %v", err)
	}
	entries = allowlist.FromEntries(func(context.Context) ([]allowlist.Entry, error) { return ranges("x", "192.0.2.0/24"), broken })
	if _, err := (allowlist.Sources{{Name: "published ranges", Read: entries}}).Allowlist(t.Context()); !errors.Is(err, broken) {
		t.Errorf("a feed that breaks: %v", err)
	}
}

func TestASourceMayNotCoverTooMuch(t *testing.T) {
	for _, c := range []struct {
		name, prefix string
		share        float64
		want         error
	}{
		{"a /8 is let", "17.0.0.0/8", 0, nil},
		{"a /7 is not", "16.0.0.0/7", 0, allowlist.ErrTooWide},
		{"unless it is meant", "16.0.0.0/7", 1, nil},
		{"less may be let", "17.0.0.0/8", 0.001, allowlist.ErrTooWide},
		{"an IPv6 /12 is let", "2400::/12", 0, nil},
		{"an IPv6 /8 is not", "2400::/8", 0, allowlist.ErrTooWide},
		{"all private space is nobody's", "10.0.0.0/8", 0.0001, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := source("published ranges", made(t, ranges("x", c.prefix)), nil)
			s.MaxShare = c.share
			l, err := allowlist.Sources{s}.Allowlist(t.Context())
			if !errors.Is(err, c.want) || (err != nil) == (l.Len() > 0) {
				t.Errorf("%d entries, err = %v, want %v", l.Len(), err, c.want)
			}
		})
	}
}

// storeWith is a store whose allowlist comes from several sources, as a function wires it.
type storeWith struct {
	*blocklisttest.Fake
	allow allowlist.Sources
}

func (s storeWith) Allowlist(ctx context.Context) (allowlist.List, error) {
	return s.allow.Allowlist(ctx)
}

// TestWhatAFeedBeginsToListLeavesTheWalls: the joined list is subtracted at every sync,
// whichever source somebody comes from, and comes back when the source drops it.
func TestWhatAFeedBeginsToListLeavesTheWalls(t *testing.T) {
	list := &blocklisttest.Fake{}
	if err := list.SaveAllowlist(t.Context(), parse(t, "203.0.113.0/24 owner=office")); err != nil {
		t.Fatal(err)
	}
	batch := blocklist.Batch{Run: "test", Now: now}
	for _, key := range []string{"ip:66.249.73.135", "ip:198.51.100.7", "ip:203.0.113.9"} {
		batch.Offences = append(batch.Offences, blocklist.Offence{Entry: blocklist.Entry{Indicator: indicator(t, key), Source: blocklist.SourceDetect}, At: now, Term: time.Hour})
	}
	if _, err := list.Put(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	var published []allowlist.Entry
	var broken error
	store := storeWith{list, allowlist.Sources{
		{Name: "operator", Read: list.Allowlist, MaxShare: 1},
		{Name: "published ranges", Read: allowlist.FromEntries(func(context.Context) ([]allowlist.Entry, error) { return published, broken })},
	}}
	wall := &waftest.Wall{}
	sync := func() error {
		_, err := enforce.Pass{List: store, Kind: "test-waf", Now: now}.Run(t.Context(), []enforce.Wall{{Name: "wall", Firewall: wall.Open()}})
		return err
	}
	for _, step := range []struct {
		name      string
		published []allowlist.Entry
		broken    error
		want      []string
	}{
		{"the operator's list alone", nil, nil, []string{"66.249.73.135/32", "198.51.100.7/32"}},
		{"the feed begins to list a crawler", ranges("googlebot", "66.249.64.0/19"), nil, []string{"198.51.100.7/32"}},
		{"the feed cannot be read: the wall stays as it is", nil, errors.New("damaged"), []string{"198.51.100.7/32"}},
		{"the feed covers half of the Internet: the wall stays as it is", ranges("x", "128.0.0.0/1"), nil, []string{"198.51.100.7/32"}},
		{"the feed drops it again", nil, nil, []string{"66.249.73.135/32", "198.51.100.7/32"}},
	} {
		published, broken = step.published, step.broken
		err := sync()
		fails := step.broken != nil || len(step.published) == 1 && step.published[0].Owner == "x"
		if errors.Is(err, enforce.ErrAllowlist) != fails || !fails && err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if diff := cmp.Diff(step.want, texts(wall.Enforced())); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
}

func texts(prefixes []netip.Prefix) []string {
	var all []string
	for _, p := range prefixes {
		all = append(all, p.String())
	}
	return all
}

func BenchmarkJoin(b *testing.B) {
	var lists []allowlist.List
	for i := range 2 {
		var entries []allowlist.Entry
		for j := range 50_000 {
			entries = append(entries, allowlist.Entry{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(20 + i), byte(j >> 8), byte(j), 0}), 24+j%9).Masked(), Owner: fmt.Sprint("owner", j)})
		}
		lists = append(lists, made(b, entries))
	}
	b.ReportAllocs()
	for b.Loop() {
		allowlist.Join(lists...)
	}
}
