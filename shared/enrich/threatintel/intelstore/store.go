// Package intelstore keeps threat intelligence in Redis, beside the blocklist and under the same hash tag: whatever speaks
// Redis 5 holds it, alone, behind a proxy, or as a cluster.
//
// # Keys
//
// All begin with {tracewall}:v1:intel: and are listed here without it.
//
//	catalog          what is known of all feeds: checksum line, then JSON (threatintel.Catalog)
//	founded          "allow" if the catalog has feeds whose ranges are spared, else "signal": told apart from
//	                 nothing, a catalog that has gone is an error and no empty one
//	table:DIGEST:N   part N of a feed's table, at most 1 MB; DIGEST is that of the whole
//
// # What is atomic
//
// Tables are written first, under names of their content, and end by themselves after an hour. Then one script
// switches the catalog, if it is still the one that the writer has read: it makes the new
// tables stay and lets those that nobody needs any more end in an hour. So a reader sees one
// catalog with all its tables or the other; a writer that dies leaves nothing behind; of two writers one begins anew.
//
// # Reading
//
// Store.Set asks for the catalog, which is one command, and reads only tables that it does not hold yet. What
// cannot be read whole is an error, never less intelligence: for signals that means that they are absent, for
// ranges to spare that nobody new may be blocked.
package intelstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/enrich/threatintel"
)

var (
	// ErrLost means that intelligence was there and has gone, in whole or in part: Redis was flushed, restored
	// or ran out of memory. The next run of refresh-intel loads it anew.
	ErrLost = errors.New("threat intelligence has gone from redis")
	// ErrNoRanges means that no feed of purpose allow is configured, so there are no published ranges to spare.
	ErrNoRanges = errors.New("no feed of ranges to spare is configured")
	// ErrNotLoaded means that a feed of ranges to spare is configured and has never been loaded.
	ErrNotLoaded = errors.New("ranges to spare were never loaded")
	// ErrConflict means that another run has switched the catalog meanwhile: read it and begin anew.
	ErrConflict = errors.New("another run has written threat intelligence meanwhile")
)

const (
	prefix     = "{tracewall}:v1:intel:"
	keyCatalog = prefix + "catalog"
	keyFounded = prefix + "founded"

	// chunkSize bounds one value, in bytes: proxies and managed Redis dislike larger ones.
	chunkSize = 1_000_000
	// stay is how long a table stays that no catalog refers to (any more): long enough for whoever is just
	// reading it, and for a run between its first write and its last.
	stay = time.Hour
)

// Store reads and writes intelligence. It is safe for concurrent use. It remembers tables in memory: keep one Store for
// as long as the function's instance lives.
type Store struct {
	db  redis.UniversalClient
	now func() time.Time

	mu     sync.Mutex
	set    *threatintel.Set
	tables map[string]*threatintel.Table // by digest, of the catalog that was read last
}

// Open makes a Store from an address, as redisstore.Open takes it. It does not connect yet. now is the clock by which feeds
// fade.
func Open(ctx context.Context, address string, now func() time.Time) (*Store, error) {
	client, err := redisstore.Connect(ctx, address)
	if err != nil {
		return nil, err
	}
	return New(client, now), nil
}

// New makes a Store that uses client and, on Close, closes it. redisstore.Connect makes a fitting one.
func New(client redis.UniversalClient, now func() time.Time) *Store {
	return &Store{db: client, now: now, tables: map[string]*threatintel.Table{}}
}

// Close closes the connections.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("close redis: %w", err)
	}
	return nil
}

// chunks returns the keys of a table's parts.
func chunks(r threatintel.Record) []string {
	if r.Digest == "" {
		return nil
	}
	keys := make([]string, 0, 1+r.Bytes/chunkSize)
	for i := 0; i*chunkSize < r.Bytes; i++ {
		keys = append(keys, fmt.Sprintf("%stable:%s:%d", prefix, r.Digest, i))
	}
	return keys
}

// wrap names the operation and turns what the script says into sentinels.
func wrap(operation string, err error) error {
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), "CONFLICT "):
		return fmt.Errorf("%s: %w", operation, ErrConflict)
	case strings.Contains(err.Error(), "MISSING "):
		return fmt.Errorf("%s: %w", operation, ErrLost)
	}
	return fmt.Errorf("%s: %w", operation, err)
}
