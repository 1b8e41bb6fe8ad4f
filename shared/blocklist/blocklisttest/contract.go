package blocklisttest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// noon is the time at which most of the suite happens. It lies far ahead: by the
// clock of a real server no entry of a test has ended.
var noon = time.Date(2076, 11, 20, 12, 0, 0, 0, time.UTC)

// TestStore proves that a store keeps the contract of package blocklist. open makes
// a fresh, empty store for each part.
func TestStore(t *testing.T, open func(t *testing.T) Harness) {
	for _, part := range []struct {
		name string
		run  func(t *testing.T, h Harness)
	}{
		{"a block begins with its offence and ends after its term", testPut},
		{"the same batch again changes nothing", testReplay},
		{"two writers of one batch leave the list of one", testTwoWriters},
		{"one batch may name an indicator twice", testTwice},
		{"an entry seen again never gets shorter and keeps what was known", testMerge},
		{"an operator's word outranks a rule's", testOperator},
		{"a term that is over is not written", testExpired},
		{"an unfit offence stops the whole batch", testUnfit},
		{"a strike counts when a block begins after the last has ended", testStrikes},
		{"an unblock holds against older offences", testRemove},
		{"an unblock takes its strike back", testForgive},
		{"strikes are forgotten one by one", testDecay},
		{"blocks end at different moments, the same at each replay", testJitter},
		{"an unblock sticks for its cool-off, unless an operator blocks", testCoolOff},
		{"a block outranks a challenge, whichever came first", testChallenge},
		{"a challenge counts as a strike", testChallengeStrikes},
		{"histories tell what is and what was", testHistories},
		{"the size counts what is active", testSize},
		{"accounts are found among addresses", testAccounts},
		{"cases come back as they were saved, for their time", testCases},
		{"states stay until they are saved anew", testStates},
		{"a checkpoint never moves backwards", testCheckpoints},
		{"a store without a list is an error to every reader", testNoEpoch},
		{"a list without its epoch is damaged", testLostEpoch},
		{"a lost or garbled entry is an error to every reader", testLostEntry},
		{"a list without its generation or index is damaged", testLostParts},
		{"an emptied store is founded anew with another epoch", testFlush},
		{"an entry that has ended is no damage", testEnded},
		{"the handoff rings for changes only, and until acknowledged", testHandoff},
		{"a lease has one holder and a growing token", testLease},
		{"waiting for the handoff misses nothing", testAwait},
		{"what left in good order is told from what vanished", testLeft},
		{"what is erased leaves no trace", testErased},
		{"an approval is used once", testApproval},
		{"first is true once", testFirst},
		{"reports and statuses come back as they were saved", testRecords},
		{"the allowlist comes back whole or as an error", testAllowlist},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, open(t)) })
	}
}

func address(t *testing.T, text string) threat.Indicator {
	t.Helper()
	ind, err := threat.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return ind
}

func account(t *testing.T, text string) threat.Indicator {
	t.Helper()
	ind, err := threat.Account(text)
	if err != nil {
		t.Fatal(err)
	}
	return ind
}

// offence returns a rule's offence of 72 h from at on.
func offence(ind threat.Indicator, at time.Time) blocklist.Offence {
	return blocklist.Offence{
		Entry: blocklist.Entry{
			Indicator: ind, Source: blocklist.SourceDetect, Severity: threat.Medium, Rules: []string{"rate-limit-address"},
			Count: 150, FirstSeen: at.Add(-2 * time.Minute), LastSeen: at.Add(-time.Second),
		},
		At: at, Term: 72 * time.Hour,
	}
}

// end returns when the strikes-th block by this offence ends.
func (h Harness) end(o blocklist.Offence, strikes int) time.Time {
	return o.End(strikes, blocklist.NewJitter(h.Secret, o.Indicator.Key()))
}

