package waf_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func pfx(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

func wantsOf(texts ...string) []waf.Want {
	list := make([]waf.Want, len(texts))
	for i, p := range pfx(texts...) {
		list[i] = waf.Want{Prefix: p}
	}
	return list
}

// inForce is a set as the rule refers to it.
func inForce(name string, f waf.Family, texts ...string) waf.Set {
	return waf.Set{Name: name, Family: f, Marked: true, Referenced: true, Prefixes: pfx(texts...)}
}

func TestMakePlan(t *testing.T) {
	small := waf.Limits{SetSize: 2, MaxSets: 3, Base: "b"}
	for _, c := range []struct {
		name    string
		current []waf.Set
		desired []waf.Want
		limits  waf.Limits
		want    string
	}{
		{"an empty list on an empty wall is no change", nil, nil, small, ""},
		{
			"an empty wall is filled set by set and then referred to", nil,
			wantsOf("192.0.2.3/32", "192.0.2.1/32", "192.0.2.2/32"), small,
			"create b-v4-001 with 2; create b-v4-002 with 1; reference b-v4-001 b-v4-002",
		},
		{
			"families never share a set", nil, wantsOf("192.0.2.1/32", "2001:db8::/64"), small,
			"create b-v4-001 with 1; create b-v6-001 with 1; reference b-v4-001 b-v6-001",
		},
		{
			"what is the same is left alone",
			[]waf.Set{inForce("b-v4-001", waf.IPv4, "192.0.2.1/32")},
			wantsOf("192.0.2.1/32", "192.0.2.1/32", "::ffff:192.0.2.1/128"), small, "",
		},
		{
			"one that goes and one that comes share a write, though another set has room",
			[]waf.Set{inForce("b-v4-001", waf.IPv4, "192.0.2.1/32"), inForce("b-v4-002", waf.IPv4, "192.0.2.2/32", "192.0.2.3/32")},
			wantsOf("192.0.2.1/32", "192.0.2.3/32", "192.0.2.4/32"), small,
			"fill b-v4-002 +1 -1 = 2",
		},
		{
			"a set that needs a write anyway takes newcomers before a new set is made",
			[]waf.Set{inForce("b-v4-001", waf.IPv4, "192.0.2.1/32", "192.0.2.2/32")},
			wantsOf("192.0.2.1/32", "192.0.2.5/32", "192.0.2.6/32"), small,
			"fill b-v4-001 +1 -1 = 2; create b-v4-002 with 1; reference b-v4-002",
		},
		{
			"the last address of a set leaves an empty set to spare, of a second one it retires the set",
			[]waf.Set{inForce("b-v4-001", waf.IPv4, "192.0.2.1/32"), inForce("b-v4-002", waf.IPv4, "192.0.2.2/32")},
			nil, small,
			"trim b-v4-001 +0 -1 = 0; retire b-v4-002 -1; unreference b-v4-002",
		},
		{
			"a retired set goes once nothing refers to it",
			[]waf.Set{{Name: "b-v4-001", Family: waf.IPv4, Mark: waf.Mark{Retired: true}, Marked: true}},
			nil, small,
			"delete b-v4-001",
		},
		{
			"a retired set is never filled again",
			[]waf.Set{{Name: "b-v4-001", Family: waf.IPv4, Mark: waf.Mark{Retired: true}, Marked: true, Referenced: true}},
			wantsOf("192.0.2.1/32"), small,
			"create b-v4-002 with 1; reference b-v4-002; unreference b-v4-001",
		},
		{
			"what an interrupted run has filled is taken as it is",
			[]waf.Set{{Name: "b-v4-001", Family: waf.IPv4, Marked: true, Prefixes: pfx("192.0.2.1/32")}},
			wantsOf("192.0.2.1/32"), small,
			"reference b-v4-001",
		},
		{
			"what an interrupted run has filled too much is corrected before it is referred to",
			[]waf.Set{{Name: "b-v4-001", Family: waf.IPv4, Marked: true, Prefixes: pfx("192.0.2.1/32", "192.0.2.9/32")}},
			wantsOf("192.0.2.1/32"), small,
			"fill b-v4-001 +0 -1 = 1; reference b-v4-001",
		},
		{
			"what an interrupted run has left is used before a new set is made",
			[]waf.Set{{Name: "b-v4-001", Family: waf.IPv4, Marked: true, Prefixes: pfx("192.0.2.9/32")}},
			wantsOf("192.0.2.1/32"), small,
			"fill b-v4-001 +1 -1 = 1; reference b-v4-001",
		},
		{
			"a set that lost its mark is written anew",
			[]waf.Set{{Name: "b-v4-001", Family: waf.IPv4, Referenced: true, Prefixes: pfx("192.0.2.1/32")}},
			wantsOf("192.0.2.1/32"), small, "fill b-v4-001 +0 -0 = 1",
		},
		{
			"an address in two sets stays in the first",
			[]waf.Set{inForce("b-v4-002", waf.IPv4, "192.0.2.1/32", "192.0.2.2/32"), inForce("b-v4-001", waf.IPv4, "192.0.2.1/32")},
			wantsOf("192.0.2.1/32", "192.0.2.2/32"), small, "trim b-v4-002 +0 -1 = 1",
		},
		{
			"a range that replaces an address takes its place in one write",
			[]waf.Set{inForce("b-v4-001", waf.IPv4, "192.0.2.1/32", "198.51.100.1/32")},
			wantsOf("192.0.2.0/24", "198.51.100.1/32"), small, "fill b-v4-001 +1 -1 = 2",
		},
		{
			"addresses in other sets go only when the range that replaces them is in force",
			[]waf.Set{inForce("b-v4-001", waf.IPv4, "192.0.2.1/32"), inForce("b-v4-002", waf.IPv4, "192.0.2.2/32", "198.51.100.1/32")},
			wantsOf("192.0.2.0/24", "198.51.100.1/32"), small, "fill b-v4-001 +1 -1 = 1; trim b-v4-002 +0 -1 = 1",
		},
		{
			"a range that is split goes only when its parts are in force",
			[]waf.Set{inForce("b-v4-001", waf.IPv4, "192.0.2.0/30", "198.51.100.1/32")},
			wantsOf("192.0.2.0/32", "192.0.2.2/31", "198.51.100.1/32"), small,
			"create b-v4-002 with 2; reference b-v4-002; trim b-v4-001 +0 -1 = 1",
		},
		{
			"names of others are left out", nil, wantsOf("192.0.2.1/32"),
			waf.Limits{Base: "b", Taken: []string{"b-v4-001", "b-v4-002"}},
			"create b-v4-003 with 1; reference b-v4-003",
		},
		{
			"a rule that is not as configured is repaired",
			[]waf.Set{inForce("b-v4-001", waf.IPv4, "192.0.2.1/32")},
			wantsOf("192.0.2.1/32"),
			waf.Limits{Base: "b", Repair: true},
			"reference nothing new (make the rule as configured)",
		},
		{
			"a smaller set size takes nobody out of a fuller set, and puts nobody in",
			[]waf.Set{inForce("b-v4-001", waf.IPv4, "192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32")},
			wantsOf("192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32", "192.0.2.4/32"), small, "create b-v4-002 with 1; reference b-v4-002",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(waf.MakePlan(c.current, c.desired, c.limits).Words(), "; ")
			if got != c.want {
				t.Errorf("plan\n  %s\nwant\n  %s", got, c.want)
			}
		})
	}
}

