//go:build cgo

package clstest

import (
	"slices"
	"sync"
	"time"
)

// Call is one request as the server saw it.
type Call struct {
	Topic, Query string
	From, To     int64  // milliseconds
	Code         string // error code, "" for success
	Token        string // X-TC-Token
}

// Faults makes the service misbehave, on request and while it runs. Each fault
// strikes the next n calls, in the order in which they were asked for. Its methods
// may be called by many goroutines at once.
type Faults struct {
	mu      sync.Mutex
	pending []fault
	slow    time.Duration
	capRows bool
	omit    bool
	before  func(call int)
	calls   []Call
}

// fault is what happens to one call.
type fault struct {
	code     string  // answered instead of doing anything
	status   int     // likewise, as a proxy would
	cut      bool    // the connection breaks in the middle of the answer
	noSQL    bool    // the answer is no analysis
	sample   float64 // the answer says that it saw a part of the lines
	dropRows bool    // half of the rows are missing
	garbage  bool    // a row is no JSON
	encoding string  // the answer claims a Content-Encoding
}

func (f *Faults) add(n int, x fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.pending = append(f.pending, x)
	}
}

// Fail answers the next n calls with an error code, and HTTP 200 as always.
func (f *Faults) Fail(n int, code string) { f.add(n, fault{code: code}) }

// Status answers the next n calls with an HTTP status and a page that is no JSON, as a proxy does.
func (f *Faults) Status(n, status int) { f.add(n, fault{status: status}) }

// Cut breaks the connection in the middle of the next n answers.
func (f *Faults) Cut(n int) { f.add(n, fault{cut: true}) }

// NoAnalysis answers the next n calls as if the fields had no statistics.
func (f *Faults) NoAnalysis(n int) { f.add(n, fault{noSQL: true}) }

// Sample answers the next n calls as if only a part of the lines had been looked at.
func (f *Faults) Sample(n int, rate float64) { f.add(n, fault{sample: rate}) }

// DropRows leaves half of the rows out of the next n answers, without a word.
func (f *Faults) DropRows(n int) { f.add(n, fault{dropRows: true}) }

// Garbage puts a row that is no JSON into the next n answers.
func (f *Faults) Garbage(n int) { f.add(n, fault{garbage: true}) }

// Encoding claims a Content-Encoding that nobody asked for in the next n answers.
func (f *Faults) Encoding(n int, name string) { f.add(n, fault{encoding: name}) }

// Slow delays each call from now on; 0 ends that.
func (f *Faults) Slow(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slow = d
}

// CapRows withholds all rows behind the first 10,000 of a statement, silently, from
// every page. Whether CLS does so is UNVERIFIED.
func (f *Faults) CapRows(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.capRows = on
}

// OmitNull leaves columns out of a record that are NULL. Whether CLS does so is UNVERIFIED.
func (f *Faults) OmitNull(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.omit = on
}

// Before calls back before each call is answered, with its number from 1; nil ends that.
func (f *Faults) Before(call func(n int)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = call
}

// Calls returns all calls, the oldest first.
func (f *Faults) Calls() []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

// next takes the fault that strikes a call.
func (f *Faults) next() (x fault, slow time.Duration) {
	f.mu.Lock()
	if len(f.pending) > 0 {
		x, f.pending = f.pending[0], f.pending[1:]
	}
	slow = f.slow
	before, n := f.before, len(f.calls)+1
	f.mu.Unlock()
	if before != nil {
		before(n)
	}
	return x, slow
}

func (f *Faults) switches() (capRows, omitNull bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.capRows, f.omit
}

func (f *Faults) record(c Call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, c)
}
