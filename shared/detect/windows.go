package detect

import (
	"fmt"
	"time"
)

// Span is a half-open range of time, From included and To not, in whole seconds.
// From is always the start of a window. To may lie inside a window, which is then
// still open: its count can only be too small, so a hit in it is a true hit.
type Span struct{ From, To time.Time }

// Empty tells whether there is nothing to read.
func (s Span) Empty() bool { return !s.From.Before(s.To) }

// AlignDown returns the start of the window that t lies in. Windows are aligned to
// the Unix epoch, as __time__ - __time__ % window is; time.Truncate would count
// from year 1 and be off for windows that do not divide a day.
func AlignDown(t time.Time, window time.Duration) time.Time {
	sec, w := t.Unix(), int64(window/time.Second)
	rest := sec % w
	if rest < 0 {
		rest += w
	}
	return time.Unix(sec-rest, 0).UTC()
}

// AlignUp returns the first start of a window that is not before t.
func AlignUp(t time.Time, window time.Duration) time.Time {
	down := AlignDown(t, window)
	if down.Equal(t) {
		return down
	}
	return down.Add(window)
}

// Schedule is how a rule is read again and again.
type Schedule struct {
	Window   time.Duration
	Lag      time.Duration // lines may be this late
	Lookback time.Duration // how far the first run goes back
	Overlap  int           // how many windows before the checkpoint are read again, for lines that came later still
	CatchUp  time.Duration // windows older than this are not read any more; 0: no bound
}

// Defaults of a schedule.
const (
	DefaultLookback = 30 * time.Minute
	DefaultOverlap  = 2
)

// Next returns what a scheduled run at now must read, and the checkpoint to store
// when everything in it has been acted upon: the start of the first window that is
// not yet closed. checkpoint is what an earlier run stored; the zero time means
// none. A run whose clock is behind the checkpoint (an old event, delivered again)
// reads the overlap before its own time at most, and never moves the checkpoint back.
func (s Schedule) Next(now, checkpoint time.Time) (Span, time.Time) {
	to := now.Add(-s.Lag).Truncate(time.Second).UTC()
	closed := AlignDown(to, s.Window)
	if checkpoint.IsZero() {
		return Span{From: AlignDown(to.Add(-s.Lookback), s.Window), To: to}, closed
	}
	from := AlignDown(checkpoint, s.Window)
	if from.After(closed) {
		from = closed
	}
	from = from.Add(-time.Duration(s.Overlap) * s.Window)
	if oldest := AlignDown(to.Add(-s.CatchUp), s.Window); s.CatchUp > 0 && from.Before(oldest) {
		from = oldest
	}
	if closed.Before(checkpoint) {
		closed = checkpoint.UTC()
	}
	return Span{From: from, To: to}, closed
}

// Outward returns the whole windows that touch the range from, to.
func Outward(from, to time.Time, window time.Duration) Span {
	return Span{From: AlignDown(from, window), To: AlignUp(to, window)}
}

// first returns the beginning of a span: whole windows, at most longest but at least one.
func (s Span) first(window, longest time.Duration) Span {
	to := s.From.Add(max(window, longest-longest%window))
	if to.After(s.To) {
		to = s.To
	}
	return Span{From: s.From, To: to}
}

// halves cuts a span of more than one window in two, on a window's edge.
func (s Span) halves(window time.Duration) (Span, Span, bool) {
	if s.To.Sub(s.From) <= window {
		return Span{}, Span{}, false
	}
	middle := AlignDown(s.From.Add(s.To.Sub(s.From)/2), window)
	if !middle.After(s.From) {
		middle = s.From.Add(window)
	}
	return Span{s.From, middle}, Span{middle, s.To}, true
}

// String writes the span for people, in UTC.
func (s Span) String() string {
	return fmt.Sprintf("%s to %s", s.From.UTC().Format(time.RFC3339), s.To.UTC().Format(time.RFC3339))
}
