package enforce_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func bookOf(w *waftest.BookWall) []enforce.Wall {
	return []enforce.Wall{{Name: "w", Firewall: w.Open()}}
}

// syncBook runs a new process' pass.
func syncBook(t *testing.T, list *blocklisttest.Fake, w *waftest.BookWall, change ...func(*enforce.Pass)) (enforce.Result, error) {
	t.Helper()
	p := passOf(list, now)
	for _, c := range change {
		c(&p)
	}
	got, err := p.Run(t.Context(), bookOf(w))
	return got[0], err
}

func TestTheNextProcessKnowsWhatTheBookHolds(t *testing.T) {
	list := listOf(t, "", some(25)...)
	w := &waftest.BookWall{Blind: true, Now: func() time.Time { return now }, Grid: time.Hour}
	if _, err := syncBook(t, list, w); err != nil || len(w.Enforced()) != 25 {
		t.Fatalf("err = %v, %d enforced", err, len(w.Enforced()))
	}
	reads := w.Reads()
	block(t, list, now, "ip:20.9.9.9")
	res, err := syncBook(t, list, w)
	if err != nil || w.Reads() != reads || res.Writes != 1 || res.Calls != 2 || len(w.Enforced()) != 26 {
		t.Errorf("err = %v, %d more reads, %+v", err, w.Reads()-reads, res)
	}
	if res, err = syncBook(t, list, w, func(p *enforce.Pass) { p.DryRun = true }); err != nil || res.Writes != 0 {
		t.Errorf("a plan: err = %v, %+v", err, res)
	}
	if res, err = syncBook(t, list, w); err != nil || res.Calls != 1 || w.Reads() != reads {
		t.Errorf("nothing changed: err = %v, %d calls, %d more reads", err, res.Calls, w.Reads()-reads)
	}
	if _, err := syncBook(t, list, w, func(p *enforce.Pass) { p.Verify = true }); err != nil || w.Reads() != reads+1 {
		t.Errorf("verify: err = %v, %d more reads, want one", err, w.Reads()-reads)
	}
}

// A run that is killed between its writes and its status leaves a status that says what is no longer true.
func TestARunThatIsKilledLeavesNoFalseMemory(t *testing.T) {
	list := listOf(t, "", some(5)...)
	w := &waftest.BookWall{Blind: true, Unstamped: true}
	if _, err := syncBook(t, list, w); err != nil {
		t.Fatal(err)
	}
	if _, err := list.Remove(t.Context(), now, "test", indicators(t, some(5)[0])); err != nil {
		t.Fatal(err)
	}
	killed := errors.New("killed")
	wrote := false
	w.OnWrite = func(string) (bool, error) { wrote = true; return true, nil }
	list.OnSave = func(what, _ string) (bool, error) {
		if what == "status" && wrote {
			return false, killed
		}
		return true, nil
	}
	if _, err := syncBook(t, list, w); !errors.Is(err, killed) || len(w.Enforced()) != 4 {
		t.Fatalf("err = %v, %d enforced", err, len(w.Enforced()))
	}
	// Blocked anew: by the old memory it would still be in the book.
	list.OnSave, w.OnWrite = nil, nil
	later := now.Add(time.Minute)
	block(t, list, later, some(5)[0])
	if _, err := syncBook(t, list, w, func(p *enforce.Pass) { p.Now = later }); err != nil || len(w.Enforced()) != 5 {
		t.Errorf("err = %v, %d enforced, want 5", err, len(w.Enforced()))
	}
}

