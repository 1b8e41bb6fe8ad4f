package threatintel_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func item(text string, confidence int) threatintel.Item {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		addr := netip.MustParseAddr(text)
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	if p, err = threatintel.Admit(p, threatintel.Signal); err != nil {
		panic(err)
	}
	return threatintel.Item{Prefix: p, Confidence: uint8(confidence)}
}

func table(items ...threatintel.Item) *threatintel.Table { return threatintel.NewTable(items) }

// newSet makes a Set of tables called a, b, c…, each loaded at noon.
func newSet(t testing.TB, now time.Time, tables ...*threatintel.Table) *threatintel.Set {
	t.Helper()
	sources := make([]threatintel.Source, len(tables))
	for i, table := range tables {
		sources[i] = threatintel.Source{Name: string(rune('a' + i)), Category: "scan", Entries: table.Len(), Loaded: noon, MaxAge: 10 * time.Hour}
	}
	set, err := threatintel.NewSet("v", now, sources, tables)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func names(hits []threatintel.Hit) string {
	text := ""
	for _, h := range hits {
		text += fmt.Sprintf("%s%d ", h.Source, h.Confidence)
	}
	return text
}

func TestLookupFindsWhoHoldsTheWhole(t *testing.T) {
	t.Parallel()
	set := newSet(t, noon,
		table(item("198.51.100.0/24", 10), item("198.51.100.7", 90), item("203.0.113.0/25", 20), item("2001:db8::/32", 30)),
		table(item("198.51.0.0/16", 40), item("198.51.100.7", 50), item("2001:db8:1:2::9", 60)),
		table(item("198.51.100.0/30", 70), item("1.2.3.4", 80)),
	)
	for _, tc := range []struct{ name, ask, want string }{
		{"the most specific first, each feed once", "198.51.100.7/32", "b50 a90 "},
		{"nested ranges over feeds", "198.51.100.1/32", "c70 a10 b40 "},
		{"of a range only who holds all of it", "198.51.100.0/25", "a10 b40 "},
		{"not who holds a part", "198.51.0.0/15", ""},
		{"the edge of a range", "203.0.113.127/32", "a20 "},
		{"behind the edge", "203.0.113.128/32", ""},
		{"before everything", "1.2.3.3/32", ""},
		{"behind everything", "223.255.255.255/32", ""},
		{"an IPv6 address stands for its /64", "2001:db8:1:2:ffff::1/128", "b60 a30 "},
		{"and so does the /64", "2001:db8:1:2::/64", "b60 a30 "},
		{"another /64", "2001:db8:1:3::/64", "a30 "},
		{"an IPv4-mapped address is the IPv4 one", "::ffff:1.2.3.4/128", "c80 "},
		{"everything", "0.0.0.0/0", ""},
		{"all of IPv6", "::/0", ""},
	} {
		if got := names(set.Lookup(netip.MustParsePrefix(tc.ask))); got != tc.want {
			t.Errorf("%s: Lookup(%s) = %q, want %q", tc.name, tc.ask, got, tc.want)
		}
	}
	if hits := set.Lookup(netip.Prefix{}); hits != nil {
		t.Errorf("the zero prefix: %v", hits)
	}
}

func TestNoSetKnowsNothing(t *testing.T) {
	t.Parallel()
	var set *threatintel.Set
	if set.Lookup(netip.MustParsePrefix("1.2.3.4/32")) != nil || set.Version() != "" || set.Sources() != nil || set.Len() != 0 || set.At(noon) != nil {
		t.Error("a nil set knows something")
	}
	empty := newSet(t, noon)
	if empty.Lookup(netip.MustParsePrefix("1.2.3.4/32")) != nil || empty.Lookup(netip.MustParsePrefix("2001:db8::/64")) != nil {
		t.Error("an empty set knows something")
	}
}

func TestHitsSayWhatTheFeedSaid(t *testing.T) {
	t.Parallel()
	seen, own := item("1.2.3.4", 60), item("5.6.7.8", 60)
	seen.Seen = threatintel.Seconds(noon.Add(-48 * time.Hour))
	set := newSet(t, noon, table(seen, own))
	want := []threatintel.Hit{{Source: "a", Category: "scan", Confidence: 60, Seen: noon.Add(-48 * time.Hour)}}
	if diff := cmp.Diff(want, set.Lookup(netip.MustParsePrefix("1.2.3.4/32"))); diff != "" {
		t.Error(diff)
	}
	want[0].Seen = noon // when it was loaded
	if diff := cmp.Diff(want, set.Lookup(netip.MustParsePrefix("5.6.7.8/32"))); diff != "" {
		t.Error(diff)
	}
}

func TestAFeedThatIsNotRefreshedFades(t *testing.T) {
	t.Parallel()
	set := newSet(t, noon, table(item("1.2.3.4", 80), item("5.6.7.8", 1)))
	for age, want := range map[time.Duration]string{
		-time.Hour: "a80 ", 0: "a80 ", 5 * time.Hour: "a80 ", 6 * time.Hour: "a64 ", 7*time.Hour + 30*time.Minute: "a40 ", 9*time.Hour + 59*time.Minute: "", 10 * time.Hour: "", 15 * time.Hour: "", 1000 * time.Hour: "",
	} {
		if got := names(set.At(noon.Add(age)).Lookup(netip.MustParsePrefix("1.2.3.4/32"))); got != want {
			t.Errorf("%s after it was loaded: %q, want %q", age, got, want)
		}
	}
	if got := names(set.At(noon.Add(6 * time.Hour)).Lookup(netip.MustParsePrefix("5.6.7.8/32"))); got != "" {
		t.Errorf("nothing is left of a confidence of 1: %q", got)
	}
	if got := names(set.Lookup(netip.MustParsePrefix("1.2.3.4/32"))); got != "a80 " {
		t.Errorf("At changed the set that it was asked of: %q", got)
	}
}

func TestWhatAFeedTakesBackIsGone(t *testing.T) {
	t.Parallel()
	narrow, wide := item("1.2.3.4", 80), item("1.2.3.0/24", 30)
	narrow.Until = threatintel.Seconds(noon.Add(time.Hour))
	set := newSet(t, noon, table(narrow, wide))
	for after, want := range map[time.Duration]string{0: "a80 ", time.Hour - time.Second: "a80 ", time.Hour: "a30 "} {
		if got := names(set.At(noon.Add(after)).Lookup(netip.MustParsePrefix("1.2.3.4/32"))); got != want {
			t.Errorf("after %s: %q, want %q", after, got, want)
		}
	}
}

func TestAtMostSixteenHits(t *testing.T) {
	t.Parallel()
	var tables []*threatintel.Table
	for i := range 20 {
		tables = append(tables, table(item(fmt.Sprintf("1.2.3.4/%d", 32-i), 50)))
	}
	hits := newSet(t, noon, tables...).Lookup(netip.MustParsePrefix("1.2.3.4/32"))
	if len(hits) != 16 || hits[0].Source != "a" || hits[15].Source != "p" {
		t.Errorf("hits = %s, want the 16 most specific", names(hits))
	}
}

func TestASetIsBounded(t *testing.T) {
	t.Parallel()
	many := make([]*threatintel.Table, threatintel.MaxFeeds+1)
	for i := range many {
		many[i] = &threatintel.Table{}
	}
	if _, err := threatintel.NewSet("v", noon, make([]threatintel.Source, len(many)), many); !errors.Is(err, threatintel.ErrTooMany) {
		t.Errorf("65 feeds: %v", err)
	}
	if _, err := threatintel.NewSet("v", noon, nil, many[:1]); err == nil {
		t.Error("a table without a source was taken")
	}
	big := table(million(0)...)
	if _, err := threatintel.NewSet("v", noon, make([]threatintel.Source, 3), []*threatintel.Table{big, big, big}); !errors.Is(err, threatintel.ErrTooMany) {
		t.Errorf("three million entries: %v", err)
	}
	if _, err := newSet(t, noon).About(noon, make([]threatintel.Source, 1)); err == nil {
		t.Error("facts about a feed that is not in the set were taken")
	}
}

// naive answers as the Set should, by looking at everything.
func naive(tables [][]threatintel.Item, p netip.Prefix) string {
	var holders []threatintel.Item
	var feeds []string
	for f, items := range tables {
		best := -1
		for i, item := range items {
			if item.Prefix.Contains(p.Addr()) && item.Prefix.Bits() <= p.Bits() && (best < 0 || item.Prefix.Bits() > items[best].Prefix.Bits() ||
				item.Prefix == items[best].Prefix && item.Confidence > items[best].Confidence) {
				best = i
			}
		}
		if best >= 0 {
			holders, feeds = append(holders, items[best]), append(feeds, string(rune('a'+f)))
		}
	}
	order := make([]int, len(holders))
	for i := range order {
		order[i] = i
	}
	// Of equally specific entries that of the later feed comes first: any order would do, this is the one that the rows have.
	slices.SortStableFunc(order, func(a, b int) int {
		if c := holders[b].Prefix.Bits() - holders[a].Prefix.Bits(); c != 0 {
			return c
		}
		return b - a
	})
	text := ""
	for _, i := range order {
		text += fmt.Sprintf("%s%d ", feeds[i], holders[i].Confidence)
	}
	return text
}

func prefixes(v6 bool) *rapid.Generator[netip.Prefix] {
	return rapid.Custom(func(t *rapid.T) netip.Prefix {
		// Few different bits, so that prefixes nest and meet often.
		x := rapid.Uint32Range(0, 255).Draw(t, "x")
		y := rapid.Uint32Range(0, 3).Draw(t, "y")
		if v6 {
			addr := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 0, byte(y), byte(x)})
			return netip.PrefixFrom(addr, rapid.IntRange(40, 64).Draw(t, "bits")).Masked()
		}
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100 + byte(y), byte(x)}), rapid.IntRange(14, 32).Draw(t, "bits")).Masked()
	})
}

