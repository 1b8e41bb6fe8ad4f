package riskcontrol_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/riskcontrol"
	"github.com/tracewall/tracewall/shared/threat"
)

var (
	_ riskcontrol.Accounts = (*blocklisttest.Fake)(nil)
	_ riskcontrol.Memory   = (*blocklisttest.Fake)(nil)
)

func many(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("account-%04d", i))
	}
	return all
}

func TestTheReceiverIsMadeEqualToTheList(t *testing.T) {
	w := newWorld()
	r := w.receiver()
	n := w.notifier(t, r)
	step := func(name string, want riskcontrol.Result) {
		t.Helper()
		want.Listed = len(w.entries)
		got, err := n.Sync(t.Context(), w.at)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
		if diff := cmp.Diff(w.listed(w.at), r.blocked(w.at)); diff != "" {
			t.Errorf("%s (-list +receiver):\n%s", name, diff)
		}
	}
	step("nobody is blocked", riskcontrol.Result{})
	if r.requests != 0 || w.saves != 0 {
		t.Errorf("nothing to tell took %d requests and %d saves", r.requests, w.saves)
	}
	w.block(now, "nbNg==", "jane doe", "Ünïcode <b>")
	step("three are blocked", riskcontrol.Result{Blocked: 3})
	requests := r.requests
	step("nothing has changed", riskcontrol.Result{})
	if r.requests != requests {
		t.Error("nothing to tell took a request")
	}
	w.at = w.at.Add(time.Minute)
	w.entries[0].ExpiresAt = w.entries[0].ExpiresAt.Add(time.Hour)
	step("one is extended", riskcontrol.Result{Extended: 1})
	w.entries[1].Challenge = true
	step("one is to be challenged instead", riskcontrol.Result{Blocked: 1})
	w.entries[0].ExpiresAt = w.entries[0].ExpiresAt.Add(-time.Hour)
	step("one ends earlier after all", riskcontrol.Result{Blocked: 1})
	w.unblock("jane doe")
	step("an operator unblocks one", riskcontrol.Result{Released: 1})
	w.block(w.at, "jane doe")
	step("it is blocked again", riskcontrol.Result{Blocked: 1})
	list, err := allowlist.Parse(strings.NewReader(`account:"nbNg=="`))
	if err != nil {
		t.Fatal(err)
	}
	w.allow = list
	step("one is allowlisted while blocked", riskcontrol.Result{Released: 1})
	w.at = w.at.Add(3 * time.Hour) // the entries are still there, and over
	step("all terms are over", riskcontrol.Result{Released: 2})
	step("and told once", riskcontrol.Result{})
	if strings.Contains(string(slices.Concat(r.bodies...)), "…") {
		t.Error("the receiver was told masked accounts, which it cannot find")
	}
}

func TestAListThatCannotBeReadTellsNothing(t *testing.T) {
	for name, breakIt := range map[string]func(w *world){
		"the list is gone":            func(w *world) { w.entries, w.listErr = nil, blocklist.ErrNoEpoch },
		"the list is damaged":         func(w *world) { w.listErr = blocklist.ErrDamaged },
		"the allowlist is gone":       func(w *world) { w.allErr = blocklist.ErrNoAllowlist },
		"the memory does not answer":  func(w *world) { w.onState = func(string) error { return errBroken } },
		"half of the memory does not": func(w *world) { w.onState = fails("riskcontrol-08") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			r := w.receiver()
			n := w.notifier(t, r)
			w.block(now, many(30)...)
			if _, err := n.Sync(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			requests, before := r.requests, maps.Clone(w.memory)
			breakIt(w)
			if got, err := n.Sync(t.Context(), now); err == nil || got.Released != 0 {
				t.Errorf("%+v, %v; want an error and nobody released", got, err)
			}
			if r.requests != requests || len(r.blocked(now)) != 30 {
				t.Errorf("%d more requests, %d still blocked", r.requests-requests, len(r.blocked(now)))
			}
			if diff := cmp.Diff(before, w.memory); diff != "" {
				t.Errorf("the memory changed:\n%s", diff)
			}
		})
	}
}

