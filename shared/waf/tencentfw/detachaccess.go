package tencentfw

import (
	"context"
	"fmt"
	"slices"
)

// Detach implements waf.Detacher: it deletes all rules with our note from the blocklist, those that have ended too.
// Rules whose note somebody has edited are not ours any more and stay. The scheduled sync must be off: it would enter everybody anew.
func (a *access) Detach(ctx context.Context, dryRun bool) (done []string, err error) {
	return a.DetachMode(ctx, a.target.Mode, dryRun)
}

// DetachMode implements waf.Detacher, for the configured mode alone.
func (a *access) DetachMode(ctx context.Context, mode string, dryRun bool) (done []string, err error) {
	if err := a.target.otherMode(mode); err != nil {
		return nil, err
	}
	l := &leaving{dryRun: dryRun}
	err = a.leave(ctx, l)
	if !dryRun {
		a.forget() // that all is gone is nobody's doing
	}
	return l.result(a.target, err)
}

func (a *access) leave(ctx context.Context, l *leaving) error {
	if err := a.read(ctx); err != nil {
		return err
	}
	var ids []uint64
	addresses := map[uint64]int{}
	for _, r := range a.book.rules {
		ids = append(ids, r.id)
		addresses[r.id] = len(r.texts)
	}
	for part := range slices.Chunk(ids, deleteSize) {
		n := 0
		for _, id := range part {
			n += addresses[id]
		}
		line := fmt.Sprintf("delete %d rules with %d addresses from the %s", len(part), n, a.title())
		if err := l.step(line, func() error { return a.remove(ctx, part) }); err != nil {
			return err
		}
	}
	return nil
}
