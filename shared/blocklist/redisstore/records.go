package redisstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
)

const (
	runTTL    = 7 * 24 * time.Hour
	statusTTL = 30 * 24 * time.Hour
	lastRun   = "last"
)

// Checkpoint returns up to where a rule has read the logs. ok is false when it
// never has. Put moves it, forward only.
func (s *Store) Checkpoint(ctx context.Context, rule string) (at time.Time, ok bool, err error) {
	text, err := s.db.HGet(ctx, keyCheckpoints, rule).Result()
	if errors.Is(err, redis.Nil) {
		return time.Time{}, false, nil
	}
	if err != nil {
		return time.Time{}, false, wrap("read checkpoint "+rule, err)
	}
	unix, err := strconv.ParseInt(text, 10, 64)
	if err != nil || unix <= 0 {
		return time.Time{}, false, fmt.Errorf("read checkpoint %s: %w: not a time", rule, blocklist.ErrDamaged)
	}
	return time.Unix(unix, 0).UTC(), true, nil
}

// First returns true the first time that it is asked about key, and false for ttl
// after that (one second to thirty days). It is how duplicates of a message are
// told. Keys may be of any length and content: only their hash is kept.
func (s *Store) First(ctx context.Context, key string, ttl time.Duration) (bool, error) {
	if ttl < time.Second || ttl > blocklist.MaxTerm {
		return false, fmt.Errorf("first: ttl %s: want 1s to %s", ttl, blocklist.MaxTerm)
	}
	sum := sha256.Sum256([]byte(key))
	err := s.db.Do(ctx, "set", prefix+"once:"+hex.EncodeToString(sum[:]), 1, "px", ttl.Milliseconds(), "nx").Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	}
	return err == nil, wrap("first", err)
}

// SaveRun keeps the report of a run for seven days, also under the id "last".
func (s *Store) SaveRun(ctx context.Context, id string, report []byte) error {
	if err := name("run", id); err != nil {
		return fmt.Errorf("save run: %w", err)
	}
	if id == lastRun || len(report) > blocklist.MaxRecord {
		return fmt.Errorf("save run %s: want another id than %q and at most %d bytes", id, lastRun, blocklist.MaxRecord)
	}
	pipe := s.db.TxPipeline()
	pipe.Set(ctx, prefix+"run:"+id, report, runTTL)
	pipe.Set(ctx, prefix+"run:"+lastRun, report, runTTL)
	_, err := pipe.Exec(ctx)
	return wrap("save run "+id, err)
}

// Run returns the report of a run; the id "last" means the one saved last.
// ErrNoReport means that there is none (any more).
func (s *Store) Run(ctx context.Context, id string) ([]byte, error) {
	return s.record(ctx, "run", id)
}

// SaveStatus keeps what a firewall target's last run did, for thirty days.
func (s *Store) SaveStatus(ctx context.Context, target string, status []byte) error {
	if err := name("target", target); err != nil {
		return fmt.Errorf("save status: %w", err)
	}
	if len(status) > blocklist.MaxRecord {
		return fmt.Errorf("save status of %s: want at most %d bytes", target, blocklist.MaxRecord)
	}
	return wrap("save status of "+target, s.db.Set(ctx, prefix+"status:"+target, status, statusTTL).Err())
}

// Status returns what SaveStatus kept, or ErrNoReport.
func (s *Store) Status(ctx context.Context, target string) ([]byte, error) {
	return s.record(ctx, "status", target)
}

func (s *Store) record(ctx context.Context, kind, id string) ([]byte, error) {
	if err := name(kind, id); err != nil {
		return nil, fmt.Errorf("read %s: %w", kind, err)
	}
	b, err := s.db.Get(ctx, prefix+kind+":"+id).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("read %s %s: %w", kind, id, ErrNoReport)
	}
	return b, wrap("read "+kind+" "+id, err)
}

// SaveAllowlist replaces the stored allowlist. A list of nobody is a list too.
func (s *Store) SaveAllowlist(ctx context.Context, list allowlist.List) error {
	text := list.Text()
	if _, err := allowlist.Parse(bytes.NewReader(text)); err != nil {
		return fmt.Errorf("save allowlist: %w", err)
	}
	sum := sha256.Sum256(text)
	blob := append([]byte("v1 sha256 "+hex.EncodeToString(sum[:])+"\n"), text...)
	return wrap("save allowlist", s.db.Set(ctx, keyAllowlist, blob, 0).Err())
}

// Allowlist returns the stored allowlist, whole. ErrNoAllowlist means that nobody
// has saved one, blocklist.ErrDamaged that it is not what was saved. In both cases
// nobody may be blocked on the strength of it.
func (s *Store) Allowlist(ctx context.Context) (allowlist.List, error) {
	blob, err := s.db.Get(ctx, keyAllowlist).Bytes()
	if errors.Is(err, redis.Nil) {
		return allowlist.List{}, fmt.Errorf("read allowlist: %w", ErrNoAllowlist)
	}
	if err != nil {
		return allowlist.List{}, wrap("read allowlist", err)
	}
	head, text, _ := bytes.Cut(blob, []byte("\n"))
	sum := sha256.Sum256(text)
	if string(head) != "v1 sha256 "+hex.EncodeToString(sum[:]) {
		return allowlist.List{}, fmt.Errorf("read allowlist: %w: checksum does not fit", blocklist.ErrDamaged)
	}
	list, err := allowlist.Parse(bytes.NewReader(text))
	if err != nil {
		return allowlist.List{}, fmt.Errorf("read allowlist: %w: %w", blocklist.ErrDamaged, err)
	}
	return list, nil
}
