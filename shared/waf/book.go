package waf

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// untilMargin is how much later than its term a listing ends by itself. In good order a run
// takes it out at its end; until a range that merged it with others has been taken apart, and while
// the clocks of the list and of the firewall differ, it must not be gone.
const untilMargin = 5 * time.Minute

// until returns when a pick ends by itself in a book.
func (b Book) until(p pick) time.Time {
	if !b.Ends || p.rank.ExpiresAt.IsZero() {
		return time.Time{}
	}
	grid := max(time.Second, b.Grid)
	end := p.rank.ExpiresAt.Add(untilMargin)
	if t := end.Truncate(grid); !t.Equal(end) {
		end = t.Add(grid)
	}
	return end.UTC()
}

// openBook is a book while a run works on it.
type openBook struct {
	BookFirewall
	held  holding // nil before it is known
	doubt bool    // the outcome of a write is not known, so held may not be what it holds
	// partly: a batch of several ends is several calls, and one that is refused may have been entered in part.
	partly   bool
	roomMet  int  // how many it took when it was found to be full; 0: it was not
	drifting bool // the run stopped because of what somebody else did
}

// holding is what a book holds, as far as the run knows.
type holding map[netip.Prefix]time.Time

func holdingOf(list []Listing) holding {
	h := make(holding, len(list))
	for _, l := range list {
		h[l.Prefix] = l.Until
	}
	return h
}

// sorted returns the prefixes in order of address.
func (h holding) sorted() []netip.Prefix {
	return slices.SortedFunc(maps.Keys(h), comparePrefix)
}

// listings returns all of it in order of address.
func (h holding) listings() []Listing {
	list := make([]Listing, 0, len(h))
	for _, p := range h.sorted() {
		list = append(list, Listing{p, h[p]})
	}
	return list
}

// planBook works out what turns the book into the list.
func (r *run) planBook(ctx context.Context, state State) (Plan, error) {
	b := *state.Book
	r.book.partly = b.Ends
	limits := r.limits
	limits.Repair, limits.NoIPv6 = !state.RuleOK, state.NoIPv6
	if r.Book != nil && r.Book.Room > 0 && !r.Verify { // it was full before; hourly it is tried again
		b = b.within(r.Book.Room)
	}
	if err := r.open(ctx, state); err != nil {
		return Plan{}, err
	}
	if r.quota != nil && r.atStep == Enlist { // a limit on rules says nothing about the book
		r.book.roomMet = max(r.book.roomMet, len(r.book.held)) // what it turned out to hold, it has room for
		b = b.within(r.book.roomMet)
	}
	picks := r.choose([]Set{{Prefixes: r.book.held.sorted()}}, limits.ofBook(b))
	return placeInBook(r.book.held, picks, b, limits, !state.Exists), nil
}

// within bounds the room by what was met: in all, whatever the families have of their own.
func (b Book) within(room int) Book {
	if b.Room6 > 0 && room > 0 {
		b.Room, b.Room6 = fewer(b.Room+b.Room6, room), 0
	}
	b.Room = fewer(b.Room, room)
	return b
}

// fewer is the smaller of two rooms, of which 0 means as much as you like.
func fewer(a, b int) int {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}

// enlist enters listings. A batch that is refused as a whole is entered in halves, so that
// one bad address or the last free place is found in a few calls.
func (r *run) enlist(ctx context.Context, list []Listing) error {
	err := inTime(ctx, r.book.Add(ctx, list, r.stamp()))
	var entry *EntryError
	switch {
	case err == nil:
		for _, l := range list {
			r.book.held[l.Prefix] = l.Until
		}
		return nil
	case errors.As(err, &entry):
		return err
	case errors.Is(err, ErrInvalid) && len(list) == 1:
		return &EntryError{Prefix: list[0].Prefix, Err: err}
	case (errors.Is(err, ErrInvalid) || errors.Is(err, ErrQuota)) && len(list) > 1:
		r.book.doubt = r.book.doubt || r.book.partly // some may be in all the same
		half := (len(list) + 1) / 2
		if err := r.enlist(ctx, list[:half]); err != nil {
			return err
		}
		return r.enlist(ctx, list[half:])
	case errors.Is(err, ErrQuota):
		r.book.roomMet = max(1, len(r.book.held))
	}
	r.book.doubt = r.book.doubt || !refused(err)
	return err
}

// delist strikes prefixes out.
func (r *run) delist(ctx context.Context, list []netip.Prefix) error {
	err := inTime(ctx, r.book.Remove(ctx, list, r.stamp()))
	if err != nil {
		r.book.doubt = r.book.doubt || !refused(err)
		return err
	}
	for _, p := range list {
		delete(r.book.held, p)
	}
	return nil
}

// refused tells errors after which nothing was changed for certain.
func refused(err error) bool {
	return errors.Is(err, ErrThrottled) || errors.Is(err, ErrQuota) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrDenied)
}
