package redisstore

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/tracewall/tracewall/shared/blocklist"
)

const (
	// aroundChunk is how many ranges without a place of their own are looked around at once.
	aroundChunk = 200
	// maxAround bounds how many places are looked up around ranges that have none
	// of their own, two seconds' worth. An allowlisted address splits a listed range
	// into at most 16 pieces, and pieces share what is around them: a wall that lets
	// tens of thousands of unknown ranges go at once did not get there by that.
	maxAround = 500_000
)

// Ended returns how many of the prefixes left the list in good order by now: their
// term ended or an operator unblocked them. See blocklist.LeftInOrder for pieces of
// ranges and merged ranges. The index remembers for 122 days; what it does not
// know was lost and does not count. A million prefixes take two seconds; of those
// that the index does not know, only so many are looked around that it takes two more.
func (s *Store) Ended(ctx context.Context, now time.Time, prefixes []netip.Prefix) (int, error) {
	own, err := s.places(ctx, now, prefixes)
	if err != nil {
		return 0, wrap("read ended terms", err)
	}
	ended := 0
	var unknown []netip.Prefix
	for i, p := range prefixes {
		switch own[i] {
		case blocklist.PlaceEnded:
			ended++
		case blocklist.PlaceNone:
			unknown = append(unknown, p)
		case blocklist.PlaceActive:
		}
	}
	budget := s.around
	for len(unknown) > 0 && budget > 0 {
		chunk := unknown[:min(aroundChunk, len(unknown))]
		unknown = unknown[len(chunk):]
		known, err := s.lookAround(ctx, now, chunk)
		if err != nil {
			return 0, wrap("read ended terms", err)
		}
		budget -= len(known)
		for _, p := range chunk {
			if blocklist.LeftInOrder(p, func(q netip.Prefix) blocklist.Place { return known[q] }) {
				ended++
			}
		}
	}
	return ended, nil
}

// lookAround looks up all that decides about prefixes without a place of their own.
func (s *Store) lookAround(ctx context.Context, now time.Time, prefixes []netip.Prefix) (map[netip.Prefix]blocklist.Place, error) {
	known := map[netip.Prefix]blocklist.Place{}
	var ask []netip.Prefix
	want := func(p netip.Prefix) {
		if _, asked := known[p]; !asked {
			known[p] = blocklist.PlaceNone
			ask = append(ask, p)
		}
	}
	for _, p := range prefixes {
		for w := range blocklist.Wider(p) {
			want(w)
		}
		for w := range blocklist.Within(p) {
			want(w)
		}
	}
	places, err := s.places(ctx, now, ask)
	for i := range places {
		known[ask[i]] = places[i]
	}
	return known, err
}

// places looks every prefix up in the expiry index.
func (s *Store) places(ctx context.Context, now time.Time, prefixes []netip.Prefix) ([]blocklist.Place, error) {
	places := make([]blocklist.Place, len(prefixes))
	latest := float64(now.UnixMilli()) / 1000
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for from := 0; from < len(prefixes); from += s.pageSize {
		group.Go(func() error {
			page := prefixes[from:min(from+s.pageSize, len(prefixes))]
			pipe := s.db.Pipeline()
			scores := make([]*redis.FloatCmd, len(page))
			for i, p := range page {
				scores[i] = pipe.ZScore(gctx, keyExpiry, rangeMember(p))
			}
			if _, err := pipe.Exec(gctx); err != nil && !errors.Is(err, redis.Nil) {
				return err
			}
			for i, score := range scores {
				switch at, err := score.Result(); {
				case errors.Is(err, redis.Nil):
				case err != nil:
					return err
				case at <= latest:
					places[from+i] = blocklist.PlaceEnded
				default:
					places[from+i] = blocklist.PlaceActive
				}
			}
			return nil
		})
	}
	return places, group.Wait()
}

// rangeMember spells a range as threat.Indicator's Key does, also one that could not be listed.
func rangeMember(p netip.Prefix) string {
	if p.IsSingleIP() {
		return "ip:" + p.Addr().String()
	}
	return "ip:" + p.String()
}
