package waf_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// some returns wants for these hosts.
func some(numbers ...int) (list []waf.Want) {
	for _, n := range numbers {
		list = append(list, waf.Want{Prefix: host(n)})
	}
	return list
}

func numbers(first, n int, but ...int) (list []int) {
	for i := first; i < first+n; i++ {
		if !slices.Contains(but, i) {
			list = append(list, i)
		}
	}
	return list
}

// step reconciles and returns the plan in words.
func step(t *testing.T, w *waftest.Wall, size int, generation uint64, wants []waf.Want) string {
	t.Helper()
	report := mustReconcile(t, on(w.Open(), size), desire(generation, wants))
	want := map[netip.Prefix]bool{}
	for _, x := range wants {
		want[x.Prefix] = true
	}
	for _, p := range w.Enforced() {
		if !want[p] {
			t.Errorf("%s is blocked and not wanted", p)
		}
	}
	if len(w.Enforced()) != len(wants) || report.Enforced != len(wants) {
		t.Errorf("%d wanted, %d blocked, report says %d", len(wants), len(w.Enforced()), report.Enforced)
	}
	// A process without memory sees from the marks alone that all is done.
	if again := mustReconcile(t, on(w.Open(), size), desire(generation, wants)); again.Writes != 0 || again.Calls != 1 || again.Enforced != len(wants) {
		t.Errorf("again: %d writes, %d calls, %d enforced: %q", again.Writes, again.Calls, again.Enforced, again.Plan)
	}
	return strings.Join(report.Plan, "; ")
}

// tens returns the hosts from 0 on that fill five sets of ten, without those that are
// so many places from the beginning of some set.
func tens(sets string, places ...int) (list []int) {
	for i := range 50 {
		if !strings.ContainsRune(sets, rune('0'+i/10)) || !slices.Contains(places, i%10) {
			list = append(list, i)
		}
	}
	return list
}

func TestScatteredRemovalsGoByException(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	step(t, w, 10, 1, some(tens("")...))
	for _, tt := range []struct {
		why   string
		wants []int
		plan  string
	}{
		{"one from each of five sets", tens("01234", 0), "create b-v4-except-001 with 5; reference b-v4-except-001"},
		{"one of them comes back: the exceptions set lets go of it, and its set has it still", append(tens("01234", 0), 40), "except b-v4-except-001 +0 -1 = 4"},
		{
			"scattered again, with newcomers: the set from which most has gone takes them, and what lay dormant there stays an exception for one more write",
			append(tens("0123", 0, 1), 60, 61), "fill b-v4-001 +2 -2 = 10; except b-v4-except-001 +3 -0 = 7",
		},
		{"which lets go of it; as exceptions are many, one more set is tidied", append(tens("123", 0, 1, 2), 60, 61), "fill b-v4-002 +0 -3 = 7; except b-v4-except-001 +2 -1 = 8"},
	} {
		// 0 and 1 are gone for good, and so is what the first set had in those places.
		wants := slices.DeleteFunc(tt.wants, func(n int) bool { return strings.HasPrefix(tt.why, "which") && n < 2 })
		if got := step(t, w, 10, 2, some(wants...)); got != tt.plan {
			t.Errorf("%s:\n%s, want\n%s", tt.why, got, tt.plan)
		}
	}
}

func TestFewRemovalsGoDirectly(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	step(t, w, 5, 1, some(numbers(0, 25)...))
	if got, want := step(t, w, 5, 2, some(append(numbers(0, 25, 1, 6), 30)...)), "fill b-v4-001 +1 -1 = 5; trim b-v4-002 +0 -1 = 4"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	// Where the rule cannot spare anybody, everything does.
	w.NoExcept = true
	if got := step(t, w, 5, 3, some(numbers(0, 25, 1, 6, 11, 16, 21)...)); strings.Contains(got, "except") || strings.Count(got, "trim") < 3 {
		t.Errorf("without exceptions: %s", got)
	}
}

