package enforce_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

var (
	_ enforce.List = (*blocklisttest.Fake)(nil)
	_ enforce.Bell = (*blocklisttest.Fake)(nil)
)

var now = time.Date(2076, 5, 28, 20, 25, 0, 0, time.UTC)

// wallOf is a wall in memory as one process sees it.
func wallOf(name string, w *waftest.Wall) enforce.Wall {
	return enforce.Wall{Name: name, Firewall: w.Open()}
}

// passOf is a pass over a list at a time.
func passOf(list *blocklisttest.Fake, at time.Time) enforce.Pass {
	return enforce.Pass{List: list, Kind: "test-waf", Now: at}
}

// listOf is a blocklist with these entries, for an hour, and this allowlist.
func listOf(t *testing.T, allow string, keys ...string) *blocklisttest.Fake {
	t.Helper()
	list := &blocklisttest.Fake{}
	allowOn(t, list, allow)
	block(t, list, now, keys...)
	return list
}

func allowOn(t *testing.T, list *blocklisttest.Fake, text string) {
	t.Helper()
	allowed, err := allowlist.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := list.SaveAllowlist(t.Context(), allowed); err != nil {
		t.Fatal(err)
	}
}

// block puts entries on the list that end an hour after at.
func block(t *testing.T, list *blocklisttest.Fake, at time.Time, keys ...string) {
	t.Helper()
	batch := blocklist.Batch{Run: "test", Now: at}
	for _, ind := range indicators(t, keys...) {
		batch.Offences = append(batch.Offences, blocklist.Offence{
			Entry: blocklist.Entry{Indicator: ind, Source: blocklist.SourceDetect}, At: at, Term: time.Hour,
		})
	}
	if _, err := list.Put(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func indicators(t *testing.T, keys ...string) []threat.Indicator {
	t.Helper()
	var all []threat.Indicator
	for _, key := range keys {
		ind, err := threat.ParseKey(key)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ind)
	}
	return all
}

// some returns n keys of addresses that do not touch each other.
func some(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("ip:20.1.%d.%d", i/100, 2*(i%100))
	}
	return keys
}

// waiting returns how many announcements wait for a wall.
func waiting(t *testing.T, list *blocklisttest.Fake, wall string) int {
	t.Helper()
	left, err := list.Receive(t.Context(), "test-waf:"+wall, "test", 0)
	if err != nil {
		t.Fatal(err)
	}
	return len(left)
}

// statusOf reads what a pass has kept of a wall.
func statusOf(t *testing.T, list *blocklisttest.Fake, wall string) enforce.Status {
	t.Helper()
	text, err := list.Status(t.Context(), enforce.Key("test-waf", wall))
	if err != nil {
		t.Fatal(err)
	}
	var s enforce.Status
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAWallThatFailsDelaysNoOther(t *testing.T) {
	list := listOf(t, "203.0.113.9 owner=office", "ip:203.0.113.7", "ip:203.0.113.9", "ip:2001:db8:1:2::/64", "account:mallory")
	good := &waftest.Wall{Base: "good"}
	bad := &waftest.Wall{Base: "bad", OnWrite: func(string, string) (bool, error) { return false, waf.ErrDenied }}
	got, err := passOf(list, now).Run(t.Context(), []enforce.Wall{wallOf("bad", bad), wallOf("good", good)})
	if !errors.Is(err, waf.ErrDenied) || len(got) != 2 || got[0].Error == "" || got[1].Error != "" {
		t.Fatalf("results = %+v, err = %v", got, err)
	}
	if len(good.Enforced()) != 2 || got[1].Desired != 2 || got[1].Spared != 1 || got[1].Pending != 0 || got[0].Pending != 2 {
		t.Errorf("good enforces %v, results %+v; want two addresses and one spared", good.Enforced(), got)
	}
	// What was proven is acknowledged, what failed waits for the next run.
	if g, b := waiting(t, list, "good"), waiting(t, list, "bad"); g != 0 || b != 1 {
		t.Errorf("%d messages wait for good and %d for bad, want none and one", g, b)
	}
}

// hung is a firewall that answers nothing until it is told to stop.
type hung struct{ waf.SetFirewall }

func (hung) Look(ctx context.Context) (waf.State, error) {
	<-ctx.Done()
	return waf.State{}, ctx.Err()
}

func TestAWallThatHangsDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := listOf(t, "", some(3)...)
		begin := time.Now()
		var took time.Duration
		good := &waftest.Wall{AfterWrite: func(op, _ string) {
			if op == "reference" {
				took = time.Since(begin)
			}
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		got, err := passOf(list, now).Run(ctx, []enforce.Wall{{Name: "hung", Firewall: hung{}}, wallOf("good", good)})
		if err == nil || got[0].Error == "" || got[1].Error != "" || len(good.Enforced()) != 3 || took > time.Second {
			t.Errorf("results = %+v, err = %v; good was done after %s", got, err, took)
		}
		if s := statusOf(t, list, "hung"); s.Result.Error == "" || time.Since(begin) >= time.Minute {
			t.Errorf("status of the hung wall = %+v after %s, want it kept before the deadline", s.Result, time.Since(begin))
		}
	})
}

