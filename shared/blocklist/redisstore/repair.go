package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/blocklist"
)

// Repair is the operator's answer to blocklist.ErrDamaged: it accepts what is left
// as the list. Index members without a readable value are dropped, the size is
// counted anew, and a missing epoch or generation is replaced; a new epoch is what
// tells the firewall targets that the list is not the one they knew. Entries that
// have lost their place in the index are not found again: they end by themselves,
// and what still offends is blocked again. Stop the functions first; a write that
// happens meanwhile may be counted wrong, upon which Repair has to be run again.
func (s *Store) Repair(ctx context.Context, now time.Time) (kept, dropped int, err error) {
	members, err := s.db.ZRangeWithScores(ctx, keyExpiry, 0, -1).Result()
	if err != nil {
		return 0, 0, wrap("repair blocklist", err)
	}
	if len(members) == 0 {
		n, err := s.db.Exists(ctx, keyEpoch, keyGeneration, keySize, keyCheckpoints).Result()
		if err != nil {
			return 0, 0, wrap("repair blocklist", err)
		}
		if n == 0 {
			// To found a list of nobody here would release everybody.
			return 0, 0, fmt.Errorf("repair blocklist: nothing to repair: %w", blocklist.ErrNoEpoch)
		}
	}
	known, ended := interned{}, 0
	for chunk := range slices.Chunk(members, s.pageSize) {
		keys := make([]string, len(chunk))
		for i, m := range chunk {
			keys[i] = entryPrefix + member(m)
		}
		values, err := s.db.MGet(ctx, keys...).Result()
		if err != nil {
			return 0, 0, wrap("repair blocklist", err)
		}
		var gone []any
		for i, m := range chunk {
			e, err := readMember(member(m), values[i], &known)
			switch {
			case m.Score <= float64(now.Unix()):
				ended++ // its place records a strike and needs no value
			case err == nil && e.ExpiresAt.After(now):
				kept++
			default:
				gone = append(gone, m.Member)
			}
		}
		dropped += len(gone)
		if len(gone) > 0 {
			if err := s.db.ZRem(ctx, keyExpiry, gone...).Err(); err != nil {
				return 0, 0, wrap("repair blocklist", err)
			}
		}
	}
	generation, err := s.db.Get(ctx, keyGeneration).Uint64()
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, 0, wrap("repair blocklist", fmt.Errorf("generation: %w", err))
	}
	pipe := s.db.TxPipeline()
	pipe.Set(ctx, keyEpoch, nonce(), 0)
	pipe.Set(ctx, keyGeneration, strconv.FormatUint(generation+1, 10), 0)
	pipe.Set(ctx, keySize, kept+ended, 0)
	_, err = pipe.Exec(ctx)
	return kept, dropped, wrap("repair blocklist", err)
}

// member returns the text of a sorted set's member.
func member(z redis.Z) string {
	text, _ := z.Member.(string)
	return text
}
