package intelstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/intelstore"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return noon }

// world is a Redis with nothing in it.
type world struct {
	*miniredis.Miniredis
	t testing.TB
}

func newWorld(t testing.TB) world {
	t.Helper()
	return world{miniredis.RunT(t), t}
}

// open makes a Store of its own: another reader, or a function that starts cold.
func (w world) open() *intelstore.Store {
	w.t.Helper()
	s, err := intelstore.Open(w.t.Context(), "redis://"+w.Addr(), clock)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = s.Close() })
	return s
}

func table(t testing.TB, texts ...string) *threatintel.Table {
	t.Helper()
	items := make([]threatintel.Item, len(texts))
	for i, text := range texts {
		items[i] = threatintel.Item{Prefix: netip.MustParsePrefix(text), Confidence: 60}
	}
	return threatintel.NewTable(items)
}

func signal(name string) threatintel.Record {
	return threatintel.Record{Name: name, Purpose: threatintel.Signal, Category: "scan", MaxAge: 168 * time.Hour, Loaded: noon, Checked: noon}
}

func allow(name string) threatintel.Record {
	return threatintel.Record{Name: name, Purpose: threatintel.Allow, Category: "crawler", Loaded: noon, Checked: noon}
}

// publish saves tables and switches to a catalog of their records and of others.
func publish(t testing.TB, s *intelstore.Store, tables map[string]*threatintel.Table, records ...threatintel.Record) {
	t.Helper()
	before, base, err := s.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next := threatintel.Catalog{Sequence: before.Sequence + 1, Written: noon}
	for _, r := range records {
		if tables[r.Name] != nil {
			if r, err = s.Save(t.Context(), r, tables[r.Name]); err != nil {
				t.Fatal(err)
			}
		}
		next.Feeds = append(next.Feeds, r)
	}
	if err := s.Publish(t.Context(), base, next); err != nil {
		t.Fatal(err)
	}
}

func says(t testing.TB, s *intelstore.Store, ask string) string {
	t.Helper()
	set, err := s.Set(t.Context())
	if err != nil {
		return "error: " + err.Error()
	}
	text := ""
	for _, h := range set.Lookup(netip.MustParsePrefix(ask)) {
		text += h.Source + " "
	}
	return text
}

const bad, other = "198.51.100.7/32", "203.0.113.9/32"

func TestNothingWasEverLoaded(t *testing.T) {
	t.Parallel()
	s := newWorld(t).open()
	set, err := s.Set(t.Context())
	if err != nil || set == nil || set.Len() != 0 || set.Version() != "" {
		t.Errorf("set = %v, %v, want an empty one", set, err)
	}
	if ranges, err := s.AllowRanges(t.Context()); !errors.Is(err, intelstore.ErrNoRanges) || ranges != nil {
		t.Errorf("ranges = %v, %v", ranges, err)
	}
	if c, _, err := s.Catalog(t.Context()); err != nil || len(c.Feeds) != 0 {
		t.Errorf("catalog = %v, %v", c, err)
	}
}

func TestWhatIsPublishedIsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	publish(t, w.open(), map[string]*threatintel.Table{"a": table(t, bad), "bots": table(t, "192.0.2.0/24", "2001:db8::7/128")}, signal("a"), allow("bots"))
	s := w.open()
	if got := says(t, s, bad); got != "a " {
		t.Errorf("says %q", got)
	}
	if got := says(t, s, "192.0.2.1/32"); got != "" {
		t.Errorf("who is spared is suspected by %q", got)
	}
	ranges, err := s.AllowRanges(t.Context())
	want := []allowlist.Entry{
		{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Owner: "bots", Reason: "published range of bots, crawler"},
		{Prefix: netip.MustParsePrefix("2001:db8::7/128"), Owner: "bots", Reason: "published range of bots, crawler"},
	}
	if diff := cmp.Diff(want, ranges, cmpopts.EquateComparable(netip.Prefix{})); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, key := range w.Keys() {
		if !strings.HasPrefix(key, "{tracewall}:v1:intel:") {
			t.Errorf("key %s is not under our tag", key)
		}
		if ttl := w.TTL(key); ttl != 0 {
			t.Errorf("%s ends in %s, want it to stay", key, ttl)
		}
	}
	publish(t, w.open(), map[string]*threatintel.Table{"b": table(t, bad, other)}, signal("b"))
	if got := says(t, s, bad) + says(t, s, other); got != "b b " {
		t.Errorf("after the next catalog it says %q", got)
	}
	if _, err := s.AllowRanges(t.Context()); !errors.Is(err, intelstore.ErrNoRanges) {
		t.Errorf("the allow feed was taken out: %v", err)
	}
	gone := 0
	for _, key := range w.Keys() {
		if w.TTL(key) > 0 {
			gone++
		}
	}
	if gone != 2 {
		t.Errorf("%d parts end by themselves, want the two that nobody needs any more", gone)
	}
}

func TestAnUnchangedCatalogCostsOneCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	publish(t, w.open(), map[string]*threatintel.Table{"a": table(t, bad)}, signal("a"))
	s := w.open()
	first, err := s.Set(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := w.CommandCount()
	again, err := s.Set(t.Context())
	if err != nil || again.Version() != first.Version() || again.Len() != 1 {
		t.Errorf("again: %v", err)
	}
	if n := w.CommandCount() - before; n != 1 {
		t.Errorf("%d commands, want 1", n)
	}
	// Found unchanged an hour later: the same table, and a younger feed.
	c, base, err := s.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c.Sequence++
	c.Feeds[0].Loaded = noon.Add(time.Hour)
	if err := s.Publish(t.Context(), base, c); err != nil {
		t.Fatal(err)
	}
	before = w.CommandCount()
	younger, err := s.Set(t.Context())
	if err != nil || !younger.Sources()[0].Loaded.Equal(noon.Add(time.Hour)) || w.CommandCount()-before != 1 {
		t.Errorf("%+v after %d commands, %v", younger.Sources(), w.CommandCount()-before, err)
	}
}

func TestAReaderFadesFeedsByItsOwnClock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	publish(t, w.open(), map[string]*threatintel.Table{"a": table(t, bad), "bots": table(t, "192.0.2.0/24")}, signal("a"), allow("bots"))
	now := noon
	s, err := intelstore.Open(t.Context(), "redis://"+w.Addr(), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, want := range []string{"a ", "a ", "", ""} { // refresh-intel is dead: nobody writes any more
		if got := says(t, s, bad); got != want {
			t.Errorf("at %s: %q, want %q", now, got, want)
		}
		if ranges, err := s.AllowRanges(t.Context()); len(ranges) != 1 || err != nil {
			t.Errorf("at %s: %v, %v: who is spared must stay spared", now, ranges, err)
		}
		now = now.Add(90 * time.Hour)
	}
}