func fails(name string) func(string) error {
	return func(asked string) error {
		if asked == name {
			return errBroken
		}
		return nil
	}
}

func TestASuddenReleaseOfMostIsHeldForHalfAnHour(t *testing.T) {
	w := newWorld()
	r := w.receiver()
	w.block(now, many(50)...)
	for i := range w.entries {
		w.entries[i].ExpiresAt = now.Add(24 * time.Hour)
	}
	sync := func() (riskcontrol.Result, error) { return w.notifier(t, r).Sync(t.Context(), w.at) } // a new process each time
	if _, err := sync(); err != nil {
		t.Fatal(err)
	}
	whole := w.entries
	w.entries = slices.Clone(w.entries[:20]) // reads without an error
	w.block(now, "new")
	got, err := sync()
	if !errors.Is(err, riskcontrol.ErrHeld) || got.Held != 30 || got.Released != 0 || got.Blocked != 1 {
		t.Fatalf("%+v, %v; want 30 held, and who is new told", got, err)
	}
	w.at = w.at.Add(riskcontrol.HoldRelease - time.Second)
	if got, err := sync(); !errors.Is(err, riskcontrol.ErrHeld) || got.Held != 30 || len(r.blocked(w.at)) != 51 {
		t.Errorf("just before: %+v, %v, %d blocked", got, err, len(r.blocked(w.at)))
	}
	// The list is whole again: the hold is forgotten, and begins anew the next time.
	short := w.entries
	w.entries = whole
	w.block(now, "new")
	if got, err := sync(); err != nil || got.Released != 0 {
		t.Errorf("restored: %+v, %v", got, err)
	}
	w.entries = short
	w.at = w.at.Add(time.Hour - riskcontrol.HoldRelease) // "new" has still a minute
	if got, err := sync(); !errors.Is(err, riskcontrol.ErrHeld) || got.Held != 30 {
		t.Errorf("the second time: %+v, %v", got, err)
	}
	w.at = w.at.Add(riskcontrol.HoldRelease)
	if got, err := sync(); err != nil || got.Released < 30 || got.Held != 0 {
		t.Errorf("after half an hour: %+v, %v; want them released", got, err)
	}
	if diff := cmp.Diff(w.listed(w.at), r.blocked(w.at)); diff != "" {
		t.Errorf("(-list +receiver):\n%s", diff)
	}
}

func TestOrdinaryReleasesAreNotHeld(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"twenty of twenty-five": func(w *world) { w.entries = w.entries[:5:5] },
		"twenty-five of sixty":  func(w *world) { w.entries = w.entries[:35:35] },
		"all terms over":        func(w *world) { w.entries = nil; w.at = w.at.Add(2 * time.Hour) },
		"all allowlisted": func(w *world) {
			var entries []allowlist.Entry
			for _, account := range many(60) {
				entries = append(entries, allowlist.Entry{Account: account})
			}
			w.allow, _ = allowlist.New(entries)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			r := w.receiver()
			w.block(now, many(map[bool]int{true: 25, false: 60}[name == "twenty of twenty-five"])...)
			n := w.notifier(t, r)
			if _, err := n.Sync(t.Context(), w.at); err != nil {
				t.Fatal(err)
			}
			change(w)
			got, err := n.Sync(t.Context(), w.at)
			if err != nil || got.Held != 0 || got.Released < 20 {
				t.Errorf("%+v, %v; want a release", got, err)
			}
			if diff := cmp.Diff(w.listed(w.at), r.blocked(w.at)); diff != "" {
				t.Errorf("(-list +receiver):\n%s", diff)
			}
		})
	}
}

