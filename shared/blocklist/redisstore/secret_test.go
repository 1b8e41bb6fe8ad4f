package redisstore_test

import (
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/threat"
)

// endsOf returns when each entry of the list ends.
func endsOf(tb testing.TB, s *redisstore.Store) map[threat.Indicator]time.Time {
	tb.Helper()
	snap, err := s.Snapshot(tb.Context(), noon)
	if err != nil {
		tb.Fatal(err)
	}
	ends := map[threat.Indicator]time.Time{}
	for _, e := range snap.Entries {
		ends[e.Indicator] = e.ExpiresAt
	}
	return ends
}

func TestAListHasOneSecretWhoeverWritesFirst(t *testing.T) {
	m := miniredis.RunT(t)
	b := batch(t, 50)
	b.Now = noon
	stores := make([]*redisstore.Store, 8)
	var all sync.WaitGroup
	for i := range stores {
		stores[i] = open(t, "redis://"+m.Addr())
		all.Go(func() {
			if _, err := stores[i].Put(t.Context(), b); err != nil {
				t.Errorf("first writer %d: %v", i, err)
			}
		})
	}
	all.Wait()
	key, err := m.Get(prefix + "secret")
	if err != nil || !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(key) {
		t.Fatalf("secret of %d characters, err = %v, want 32 hexadecimal digits", len(key), err)
	}
	for ind, end := range endsOf(t, stores[0]) {
		o := b.Offences[0]
		for _, other := range b.Offences {
			if other.Indicator == ind {
				o = other
			}
		}
		if want := o.Clean().End(1, blocklist.NewJitter(key, ind.Key())); !end.Equal(want) {
			t.Fatalf("%s ends at %s, want %s", ind, end, want)
		}
	}
	if epoch, _ := m.Get(prefix + "epoch"); epoch == key {
		t.Error("the secret is the epoch, which stands on walls")
	}
}

// A store that knows another secret, because the list was restored or founded anew under
// it, learns the right one before it writes.
func TestAWriterLearnsThatTheSecretIsAnother(t *testing.T) {
	m := miniredis.RunT(t)
	s, fresh := open(t, "redis://"+m.Addr()), open(t, "redis://"+m.Addr())
	b := batch(t, 20)
	if _, err := s.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := m.Set(prefix+"secret", secret); err != nil {
		t.Fatal(err)
	}
	more := batch(t, 40)
	if c, err := s.Put(t.Context(), more); err != nil || c.Added != 20 {
		t.Fatalf("changes = %+v, err = %v, want 20 added", c, err)
	}
	if got, _ := m.Get(prefix + "secret"); got != secret {
		t.Error("the writer changed the list's secret")
	}
	before := endsOf(t, s)
	if c, err := fresh.Put(t.Context(), more); err != nil || c.Unchanged != 40 {
		t.Errorf("changes = %+v, err = %v, want nothing changed by a writer that goes by the same secret", c, err)
	}
	for ind, end := range endsOf(t, s) {
		if !end.Equal(before[ind]) {
			t.Fatalf("%s ends at %s, then at %s", ind, before[ind], end)
		}
	}
}

