package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
)

// Acquire takes the lease of a job for ttl (one second to one hour), or answers
// blocklist.ErrLeaseHeld. A holder that dies gives way when its ttl runs out; one
// that works longer must Renew. Compare fencing numbers (Token) where a slow holder
// could still do harm.
func (s *Store) Acquire(ctx context.Context, job string, ttl time.Duration) (*Lease, error) {
	if err := name("lease", job); err != nil {
		return nil, fmt.Errorf("acquire: %w", err)
	}
	if ttl < time.Second || ttl > time.Hour {
		return nil, fmt.Errorf("acquire lease %s: ttl %s: want 1s to 1h", job, ttl)
	}
	key, mine := prefix+"lease:"+job, nonce()
	token, err := s.db.Eval(ctx, acquireLua, []string{key, prefix + "fence:" + job}, mine, ttl.Milliseconds()).Int64()
	switch {
	case err != nil:
		return nil, wrap("acquire lease "+job, err)
	case token == 0:
		return nil, fmt.Errorf("acquire lease %s: %w", job, blocklist.ErrLeaseHeld)
	}
	holder := mine + " " + strconv.FormatInt(token, 10)
	ours := func(operation string, ctx context.Context, script string, args ...any) error {
		ok, err := s.db.Eval(ctx, script, []string{key}, append([]any{holder}, args...)...).Int64()
		if err != nil {
			return wrap(operation+" lease "+job, err)
		}
		if ok != 1 {
			return fmt.Errorf("%s lease %s: %w", operation, job, blocklist.ErrLeaseLost)
		}
		return nil
	}
	return blocklist.NewLease(uint64(token),
		func(ctx context.Context) error { return ours("renew", ctx, renewLua, ttl.Milliseconds()) },
		func(ctx context.Context) error { return ours("release", ctx, releaseLua) },
	), nil
}
