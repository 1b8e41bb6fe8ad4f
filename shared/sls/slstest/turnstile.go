//go:build cgo

package slstest

import (
	"context"
	"sync"
)

// turnstile lets numbered goroutines through one at a time, in the order of their numbers.
type turnstile struct {
	mu      sync.Mutex
	next    int64
	changed chan struct{} // closed and replaced at every change
	broken  bool
}

func newTurnstile() *turnstile { return &turnstile{changed: make(chan struct{})} }

// wait blocks until it is number's turn; false means that the turnstile was abandoned or ctx has ended.
func (t *turnstile) wait(ctx context.Context, number int64) bool {
	for {
		t.mu.Lock()
		mine, broken, changed := t.next == number, t.broken, t.changed
		t.mu.Unlock()
		if broken || ctx.Err() != nil {
			return false
		}
		if mine {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// pass ends a turn.
func (t *turnstile) pass() { t.change(func() { t.next++ }) }

// abandon turns everybody away from now on.
func (t *turnstile) abandon() { t.change(func() { t.broken = true }) }

func (t *turnstile) change(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
	close(t.changed)
	t.changed = make(chan struct{})
}
