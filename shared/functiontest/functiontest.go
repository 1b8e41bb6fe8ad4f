// Package functiontest runs functions as their clouds run them, on this machine
// and without a container: the binary that would be deployed is started as a child
// process, asks for events through the runtime API that it is linked against, and
// answers through it. It also stands in for the one API that a function calls to
// start another (FCAPI) and builds the binaries (Build).
//
// Two runtime APIs are spoken: AWS Lambda's of 2018-06-01 (StartLambda) and Alibaba
// Function Compute's of 2020-11-11 (StartFC). Like both clouds' instances, a Function
// here handles one event at a time, has only the environment it is given, is killed
// when it runs past its timeout, and is started anew for the next event after it died.
//
// No child outlives this process. Close stops it; on Linux the kernel kills it
// when this process dies in whatever way; elsewhere a small watcher does. This
// matters more than tidiness: the Function Compute SDK asks again at once when its
// API has gone, so an orphan would burn a whole core for ever.
package functiontest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"time"
)

// DefaultTimeout is what both clouds give a function that says nothing.
const DefaultTimeout = 3 * time.Second

// Credentials are what the cloud would hand to the function for its role. They
// need not be real: the stand-ins know them.
type Credentials struct {
	AccessKeyID     string
	AccessKeySecret string
	SecurityToken   string
}

// Config describes one function.
type Config struct {
	Name        string            // the deployed name; also the default Prefix
	Binary      string            // path of the built binary
	Env         map[string]string // the function's own variables; nothing is inherited from this process
	Timeout     time.Duration     // for one event; 0 is DefaultTimeout
	Memory      int               // megabytes, only told to the function; 0 is 512
	Region      string            // "" is us-east-1 (Lambda) or cn-hangzhou (FC)
	AccountID   string            // "" is 000000000000 (Lambda) or 1000000000000000 (FC)
	Credentials Credentials       // in the environment, and for FC also in each invocation's headers
	Initializer bool              // FC: call the registered initializer before the first event
	Stderr      io.Writer         // gets the function's standard output and error, whole lines at a time; nil drops them
	Prefix      string            // written before each such line; "" is "Name: ", "-" is nothing
}

// FunctionError is an error that the function itself returned, or its panic, or
// that it ran out of time (Type is TypeTimeout).
type FunctionError struct {
	Type    string // as the SDK reports it: the Go type's name, say "errorString"
	Message string
}

// TypeTimeout is the FunctionError.Type of an event that took longer than Config.Timeout.
const TypeTimeout = "Timeout"

// Error returns the type and the message.
func (e *FunctionError) Error() string { return e.Type + ": " + e.Message }

// ExitError means that the process ended without an answer: it could not start
// (bad configuration), or called os.Exit, or was killed.
type ExitError struct {
	Name   string // the function
	State  string // "exit status 1", "signal: killed"
	Output string // the last lines that it wrote
}

// Error names the function and how it ended, with its last lines.
func (e *ExitError) Error() string {
	if e.Output == "" {
		return fmt.Sprintf("function %s ended: %s", e.Name, e.State)
	}
	return fmt.Sprintf("function %s ended: %s; its last lines:\n%s", e.Name, e.State, e.Output)
}

// ErrClosed is returned by Invoke on a closed Function.
var ErrClosed = errors.New("function is closed")

// Timings are durations as the function's cloud would bill them, on the wall clock.
type Timings struct {
	Init time.Duration   // the latest start: process start until it asked for its first event
	Cold time.Duration   // Init plus the first event answered by that process
	Warm []time.Duration // the later events, oldest first, at most the last 1,000
}

// maxWarm bounds Timings.Warm: a Function may run for days under `tracewall local`.
const maxWarm = 1000

// Function is one function with at most one running instance. It is safe for
// concurrent use; events that arrive together wait for each other.
type Function struct {
	cfg      Config
	protocol protocol
	turn     chan struct{} // held by the one event under way
	closed   chan struct{}
	closing  sync.Once

	mu      sync.Mutex
	current *process // nil until started
	timings Timings
}

// StartLambda starts a binary that is linked with aws-lambda-go. ctx bounds only
// the start: the function then runs until Close. A process that ends before it asks for
// an event is an *ExitError, which carries what it wrote.
func StartLambda(ctx context.Context, cfg Config) (*Function, error) {
	return start(ctx, cfg, lambdaProtocol{})
}