// Whatever part is missing or damaged, it is an error and never less intelligence.
func TestWhatCannotBeReadWholeIsAnError(t *testing.T) {
	t.Parallel()
	build := func(t *testing.T) world {
		w := newWorld(t)
		publish(t, w.open(), map[string]*threatintel.Table{"a": table(t, bad), "bots": table(t, "192.0.2.0/24")}, signal("a"), allow("bots"))
		return w
	}
	n := len(build(t).Keys())
	if n != 4 {
		t.Fatalf("%d keys, want catalog, founded and two tables", n)
	}
	harms := map[string]func(t *testing.T, w world, key string){
		"deleted":  func(_ *testing.T, w world, key string) { w.Del(key) },
		"emptied":  func(t *testing.T, w world, key string) { set(t, w, key, "") },
		"cut":      func(t *testing.T, w world, key string) { v, _ := w.Get(key); set(t, w, key, v[:len(v)/2]) },
		"replaced": func(t *testing.T, w world, key string) { set(t, w, key, strings.Repeat("x", 300)) },
		"changed": func(t *testing.T, w world, key string) {
			v, _ := w.Get(key)
			b := []byte(v)
			b[len(b)/2] ^= 4
			set(t, w, key, string(b))
		},
	}
	for name, harm := range harms {
		for i := range n {
			w := build(t)
			key := w.Keys()[i]
			harm(t, w, key)
			s := w.open()
			_, errSet := s.Set(t.Context())
			_, errAllow := s.AllowRanges(t.Context())
			if strings.HasSuffix(key, ":founded") {
				if errSet != nil || errAllow != nil { // only needed when the catalog has gone
					t.Errorf("%s %s: %v, %v", key, name, errSet, errAllow)
				}
				continue
			}
			if strings.HasSuffix(key, ":catalog") {
				if errSet == nil || errAllow == nil || errors.Is(errAllow, intelstore.ErrNoRanges) {
					t.Errorf("%s %s: %v, %v", key, name, errSet, errAllow)
				}
				continue
			}
			if (errSet == nil) == (errAllow == nil) {
				t.Errorf("%s %s: %v, %v, want an error of the one that needs it", key, name, errSet, errAllow)
			}
			for _, err := range []error{errSet, errAllow} {
				if err != nil && !errors.Is(err, intelstore.ErrLost) && !errors.Is(err, threatintel.ErrUnreadable) {
					t.Errorf("%s %s: %v", key, name, err)
				}
			}
		}
	}
}

// Parts are named by what they hold: a whole table under another one's name is damage, too.
func TestATableUnderAnothersNameIsNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	publish(t, w.open(), map[string]*threatintel.Table{"a": table(t, bad), "bots": table(t, other)}, signal("a"), allow("bots"))
	var keys []string
	for _, key := range w.Keys() {
		if strings.Contains(key, ":table:") {
			keys = append(keys, key)
		}
	}
	one, _ := w.Get(keys[0])
	two, _ := w.Get(keys[1])
	if len(one) != len(two) || one == two {
		t.Fatalf("tables of %d and %d bytes, want two different ones of one size", len(one), len(two))
	}
	set(t, w, keys[0], two)
	set(t, w, keys[1], one)
	if _, err := w.open().Set(t.Context()); !errors.Is(err, threatintel.ErrUnreadable) {
		t.Errorf("the set: %v", err)
	}
	if ranges, err := w.open().AllowRanges(t.Context()); !errors.Is(err, threatintel.ErrUnreadable) {
		t.Errorf("who was suspected is spared: %v, %v", ranges, err)
	}
}

func set(t *testing.T, w world, key, value string) {
	t.Helper()
	if err := w.Set(key, value); err != nil {
		t.Fatal(err)
	}
}

func TestACatalogThatHasGone(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		records []threatintel.Record
		want    error
	}{
		"held ranges to spare":  {[]threatintel.Record{signal("a"), allow("bots")}, intelstore.ErrLost},
		"held no ranges at all": {[]threatintel.Record{signal("a")}, intelstore.ErrNoRanges},
	} {
		w := newWorld(t)
		publish(t, w.open(), map[string]*threatintel.Table{"a": table(t, bad), "bots": table(t, "192.0.2.0/24")}, tc.records...)
		w.Del("{tracewall}:v1:intel:catalog")
		s := w.open()
		if _, err := s.AllowRanges(t.Context()); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
		if _, err := s.Set(t.Context()); !errors.Is(err, intelstore.ErrLost) {
			t.Errorf("%s: the set: %v", name, err)
		}
	}
}

func TestAFeedOfRangesThatWasNeverLoaded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := allow("new")
	r.Problem = "truncated"
	publish(t, w.open(), map[string]*threatintel.Table{"bots": table(t, "192.0.2.0/24")}, allow("bots"), r)
	if ranges, err := w.open().AllowRanges(t.Context()); !errors.Is(err, intelstore.ErrNotLoaded) || !strings.Contains(err.Error(), "feed new") || ranges != nil {
		t.Errorf("%v, %v", ranges, err)
	}
	never := signal("s")
	publish(t, w.open(), map[string]*threatintel.Table{"a": table(t, bad)}, signal("a"), never)
	if got := says(t, w.open(), bad); got != "a " {
		t.Errorf("a signal feed that was never loaded takes the others with it: %q", got)
	}
}

