package waf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// BookMemory is what a run left in a book, for the next run: to read a book of 50,000
// takes a hundred calls. Whoever keeps it puts it in doubt before the first write (see
// Reconciler.BeforeWrite) and keeps Report.Book afterwards, which is nil if the outcome of a write is not known.
type BookMemory struct {
	Epoch      string
	Generation uint64
	Listings   []Listing // in order of address
	// Room is how many the book took when it was found to be full; 0: it never was.
	Room int
}

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

// newcomer is a pick that the book lacks, or whose end has moved.
type newcomer struct {
	pick
	until  time.Time
	renews bool
}

// placeInBook plans a book: most urgent first in, then the rule, and what is not wanted out, or out first where
// that makes the room and touches nothing on its way in. refer: the rule is to be written.
func placeInBook(held holding, c choice, b Book, l Limits, refer bool) Plan {
	plan := Plan{Desired: c.desired, Rejected: c.rejected, condensed: c.condensed}
	in, renewed, gone := compareBook(held, c.picks, b)
	plan.holds, plan.added, plan.released = len(held), len(in), releasedFrom(gone, c.picks)

	early, late, waiting := makeRoom(held, in, gone, b)
	in = in[:len(in)-len(waiting)]
	plan.picks = without(c.picks, waiting)
	overflow := slices.Clone(c.overflow)
	for _, n := range waiting {
		overflow = append(overflow, n.pick)
		plan.added--
	}
	slices.SortFunc(overflow, func(a, b pick) int {
		return cmp.Or(compareRank(a, b), comparePrefix(a.Prefix, b.Prefix))
	})
	for _, p := range overflow {
		plan.Overflow = append(plan.Overflow, p.want())
	}
	plan.OverflowWants = weightOf(overflow)

	steps := delist(b, early)
	enlist := enlist(b, append(in, renewed...))
	if len(enlist) > 0 { // the first of them makes the book, and from then on each is in force at once
		steps, enlist = append(steps, enlist[0]), enlist[1:]
	}
	if refer && len(steps) > 0 || l.Repair {
		steps = append(steps, Step{Kind: Reference})
	}
	plan.Steps = append(append(steps, enlist...), delist(b, late)...)
	return plan
}

// compareBook returns what the book lacks, most urgent first, what has to be given a later end, and
// what is not wanted.
func compareBook(held holding, picks []pick, b Book) (in, renewed []newcomer, gone []netip.Prefix) {
	wanted := make(map[netip.Prefix]bool, len(picks))
	for _, p := range picks {
		wanted[p.Prefix] = true
		until := b.until(p)
		now, has := held[p.Prefix]
		switch {
		case !has:
			in = append(in, newcomer{pick: p, until: until})
		case b.Ends && !now.IsZero() && (until.IsZero() || now.Before(until)):
			renewed = append(renewed, newcomer{pick: p, until: until, renews: true})
		}
	}
	// Within a severity by end: those that share one can share a call, and the latest is the newest.
	urgency := func(a, b newcomer) int {
		return cmp.Or(cmp.Compare(b.rank.Severity, a.rank.Severity), b.until.Compare(a.until), compareRank(a.pick, b.pick), comparePrefix(a.Prefix, b.Prefix))
	}
	slices.SortFunc(in, urgency)
	slices.SortFunc(renewed, urgency)
	for p := range held {
		if !wanted[p] {
			gone = append(gone, p)
		}
	}
	slices.SortFunc(gone, comparePrefix)
	return in, renewed, gone
}

// releasedFrom returns those of gone that nothing wanted covers. Both lists are sorted.
func releasedFrom(gone []netip.Prefix, picks []pick) (released []netip.Prefix) {
	for _, p := range gone {
		i, _ := slices.BinarySearchFunc(picks, p, func(a pick, p netip.Prefix) int { return comparePrefix(a.Prefix, p) })
		if i > 0 && picks[i-1].Prefix.Bits() <= p.Bits() && picks[i-1].Prefix.Contains(p.Addr()) {
			continue
		}
		released = append(released, p)
	}
	return released
}

// makeRoom splits what is to go into what goes before anything is added, because a full
// book needs its place, and the rest. Nothing that covers a part of a newcomer goes early: its
// addresses would be free until the newcomer is in. Newcomers that have no place even so wait for the next run.
func makeRoom(held holding, in []newcomer, gone []netip.Prefix, b Book) (early, late []netip.Prefix, waiting []newcomer) {
	need := len(held) + len(in) - b.Room
	if b.Room <= 0 || need <= 0 {
		return nil, gone, nil
	}
	coming := make([]netip.Prefix, len(in))
	for i, n := range in {
		coming[i] = n.Prefix
	}
	slices.SortFunc(coming, comparePrefix)
	for _, p := range gone {
		if len(early) < need && !overlaps(coming, p) {
			early = append(early, p)
		} else {
			late = append(late, p)
		}
	}
	if short := need - len(early); short > 0 {
		waiting = in[max(0, len(in)-short):]
	}
	return early, late, waiting
}

// without returns the picks but for those that wait.
func without(picks []pick, waiting []newcomer) []pick {
	if len(waiting) == 0 {
		return picks
	}
	out := make(map[netip.Prefix]bool, len(waiting))
	for _, n := range waiting {
		out[n.Prefix] = true
	}
	return slices.DeleteFunc(slices.Clone(picks), func(p pick) bool { return out[p.Prefix] })
}

