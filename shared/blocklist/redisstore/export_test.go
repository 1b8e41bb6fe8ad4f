package redisstore

import (
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// SetSizes makes a store work in small pieces.
func (s *Store) SetSizes(tx, page int) { s.txSize, s.pageSize = tx, page }

// SetBounds makes a store look less far around what it does not know, and wait in short slices.
func (s *Store) SetBounds(around int, slice time.Duration) { s.around, s.slice = around, slice }

// AroundChunk is how many ranges are looked around at once.
const AroundChunk = aroundChunk

// Decode reads an entry's value.
func Decode(ind threat.Indicator, text string) (blocklist.Entry, error) {
	return decode(ind, text, &interned{})
}

// ParsesQuickly tells whether the quick way reads text.
func ParsesQuickly(text string) bool { return parse(text, &value{}, &interned{}) }

// Head is the part of a value that Go writes.
func Head(e blocklist.Entry) string { return string(appendHead(nil, e)) }

// AddHook lets a test watch or disturb what the store sends.
func (s *Store) AddHook(h redis.Hook) { s.db.AddHook(h) }

// PastTTL is how long strikes and unblocks are remembered.
const PastTTL = pastTTL
