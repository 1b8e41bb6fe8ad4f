// Package blocklisttest holds what tests of the blocklist share: an in-memory Fake
// with faults on both sides, the contract that every store must keep (TestStore), and
// a real redis-server on loopback (StartRedis).
package blocklisttest

import (
	"context"
	"net/netip"
	"time"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// Store is everything that a blocklist store does. Consumers declare the few
// methods that they use; this is the whole for the contract suite.
type Store interface {
	Put(ctx context.Context, b blocklist.Batch) (blocklist.Changes, error)
	Remove(ctx context.Context, now time.Time, run string, inds []threat.Indicator) (removed int, err error)
	Unblock(ctx context.Context, u blocklist.Unblock) (removed int, err error)
	Snapshot(ctx context.Context, now time.Time) (blocklist.Snapshot, error)
	Each(ctx context.Context, now time.Time, fn func([]blocklist.Entry) error) (blocklist.Version, error)
	Lookup(ctx context.Context, now time.Time, ind threat.Indicator) (blocklist.Entry, bool, error)
	Checkpoint(ctx context.Context, rule string) (time.Time, bool, error)
	Acquire(ctx context.Context, job string, ttl time.Duration) (*blocklist.Lease, error)
	Receive(ctx context.Context, group, consumer string, claimAfter time.Duration) ([]blocklist.Notice, error)
	Ack(ctx context.Context, group string, ids ...string) error
	Await(ctx context.Context, after string, timeout time.Duration) (last string, err error)
	Ended(ctx context.Context, now time.Time, prefixes []netip.Prefix) (int, error)
	First(ctx context.Context, key string, ttl time.Duration) (bool, error)
	SaveRun(ctx context.Context, id string, report []byte) error
	Run(ctx context.Context, id string) ([]byte, error)
	SaveStatus(ctx context.Context, target string, status []byte) error
	Status(ctx context.Context, target string) ([]byte, error)
	SaveAllowlist(ctx context.Context, list allowlist.List) error
	Allowlist(ctx context.Context) (allowlist.List, error)
	SaveApproval(ctx context.Context, target string, a blocklist.Approval) error
	Approval(ctx context.Context, target string) (a blocklist.Approval, ok bool, err error)
	UseApproval(ctx context.Context, target string) (a blocklist.Approval, ok bool, err error)
	Histories(ctx context.Context, now time.Time, inds []threat.Indicator) (map[threat.Indicator]blocklist.History, error)
	Size(ctx context.Context, now time.Time) (int, error)
	Accounts(ctx context.Context, now time.Time) ([]blocklist.Entry, error)
	SaveCases(ctx context.Context, cases []blocklist.Case) error
	Case(ctx context.Context, ind threat.Indicator) (c blocklist.Case, ok bool, err error)
	SaveState(ctx context.Context, name string, data []byte) error
	State(ctx context.Context, name string) (data []byte, ok bool, err error)
	Close() error
}

// Harness is a store that a test may do everything to.
type Harness struct {
	// Store is empty: nobody has written to it.
	Store Store
	// Other is a second client of the same list.
	Other Store
	// Secret is what the list's jitter depends on, or will when it is founded.
	Secret string
	// Flush takes everything away, as FLUSHALL does.
	Flush func(t TB)
	// Lose takes one part away: "epoch", "generation", "expiry", "secret", "handoff",
	// "allowlist", or the value of one entry, "entry:" + its key.
	Lose func(t TB, part string)
	// Corrupt overwrites one part ("allowlist", or "entry:" + key) with garbage.
	Corrupt func(t TB, part string)
	// Erase takes an entry away with its place in the index and all that remembers it.
	Erase func(t TB, ind threat.Indicator)
	// Advance lets the store's own clock run on; nil if it cannot be set.
	Advance func(d time.Duration)
}

// TB is the part of testing.TB that a Harness needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}
