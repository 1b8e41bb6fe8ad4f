package blocklisttest

import (
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// again blocks an Indicator from at on, and returns its entry. The store's own clock follows, if it can.
func again(t *testing.T, h Harness, clock *time.Time, ind threat.Indicator, at time.Time) blocklist.Entry {
	t.Helper()
	if h.Advance != nil {
		h.Advance(at.Sub(*clock))
	}
	*clock = at
	put(t, h.Store, at, offence(ind, at))
	return snapshot(t, h.Store, at)[ind.Key()]
}

func testDecay(t *testing.T, h Harness) {
	clock := noon
	for _, c := range []struct {
		why     string
		text    string
		pauses  []time.Duration // from the end of one block to the beginning of the next
		strikes int
	}{
		{"a second short of the time", "192.0.2.1", []time.Duration{blocklist.StrikeDecay - time.Second}, 2},
		{"after the time, known by its place alone", "192.0.2.2", []time.Duration{blocklist.StrikeDecay}, 1},
		{"one of two is forgotten", "192.0.2.3", []time.Duration{0, blocklist.StrikeDecay}, 2},
		{"two of two are forgotten", "192.0.2.4", []time.Duration{0, 2 * blocklist.StrikeDecay}, 1},
		{"none is forgotten beyond the first", "192.0.2.5", []time.Duration{80 * 24 * time.Hour, 0}, 2},
	} {
		ind, at := address(t, c.text), clock
		e := again(t, h, &clock, ind, at)
		for _, pause := range c.pauses {
			at = e.ExpiresAt.Add(pause)
			e = again(t, h, &clock, ind, at)
		}
		if want := h.end(offence(ind, at), c.strikes); e.Strikes != c.strikes || !e.ExpiresAt.Equal(want) {
			t.Errorf("%s: strike %d until %s, want %d until %s", c.why, e.Strikes, e.ExpiresAt, c.strikes, want)
		}
	}
}

func testJitter(t *testing.T, h Harness) {
	var batch []blocklist.Offence
	for _, text := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"} {
		batch = append(batch, offence(address(t, text), noon))
	}
	long := offence(address(t, "192.0.2.6"), noon)
	long.Term = blocklist.MaxTerm
	byHand := offence(address(t, "192.0.2.7"), noon)
	byHand.Source = blocklist.SourceOperator
	put(t, h.Store, noon, append(batch, long, byHand)...)
	before := snapshot(t, h.Store, noon)
	ends := map[time.Time]bool{}
	for _, o := range batch {
		end := before[o.Indicator.Key()].ExpiresAt
		if late := end.Sub(noon.Add(o.Term)); late < 0 || late >= o.Term/10 || !end.Equal(h.end(o, 1)) {
			t.Errorf("%s ends at %s, %s after its term: want %s", o.Indicator, end, late, h.end(o, 1))
		}
		ends[end] = true
	}
	if len(ends) < 3 {
		t.Errorf("five blocks end at %d moments: want them spread", len(ends))
	}
	if end := before[long.Indicator.Key()].ExpiresAt; !end.Equal(noon.Add(blocklist.MaxTerm)) {
		t.Errorf("the longest term ends at %s, want %s: no jitter beyond it", end, noon.Add(blocklist.MaxTerm))
	}
	if end := before[byHand.Indicator.Key()].ExpiresAt; !end.Equal(noon.Add(72 * time.Hour)) {
		t.Errorf("an operator's 72h ends at %s, want %s", end, noon.Add(72*time.Hour))
	}
	// A list that has lost what its jitter depends on is whole all the same, and gets another.
	h.Lose(t, "secret")
	sameEntries(t, snapshot(t, h.Store, noon), before)
	same(t, put(t, h.Store, noon, byHand, long), blocklist.Changes{Unchanged: 2})
}

func testCoolOff(t *testing.T, h Harness) {
	a, b := address(t, "192.0.2.7"), address(t, "192.0.2.8")
	put(t, h.Store, noon, offence(a, noon))
	unblock := func(at time.Time, coolOff time.Duration, inds ...threat.Indicator) {
		t.Helper()
		if _, err := h.Other.Unblock(t.Context(), blocklist.Unblock{Run: "unblock", Now: at, Indicators: inds, CoolOff: coolOff}); err != nil {
			t.Fatal(err)
		}
	}
	at := noon.Add(time.Hour)
	end := at.Add(24*time.Hour + 999*time.Millisecond).Truncate(time.Second)
	unblock(at, 24*time.Hour+999*time.Millisecond, a, b)
	same(t, put(t, h.Store, end, offence(a, at.Add(time.Second)), offence(b, end)), blocklist.Changes{Released: 2})
	// Another unblock makes it longer, and never shorter.
	unblock(at.Add(time.Hour), time.Minute, a)
	same(t, put(t, h.Store, end, offence(a, end)), blocklist.Changes{Released: 1})
	unblock(at.Add(2*time.Hour), 24*time.Hour, a)
	same(t, put(t, h.Store, end.Add(time.Hour), offence(a, end.Add(time.Second)), offence(b, end.Add(time.Second))), blocklist.Changes{Added: 1, Released: 1})
	histories, err := h.Store.Histories(t.Context(), at.Add(3*time.Hour), []threat.Indicator{a})
	if got, want := histories[a], (blocklist.History{Released: at.Add(2 * time.Hour), CoolOff: end.Add(2 * time.Hour)}); err != nil || got != want {
		t.Errorf("history = %+v, err = %v, want %+v", got, err, want)
	}
	// An operator who blocks has changed their mind: what happens from then on counts again.
	o := offence(a, at.Add(4*time.Hour))
	o.Source, o.Term = blocklist.SourceOperator, time.Hour
	same(t, put(t, h.Store, o.At, o), blocklist.Changes{Added: 1})
	same(t, put(t, h.Store, o.At, offence(a, o.At), offence(a, o.At.Add(time.Second))), blocklist.Changes{Released: 1, Extended: 1})
	for name, bad := range map[string]time.Duration{"negative": -time.Second, "too long": blocklist.MaxCoolOff + time.Second} {
		if _, err := h.Store.Unblock(t.Context(), blocklist.Unblock{Run: "r", Now: noon, Indicators: []threat.Indicator{b}, CoolOff: bad}); err == nil {
			t.Errorf("a cool-off that is %s was taken", name)
		}
	}
}
