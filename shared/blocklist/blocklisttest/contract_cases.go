package blocklisttest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

func testHistories(t *testing.T, h Harness) {
	ask := func(now time.Time, inds ...threat.Indicator) map[threat.Indicator]blocklist.History {
		t.Helper()
		known, err := h.Other.Histories(t.Context(), now, inds)
		if err != nil {
			t.Fatal(err)
		}
		return known
	}
	for name, inds := range map[string][]threat.Indicator{"nobody": nil, "somebody": {address(t, "192.0.2.1")}} {
		if _, err := h.Store.Histories(t.Context(), noon, inds); !errors.Is(err, blocklist.ErrNoEpoch) {
			t.Errorf("of %s on no list: err = %v, want ErrNoEpoch", name, err)
		}
	}
	blocked, challenged, freed, stranger := address(t, "192.0.2.1"), account(t, "jane"), address(t, "2001:db8:1:2::/64"), address(t, "192.0.2.4")
	put(t, h.Store, noon, offence(blocked, noon), challenge(challenged, noon), offence(freed, noon))
	if _, err := h.Store.Unblock(t.Context(), blocklist.Unblock{Run: "r", Now: noon.Add(time.Hour), Indicators: []threat.Indicator{freed}, CoolOff: time.Hour}); err != nil {
		t.Fatal(err)
	}
	now := noon.Add(2 * time.Hour)
	want := map[threat.Indicator]blocklist.History{
		blocked:    {Listed: true, Strikes: 1},
		challenged: {Listed: true, Challenge: true, Strikes: 1},
		freed:      {Released: noon.Add(time.Hour), CoolOff: noon.Add(2 * time.Hour)},
	}
	if diff := cmp.Diff(want, ask(now, blocked, challenged, freed, stranger, blocked)); diff != "" {
		t.Errorf("histories (-want +got):\n%s", diff)
	}
	if got := ask(now); len(got) != 0 {
		t.Errorf("of nobody: %v", got)
	}
	// After its end it is a strike, and after 30 days none.
	end := h.end(offence(blocked, noon), 1)
	if h.Advance != nil {
		h.Advance(end.Sub(noon) + time.Hour)
	}
	for after, strikes := range map[time.Duration]int{0: 1, blocklist.StrikeDecay - time.Second: 1, blocklist.StrikeDecay: 0} {
		if got := ask(end.Add(after), blocked)[blocked]; got != (blocklist.History{Strikes: strikes}) {
			t.Errorf("%s after its end: %+v, want %d strikes", after, got, strikes)
		}
	}
	// Twice on the list, twice a strike.
	put(t, h.Store, end, offence(blocked, end))
	if got := ask(end, blocked)[blocked]; got != (blocklist.History{Listed: true, Strikes: 2}) {
		t.Errorf("listed again: %+v, want two strikes", got)
	}
	h.Corrupt(t, "entry:"+blocked.Key())
	if _, err := h.Store.Histories(t.Context(), end, []threat.Indicator{blocked}); !errors.Is(err, blocklist.ErrDamaged) {
		t.Errorf("of a garbled entry: err = %v, want ErrDamaged", err)
	}
}