// big is a table of several parts.
func big(t testing.TB, seed uint32) *threatintel.Table {
	t.Helper()
	items := make([]threatintel.Item, 0, 400_000)
	for i := range uint32(400_000) {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], 0x20000000+(i*1300+seed)%0x20000000)
		items = append(items, threatintel.Item{Prefix: netip.PrefixFrom(netip.AddrFrom4(b), 32), Confidence: uint8(1 + i%100)})
	}
	return threatintel.NewTable(items)
}

// A writer that is killed at any of its commands leaves the old catalog, whole, with all its tables.
func TestAWriterThatDiesLeavesTheOldOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	publish(t, w.open(), map[string]*threatintel.Table{"a": big(t, 1), "b": table(t, other)}, signal("a"), signal("b"))
	old, err := w.open().Set(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	parts := 0
	for _, key := range w.Keys() {
		if strings.Contains(key, ":table:") {
			parts++
		}
	}
	if parts < 3 {
		t.Fatalf("%d parts, want several for the large one", parts)
	}
	for die := 0; ; die++ {
		client := redis.NewClient(&redis.Options{Addr: w.Addr(), MaxRetries: -1})
		client.AddHook(&mortal{left: die})
		s := intelstore.New(client, clock)
		err := func() error {
			c, base, err := s.Catalog(t.Context())
			if err != nil {
				return err
			}
			c.Sequence++
			if c.Feeds[0], err = s.Save(t.Context(), c.Feeds[0], big(t, 2)); err != nil {
				return err
			}
			if c.Feeds[1], err = s.Save(t.Context(), c.Feeds[1], table(t, other)); err != nil { // the same as before
				return err
			}
			return s.Publish(t.Context(), base, c)
		}()
		_ = s.Close()
		w.FastForward(2 * time.Hour) // what was half written has ended by now
		now, readErr := w.open().Set(t.Context())
		if readErr != nil {
			t.Fatalf("killed at command %d: %v", die, readErr)
		}
		if err == nil {
			if now.Version() == old.Version() {
				t.Error("nothing was switched")
			}
			break
		}
		if now.Version() != old.Version() || now.Len() != old.Len() {
			t.Fatalf("killed at command %d: version %s, was %s", die, now.Version(), old.Version())
		}
	}
	w.FastForward(2 * time.Hour)
	tables := 0
	for _, key := range w.Keys() {
		if strings.Contains(key, ":table:") {
			tables++
		}
	}
	if tables != parts {
		t.Errorf("%d parts are left, want %d: old ones end by themselves", tables, parts)
	}
}

// mortal lets left commands through and fails every later one.
type mortal struct{ left int }

func (m *mortal) DialHook(next redis.DialHook) redis.DialHook { return next }
func (m *mortal) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "hello" || cmd.Name() == "client" {
			return next(ctx, cmd)
		}
		if m.left--; m.left < 0 {
			cmd.SetErr(errors.New("killed"))
			return errors.New("killed")
		}
		return next(ctx, cmd)
	}
}

func (m *mortal) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func TestOfTwoWritersOneBeginsAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.open(), w.open()
	_, base, err := two.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	publish(t, one, map[string]*threatintel.Table{"a": table(t, bad)}, signal("a"))
	r, err := two.Save(t.Context(), signal("a"), table(t, other))
	if err != nil {
		t.Fatal(err)
	}
	if err := two.Publish(t.Context(), base, threatintel.Catalog{Feeds: []threatintel.Record{r}}); !errors.Is(err, intelstore.ErrConflict) {
		t.Errorf("err = %v", err)
	}
	if got := says(t, w.open(), bad) + says(t, w.open(), other); got != "a " {
		t.Errorf("says %q, want what the first one wrote", got)
	}
}