// TestWhatComesBackRightAfterItsFold: the address is in no set any more but still an
// exception. It has to be let go of before it is put into a set again: a run that is stopped between the two
// would leave a wall whose marks say that all is done.
func TestWhatComesBackRightAfterItsFold(t *testing.T) {
	folded := func() *waftest.Wall {
		w := &waftest.Wall{Base: "b"}
		step(t, w, 10, 1, some(tens("")...))
		step(t, w, 10, 2, some(tens("01234", 0)...))
		step(t, w, 10, 3, some(append(tens("01234", 0, 1), 60, 61)...)) // 0 folds
		return w
	}
	back := some(append(tens("01234", 0, 1), 0, 60, 61)...)
	w := folded()
	if got, want := step(t, w, 10, 4, back), "except b-v4-except-001 +0 -1 = 8; create b-v4-006 with 1; reference b-v4-006"; got != want {
		t.Errorf("plan %s, want %s", got, want)
	}
	// The first write fails: nothing is added.
	w = folded()
	w.OnWrite = func(op, set string) (bool, error) { return set != "b-v4-except-001", failing(set == "b-v4-except-001") }
	report, err := on(w.Open(), 10).Reconcile(t.Context(), desire(4, back))
	if !errors.Is(err, waf.ErrUnavailable) || report.Writes != 1 {
		t.Errorf("error %v after %d writes (%q), want ErrUnavailable after the first", err, report.Writes, report.Plan)
	}
}

// TestARangeAroundANewcomerLeavesItsSetBeforeItIsLetGoOf: an exception may not let
// go of a range that a set still holds, or all of it would be blocked again.
func TestARangeAroundANewcomerLeavesItsSetBeforeItIsLetGoOf(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	wide := waf.Want{Prefix: netip.MustParsePrefix("192.0.2.0/28")}
	step(t, w, 4, 1, append(some(numbers(0, 19)...), wide))
	step(t, w, 4, 2, some(numbers(0, 19, 1, 5, 9, 13)...)) // the range goes by exception, with one of each set
	inside := waf.Want{Prefix: netip.MustParsePrefix("192.0.2.7/32")}
	over := ""
	w.AfterWrite = func(op, set string) {
		for _, p := range w.Enforced() {
			if p.Overlaps(wide.Prefix) && p != inside.Prefix {
				over = fmt.Sprintf("%s is blocked after %s %s", p, op, set)
			}
		}
	}
	step(t, w, 4, 3, append(some(numbers(0, 19, 1, 5, 9, 13)...), inside))
	if over != "" {
		t.Error(over)
	}
}

func TestExceptionsNeverHaveMoreThanASet(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	list := numbers(0, 60)
	step(t, w, 6, 1, some(list...))
	rng := rand.New(rand.NewPCG(1, 1))
	for generation := range uint64(40) {
		for range 4 {
			i := rng.IntN(len(list))
			list = slices.Delete(list, i, i+1)
		}
		for i := range 4 {
			list = append(list, 100+int(generation)*4+i)
		}
		step(t, w, 6, generation+2, some(list...))
		for name, content := range w.Sets() {
			if len(content) > 6 {
				t.Fatalf("%s holds %d", name, len(content))
			}
		}
	}
}

func TestExceptionsGoWithTheSetsThatTheyAreFor(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	step(t, w, 5, 1, some(numbers(0, 25)...))
	step(t, w, 5, 2, some(numbers(0, 25, 1, 6, 11, 16, 21)...))
	for generation, left := range [][]int{3: {0, 2}, 4: {0, 2}, 5: {0, 2}, 6: {0, 2, 3}, 7: {0, 2, 3}} {
		if left != nil {
			_ = step(t, w, 5, uint64(generation), some(left...))
		}
	}
	for name := range w.Sets() {
		if strings.Contains(name, "except") && len(w.Sets()) <= 3 && len(w.Sets()[name]) > 0 {
			t.Errorf("sets %v: want no exceptions left", w.Sets())
		}
	}
}

func TestAnExceptionsSetThatSomebodyEditsIsMended(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	step(t, w, 5, 1, some(numbers(0, 25)...))
	wants := numbers(0, 25, 1, 6, 11, 16, 21)
	step(t, w, 5, 2, some(wants...))
	outsider := w.Open()
	state, err := outsider.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(state.Sets, func(s waf.Set) bool { return s.Except })
	edited := state.Sets[i]
	edited.Prefixes = append(w.Sets()[edited.Name], netip.MustParsePrefix("0.0.0.0/1"), netip.MustParsePrefix("128.0.0.0/1"))
	if err := outsider.Put(t.Context(), edited); err != nil || len(w.Enforced()) != 0 {
		t.Fatalf("error %v, %d enforced, want everything spared", err, len(w.Enforced()))
	}
	r := on(w.Open(), 5)
	r.Verify = true
	if report := mustReconcile(t, r, desire(2, some(wants...))); report.Writes != 1 || report.Enforced != 20 || len(w.Enforced()) != 20 {
		t.Errorf("report %+v, want one write that mends it", report)
	}
}

