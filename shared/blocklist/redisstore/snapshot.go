package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

const (
	// readers is how many pages are fetched and decoded at once.
	readers = 4
	// indexPage is how many index members one command returns.
	indexPage = 20_000
	// maxTries bounds how often the index is read again because the list changed meanwhile.
	maxTries = 5
)

// index is which entries there were at one moment, longest-lasting first.
type index struct {
	epoch      string
	generation uint64
	members    []string
	// must is how many of them, from the start, last so long that their value has
	// to be there whatever the difference between the clocks.
	must int
}

// Snapshot reads the whole list as it is at now. Its Generation says how new the
// list is at least: entries may already show later changes, which the next Snapshot
// shows again.
//
// Errors: blocklist.ErrNoEpoch, blocklist.ErrDamaged. Both, like every other error,
// mean that nothing may be planned: a list that cannot be read is not an empty one.
func (s *Store) Snapshot(ctx context.Context, now time.Time) (blocklist.Snapshot, error) {
	idx, err := s.index(ctx, now)
	if err != nil {
		return blocklist.Snapshot{}, wrap("read blocklist", err)
	}
	// Every page is decoded into its own place: joining a million entries afterwards
	// would cost more than reading them.
	entries := make([]blocklist.Entry, len(idx.members))
	filled := make([]int, (len(idx.members)+s.pageSize-1)/s.pageSize)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for i := range filled {
		group.Go(func() error {
			from := i * s.pageSize
			page, err := s.page(gctx, now, idx, from, entries[from:from:min(from+s.pageSize, len(entries))])
			filled[i] = len(page)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return blocklist.Snapshot{}, wrap("read blocklist", err)
	}
	n := 0
	for i, count := range filled {
		from := i * s.pageSize
		if n < from {
			copy(entries[n:], entries[from:from+count])
		}
		n += count
	}
	clear(entries[n:])
	if err := s.sameEpoch(ctx, idx.epoch); err != nil {
		return blocklist.Snapshot{}, wrap("read blocklist", err)
	}
	return blocklist.Snapshot{Epoch: idx.epoch, Generation: idx.generation, Entries: entries[:n:n]}, nil
}

// Each hands the list to fn page by page, longest-lasting first, without holding it
// whole, and then says which list it was. The next pages are read while fn works. An
// error of fn ends it and is returned as it is. Until Each has returned without an error fn has
// not seen the whole list.
func (s *Store) Each(ctx context.Context, now time.Time, fn func([]blocklist.Entry) error) (blocklist.Version, error) {
	idx, err := s.index(ctx, now)
	if err != nil {
		return blocklist.Version{}, wrap("read blocklist", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type page struct {
		entries []blocklist.Entry
		err     error
	}
	ahead := make(chan chan page, readers-1)
	go func() {
		defer close(ahead)
		for from := 0; from < len(idx.members); from += s.pageSize {
			one := make(chan page, 1)
			select {
			case ahead <- one:
			case <-ctx.Done():
				return
			}
			go func() {
				entries, err := s.page(ctx, now, idx, from, nil)
				one <- page{entries, err}
			}()
		}
	}()
	for one := range ahead {
		p := <-one
		if p.err != nil {
			return blocklist.Version{}, wrap("read blocklist", p.err)
		}
		if len(p.entries) == 0 {
			continue
		}
		if err := fn(p.entries); err != nil {
			return blocklist.Version{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return blocklist.Version{}, wrap("read blocklist", err) // the last pages may never have been asked for
	}
	if err := s.sameEpoch(ctx, idx.epoch); err != nil {
		return blocklist.Version{}, wrap("read blocklist", err)
	}
	return blocklist.Version{Epoch: idx.epoch, Generation: idx.generation}, nil
}

// Lookup returns the entry of exactly this Indicator; ok is false when it is not
// blocked at now. An answer from a list that is not there is blocklist.ErrNoEpoch.
func (s *Store) Lookup(ctx context.Context, now time.Time, ind threat.Indicator) (e blocklist.Entry, ok bool, err error) {
	operation := "look up " + ind.Masked()
	got, err := s.db.MGet(ctx, keyEpoch, entryKey(ind)).Result()
	if err != nil {
		return blocklist.Entry{}, false, wrap(operation, err)
	}
	if got[0] == nil {
		return blocklist.Entry{}, false, fmt.Errorf("%s: %w", operation, blocklist.ErrNoEpoch)
	}
	text, ok := got[1].(string)
	if !ok {
		return blocklist.Entry{}, false, nil
	}
	if e, err = decode(ind, text, &interned{}); err != nil {
		return blocklist.Entry{}, false, fmt.Errorf("%s: %w", operation, err)
	}
	if !e.ExpiresAt.After(now) {
		return blocklist.Entry{}, false, nil
	}
	return e, true, nil
}

// index reads the members that have not ended by now. It pages by rank from the top:
// pruning shortens the other end only, and everything else that could shift ranks
// moves the generation, upon which it starts again.
func (s *Store) index(ctx context.Context, now time.Time) (index, error) {
	for range maxTries {
		idx, total, err := s.indexHead(ctx, now)
		if err != nil {
			return index{}, err
		}
		idx.members = make([]string, 0, total)
		for from := int64(0); from < total; from += indexPage {
			page, err := s.db.ZRevRange(ctx, keyExpiry, from, min(from+indexPage, total)-1).Result()
			if err != nil {
				return index{}, err
			}
			idx.members = append(idx.members, page...)
		}
		after, err := s.db.Get(ctx, keyGeneration).Uint64()
		if err != nil && !errors.Is(err, redis.Nil) {
			return index{}, err
		}
		if err == nil && after == idx.generation && len(idx.members) >= idx.must {
			return idx, nil
		}
	}
	return index{}, fmt.Errorf("changed each of %d times that it was read", maxTries)
}

// indexHead reads, at one moment, which list this is and how much of it is active.
func (s *Store) indexHead(ctx context.Context, now time.Time) (idx index, total int64, err error) {
	pipe := s.db.TxPipeline()
	epoch := pipe.Get(ctx, keyEpoch)
	generation := pipe.Get(ctx, keyGeneration)
	size := pipe.Get(ctx, keySize)
	card := pipe.ZCard(ctx, keyExpiry)
	active := pipe.ZCount(ctx, keyExpiry, "("+fraction(now), "+inf")
	must := pipe.ZCount(ctx, keyExpiry, "("+fraction(now.Add(grace)), "+inf")
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return index{}, 0, err
	}
	if errors.Is(epoch.Err(), redis.Nil) {
		// Parts of a list without its epoch are worse than no list, but mean the
		// same to a reader; only Put has to tell them apart.
		return index{}, 0, blocklist.ErrNoEpoch
	}
	want, err := size.Int64()
	if err != nil || want != card.Val() {
		return index{}, 0, fmt.Errorf("%w: the expiry index has %d members: want %s", blocklist.ErrDamaged, card.Val(), orNone(size.Val()))
	}
	if idx.generation, err = generation.Uint64(); err != nil {
		return index{}, 0, fmt.Errorf("%w: no generation", blocklist.ErrDamaged)
	}
	idx.epoch, idx.must = epoch.Val(), int(must.Val())
	return idx, active.Val(), nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// page appends the entries of idx.members[from:from+pageSize] that are active at now
// to entries, at most as many.
func (s *Store) page(ctx context.Context, now time.Time, idx index, from int, entries []blocklist.Entry) ([]blocklist.Entry, error) {
	members := idx.members[from:min(from+s.pageSize, len(idx.members))]
	keys := make([]string, len(members))
	for i, m := range members {
		keys[i] = entryPrefix + m
	}
	values, err := s.db.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, err
	}
	entries = slices.Grow(entries, len(members))
	known := interned{}
	var lost []string
	for i, m := range members {
		e, err := readMember(m, values[i], &known)
		switch {
		case err == nil && e.ExpiresAt.After(now):
			entries = append(entries, e)
		case from+i < idx.must:
			lost = append(lost, m)
		case err != nil && values[i] != nil:
			lost = append(lost, m) // there, but unreadable: no clock explains that
		}
	}
	for chunk := range slices.Chunk(lost, 1000) {
		found, err := s.secondLook(ctx, now, chunk)
		if err != nil {
			return nil, err
		}
		entries = append(entries, found...)
	}
	return entries, nil
}

var errNoValue = errors.New("no value")

func readMember(member string, v any, known *interned) (blocklist.Entry, error) {
	text, ok := v.(string)
	if !ok {
		return blocklist.Entry{}, errNoValue
	}
	ind, err := threat.ParseKey(member)
	if err != nil {
		return blocklist.Entry{}, err
	}
	return decode(ind, text, known)
}

// secondLook reads members whose value was not there or not right, together with
// their place in the index at the same moment: what was removed or has ended
// meanwhile is in neither; what is still in the index without a value is lost. It has
// ended too if the server's own clock says so: then a run reads the list as of a
// time long past, as one does whose event is a sample or was kept in a queue.
func (s *Store) secondLook(ctx context.Context, now time.Time, members []string) ([]blocklist.Entry, error) {
	pipe := s.db.TxPipeline()
	values, scores := make([]*redis.StringCmd, len(members)), make([]*redis.FloatCmd, len(members))
	for i, m := range members {
		values[i], scores[i] = pipe.Get(ctx, entryPrefix+m), pipe.ZScore(ctx, keyExpiry, m)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, err
	}
	served, err := s.db.Time(ctx).Result()
	if err != nil {
		return nil, err
	}
	var entries []blocklist.Entry
	lost := 0
	latest := float64(max(now.Add(grace).UnixMilli(), served.UnixMilli())) / 1000
	for i, m := range members {
		var v any
		if values[i].Err() == nil {
			v = values[i].Val()
		}
		e, err := readMember(m, v, &interned{})
		switch {
		case err == nil && e.ExpiresAt.After(now):
			entries = append(entries, e)
		case scores[i].Val() > latest || err != nil && v != nil: // no score is 0: removed meanwhile
			lost++
		}
	}
	if lost > 0 {
		return nil, fmt.Errorf("%w: %s of a page of entries have no readable value", blocklist.ErrDamaged, strconv.Itoa(lost))
	}
	return entries, nil
}

// sameEpoch makes sure at the end of a long read that nobody emptied the store
// under it: what looked removed may then have been lost.
func (s *Store) sameEpoch(ctx context.Context, epoch string) error {
	now, err := s.db.Get(ctx, keyEpoch).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return blocklist.ErrNoEpoch
	case err != nil:
		return err
	case now != epoch:
		return fmt.Errorf("%w: the list was founded anew while it was read", blocklist.ErrDamaged)
	}
	return nil
}
