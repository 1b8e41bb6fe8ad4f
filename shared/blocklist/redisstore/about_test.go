package redisstore_test

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/threat"
)

func indicator(tb testing.TB, key string) threat.Indicator {
	tb.Helper()
	ind, err := threat.ParseKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return ind
}

// block puts Indicators on the list for an hour from at.
func block(tb testing.TB, s *redisstore.Store, at time.Time, keys ...string) {
	tb.Helper()
	b := blocklist.Batch{Run: "test", Now: at}
	for _, key := range keys {
		b.Offences = append(b.Offences, blocklist.Offence{
			Entry: blocklist.Entry{Indicator: indicator(tb, key), Source: blocklist.SourceOperator, Rules: []string{"r"}}, At: at, Term: time.Hour,
		})
	}
	if _, err := s.Put(tb.Context(), b); err != nil {
		tb.Fatal(err)
	}
}

func TestAboutTellsWhatIsAndWhatWas(t *testing.T) {
	m := miniredis.RunT(t)
	s := open(t, "redis://"+m.Addr())
	noon := time.Now().UTC().Truncate(time.Second)
	who := indicator(t, "ip:203.0.113.7")
	if _, err := s.About(t.Context(), noon, who); !errors.Is(err, blocklist.ErrNoEpoch) {
		t.Fatalf("about somebody on no list: %v", err)
	}
	block(t, s, noon, "ip:203.0.113.7", "ip:203.0.112.0/23", "ip:203.0.0.0/16", "ip:203.0.113.8")

	about := func(at time.Time) redisstore.About {
		t.Helper()
		a, err := s.About(t.Context(), at, who)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := about(noon)
	if a.Entry == nil || a.Entry.Strikes != 1 || a.Generation == 0 || a.Epoch == "" || !a.Past.Until.IsZero() {
		t.Errorf("while blocked: %+v", a)
	}
	var around []string
	for _, e := range a.Around {
		around = append(around, e.Indicator.String())
	}
	if !slices.Equal(around, []string{"203.0.112.0/23", "203.0.0.0/16"}) {
		t.Errorf("around = %v", around)
	}

	// Its term ends: only its place in the index remembers.
	if a := about(noon.Add(time.Hour)); a.Entry != nil || len(a.Around) != 0 || !a.Past.Until.Equal(noon.Add(time.Hour)) || !a.Past.Released.IsZero() {
		t.Errorf("after the term: %+v", a)
	}
	// An operator ends it before.
	if _, err := s.Remove(t.Context(), noon.Add(time.Minute), "test", []threat.Indicator{who}); err != nil {
		t.Fatal(err)
	}
	if a := about(noon.Add(2 * time.Minute)); a.Entry != nil || !a.Past.Released.Equal(noon.Add(time.Minute)) || a.Past.Strikes != 0 {
		t.Errorf("after an unblock: %+v", a)
	}
	// Nobody has ever heard of their neighbour.
	if a, err := s.About(t.Context(), noon, indicator(t, "ip:198.51.100.1")); err != nil || a.Entry != nil || a.Past != (blocklist.Past{}) {
		t.Errorf("about a stranger: %+v, %v", a, err)
	}
}

func TestInsideListsWhatARangeHolds(t *testing.T) {
	s := open(t, startMini(t))
	now := time.Now().UTC().Truncate(time.Second)
	block(t, s, now, "ip:203.0.113.9", "ip:203.0.113.7", "ip:203.0.113.0/24", "ip:203.0.113.128/25", "ip:203.0.114.1", "account:a", "ip:2001:db8::/64")
	inside, total, err := s.Inside(t.Context(), now, netip.MustParsePrefix("203.0.113.0/24"), 2)
	if err != nil || total != 3 || len(inside) != 2 || inside[0].String() != "203.0.113.7" {
		t.Errorf("inside = %v of %d, %v; want two of the three", inside, total, err)
	}
}

func TestGroupsAreTheTargetsThatHaveListened(t *testing.T) {
	s := open(t, startMini(t))
	if got, err := s.Groups(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("groups of an empty store = %v, %v", got, err)
	}
	for _, group := range []string{"aws-waf:edge", "aws-waf:cdn"} {
		if _, err := s.Receive(t.Context(), group, "c", 0); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Groups(t.Context()); err != nil || !slices.Equal(got, []string{"aws-waf:cdn", "aws-waf:edge"}) {
		t.Errorf("groups = %v, %v", got, err)
	}
}