// TestHistoriesOfHosts walks random histories of single addresses that come, go and
// come back, with runs that die at any write, and judges the wall after every write.
func TestHistoriesOfHosts(t *testing.T) {
	excepted, first := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w := &waftest.Wall{Base: "b"}
		size := rapid.IntRange(2, 5).Draw(t, "size")
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		list := map[int]bool{}
		var recent []int
		for n := range 30 {
			list[n] = true
		}
		for generation := range uint64(rapid.IntRange(3, 25).Draw(t, "runs")) {
			for range rng.IntN(9) {
				n := rng.IntN(40)
				if len(recent) > 0 && rng.IntN(3) == 0 {
					n = recent[rng.IntN(len(recent))] // whoever has just gone comes back
				}
				list[n] = !list[n]
				recent = append(recent, n)
			}
			recent = recent[max(0, len(recent)-20):]
			var wants []waf.Want
			for n := range 40 {
				if list[n] {
					wants = append(wants, waf.Want{Prefix: host(n), ExpiresAt: time.Unix(int64(rng.IntN(3)), 0)})
				}
			}
			before := w.Enforced()
			wanted := func(p netip.Prefix) bool {
				return slices.ContainsFunc(wants, func(x waf.Want) bool { return x.Prefix == p })
			}
			all := slices.Clone(before)
			w.AfterWrite = func(op, set string) {
				now := w.Enforced()
				for _, p := range before {
					if wanted(p) && !slices.Contains(now, p) {
						t.Fatalf("%s was blocked, is wanted, and is not blocked after %s %s", p, op, set)
					}
				}
				for _, p := range now {
					if !wanted(p) && !slices.Contains(all, p) {
						t.Fatalf("%s is neither wanted nor was it blocked, and is blocked after %s %s", p, op, set)
					}
				}
				before = now
			}
			die, n := rng.IntN(8), 0
			applied := rng.IntN(2) == 0
			w.OnWrite = func(op, set string) (bool, error) {
				if n++; n-1 >= die && die < 4 {
					return n-1 == die && applied, waf.ErrUnavailable
				}
				return true, nil
			}
			report, err := on(w.Open(), size).Reconcile(context.Background(), desire(generation, wants))
			for i, line := range report.Plan {
				if strings.HasPrefix(line, "except") {
					excepted++
					if i == 0 && len(report.Plan) > 1 && !strings.HasPrefix(report.Plan[1], "except") {
						first++
					}
				}
			}
			if rng.IntN(2) == 0 && err != nil {
				continue // the next run has another list
			}
			w.OnWrite = nil
			if report, err := on(w.Open(), size).Reconcile(context.Background(), desire(generation, wants)); err != nil || report.Enforced != len(wants) {
				t.Fatalf("the next run: %v, %d of %d enforced", err, report.Enforced, len(wants))
			}
			now := w.Enforced()
			if len(now) != len(wants) || slices.ContainsFunc(now, func(p netip.Prefix) bool { return !wanted(p) }) {
				t.Fatalf("%d wanted, %d blocked", len(wants), len(now))
			}
		}
	})
	if excepted == 0 || first == 0 {
		t.Errorf("%d plans used exceptions, %d let go first: the histories test nothing", excepted, first)
	}
}

// TestAnyMixOfOldAndNew: a change takes a while to reach all of a cloud, and each
// object's change takes its own. Whatever mix of old and new an edge has, it blocks whom both lists
// want, and nobody whom neither wants.
func TestAnyMixOfOldAndNew(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := waf.Limits{SetSize: rapid.IntRange(2, 5).Draw(t, "size"), Base: "b", CanExcept: true}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 2))
		wall, list := map[string]*waf.Set{}, map[int]bool{}
		for range 10 {
			old, oldList := snapshot(wall), maps.Clone(list)
			for range rng.IntN(10) + 20*len(wall)/(len(wall)*20+1) {
				n := rng.IntN(40)
				list[n] = !list[n]
			}
			var wants []waf.Want
			for n := range 40 {
				if list[n] {
					wants = append(wants, waf.Want{Prefix: host(n)})
				}
			}
			for _, step := range waf.MakePlan(sets(wall), wants, limits).Steps {
				carryOut(wall, step)
			}
			for range 20 {
				edge := map[string]*waf.Set{}
				newRule := rng.IntN(2) == 0
				for name := range wall {
					s, o := *wall[name], old[name]
					if o != nil && rng.IntN(2) == 0 {
						s.Prefixes = o.Prefixes
					}
					if !newRule {
						s.Referenced = o != nil && o.Referenced
					}
					edge[name] = &s
				}
				for name, o := range old { // deleted since: no rule has referred to it since before
					if wall[name] == nil && o.Referenced {
						t.Fatalf("%s was deleted while the rule referred to it", name)
					}
				}
				for n := range 40 {
					held, spared := false, false
					for _, s := range edge {
						if s.Referenced && slices.Contains(s.Prefixes, host(n)) {
							held, spared = held || !s.Except, spared || s.Except
						}
					}
					is := held && !spared
					if oldList[n] && list[n] && !is {
						t.Fatalf("host %d is wanted before and after, and some edge lets it through", n)
					}
					if !oldList[n] && !list[n] && is {
						t.Fatalf("host %d is wanted neither before nor after, and some edge blocks it", n)
					}
				}
			}
		}
	})
}