func put(t *testing.T, s Store, now time.Time, offences ...blocklist.Offence) blocklist.Changes {
	t.Helper()
	c, err := s.Put(t.Context(), blocklist.Batch{Run: "run", Now: now, Offences: offences})
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	return c
}

func snapshot(t *testing.T, s Store, now time.Time) map[string]blocklist.Entry {
	t.Helper()
	snap, err := s.Snapshot(t.Context(), now)
	if err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	m := map[string]blocklist.Entry{}
	for _, e := range snap.Entries {
		if _, twice := m[e.Indicator.Key()]; twice {
			t.Errorf("%s is there twice", e.Indicator)
		}
		m[e.Indicator.Key()] = e
	}
	return m
}

func sameEntries(t *testing.T, got, want map[string]blocklist.Entry) {
	t.Helper()
	opt := cmp.Comparer(func(a, b threat.Indicator) bool { return a == b })
	if diff := cmp.Diff(want, got, opt, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// numbers drops the generation, which most tests do not care about.
func numbers(c blocklist.Changes) blocklist.Changes {
	c.Generation = 0
	return c
}

func same(t *testing.T, got, want blocklist.Changes) {
	t.Helper()
	if diff := cmp.Diff(numbers(want), numbers(got)); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}

func testPut(t *testing.T, h Harness) {
	a, b := address(t, "192.0.2.7"), account(t, `jane "the\cat" 测试/x`)
	full := offence(a, noon)
	full.Severity, full.Reason = threat.Critical, `says "no" \ 不/`
	full.Countries, full.Accounts, full.Addresses = []string{"ID", "BR", "BR"}, []string{"z", "a"}, 3
	c := put(t, h.Store, noon.Add(90*time.Second+300*time.Millisecond), full, offence(b, noon),
		offence(address(t, "2001:db8:1:2::/64"), noon), offence(address(t, "198.51.100.0/24"), noon))
	same(t, c, blocklist.Changes{Added: 4})

	want := full.Entry
	want.Countries, want.Accounts = []string{"BR", "ID"}, []string{"a", "z"}
	want.Since, want.ExpiresAt, want.Strikes = noon, h.end(full, 1), 1
	got := snapshot(t, h.Other, noon)
	if len(got) != 4 {
		t.Errorf("%d entries, want 4", len(got))
	}
	sameEntries(t, map[string]blocklist.Entry{a.Key(): got[a.Key()]}, map[string]blocklist.Entry{a.Key(): want})

	e, ok, err := h.Store.Lookup(t.Context(), noon, b)
	if err != nil || !ok || e.Indicator != b {
		t.Errorf("lookup = %v %v %v", e, ok, err)
	}
	if _, ok, err := h.Store.Lookup(t.Context(), h.end(offence(b, noon), 1), b); ok || err != nil {
		t.Errorf("lookup after the end = %v %v", ok, err)
	}
	if _, ok, err := h.Store.Lookup(t.Context(), noon, address(t, "192.0.2.8")); ok || err != nil {
		t.Errorf("lookup of nobody = %v %v", ok, err)
	}
	n := 0
	version, err := h.Store.Each(t.Context(), noon, func(page []blocklist.Entry) error { n += len(page); return nil })
	if err != nil || n != 4 {
		t.Errorf("each: %d entries, err = %v", n, err)
	}
	if s, err := h.Store.Snapshot(t.Context(), noon); err != nil || version != (blocklist.Version{Epoch: s.Epoch, Generation: s.Generation}) || s.Epoch == "" {
		t.Errorf("each was of %+v, the snapshot of %s, %d", version, s.Epoch, s.Generation)
	}
	stop := errors.New("stop")
	if _, err := h.Store.Each(t.Context(), noon, func([]blocklist.Entry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("each: err = %v, want the func's", err)
	}
	full.Rules[0] = "changed by the caller"
	if got := snapshot(t, h.Store, noon)[a.Key()].Rules[0]; got != "rate-limit-address" {
		t.Errorf("the store shares memory with its caller: %q", got)
	}
}

func testReplay(t *testing.T, h Harness) {
	batch := []blocklist.Offence{offence(address(t, "192.0.2.7"), noon), offence(address(t, "192.0.2.8"), noon.Add(-time.Minute))}
	first := put(t, h.Store, noon, batch...)
	before := snapshot(t, h.Store, noon)
	for _, later := range []time.Duration{0, time.Minute, time.Hour} {
		c := put(t, h.Other, noon.Add(later), batch...)
		same(t, c, blocklist.Changes{Unchanged: 2})
		if c.Generation != first.Generation {
			t.Errorf("generation = %d, want still %d", c.Generation, first.Generation)
		}
	}
	sameEntries(t, snapshot(t, h.Store, noon), before)

	// A replay so late that the block is over must not begin another.
	over := h.end(batch[0], 1)
	if end := h.end(batch[1], 1); end.After(over) {
		over = end
	}
	same(t, put(t, h.Store, over, batch...), blocklist.Changes{Expired: 2})
	if h.Advance != nil {
		h.Advance(over.Sub(noon) + time.Hour)
	}
	same(t, put(t, h.Store, over.Add(time.Hour), batch...), blocklist.Changes{Expired: 2})
	sameEntries(t, snapshot(t, h.Store, over.Add(time.Hour)), map[string]blocklist.Entry{})
}

func testTwoWriters(t *testing.T, h Harness) {
	const n = 3000
	var batch []blocklist.Offence
	for i := range n {
		batch = append(batch, offence(address(t, fmt.Sprintf("20.1.%d.%d", i/250, i%250)), noon))
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var sum blocklist.Changes
	for _, s := range []Store{h.Store, h.Other, h.Store, h.Other} {
		wg.Go(func() {
			c, err := s.Put(t.Context(), blocklist.Batch{Run: "run", Now: noon, Offences: batch})
			if err != nil {
				t.Errorf("put: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			sum.Added += c.Added
			sum.Unchanged += c.Unchanged
			sum.Extended += c.Extended
		})
	}
	wg.Wait()
	same(t, sum, blocklist.Changes{Added: n, Unchanged: 3 * n})
	for key, e := range snapshot(t, h.Store, noon) {
		if e.Strikes != 1 || !e.ExpiresAt.Equal(h.end(offence(e.Indicator, noon), 1)) {
			t.Fatalf("%s: strikes %d until %s", key, e.Strikes, e.ExpiresAt)
		}
	}
}

func testTwice(t *testing.T, h Harness) {
	a, b := offence(address(t, "192.0.2.7"), noon), offence(address(t, "192.0.2.7"), noon.Add(time.Minute))
	b.Rules, b.Count, b.Severity = []string{"sms-account"}, 10, threat.High
	same(t, put(t, h.Store, noon, a, b), blocklist.Changes{Added: 1, Extended: 1})
	e := snapshot(t, h.Store, noon)["ip:192.0.2.7"]
	if diff := cmp.Diff([]string{"rate-limit-address", "sms-account"}, e.Rules); diff != "" || e.Count != 150 || e.Severity != threat.High || e.Strikes != 1 {
		t.Errorf("entry = %+v", e)
	}
}

func testMerge(t *testing.T, h Harness) {
	ind := account(t, "abc")
	o := offence(ind, noon)
	o.Severity, o.Count, o.Addresses, o.Reason = threat.High, 500, 40, "first"
	o.Accounts, o.Countries = []string{"b"}, []string{"BR"}
	put(t, h.Store, noon, o)

	again := offence(ind, noon.Add(time.Hour))
	again.Severity, again.Count, again.Addresses, again.Reason = threat.Low, 20, 50, "second"
	again.Accounts, again.Countries, again.Rules = []string{"a"}, []string{"ID"}, []string{"other"}
	again.FirstSeen = noon.Add(-time.Hour)
	again.Term = 71 * time.Hour // with a little less jitter, it ends no later
	same(t, put(t, h.Other, noon.Add(time.Hour), again), blocklist.Changes{Unchanged: 1})
	want := o.Entry
	want.Addresses, want.FirstSeen, want.LastSeen = 50, again.FirstSeen, again.LastSeen
	want.Accounts, want.Countries, want.Rules = []string{"a", "b"}, []string{"BR", "ID"}, []string{"other", "rate-limit-address"}
	want.Since, want.ExpiresAt, want.Strikes = noon, h.end(o, 1), 1
	sameEntries(t, snapshot(t, h.Store, noon), map[string]blocklist.Entry{ind.Key(): want})

	short := offence(ind, noon.Add(2*time.Hour))
	short.Term = time.Hour
	same(t, put(t, h.Store, noon.Add(2*time.Hour), short), blocklist.Changes{Unchanged: 1})
	long := offence(ind, noon.Add(2*time.Hour))
	same(t, put(t, h.Store, noon.Add(2*time.Hour), long), blocklist.Changes{Extended: 1})
	e := snapshot(t, h.Store, noon)[ind.Key()]
	if !e.ExpiresAt.Equal(h.end(long, 1)) || !e.Since.Equal(noon) || e.Strikes != 1 {
		t.Errorf("entry = %+v", e)
	}
}

func testOperator(t *testing.T, h Harness) {
	ind := address(t, "192.0.2.7")
	put(t, h.Store, noon, offence(ind, noon))
	o := offence(ind, noon)
	o.Source, o.Reason, o.Rules, o.Term = blocklist.SourceOperator, "called by the bank", nil, time.Hour
	same(t, put(t, h.Store, noon, o), blocklist.Changes{Unchanged: 1})
	put(t, h.Store, noon, offence(ind, noon))
	e := snapshot(t, h.Store, noon)[ind.Key()]
	if e.Source != blocklist.SourceOperator || e.Reason != "called by the bank" || !e.ExpiresAt.Equal(h.end(offence(ind, noon), 1)) {
		t.Errorf("entry = %+v", e)
	}
	// A person's term is never doubled, nor moved.
	later := noon.Add(100 * time.Hour)
	o.At = later
	put(t, h.Store, later, o)
	e = snapshot(t, h.Store, later)[ind.Key()]
	if e.Strikes != 2 || !e.ExpiresAt.Equal(later.Add(time.Hour)) {
		t.Errorf("second entry = %+v", e)
	}
}

func testExpired(t *testing.T, h Harness) {
	ind := address(t, "192.0.2.7")
	over := noon.Add(noon.Sub(h.end(offence(ind, noon), 1))) // a block from then on ends now
	same(t, put(t, h.Store, noon, offence(ind, over)), blocklist.Changes{Expired: 1})
	sameEntries(t, snapshot(t, h.Store, noon), map[string]blocklist.Entry{})
	same(t, put(t, h.Store, noon, offence(ind, over.Add(time.Second)), offence(address(t, "192.0.2.8"), noon.Add(-80*time.Hour))),
		blocklist.Changes{Added: 1, Expired: 1})
}

func testUnfit(t *testing.T, h Harness) {
	good := offence(address(t, "192.0.2.7"), noon)
	bad := good
	bad.Term = time.Second
	b := blocklist.Batch{Run: "run", Now: noon, Offences: []blocklist.Offence{good, bad}, Checkpoints: map[string]time.Time{"r": noon}}
	if _, err := h.Store.Put(t.Context(), b); err == nil {
		t.Fatal("put took a term of one second")
	}
	if _, err := h.Store.Snapshot(t.Context(), noon); !errors.Is(err, blocklist.ErrNoEpoch) {
		t.Errorf("snapshot after a refused batch: err = %v, want ErrNoEpoch", err)
	}
}
