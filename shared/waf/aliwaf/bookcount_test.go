package aliwaf_test

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// TestWhatAListOfFiftyThousandCosts holds the numbers that the documentation tells.
func TestWhatAListOfFiftyThousandCosts(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{BookAddresses: 60_000}})
	c.target.Batch = 0 // the default
	r := &runner{c: c}
	list := hosts(0, 50_000)
	for i, step := range []struct {
		name          string
		list          []netip.Prefix
		process       bool // a new one, with what enforce remembers
		calls, writes int
		change        []func(*waf.Reconciler)
	}{
		// 3 to look (the instance, the books, the templates), 250 batches of 200, the book, the template, the rule; 8 for the proof that follows.
		{name: "cold", list: list, calls: 264, writes: 253},
		{name: "nothing changed", list: list, calls: 3},
		{name: "nothing changed, new process", list: list, process: true, calls: 3},
		{name: "one gone", list: list[1:], calls: 4, writes: 1},
		{name: "one come", list: list, calls: 4, writes: 1},
		// 3 to look, 100 pages, the note, 9 for the proof.
		{name: "verified", list: list, change: []func(*waf.Reconciler){verify}, calls: 113, writes: 1},
	} {
		if step.process {
			memory := r.f.(waf.Rememberer).Memory()
			r.f = c.open(t)
			r.f.(waf.Rememberer).Recall(memory)
		}
		c.Forget()
		report := r.ok(t, uint64(i), step.list, step.change...)
		t.Logf("%s: %d calls, %d writes", step.name, report.Calls, report.Writes)
		if report.Calls != step.calls || report.Writes != step.writes || len(c.Calls()) != step.calls {
			t.Errorf("%s: %d calls (%d seen), %d writes; want %d and %d: %s", step.name, report.Calls, len(c.Calls()), report.Writes, step.calls, step.writes, tally(c))
		}
	}
}

// tally counts the calls by action.
func tally(c *cloud) string {
	counts := map[string]int{}
	var order []string
	for _, call := range c.Calls() {
		if counts[call.Action]++; counts[call.Action] == 1 {
			order = append(order, call.Action)
		}
	}
	for i, action := range order {
		order[i] = action + " " + strconv.Itoa(counts[action])
	}
	return strings.Join(order, ", ")
}

func TestAddressesNeverStandInAURL(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 3))
	for _, call := range c.Calls("AddAddress") {
		if call.Entries != 3 || call.Sent < 60 {
			t.Errorf("call %+v", call)
		}
	}
}

func TestEachCallWaitsForItsTurnAlsoWhenItIsMadeAgain(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	cfg := c.config()
	turn := rate.NewLimiter(1e-9, 1000) // no turn comes back while the test runs
	cfg.Pace = &aliwaf.Pace{WAF: turn}
	f, err := aliwaf.New(cfg, c.target)
	if err != nil {
		t.Fatal(err)
	}
	c.FailCall(4, 2, waftest.Fault{Code: "Throttling.User"})
	r := &runner{c: c, f: f}
	report := r.ok(t, 1, hosts(0, 25))
	if turns := int(1000.5 - turn.Tokens()); turns != report.Calls || len(c.Calls()) != report.Calls || c.slept != 2 {
		t.Errorf("%d turns for %d calls (%d seen), waited %d times", turns, report.Calls, len(c.Calls()), c.slept)
	}
	if every := aliwaf.NewPace().WAF.Limit(); every > rate.Every(200*time.Millisecond) {
		t.Errorf("the default pace is %v", every)
	}
}

func TestABookThatIsChangedTooOftenIsWaitedFor(t *testing.T) {
	now := time.Now()
	c := newCloud(t, waftest.AlibabaOptions{BookPause: 2 * time.Second, Now: func() time.Time { return now }})
	cfg := c.config()
	cfg.Sleep = func(_ context.Context, d time.Duration) error { now = now.Add(d); return nil }
	f, err := aliwaf.New(cfg, c.target)
	if err != nil {
		t.Fatal(err)
	}
	r := &runner{c: c, f: f}
	r.ok(t, 1, hosts(0, 35))
}
