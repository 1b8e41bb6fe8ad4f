package waf_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// A rule that blocks, where the target has just been told to challenge, is changed before
// anybody is added who is only to be challenged.
func TestARuleIsMendedBeforeAnythingIsAddedIfItIsToDoLessThanBlock(t *testing.T) {
	for _, first := range []bool{false, true} {
		w := &waftest.Wall{Base: "b"}
		mustReconcile(t, on(w.Open(), 10), desire(1, hosts(0, 4)))
		var writes []string
		w.AfterWrite = func(op, _ string) { writes = append(writes, op) }
		rec := on(notAsConfigured{w.Open()}, 10)
		rec.RuleFirst = first
		report := mustReconcile(t, rec, desire(2, hosts(0, 6)))
		if want := map[bool][]string{false: {"put", "reference"}, true: {"reference", "put"}}[first]; !slices.Equal(writes, want) {
			t.Errorf("rule first %v: writes %v, want %v", first, writes, want)
		}
		if len(report.Plan) != 2 || len(w.Enforced()) != 6 {
			t.Errorf("rule first %v: plan %q, %d enforced", first, report.Plan, len(w.Enforced()))
		}
	}
}

// What cannot be mended gets nothing more, whatever the reason, and a run with another set to refer to is no exception.
func TestARuleThatCannotBeMendedGetsNothingMore(t *testing.T) {
	for _, refusal := range []error{waf.ErrDenied, waf.ErrQuota, waf.ErrTheirRules, waf.ErrInvalid} {
		w := &waftest.Wall{Base: "b"}
		mustReconcile(t, on(w.Open(), 3), desire(1, hosts(0, 3)))
		w.OnWrite = func(op, _ string) (bool, error) {
			if op == "reference" {
				return false, refusal
			}
			return true, nil
		}
		rec := on(notAsConfigured{w.Open()}, 3)
		rec.RuleFirst = true
		report, err := rec.Reconcile(t.Context(), desire(2, hosts(0, 6)))
		if !errors.Is(err, refusal) || len(w.Enforced()) != 3 || len(w.Sets()) != 1 {
			t.Errorf("err = %v, %d enforced in %d sets, want %v and the three in one; %+v", err, len(w.Enforced()), len(w.Sets()), refusal, report.Plan)
		}
	}
}

// A set that says itself what it does changes that together with what it holds, and a rule
// of the user's is not ours to mend.
func TestNoRuleIsMendedFirstWhereThereIsNone(t *testing.T) {
	for name, change := range map[string]func(*waf.State){
		"sets say what they do": func(s *waf.State) { s.Inherent = true },
		"the rule is theirs":    func(s *waf.State) { s.Fixed = true },
	} {
		w := &waftest.Wall{Base: "b"}
		mustReconcile(t, on(w.Open(), 10), desire(1, hosts(0, 4)))
		var writes []string
		w.AfterWrite = func(op, _ string) { writes = append(writes, op) }
		rec := on(changed{notAsConfigured{w.Open()}, change}, 10)
		rec.RuleFirst = true
		mustReconcile(t, rec, desire(2, hosts(0, 6)))
		if len(writes) == 0 || writes[0] != "put" {
			t.Errorf("%s: writes %v, want the set's first", name, writes)
		}
	}
}

// changed is a firewall that shows another state.
type changed struct {
	notAsConfigured
	change func(*waf.State)
}

func (f changed) Look(ctx context.Context) (waf.State, error) {
	state, err := f.notAsConfigured.Look(ctx)
	f.change(&state)
	return state, err
}

// bookNotAsConfigured is a book whose rule somebody has changed.
type bookNotAsConfigured struct{ *waftest.Booked }

func (f bookNotAsConfigured) Look(ctx context.Context) (waf.State, error) {
	state, err := f.Booked.Look(ctx)
	state.RuleOK = false
	return state, err
}

func TestTheRuleOfABookIsMendedFirst(t *testing.T) {
	var w waftest.BookWall
	mustReconcile(t, on(w.Open(), 10), desire(1, hosts(0, 4)))
	var writes []string
	w.OnWrite = func(op string) (bool, error) { writes = append(writes, op); return true, nil }
	rec := on(bookNotAsConfigured{w.Open()}, 10)
	rec.RuleFirst = true
	mustReconcile(t, rec, desire(2, hosts(0, 6)))
	if want := []string{"refer", "add"}; !slices.Equal(writes, want) {
		t.Errorf("writes %v, want %v", writes, want)
	}
}

// A wall that has no rule yet, or one that is as configured, is filled as ever.
func TestARuleThatDoesNothingYetIsReferredToLast(t *testing.T) {
	w := &waftest.Wall{Base: "b"}
	var writes []string
	w.AfterWrite = func(op, _ string) { writes = append(writes, op) }
	rec := on(w.Open(), 10)
	rec.RuleFirst = true
	mustReconcile(t, rec, desire(1, hosts(0, 4)))
	mustReconcile(t, rec, desire(2, hosts(0, 5)))
	if want := []string{"put", "reference", "put"}; !slices.Equal(writes, want) {
		t.Errorf("writes %v, want %v", writes, want)
	}
}
