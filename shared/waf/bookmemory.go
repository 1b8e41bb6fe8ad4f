package waf

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"time"
)

// BookMemory is what a run left in a book, for the next run: to read a book of 50,000
// takes a hundred calls. Whoever keeps it puts it in doubt before the first write (see
// Reconciler.BeforeWrite) and keeps Report.Book afterwards, which is nil if the outcome of a write is not known.
type BookMemory struct {
	Wall       string // State.Wall: a target may be pointed at another account's book of the same name
	Epoch      string
	Generation uint64
	Listings   []Listing // in order of address
	// Room is how many the book took when it was found to be full; 0: it never was.
	Room int
}

// open makes sure that the run knows what the book holds: from memory if that can be trusted,
// else by reading it.
func (r *run) open(ctx context.Context, state State) error {
	if r.book.held != nil && !r.book.doubt {
		return nil // a second look of the same run
	}
	if m := r.Book; m != nil && r.book.held == nil && !r.Verify && r.believes(*m, state) {
		r.book.held = holdingOf(m.Listings)
	} else {
		list, err := r.book.Listings(ctx)
		if err != nil {
			return err
		}
		read := holdingOf(list)
		if m != nil && r.book.held == nil && m.follows(state) {
			r.comparedWith(holdingOf(m.Listings), read)
		}
		r.book.held, r.book.doubt = read, false
	}
	if state.Book.Ends && !r.Now.IsZero() {
		maps.DeleteFunc(r.book.held, func(_ netip.Prefix, end time.Time) bool { return !end.IsZero() && !end.After(r.Now) })
	}
	return nil
}

// follows tells whether the memory is of the last run that wrote this wall: not if it is of another one, or somebody with
// another or a newer list has been here, or ours was restored.
func (m BookMemory) follows(state State) bool {
	s := state.Stamp
	return m.Wall == state.Wall && (s == nil || s.Of(m.Epoch) && s.Generation <= m.Generation)
}

// believes tells whether what is remembered of the book fits what stands.
func (r *run) believes(m BookMemory, state State) bool {
	if !state.Exists && len(m.Listings) > 0 || !m.follows(state) {
		return false
	}
	if state.Book.Count < 0 {
		return true
	}
	n := 0
	for _, l := range m.Listings {
		if l.Until.IsZero() || r.Now.IsZero() || l.Until.After(r.Now) {
			n++
		}
	}
	return n == state.Book.Count
}

// comparedWith tells what somebody else has done to the book since the last run. What ends by
// itself does not count.
func (r *run) comparedWith(was, is holding) {
	gone, come := 0, 0
	for p, end := range was {
		if _, has := is[p]; !has && (end.IsZero() || end.After(r.Now)) {
			gone++
		}
	}
	for p := range is {
		if _, had := was[p]; !had {
			come++
		}
	}
	if gone+come > 0 {
		r.drifted(fmt.Sprintf("the book holds %d that no run of ours entered and lacks %d that one did: somebody else has changed it", come, gone))
	}
}

// madeDo tells whether the limit that a book met is nothing to complain of: there was room for all once something had
// been taken out, or the book is as full as it was known to be, and the overflow says so.
func (r *run) madeDo() bool {
	return r.book != nil && (r.report.Overflow == 0 || r.Book != nil && r.Book.Room > 0 && r.book.roomMet >= r.Book.Room)
}

// remembered is what the next run is to know of the book; nil if that is in doubt.
func (r *run) remembered() *BookMemory {
	if r.book.drifting {
		return r.Book // as it was: what somebody else did stays reported until it is repaired
	}
	if r.book.held == nil || r.book.doubt {
		return nil
	}
	m := &BookMemory{Wall: r.report.Wall, Epoch: r.want.Epoch, Generation: r.want.Generation, Listings: r.book.held.listings()}
	switch {
	case r.book.roomMet > 0:
		m.Room = r.book.roomMet
	case r.Book != nil && !r.Verify:
		m.Room = r.Book.Room
	}
	return m
}
