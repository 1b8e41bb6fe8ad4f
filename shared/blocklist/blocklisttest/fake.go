package blocklisttest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// Fake is a blocklist in memory that keeps the contract. The zero Fake is an empty
// store, ready for use and safe for concurrent use. What goes in and what comes out
// is copied. Set the On… fields before the first call.
//
// Faults have two sides. A fault func returns whether the operation takes effect
// and what the caller is told: (false, err) is "refused", (true, err) is "done, but
// the answer got lost", which is the case that proves idempotence.
type Fake struct {
	// OnPut and OnRemove decide about writes of the list.
	OnPut    func(b blocklist.Batch) (apply bool, err error)
	OnRemove func(inds []threat.Indicator) (apply bool, err error)
	// OnSave decides about SaveRun, SaveStatus, SaveAllowlist, Ack, SaveApproval and
	// UseApproval, SaveCases and SaveState, named by what: "run", "status", "allowlist", "ack",
	// "approval", "use approval", "cases", "state".
	OnSave func(what, id string) (apply bool, err error)
	// OnAcquire, OnRenew decide about leases.
	OnAcquire func(job string) (apply bool, err error)
	OnRenew   func(job string) (apply bool, err error)
	// OnRead decides about reads: "snapshot", "lookup", "checkpoint", "receive",
	// "run", "status", "allowlist", "first", "ended", "await", "approval", "histories", "size",
	// "accounts", "case", "state". A non-nil error is the answer.
	OnRead func(what string) error
	// Secret is what the jitter of blocks depends on; see blocklist.NewJitter. A real store
	// draws its own; with none, blocks here have no jitter and end after their term exactly.
	Secret string
	// Clock is what leases and times to live of records run on; time.Now if nil.
	// Entries are judged by the now of each call instead.
	Clock func() time.Time

	mu          sync.Mutex
	epoch       string
	founded     int
	generation  uint64
	damaged     string // why the list is not whole
	entries     map[threat.Indicator]blocklist.Entry
	lost        map[threat.Indicator]bool
	pasts       map[threat.Indicator]blocklist.Past
	checkpoints map[string]time.Time
	leases      map[string]fakeLease
	fences      map[string]uint64
	messages    []blocklist.Notice
	lastID      int
	groups      map[string]*fakeGroup
	once        map[string]time.Time
	records     map[string][]byte
	allow       *allowlist.List
	allowBad    bool
	approvals   map[string]fakeApproval
	cases       map[threat.Indicator]fakeCase
	states      map[string][]byte
	rung        chan struct{} // closed by the next message; nil: nobody waits
}

type fakeLease struct {
	token uint64
	until time.Time
}

// fakeGroup is one consumer group: up to where it has read, and what is pending since when.
type fakeGroup struct {
	read    int
	pending map[string]time.Time
}

func (f *Fake) clock() time.Time {
	if f.Clock != nil {
		return f.Clock()
	}
	return time.Now()
}

