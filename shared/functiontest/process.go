package functiontest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
)

const (
	stopGrace = 2 * time.Second // SIGTERM to SIGKILL; Lambda itself gives 0.5 to 2 s
	pipeGrace = time.Second     // for output that a process of the function's own still holds open
)

// errUntouched means that the process ended before it took the event: another may have it.
var errUntouched = errors.New("event not taken")

// process is one instance: a child, and the runtime API that only this child knows.
type process struct {
	name     string
	cmd      *exec.Cmd
	server   *http.Server
	init     *event // the initializer's event, or nil
	began    time.Time
	initTook time.Duration
	answered bool // guarded by Function.mu

	events  chan *event   // unbuffered: an event leaves only into an open poll
	polled  chan struct{} // closed by the first poll
	poll    sync.Once
	exited  chan struct{} // closed when the child is gone and its output read
	exitErr *ExitError    // set before exited is closed

	mu   sync.Mutex
	open map[string]*event // handed out, not yet answered
}

// newProcess starts the child. It is running when newProcess returns, but may not be ready.
func newProcess(ctx context.Context, cfg Config, proto protocol) (*process, error) {
	listener, err := loopback(ctx)
	if err != nil {
		return nil, fmt.Errorf("runtime api: %w", err)
	}
	p := &process{
		name:   cfg.Name,
		init:   proto.initEvent(ctx, cfg),
		events: make(chan *event),
		polled: make(chan struct{}),
		exited: make(chan struct{}),
		open:   make(map[string]*event),
	}
	p.server = &http.Server{Handler: proto.routes(p, cfg), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = p.server.Serve(listener) }()

	out := newOutput(cfg)
	// Not CommandContext: ctx bounds the start, the function lives until Close.
	p.cmd = exec.Command(cfg.Binary) //nolint:noctx // see the line above
	p.cmd.Dir = filepath.Dir(cfg.Binary)
	p.cmd.Env = environment(cfg, proto.environment(cfg, listener.Addr().String()))
	p.cmd.Stdout, p.cmd.Stderr = out.stream(), out.stream()
	p.cmd.WaitDelay = pipeGrace
	p.cmd.SysProcAttr = childAttributes()

	started := make(chan error, 1)
	p.began = time.Now()
	go p.live(started, out)
	if err := <-started; err != nil {
		_ = p.server.Close()
		return nil, err
	}
	return p, nil
}

// live starts the child and waits for its end, all on one OS thread that does
// nothing else. On Linux the child's death signal is tied to the thread that
// started it, not to this process (prctl(2), PR_SET_PDEATHSIG): were the
// goroutine not locked, the Go runtime could end that thread at any time and the
// function would be killed for no reason (golang.org/issue/27505).
func (p *process) live(started chan<- error, out *output) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	release := watch(p.cmd.Process.Pid)
	started <- nil

	err := p.cmd.Wait()
	release()
	out.flush()
	state := "exit status 0"
	if p.cmd.ProcessState != nil {
		state = p.cmd.ProcessState.String()
	} else if err != nil {
		state = err.Error()
	}
	p.exitErr = &ExitError{Name: p.name, State: state, Output: out.last()}
	close(p.exited)
	_ = p.server.Close() // last: an SDK whose API has gone would call it in a hot loop
}

// environment is what the child sees: a few constants as in both clouds, then the
// function's own variables, then those that the runtime owns. Of this process's own
// environment nothing but what an operating system needs to run a program at all:
// a proxy, a profile or a key of the person who runs this must not change a result.
func environment(cfg Config, reserved []string) []string {
	env := []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=en_US.UTF-8", "TZ=:UTC", "TMPDIR=" + os.TempDir()}
	if root, ok := os.LookupEnv("SYSTEMROOT"); ok {
		env = append(env, "SYSTEMROOT="+root)
	}
	names := make([]string, 0, len(cfg.Env))
	for name := range cfg.Env {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		env = append(env, name+"="+cfg.Env[name])
	}
	return append(env, reserved...) // exec keeps the last of two values
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// becomeReady waits for the first poll and then runs the initializer, if there is one.
func (p *process) becomeReady(ctx context.Context, closed <-chan struct{}) error {
	select {
	case <-p.polled:
	case <-p.exited:
		return p.exitErr
	case <-closed:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	if p.init != nil {
		if _, err := p.run(ctx, p.init); err != nil {
			return fmt.Errorf("initializer: %w", err)
		}
	}
	p.initTook = time.Since(p.began)
	return nil
}

// run hands ev to the child and waits for the answer. After a timeout or a
// cancelled ctx the child is dead: its next answer would be to a question nobody remembers.
func (p *process) run(ctx context.Context, ev *event) ([]byte, error) {
	timer := time.NewTimer(ev.timeout)
	defer timer.Stop()
	send := p.events
	for {
		select {
		case send <- ev:
			send = nil // sent; from now on only the answer counts
		case a := <-ev.answer:
			if a.err != nil {
				return nil, a.err
			}
			return a.body, nil
		case <-p.exited:
			select {
			case a := <-ev.answer: // a Lambda panic answers, then exits
				if a.err != nil {
					return nil, a.err
				}
				return a.body, nil
			default:
			}
			if send != nil {
				return nil, fmt.Errorf("%w: %w", errUntouched, p.exitErr)
			}
			return nil, p.exitErr
		case <-timer.C:
			p.kill()
			return nil, &FunctionError{Type: TypeTimeout, Message: fmt.Sprintf("no answer within %s", ev.timeout)}
		case <-ctx.Done():
			p.kill()
			return nil, ctx.Err()
		}
	}
}

// next answers one poll: it waits until there is an event. It returns nil when the child has gone.
func (p *process) next(r *http.Request) *event {
	p.poll.Do(func() { close(p.polled) })
	select {
	case ev := <-p.events:
		p.mu.Lock()
		p.open[ev.id] = ev
		p.mu.Unlock()
		return ev
	case <-r.Context().Done():
		return nil
	}
}

// take returns the event that an answer is for, once.
func (p *process) take(id string) (*event, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ev, ok := p.open[id]
	delete(p.open, id)
	return ev, ok
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

func (p *process) stop() {
	err := p.cmd.Process.Signal(syscall.SIGTERM)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		_ = p.cmd.Process.Kill() // the system knows no SIGTERM
	}
	select {
	case <-p.exited:
	case <-time.After(stopGrace):
		p.kill()
	}
}
