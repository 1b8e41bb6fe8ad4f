package blocklisttest

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

func prefixes(t *testing.T, texts ...string) []netip.Prefix {
	t.Helper()
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			t.Fatal(err)
		}
		list[i] = p
	}
	return list
}

// testLeft asks about each prefix by itself, and about all at once.
func testLeft(t *testing.T, h Harness) {
	term := func(key string, d time.Duration) blocklist.Offence {
		o := offence(address(t, key), noon)
		o.Term, o.Source = d, blocklist.SourceOperator // to the second
		return o
	}
	const short, long = time.Hour, 71 * time.Hour
	put(t, h.Store, noon,
		term("192.0.2.1", short), term("192.0.2.2", long), term("192.0.2.3", long),
		term("198.51.100.0/24", short), term("198.51.0.0/16", short), term("203.0.112.0/20", long), term("203.0.113.0/24", short),
		term("2001:db8:1:2::/64", short), term("2001:db8:2::/48", short),
		term("20.18.7.8", short), term("20.18.7.9", short), term("20.18.7.10", short), term("20.18.7.12", long), term("20.18.7.13", short),
		term("2001:db8:7:4::/64", short), term("2001:db8:7:5::/64", short),
		term("20.18.9.9", long),
	)
	if _, err := h.Store.Remove(t.Context(), noon.Add(time.Hour), "unblock", []threat.Indicator{address(t, "192.0.2.3")}); err != nil {
		t.Fatal(err)
	}
	h.Erase(t, address(t, "20.18.9.9"))
	later := noon.Add(2 * time.Hour)
	var all []netip.Prefix
	want := 0
	for _, c := range []struct {
		prefix string
		left   bool
		why    string
	}{
		{"192.0.2.1/32", true, "its term ended"},
		{"192.0.2.2/32", false, "it is listed"},
		{"192.0.2.3/32", true, "an operator unblocked it"},
		{"192.0.2.4/32", false, "it was never listed"},
		{"20.18.9.9/32", false, "it vanished"},
		{"198.51.100.0/24", true, "its term ended"},
		{"198.51.100.128/25", true, "a piece of a range that ended"},
		{"198.51.100.7/32", true, "a piece of a range that ended"},
		{"198.51.7.7/32", true, "a piece of a /16 that ended"},
		{"203.0.113.7/32", false, "a range around it ended, but a wider one is listed"},
		{"203.0.113.0/24", true, "its own term ended, whatever is around it"},
		{"203.0.112.0/25", false, "a piece of a range that is listed"},
		{"2001:db8:1:2::/64", true, "its term ended"},
		{"2001:db8:1:2::7/128", true, "a member of a /64 that ended"},
		{"2001:db8:2:9::/64", true, "a piece of a /48 that ended"},
		{"2001:db8:3::/64", false, "it was never listed"},
		{"20.18.7.8/31", true, "merged of two that ended"},
		{"20.18.7.8/30", false, "merged, of which one was never listed"},
		{"20.18.7.12/31", true, "merged of one that ended and one that is listed"},
		{"2001:db8:7:4::/63", true, "merged of two /64s that ended"},
		{"2001:db8:7:4::/62", false, "merged, of which two were never listed"},
		{"20.18.0.0/23", false, "wider than anything that is looked into"},
	} {
		p := prefixes(t, c.prefix)
		got, err := h.Other.Ended(t.Context(), later, p)
		if err != nil || (got == 1) != c.left {
			t.Errorf("%s (%s): ended = %d, err = %v, want %v", c.prefix, c.why, got, err, c.left)
		}
		all = append(all, p...)
		if c.left {
			want++
		}
	}
	if got, err := h.Store.Ended(t.Context(), later, all); err != nil || got != want {
		t.Errorf("all together: %d ended, err = %v, want %d", got, err, want)
	}
	if got, err := h.Store.Ended(t.Context(), later, nil); err != nil || got != 0 {
		t.Errorf("of nothing: %d ended, err = %v", got, err)
	}
	// Before its end nothing has ended, and at its second it has.
	first := all[:1]
	for at, want := range map[time.Duration]int{time.Hour - time.Millisecond: 0, time.Hour: 1} {
		if got, err := h.Store.Ended(t.Context(), noon.Add(at), first); err != nil || got != want {
			t.Errorf("after %s: %d ended, err = %v, want %d", at, got, err, want)
		}
	}
	// Blocked again, it is listed again.
	o := term("192.0.2.1", short)
	o.At = later
	put(t, h.Store, later, o)
	if got, err := h.Store.Ended(t.Context(), later, first); err != nil || got != 0 {
		t.Errorf("blocked again: %d ended, err = %v, want 0", got, err)
	}
	h.Flush(t)
	if got, err := h.Store.Ended(t.Context(), later, all); err != nil || got != 0 {
		t.Errorf("of an emptied store: %d ended, err = %v, want 0", got, err)
	}
}

// testErased makes sure that the harness can do what the guards are for: the list
// looks whole, and nothing says that the entry was ever there.
func testErased(t *testing.T, h Harness) {
	a, b := address(t, "192.0.2.7"), address(t, "192.0.2.8")
	put(t, h.Store, noon, offence(a, noon), offence(b, noon))
	h.Erase(t, a)
	if got := snapshot(t, h.Store, noon); len(got) != 1 {
		t.Errorf("entries = %v, want one", got)
	}
	for _, after := range []time.Duration{0, 100 * time.Hour} {
		if got, err := h.Store.Ended(t.Context(), noon.Add(after), []netip.Prefix{a.Prefix()}); err != nil || got != 0 {
			t.Errorf("after %s: %d ended, err = %v, want 0", after, got, err)
		}
	}
}
