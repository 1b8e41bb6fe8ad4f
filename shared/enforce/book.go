package enforce

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/waf"
)

// Book is what a run left in a firewall's book, packed for the next run.
type Book struct {
	Wall       string     `json:"wall"` // waf.State.Wall
	Epoch      string     `json:"epoch"`
	Generation uint64     `json:"generation"`
	Room       int        `json:"room,omitempty"` // how many it took when it was found to be full
	Pages      []BookPage `json:"pages"`
}

// BookPage is the part of a book that ends at the same time.
type BookPage struct {
	Until    time.Time `json:"until,omitzero"`
	Prefixes Packed    `json:"prefixes"`
}

// packBook packs what a run left; nil if that is in doubt, or more than a status has room for.
func packBook(m *waf.BookMemory) *Book {
	if m == nil {
		return nil
	}
	b := &Book{Wall: m.Wall, Epoch: m.Epoch, Generation: m.Generation, Room: m.Room, Pages: []BookPage{}}
	byEnd := map[time.Time][]netip.Prefix{}
	for _, l := range m.Listings {
		byEnd[l.Until] = append(byEnd[l.Until], l.Prefix)
	}
	room := maxPacked
	for until, list := range byEnd {
		packed, cut := packPrefixes(list, room)
		if cut > 0 {
			return nil
		}
		room -= len(packed)
		b.Pages = append(b.Pages, BookPage{until, packed})
	}
	slices.SortFunc(b.Pages, func(a, b BookPage) int { return a.Until.Compare(b.Until) })
	return b
}

// memory unpacks it.
func (b *Book) memory() *waf.BookMemory {
	if b == nil {
		return nil
	}
	m := &waf.BookMemory{Wall: b.Wall, Epoch: b.Epoch, Generation: b.Generation, Room: b.Room}
	for _, page := range b.Pages {
		for p := range page.Prefixes.All {
			m.Listings = append(m.Listings, waf.Listing{Prefix: p, Until: page.Until})
		}
	}
	slices.SortFunc(m.Listings, func(a, b waf.Listing) int { return comparePrefix(a.Prefix, b.Prefix) })
	return m
}

// writer is asked before each write of a run: is the lease still ours, and is what we remember of the book
// struck out before it is no longer true. A run that is killed between its writes and its
// status would else leave a memory by which somebody seems to be blocked who is not.
type writer struct {
	run        *run
	target     string
	before     Status
	unreadable error // the status could not be read, so it cannot be struck out either
	lease      *blocklist.Lease
	book       bool // the firewall keeps one
	began      bool
}

func (w *writer) beforeWrite(ctx context.Context) error {
	if !w.began {
		if err := w.strikeOut(ctx); err != nil {
			return err
		}
		w.began = true
	}
	return w.lease.Renew(ctx) // last: whoever has lost it has struck nothing out and must not write
}

// strikeOut puts what is remembered of the book in doubt.
func (w *writer) strikeOut(ctx context.Context) error {
	if w.unreadable != nil && w.book {
		return w.unreadable
	}
	if w.before.Book == nil {
		return nil
	}
	doubted := w.before
	doubted.Book = nil
	return w.run.record(ctx, w.target, doubted, w.lease)
}

// bookAfter is what the next run is to remember of the book. w is nil in a plan.
func (w *writer) bookAfter(before Status, report waf.Report) *Book {
	switch {
	case w == nil || report.Book == nil && !w.began:
		return before.Book // as it was
	default:
		return packBook(report.Book)
	}
}
