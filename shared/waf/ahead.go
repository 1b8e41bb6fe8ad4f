package waf

import "context"

// ahead is a look that was begun before it was known what to look for.
type ahead struct {
	state         State
	err           error
	calls, writes int // of the Firewall, when it began
	cancel        context.CancelFunc
	done          chan struct{}
}

// LookAhead begins the first look of the next Reconcile, so that it goes on while the
// caller reads the list. The caller holds its lease already, and calls the function returned
// once it is through: it waits for a look that nobody has asked for.
func (r *Reconciler) LookAhead(ctx context.Context) (through func()) {
	ctx, cancel := context.WithCancel(ctx)
	a := &ahead{cancel: cancel, done: make(chan struct{})}
	if meter, ok := r.Firewall.(Metered); ok {
		a.calls, a.writes = meter.Calls()
	}
	r.ahead = a
	go func() {
		defer close(a.done)
		a.state, a.err = r.Firewall.Look(ctx)
	}()
	return func() {
		cancel()
		<-a.done
	}
}

// look takes the look that was begun ahead, if there is one, or looks.
func (r *run) look(ctx context.Context) (State, error) {
	a := r.ahead
	if a == nil {
		return r.Firewall.Look(ctx)
	}
	r.ahead = nil
	select {
	case <-a.done:
		return a.state, a.err
	case <-ctx.Done():
		a.cancel()
		<-a.done // a Firewall is not for concurrent use
		return State{}, ctx.Err()
	}
}