func sets(wall map[string]*waf.Set) []waf.Set { return list(wall) }

func snapshot(wall map[string]*waf.Set) map[string]*waf.Set {
	out := map[string]*waf.Set{}
	for name, s := range wall {
		c := *s
		out[name] = &c
	}
	return out
}

// except is an exceptions set in force.
func except(name string, f waf.Family, list ...string) waf.Set {
	s := inForce(name, f, list...)
	s.Except = true
	return s
}

func TestPlansWithExceptions(t *testing.T) {
	limits := waf.Limits{SetSize: 4, Base: "b", CanExcept: true}
	for _, tt := range []struct {
		why     string
		current []waf.Set
		wants   []string
		limits  waf.Limits
		plan    string
	}{
		{
			"a range that is spared leaves its set before the exceptions set lets go of it, for an address inside it that comes",
			[]waf.Set{
				inForce("b-v4-001", waf.IPv4, "192.0.2.0/28", "198.51.100.1/32", "198.51.100.3/32", "198.51.100.5/32"),
				inForce("b-v4-002", waf.IPv4, "198.51.100.7/32"), except("b-v4-except-001", waf.IPv4, "192.0.2.0/28"),
			},
			[]string{"192.0.2.7/32", "198.51.100.1/32", "198.51.100.3/32", "198.51.100.5/32", "198.51.100.7/32"},
			limits,
			"fill b-v4-001 +1 -1 = 4; except b-v4-except-001 +0 -1 = 0",
		},
		{
			"an address within a range that is wanted again was spared with the range: it may go at once",
			[]waf.Set{
				inForce("b-v4-001", waf.IPv4, "192.0.2.0/30", "198.51.100.1/32"), inForce("b-v4-002", waf.IPv4, "192.0.2.1/32", "198.51.100.3/32"),
				inForce("b-v4-003", waf.IPv4, "198.51.100.7/32"), except("b-v4-except-001", waf.IPv4, "192.0.2.0/30", "198.51.100.7/32"),
			},
			[]string{"192.0.2.0/30", "198.51.100.1/32", "198.51.100.3/32", "198.51.100.5/32"},
			waf.Limits{SetSize: 2, Base: "b", CanExcept: true},
			"fill b-v4-002 +1 -1 = 2; except b-v4-except-001 +0 -1 = 1",
		},
		{
			"of two exceptions sets one is enough",
			[]waf.Set{
				inForce("b-v4-001", waf.IPv4, "192.0.2.1/32", "192.0.2.3/32"), inForce("b-v4-002", waf.IPv4, "192.0.2.5/32"), inForce("b-v4-003", waf.IPv4, "192.0.2.7/32"),
				except("b-v4-except-001", waf.IPv4, "192.0.2.1/32"), except("b-v4-except-002", waf.IPv4, "192.0.2.3/32"),
			},
			[]string{"192.0.2.5/32", "192.0.2.7/32"},
			limits,
			"except b-v4-except-001 +1 -0 = 2; unreference b-v4-except-002",
		},
		{
			"where the rule cannot spare anybody any more, what is spared leaves its set first",
			[]waf.Set{inForce("b-v4-001", waf.IPv4, "192.0.2.1/32", "192.0.2.3/32"), except("b-v4-except-001", waf.IPv4, "192.0.2.1/32")},
			[]string{"192.0.2.3/32"},
			waf.Limits{SetSize: 4, Base: "b"},
			"fill b-v4-001 +0 -1 = 1; unreference b-v4-except-001",
		},
		{
			"sets that are the user's are filled and emptied, and nothing else is done",
			[]waf.Set{inForce("mine", waf.IPv4, "192.0.2.1/32", "192.0.2.3/32"), inForce("mine-too", waf.IPv4, "192.0.2.5/32")},
			[]string{"192.0.2.5/32", "2001:db8::/64"},
			waf.Limits{SetSize: 4, Base: "b", Fixed: true, Unmarked: true, Repair: true},
			"trim mine +0 -2 = 0",
		},
		{
			"also when there are too few of them",
			[]waf.Set{inForce("mine", waf.IPv4, "192.0.2.1/32"), inForce("mine-too", waf.IPv4, "192.0.2.3/32")},
			[]string{"192.0.2.3/32", "192.0.2.7/32", "192.0.2.9/32", "192.0.2.11/32", "2001:db8::/64"},
			waf.Limits{SetSize: 1, Base: "b", Fixed: true, Unmarked: true},
			"fill mine +1 -1 = 1",
		},
	} {
		var wants []waf.Want
		for i, w := range wantsOf(tt.wants...) {
			w.Count = int64(100 - i)
			wants = append(wants, w)
		}
		if got := strings.Join(waf.MakePlan(tt.current, wants, tt.limits).Words(), "; "); got != tt.plan {
			t.Errorf("%s:\n%s, want\n%s", tt.why, got, tt.plan)
		}
	}
}

