//go:build cgo

package slstest

import (
	"slices"
	"sync"
	"time"
)

// Op names a group of calls, for faults and for the call log.
type Op string

// The operations.
const (
	OpAny    Op = ""
	OpPut    Op = "put"    // PutLogs
	OpQuery  Op = "query"  // GetLogs, GetHistograms
	OpCursor Op = "cursor" // GetCursor
	OpPull   Op = "pull"   // PullLogs
	OpManage Op = "manage" // projects, logstores, shards, indexes
)

// Faults makes the service misbehave over HTTP, on request and while it runs.
// In-process calls (Query, Load) are not disturbed. Each fault strikes the next
// n calls of its operation; Clear ends them all. Methods may be called by many goroutines at once.
type Faults struct {
	mu          sync.Mutex
	pending     []*fault
	latency     map[Op]time.Duration
	defaultRows int
	fieldCut    int
	calls       []Call
	counts      map[Op]int
}

type faultKind uint8

const (
	faultIncomplete faultKind = iota + 1
	faultAnswer
	faultCut
	faultCutAfter
)

type fault struct {
	op    Op
	kind  faultKind
	left  int
	error *apiError
}

// Call is one request as the server saw it.
type Call struct {
	Op       Op
	Method   string
	Path     string
	Logstore string
	Query    string // GetLogs
	From, To int64
	Status   int    // 0: the connection was cut
	Code     string // error code, "" for success
	Progress string // GetLogs: Complete or Incomplete
}

// maxCalls bounds the call log; older calls fall out, the counters go on.
const maxCalls = 10_000

func newFaults() *Faults {
	return &Faults{latency: map[Op]time.Duration{}, counts: map[Op]int{}}
}

// Incomplete makes the next n queries answer with progress Incomplete and half of their rows.
func (f *Faults) Incomplete(n int) { f.add(&fault{op: OpQuery, kind: faultIncomplete, left: n}) }

// Throttle refuses the next n calls of op as the service does over quota: 403 with
// ReadQuotaExceed, or WriteQuotaExceed for PutLogs.
func (f *Faults) Throttle(op Op, n int) {
	code := "ReadQuotaExceed"
	if op == OpPut {
		code = "WriteQuotaExceed"
	}
	f.Answer(op, n, 403, code)
}

// Busy refuses the next n calls of op with 429.
func (f *Faults) Busy(op Op, n int) { f.Answer(op, n, 429, "TooManyRequests") }

// ServerError answers the next n calls of op with 500.
func (f *Faults) ServerError(op Op, n int) { f.Answer(op, n, 500, "InternalServerError") }

// Answer answers the next n calls of op with an error of the caller's choice; nothing is done.
func (f *Faults) Answer(op Op, n, status int, code string) {
	f.add(&fault{op: op, kind: faultAnswer, left: n, error: &apiError{status, code, "fault on request"}})
}

// Cut closes the connection of the next n calls of op instead of answering; nothing is done.
func (f *Faults) Cut(op Op, n int) { f.add(&fault{op: op, kind: faultCut, left: n}) }

// CutAfter does what the next n calls of op ask for and then closes the
// connection without an answer: the client cannot know that it was done.
func (f *Faults) CutAfter(op Op, n int) { f.add(&fault{op: op, kind: faultCutAfter, left: n}) }

// Slow delays each call of op from now on; 0 ends that.
func (f *Faults) Slow(op Op, d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.latency[op] = d
}

// DefaultRows changes how many rows a query without LIMIT gives; 0 means the service's 100.
func (f *Faults) DefaultRows(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.defaultRows = n
}

// FieldCut changes after how many bytes values are cut for analysis, in all
// logstores; 0 means what the index says.
func (f *Faults) FieldCut(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fieldCut = n
}

// Clear ends all faults and keeps the call log.
func (f *Faults) Clear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending, f.defaultRows, f.fieldCut = nil, 0, 0
	clear(f.latency)
}

// Calls returns the calls of op, the oldest first, at most the last 10,000.
func (f *Faults) Calls(op Op) []Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := slices.Clone(f.calls)
	if op == OpAny {
		return out
	}
	return slices.DeleteFunc(out, func(c Call) bool { return c.Op != op })
}

// Count returns how many calls of op there have been.
func (f *Faults) Count(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if op != OpAny {
		return f.counts[op]
	}
	total := 0
	for _, n := range f.counts {
		total += n
	}
	return total
}

func (f *Faults) add(x *fault) {
	if x.left <= 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending = append(f.pending, x)
}

// next takes the fault that strikes a call, nil for none, and its delay.
func (f *Faults) next(op Op) (*fault, time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delay := max(f.latency[op], f.latency[OpAny])
	for i, x := range f.pending {
		if x.op != OpAny && x.op != op {
			continue
		}
		x.left--
		if x.left == 0 {
			f.pending = slices.Delete(f.pending, i, i+1)
		}
		return x, delay
	}
	return nil, delay
}

func (f *Faults) settings() (rows, cut int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rows = defaultRows
	if f.defaultRows > 0 {
		rows = f.defaultRows
	}
	return rows, f.fieldCut
}

func (f *Faults) record(c Call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts[c.Op]++
	if len(f.calls) >= maxCalls {
		f.calls = slices.Delete(f.calls, 0, maxCalls/10)
	}
	f.calls = append(f.calls, c)
}
