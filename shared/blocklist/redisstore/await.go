package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// awaitSlice bounds one blocking read. Proxies and load balancers cut connections
// that are silent for long, and a read that nobody waits for any more ends by itself
// this soon.
const awaitSlice = 5 * time.Second

// Await waits until the handoff stream has a message newer than the id after, at
// most for timeout, and returns the id of the newest one; if none came it returns after. It needs no group
// and takes no message away.
//
// With after "" it waits for messages newer than the newest there is now, and
// returns that one's id ("0-0" for an empty stream) if none came: Await(ctx, "", 0) asks where the
// stream stands, and from there nothing is missed. With a timeout of 0 or less it does not wait.
// When ctx ends, Await returns at once with its error.
func (s *Store) Await(ctx context.Context, after string, timeout time.Duration) (last string, err error) {
	type answer struct {
		last string
		err  error
	}
	// The client looks at a context's cancellation only between commands, so the
	// read is left behind when that comes; it ends within a slice.
	done := make(chan answer, 1)
	go func() {
		last, err := s.await(ctx, after, timeout)
		done <- answer{last, err}
	}()
	select {
	case a := <-done:
		return a.last, wrap("wait for handoff", a.err)
	case <-ctx.Done():
		return after, wrap("wait for handoff", ctx.Err())
	}
}

func (s *Store) await(ctx context.Context, after string, timeout time.Duration) (string, error) {
	end := time.Now().Add(timeout)
	if after == "" {
		newest, err := s.db.XRevRangeN(ctx, keyHandoff, "+", "-", 1).Result()
		if err != nil {
			return "", err
		}
		after = "0-0"
		if len(newest) > 0 {
			after = newest[0].ID
		}
		if timeout <= 0 {
			return after, nil
		}
	}
	for ctx.Err() == nil {
		block := min(time.Until(end), s.slice)
		if block < time.Millisecond {
			block = -1 // 0 would be for ever
		}
		// A deadline would cut the read with an error of the network's.
		last, err := s.newer(context.WithoutCancel(ctx), after, block)
		if err != nil || last != after || block < 0 {
			return last, err
		}
	}
	return after, ctx.Err()
}

// newer returns the id of the newest message after the given one, for which it
// waits for block (negative: not at all).
func (s *Store) newer(ctx context.Context, after string, block time.Duration) (string, error) {
	streams, err := s.db.XRead(ctx, &redis.XReadArgs{Streams: []string{keyHandoff, after}, Count: maxNotices, Block: block}).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return after, err
	}
	for _, stream := range streams {
		if n := len(stream.Messages); n > 0 {
			after = stream.Messages[n-1].ID
		}
	}
	return after, nil
}