func TestASetAnswersAsLookingAtEverythingWould(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		feeds := rapid.IntRange(0, 5).Draw(t, "feeds")
		items, tables := make([][]threatintel.Item, feeds), make([]*threatintel.Table, feeds)
		sources := make([]threatintel.Source, feeds)
		for f := range feeds {
			for range rapid.IntRange(0, 40).Draw(t, "n") {
				p := prefixes(rapid.Bool().Draw(t, "v6")).Draw(t, "p")
				items[f] = append(items[f], threatintel.Item{Prefix: p, Confidence: uint8(rapid.IntRange(1, 100).Draw(t, "c"))})
			}
			tables[f] = threatintel.NewTable(slices.Clone(items[f]))
			if f%2 == 0 { // through the binary form, too
				decoded, err := threatintel.Decode(tables[f].Encode())
				if err != nil {
					t.Fatal(err)
				}
				tables[f] = decoded
			}
			sources[f] = threatintel.Source{Name: string(rune('a' + f)), Loaded: noon}
		}
		set, err := threatintel.NewSet("v", noon, sources, tables)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			p := prefixes(rapid.Bool().Draw(t, "ask v6")).Draw(t, "ask")
			if got, want := names(set.Lookup(p)), naive(items, p); got != want {
				t.Fatalf("Lookup(%s) = %q, want %q", p, got, want)
			}
		}
	})
}