func TestAHeldLeaseLeavesTheWallToItsHolder(t *testing.T) {
	list := listOf(t, "", "ip:203.0.113.7")
	w := &waftest.Wall{Base: "w"}
	if _, err := list.Acquire(t.Context(), "sync:test-waf:w", time.Minute); err != nil {
		t.Fatal(err)
	}
	got, err := passOf(list, now).Run(t.Context(), []enforce.Wall{wallOf("w", w)})
	if err != nil || got[0].Skipped == "" || len(w.Enforced()) != 0 {
		t.Errorf("results = %+v, err = %v, enforced %v; want it skipped", got, err, w.Enforced())
	}
	if _, err := list.Status(t.Context(), "test-waf:w"); !errors.Is(err, blocklist.ErrNoReport) {
		t.Errorf("a skipped wall has a status: %v", err)
	}
}

func TestADryRunSaysWhatTheRealRunDoesAndDoesNothing(t *testing.T) {
	list := listOf(t, "", "ip:203.0.113.7", "ip:203.0.113.8")
	w := &waftest.Wall{Base: "w"}
	walls := []enforce.Wall{wallOf("w", w)}
	// It waits for nobody's lease, and takes no message from the run that will do the work.
	lease, err := list.Acquire(t.Context(), "sync:test-waf:w", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	plan := passOf(list, now)
	plan.DryRun, plan.NoTrace = true, true
	dry, err := plan.Run(t.Context(), walls)
	if err != nil || len(w.Enforced()) != 0 || dry[0].Writes != 0 || dry[0].Skipped != "" || dry[0].Pending != 2 {
		t.Fatalf("dry: %+v, err = %v, enforced %v", dry[0], err, w.Enforced())
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := list.Status(t.Context(), "test-waf:w"); !errors.Is(err, blocklist.ErrNoReport) {
		t.Errorf("a plan left a status: %v", err)
	}
	did, err := passOf(list, now).Run(t.Context(), walls)
	if err != nil || len(w.Enforced()) != 2 {
		t.Fatalf("real: err = %v, enforced %v", err, w.Enforced())
	}
	if plan, done := strings.Join(dry[0].Report.Plan, "\n"), strings.Join(did[0].Report.Plan, "\n"); plan != done || plan == "" {
		t.Errorf("planned:\n%s\ndone:\n%s", plan, done)
	}
}

func TestAWallThatOnlyObservesIsPlannedForAndLeftAlone(t *testing.T) {
	list := listOf(t, "", "ip:203.0.113.7", "ip:203.0.113.8")
	seen, done := &waftest.Wall{Base: "seen"}, &waftest.Wall{Base: "done"}
	observed := wallOf("seen", seen)
	observed.Observe = true
	got, err := passOf(list, now).Run(t.Context(), []enforce.Wall{observed, wallOf("done", done)})
	if err != nil || len(seen.Enforced()) != 0 || len(done.Enforced()) != 2 {
		t.Fatalf("err = %v, the observed wall has %v, the other %v", err, seen.Enforced(), done.Enforced())
	}
	if !got[0].Observed || got[0].Writes != 0 || got[0].Pending != 2 || len(got[0].Report.Plan) == 0 || got[1].Observed {
		t.Errorf("observed: %+v\nthe other: %+v", got[0], got[1])
	}
	if s := statusOf(t, list, "seen"); s.Mode != "plan" {
		t.Errorf("mode %q in the status, want plan", s.Mode)
	}
	// What it was told of waits until it is enforced.
	if left, err := list.Receive(t.Context(), "test-waf:seen", "test", 0); err != nil || len(left) != 1 {
		t.Errorf("%d messages wait, err = %v, want 1", len(left), err)
	}
}

func TestARangeIsBlockedButForTheAllowlistedAddress(t *testing.T) {
	list := listOf(t, "203.0.113.7 owner=office\n203.0.114.1 until=2076-05-27\n", "ip:203.0.113.0/24", "ip:203.0.114.0/24")
	w := &waftest.Wall{}
	got, err := passOf(list, now).Run(t.Context(), []enforce.Wall{wallOf("w", w)})
	if err != nil || got[0].Spared != 0 {
		t.Fatalf("results = %+v, err = %v", got, err)
	}
	var text []string
	for _, p := range w.Enforced() {
		text = append(text, p.String())
	}
	want := "203.0.113.0/30 203.0.113.4/31 203.0.113.6/32 203.0.113.8/29 203.0.113.16/28 203.0.113.32/27 203.0.113.64/26 203.0.113.128/25 203.0.114.0/24"
	if strings.Join(text, " ") != want {
		t.Errorf("enforced %v, want %s", text, want)
	}
}
