package enforce_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// clock is a clock that only moves when it is told to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }

func (c *clock) advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.at = c.at.Add(d) }

// A slow run whose lease has run out stops before its next write, and the run that
// overtook it has the last word.
func TestARunThatLostItsLeaseWritesNoMore(t *testing.T) {
	for name, frozenAfter := range map[string]func(op string, n int) bool{
		"in the middle":        func(_ string, n int) bool { return n == 2 },
		"after its last write": func(op string, _ int) bool { return op == "reference" },
	} {
		t.Run(name, func(t *testing.T) {
			list := listOf(t, "", some(6)...)
			c := &clock{at: now}
			list.Clock = c.now
			w := &waftest.Wall{}
			walls := func() []enforce.Wall { // as another process sees them
				wall := wallOf("w", w)
				wall.Limits = waf.Limits{SetSize: 2}
				return []enforce.Wall{wall}
			}
			writes := 0
			var second []enforce.Result
			var secondErr error
			w.AfterWrite = func(op, _ string) {
				if writes++; !frozenAfter(op, writes) {
					return
				}
				c.advance(24 * time.Hour)
				block(t, list, now, "ip:20.9.9.9")
				w.AfterWrite = nil
				second, secondErr = passOf(list, now).Run(t.Context(), walls())
				writes = 0
				w.AfterWrite = func(string, string) { writes++ }
			}
			first, err := passOf(list, now).Run(t.Context(), walls())
			if secondErr != nil || second[0].Error != "" || second[0].Enforced != 7 {
				t.Fatalf("second run: %+v, err = %v", second, secondErr)
			}
			if name == "in the middle" && (!errors.Is(err, blocklist.ErrLeaseLost) || first[0].Error == "") {
				t.Errorf("first run: %+v, err = %v, want ErrLeaseLost", first[0], err)
			}
			if writes != 0 || len(w.Enforced()) != 7 {
				t.Errorf("the first run wrote %d times after it lost its lease; %d enforced, want 7", writes, len(w.Enforced()))
			}
			// The status is the second run's, and nothing that was announced got lost.
			if s := statusOf(t, list, "w"); s.Fence != 2 || s.Generation != second[0].Generation || s.Result.Error != "" {
				t.Errorf("status: fence %d, generation %d, error %q; want the second run's", s.Fence, s.Generation, s.Result.Error)
			}
			if n := waiting(t, list, "w"); n != 0 {
				t.Errorf("%d announcements wait", n)
			}
			again, err := passOf(list, now).Run(t.Context(), walls())
			if err != nil || again[0].Writes != 0 {
				t.Errorf("a third run: %+v, err = %v, want nothing to do", again[0], err)
			}
		})
	}
}

// Every write is preceded by the question whether the lease is still ours.
func TestTheLeaseIsAskedForBeforeEachWrite(t *testing.T) {
	list := listOf(t, "", some(6)...)
	asked, wrote := 0, 0
	list.OnRenew = func(string) (bool, error) { asked++; return true, nil }
	w := &waftest.Wall{OnWrite: func(string, string) (bool, error) {
		if wrote++; asked < wrote {
			t.Errorf("write %d after %d questions", wrote, asked)
		}
		return true, nil
	}}
	wall := wallOf("w", w)
	wall.Limits.SetSize = 2
	if _, err := passOf(list, now).Run(t.Context(), []enforce.Wall{wall}); err != nil || wrote != 4 {
		t.Errorf("%d writes, err = %v, want 4", wrote, err)
	}
	// A store that does not answer stops the run, too: it cannot tell.
	block(t, list, now, "ip:20.9.9.9")
	broken := errors.New("connection lost")
	list.OnRenew = func(string) (bool, error) { return false, broken }
	got, err := passOf(list, now).Run(t.Context(), []enforce.Wall{wall})
	if !errors.Is(err, broken) || got[0].Writes != 0 || len(w.Enforced()) != 6 {
		t.Errorf("results = %+v, err = %v", got, err)
	}
}

// While one pass works on one wall, another may make the next wall from a newer
// state of the list. That is no reason for an alarm: the first reads again.
func TestAListThatGrewWhileTheLeaseWasAwaitedIsReadAgain(t *testing.T) {
	list := listOf(t, "", some(3)...)
	a, b := &waftest.Wall{Base: "a"}, &waftest.Wall{Base: "b"}
	aDone := make(chan struct{})
	a.AfterWrite = func(op, _ string) {
		if op == "reference" {
			close(aDone) // by now the first pass has read the list
		}
	}
	var once sync.Once
	list.OnAcquire = func(job string) (bool, error) {
		if job == "sync:test-waf:b" {
			once.Do(func() {
				<-aDone
				block(t, list, now, "ip:20.9.9.9")
				unhooked := &hookless{Fake: list}
				p := passOf(list, now)
				p.List = unhooked
				if _, err := p.Run(t.Context(), []enforce.Wall{wallOf("b", b)}); err != nil {
					t.Errorf("the other pass: %v", err)
				}
			})
		}
		return true, nil
	}
	got, err := passOf(list, now).Run(t.Context(), []enforce.Wall{wallOf("a", a), wallOf("b", b)})
	if err != nil || got[1].Guarded || got[1].Generation != 2 || len(b.Enforced()) != 4 {
		t.Errorf("results = %+v, err = %v, want the newer state", got, err)
	}
}

// hookless is a list whose leases nobody disturbs.
type hookless struct{ *blocklisttest.Fake }

func (h *hookless) Acquire(context.Context, string, time.Duration) (*blocklist.Lease, error) {
	fine := func(context.Context) error { return nil }
	return blocklist.NewLease(1, fine, fine), nil
}
