package blocklisttest

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// placeTTL is how long a place is remembered after its end, as in redisstore.
const placeTTL = 122 * 24 * time.Hour

// Ended implements Store.
func (f *Fake) Ended(ctx context.Context, now time.Time, prefixes []netip.Prefix) (int, error) {
	if err := f.read(ctx, "ended"); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, p := range prefixes {
		if blocklist.LeftInOrder(p, func(q netip.Prefix) blocklist.Place { return f.place(q, now) }) {
			n++
		}
	}
	return n, nil
}

// place says where a range stands; callers hold the lock.
func (f *Fake) place(p netip.Prefix, now time.Time) blocklist.Place {
	ind, err := threat.Range(p)
	if err != nil {
		return blocklist.PlaceNone
	}
	past, known := f.pasts[ind]
	switch {
	case !known || !past.Until.IsZero() && now.Sub(past.Until) > placeTTL:
		return blocklist.PlaceNone
	case past.Until.After(now):
		return blocklist.PlaceActive
	}
	return blocklist.PlaceEnded
}

// Await implements Store. It waits by the real clock.
func (f *Fake) Await(ctx context.Context, after string, timeout time.Duration) (string, error) {
	if err := f.read(ctx, "await"); err != nil {
		return after, err
	}
	t := time.NewTimer(max(timeout, 0))
	defer t.Stop()
	for over := timeout <= 0; ; {
		f.mu.Lock()
		newest := fmt.Sprintf("%d-0", f.lastID)
		if after == "" {
			after = newest
		}
		rung := f.bell()
		f.mu.Unlock()
		if newest != after || over {
			return newest, nil
		}
		select {
		case <-ctx.Done():
			return after, fmt.Errorf("wait for handoff: %w", ctx.Err())
		case <-t.C:
			over = true
		case <-rung:
		}
	}
}

// bell returns what the next change closes; callers hold the lock.
func (f *Fake) bell() chan struct{} {
	if f.rung == nil {
		f.rung = make(chan struct{})
	}
	return f.rung
}

type fakeApproval struct {
	blocklist.Approval
	until time.Time
}

// SaveApproval implements Store.
func (f *Fake) SaveApproval(ctx context.Context, target string, a blocklist.Approval) error {
	if err := a.Check(); err != nil {
		return fmt.Errorf("save approval: %w", err)
	}
	return f.save(ctx, "approval", target, func() {
		if f.approvals == nil {
			f.approvals = map[string]fakeApproval{}
		}
		a.At = a.At.UTC()
		f.approvals[target] = fakeApproval{a, f.clock().Add(blocklist.ApprovalTTL)}
	})
}

// Approval implements Store.
func (f *Fake) Approval(ctx context.Context, target string) (blocklist.Approval, bool, error) {
	if err := f.read(ctx, "approval"); err != nil {
		return blocklist.Approval{}, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	a, ok := f.approved(target)
	return a, ok, nil
}

// UseApproval implements Store.
func (f *Fake) UseApproval(ctx context.Context, target string) (a blocklist.Approval, ok bool, err error) {
	err = f.save(ctx, "use approval", target, func() {
		a, ok = f.approved(target)
		delete(f.approvals, target)
	})
	if err != nil {
		return blocklist.Approval{}, false, err
	}
	return a, ok, nil
}

// approved returns an approval that still counts; callers hold the lock.
func (f *Fake) approved(target string) (blocklist.Approval, bool) {
	a, ok := f.approvals[target]
	if !ok || !a.until.After(f.clock()) {
		return blocklist.Approval{}, false
	}
	return a.Approval, true
}

// Erase takes entries away with everything that remembers them, as somebody does who
// deletes their keys and their places in the index by hand and puts the size right:
// the list looks whole, and nothing explains why they left.
func (f *Fake) Erase(inds ...threat.Indicator) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, ind := range inds {
		delete(f.entries, ind)
		delete(f.lost, ind)
		delete(f.pasts, ind)
	}
}
