package enforce_test

import (
	"errors"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// heldWall is a wall of 40 whose list lost 30 by accident, after a run that was held.
func heldWall(t *testing.T) (*blocklisttest.Fake, *waftest.Wall, []enforce.Wall, waf.Held) {
	t.Helper()
	list := listOf(t, "", some(40)...)
	w := &waftest.Wall{}
	walls := []enforce.Wall{wallOf("w", w)}
	if _, err := passOf(list, now).Run(t.Context(), walls); err != nil {
		t.Fatal(err)
	}
	list.Erase(indicators(t, some(30)...)...)
	got, err := passOf(list, now).Run(t.Context(), walls)
	if !errors.Is(err, waf.ErrHeld) || got[0].Held == nil || len(w.Enforced()) != 40 {
		t.Fatalf("results = %+v, err = %v, want it held", got, err)
	}
	held := statusOf(t, list, "w").Held
	if held == nil || *held != *got[0].Held || held.Release != 30 || held.Unexplained != 30 || held.Holds != 40 {
		t.Fatalf("held = %+v, want 30 of 40 unexplained", held)
	}
	return list, w, walls, *held
}

func approve(t *testing.T, list *blocklisttest.Fake, a blocklist.Approval) {
	t.Helper()
	a.At = now
	if err := list.SaveApproval(t.Context(), "test-waf:w", a); err != nil {
		t.Fatal(err)
	}
}

func approved(t *testing.T, list *blocklisttest.Fake) bool {
	t.Helper()
	_, ok, err := list.Approval(t.Context(), "test-waf:w")
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestAnApprovedRunReleasesAndTheApprovalIsUsedUp(t *testing.T) {
	list, w, walls, held := heldWall(t)
	approve(t, list, blocklist.Approval{Add: held.Add, Release: held.Release})
	plan := passOf(list, now)
	plan.DryRun = true
	if got, err := plan.Run(t.Context(), walls); err != nil || got[0].Held != nil || !approved(t, list) {
		t.Errorf("a plan: %+v, err = %v, approved still: %v; want it free and the approval kept", got[0], err, approved(t, list))
	}
	if _, err := passOf(list, now).Run(t.Context(), walls); err != nil || len(w.Enforced()) != 10 {
		t.Errorf("err = %v, %d enforced, want 10", err, len(w.Enforced()))
	}
	if approved(t, list) {
		t.Error("the approval is still there")
	}
	if s := statusOf(t, list, "w"); s.Held != nil {
		t.Errorf("the status still says %+v", s.Held)
	}
}

func TestAnApprovalOfLessThanIsHeldIsUsedUpAndReleasesNobody(t *testing.T) {
	list, w, walls, held := heldWall(t)
	approve(t, list, blocklist.Approval{Release: held.Release - 1})
	if _, err := passOf(list, now).Run(t.Context(), walls); !errors.Is(err, waf.ErrHeld) || len(w.Enforced()) != 40 || approved(t, list) {
		t.Errorf("err = %v, %d enforced, approved still: %v; want it held and the approval gone", err, len(w.Enforced()), approved(t, list))
	}
}

func TestAnApprovalWaitsForTheRunThatIsThrough(t *testing.T) {
	list, w, walls, held := heldWall(t)
	approve(t, list, blocklist.Approval{Release: held.Release})
	w.OnWrite = func(string, string) (bool, error) { return false, waf.ErrThrottled }
	if _, err := passOf(list, now).Run(t.Context(), walls); !errors.Is(err, waf.ErrThrottled) || !approved(t, list) {
		t.Errorf("err = %v, approved still: %v; want the fault and the approval kept", err, approved(t, list))
	}
	w.OnWrite = nil
	if _, err := passOf(list, now).Run(t.Context(), walls); err != nil || len(w.Enforced()) != 10 || approved(t, list) {
		t.Errorf("err = %v, %d enforced, approved still: %v", err, len(w.Enforced()), approved(t, list))
	}
}

func TestAnApprovalEndsAfterAnHour(t *testing.T) {
	list, w, walls, held := heldWall(t)
	c := &clock{at: time.Now()}
	list.Clock = c.now
	approve(t, list, blocklist.Approval{Release: held.Release})
	c.advance(blocklist.ApprovalTTL)
	if _, err := passOf(list, now).Run(t.Context(), walls); !errors.Is(err, waf.ErrHeld) || len(w.Enforced()) != 40 {
		t.Errorf("err = %v, %d enforced, want it held", err, len(w.Enforced()))
	}
}

// Whoever cannot ask goes on without an approval, and says so.
func TestAnApprovalThatCannotBeReadApprovesOfNothing(t *testing.T) {
	list, w, walls, held := heldWall(t)
	approve(t, list, blocklist.Approval{Release: held.Release})
	broken := errors.New("no permission")
	list.OnRead = func(what string) error {
		if what == "approval" {
			return broken
		}
		return nil
	}
	if _, err := passOf(list, now).Run(t.Context(), walls); !errors.Is(err, waf.ErrHeld) || !errors.Is(err, broken) || len(w.Enforced()) != 40 {
		t.Errorf("err = %v, %d enforced, want it held", err, len(w.Enforced()))
	}
	block(t, list, now, some(30)...) // the accident is mended
	if _, err := passOf(list, now).Run(t.Context(), walls); !errors.Is(err, broken) || waiting(t, list, "w") != 0 {
		t.Errorf("err = %v, %d wait; want the work done and acknowledged all the same", err, waiting(t, list, "w"))
	}
}

func TestAnOperatorWhoStandsByApprovesAtOnce(t *testing.T) {
	list, w, walls, _ := heldWall(t)
	p := passOf(list, now)
	p.Approve = true
	if _, err := p.Run(t.Context(), walls); err != nil || len(w.Enforced()) != 10 {
		t.Errorf("err = %v, %d enforced, want 10", err, len(w.Enforced()))
	}
}

// A wall's own bounds count.
func TestAWallSaysHowMuchARunMayRelease(t *testing.T) {
	for percent, want := range map[int]error{30: waf.ErrHeld, 80: nil} {
		list := listOf(t, "", some(40)...)
		w := &waftest.Wall{}
		wall := wallOf("w", w)
		wall.MaxRelease = percent
		if _, err := passOf(list, now).Run(t.Context(), []enforce.Wall{wall}); err != nil {
			t.Fatal(err)
		}
		list.Erase(indicators(t, some(30)...)...)
		if _, err := passOf(list, now).Run(t.Context(), []enforce.Wall{wall}); !errors.Is(err, want) {
			t.Errorf("%d %%: err = %v, want %v", percent, err, want)
		}
	}
}
