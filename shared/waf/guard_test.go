package waf_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// ended says of the first n that they left in good order.
func ended(n int) func(context.Context, []netip.Prefix) (int, error) {
	return func(_ context.Context, list []netip.Prefix) (int, error) { return min(n, len(list)), nil }
}

func TestARunThatWouldReleaseTooManyAsks(t *testing.T) {
	for name, tt := range map[string]struct {
		left  int // of 100
		guard waf.Guard
		held  *waf.Held
	}{
		"a tenth may go without a reason":             {left: 90},
		"more than that may not":                      {left: 89, held: &waf.Held{Release: 11, Unexplained: 11, Holds: 100, Reason: "the run would release 11 of the 100 that the wall holds although their term did not end, more than 10 %"}},
		"unless their term ended":                     {left: 20, guard: waf.Guard{Ended: ended(80)}},
		"those whose term ended do not count":         {left: 20, guard: waf.Guard{Ended: ended(70)}},
		"the others do":                               {left: 20, guard: waf.Guard{Ended: ended(60)}, held: &waf.Held{Release: 80, Unexplained: 20, Holds: 100, Reason: "the run would release 20 of the 100 that the wall holds although their term did not end, more than 10 %"}},
		"the share can be set":                        {left: 60, guard: waf.Guard{MaxRelease: 40}},
		"an empty list is held":                       {left: 0, guard: waf.Guard{MaxRelease: 100}, held: &waf.Held{Release: 100, Unexplained: 100, Holds: 100, Reason: "the list is empty, and 100 of the 100 that the wall holds did not come to their end"}},
		"an empty list is held for a single one":      {left: 0, guard: waf.Guard{MaxRelease: 100, Ended: ended(99)}, held: &waf.Held{Release: 100, Unexplained: 1, Holds: 100, Reason: "the list is empty, and 1 of the 100 that the wall holds did not come to their end"}},
		"when the last term ends the wall does empty": {left: 0, guard: waf.Guard{Ended: ended(100)}},
		"an operator may approve":                     {left: 20, guard: waf.Guard{Allow: waf.Allowance{Release: 80}}},
		"what was approved is a bound":                {left: 19, guard: waf.Guard{Allow: waf.Allowance{Release: 80}}, held: &waf.Held{Release: 81, Unexplained: 81, Holds: 100, Reason: "the run would release 81 of the 100 that the wall holds although their term did not end, more than 10 %"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &waftest.Wall{Base: "b"}
			mustReconcile(t, on(w.Open(), 30), desire(1, hosts(0, 100)))
			r := on(w.Open(), 30)
			r.Guard = tt.guard
			r.DryRun = true
			dry, err := r.Reconcile(t.Context(), desire(2, hosts(0, tt.left)))
			if err != nil || len(dry.Plan) == 0 {
				t.Errorf("dry run: %v, plan %q; want the plan", err, dry.Plan)
			}
			if diff := cmp.Diff(tt.held, dry.Held); diff != "" {
				t.Errorf("dry run:\n%s", diff)
			}
			r.DryRun = false
			report, err := r.Reconcile(t.Context(), desire(2, hosts(0, tt.left)))
			if diff := cmp.Diff(tt.held, report.Held); diff != "" {
				t.Error(diff)
			}
			want := tt.left
			if tt.held != nil {
				want = 100
			}
			if errors.Is(err, waf.ErrHeld) != (tt.held != nil) || tt.held == nil && err != nil || len(w.Enforced()) != want {
				t.Errorf("error %v, %d enforced, want %d", err, len(w.Enforced()), want)
			}
		})
	}
}

func TestAnOperatorWhoAdoptsAListHasSaidSo(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	mustReconcile(t, on(w.Open(), 30), desire(1, hosts(0, 100)))
	r := on(w.Open(), 30)
	r.Guard, r.AdoptEpoch = waf.Guard{}, true
	mustReconcile(t, r, waf.Desired{Epoch: "new", Generation: 1, Wants: hosts(300, 2)})
	if len(w.Enforced()) != 2 {
		t.Errorf("%d enforced, want 2", len(w.Enforced()))
	}
}

func TestAReasonThatCannotBeHadIsNone(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	mustReconcile(t, on(w.Open(), 30), desire(1, hosts(0, 100)))
	r := on(w.Open(), 30)
	r.Guard.Ended = func(context.Context, []netip.Prefix) (int, error) { return 0, errors.New("redis is away") }
	if report, err := r.Reconcile(t.Context(), desire(2, nil)); err == nil || report.Writes != 0 || len(w.Enforced()) != 100 {
		t.Errorf("error %v, %d writes, %d enforced; want an error and the wall as it was", err, report.Writes, len(w.Enforced()))
	}
}

