package blocklisttest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
)

// patience is how long the suite waits for what must come, and at most for what must not take long.
const patience = 5 * time.Second

func testAwait(t *testing.T, h Harness) {
	ctx := t.Context()
	await := func(after string, timeout time.Duration) string {
		t.Helper()
		last, err := h.Store.Await(ctx, after, timeout)
		if err != nil {
			t.Fatalf("await after %q: %v", after, err)
		}
		return last
	}
	empty := await("", 0)
	if empty == "" {
		t.Fatal("an empty stream stands nowhere")
	}
	// What comes between the look and the wait is not missed.
	put(t, h.Other, noon, offence(address(t, "192.0.2.7"), noon))
	one := await(empty, patience)
	if one == empty {
		t.Fatal("the first message was missed")
	}
	if again := await("", 0); again != one {
		t.Errorf("the stream stands at %s, want %s", again, one)
	}
	begin := time.Now()
	if last := await(one, 120*time.Millisecond); last != one || time.Since(begin) < 100*time.Millisecond {
		t.Errorf("without a message: %s after %s, want %s after the timeout", last, time.Since(begin), one)
	}
	if last := await("", 20*time.Millisecond); last != one {
		t.Errorf("from now on, without a message: %s, want %s", last, one)
	}
	if last := await(one, 0); last != one {
		t.Errorf("without waiting: %s, want %s", last, one)
	}
	// Several at once: the newest counts.
	put(t, h.Other, noon, offence(address(t, "192.0.2.8"), noon))
	put(t, h.Other, noon, offence(address(t, "192.0.2.9"), noon))
	three := await(one, patience)
	if last := await(three, 0); last != three || three == one {
		t.Errorf("of two messages %s, then %s: want the newer at once", three, last)
	}
	// It rings while it waits, and takes nothing from the groups.
	type answer struct {
		last string
		err  error
	}
	heard := make(chan answer, 1)
	go func() {
		last, err := h.Store.Await(ctx, three, patience)
		heard <- answer{last, err}
	}()
	put(t, h.Other, noon, offence(address(t, "192.0.2.10"), noon))
	select {
	case a := <-heard:
		if a.err != nil || a.last == three {
			t.Errorf("while waiting: %s, err = %v, want a newer message", a.last, a.err)
		}
	case <-time.After(2 * patience):
		t.Fatal("it did not ring")
	}
	if n := receive(t, h.Store, "aws", "one", 0); len(n) != 4 {
		t.Errorf("a group got %d notices, want all 4", len(n))
	}
	// Whoever gives up is answered at once.
	giving, up := context.WithCancel(ctx)
	time.AfterFunc(20*time.Millisecond, up)
	begin = time.Now()
	if _, err := h.Store.Await(giving, await("", 0), time.Minute); !errors.Is(err, context.Canceled) || time.Since(begin) > patience {
		t.Errorf("given up: err = %v after %s, want context.Canceled at once", err, time.Since(begin))
	}
}

func testApproval(t *testing.T, h Harness) {
	ctx := t.Context()
	nothing := func(when string) {
		t.Helper()
		if a, ok, err := h.Store.Approval(ctx, "edge"); ok || err != nil {
			t.Errorf("%s: approval = %+v %v %v, want none", when, a, ok, err)
		}
		if a, ok, err := h.Store.UseApproval(ctx, "edge"); ok || err != nil {
			t.Errorf("%s: used = %+v %v %v, want none", when, a, ok, err)
		}
	}
	nothing("at first")
	want := blocklist.Approval{Add: 3, Release: 9000, By: "jane", At: noon}
	for _, a := range []blocklist.Approval{{Add: 1, At: noon}, want} {
		if err := h.Store.SaveApproval(ctx, "edge", a); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if a, ok, err := h.Other.Approval(ctx, "edge"); a != want || !ok || err != nil {
			t.Errorf("approval = %+v %v %v, want %+v", a, ok, err, want)
		}
	}
	if a, ok, err := h.Other.Approval(ctx, "other"); ok || err != nil {
		t.Errorf("approval of another target = %+v %v %v", a, ok, err)
	}
	if a, ok, err := h.Other.UseApproval(ctx, "edge"); a != want || !ok || err != nil {
		t.Errorf("used = %+v %v %v, want %+v", a, ok, err, want)
	}
	nothing("after its use")
	for _, bad := range []blocklist.Approval{
		{At: noon}, {Add: -1, Release: 3, At: noon}, {Add: 1}, {Add: 1, At: noon, By: "line\nbreak"},
	} {
		if err := h.Store.SaveApproval(ctx, "edge", bad); err == nil {
			t.Errorf("save took %+v", bad)
		}
	}
	nothing("after bad ones")
	if h.Advance != nil {
		if err := h.Store.SaveApproval(ctx, "edge", want); err != nil {
			t.Fatal(err)
		}
		h.Advance(blocklist.ApprovalTTL + time.Second)
		nothing("after its time")
	}
}
