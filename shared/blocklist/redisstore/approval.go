package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/blocklist"
)

// SaveApproval keeps an operator's approval for the next run of target, for
// blocklist.ApprovalTTL. A later one replaces it.
func (s *Store) SaveApproval(ctx context.Context, target string, a blocklist.Approval) error {
	if err := errors.Join(name("target", target), a.Check()); err != nil {
		return fmt.Errorf("save approval: %w", err)
	}
	a.At = a.At.UTC()
	text, err := json.Marshal(a)
	if err != nil {
		return fmt.Errorf("save approval for %s: %w", target, err)
	}
	return wrap("save approval for "+target, s.db.Set(ctx, approvalKey(target), text, blocklist.ApprovalTTL).Err())
}

// Approval returns what SaveApproval kept; ok is false when there is nothing (any more).
func (s *Store) Approval(ctx context.Context, target string) (a blocklist.Approval, ok bool, err error) {
	if err := name("target", target); err != nil {
		return a, false, fmt.Errorf("read approval: %w", err)
	}
	return readApproval("read approval for "+target, s.db.Get(ctx, approvalKey(target)))
}

// UseApproval returns what SaveApproval kept and takes it away, so that of any number of
// callers one gets it. If its answer is lost, so is the approval: nobody has it twice.
func (s *Store) UseApproval(ctx context.Context, target string) (a blocklist.Approval, ok bool, err error) {
	if err := name("target", target); err != nil {
		return a, false, fmt.Errorf("use approval: %w", err)
	}
	pipe := s.db.TxPipeline() // GETDEL is of Redis 6.2
	got := pipe.Get(ctx, approvalKey(target))
	pipe.Del(ctx, approvalKey(target))
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return a, false, wrap("use approval for "+target, err)
	}
	return readApproval("use approval for "+target, got)
}

func approvalKey(target string) string { return prefix + "approval:" + target }

// readApproval reads a value. One that is not what SaveApproval writes approves of nothing.
func readApproval(operation string, got *redis.StringCmd) (a blocklist.Approval, ok bool, err error) {
	text, err := got.Bytes()
	if errors.Is(err, redis.Nil) {
		return a, false, nil
	}
	if err != nil {
		return a, false, wrap(operation, err)
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return blocklist.Approval{}, false, fmt.Errorf("%s: %w: not an approval, give it again", operation, blocklist.ErrDamaged)
	}
	if err := a.Check(); err != nil {
		return blocklist.Approval{}, false, fmt.Errorf("%s: %w: %w", operation, blocklist.ErrDamaged, err)
	}
	return a, true, nil
}
