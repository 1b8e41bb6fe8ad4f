package redisstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// caseChunk is how many cases are sent at once: a few megabytes.
const caseChunk = 200

// SaveCases keeps why Indicators were judged as they were, each for its own time; a
// later case of the same Indicator replaces it. All are checked before the first is
// written; if Redis fails half way some are, and saving the same again completes it.
func (s *Store) SaveCases(ctx context.Context, cases []blocklist.Case) error {
	if err := blocklist.CheckCases(cases); err != nil {
		return fmt.Errorf("save cases: %w", err)
	}
	for chunk := range slices.Chunk(cases, caseChunk) {
		pipe := s.db.Pipeline()
		for _, c := range chunk {
			head := fmt.Sprintf("v1 %d %d\n", c.At.Unix(), int64(c.Keep/time.Second))
			pipe.Set(ctx, caseKey(c.Indicator), append([]byte(head), c.Text...), c.Keep.Truncate(time.Second))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return wrap("save cases", err)
		}
	}
	return nil
}

// Case returns the latest case of an Indicator; ok is false when there is none (any more).
func (s *Store) Case(ctx context.Context, ind threat.Indicator) (c blocklist.Case, ok bool, err error) {
	operation := "read case of " + ind.Masked()
	blob, err := s.db.Get(ctx, caseKey(ind)).Bytes()
	if errors.Is(err, redis.Nil) {
		return blocklist.Case{}, false, nil
	}
	if err != nil {
		return blocklist.Case{}, false, wrap(operation, err)
	}
	head, text, _ := bytes.Cut(blob, []byte("\n"))
	var at, keep int64
	if _, err := fmt.Sscanf(string(head), "v1 %d %d", &at, &keep); err != nil {
		return blocklist.Case{}, false, fmt.Errorf("%s: %w: not a case", operation, blocklist.ErrDamaged)
	}
	c = blocklist.Case{Indicator: ind, At: moment(at), Keep: time.Duration(keep) * time.Second, Text: text}
	if err := c.Check(); err != nil {
		return blocklist.Case{}, false, fmt.Errorf("%s: %w: %w", operation, blocklist.ErrDamaged, err)
	}
	return c, true, nil
}

func caseKey(ind threat.Indicator) string { return prefix + "case:" + ind.Key() }

// SaveState keeps a function's small memory under a name, until it is saved anew. It is
// no part of the list: who writes a state holds a lease, or bears that another's is lost.
func (s *Store) SaveState(ctx context.Context, id string, data []byte) error {
	if err := name("state", id); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	if len(data) > blocklist.MaxState {
		return fmt.Errorf("save state %s: %d bytes: want at most %d", id, len(data), blocklist.MaxState)
	}
	return wrap("save state "+id, s.db.Set(ctx, stateKey(id), data, 0).Err())
}

// State returns what SaveState kept; ok is false when nothing was.
func (s *Store) State(ctx context.Context, id string) (data []byte, ok bool, err error) {
	if err := name("state", id); err != nil {
		return nil, false, fmt.Errorf("read state: %w", err)
	}
	data, err = s.db.Get(ctx, stateKey(id)).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, wrap("read state "+id, err)
	}
	return data, true, nil
}

func stateKey(id string) string { return prefix + "state:" + id }
