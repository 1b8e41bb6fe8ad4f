// Package redisstore keeps the blocklist in Redis: one instance that the functions
// of both clouds reach. It needs Redis 5 or anything later that speaks its commands
// (Tair in its DRAM type, ElastiCache, Valkey), alone, behind a proxy, or as a
// cluster: all keys carry the hash tag {tracewall} and so share one slot.
//
// # Keys
//
// All begin with {tracewall}:v1: and are listed here without it.
//
//	entry:ip:192.0.2.7       one Indicator that is blocked or challenged, as JSON, with a native time to live
//	entry:account:NAME
//	expiry                   sorted set of all entries ("ip:192.0.2.7"), scored by the second of their end;
//	                         ended ones keep their place for 122 days: it remembers a first strike
//	past:ip:192.0.2.7        "strikes until released", Unix seconds, for 120 days; only from the second
//	                         strike on or after an unblock; the end of its cool-off, if it has one, is a fourth word
//	secret                   what the jitter of terms depends on: 32 hexadecimal digits, as old as the list
//	case:ip:192.0.2.7        why it was judged as it was: "v1 AT KEEP", then JSON, for as long as its writer said
//	state:NAME               a function's small memory, for ever
//	epoch generation size    which list this is, how often it changed, how many members expiry has
//	handoff                  stream: one message for each change, one consumer group per firewall target
//	unannounced              changes of a write that has not come to its end, for the next message
//	checkpoints              hash: rule id → Unix seconds
//	lease:NAME fence:NAME    who does job NAME now; the last fencing number
//	allowlist                checksum line, then the allowlist's text
//	run:ID run:last          reports of runs, JSON, 7 days
//	status:TARGET            what a firewall target's last run did and left for the next, JSON, 30 days
//	approval:TARGET          an operator's word for the target's next run, or detect's, JSON, 1 hour
//	once:HASH                keys that First has seen
//	put:ID                   the ticket of a write in progress, minutes
//
// # An entry's value
//
// A service that wants to turn blocked accounts away needs nothing of ours: it does
// GET {tracewall}:v1:entry:account:NAME, and a value means blocked, unless it says
// "challenge":true: then the account is to prove itself, by a second factor or a captcha. The value is one
// JSON object. Times are Unix seconds; fields that say nothing are left out. A challenge is of
// version 2, so that a program that knows none takes it for damage rather than for a block:
//
//	{"v":1,"source":"detect","severity":"high","score":95,"tags":["network attack"],"rules":["sms-account"],
//	 "reason":"…","count":48211,"first_seen":1790000000,"last_seen":1790001799,
//	 "countries":["BR","ID"],"accounts":["…"],"addresses":4112,
//	 "since":1790001840,"expires_at":1790261040,"strikes":1}
//
// # What is atomic
//
// Put and Remove are one MULTI/EXEC of Lua chunks up to 50,000 Indicators. Native
// times to live run on the server's clock and the end in the value on the event's;
// a reader believes the value and allows the server fifteen minutes of difference.
//
// # When something is missing
//
// Only a store without any key of ours counts as new: then Put founds a list and
// gives it an epoch. Readers answer blocklist.ErrNoEpoch when there is no epoch, and
// blocklist.ErrDamaged when parts are missing; both mean: plan nothing. Repair is the
// operator's way back.
package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// The sentinels of package blocklist that callers of this package meet most.
var (
	ErrNoAllowlist = blocklist.ErrNoAllowlist
	ErrNoReport    = blocklist.ErrNoReport
)

// Lease is blocklist.Lease: every store hands out the same kind.
type Lease = blocklist.Lease

// grace is how far the server's clock and the clock of a run may be apart before a
// value that has gone too early counts as lost.
const grace = 15 * time.Minute

// pastTTL is how long strikes and tombstones are kept. A tombstone must outlive
// every offence that it answers (MaxTerm); strikes shall lengthen the next term for
// 90 days after the longest block.
const pastTTL = blocklist.MaxTerm + 90*24*time.Hour

// placeTTL is how long an ended entry keeps its place in the index. The scripts look
// for a past only where there is a place, so it must be the longer of the two.
const placeTTL = pastTTL + 2*24*time.Hour

// Store is a blocklist in Redis. It is safe for concurrent use.
type Store struct {
	db       redis.UniversalClient
	txSize   int           // Indicators in one transaction; a field so that tests need no million
	pageSize int           // entries read at a time
	around   int           // places that one Ended may look up around ranges without one
	slice    time.Duration // the longest blocking read
	secret   atomic.Pointer[string]
}

// New makes a Store that uses client and, on Close, closes it. The client's own
// timeouts apply; give it ContextTimeoutEnabled, or contexts only count between
// commands. Open makes a fitting one.
func New(client redis.UniversalClient) *Store {
	return &Store{db: client, txSize: maxTx, pageSize: 4000, around: maxAround, slice: awaitSlice}
}

// Close closes the connections.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
		return fmt.Errorf("close redis: %w", err)
	}
	return nil
}

// Ping tells whether Redis answers.
func (s *Store) Ping(ctx context.Context) error { return wrap("ping redis", s.db.Ping(ctx).Err()) }

const prefix = "{tracewall}:v1:"

// The fixed keys.
const (
	keySecret      = prefix + "secret"
	keyEpoch       = prefix + "epoch"
	keyGeneration  = prefix + "generation"
	keySize        = prefix + "size"
	keyExpiry      = prefix + "expiry"
	keyHandoff     = prefix + "handoff"
	keyUnannounced = prefix + "unannounced"
	keyCheckpoints = prefix + "checkpoints"
	keyAllowlist   = prefix + "allowlist"
	entryPrefix    = prefix + "entry:"
	pastPrefix     = prefix + "past:"
)

func entryKey(ind threat.Indicator) string { return entryPrefix + ind.Key() }

// nonce returns 128 random bits in hexadecimal.
func nonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// wrap names the operation and turns what our scripts say into the sentinels.
func wrap(operation string, err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	switch {
	case strings.HasPrefix(text, "DAMAGED "), strings.HasPrefix(text, "ERR DAMAGED "):
		_, why, _ := strings.Cut(text, "DAMAGED ")
		return fmt.Errorf("%s: %w: %s", operation, blocklist.ErrDamaged, why)
	case strings.HasPrefix(text, "NOEPOCH "), strings.HasPrefix(text, "ERR NOEPOCH "):
		return fmt.Errorf("%s: %w", operation, blocklist.ErrNoEpoch)
	case strings.HasPrefix(text, "SECRET "), strings.HasPrefix(text, "ERR SECRET "):
		return fmt.Errorf("%s: %w", operation, errSecret)
	case strings.HasPrefix(text, "INCOMPLETE "), strings.HasPrefix(text, "ERR INCOMPLETE "):
		return fmt.Errorf("%s: not every part was written, nothing is lost by writing it again", operation)
	}
	return fmt.Errorf("%s: %w", operation, err)
}

// name checks a short word that becomes part of a key.
func name(what, s string) error {
	if s == "" || len(s) > 128 {
		return fmt.Errorf("%s %.20q: want 1 to 128 bytes", what, s)
	}
	for _, r := range s {
		if r <= ' ' || r > '~' || r == '{' || r == '}' {
			return fmt.Errorf("%s %.40q: want printable ASCII without blanks and braces", what, s)
		}
	}
	return nil
}