func TestALostMemoryTellsEverythingAgain(t *testing.T) {
	for name, lose := range map[string]func(map[string][]byte){
		"all":     func(m map[string][]byte) { clear(m) },
		"cut off": func(m map[string][]byte) { each(m, func(b []byte) []byte { return b[:len(b)-3] }) },
		"a line missing": func(m map[string][]byte) {
			each(m, func(b []byte) []byte { return b[:strings.Index(string(b), "\n")+1] })
		},
		"the last line missing": func(m map[string][]byte) {
			each(m, func(b []byte) []byte { return b[:strings.LastIndex(string(b[:len(b)-1]), "\n")+1] })
		},
		"another version":   func(m map[string][]byte) { each(m, func(b []byte) []byte { return append([]byte("v2"), b[2:]...) }) },
		"something else":    func(m map[string][]byte) { each(m, func([]byte) []byte { return []byte("{}") }) },
		"a number too long": func(m map[string][]byte) { each(m, func([]byte) []byte { return []byte("v1 9999999999 1\n") }) },
		"words for numbers": func(m map[string][]byte) { each(m, func([]byte) []byte { return []byte("v1 1 1\nx y = block a\n") }) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			r := w.receiver()
			n := w.notifier(t, r)
			w.block(now, many(40)...)
			if _, err := n.Sync(t.Context(), now); err != nil {
				t.Fatal(err)
			}
			lose(w.memory)
			got, err := n.Sync(t.Context(), now)
			if err != nil || got.Blocked != 40 {
				t.Fatalf("%+v, %v; want 40 told again", got, err)
			}
			if diff := cmp.Diff(w.listed(now), r.blocked(now)); diff != "" {
				t.Errorf("(-list +receiver):\n%s", diff)
			}
			if got, err := n.Sync(t.Context(), now); err != nil || got.Blocked != 0 {
				t.Errorf("%+v, %v; want nothing more to tell", got, err)
			}
		})
	}
}

func each(m map[string][]byte, change func([]byte) []byte) {
	for name := range m {
		m[name] = change(m[name])
	}
}

func TestARunThatIsKilledBetweenTellingAndRememberingTellsAgain(t *testing.T) {
	w := newWorld()
	r := w.receiver()
	w.block(now, "a", "b")
	w.onSave = func(string) (bool, error) { // what it intends is kept, what was heard is not
		if r.requests > 0 {
			return false, errBroken
		}
		return true, nil
	}
	got, err := w.notifier(t, r).Sync(t.Context(), now)
	if !errors.Is(err, errBroken) || got.Blocked != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	w.onSave = nil
	w.at = w.at.Add(time.Minute)
	if got, err := w.notifier(t, r).Sync(t.Context(), w.at); err != nil || got.Blocked != 2 {
		t.Fatalf("%+v, %v; want both told again", got, err)
	}
	if len(r.deliveries) != 1 || r.requests != 2 {
		t.Errorf("%d deliveries in %d requests, want one twice", len(r.deliveries), r.requests)
	}
	for id, times := range r.ids {
		if times != 1 {
			t.Errorf("event %s was applied %d times", id, times)
		}
	}
	if r.signatures[0] == r.signatures[1] {
		t.Error("the second signature is the first one's: its time is not new")
	}
}

func TestWhatWasPerhapsHeardIsTakenBack(t *testing.T) {
	for name, c := range map[string]struct{ apply, again bool }{
		"it was heard, and the account leaves the list":     {true, false},
		"it was not heard, and the account leaves the list": {false, false},
		"it was heard, and is true again":                   {true, true},
		"it was not heard, and is true again":               {false, true},
	} {
		for _, first := range []string{"blocked", "released"} {
			t.Run(first+": "+name, func(t *testing.T) {
				w := newWorld()
				r := w.receiver()
				sync := func(wantErr bool) {
					t.Helper()
					if _, err := w.notifier(t, r).Sync(t.Context(), w.at); (err != nil) != wantErr {
						t.Fatal(err)
					}
				}
				w.block(now, "a")
				if first == "released" {
					sync(false)
					w.unblock("a")
				}
				r.fault = func(int) (int, bool, bool) { return 0, c.apply, true } // no answer arrives
				sync(true)
				r.fault = nil
				w.unblock("a")
				if c.again {
					w.block(now, "a")
				}
				sync(false)
				if diff := cmp.Diff(w.listed(now), r.blocked(now)); diff != "" {
					t.Errorf("(-list +receiver):\n%s", diff)
				}
			})
		}
	}
}

