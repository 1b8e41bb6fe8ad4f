package waftest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// server serves a stand-in on loopback.
type server struct {
	http *http.Server
	done chan struct{}
}

// serve begins to serve h on a free port and returns its URL. what names it in an error.
func (s *server) serve(h http.Handler, what string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("start local %s: %w", what, err)
	}
	s.http = &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		_ = s.http.Serve(l) // ErrServerClosed: Close was called
	}()
	return "http://" + l.Addr().String(), nil
}

// Close ends what Start began.
func (s *server) Close() error {
	if s.http == nil {
		return nil
	}
	err := s.http.Close()
	<-s.done
	return err
}

// Fault is what goes wrong with one call.
type Fault struct {
	Code        string // the cloud's error code; "" together with Drop
	AfterChange bool   // the call takes effect first, and then its answer is replaced
	Drop        bool   // the connection breaks instead of an answer
}

// asked is a call as a stand-in notes it.
type asked interface {
	Write() bool // its action is one that changes something
	name() string
}

// exchanges are what a stand-in was asked, and what is to go wrong. Safe for concurrent use.
type exchanges[C asked] struct {
	mu     sync.Mutex
	calls  []C
	faults []dueFault[C]
	before func(C) *Fault
	after  func(C)
}

// dueFault is a Fault that waits for its call.
type dueFault[C asked] struct {
	of    func(C) bool
	skip  int // calls to let pass
	times int // how often it then happens; negative: for good
	fault Fault
}

// Before sets what is asked before each call; a non-nil Fault happens to it. The
// function may use the stand-in, and make calls of its own.
func (e *exchanges[C]) Before(f func(C) *Fault) { e.mu.Lock(); e.before = f; e.mu.Unlock() }

// After sets what is told of each call after it took effect and before it is answered.
func (e *exchanges[C]) After(f func(C)) { e.mu.Lock(); e.after = f; e.mu.Unlock() }

// FailCall makes the n-th call from now (from 0) go wrong, and the times-1 after it; times < 0: all after it.
func (e *exchanges[C]) FailCall(n, times int, f Fault) {
	e.fail(dueFault[C]{func(C) bool { return true }, n, times, f})
}

// FailWrite is FailCall that counts writes only.
func (e *exchanges[C]) FailWrite(n, times int, f Fault) {
	e.fail(dueFault[C]{func(c C) bool { return c.Write() }, n, times, f})
}

// Fail is FailCall that counts calls of one action only.
func (e *exchanges[C]) Fail(action string, n, times int, f Fault) {
	e.fail(dueFault[C]{func(c C) bool { return c.name() == action }, n, times, f})
}

// Heal takes back all that FailCall, FailWrite, Fail and Before asked for.
func (e *exchanges[C]) Heal() { e.mu.Lock(); e.faults, e.before = nil, nil; e.mu.Unlock() }

func (e *exchanges[C]) fail(f dueFault[C]) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults = append(e.faults, f)
}

// due returns the fault that happens to a call. Every announced one counts it. The caller holds the lock.
func (e *exchanges[C]) due(c C) *Fault {
	var happens *Fault
	for i := range e.faults {
		f := &e.faults[i]
		switch {
		case f.times == 0 || !f.of(c):
		case f.skip > 0:
			f.skip--
		default:
			f.times--
			if happens == nil {
				fault := f.fault
				happens = &fault
			}
		}
	}
	return happens
}

// Calls returns the calls of some actions, or all, since the beginning or the last Forget.
func (e *exchanges[C]) Calls(actions ...string) []C {
	e.mu.Lock()
	defer e.mu.Unlock()
	var calls []C
	for _, c := range e.calls {
		if len(actions) == 0 || slices.Contains(actions, c.name()) {
			calls = append(calls, c)
		}
	}
	return calls
}

// Writes returns how many of Calls ask for a change, whatever became of them.
func (e *exchanges[C]) Writes() (n int) {
	for _, c := range e.Calls() {
		if c.Write() {
			n++
		}
	}
	return n
}

// Forget empties the call log and starts its index anew.
func (e *exchanges[C]) Forget() { e.mu.Lock(); e.calls = nil; e.mu.Unlock() }

// exchange is one call between its request and its answer.
type exchange[C asked] struct {
	index int
	fault *Fault // that happens to it, or nil
	after func(C)
}

// admit notes a call with the index that it gets, waits for the latency and says what happens to it.
func (e *exchanges[C]) admit(ctx context.Context, latency time.Duration, call *C, index *int) exchange[C] {
	e.mu.Lock()
	*index = len(e.calls)
	e.calls = append(e.calls, *call)
	x, before := exchange[C]{*index, e.due(*call), e.after}, e.before
	e.mu.Unlock()
	if latency > 0 {
		select {
		case <-time.After(latency):
		case <-ctx.Done():
		}
	}
	if before != nil {
		if f := before(*call); f != nil {
			x.fault = f
		}
	}
	return x
}

// takesEffect tells whether the call is carried out, whatever its caller is told.
func (x exchange[C]) takesEffect() bool { return x.fault == nil || x.fault.AfterChange }

// settle notes what became of a call and tells it to whom After named, before it is answered. Where the fault
// says so it breaks the connection, and does not return.
func (e *exchanges[C]) settle(x exchange[C], call C) {
	e.mu.Lock()
	if x.index < len(e.calls) { // unless forgotten meanwhile
		e.calls[x.index] = call
	}
	e.mu.Unlock()
	if x.after != nil {
		x.after(call)
	}
	if x.fault != nil && x.fault.Drop {
		panic(http.ErrAbortHandler) // net/http's way to break the connection
	}
}
