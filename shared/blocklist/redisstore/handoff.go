package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/blocklist"
)

// maxNotices bounds what one Receive returns: old messages taken over, and new ones.
const maxNotices = 1_000

// Receive returns the handoff messages that group (one per firewall target) has not
// acknowledged: first those that some consumer took at least claimAfter ago and
// never acknowledged, then new ones. It does not wait. A message says no more than
// that the list changed; Ack it once the target is proven equal to a list of its
// generation or a later one. The group begins with the oldest message kept.
func (s *Store) Receive(ctx context.Context, group, consumer string, claimAfter time.Duration) ([]blocklist.Notice, error) {
	if err := name("group", group); err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	if err := name("consumer", consumer); err != nil {
		return nil, fmt.Errorf("receive: %w", err)
	}
	operation := "receive handoff for " + group
	old, err := s.claim(ctx, group, consumer, claimAfter)
	if isNoGroup(err) {
		// A new target, or a store that was emptied.
		err = s.db.XGroupCreateMkStream(ctx, keyHandoff, group, "0").Err()
		if err != nil && strings.HasPrefix(err.Error(), "BUSYGROUP") {
			err = nil // two consumers at once
		}
	}
	if err != nil {
		return nil, wrap(operation, err)
	}
	streams, err := s.db.XReadGroup(ctx, &redis.XReadGroupArgs{
		Group: group, Consumer: consumer, Streams: []string{keyHandoff, ">"}, Count: maxNotices, Block: -1,
	}).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, wrap(operation, err)
	}
	for _, stream := range streams {
		for _, m := range stream.Messages {
			old = append(old, notice(m))
		}
	}
	return old, nil
}

// claim takes over messages that nobody has acknowledged for at least claimAfter.
// XAUTOCLAIM and XPENDING's IDLE would do it in one step but are not in Redis 5.
func (s *Store) claim(ctx context.Context, group, consumer string, claimAfter time.Duration) ([]blocklist.Notice, error) {
	pending, err := s.db.XPendingExt(ctx, &redis.XPendingExtArgs{
		Stream: keyHandoff, Group: group, Start: "-", End: "+", Count: maxNotices,
	}).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	var ids []string
	for _, p := range pending {
		if p.Idle >= claimAfter {
			ids = append(ids, p.ID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	// Ids only: servers before 7 answer for messages that the stream has dropped
	// with a hole that clients stumble over.
	mine, err := s.db.XClaimJustID(ctx, &redis.XClaimArgs{
		Stream: keyHandoff, Group: group, Consumer: consumer, MinIdle: claimAfter, Messages: ids,
	}).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	if len(mine) == 0 {
		return nil, nil
	}
	pipe := s.db.Pipeline()
	ranges := make([]*redis.XMessageSliceCmd, len(mine))
	for i, id := range mine {
		ranges[i] = pipe.XRange(ctx, keyHandoff, id, id)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	var notices []blocklist.Notice
	var dropped []string
	for i, r := range ranges {
		if len(r.Val()) == 0 {
			dropped = append(dropped, mine[i])
			continue
		}
		notices = append(notices, notice(r.Val()[0]))
	}
	if len(dropped) > 0 {
		if err := s.db.XAck(ctx, keyHandoff, group, dropped...).Err(); err != nil {
			return nil, err
		}
	}
	return notices, nil
}

// Ack acknowledges messages: the target has proven what they ask for. Ids that are
// not pending are ignored.
func (s *Store) Ack(ctx context.Context, group string, ids ...string) error {
	if err := name("group", group); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	for chunk := range slices.Chunk(ids, maxNotices) {
		if err := s.db.XAck(ctx, keyHandoff, group, chunk...).Err(); err != nil {
			return wrap("acknowledge handoff for "+group, err)
		}
	}
	return nil
}

func isNoGroup(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "NOGROUP") }

// notice reads a message. Fields that are missing are zero: the bell rings anyway.
func notice(m redis.XMessage) blocklist.Notice {
	text := func(field string) string { s, _ := m.Values[field].(string); return s }
	number := func(field string) int { n, _ := strconv.Atoi(text(field)); return n }
	generation, _ := strconv.ParseUint(text("generation"), 10, 64)
	return blocklist.Notice{
		ID: m.ID, Run: text("run"), Generation: generation,
		Added: number("added"), Removed: number("removed"),
	}
}