func testSize(t *testing.T, h Harness) {
	size := func(now time.Time) int {
		t.Helper()
		n, err := h.Other.Size(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if _, err := h.Store.Size(t.Context(), noon); !errors.Is(err, blocklist.ErrNoEpoch) {
		t.Errorf("of no list: err = %v, want ErrNoEpoch", err)
	}
	put(t, h.Store, noon)
	if n := size(noon); n != 0 {
		t.Errorf("of an empty list: %d", n)
	}
	short := offence(address(t, "192.0.2.1"), noon)
	short.Term = time.Hour
	put(t, h.Store, noon, short, offence(address(t, "192.0.2.2"), noon), challenge(account(t, "jane"), noon), offence(address(t, "192.0.2.3"), noon))
	if _, err := h.Store.Remove(t.Context(), noon, "r", []threat.Indicator{address(t, "192.0.2.3")}); err != nil {
		t.Fatal(err)
	}
	if n := size(noon); n != 3 {
		t.Errorf("size = %d, want 3", n)
	}
	if n := size(h.end(short, 1)); n != 2 {
		t.Errorf("size after the end of one = %d, want 2: its place is no entry", n)
	}
	h.Lose(t, "generation")
	if _, err := h.Store.Size(t.Context(), noon); !errors.Is(err, blocklist.ErrDamaged) {
		t.Errorf("of a damaged list: err = %v, want ErrDamaged", err)
	}
}

func testAccounts(t *testing.T, h Harness) {
	if _, err := h.Store.Accounts(t.Context(), noon); !errors.Is(err, blocklist.ErrNoEpoch) {
		t.Errorf("of no list: err = %v, want ErrNoEpoch", err)
	}
	var batch []blocklist.Offence
	for i := range 700 { // an index of more than one page
		batch = append(batch, offence(address(t, fmt.Sprintf("20.1.%d.%d", i/250, i%250)), noon))
	}
	jane, joe, gone, ended := account(t, "jane"), account(t, `*jo[e]? "\測/`), account(t, "gone"), account(t, "ended")
	short := offence(ended, noon)
	short.Term = time.Hour
	put(t, h.Store, noon, append(batch, offence(jane, noon), challenge(joe, noon), offence(gone, noon), short)...)
	if _, err := h.Store.Remove(t.Context(), noon, "r", []threat.Indicator{gone}); err != nil {
		t.Fatal(err)
	}
	now := noon.Add(2 * time.Hour)
	if h.Advance != nil {
		h.Advance(2 * time.Hour)
	}
	got, err := h.Other.Accounts(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	all := snapshot(t, h.Store, now)
	m := map[string]blocklist.Entry{}
	for _, e := range got {
		m[e.Indicator.Key()] = e
	}
	sameEntries(t, m, map[string]blocklist.Entry{jane.Key(): all[jane.Key()], joe.Key(): all[joe.Key()]})
	if len(got) != 2 || !got[0].ExpiresAt.After(got[1].ExpiresAt) {
		t.Errorf("%d entries: want two, the longer first", len(got))
	}
	h.Lose(t, "entry:"+jane.Key())
	if got, err := h.Store.Accounts(t.Context(), now); !errors.Is(err, blocklist.ErrDamaged) || len(got) > 0 {
		t.Errorf("of a list that lost one: %d entries, err = %v, want ErrDamaged", len(got), err)
	}
	h.Lose(t, "epoch")
	if _, err := h.Store.Accounts(t.Context(), now); !errors.Is(err, blocklist.ErrNoEpoch) {
		t.Errorf("of a list without its epoch: err = %v, want ErrNoEpoch", err)
	}
}

func testCases(t *testing.T, h Harness) {
	a, b := address(t, "192.0.2.7"), account(t, "jane doe")
	if _, ok, err := h.Store.Case(t.Context(), a); ok || err != nil {
		t.Errorf("case of nobody = %v %v", ok, err)
	}
	// They are no part of the list: they come before it is founded, and stay when it is damaged.
	text := []byte(`{"why": "it\u001b says \"no\""}`)
	one := blocklist.Case{Indicator: a, At: noon, Keep: 48 * time.Hour, Text: text}
	cases := []blocklist.Case{one, {Indicator: b, At: noon.Add(300 * time.Millisecond), Keep: time.Hour + time.Millisecond, Text: []byte("[1]")}}
	if err := h.Store.SaveCases(t.Context(), cases); err != nil {
		t.Fatal(err)
	}
	text[2] = 'x'
	one.Text = []byte(`{"why": "it\u001b says \"no\""}`)
	same := cmp.Comparer(func(a, b threat.Indicator) bool { return a == b })
	if got, ok, err := h.Other.Case(t.Context(), a); err != nil || !ok || cmp.Diff(one, got, same) != "" {
		t.Errorf("case = %+v %v, err = %v, want %+v", got, ok, err, one)
	}
	if got, ok, err := h.Other.Case(t.Context(), b); err != nil || !ok || !got.At.Equal(noon) || got.Keep != time.Hour {
		t.Errorf("case = %+v %v, err = %v, want whole seconds", got, ok, err)
	}
	one.At, one.Text = noon.Add(time.Hour), []byte(`{}`)
	if err := h.Store.SaveCases(t.Context(), []blocklist.Case{one}); err != nil {
		t.Fatal(err)
	}
	if got, _, err := h.Store.Case(t.Context(), a); err != nil || string(got.Text) != `{}` {
		t.Errorf("case = %+v, err = %v, want the later one", got, err)
	}
	good := one
	for name, spoil := range map[string]func(c *blocklist.Case){
		"nobody":           func(c *blocklist.Case) { c.Indicator = threat.Indicator{} },
		"no time":          func(c *blocklist.Case) { c.At = time.Time{} },
		"not kept":         func(c *blocklist.Case) { c.Keep = time.Second - 1 },
		"kept for ever":    func(c *blocklist.Case) { c.Keep = blocklist.MaxCaseKeep + 1 },
		"too long":         func(c *blocklist.Case) { c.Text = append(bytes.Repeat([]byte(" "), blocklist.MaxCase), '1') },
		"no JSON":          func(c *blocklist.Case) { c.Text = []byte("why") },
		"nothing":          func(c *blocklist.Case) { c.Text = nil },
		"more than one":    func(c *blocklist.Case) { c.Text = []byte("1 2") },
		"a negative while": func(c *blocklist.Case) { c.Keep = -time.Hour },
	} {
		bad := one
		spoil(&bad)
		good.Text = []byte(`"written with a bad one"`)
		if err := h.Store.SaveCases(t.Context(), []blocklist.Case{good, bad}); err == nil {
			t.Errorf("a case that is %s was taken", name)
		}
	}
	if err := h.Store.SaveCases(t.Context(), slices.Repeat([]blocklist.Case{one}, blocklist.MaxCases+1)); err == nil {
		t.Error("too many cases were taken")
	}
	if got, _, err := h.Store.Case(t.Context(), a); err != nil || string(got.Text) != `{}` {
		t.Errorf("case = %s, err = %v: a refused call wrote", got.Text, err)
	}
	if err := h.Store.SaveCases(t.Context(), nil); err != nil {
		t.Errorf("no cases: %v", err)
	}
	if h.Advance != nil {
		h.Advance(time.Hour + time.Second)
		if _, ok, err := h.Store.Case(t.Context(), b); ok || err != nil {
			t.Errorf("case after its time = %v %v", ok, err)
		}
	}
	h.Flush(t)
	if _, ok, err := h.Store.Case(t.Context(), a); ok || err != nil {
		t.Errorf("case in an emptied store = %v %v", ok, err)
	}
}

func testStates(t *testing.T, h Harness) {
	if _, ok, err := h.Store.State(t.Context(), "trials"); ok || err != nil {
		t.Errorf("state of nothing = %v %v", ok, err)
	}
	big := bytes.Repeat([]byte("x"), blocklist.MaxState)
	for _, data := range [][]byte{{}, {0, 0xff}, big} {
		if err := h.Store.SaveState(t.Context(), "trials", data); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := h.Other.State(t.Context(), "trials"); err != nil || !ok || !bytes.Equal(got, data) {
			t.Errorf("state of %d bytes, %v, err = %v, want %d", len(got), ok, err, len(data))
		}
	}
	if err := h.Store.SaveState(t.Context(), "trials", append(big, 'x')); err == nil {
		t.Error("a state of more than 1 MB was taken")
	}
	if err := h.Store.SaveState(t.Context(), "", nil); err == nil {
		t.Error("a state without a name was taken")
	}
	if _, ok, err := h.Store.State(t.Context(), "other"); ok || err != nil {
		t.Errorf("another state = %v %v", ok, err)
	}
	if h.Advance != nil {
		h.Advance(1000 * 24 * time.Hour)
		if _, ok, err := h.Store.State(t.Context(), "trials"); !ok || err != nil {
			t.Errorf("state after years = %v %v", ok, err)
		}
	}
}
