package enforce_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

var now = time.Date(2076, 5, 28, 20, 25, 0, 0, time.UTC)

// wallOf is a wall in memory, made equal to the list by the real Reconciler.
func wallOf(name string, w *waftest.Wall) enforce.Wall {
	return enforce.Wall{Name: name, Reconcile: func(ctx context.Context, want waf.Desired, how enforce.How) (waf.Report, error) {
		r := waf.Reconciler{Firewall: w.Open(), Name: name, DryRun: how.DryRun, AdoptEpoch: how.AdoptEpoch}
		return r.Reconcile(ctx, want)
	}}
}

// listOf is a blocklist with these entries and this allowlist.
func listOf(t *testing.T, allow string, keys ...string) *blocklisttest.Fake {
	t.Helper()
	list := &blocklisttest.Fake{}
	allowed, err := allowlist.Parse(strings.NewReader(allow))
	if err != nil {
		t.Fatal(err)
	}
	if err := list.SaveAllowlist(t.Context(), allowed); err != nil {
		t.Fatal(err)
	}
	batch := blocklist.Batch{Run: "test", Now: now}
	for _, key := range keys {
		ind, err := threat.ParseKey(key)
		if err != nil {
			t.Fatal(err)
		}
		batch.Offences = append(batch.Offences, blocklist.Offence{
			Entry: blocklist.Entry{Indicator: ind, Source: blocklist.SourceDetect}, At: now, Term: time.Hour,
		})
	}
	if _, err := list.Put(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestAWallThatFailsDelaysNoOther(t *testing.T) {
	list := listOf(t, "203.0.113.9 owner=office", "ip:203.0.113.7", "ip:203.0.113.9", "ip:2001:db8:1:2::/64", "account:mallory")
	good := &waftest.Wall{Base: "good"}
	bad := enforce.Wall{Name: "bad", Reconcile: func(ctx context.Context, _ waf.Desired, _ enforce.How) (waf.Report, error) {
		return waf.Report{}, waf.ErrDenied
	}}
	got, err := enforce.Pass{List: list, Kind: "test-waf", Now: now}.Run(t.Context(), []enforce.Wall{bad, wallOf("good", good)})
	if !errors.Is(err, waf.ErrDenied) || len(got) != 2 || got[0].Error == "" || got[1].Error != "" {
		t.Fatalf("results = %+v, err = %v", got, err)
	}
	if len(good.Enforced()) != 2 || got[1].Desired != 2 || got[1].Spared != 1 {
		t.Errorf("good enforces %v, result %+v; want two addresses and one spared", good.Enforced(), got[1])
	}
	// What was proven is acknowledged, what failed waits for the next run.
	for group, want := range map[string]int{"test-waf:good": 0, "test-waf:bad": 1} {
		left, err := list.Receive(t.Context(), group, "test", 0)
		if err != nil || len(left) != want {
			t.Errorf("%s: %d messages wait, err = %v, want %d", group, len(left), err, want)
		}
	}
}

func TestAListThatCannotBeTrustedChangesNoWall(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(*blocklisttest.Fake)
		want  error
	}{
		"no allowlist":    {func(f *blocklisttest.Fake) { f.Lose("allowlist") }, enforce.ErrAllowlist},
		"a flushed store": {func(f *blocklisttest.Fake) { f.Flush() }, enforce.ErrAllowlist},
		"no epoch":        {func(f *blocklisttest.Fake) { f.Lose("epoch") }, blocklist.ErrNoEpoch},
		"a lost entry":    {func(f *blocklisttest.Fake) { f.Lose("entry:ip:203.0.113.7") }, blocklist.ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			list := listOf(t, "", "ip:203.0.113.7", "ip:203.0.113.8")
			w := &waftest.Wall{Base: "w"}
			pass := enforce.Pass{List: list, Kind: "test-waf", Now: now}
			if _, err := pass.Run(t.Context(), []enforce.Wall{wallOf("w", w)}); err != nil || len(w.Enforced()) != 2 {
				t.Fatalf("at first: err = %v, enforced %v", err, w.Enforced())
			}
			tt.spoil(list)
			got, err := pass.Run(t.Context(), []enforce.Wall{wallOf("w", w)})
			if !errors.Is(err, tt.want) || got[0].Writes != 0 {
				t.Errorf("err = %v, %d writes; want %v and none", err, got[0].Writes, tt.want)
			}
			if len(w.Enforced()) != 2 {
				t.Errorf("the wall enforces %v, want both as before", w.Enforced())
			}
		})
	}
}

func TestAHeldLeaseLeavesTheWallToItsHolder(t *testing.T) {
	list := listOf(t, "", "ip:203.0.113.7")
	w := &waftest.Wall{Base: "w"}
	if _, err := list.Acquire(t.Context(), "sync:test-waf:w", time.Minute); err != nil {
		t.Fatal(err)
	}
	got, err := enforce.Pass{List: list, Kind: "test-waf", Now: now}.Run(t.Context(), []enforce.Wall{wallOf("w", w)})
	if err != nil || got[0].Skipped == "" || len(w.Enforced()) != 0 {
		t.Errorf("results = %+v, err = %v, enforced %v; want it skipped", got, err, w.Enforced())
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
	dry, err := enforce.Pass{List: list, Kind: "test-waf", Now: now, DryRun: true, NoTrace: true}.Run(t.Context(), walls)
	if err != nil || len(w.Enforced()) != 0 || dry[0].Writes != 0 || dry[0].Skipped != "" {
		t.Fatalf("dry: %+v, err = %v, enforced %v", dry[0], err, w.Enforced())
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := list.Status(t.Context(), "w"); !errors.Is(err, blocklist.ErrNoReport) {
		t.Errorf("a plan left a status: %v", err)
	}
	did, err := enforce.Pass{List: list, Kind: "test-waf", Now: now}.Run(t.Context(), walls)
	if err != nil || len(w.Enforced()) != 2 {
		t.Fatalf("real: err = %v, enforced %v", err, w.Enforced())
	}
	if plan, done := strings.Join(dry[0].Report.Plan, "\n"), strings.Join(did[0].Report.Plan, "\n"); plan != done || plan == "" {
		t.Errorf("planned:\n%s\ndone:\n%s", plan, done)
	}
}