func TestOverflowIsTheLeastUrgent(t *testing.T) {
	at := func(min int) time.Time { return time.Date(2026, 11, 21, 12, min, 0, 0, time.UTC) }
	desired := []waf.Want{
		{Prefix: pfx("192.0.2.1/32")[0], Severity: threat.Low, Count: 900, LastSeen: at(9)},
		{Prefix: pfx("192.0.2.12/32")[0], Severity: threat.High, Count: 5, LastSeen: at(1)},
		{Prefix: pfx("192.0.2.23/32")[0], Severity: threat.High, Count: 7, LastSeen: at(1)},
		{Prefix: pfx("192.0.2.34/32")[0], Severity: threat.High, Count: 5, LastSeen: at(2)},
		{Prefix: pfx("2001:db8::/64")[0], Severity: threat.Critical},
		{Prefix: pfx("192.0.2.5/32")[0], Severity: threat.Medium, Count: 100},
	}
	plan := waf.MakePlan(nil, desired, waf.Limits{SetSize: 3, MaxSets: 2, Base: "b"})
	var over []string
	for _, w := range plan.Overflow {
		over = append(over, w.Prefix.String())
	}
	// One set is IPv6's; the three most urgent of IPv4 fill the other.
	if diff := cmp.Diff([]string{"192.0.2.5/32", "192.0.2.1/32"}, over); diff != "" {
		t.Error(diff)
	}
	if plan.Desired != 6 {
		t.Errorf("desired = %d, want 6", plan.Desired)
	}
}