// StartFC starts a binary that is linked with fc-runtime-go-sdk, otherwise like StartLambda.
// A failing initializer is a *FunctionError.
func StartFC(ctx context.Context, cfg Config) (*Function, error) {
	return start(ctx, cfg, fcProtocol{})
}

func start(ctx context.Context, cfg Config, proto protocol) (*Function, error) {
	bin, err := filepath.Abs(cfg.Binary)
	if err != nil {
		return nil, fmt.Errorf("start function %s: %w", cfg.Name, err)
	}
	cfg.Binary = bin
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Memory <= 0 {
		cfg.Memory = 512
	}
	f := &Function{
		cfg:      proto.defaults(cfg),
		protocol: proto,
		turn:     make(chan struct{}, 1),
		closed:   make(chan struct{}),
	}
	if _, err := f.instance(ctx); err != nil {
		f.Close()
		return nil, fmt.Errorf("start function %s: %w", cfg.Name, err)
	}
	return f, nil
}

// Invoke hands one event to the function and returns its answer. An error of the
// function is a *FunctionError; a process that ended instead of answering is an
// *ExitError, and the next Invoke starts a new one. When ctx ends first, the instance
// is killed, since nobody waits for its answer, and ctx's error is returned.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	if limit := f.protocol.maxPayload(); len(payload) > limit {
		return nil, fmt.Errorf("invoke %s: event of %d bytes, the limit is %d", f.cfg.Name, len(payload), limit)
	}
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-f.closed:
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	body, err := f.answer(ctx, payload)
	if errors.Is(err, errUntouched) { // it was on its way out: after a panic, Lambda's SDK answers first and ends then
		body, err = f.answer(ctx, payload)
	}
	select {
	case <-f.closed:
		if err != nil {
			return nil, ErrClosed
		}
	default:
	}
	return body, err
}

func (f *Function) answer(ctx context.Context, payload []byte) ([]byte, error) {
	p, err := f.instance(ctx)
	if err != nil {
		return nil, fmt.Errorf("invoke %s: %w", f.cfg.Name, err)
	}
	began := time.Now()
	body, err := p.run(ctx, newEvent(ctx, f.cfg, payload))
	if err == nil {
		f.record(p, time.Since(began))
	}
	return body, err
}

// instance returns the running process, or a new one that is ready for its first event.
func (f *Function) instance(ctx context.Context) (*process, error) {
	f.mu.Lock()
	p := f.current
	f.mu.Unlock()
	if p != nil && p.alive() {
		return p, nil
	}

	p, err := newProcess(ctx, f.cfg, f.protocol)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.current = p
	f.timings.Init = 0
	f.mu.Unlock()
	select {
	case <-f.closed: // Close ran meanwhile and may have seen no process
		p.stop()
		return nil, ErrClosed
	default:
	}
	if err := p.becomeReady(ctx, f.closed); err != nil {
		p.stop()
		return nil, err
	}
	f.mu.Lock()
	f.timings.Init = p.initTook
	f.mu.Unlock()
	return p, nil
}

func (f *Function) record(p *process, took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !p.answered {
		p.answered = true
		f.timings.Cold = p.initTook + took
		return
	}
	if len(f.timings.Warm) == maxWarm {
		f.timings.Warm = append(f.timings.Warm[:0], f.timings.Warm[1:]...)
	}
	f.timings.Warm = append(f.timings.Warm, took)
}

// Timings returns what has been measured so far.
func (f *Function) Timings() Timings {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.timings
	t.Warm = append([]time.Duration(nil), t.Warm...)
	return t
}

// Close stops the function (SIGTERM, and SIGKILL after two seconds) and waits
// until its process is gone. It may be called twice, and while an Invoke is under
// way, which then returns ErrClosed.
func (f *Function) Close() {
	f.closing.Do(func() { close(f.closed) })
	f.mu.Lock()
	p := f.current
	f.mu.Unlock()
	if p != nil {
		p.stop()
	}
}

// loopback listens on a free port that only this machine can reach.
func loopback(ctx context.Context) (net.Listener, error) {
	var lc net.ListenConfig
	return lc.Listen(ctx, "tcp", "127.0.0.1:0")
}