// A list from before there were secrets, cool-offs, scores and challenges.
func TestAListOfTheFirstFormIsReadAndGoesOn(t *testing.T) {
	m := miniredis.RunT(t)
	s := open(t, "redis://"+m.Addr())
	unix := func(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
	was, until := noon.Add(-time.Hour), noon.Add(72*time.Hour)
	for key, text := range map[string]string{
		"epoch": "e", "generation": "7", "size": "3",
		"entry:ip:203.0.113.7": `{"v":1,"source":"detect","severity":"high","rules":["r"],"count":5,"first_seen":` + unix(was) + `,"last_seen":` + unix(noon) +
			`,"since":` + unix(was) + `,"expires_at":` + unix(until) + `,"strikes":2}`,
		"past:ip:203.0.113.7": "2 " + unix(until) + " 0",
		"past:ip:203.0.113.8": "3 " + unix(noon.Add(-31*24*time.Hour)) + " 0",
		"past:ip:203.0.113.9": "0 " + unix(was) + " " + unix(noon),
	} {
		if err := m.Set(prefix+key, text); err != nil {
			t.Fatal(err)
		}
	}
	for key, end := range map[string]time.Time{"203.0.113.7": until, "203.0.113.8": noon.Add(-31 * 24 * time.Hour), "203.0.113.9": noon.Add(-24 * time.Hour)} {
		if _, err := m.ZAdd(prefix+"expiry", float64(end.Unix()), "ip:"+key); err != nil {
			t.Fatal(err)
		}
	}
	listed, decayed, freed := indicator(t, "ip:203.0.113.7"), indicator(t, "ip:203.0.113.8"), indicator(t, "ip:203.0.113.9")
	known, err := s.Histories(t.Context(), noon, []threat.Indicator{listed, decayed, freed})
	want := map[threat.Indicator]blocklist.History{listed: {Listed: true, Strikes: 2}, decayed: {Strikes: 2}, freed: {Released: noon}}
	for ind, h := range want {
		if known[ind] != h {
			t.Errorf("%s: %+v, err = %v, want %+v", ind, known[ind], err, h)
		}
	}
	b := blocklist.Batch{Run: "r", Now: noon}
	for _, ind := range []threat.Indicator{listed, decayed, freed} {
		b.Offences = append(b.Offences, blocklist.Offence{Entry: blocklist.Entry{Indicator: ind, Source: blocklist.SourceDetect, Score: 80}, At: noon, Term: time.Hour})
	}
	if c, err := s.Put(t.Context(), b); err != nil || c.Added != 1 || c.Unchanged != 1 || c.Released != 1 {
		t.Errorf("changes = %+v, err = %v, want one of each", c, err)
	}
	// What programs of the first form may still read, they can.
	if past, _ := m.Get(prefix + "past:ip:203.0.113.8"); !regexp.MustCompile(`^3 \d+ 0$`).MatchString(past) {
		t.Errorf("past = %q, want three words: two strikes were left", past)
	}
	if text, _ := m.Get(prefix + "entry:ip:203.0.113.7"); !strings.HasPrefix(text, `{"v":1,`) || !strings.Contains(text, `"score":80`) {
		t.Errorf("entry = %s", text)
	}
	if _, err := s.Unblock(t.Context(), blocklist.Unblock{Run: "r", Now: noon, Indicators: []threat.Indicator{listed}, CoolOff: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if past, _ := m.Get(prefix + "past:ip:203.0.113.7"); past != "1 "+unix(noon)+" "+unix(noon)+" "+unix(noon.Add(time.Hour)) {
		t.Errorf("past = %q, want the cool-off as a fourth word", past)
	}
}

// A program that knows no challenges takes one for damage, and its wall stays as it is, rather than block.
func TestAChallengeIsOfANewerForm(t *testing.T) {
	m := miniredis.RunT(t)
	s := open(t, "redis://"+m.Addr())
	b := batch(t, 1)
	b.Offences[0].Challenge = true
	for range 2 { // as it comes, and merged
		if _, err := s.Put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		text, _ := m.Get(prefix + "entry:" + b.Offences[0].Indicator.Key())
		if !strings.HasPrefix(text, `{"v":2,`) || !strings.Contains(text, `"challenge":true`) {
			t.Errorf("entry = %s, want version 2", text)
		}
		b.Offences[0].Count++
	}
	b.Offences[0].Challenge = false
	if _, err := s.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if text, _ := m.Get(prefix + "entry:" + b.Offences[0].Indicator.Key()); !strings.HasPrefix(text, `{"v":1,`) || strings.Contains(text, "challenge") {
		t.Errorf("entry = %s, want a block of version 1", text)
	}
}