func TestHalfFullSetsOfOneFamilyMakeRoomForTheOther(t *testing.T) {
	current := []waf.Set{inForce("b-v4-001", waf.IPv4, "192.0.2.1/32"), inForce("b-v4-002", waf.IPv4, "192.0.2.2/32")}
	desired := wantsOf("192.0.2.1/32", "192.0.2.2/32", "2001:db8::/64")
	limits := waf.Limits{SetSize: 2, MaxSets: 2, Base: "b"}
	plan := waf.MakePlan(current, desired, limits)
	// What is moved is in its new place before it goes from its old one.
	want := []string{"fill b-v4-002 +1 -0 = 2", "retire b-v4-001 -1", "unreference b-v4-001"}
	if diff := cmp.Diff(want, plan.Words()); diff != "" || len(plan.Overflow) != 1 {
		t.Errorf("overflow %v, steps:\n%s", plan.Overflow, diff)
	}
	// Where nothing can be made, nothing is moved either.
	limits.Fixed = true
	if plan := waf.MakePlan(current, desired, limits); len(plan.Steps) != 0 || len(plan.Overflow) != 1 {
		t.Errorf("fixed sets: %q", plan.Words())
	}
}

// TestASplitWithoutRoomTakesTwoRuns: both sets are full but for one place, and a
// range is replaced by two. The second part has no place while the range is there, and the
// range may not go while the second part has none.
func TestASplitWithoutRoomTakesTwoRuns(t *testing.T) {
	limits := waf.Limits{SetSize: 2, MaxSets: 2, Base: "b"}
	desired := wantsOf("192.0.2.0/32", "192.0.2.3/32", "198.51.100.1/32", "198.51.100.3/32")
	plan := waf.MakePlan([]waf.Set{
		inForce("b-v4-001", waf.IPv4, "192.0.2.0/30", "198.51.100.1/32"),
		inForce("b-v4-002", waf.IPv4, "198.51.100.3/32"),
	}, desired, limits)
	if got := strings.Join(plan.Words(), "; "); got != "fill b-v4-002 +1 -0 = 2" || plan.OverflowWants != 1 {
		t.Fatalf("first plan %q, overflow %v", got, plan.Overflow)
	}
	plan = waf.MakePlan([]waf.Set{
		inForce("b-v4-001", waf.IPv4, "192.0.2.0/30", "198.51.100.1/32"),
		{Name: "b-v4-002", Family: waf.IPv4, Marked: true, Referenced: true, Prefixes: plan.Steps[0].Content},
	}, desired, limits)
	if got := strings.Join(plan.Words(), "; "); got != "fill b-v4-001 +1 -1 = 2" || plan.OverflowWants != 0 {
		t.Errorf("second plan %q, overflow %v", got, plan.Overflow)
	}
}

func TestBadWantsCostOnlyThemselves(t *testing.T) {
	desired := wantsOf("192.0.0.0/15", "0.0.0.0/0", "2001::/31", "::/0", "::ffff:192.0.2.0/90", "192.0.2.77/24", "198.51.0.0/16", "::ffff:203.0.113.0/120")
	desired = append(desired, waf.Want{})
	plan := waf.MakePlan(nil, desired, waf.Limits{Base: "b"})
	want := []waf.Rejection{
		{Value: "0.0.0.0/0", Reason: "range wider than a /16"},
		{Value: "192.0.0.0/15", Reason: "range wider than a /16"},
		{Value: "2001::/31", Reason: "range wider than a /32"},
		{Value: "::/0", Reason: "range wider than a /32"},
		{Value: "::ffff:192.0.2.0/90", Reason: "IPv4-mapped range wider than all of IPv4"},
		{Value: "invalid Prefix", Reason: "not an address range"},
	}
	if diff := cmp.Diff(want, plan.Rejected); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(pfx("192.0.2.0/24", "198.51.0.0/16", "203.0.113.0/24"), plan.Steps[0].Content, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Error(diff)
	}
}