func TestABookIsNotWrittenWhileItsMemoryCannotBeStruckOut(t *testing.T) {
	for name, change := range map[string]func(list *blocklisttest.Fake, broken error){
		"not saved": func(list *blocklisttest.Fake, broken error) {
			list.OnSave = func(what, _ string) (bool, error) {
				if what == "status" {
					return false, broken
				}
				return true, nil
			}
		},
		"not read": func(list *blocklisttest.Fake, broken error) {
			list.OnRead = func(what string) error {
				if what == "status" {
					return broken
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			list := listOf(t, "", some(3)...)
			w := &waftest.BookWall{Blind: true}
			if _, err := syncBook(t, list, w); err != nil {
				t.Fatal(err)
			}
			block(t, list, now, "ip:20.9.9.9")
			broken := errors.New("connection lost")
			change(list, broken)
			if res, err := syncBook(t, list, w); !errors.Is(err, broken) || res.Writes != 0 || len(w.Enforced()) != 3 {
				t.Errorf("err = %v, %d writes, %d enforced", err, res.Writes, len(w.Enforced()))
			}
		})
	}
}

// chooser is a wall that has to ask first which kind it is.
type chooser struct {
	waf.Firewall
	err error
}

func (c chooser) Choose(context.Context) (waf.Firewall, error) { return c.Firewall, c.err }

func TestAWallThatHasToChooseIsAskedAndNothingHappensWithoutAnAnswer(t *testing.T) {
	list := listOf(t, "", some(3)...)
	w := &waftest.BookWall{}
	run := func(err error) error {
		_, got := passOf(list, now).Run(t.Context(), []enforce.Wall{{Name: "w", Firewall: chooser{w.Open(), err}}})
		return got
	}
	if err := run(waf.ErrUnavailable); !errors.Is(err, waf.ErrUnavailable) || len(w.Enforced()) != 0 {
		t.Fatalf("err = %v, %d enforced", err, len(w.Enforced()))
	}
	if s := statusOf(t, list, "w"); s.Result.Error == "" {
		t.Errorf("the status does not say it: %+v", s.Result)
	}
	if err := run(nil); err != nil || len(w.Enforced()) != 3 || statusOf(t, list, "w").Book == nil {
		t.Errorf("err = %v, %d enforced", err, len(w.Enforced()))
	}
}

func TestWhatAFirewallRefusedIsNotTriedAgainBeforeTheHourlyRun(t *testing.T) {
	bad := netip.MustParsePrefix("20.1.0.8/32")
	refuse := true
	w := &waftest.BookWall{Refuses: func(p netip.Prefix) bool { return refuse && p == bad }}
	list := listOf(t, "", some(9)...)
	if _, err := syncBook(t, list, w); err != nil {
		t.Fatal(err)
	}
	if res, err := syncBook(t, list, w); err != nil || res.Writes != 0 {
		t.Errorf("err = %v, %d writes, want none", err, res.Writes)
	}
	if state, why := stateOf(t, statusOf(t, list, "w"), bad.String()); state != enforce.StateRejected || why == "" {
		t.Errorf("state %s: %s", state, why)
	}
	// A run that gets nowhere does not forget it.
	w.OnRead = func(string) error { return waf.ErrUnavailable }
	if _, err := syncBook(t, list, w); err == nil {
		t.Fatal("want an error")
	}
	w.OnRead = nil
	reads := w.Reads()
	if res, err := syncBook(t, list, w); err != nil || res.Writes != 0 || w.Reads() != reads {
		t.Errorf("after a run that got nowhere: err = %v, %d writes, %d reads of the book, want none", err, res.Writes, w.Reads()-reads)
	}
	refuse = false
	if _, err := syncBook(t, list, w, func(p *enforce.Pass) { p.Verify = true }); err != nil || len(w.Enforced()) != 9 {
		t.Errorf("err = %v, %d enforced after the hourly run, want 9", err, len(w.Enforced()))
	}
}

func TestDenseRangesNeverCoverAnAllowlistedAddress(t *testing.T) {
	var keys []string
	for i := range 40 {
		keys = append(keys, fmt.Sprintf("ip:20.1.1.%d", 2*i), fmt.Sprintf("ip:20.1.2.%d", 2*i))
	}
	list := listOf(t, "20.1.2.201\n", keys...)
	w := &waftest.BookWall{Room: 30, Told: true}
	walls := bookOf(w)
	walls[0].Limits.Dense = 40
	got, err := passOf(list, now).Run(t.Context(), walls)
	if err != nil || got[0].Desired != 80 || got[0].Enforced != 40+29 || got[0].Overflow != 11 {
		t.Fatalf("err = %v, %+v", err, got[0])
	}
	for _, p := range w.Enforced() {
		if p.Contains(netip.MustParseAddr("20.1.2.201")) {
			t.Errorf("%s covers an allowlisted address", p)
		}
	}
	if state, why := stateOf(t, statusOf(t, list, "w"), "20.1.1.4/32"); state == enforce.StateOverflow || state == enforce.StateRejected {
		t.Errorf("an address within the range is %s: %s", state, why)
	}
}