func TestARunThatWouldAddTooManyAsks(t *testing.T) {
	wants := make([]waf.Want, 0, 50_101)
	for i := range 50_101 {
		wants = append(wants, waf.Want{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{100, byte(i >> 15), byte(i >> 7), byte(i << 1)}), 32)})
	}
	w := &waftest.Wall{Base: "b"}
	mustReconcile(t, on(w.Open(), 10_000), desire(1, wants[:100]))
	if _, err := on(w.Open(), 10_000).Reconcile(t.Context(), desire(2, wants[:50_100])); err != nil {
		t.Errorf("50,000 more: %v", err)
	}
	w = &waftest.Wall{Base: "b"}
	mustReconcile(t, on(w.Open(), 10_000), desire(1, wants[:100]))
	report, err := on(w.Open(), 10_000).Reconcile(t.Context(), desire(2, wants))
	want := &waf.Held{Add: 50_001, Holds: 100, Reason: "the run would add 50001 to the 100 that the wall holds, more than 100 % and more than 50000"}
	if diff := cmp.Diff(want, report.Held); diff != "" || !errors.Is(err, waf.ErrHeld) || report.Writes != 0 {
		t.Errorf("error %v, %d writes\n%s", err, report.Writes, diff)
	}
	r := on(w.Open(), 10_000)
	r.Guard.Allow.Add = 50_001
	mustReconcile(t, r, desire(2, wants))
	// A wall that holds nothing is filled without asking.
	mustReconcile(t, on((&waftest.Wall{Base: "b"}).Open(), 10_000), desire(2, wants))
}

func TestDriftIsRepairedOrOnlyReported(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	mustReconcile(t, on(w.Open(), 5), desire(1, hosts(0, 9)))
	outsider := w.Open()
	state, err := outsider.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	edited := state.Sets[0]
	edited.Prefixes = w.Sets()[edited.Name][1:]
	if err := outsider.Put(t.Context(), edited); err != nil {
		t.Fatal(err)
	}
	want := []string{"set b-v4-001 does not hold what its description says: somebody else has changed it"}
	r := on(w.Open(), 5)
	r.Verify, r.ReportDrift = true, true
	report, err := r.Reconcile(t.Context(), desire(1, hosts(0, 9)))
	if diff := cmp.Diff(want, report.Drift); diff != "" || !errors.Is(err, waf.ErrDrift) || report.Writes != 0 {
		t.Errorf("reporting: %v, %d writes\n%s", err, report.Writes, diff)
	}
	r.ReportDrift = false
	report = mustReconcile(t, r, desire(1, hosts(0, 9)))
	if diff := cmp.Diff(want, report.Drift); diff != "" || len(w.Enforced()) != 9 {
		t.Errorf("repairing: %d enforced\n%s", len(w.Enforced()), diff)
	}
}

func TestARunStopsBeforeTheWriteThatItMayNotMake(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	lost := errors.New("lease was lost")
	r := on(w.Open(), 3)
	n := 0
	r.BeforeWrite = func(context.Context) error {
		if n++; n > 2 {
			return lost
		}
		return nil
	}
	report, err := r.Reconcile(t.Context(), desire(1, hosts(0, 12)))
	if !errors.Is(err, lost) || report.Writes != 2 || len(report.Remaining) != 3 {
		t.Errorf("error %v, %d writes, remaining %q; want two writes", err, report.Writes, report.Remaining)
	}
}

// careful is a firewall that looks ahead and proves.
type careful struct {
	*waftest.Firewall
	needs    []waf.Need
	findings []waf.Finding
	proofs   int
	err      error
}

func (c *careful) Preflight(_ context.Context, need waf.Need) ([]waf.Finding, error) {
	c.needs = append(c.needs, need)
	return c.findings, nil
}

func (c *careful) Prove(context.Context) (waf.Proof, error) {
	c.proofs++
	return waf.Proof{Effective: true}, c.err
}

func TestPreflightComesBeforeTheFirstWrite(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	c := &careful{Firewall: w.Open(), findings: []waf.Finding{{Text: "little room"}, {Text: "no permission wafv2:CreateIPSet", Fatal: true}}}
	report, err := on(c, 5).Reconcile(t.Context(), desire(1, hosts(0, 12)))
	if !errors.Is(err, waf.ErrPreflight) || !strings.Contains(err.Error(), "wafv2:CreateIPSet") || report.Writes != 0 || len(report.Findings) != 2 {
		t.Errorf("error %v, %d writes, findings %v", err, report.Writes, report.Findings)
	}
	c.findings = c.findings[:1]
	report = mustReconcile(t, on(c, 5), desire(1, hosts(0, 12)))
	want := waf.Need{Creates: 3, References: 3, Rule: true}
	if len(c.needs) != 2 || c.needs[1] != want || report.Enforced != 12 || c.proofs != 1 || report.Proof == nil {
		t.Errorf("needs %+v, want %+v; %d enforced, proof %v", c.needs, want, report.Enforced, report.Proof)
	}
	// What changes only the content of sets asks and proves nothing, but when told to.
	if report = mustReconcile(t, on(c, 5), desire(2, hosts(1, 12))); len(c.needs) != 2 || c.proofs != 1 || report.Proof != nil {
		t.Errorf("%d preflights, %d proofs", len(c.needs), c.proofs)
	}
	r := on(c, 5)
	r.Prove = true
	c.err = errors.New("denied")
	report = mustReconcile(t, r, desire(2, hosts(1, 12)))
	if report.Proof == nil || report.Proof.Effective || !slices.Equal(report.Proof.Reasons, []string{"not proven: denied"}) {
		t.Errorf("proof %+v, want none with the reason", report.Proof)
	}
}