func TestAnExtensionThatWasNotHeardIsToldAgain(t *testing.T) {
	w := newWorld()
	r := w.receiver()
	w.block(now, "a")
	n := w.notifier(t, r)
	if _, err := n.Sync(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	w.entries[0].ExpiresAt = now.Add(5 * time.Hour)
	r.fault = func(int) (int, bool, bool) { return 503, false, false }
	if _, err := n.Sync(t.Context(), now); err == nil {
		t.Fatal("no error")
	}
	first := r.bodies[len(r.bodies)-1]
	r.fault = nil
	if got, err := n.Sync(t.Context(), now); err != nil || got.Extended != 1 || !slices.Equal(first, r.bodies[len(r.bodies)-1]) {
		t.Errorf("%+v, %v; want the extension told again in the same words", got, err)
	}
	if diff := cmp.Diff(w.listed(now), r.blocked(now)); diff != "" {
		t.Errorf("(-list +receiver):\n%s", diff)
	}
}

func TestTheSameFactTwiceIsNotTakenForARetry(t *testing.T) {
	w := newWorld()
	r := w.receiver()
	n := w.notifier(t, r)
	spare, err := allowlist.New([]allowlist.Entry{{Account: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	w.block(now, "a")
	for i, allow := range []allowlist.List{{}, spare, {}, spare, {}} { // within the minutes that deliveries are remembered
		w.allow = allow
		if i == 4 {
			clear(w.memory)
			w.at = w.at.Add(time.Second)
		}
		if _, err := n.Sync(t.Context(), now); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(w.listed(now), r.blocked(now)); diff != "" {
			t.Errorf("step %d (-list +receiver):\n%s", i, diff)
		}
	}
}

// TestTwoRunsAtOnceKeepWhatEachHasTold: while one run waits for an answer, another tells
// somebody else.
func TestTwoRunsAtOnceKeepWhatEachHasTold(t *testing.T) {
	w := newWorld()
	r := w.receiver()
	w.block(now, many(40)...)
	all := w.entries
	other := w.notifier(t, r)
	inner := false
	first := w.notifier(t, roundTripper(func(req *http.Request) (*http.Response, error) {
		answer, err := r.RoundTrip(req)
		if !inner {
			inner = true
			w.entries = all
			if _, err := other.Sync(t.Context(), now); err != nil {
				t.Error(err)
			}
		}
		return answer, err
	}))
	w.entries = all[:20:20]
	if _, err := first.Sync(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	w.entries = nil
	w.block(now, "account-0005", "account-0025", "account-0006", "account-0026", "account-0007", "account-0027")
	for i := range 14 {
		w.block(now, fmt.Sprintf("account-00%02d", 10+i))
	}
	if _, err := other.Sync(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(w.listed(now), r.blocked(now)); diff != "" {
		t.Errorf("(-list +receiver):\n%s", diff)
	}
}

func TestThousandsAreToldInBatchesAndEachIsRemembered(t *testing.T) {
	w := newWorld()
	r := w.receiver()
	w.block(now, many(1700)...)
	r.fault = func(n int) (int, bool, bool) {
		if n >= 2 {
			return 503, false, false
		}
		return 200, true, false
	}
	got, err := w.notifier(t, r).Sync(t.Context(), now)
	if !errors.Is(err, riskcontrol.ErrUnavailable) || got.Blocked != 1000 || got.Listed != 1700 {
		t.Fatalf("%+v, %v", got, err)
	}
	r.fault = nil
	got, err = w.notifier(t, r).Sync(t.Context(), now)
	if err != nil || got.Blocked != 700 {
		t.Fatalf("%+v, %v; want the other 700", got, err)
	}
	if diff := cmp.Diff(w.listed(now), r.blocked(now)); diff != "" {
		t.Errorf("(-list +receiver):\n%s", diff)
	}
	for i, body := range r.bodies {
		if len(body) > riskcontrol.MaxBody || strings.Count(string(body), `"id":"account-`) > riskcontrol.MaxBatch {
			t.Errorf("delivery %d has %d bytes", i, len(body))
		}
	}
}

func TestReleasesAreToldFirst(t *testing.T) {
	w := newWorld()
	r := w.receiver()
	w.block(now, many(3)...)
	n := w.notifier(t, r)
	if _, err := n.Sync(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	w.entries = nil
	for i := range 600 {
		w.block(now, fmt.Sprintf("a%d", i))
	}
	r.fault = func(int) (int, bool, bool) { return 200, true, false }
	if _, err := n.Sync(t.Context(), now); err != nil {
		t.Fatal(err)
	}
	first := string(r.bodies[1])
	if strings.Count(first, "account.released") != 3 || strings.Index(first, "account.blocked") < strings.LastIndex(first, "account.released") {
		t.Error("who is free was told after who is not")
	}
}

func TestADeliveryThatIsNotUnderstoodKeepsNoOtherBack(t *testing.T) {
	w := newWorld()
	r := w.receiver()
	w.block(now, many(1200)...)
	r.fault = func(n int) (int, bool, bool) { // the first of three
		if n == 0 {
			return 422, false, false
		}
		return 200, true, false
	}
	got, err := w.notifier(t, r).Sync(t.Context(), now)
	if !errors.Is(err, riskcontrol.ErrRefused) || got.Blocked != 700 || r.requests != 3 {
		t.Fatalf("%+v, %v, %d requests; want the others told", got, err, r.requests)
	}
	r.fault = nil
	if got, err := w.notifier(t, r).Sync(t.Context(), now); err != nil || got.Blocked != 500 {
		t.Errorf("%+v, %v; want the rest told in the next run", got, err)
	}
}

// TestWhateverFailsTheNextCleanRunMakesThemEqual: faults at any call, on either side of
// it, lost memories and killed runs leave the receiver equal to the list in the end.
func TestWhateverFailsTheNextCleanRunMakesThemEqual(t *testing.T) {
	accounts := many(12)
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld()
		r := w.receiver()
		n, err := riskcontrol.New(w.config(r))
		if err != nil {
			t.Fatal(err)
		}
		lost := false
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			for i := range w.entries {
				if rapid.IntRange(0, 5).Draw(t, "extend") == 0 {
					w.entries[i].ExpiresAt = w.entries[i].ExpiresAt.Add(30 * time.Minute)
				}
			}
			account := rapid.SampledFrom(accounts).Draw(t, "account")
			w.unblock(account)
			if rapid.Bool().Draw(t, "blocked") {
				w.block(w.at.Add(-time.Duration(rapid.IntRange(0, 90).Draw(t, "ago"))*time.Minute), account)
				w.entries[len(w.entries)-1].Challenge = rapid.Bool().Draw(t, "challenge")
			}
			if rapid.IntRange(0, 9).Draw(t, "lose") == 0 {
				clear(w.memory)
				lost = true
			}
			w.at = w.at.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "minutes")) * time.Minute)
			failing := rapid.IntRange(0, 3).Draw(t, "failing")
			roll := func(string) bool { return failing > 0 && rapid.IntRange(0, 3).Draw(t, "roll") < failing }
			r.fault = func(int) (int, bool, bool) {
				if !roll("request") {
					return 200, true, false
				}
				return rapid.SampledFrom([]int{200, 429, 500, 400, 401}).Draw(t, "status"), rapid.Bool().Draw(t, "apply"), rapid.Bool().Draw(t, "lost")
			}
			// A 200 without applying would be a lie of the receiver: what is acknowledged is stored.
			honest := r.fault
			r.fault = func(n int) (int, bool, bool) {
				status, apply, lost := honest(n)
				return status, apply || status == 200, lost
			}
			w.onSave = func(string) (bool, error) {
				if !roll("save") {
					return true, nil
				}
				return rapid.Bool().Draw(t, "saved"), errBroken
			}
			w.onState = func(string) error {
				if rapid.IntRange(0, 60).Draw(t, "state") < failing {
					return errBroken
				}
				return nil
			}
			_, _ = n.Sync(context.Background(), w.at)
		}
		r.fault, w.onSave, w.onState = nil, nil, nil
		if _, err := n.Sync(context.Background(), w.at); err != nil {
			t.Fatal(err)
		}
		want, got := w.listed(w.at), r.blocked(w.at)
		if lost { // who was forgotten while he left the list stays blocked until his end
			maps.DeleteFunc(got, func(account, _ string) bool { return want[account] == "" })
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-list +receiver):\n%s", diff)
		}
		requests := r.requests
		if _, err := n.Sync(context.Background(), w.at); err != nil || r.requests != requests {
			t.Fatalf("%v, %d more requests; want nothing more to tell", err, r.requests-requests)
		}
	})
}

