package waftest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
)

// BookWall is a firewall with a book, in memory. Open returns views of it, as separate
// processes would have them. Safe for concurrent use but for its fields.
type BookWall struct {
	Room  int  // how many listings it takes; 0: any number
	Told  bool // Look tells Room; otherwise only a full book does
	Batch int  // of one call; default 10
	// Now, if set, lets go of what has ended; listings carry an end then.
	Now  func() time.Time
	Grid time.Duration
	// Blind: Look does not count.
	Blind bool
	// Unstamped: the book has no place for a stamp.
	Unstamped bool
	// Refuses, if set, tells which prefixes the firewall takes for invalid.
	Refuses func(netip.Prefix) bool
	// OnWrite, if set, is asked before each write. apply false keeps the write from
	// happening; err is what the caller is told. (true, err) is a lost answer.
	OnWrite func(op string) (apply bool, err error)
	// OnRead, if set, fails a Look or Listings.
	OnRead func(op string) error

	mu    sync.Mutex
	list  map[netip.Prefix]time.Time
	rule  bool
	stamp *waf.Stamp
	reads int
}

// Open returns a view of the wall.
func (w *BookWall) Open() *Booked { return &Booked{wall: w} }

// Enforced returns what the wall blocks, in order.
func (w *BookWall) Enforced() []netip.Prefix {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.rule {
		return nil
	}
	return inOrder(slices.Collect(maps.Keys(w.live())))
}

// Edit is a second writer's hand in the book.
func (w *BookWall) Edit(change func(list map[netip.Prefix]time.Time)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.list == nil {
		w.list = map[netip.Prefix]time.Time{}
	}
	change(w.list)
}

// Drop is a second writer who deletes the book and the rule.
func (w *BookWall) Drop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list, w.rule, w.stamp = nil, false, nil
}

func (w *BookWall) note(stamp waf.Stamp) {
	if !w.Unstamped {
		w.stamp = &stamp
	}
}

// Reads returns how often the whole book was read.
func (w *BookWall) Reads() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reads
}

// live returns what has not ended.
func (w *BookWall) live() map[netip.Prefix]time.Time {
	if w.Now == nil {
		return w.list
	}
	now := w.Now()
	live := maps.Clone(w.list)
	maps.DeleteFunc(live, func(_ netip.Prefix, end time.Time) bool { return !end.IsZero() && !end.After(now) })
	return live
}

// Booked implements waf.BookFirewall on a BookWall. Not for concurrent use.
type Booked struct {
	tally
	wall *BookWall
}

func (f *Booked) read(ctx context.Context, op string) error {
	f.calls++
	if f.wall.OnRead != nil {
		if err := f.wall.OnRead(op); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
	}
	return ctx.Err()
}

// Look implements waf.Firewall.
func (f *Booked) Look(ctx context.Context) (waf.State, error) {
	if err := f.read(ctx, "look"); err != nil {
		return waf.State{}, err
	}
	w := f.wall
	w.mu.Lock()
	defer w.mu.Unlock()
	book := &waf.Book{Name: "book", Count: len(w.live()), Batch: cmp.Or(w.Batch, 10), Ends: w.Now != nil, Grid: w.Grid}
	if w.Blind {
		book.Count = -1
	}
	if w.Told {
		book.Room = w.Room
	}
	state := waf.State{Wall: "book in memory", Exists: w.list != nil, RuleOK: w.rule || w.list == nil, Book: book}
	if w.stamp != nil {
		stamp := *w.stamp
		state.Stamp = &stamp
	}
	return state, nil
}

// Listings implements waf.BookFirewall.
func (f *Booked) Listings(ctx context.Context) ([]waf.Listing, error) {
	if err := f.read(ctx, "listings"); err != nil {
		return nil, err
	}
	w := f.wall
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads++
	var list []waf.Listing
	for p, end := range w.live() {
		list = append(list, waf.Listing{Prefix: p, Until: end})
	}
	return list, nil
}

func (f *Booked) write(ctx context.Context, op string, change func(w *BookWall) error) error {
	w := f.wall
	ask := func() (bool, error) {
		if w.OnWrite == nil {
			return true, nil
		}
		return w.OnWrite(op)
	}
	return f.tally.write(ctx, op, ask, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		return change(w)
	})
}

// Add implements waf.BookFirewall.
func (f *Booked) Add(ctx context.Context, listings []waf.Listing, stamp waf.Stamp) error {
	return f.write(ctx, "add", func(w *BookWall) error {
		after := maps.Clone(w.live())
		if after == nil {
			after = map[netip.Prefix]time.Time{}
		}
		for _, l := range listings {
			if w.Refuses != nil && w.Refuses(l.Prefix) || l.Prefix != l.Prefix.Masked() || (w.Now == nil) != l.Until.IsZero() {
				return waf.ErrInvalid
			}
			after[l.Prefix] = l.Until
		}
		switch {
		case len(listings) > cmp.Or(w.Batch, 10):
			return waf.ErrInvalid
		case w.Room > 0 && len(after) > w.Room:
			return waf.ErrQuota
		}
		w.list = after
		w.note(stamp)
		return nil
	})
}

// Remove implements waf.BookFirewall.
func (f *Booked) Remove(ctx context.Context, prefixes []netip.Prefix, stamp waf.Stamp) error {
	return f.write(ctx, "remove", func(w *BookWall) error {
		for _, p := range prefixes {
			delete(w.list, p)
		}
		w.note(stamp)
		return nil
	})
}

// Refer implements waf.BookFirewall.
func (f *Booked) Refer(ctx context.Context) error {
	return f.write(ctx, "refer", func(w *BookWall) error {
		w.rule = true
		return nil
	})
}
