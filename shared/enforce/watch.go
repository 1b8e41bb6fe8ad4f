package enforce

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// settle is how long a Watch waits after an announcement for others that come
	// with it, and how close passes begin that read the list together.
	settle = 100 * time.Millisecond
	// askAgain is how soon a wall whose lease another run held is tried again, and
	// how soon a bell that failed is.
	askAgain = time.Second
	// maxReserve bounds what is kept free before the platform's deadline: no pass
	// begins in the last third of a short time, or the last half minute of a long one.
	maxReserve = 30 * time.Second
)

// Bell is the handoff stream as a Watch needs it.
type Bell interface {
	// Await waits until there is a message newer than after, at most for timeout, and
	// returns the id of the newest one, or after. With after "" and no timeout it
	// returns where the stream stands.
	Await(ctx context.Context, after string, timeout time.Duration) (last string, err error)
}

// Watch makes a pass over each wall, and then, until Wait is over, another as soon
// as something is announced. It holds no lease in between.
//
// Each wall goes its own pace: announcements that come while its pass is under way are
// answered by one more pass after it, and a wall that hangs delays no other.
// Walls whose passes begin together read the list together. A wall whose lease
// another run holds is tried again every second. Errors end nothing: the next announcement, or the next run, tries again.
type Watch struct {
	Pass  Pass             // Now is the moment of the start; later passes are as much later as the clock says
	Bell  Bell             // may be nil if Wait is 0
	Wait  time.Duration    // how long to wait for announcements, from the start of Run on; 0: one pass
	Clock func() time.Time // time.Now but in tests
	// Each, if set, is told of every pass over a wall, one at a time; of those that
	// were skipped, only the first in a row.
	Each func(Result, error)
}

// Run returns for each wall, in their order, the Result of its last pass that was
// not skipped, and joins the errors of those passes. A bell that does not work at the end is an error too.
// No pass begins so late that the context's deadline would cut it short.
func (w Watch) Run(ctx context.Context, walls []Wall) ([]Result, error) {
	work, cancel := workOf(ctx)
	defer cancel()
	start := w.Clock()
	v := &vigil{Watch: w, ctx: ctx, work: work, start: start, end: start.Add(w.Wait)}
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		v.latest = start.Add(left - min(maxReserve, left/3))
		if v.latest.Before(v.end) {
			v.end = v.latest
		}
	}
	var heard string
	var deaf error
	if w.Wait > 0 {
		// Before the first pass: what is announced while it reads must ring.
		heard, deaf = w.Bell.Await(ctx, "", 0)
	}
	v.results, v.errs = make([]Result, len(walls)), make([]error, len(walls))
	v.rings, v.over = make([]chan struct{}, len(walls)), make(chan struct{})
	for i := range walls {
		v.rings[i] = make(chan struct{}, 1)
	}
	var group sync.WaitGroup
	for i, wall := range walls {
		group.Go(func() { v.keep(i, wall) })
	}
	if w.Wait > 0 {
		deaf = v.listen(heard, deaf)
	}
	close(v.over)
	group.Wait()
	err := joined(walls, v.errs)
	if deaf != nil {
		err = errors.Join(err, fmt.Errorf("watch: %w", deaf))
	}
	return v.results, err
}

// vigil is a Watch under way.
type vigil struct {
	Watch
	ctx, work  context.Context
	start, end time.Time
	latest     time.Time       // no pass begins later; zero: whenever
	rings      []chan struct{} // one for each wall; holds at most one ring
	over       chan struct{}   // closed when no more announcements are waited for

	mu      sync.Mutex // guards what follows
	current *run       // the round that passes beginning now may join
	begun   time.Time
	results []Result
	errs    []error
}

// listen rings for every announcement until the time is over, and returns what is wrong with the bell then.
func (v *vigil) listen(heard string, deaf error) error {
	for first := true; v.ctx.Err() == nil; first = false {
		left := v.end.Sub(v.Clock())
		if left <= 0 {
			return deaf
		}
		if deaf != nil {
			if !first {
				pause(v.ctx, min(askAgain, left))
			}
			var now string
			if now, deaf = v.Bell.Await(v.ctx, heard, 0); deaf == nil && now != heard {
				heard = now
				v.ring() // there may have been announcements meanwhile
			}
			continue
		}
		var last string
		if last, deaf = v.Bell.Await(v.ctx, heard, left); deaf != nil {
			continue
		}
		pause(v.ctx, min(settle, max(0, v.end.Sub(v.Clock()))))
		if last == heard {
			continue
		}
		heard = last
		if last, err := v.Bell.Await(v.ctx, heard, 0); err == nil {
			heard = last
		}
		v.ring()
	}
	return nil // the caller gave up, which its passes say
}

// ring asks for a pass over each wall that reads the list from now on.
func (v *vigil) ring() {
	v.mu.Lock()
	v.current = nil
	v.mu.Unlock()
	for _, ring := range v.rings {
		select {
		case ring <- struct{}{}:
		default: // it is already asked for
		}
	}
}

// keep makes the passes over one wall.
func (v *vigil) keep(i int, wall Wall) {
	skipped := v.pass(i, wall, false)
	for {
		var again <-chan time.Time
		var timer *time.Timer
		if skipped && v.Wait > 0 {
			timer = time.NewTimer(askAgain)
			again = timer.C
		}
		more := true
		select {
		case <-v.rings[i]:
		case <-again:
		case <-v.over:
			select {
			case <-v.rings[i]: // announced in time
			default:
				more = false
			}
		}
		if timer != nil {
			timer.Stop()
		}
		if !more || v.ctx.Err() != nil || !v.latest.IsZero() && !v.Clock().Before(v.latest) {
			return
		}
		skipped = v.pass(i, wall, skipped)
	}
}

// pass makes one pass over one wall. already says that the one before was skipped.
func (v *vigil) pass(i int, wall Wall, already bool) (skipped bool) {
	res, err := v.round().target(wall)
	skipped = res.Skipped != ""
	v.mu.Lock()
	defer v.mu.Unlock()
	if !skipped || v.results[i].Name == "" || v.results[i].Skipped != "" {
		v.results[i], v.errs[i] = res, err
	}
	if v.Each != nil && !(skipped && already) {
		v.Each(res, err)
	}
	return skipped
}

// round returns the run that a pass which begins now belongs to.
func (v *vigil) round() *run {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.Clock()
	if v.current == nil || now.Sub(v.begun) > settle {
		p := v.Pass
		p.Now = p.Now.Add(now.Sub(v.start).Truncate(time.Second))
		v.current, v.begun = newRun(p, v.ctx, v.work), now
	}
	return v.current
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