// TestSamePlan: neither order of input nor anything else decides.
func TestSamePlan(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	var current []waf.Set
	for n := range 6 {
		var list []netip.Prefix
		for i := range 40 {
			list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(n), byte(i)}), 32))
		}
		current = append(current, waf.Set{Name: waf.SetName("b", waf.IPv4, n+1), Family: waf.IPv4, Marked: n%2 == 0, Referenced: n < 4, Prefixes: list})
	}
	var desired []waf.Want
	for range 400 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(rng.IntN(9)), byte(rng.IntN(60))}), 28+rng.IntN(5)).Masked()
		desired = append(desired, waf.Want{Prefix: p, Count: int64(rng.IntN(3)), ExpiresAt: time.Unix(int64(rng.IntN(5)), 0)})
	}
	limits := waf.Limits{SetSize: 50, MaxSets: 6, Base: "b"}
	show := func(p waf.Plan) string {
		var b strings.Builder
		for _, s := range p.Steps {
			fmt.Fprintln(&b, s, s.Content, s.Live, s.Sets)
		}
		fmt.Fprintln(&b, p.Desired, p.Overflow, p.Rejected, p.OverflowWants)
		return b.String()
	}
	first := show(waf.MakePlan(current, desired, limits))
	for range 100 {
		rng.Shuffle(len(current), func(i, j int) { current[i], current[j] = current[j], current[i] })
		rng.Shuffle(len(desired), func(i, j int) { desired[i], desired[j] = desired[j], desired[i] })
		for _, s := range current {
			rng.Shuffle(len(s.Prefixes), func(i, j int) { s.Prefixes[i], s.Prefixes[j] = s.Prefixes[j], s.Prefixes[i] })
		}
		if again := show(waf.MakePlan(current, desired, limits)); again != first {
			t.Fatalf("two plans for the same input:\n%s\n%s", first, again)
		}
	}
}

// genPrefix draws from a small, nested corner of address space, so that ranges
// meet, cover and split one another all the time.
func genPrefix(t *rapid.T) netip.Prefix {
	if rapid.IntRange(0, 5).Draw(t, "family") == 0 {
		addr := netip.MustParseAddr("2001:db8::").As16()
		addr[7] = byte(rapid.IntRange(0, 15).Draw(t, "addr"))
		return netip.PrefixFrom(netip.AddrFrom16(addr), rapid.IntRange(60, 64).Draw(t, "bits")).Masked()
	}
	bits := rapid.SampledFrom([]int{27, 29, 30, 31, 32, 32, 32, 32, 32}).Draw(t, "bits")
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(rapid.IntRange(0, 63).Draw(t, "addr"))}), bits).Masked()
}

func genWants(t *rapid.T) []waf.Want {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) waf.Want {
		return waf.Want{
			Prefix: genPrefix(t), Severity: threat.Severity(rapid.IntRange(0, 3).Draw(t, "severity")),
			Count: int64(rapid.IntRange(0, 3).Draw(t, "count")), ExpiresAt: time.Unix(int64(rapid.IntRange(0, 3).Draw(t, "expires")), 0),
		}
	}), 0, 40).Draw(t, "wants")
}

