package blocklisttest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
)

// Acquire implements Store.
func (f *Fake) Acquire(ctx context.Context, job string, ttl time.Duration) (*blocklist.Lease, error) {
	if ttl < time.Second || ttl > time.Hour {
		return nil, fmt.Errorf("acquire lease %s: ttl %s: want 1s to 1h", job, ttl)
	}
	apply, fault, err := f.fault(ctx, f.OnAcquire != nil, func() (bool, error) { return f.OnAcquire(job) })
	if err != nil || !apply {
		return nil, first(err, fault)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.leases == nil {
		f.leases, f.fences = map[string]fakeLease{}, map[string]uint64{}
	}
	now := f.clock()
	if l, ok := f.leases[job]; ok && l.until.After(now) {
		return nil, fmt.Errorf("acquire lease %s: %w", job, blocklist.ErrLeaseHeld)
	}
	f.fences[job]++
	token := f.fences[job]
	f.leases[job] = fakeLease{token: token, until: now.Add(ttl)}
	if fault != nil {
		return nil, fault
	}
	return blocklist.NewLease(token,
		func(ctx context.Context) error { return f.renew(ctx, job, token, ttl) },
		func(ctx context.Context) error { return f.renew(ctx, job, token, 0) },
	), nil
}

// renew gives a lease ttl again, or gives it back when ttl is 0.
func (f *Fake) renew(ctx context.Context, job string, token uint64, ttl time.Duration) error {
	apply, fault, err := f.fault(ctx, f.OnRenew != nil, func() (bool, error) { return f.OnRenew(job) })
	if err != nil || !apply {
		return first(err, fault)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock()
	if l, ok := f.leases[job]; !ok || l.token != token || !l.until.After(now) {
		return fmt.Errorf("renew lease %s: %w", job, blocklist.ErrLeaseLost)
	}
	f.leases[job] = fakeLease{token: token, until: now.Add(ttl)}
	return fault
}

// Receive implements Store.
func (f *Fake) Receive(ctx context.Context, group, consumer string, claimAfter time.Duration) ([]blocklist.Notice, error) {
	if err := f.read(ctx, "receive"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.groups == nil {
		f.groups = map[string]*fakeGroup{}
	}
	g := f.groups[group]
	if g == nil {
		g = &fakeGroup{pending: map[string]time.Time{}}
		f.groups[group] = g
	}
	now := f.clock()
	var out []blocklist.Notice
	for i, m := range f.messages {
		taken, pending := g.pending[m.ID]
		switch {
		case pending && now.Sub(taken) >= claimAfter, i >= g.read:
			g.pending[m.ID] = now
			out = append(out, m)
		}
	}
	g.read = len(f.messages)
	return out, nil
}

// Ack implements Store.
func (f *Fake) Ack(ctx context.Context, group string, ids ...string) error {
	return f.save(ctx, "ack", group, func() {
		if g := f.groups[group]; g != nil {
			for _, id := range ids {
				delete(g.pending, id)
			}
		}
	})
}

// First implements Store.
func (f *Fake) First(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	if ttl < time.Second || ttl > blocklist.MaxTerm {
		return false, fmt.Errorf("first: ttl %s: want 1s to %s", ttl, blocklist.MaxTerm)
	}
	if err := f.read(ctx, "first"); err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.once == nil {
		f.once = map[string]time.Time{}
	}
	now := f.clock()
	if until, seen := f.once[key]; seen && until.After(now) {
		return false, nil
	}
	f.once[key] = now.Add(ttl)
	return true, nil
}

// SaveRun implements Store.
func (f *Fake) SaveRun(ctx context.Context, id string, report []byte) error {
	if id == "" || id == "last" {
		return fmt.Errorf("save run %s: want another id", id)
	}
	return f.save(ctx, "run", id, func() {
		f.record("run:"+id, report)
		f.record("run:last", report)
	})
}

// Run implements Store.
func (f *Fake) Run(ctx context.Context, id string) ([]byte, error) { return f.recorded(ctx, "run", id) }

// SaveStatus implements Store.
func (f *Fake) SaveStatus(ctx context.Context, target string, status []byte) error {
	return f.save(ctx, "status", target, func() { f.record("status:"+target, status) })
}

// Status implements Store.
func (f *Fake) Status(ctx context.Context, target string) ([]byte, error) {
	return f.recorded(ctx, "status", target)
}

// SaveAllowlist implements Store.
func (f *Fake) SaveAllowlist(ctx context.Context, list allowlist.List) error {
	return f.save(ctx, "allowlist", "", func() { f.allow, f.allowBad = &list, false })
}

// Allowlist implements Store.
func (f *Fake) Allowlist(ctx context.Context) (allowlist.List, error) {
	if err := f.read(ctx, "allowlist"); err != nil {
		return allowlist.List{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.allowBad:
		return allowlist.List{}, fmt.Errorf("read allowlist: %w: checksum does not fit", blocklist.ErrDamaged)
	case f.allow == nil:
		return allowlist.List{}, fmt.Errorf("read allowlist: %w", blocklist.ErrNoAllowlist)
	}
	return *f.allow, nil
}

func (f *Fake) save(ctx context.Context, what, id string, do func()) error {
	apply, fault, err := f.fault(ctx, f.OnSave != nil, func() (bool, error) { return f.OnSave(what, id) })
	if err != nil || !apply {
		return first(err, fault)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	return fault
}

func (f *Fake) record(key string, b []byte) {
	if f.records == nil {
		f.records = map[string][]byte{}
	}
	f.records[key] = slices.Clone(b)
}

func (f *Fake) recorded(ctx context.Context, kind, id string) ([]byte, error) {
	if err := f.read(ctx, kind); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	b, ok := f.records[kind+":"+id]
	if !ok {
		return nil, fmt.Errorf("read %s %s: %w", kind, id, blocklist.ErrNoReport)
	}
	return slices.Clone(b), nil
}