func TestACatalogWithoutItsTablesIsNotPublished(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.open()
	publish(t, s, map[string]*threatintel.Table{"a": table(t, bad)}, signal("a"))
	c, base, err := s.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Save(t.Context(), signal("b"), table(t, other))
	if err != nil {
		t.Fatal(err)
	}
	w.FastForward(2 * time.Hour)
	c.Feeds = append(c.Feeds, r)
	if err := s.Publish(t.Context(), base, c); !errors.Is(err, intelstore.ErrLost) {
		t.Errorf("err = %v", err)
	}
	if whole, err := s.Whole(t.Context(), r); whole || err != nil {
		t.Errorf("whole = %t, %v", whole, err)
	}
	if whole, err := s.Whole(t.Context(), c.Feeds[0]); !whole || err != nil {
		t.Errorf("whole = %t, %v", whole, err)
	}
	if got := says(t, w.open(), bad); got != "a " {
		t.Errorf("says %q", got)
	}
}

func TestRedisIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.open()
	publish(t, s, map[string]*threatintel.Table{"a": table(t, bad), "bots": table(t, other)}, signal("a"), allow("bots"))
	if _, err := s.Set(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if _, err := s.Set(t.Context()); err == nil {
		t.Error("a set from memory without asking")
	}
	if _, err := s.AllowRanges(t.Context()); err == nil || errors.Is(err, intelstore.ErrNoRanges) {
		t.Errorf("ranges: %v", err)
	}
	if _, err := intelstore.Open(t.Context(), "redis://:hunter2@", clock); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a bad address: %v", err)
	}
}

// On the real server too, where scripts and commands are not a stand-in's.
func TestOnRedis(t *testing.T) {
	t.Parallel()
	server := blocklisttest.StartRedis(t)
	s, err := intelstore.Open(t.Context(), server.URL, clock)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	publish(t, s, map[string]*threatintel.Table{"a": big(t, 1), "bots": table(t, "192.0.2.0/24")}, signal("a"), allow("bots"))
	publish(t, s, map[string]*threatintel.Table{"a": big(t, 1), "b": table(t, bad), "bots": table(t, "192.0.2.0/24")}, signal("a"), signal("b"), allow("bots"))
	fresh, err := intelstore.Open(t.Context(), server.URL, clock)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.Close()
	set, err := fresh.Set(t.Context())
	if err != nil || set.Len() != 400_001 || says(t, fresh, bad) != "b " {
		t.Errorf("%d entries, %v", set.Len(), err)
	}
	if ranges, err := fresh.AllowRanges(t.Context()); len(ranges) != 1 || err != nil {
		t.Errorf("%v, %v", ranges, err)
	}
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	defer client.Close()
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		ttl, err := client.PTTL(t.Context(), key).Result()
		n, _ := client.StrLen(t.Context(), key).Result()
		if err != nil || ttl != -1 || n > 1_000_000 {
			t.Errorf("%s: %d bytes, ends in %s, %v", key, n, ttl, err)
		}
	}
}

// BenchmarkSet reads a million prefixes from a real Redis, as detect does when it starts.
func BenchmarkSet(b *testing.B) {
	server := blocklisttest.StartRedis(b)
	s, err := intelstore.Open(b.Context(), server.URL, clock)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	publish(b, s, map[string]*threatintel.Table{"a": big(b, 1), "b": big(b, 2), "c": big(b, 3)}, signal("a"), signal("b"), signal("c"))
	for b.Loop() {
		cold, err := intelstore.Open(b.Context(), server.URL, clock)
		if err != nil {
			b.Fatal(err)
		}
		if set, err := cold.Set(b.Context()); err != nil || set.Len() < 1_000_000 {
			b.Fatal(fmt.Sprint(set.Len(), err))
		}
		_ = cold.Close()
	}
}