func TestNobodyIsSparedIfAnAddFailed(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	step(t, w, 10, 1, some(tens("")...))
	step(t, w, 10, 2, some(tens("01234", 0)...))
	w.OnWrite = func(op, set string) (bool, error) { return set != "b-v4-001", failing(set == "b-v4-001") }
	report, err := on(w.Open(), 10).Reconcile(t.Context(), desire(3, some(append(tens("01234", 0, 1), 60, 61)...)))
	want := []string{"fill b-v4-001 +2 -2 = 10", "except b-v4-except-001 +4 -0 = 9"}
	if err == nil || !slices.Equal(report.Remaining, want) || report.Writes != 1 {
		t.Errorf("error %v, %d writes, remaining %q, want %q", err, report.Writes, report.Remaining, want)
	}
	w.OnWrite = nil
	step(t, w, 10, 3, some(append(tens("01234", 0, 1), 60, 61)...))
}

func TestAnExceptionsSetWithoutItsMarkGetsItBack(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	step(t, w, 10, 1, some(tens("")...))
	step(t, w, 10, 2, some(tens("01234", 0)...))
	outsider := w.Open()
	state, err := outsider.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(state.Sets, func(s waf.Set) bool { return s.Except })
	bare := state.Sets[i]
	bare.Marked, bare.Mark, bare.Prefixes = false, waf.Mark{}, w.Sets()[bare.Name]
	if err := outsider.Put(t.Context(), bare); err != nil {
		t.Fatal(err)
	}
	if got := step(t, w, 10, 2, some(tens("01234", 0)...)); got != "except b-v4-except-001 +0 -0 = 5" {
		t.Errorf("plan %q", got)
	}
}

func TestAnExceptionsSetThatNobodyRefersToIsNoReasonToRead(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	step(t, w, 10, 1, some(tens("")...))
	w.OnWrite = func(op, set string) (bool, error) { return op != "reference", failing(op == "reference") }
	if _, err := on(w.Open(), 10).Reconcile(t.Context(), desire(2, some(tens("01234", 0)...))); err == nil || len(w.Sets()) != 6 {
		t.Fatalf("error %v, %d sets; want an exceptions set that could not be referred to", err, len(w.Sets()))
	}
	w.OnWrite = nil
	if report := mustReconcile(t, on(w.Open(), 10), desire(2, some(tens("")...))); report.Calls != 1 || report.Enforced != 50 {
		t.Errorf("%d calls, %d enforced", report.Calls, report.Enforced)
	}
	if got := step(t, w, 10, 2, some(tens("01234", 0)...)); got != "fill b-v4-except-001 +5 -0 = 5; reference b-v4-except-001" {
		t.Errorf("plan %q", got)
	}
}

// TestARuleThatLosesItsExceptions: the target was told to look at all addresses of a header.
func TestARuleThatLosesItsExceptions(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	step(t, w, 10, 1, some(tens("")...))
	step(t, w, 10, 2, some(tens("01234", 0)...))
	w.NoExcept = true
	before := w.Enforced()
	w.AfterWrite = func(op, set string) {
		if now := w.Enforced(); len(now) != len(before) {
			t.Errorf("after %s %s %d are blocked, want %d", op, set, len(now), len(before))
		}
	}
	r := on(w.Open(), 10)
	r.Verify = true // the marks alone show nothing to do
	mustReconcile(t, r, desire(3, some(tens("01234", 0)...)))
	mustReconcile(t, r, desire(3, some(tens("01234", 0)...)))
	for name := range w.Sets() {
		if strings.Contains(name, "except") {
			t.Errorf("%s is still there", name)
		}
	}
}
