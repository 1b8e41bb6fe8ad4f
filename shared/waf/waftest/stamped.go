package waftest

import (
	"context"
	"fmt"
	"slices"

	"github.com/tracewall/tracewall/shared/waf"
)

// Stamped implements waf.SetFirewall on a Wall whose sets say nothing about themselves: their
// content comes with Look, and the wall as a whole carries a stamp. Not for concurrent use.
type Stamped struct{ *Firewall }

// OpenStamped returns a view of the wall that has seen nothing yet. A wall is opened either so or with Open.
func (w *Wall) OpenStamped() *Stamped { return &Stamped{w.Open()} }

// Look implements waf.Firewall.
func (f *Stamped) Look(ctx context.Context) (waf.State, error) {
	state, err := f.Firewall.Look(ctx)
	w := f.wall
	w.mu.Lock()
	defer w.mu.Unlock()
	state.CanExcept, state.Unmarked, state.Inherent, state.NoEmpty = false, true, w.Inherent, w.NoEmpty
	state.Exists = state.Exists || w.Inherent && len(w.sets) > 0
	state.RuleOK = state.RuleOK || w.Inherent
	if w.stamp != nil {
		stamp := *w.stamp
		state.Stamp = &stamp
	}
	for i := range state.Sets {
		s := &state.Sets[i]
		s.Prefixes = slices.Clone(w.sets[s.Name].set.Prefixes)
		s.Mark, s.Marked = waf.Mark{}, false
		s.Referenced = s.Referenced || w.Inherent
	}
	return state, err
}

// Put implements waf.SetFirewall.
func (f *Stamped) Put(ctx context.Context, set waf.Set) error {
	if f.wall.NoEmpty && len(set.Prefixes) == 0 {
		return fmt.Errorf("put %s: an empty set: %w", set.Name, waf.ErrInvalid)
	}
	return f.Firewall.Put(ctx, set)
}

// Stamp implements waf.Stamper.
func (f *Stamped) Stamp(ctx context.Context, stamp waf.Stamp) error {
	return f.write(ctx, "stamp", "", func(w *Wall) error {
		w.stamp = &stamp
		return nil
	})
}
