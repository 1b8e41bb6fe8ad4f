package syncrun

import (
	"errors"
	"fmt"
	"time"
)

// The modes that an event may ask for.
const (
	ModeSync   = "sync"   // make the targets equal to the list
	ModePlan   = "plan"   // say what would be done, write nothing
	ModeVerify = "verify" // sync, but read everything back instead of believing what the wall says of itself, and prove that it is in force
)

// Bounds of what an event may hold.
const (
	maxEvent = 256 << 10       // bytes: the most that Lambda and Function Compute take by an asynchronous call
	maxSkew  = 5 * time.Minute // how far as_of may run ahead of our clock
)

// ErrBadEvent means that a payload is none that the function's schedule sends, or that
// a field of it is wrong. Running it again cannot help, but a bad event is never a
// success: the platform parks it where somebody sees it.
var ErrBadEvent = errors.New("bad event")

// Event is what one call asks for, whichever shape it came in. The zero Mode is none:
// Inputs makes events.
type Event struct {
	Mode       string
	Now        time.Time // the event's own clock; zero when it carries none
	Targets    []string  // names, sorted and each once; nil means every configured target
	AdoptEpoch bool      // take a list founded anew as the truth from now on

	Scheduled bool           // a schedule's ordinary tick: stay for as long as WAIT says
	Wait      *time.Duration // how long to stay, if the input says so itself
}

// Stay returns how long the run goes on after its start to enforce at once what is
// announced meanwhile. Only a schedule's tick stays by itself: whoever asks by hand
// waits for the answer, and a plan changes nothing to stay for.
func (ev Event) Stay(configured time.Duration) time.Duration {
	switch {
	case ev.Wait != nil:
		return *ev.Wait
	case ev.Scheduled:
		return configured
	default:
		return 0
	}
}

// Clock returns the moment that the run stands for, in whole seconds: the event's own, so
// that a retry plans what its first try planned, but never later than the wall clock: a clock
// from the future would release blocks before their term is over.
func (ev Event) Clock(wallClock time.Time) time.Time {
	if ev.Now.IsZero() || ev.Now.After(wallClock) {
		return wallClock.UTC().Truncate(time.Second)
	}
	return ev.Now.Truncate(time.Second)
}

// BadEvent is an ErrBadEvent that says which field is wrong, what stood there, cut to 80
// bytes, and what may stand there.
func BadEvent(field, value, want string) error {
	const most = 80
	if len(value) > most {
		value = value[:most] + "…"
	}
	return fmt.Errorf("%w: %s %q: want %s", ErrBadEvent, field, value, want)
}
