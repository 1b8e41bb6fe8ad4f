// Package progress shows one line that changes in place while something takes long,
// and nothing at all when nobody is looking: on a file or a pipe it stays silent.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// every is how often the line may change: often enough to look alive.
const every = 100 * time.Millisecond

// Line is a progress line on a terminal. Its methods are safe for concurrent use.
type Line struct {
	w     io.Writer // nil when nobody is looking
	start time.Time

	mu    sync.Mutex
	last  time.Time
	width int // of what stands on the line
}

// New returns a Line on w if w is a terminal, and one that says nothing otherwise.
func New(w io.Writer) *Line {
	l := &Line{start: time.Now()}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		l.w = w
	}
	return l
}

// Update says how far something has come: done of total units, or only done when total is 0.
func (l *Line) Update(what string, done, total int64, unit string) {
	l.show(done > 0 && done >= total, func() string {
		rate := ""
		if elapsed := time.Since(l.start).Seconds(); elapsed > 0.5 {
			rate = fmt.Sprintf(", %s/s", short(float64(done)/elapsed))
		}
		if total <= 0 {
			return fmt.Sprintf("%s: %s %s%s", what, short(float64(done)), unit, rate)
		}
		return fmt.Sprintf("%s: %d%% of %s %s%s", what, done*100/total, short(float64(total)), unit, rate)
	})
}

// Say shows a text.
func (l *Line) Say(text string) { l.show(true, func() string { return text }) }

func (l *Line) show(always bool, text func() string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.w == nil {
		return
	}
	now := time.Now()
	if !always && now.Sub(l.last) < every {
		return
	}
	l.last = now
	line := "  " + text()
	fmt.Fprintf(l.w, "\r%s%s", line, strings.Repeat(" ", max(l.width-len(line), 0)))
	l.width = len(line)
}

// Done wipes the line away. It may be called more than once.
func (l *Line) Done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.w == nil || l.width == 0 {
		return
	}
	fmt.Fprintf(l.w, "\r%s\r", strings.Repeat(" ", l.width))
	l.width = 0
}

// short spells a number with three digits and a unit.
func short(n float64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2fG", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.2fM", n/1e6)
	case n >= 1e4:
		return fmt.Sprintf("%.0fk", n/1e3)
	default:
		return fmt.Sprintf("%.0f", n)
	}
}
