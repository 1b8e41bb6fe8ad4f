package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// Histories returns what the list knows of Indicators that it has ever heard of, as far
// as it remembers; the others are left out. It costs a round trip for each 4,000.
//
// Errors: blocklist.ErrNoEpoch when there is no list, so that nobody has a history;
// blocklist.ErrDamaged when an entry cannot be read.
func (s *Store) Histories(ctx context.Context, now time.Time, inds []threat.Indicator) (map[threat.Indicator]blocklist.History, error) {
	const operation = "read histories"
	known := map[threat.Indicator]blocklist.History{}
	for from := 0; from == 0 || from < len(inds); from += s.pageSize {
		page := inds[from:min(from+s.pageSize, len(inds))]
		keys := make([]string, 1, 1+2*len(page))
		keys[0] = keyEpoch
		for _, ind := range page {
			key := ind.Key()
			keys = append(keys, entryPrefix+key, pastPrefix+key)
		}
		pipe := s.db.Pipeline()
		values, places := pipe.MGet(ctx, keys...), make([]*redis.FloatCmd, len(page))
		for i, ind := range page {
			places[i] = pipe.ZScore(ctx, keyExpiry, ind.Key())
		}
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
			return nil, wrap(operation, err)
		}
		got := values.Val()
		if got[0] == nil {
			return nil, fmt.Errorf("%s: %w", operation, blocklist.ErrNoEpoch)
		}
		for i, ind := range page {
			entry, _ := got[1+2*i].(string)
			past, _ := got[2+2*i].(string)
			if entry == "" && past == "" && places[i].Err() != nil {
				continue
			}
			var e *blocklist.Entry
			if entry != "" {
				read, err := decode(ind, entry, &interned{})
				if err != nil {
					return nil, fmt.Errorf("%s: %s: %w", operation, ind.Masked(), err)
				}
				e = &read
			}
			known[ind] = blocklist.HistoryOf(e, remembered(past, places[i]), now)
		}
	}
	return known, nil
}

// remembered reads a past. A first strike is remembered by its place in the index alone.
func remembered(text string, place *redis.FloatCmd) blocklist.Past {
	if at := place.Val(); text == "" && place.Err() == nil && at > 0 {
		return blocklist.Past{Strikes: 1, Until: moment(int64(at))}
	}
	return pastOf(text)
}

// Size returns how many entries there are at now, blocked or challenged. A list that is not there or
// not whole is an error, as for Snapshot.
func (s *Store) Size(ctx context.Context, now time.Time) (int, error) {
	_, active, err := s.indexHead(ctx, now)
	return int(active), wrap("count blocklist", err)
}

// accountMembers is how accounts begin in the index.
const accountMembers = "account:"

// Accounts returns the entries for accounts, and reads none of the others: Redis picks
// them out of the index, which takes it a third of a second for a million addresses, in slices.
// It is as strict about a list that is not there or not whole as Snapshot.
func (s *Store) Accounts(ctx context.Context, now time.Time) ([]blocklist.Entry, error) {
	const operation = "read blocked accounts"
	idx, _, err := s.indexHead(ctx, now)
	if err != nil {
		return nil, wrap(operation, err)
	}
	ends := map[string]float64{} // ZSCAN may name one twice
	for cursor, more := uint64(0), true; more; more = cursor != 0 {
		var page []string
		page, cursor, err = s.db.ZScan(ctx, keyExpiry, cursor, accountMembers+"*", scanCount).Result()
		if err != nil {
			return nil, wrap(operation, err)
		}
		for pair := range slices.Chunk(page, 2) {
			end, err := strconv.ParseFloat(pair[len(pair)-1], 64)
			if err == nil && strings.HasPrefix(pair[0], accountMembers) && end > float64(now.UnixMilli())/1000 {
				ends[pair[0]] = end
			}
		}
	}
	must := float64(now.Add(grace).UnixMilli()) / 1000
	idx.members, idx.must = make([]string, 0, len(ends)), 0
	for member, end := range ends {
		idx.members = append(idx.members, member)
		if end > must {
			idx.must++
		}
	}
	slices.SortFunc(idx.members, func(a, b string) int { return cmp.Or(cmp.Compare(ends[b], ends[a]), strings.Compare(b, a)) })
	var entries []blocklist.Entry
	for from := 0; from < len(idx.members); from += s.pageSize {
		if entries, err = s.page(ctx, now, idx, from, entries); err != nil {
			return nil, wrap(operation, err)
		}
	}
	return entries, wrap(operation, s.sameEpoch(ctx, idx.epoch))
}

// scanCount is how many members of the index one command looks at.
const scanCount = 5_000