func covers(list []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// corner lists every address (for IPv6, one of every /64) that genPrefix can cover.
func corner() (list []netip.Addr) {
	for i := range 64 {
		list = append(list, netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	for i := range 16 {
		addr := netip.MustParseAddr("2001:db8::1").As16()
		addr[7] = byte(i)
		list = append(list, netip.AddrFrom16(addr))
	}
	return list
}

// TestPlanProperties walks random histories and judges every plan, and the wall after every single step of it.
func TestPlanProperties(t *testing.T) {
	space := corner()
	rapid.Check(t, func(t *rapid.T) {
		limits := waf.Limits{SetSize: rapid.IntRange(1, 6).Draw(t, "size"), MaxSets: rapid.IntRange(0, 30).Draw(t, "sets") - 1, Base: "b", CanExcept: rapid.Bool().Draw(t, "exceptions")}
		if limits.MaxSets == 0 {
			limits.MaxSets = 50
		}
		wall := map[string]*waf.Set{}
		for range rapid.IntRange(1, 6).Draw(t, "runs") {
			desired := genWants(t)
			plan := waf.MakePlan(list(wall), desired, limits)
			checkPlan(t, wall, desired, plan, limits)

			stop := len(plan.Steps)
			if rapid.Bool().Draw(t, "interrupted") {
				stop = rapid.IntRange(0, stop).Draw(t, "after")
			}
			before := blocked(wall)
			keep := make([]netip.Prefix, 0, len(desired))
			for _, w := range desired {
				if !slices.ContainsFunc(plan.Overflow, func(o waf.Want) bool { return o.Prefix.Overlaps(w.Prefix) }) {
					keep = append(keep, w.Prefix)
				}
			}
			for i, step := range plan.Steps[:stop] {
				carryOut(wall, step)
				now := blocked(wall)
				for _, a := range space {
					if before[a] && covers(keep, a) && !now[a] {
						t.Fatalf("%s is not blocked after step %d (%s) of %q", a, i, step, plan.Words())
					}
				}
			}
			if stop < len(plan.Steps) {
				continue
			}
			// A range that splits where there is no room beside it takes more than one run.
			fits := len(plan.Overflow) == 0
			for runs := 0; ; runs++ {
				plan = waf.MakePlan(list(wall), desired, limits)
				// An exceptions set that spares nobody any more is cleared away when something changes.
				if !slices.ContainsFunc(plan.Steps, func(s waf.Step) bool { return s.Kind < waf.Retire || s.Kind == waf.Retire && !s.Except }) {
					break
				}
				if fits {
					t.Fatalf("nothing changed, and yet: %q", plan.Words())
				}
				if runs == 10 {
					t.Fatalf("no end: %q", plan.Words())
				}
				for _, step := range plan.Steps {
					carryOut(wall, step)
				}
			}
			now := blocked(wall)
			for _, a := range space {
				over := slices.ContainsFunc(plan.Overflow, func(w waf.Want) bool { return w.Prefix.Contains(a) })
				want := slices.ContainsFunc(desired, func(w waf.Want) bool { return w.Prefix.Contains(a) })
				if (want && !over) != now[a] {
					t.Fatalf("%s: wanted %t, overflow %t, blocked %t", a, want, over, now[a])
				}
			}
		}
	})
}

func list(wall map[string]*waf.Set) (sets []waf.Set) {
	for _, s := range wall {
		sets = append(sets, *s)
	}
	return sets
}

// blocked tells of every address of the corner whether the wall blocks it.
func blocked(wall map[string]*waf.Set) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for _, a := range corner() {
		held, spared := false, false
		for _, s := range wall {
			if s.Referenced && covers(s.Prefixes, a) {
				held, spared = held || !s.Except, spared || s.Except
			}
		}
		out[a] = held && !spared
	}
	return out
}

func carryOut(wall map[string]*waf.Set, step waf.Step) {
	switch step.Kind {
	case waf.Create, waf.Fill, waf.Trim, waf.Retire, waf.Except:
		s := wall[step.Set]
		if s == nil {
			s = &waf.Set{Name: step.Set, Family: step.Family, Except: step.Except}
			wall[step.Set] = s
		}
		s.Marked, s.Prefixes, s.Mark.Retired = true, step.Content, step.Kind == waf.Retire
	case waf.Reference, waf.Unreference:
		for _, name := range step.Sets {
			wall[name].Referenced = step.Kind == waf.Reference
		}
	case waf.Delete:
		delete(wall, step.Set)
	}
}

// checkPlan judges a plan by itself: capacity, order, one write per set and phase, and that nobody moves.
func checkPlan(t *rapid.T, wall map[string]*waf.Set, desired []waf.Want, plan waf.Plan, limits waf.Limits) {
	where := map[netip.Prefix][]string{}
	for name, s := range wall {
		for _, p := range s.Prefixes {
			if s.Referenced && !s.Except {
				where[p] = append(where[p], name)
			}
		}
	}
	last := waf.StepKind(0)
	references := 0
	for _, s := range wall {
		if s.Referenced {
			references++
		}
	}
	references0 := references
	written := map[string]int{}
	for i, step := range plan.Steps {
		if i < 2 && step.Kind == waf.Except && last == 0 { // one of each family may come first
			continue
		}
		if step.Kind < last {
			t.Fatalf("%s comes too late in %q", step, plan.Words())
		}
		last = step.Kind
		written[step.Set+step.Kind.String()]++
		if written[step.Set+step.Kind.String()] > 1 {
			t.Fatalf("%s is written twice in one phase: %q", step.Set, plan.Words())
		}
		old := 0
		if s := wall[step.Set]; s != nil {
			old = len(s.Prefixes)
		}
		if len(step.Content) > max(limits.SetSize, old) {
			t.Fatalf("%s grows beyond %d", step, limits.SetSize)
		}
		for i, p := range step.Content {
			if waf.FamilyOf(p) != step.Family || p != p.Masked() || i > 0 && step.Content[i-1] == p {
				t.Fatalf("%s holds %s", step, p)
			}
			if names := where[p]; len(plan.Overflow) == 0 && !step.Except && len(names) > 0 && !slices.Contains(names, step.Set) {
				t.Fatalf("%s moves from %v to %s", p, names, step.Set)
			}
		}
		if step.Kind == waf.Reference {
			references += len(step.Sets)
		}
		if step.Kind == waf.Delete && wall[step.Set].Referenced {
			t.Fatalf("%s: a rule referred to it when this run began", step)
		}
	}
	if references > max(limits.MaxSets, references0) {
		t.Fatalf("%d references, %d allowed: %q", references, limits.MaxSets, plan.Words())
	}
	if len(plan.Overflow) > 0 {
		worst := plan.Overflow[0].Severity
		for _, w := range plan.Overflow {
			if w.Severity > worst {
				t.Fatalf("overflow is not in order of urgency: %v", plan.Overflow)
			}
		}
	}
	if len(plan.Overflow) > plan.Desired || plan.Desired > len(desired) {
		t.Fatalf("desired %d of %d, overflow %d", plan.Desired, len(desired), len(plan.Overflow))
	}
}

func ExampleMakePlan() {
	current := []waf.Set{{
		Name: "tracewall-edge-v4-001", Family: waf.IPv4, Marked: true, Referenced: true,
		Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")},
	}}
	desired := []waf.Want{
		{Prefix: netip.MustParsePrefix("192.0.2.2/32")},
		{Prefix: netip.MustParsePrefix("198.51.100.0/24")},
		{Prefix: netip.MustParsePrefix("2001:db8::/64")},
	}
	for _, line := range waf.MakePlan(current, desired, waf.Limits{Base: "tracewall-edge"}).Words() {
		fmt.Println(line)
	}
	// Output:
	// fill tracewall-edge-v4-001 +1 -1 = 2
	// create tracewall-edge-v6-001 with 1
	// reference tracewall-edge-v6-001
}

// An attack under way changes everybody's count with every run.
func TestAFullWallIsNotTurnedOverForALittleMoreUrgency(t *testing.T) {
	counted := func(generation uint64, counts ...int64) waf.Desired {
		d := waf.Desired{Epoch: "e1", Generation: generation}
		for i, n := range counts {
			d.Wants = append(d.Wants, waf.Want{Prefix: netip.MustParsePrefix(fmt.Sprintf("20.0.%d.1/32", i)), Count: n})
		}
		return d
	}
	for name, open := range map[string]func() func() waf.Firewall{
		"sets": func() func() waf.Firewall {
			w := &waftest.Wall{NoEmpty: true, Room: 1}
			return func() waf.Firewall { return w.OpenStamped() }
		},
		"a book": func() func() waf.Firewall {
			w := &waftest.BookWall{Told: true, Room: 2}
			return func() waf.Firewall { return w.Open() }
		},
	} {
		t.Run(name, func(t *testing.T) {
			wall := open()
			run := func(want waf.Desired) waf.Report {
				t.Helper()
				r := &waf.Reconciler{Firewall: wall(), Limits: waf.Limits{SetSize: 2}, Guard: waf.Guard{Ended: waftest.AllEnded}}
				report, err := r.Reconcile(t.Context(), want)
				if err != nil {
					t.Fatal(err)
				}
				return report
			}
			run(counted(1, 20, 21))
			if report := run(counted(2, 20, 21, 30)); report.Writes != 0 || report.Overflow != 1 {
				t.Errorf("a newcomer with a few more: %q, want nothing done", report.Plan)
			}
			if report := run(counted(3, 20, 21, 64)); report.Writes == 0 || report.Overflowed[0] != netip.MustParsePrefix("20.0.0.1/32") {
				t.Errorf("a newcomer with three times as many: %q, left out %v; want the least urgent to go", report.Plan, report.Overflowed)
			}
		})
	}
}