func TestMoreThanTheMemoryHoldsIsSaidAndTheRestIsTold(t *testing.T) {
	w := newWorld()
	r := w.receiver()
	long := strings.Repeat("x", 240)
	for i := range 70_000 { // 280 bytes each, 19.6 MB in 16 MB
		ind, err := threat.Account(fmt.Sprintf("%s%06d", long, i))
		if err != nil {
			t.Fatal(err)
		}
		w.entries = append(w.entries, blocklist.Entry{Indicator: ind, Since: now, ExpiresAt: now.Add(time.Hour)})
	}
	got, err := w.notifier(t, r).Sync(t.Context(), now)
	if !errors.Is(err, riskcontrol.ErrFull) || got.Full == 0 || got.Blocked+got.Full != 70_000 {
		t.Fatalf("%+v, %v", got, err)
	}
	for name, data := range w.memory {
		if len(data) > blocklist.MaxState {
			t.Errorf("%s has %d bytes", name, len(data))
		}
	}
	before := got
	if got, err := w.notifier(t, r).Sync(t.Context(), now); !errors.Is(err, riskcontrol.ErrFull) || got.Full != before.Full || got.Blocked != 0 {
		t.Errorf("%+v, %v; want nothing told twice", got, err)
	}
}

// TestWithTheStore: the list and the memory are those of the blocklist's own fake.
func TestWithTheStore(t *testing.T) {
	w := newWorld()
	r := w.receiver()
	store := &blocklisttest.Fake{}
	cfg := w.config(r)
	cfg.List, cfg.Memory, cfg.Allowlist = store, store, store.Allowlist
	n, err := riskcontrol.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Sync(t.Context(), now); !errors.Is(err, blocklist.ErrNoAllowlist) {
		t.Errorf("without an allowlist: %v", err)
	}
	if err := store.SaveAllowlist(t.Context(), allowlist.List{}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Sync(t.Context(), now); !errors.Is(err, blocklist.ErrNoEpoch) {
		t.Errorf("without a list: %v", err)
	}
	ind, err := threat.Account("nbNg==")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Put(t.Context(), blocklist.Batch{Run: "test", Now: now, Offences: []blocklist.Offence{{
		Entry: blocklist.Entry{Indicator: ind, Source: blocklist.SourceDetect}, At: now, Term: time.Hour,
	}}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{1, 0} {
		if got, err := n.Sync(t.Context(), now); err != nil || got.Blocked != want {
			t.Errorf("%+v, %v; want %d told", got, err, want)
		}
	}
	if len(r.blocked(now)) != 1 {
		t.Errorf("the receiver holds %v", r.blocked(now))
	}
}

func BenchmarkSyncOf10000WhenNothingChanged(b *testing.B) {
	w := newWorld()
	w.block(now, many(10_000)...)
	n := w.notifier(b, w.receiver())
	if _, err := n.Sync(b.Context(), now); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Sync(b.Context(), now); err != nil {
			b.Fatal(err)
		}
	}
}