func TestNeighboursAreMergedOnlyWhenRoomIsShort(t *testing.T) {
	limits := waf.Limits{SetSize: 4, MaxSets: 2, Base: "b"}
	list := []string{"192.0.2.0/32", "192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32", "192.0.2.4/32", "198.51.100.1/32", "198.51.100.2/32", "198.51.100.3/32"}
	plan := waf.MakePlan(nil, wantsOf(list...), limits)
	if got := strings.Join(plan.Words(), "; "); got != "create b-v4-001 with 4; create b-v4-002 with 4; reference b-v4-001 b-v4-002" {
		t.Errorf("all fit: %s", got)
	}
	more := append(slices.Clone(list), "203.0.113.1/32", "203.0.113.3/32")
	plan = waf.MakePlan(nil, wantsOf(more...), limits)
	if plan.OverflowWants != 0 || plan.Desired != 10 {
		t.Fatalf("merged: %d overflow of %d", plan.OverflowWants, plan.Desired)
	}
	wall := map[string]*waf.Set{}
	for _, s := range plan.Steps {
		carryOut(wall, s)
	}
	// Two less, and all would fit again one by one. But what is merged stays so.
	if plan = waf.MakePlan(sets(wall), wantsOf(more[:8]...), limits); len(plan.Steps) != 1 || plan.Steps[0].Removed != 2 || plan.Steps[0].Added != 0 {
		t.Errorf("two gone: %q, want two addresses out of their set and nothing else", plan.Words())
	}
	// A part of a range goes: the range is taken apart, and nobody else is let go or blocked.
	left := append([]string{}, more[:2]...)
	left = append(left, more[3:]...)
	for range 2 { // the sets are full: the range goes when all of its parts have found a place
		for _, s := range waf.MakePlan(sets(wall), wantsOf(left...), limits).Steps {
			carryOut(wall, s)
		}
	}
	now := blocked(wall)
	for _, a := range corner()[:6] {
		if want := slices.Contains(left, a.String()+"/32"); now[a] != want {
			t.Errorf("%s: blocked %t, want %t", a, now[a], want)
		}
	}
}

func TestMergedRangesAreNeverWiderThanAllowed(t *testing.T) {
	var list []string
	for i := range 8 {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(i), 0}), 24).String())
	}
	plan := waf.MakePlan(nil, wantsOf(list...), waf.Limits{SetSize: 4, MaxSets: 1, MinBits4: 23, Base: "b"})
	if len(plan.Overflow) != 0 || len(plan.Steps[0].Content) != 4 || plan.Steps[0].Content[0].Bits() != 23 {
		t.Errorf("overflow %v, content %v; want four /23", plan.Overflow, plan.Steps[0].Content)
	}
}

func TestSubtractSplitsRangesAroundWhoIsSpared(t *testing.T) {
	for _, tt := range []struct{ want, spare, rest string }{
		{"192.0.2.0/30", "192.0.2.1/32", "192.0.2.0/32 192.0.2.2/31"},
		{"192.0.2.0/30", "192.0.2.0/24", ""},
		{"192.0.2.0/30", "198.51.100.0/24", "192.0.2.0/30"},
		{"192.0.2.0/30", "::ffff:192.0.2.1/128", "192.0.2.0/32 192.0.2.2/31"},
		{"2001:db8::/63", "2001:db8::7/128", "2001:db8:0:1::/64"},
		{"2001:db8::/64", "2001:db8::7/128", ""}, // one subscriber
		{"192.0.2.7/32", "192.0.2.7/32", ""},
	} {
		rest, spared := waf.Subtract([]waf.Want{{Prefix: netip.MustParsePrefix(tt.want), Count: 7}}, pfx(tt.spare))
		var got []string
		for _, w := range rest {
			got = append(got, w.Prefix.String())
			if w.Count != 7 {
				t.Errorf("%s without %s: the rest lost its rank", tt.want, tt.spare)
			}
		}
		if strings.Join(got, " ") != tt.rest || (spared == 1) != (tt.rest == "") {
			t.Errorf("%s without %s = %q (%d spared), want %q", tt.want, tt.spare, got, spared, tt.rest)
		}
	}
}
