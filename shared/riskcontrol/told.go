package riskcontrol

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
)

// told is what the receiver was told last about one account.
type told struct {
	since, until int64 // Unix seconds
	action       string
	state        byte
}

// What is known of an answer. Before a delivery is made it is noted what it will say: if
// the answer is lost, nobody knows whether the receiver has heard it, and only what is
// noted can be taken back.
const (
	sure      = '=' // acknowledged
	blocking  = 'b' // said to be blocked, not acknowledged
	extending = 'e' // said to be extended, not acknowledged
	releasing = 'r' // said to be released, not acknowledged
)

// The memory is split by account, so that one save is small and all of it may be larger
// than the megabyte that a store keeps under one name.
const (
	shards   = 16
	maxShard = blocklist.MaxState
	perLine  = 45 // bytes of a line beside its account, at most: two numbers, a state, an action, blanks
)

func shardOf(account string) int { return int(sha256.Sum256([]byte(account))[0]) % shards }

func shardName(i int) string { return fmt.Sprintf("riskcontrol-%02d", i) }

// shard is a part of the memory. Its turn grows with every delivery that was
// acknowledged, and is part of every event's id: what is said again after an answer was
// lost has the same id, and what is said again because it became true again has another.
type shard struct {
	turn    int64
	told    map[string]told
	changes map[string]bool // accounts since it was saved last; nil for none
}

// set notes a change of one account; deleted says that it is gone.
func (s *shard) set(account string, t told, deleted bool) {
	if s.changes == nil {
		s.changes = map[string]bool{}
	}
	s.changes[account] = true
	if deleted {
		delete(s.told, account)
	} else {
		s.told[account] = t
	}
}

// ledger is all of what was told. It is for one goroutine.
type ledger struct {
	memory Memory
	shards [shards]shard
}

// readLedger reads it. What was never saved, is lost, or was written by another version
// counts as never told: to tell again does no harm. Its turns then begin with the time,
// which is later than any that was lost. A memory that does not answer is an error.
func readLedger(ctx context.Context, memory Memory, clock time.Time) (*ledger, error) {
	l := &ledger{memory: memory}
	for i := range l.shards {
		data, _, err := memory.State(ctx, shardName(i)) // what is not there is not decoded either
		if err != nil {
			return nil, fmt.Errorf("read what was told: %w", err)
		}
		var ok bool
		if l.shards[i], ok = decode(data); !ok {
			l.shards[i] = shard{turn: clock.UnixNano(), told: map[string]told{}}
		}
	}
	return l, nil
}

// intend notes what a delivery will say.
func (l *ledger) intend(events []Event) {
	for _, e := range events {
		s := &l.shards[shardOf(e.Account.ID)]
		state := map[Type]byte{AccountBlocked: blocking, AccountExtended: extending, AccountReleased: releasing}[e.Type]
		s.set(e.Account.ID, told{e.Account.Since.Unix(), e.Account.Until.Unix(), e.Account.Action, state}, false)
	}
}

// acknowledge notes that a delivery was heard.
func (l *ledger) acknowledge(events []Event) {
	var turned [shards]bool
	for _, e := range events {
		i := shardOf(e.Account.ID)
		s := &l.shards[i]
		if !turned[i] {
			turned[i] = true
			s.turn++
		}
		t := s.told[e.Account.ID]
		t.state = sure
		s.set(e.Account.ID, t, e.Type == AccountReleased)
	}
}

// save writes what has changed into what is there now: another run may have told other
// accounts meanwhile. What it wrote between this reading and this writing is lost, a
// matter of milliseconds; hence the lease that Sync asks for.
func (l *ledger) save(ctx context.Context) error {
	for i := range l.shards {
		s := &l.shards[i]
		if s.changes == nil {
			continue
		}
		data, _, err := l.memory.State(ctx, shardName(i))
		if err != nil {
			return fmt.Errorf("read what was told meanwhile: %w", err)
		}
		if fresh, ok := decode(data); ok {
			for account := range s.changes {
				t, held := s.told[account]
				fresh.set(account, t, !held)
			}
			s.told, s.turn = fresh.told, max(s.turn, fresh.turn)
		}
		if err := l.memory.SaveState(ctx, shardName(i), s.encode()); err != nil {
			return fmt.Errorf("save what was told: %w", err)
		}
		s.changes = nil
	}
	return nil
}

// encode writes a head, how many accounts and the turn, and one line for each account,
// which has no line break in it:
//
//	v1 2 1795168800000000017
//	1795168800 1795428000 = block nbNg==
//	1795168800 1795428000 b challenge jane doe
func (s shard) encode() []byte {
	b := fmt.Appendf(nil, "v1 %d %d\n", len(s.told), s.turn)
	for _, account := range slices.Sorted(maps.Keys(s.told)) {
		t := s.told[account]
		b = strconv.AppendInt(b, t.since, 10)
		b = append(b, ' ')
		b = strconv.AppendInt(b, t.until, 10)
		b = append(b, ' ', t.state, ' ')
		b = append(b, t.action...)
		b = append(b, ' ')
		b = append(b, account...)
		b = append(b, '\n')
	}
	return b
}

// decode reads what encode wrote, all of it or nothing.
func decode(data []byte) (shard, bool) {
	head, rest, _ := bytes.Cut(data, []byte("\n"))
	words := strings.Split(string(head), " ")
	if len(words) != 3 || words[0] != "v1" {
		return shard{}, false
	}
	count, err1 := strconv.Atoi(words[1])
	turn, err2 := strconv.ParseInt(words[2], 10, 64)
	if err1 != nil || err2 != nil || count < 0 || count > len(rest) {
		return shard{}, false
	}
	s := shard{turn: turn, told: make(map[string]told, count)}
	for line := range bytes.Lines(rest) {
		line, whole := bytes.CutSuffix(line, []byte("\n"))
		words := strings.SplitN(string(line), " ", 5)
		if !whole || len(words) < 5 || len(words[2]) != 1 || !strings.Contains("=ber", words[2]) || words[3] == "" || words[4] == "" {
			return shard{}, false
		}
		since, err1 := strconv.ParseInt(words[0], 10, 64)
		until, err2 := strconv.ParseInt(words[1], 10, 64)
		if err1 != nil || err2 != nil {
			return shard{}, false
		}
		s.told[words[4]] = told{since, until, words[3], words[2][0]}
	}
	return s, len(s.told) == count
}

// size is an upper bound of what encode writes.
func (s shard) size() int {
	n := perLine
	for account := range s.told {
		n += perLine + len(account)
	}
	return n
}