func enlist(b Book, list []newcomer) (steps []Step) {
	for part := range slices.Chunk(list, max(1, b.Batch)) {
		step := Step{Kind: Enlist, Set: b.Name}
		for _, n := range part {
			step.Listings = append(step.Listings, Listing{n.Prefix, n.until})
			if n.renews {
				step.Renewed++
			} else {
				step.Added++
			}
		}
		steps = append(steps, step)
	}
	return steps
}

func delist(b Book, list []netip.Prefix) (steps []Step) {
	for part := range slices.Chunk(list, max(1, b.Batch)) {
		steps = append(steps, Step{Kind: Delist, Set: b.Name, Content: part, Removed: len(part)})
	}
	return steps
}

// planBook works out what turns the book into the list.
func (r *run) planBook(ctx context.Context, state State) (Plan, error) {
	b := *state.Book
	limits := r.limits
	limits.Repair, limits.NoIPv6 = !state.RuleOK, state.NoIPv6
	if r.Book != nil && r.Book.Room > 0 && !r.Verify { // it was full before; hourly it is tried again
		b.Room = fewer(b.Room, r.Book.Room)
	}
	if r.quota != nil {
		b.Room = fewer(b.Room, r.roomMet)
	}
	if err := r.open(ctx, state); err != nil {
		return Plan{}, err
	}
	picks := r.choose([]Set{{Prefixes: r.held.sorted()}}, limits.ofBook(b))
	return placeInBook(r.held, picks, b, limits, !state.Exists), nil
}

// fewer is the smaller of two rooms, of which 0 means as much as you like.
func fewer(a, b int) int {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}

// open makes sure that the run knows what the book holds: from memory if that can be trusted,
// else by reading it.
func (r *run) open(ctx context.Context, state State) error {
	if r.held != nil && !r.doubt {
		return nil // a second look of the same run
	}
	if m := r.Book; m != nil && r.held == nil && !r.Verify && r.believes(*m, state) {
		r.held = holdingOf(m.Listings)
	} else {
		list, err := r.book.Listings(ctx)
		if err != nil {
			return err
		}
		read := holdingOf(list)
		if m != nil && r.held == nil && r.believes(*m, state) {
			r.comparedWith(holdingOf(m.Listings), read)
		}
		r.held, r.doubt = read, false
	}
	if state.Book.Ends && !r.Now.IsZero() {
		maps.DeleteFunc(r.held, func(_ netip.Prefix, end time.Time) bool { return !end.IsZero() && !end.After(r.Now) })
	}
	return nil
}

// believes tells whether what is remembered of the book fits what stands.
func (r *run) believes(m BookMemory, state State) bool {
	if !state.Exists && len(m.Listings) > 0 {
		return false
	}
	if s := state.Stamp; s != nil && (!s.Of(m.Epoch) || s.Generation > m.Generation) {
		return false // somebody with a newer list has been here, or ours was restored
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

// enlist enters listings. A batch that is refused as a whole is entered in halves, so that
// one bad address or the last free place is found in a few calls.
func (r *run) enlist(ctx context.Context, list []Listing) error {
	err := inTime(ctx, r.book.Add(ctx, list, r.stamp()))
	var entry *EntryError
	switch {
	case err == nil:
		for _, l := range list {
			r.held[l.Prefix] = l.Until
		}
		return nil
	case errors.As(err, &entry):
		return err
	case errors.Is(err, ErrInvalid) && len(list) == 1:
		return &EntryError{Prefix: list[0].Prefix, Err: err}
	case (errors.Is(err, ErrInvalid) || errors.Is(err, ErrQuota)) && len(list) > 1:
		half := (len(list) + 1) / 2
		if err := r.enlist(ctx, list[:half]); err != nil {
			return err
		}
		return r.enlist(ctx, list[half:])
	case errors.Is(err, ErrQuota):
		r.roomMet = max(1, len(r.held))
	}
	r.doubt = r.doubt || !refused(err)
	return err
}

// delist strikes prefixes out.
func (r *run) delist(ctx context.Context, list []netip.Prefix) error {
	err := inTime(ctx, r.book.Remove(ctx, list, r.stamp()))
	if err != nil {
		r.doubt = r.doubt || !refused(err)
		return err
	}
	for _, p := range list {
		delete(r.held, p)
	}
	return nil
}

// refused tells errors after which nothing was changed for certain.
func refused(err error) bool {
	return errors.Is(err, ErrThrottled) || errors.Is(err, ErrQuota) || errors.Is(err, ErrInvalid) || errors.Is(err, ErrDenied)
}

// remembered is what the next run is to know of the book; nil if that is in doubt.
func (r *run) remembered() *BookMemory {
	if r.held == nil || r.doubt {
		return nil
	}
	m := &BookMemory{Epoch: r.want.Epoch, Generation: r.want.Generation, Listings: r.held.listings()}
	switch {
	case r.roomMet > 0:
		m.Room = r.roomMet
	case r.Book != nil && !r.Verify:
		m.Room = r.Book.Room
	}
	return m
}
