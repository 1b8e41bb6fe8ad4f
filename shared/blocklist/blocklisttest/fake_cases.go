package blocklisttest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

type fakeCase struct {
	blocklist.Case
	until time.Time
}

// Histories implements Store.
func (f *Fake) Histories(ctx context.Context, now time.Time, inds []threat.Indicator) (map[threat.Indicator]blocklist.History, error) {
	if err := f.read(ctx, "histories"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch == "" {
		return nil, fmt.Errorf("read histories: %w", blocklist.ErrNoEpoch)
	}
	known := map[threat.Indicator]blocklist.History{}
	for _, ind := range inds {
		past, ok := f.pasts[ind]
		if !ok {
			continue
		}
		var e *blocklist.Entry
		if entry, ok := f.entries[ind]; ok {
			if f.lost[ind] {
				return nil, fmt.Errorf("read histories: %s: %w", ind.Masked(), blocklist.ErrDamaged)
			}
			e = &entry
		}
		known[ind] = blocklist.HistoryOf(e, past, now)
	}
	return known, nil
}

// Size implements Store.
func (f *Fake) Size(ctx context.Context, now time.Time) (int, error) {
	if err := f.read(ctx, "size"); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.whole(); err != nil {
		return 0, fmt.Errorf("count blocklist: %w", err)
	}
	n := 0
	for _, e := range f.entries {
		if e.ExpiresAt.After(now) {
			n++
		}
	}
	return n, nil
}

// Accounts implements Store.
func (f *Fake) Accounts(ctx context.Context, now time.Time) ([]blocklist.Entry, error) {
	if err := f.read(ctx, "accounts"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.whole(); err != nil {
		return nil, fmt.Errorf("read blocked accounts: %w", err)
	}
	var entries []blocklist.Entry
	for ind, e := range f.entries {
		if ind.Kind() != threat.KindAccount || !e.ExpiresAt.After(now) {
			continue
		}
		if f.lost[ind] {
			return nil, fmt.Errorf("read blocked accounts: %w: an entry has no readable value", blocklist.ErrDamaged)
		}
		entries = append(entries, cloneEntry(e))
	}
	return inListOrder(entries), nil
}

// SaveCases implements Store.
func (f *Fake) SaveCases(ctx context.Context, cases []blocklist.Case) error {
	if err := blocklist.CheckCases(cases); err != nil {
		return fmt.Errorf("save cases: %w", err)
	}
	return f.save(ctx, "cases", "", func() {
		if f.cases == nil {
			f.cases = map[threat.Indicator]fakeCase{}
		}
		for _, c := range cases {
			c.At, c.Keep, c.Text = c.At.UTC().Truncate(time.Second), c.Keep.Truncate(time.Second), slices.Clone(c.Text)
			f.cases[c.Indicator] = fakeCase{c, f.clock().Add(c.Keep)}
		}
	})
}

// Case implements Store.
func (f *Fake) Case(ctx context.Context, ind threat.Indicator) (blocklist.Case, bool, error) {
	if err := f.read(ctx, "case"); err != nil {
		return blocklist.Case{}, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.cases[ind]
	if !ok || !c.until.After(f.clock()) {
		return blocklist.Case{}, false, nil
	}
	c.Text = slices.Clone(c.Text)
	return c.Case, true, nil
}

// SaveState implements Store.
func (f *Fake) SaveState(ctx context.Context, name string, data []byte) error {
	if name == "" || len(data) > blocklist.MaxState {
		return fmt.Errorf("save state %q of %d bytes: want a name and at most %d", name, len(data), blocklist.MaxState)
	}
	return f.save(ctx, "state", name, func() {
		if f.states == nil {
			f.states = map[string][]byte{}
		}
		f.states[name] = slices.Clone(data)
	})
}

// State implements Store.
func (f *Fake) State(ctx context.Context, name string) (data []byte, ok bool, err error) {
	if err := f.read(ctx, "state"); err != nil {
		return nil, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	data, ok = f.states[name]
	return slices.Clone(data), ok, nil
}