// Put implements Store.
func (f *Fake) Put(ctx context.Context, b blocklist.Batch) (blocklist.Changes, error) {
	var bad []error
	if b.Now.Unix() <= 0 {
		bad = append(bad, errors.New("now: no time"))
	}
	for i, o := range b.Offences {
		if err := o.Check(b.Now); err != nil {
			bad = append(bad, fmt.Errorf("offence %d: %w", i+1, err))
		}
	}
	if err := errors.Join(bad...); err != nil {
		return blocklist.Changes{}, fmt.Errorf("put: %w", err)
	}
	apply, fault, err := f.fault(ctx, f.OnPut != nil, func() (bool, error) { return f.OnPut(b) })
	if err != nil || !apply {
		return blocklist.Changes{}, first(err, fault)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.found(); err != nil {
		return blocklist.Changes{}, fmt.Errorf("put: %w", err)
	}
	var c blocklist.Changes
	for _, o := range b.Offences {
		o = o.Clean()
		var old *blocklist.Entry
		if e, ok := f.entries[o.Indicator]; ok && !f.lost[o.Indicator] {
			old = &e
		}
		e, past, outcome := blocklist.Apply(old, f.pasts[o.Indicator], f.jitter(o.Indicator), o, b.Now)
		c.Tally(outcome)
		if outcome == blocklist.OutcomeReleased || outcome == blocklist.OutcomeExpired {
			continue
		}
		f.entries[o.Indicator], f.pasts[o.Indicator] = cloneEntry(e), past
		delete(f.lost, o.Indicator)
	}
	for rule, at := range b.Checkpoints {
		if at = at.UTC().Truncate(time.Second); at.After(f.checkpoints[rule]) {
			f.checkpoints[rule] = at
		}
	}
	maps.DeleteFunc(f.entries, func(_ threat.Indicator, e blocklist.Entry) bool { return !e.ExpiresAt.After(b.Now) })
	f.changed(b.Run, c.Added, c.Extended+c.Upgraded, 0)
	c.Generation = f.generation
	if fault != nil {
		return blocklist.Changes{}, fault
	}
	return c, nil
}

func (f *Fake) jitter(ind threat.Indicator) blocklist.Jitter {
	if f.Secret == "" {
		return blocklist.Jitter{}
	}
	return blocklist.NewJitter(f.Secret, ind.Key())
}

// Remove implements Store.
func (f *Fake) Remove(ctx context.Context, now time.Time, run string, inds []threat.Indicator) (int, error) {
	return f.Unblock(ctx, blocklist.Unblock{Run: run, Now: now, Indicators: inds})
}

// Unblock implements Store.
func (f *Fake) Unblock(ctx context.Context, u blocklist.Unblock) (int, error) {
	if err := u.Check(); err != nil {
		return 0, fmt.Errorf("remove: %w", err)
	}
	inds, now := u.Indicators, u.Now
	apply, fault, err := f.fault(ctx, f.OnRemove != nil, func() (bool, error) { return f.OnRemove(inds) })
	if err != nil || !apply {
		return 0, first(err, fault)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch == "" && f.damaged == "" {
		return 0, fmt.Errorf("remove: %w", blocklist.ErrNoEpoch)
	}
	if err := f.found(); err != nil {
		return 0, fmt.Errorf("remove: %w", err)
	}
	removed := 0
	for _, ind := range inds {
		e, ok := f.entries[ind]
		active := ok && !f.lost[ind] && e.ExpiresAt.After(now)
		if active {
			removed++
		}
		f.pasts[ind] = blocklist.Forgive(active, f.pasts[ind], now, u.CoolOff)
		delete(f.entries, ind)
		delete(f.lost, ind)
	}
	f.changed(u.Run, 0, 0, removed)
	if fault != nil {
		return 0, fault
	}
	return removed, nil
}

// found makes an empty store a list; callers hold the lock.
func (f *Fake) found() error {
	if f.damaged != "" {
		return fmt.Errorf("%w: %s", blocklist.ErrDamaged, f.damaged)
	}
	if f.epoch == "" {
		f.founded++
		f.epoch = "fake-" + strconv.Itoa(f.founded)
		f.entries, f.lost = map[threat.Indicator]blocklist.Entry{}, map[threat.Indicator]bool{}
		f.pasts = map[threat.Indicator]blocklist.Past{}
		f.checkpoints = map[string]time.Time{}
	}
	return nil
}

// changed counts a change and rings the bell; callers hold the lock.
func (f *Fake) changed(run string, added, extended, removed int) {
	if added+extended+removed == 0 {
		return
	}
	f.generation++
	f.lastID++
	f.messages = append(f.messages, blocklist.Notice{
		ID: strconv.Itoa(f.lastID) + "-0", Run: run, Generation: f.generation, Added: added, Removed: removed,
	})
	if f.rung != nil {
		close(f.rung)
		f.rung = nil
	}
}

// Snapshot implements Store.
func (f *Fake) Snapshot(ctx context.Context, now time.Time) (blocklist.Snapshot, error) {
	if err := f.read(ctx, "snapshot"); err != nil {
		return blocklist.Snapshot{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.whole(); err != nil {
		return blocklist.Snapshot{}, fmt.Errorf("read blocklist: %w", err)
	}
	s := blocklist.Snapshot{Epoch: f.epoch, Generation: f.generation}
	for ind, e := range f.entries {
		if !e.ExpiresAt.After(now) {
			continue
		}
		if f.lost[ind] {
			return blocklist.Snapshot{}, fmt.Errorf("read blocklist: %w: an entry has no readable value", blocklist.ErrDamaged)
		}
		s.Entries = append(s.Entries, cloneEntry(e))
	}
	inListOrder(s.Entries)
	return s, nil
}

// whole tells whether there is a list to read; callers hold the lock.
func (f *Fake) whole() error {
	switch {
	case f.epoch == "":
		return blocklist.ErrNoEpoch
	case f.damaged != "":
		return fmt.Errorf("%w: %s", blocklist.ErrDamaged, f.damaged)
	}
	return nil
}

// inListOrder sorts the longest-lasting first.
func inListOrder(entries []blocklist.Entry) []blocklist.Entry {
	slices.SortFunc(entries, func(a, b blocklist.Entry) int {
		return cmp.Or(b.ExpiresAt.Compare(a.ExpiresAt), b.Indicator.Compare(a.Indicator))
	})
	return entries
}

// Each implements Store.
func (f *Fake) Each(ctx context.Context, now time.Time, fn func([]blocklist.Entry) error) (blocklist.Version, error) {
	s, err := f.Snapshot(ctx, now)
	if err != nil {
		return blocklist.Version{}, err
	}
	for page := range slices.Chunk(s.Entries, 1000) {
		if err := fn(page); err != nil {
			return blocklist.Version{}, err
		}
	}
	return blocklist.Version{Epoch: s.Epoch, Generation: s.Generation}, nil
}

// Lookup implements Store.
func (f *Fake) Lookup(ctx context.Context, now time.Time, ind threat.Indicator) (blocklist.Entry, bool, error) {
	if err := f.read(ctx, "lookup"); err != nil {
		return blocklist.Entry{}, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch == "" {
		return blocklist.Entry{}, false, fmt.Errorf("look up %s: %w", ind.Masked(), blocklist.ErrNoEpoch)
	}
	e, ok := f.entries[ind]
	if !ok || f.lost[ind] || !e.ExpiresAt.After(now) {
		return blocklist.Entry{}, false, nil
	}
	return cloneEntry(e), true, nil
}

// Checkpoint implements Store.
func (f *Fake) Checkpoint(ctx context.Context, rule string) (time.Time, bool, error) {
	if err := f.read(ctx, "checkpoint"); err != nil {
		return time.Time{}, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	at, ok := f.checkpoints[rule]
	return at, ok, nil
}

// Close implements Store. It does nothing.
func (f *Fake) Close() error { return nil }

// Flush takes everything away, as FLUSHALL does to Redis. The faults stay.
func (f *Fake) Flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.epoch, f.generation, f.damaged = "", 0, ""
	f.entries, f.lost, f.pasts, f.checkpoints = nil, nil, nil, nil
	f.leases, f.fences, f.messages, f.groups = nil, nil, nil, nil
	f.once, f.records, f.approvals, f.allow, f.allowBad = nil, nil, nil, nil, false
	f.cases, f.states = nil, nil
}

// Lose takes one part away; see Harness.
func (f *Fake) Lose(part string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch part {
	case "epoch":
		f.epoch, f.damaged = "", "the epoch is missing"
	case "generation", "expiry":
		f.damaged = "no " + part
	case "secret":
		f.Secret += "'" // the next write would draw another
	case "handoff":
		f.messages, f.groups = nil, nil
	case "allowlist":
		f.allow, f.allowBad = nil, false
	default:
		f.loseEntry(part)
	}
}

// Corrupt overwrites one part with garbage; see Harness.
func (f *Fake) Corrupt(part string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if part == "allowlist" {
		f.allowBad = true
		return
	}
	f.loseEntry(part)
}

func (f *Fake) loseEntry(part string) {
	for ind := range f.entries {
		if "entry:"+ind.Key() == part {
			f.lost[ind] = true
		}
	}
}

// fault asks a fault func. err is the context's; fault is the fault's.
func (f *Fake) fault(ctx context.Context, set bool, ask func() (bool, error)) (apply bool, fault, err error) {
	if err := ctx.Err(); err != nil {
		return false, nil, err
	}
	if !set {
		return true, nil, nil
	}
	apply, fault = ask()
	return apply, fault, nil
}

func (f *Fake) read(ctx context.Context, what string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if f.OnRead != nil {
		return f.OnRead(what)
	}
	return nil
}

// first returns the first error that is one. (cmp.Or would compare them, which not every error bears.)
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func cloneEntry(e blocklist.Entry) blocklist.Entry {
	e.Rules, e.Countries, e.Accounts = slices.Clone(e.Rules), slices.Clone(e.Countries), slices.Clone(e.Accounts)
	e.Tags = slices.Clone(e.Tags)
	return e
}
