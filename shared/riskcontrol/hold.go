package riskcontrol

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// Release of accounts before their end is ordinary one by one: an operator unblocks
// somebody. When more than holdLeast accounts, and more than half of those that should
// still be blocked, are suddenly not on the list, it is more likely that the list has lost
// them: a restore of half a backup reads without error. Then nobody is released early
// until the list has said so for HoldRelease, and each Sync returns ErrHeld meanwhile.
// Ends of terms, and accounts that were allowlisted, are not held. UNVERIFIED: our own figures.
const (
	HoldRelease = 30 * time.Minute
	holdLeast   = 20
)

// sudden tells whether the early releases look like a loss.
func (p plan) sudden() bool { return len(p.early) > holdLeast && 2*len(p.early) > p.standing }

// hold tells whether the early releases of p must wait, and remembers since when. In
// doubt they wait.
func (n *Notifier) hold(ctx context.Context, p plan) (bool, error) {
	since, err := heldSince(ctx, n.memory)
	if err != nil {
		return p.sudden(), err
	}
	if !p.sudden() {
		if since.IsZero() {
			return false, nil
		}
		return false, holdSince(ctx, n.memory, time.Time{})
	}
	now := n.clock()
	if since.IsZero() || since.After(now) {
		since = now
		if err := holdSince(ctx, n.memory, now); err != nil {
			return true, err
		}
	}
	if left := HoldRelease - now.Sub(since); left > 0 {
		return true, fmt.Errorf("%w: %d of %d accounts left the list before their end; if that is meant, wait %s, else restore the list",
			ErrHeld, len(p.early), p.standing, left.Round(time.Second))
	}
	return false, nil
}

// heldName is where the time is kept since which a release is held.
const heldName = "riskcontrol-held"

func heldSince(ctx context.Context, memory Memory) (time.Time, error) {
	data, ok, err := memory.State(ctx, heldName)
	if err != nil {
		return time.Time{}, fmt.Errorf("read since when a release is held: %w", err)
	}
	seconds, err := strconv.ParseInt(string(data), 10, 64)
	if !ok || err != nil || seconds <= 0 {
		return time.Time{}, nil
	}
	return time.Unix(seconds, 0), nil
}

func holdSince(ctx context.Context, memory Memory, at time.Time) error {
	var data []byte
	if !at.IsZero() {
		data = strconv.AppendInt(nil, at.Unix(), 10)
	}
	if err := memory.SaveState(ctx, heldName, data); err != nil {
		return fmt.Errorf("save since when a release is held: %w", err)
	}
	return nil
}
