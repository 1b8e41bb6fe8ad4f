package redisstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

const (
	// maxTx bounds one transaction: Redis serves nobody else meanwhile, about a
	// quarter of a second for this many.
	maxTx = 50_000
	// chunkSize bounds one script call: Lua holds its arguments all at once.
	chunkSize = 1_000
	// ticketTTL bounds the time between the first and the last transaction of one write.
	ticketTTL = 10 * time.Minute
	// handoffLen is about how many messages the stream keeps. A target that is
	// further behind loses nothing: it reconciles from the whole list.
	handoffLen = 10_000
	// maxPrune bounds how many forgotten places one write clears away.
	maxPrune = 20_000
	// maxShownErrors bounds how many unfit offences an error lists.
	maxShownErrors = 20
)

// Put writes one run's offences and checkpoints: all or nothing, however often and
// by however many writers at once. See blocklist.Apply for what an offence becomes.
// It checks every offence before the first call and reports all unfit ones at once.
//
// A batch of more than 50,000 offences (an operator's file) is written in several
// transactions, each of them atomic; the checkpoints and the handoff message come
// with the last one. If it fails half way, the entries written so far stay, no
// checkpoint has moved, and putting the same batch again completes it.
//
// Errors: blocklist.ErrDamaged when the epoch is missing although other parts of a
// list are there, or the reverse.
func (s *Store) Put(ctx context.Context, b blocklist.Batch) (blocklist.Changes, error) {
	if err := checkBatch(b); err != nil {
		return blocklist.Changes{}, fmt.Errorf("put: %w", err)
	}
	now := strconv.FormatInt(b.Now.UnixMilli(), 10)
	fixed := []any{
		now, pastTTL.Milliseconds(), int64(blocklist.MaxTerm / time.Second), blocklist.MaxStrikes,
		len(entryPrefix), 0, blocklist.MaxRules, blocklist.MaxCountries, blocklist.MaxAccounts,
		blocklist.MaxTags, int64(blocklist.StrikeDecay / time.Second), blocklist.JitterScale,
	}
	w := write{
		operation: "put", script: putLua, hash: putHash, run: b.Run, now: b.Now, checkpoints: b.Checkpoints,
		total: len(b.Offences), newEpoch: nonce(), secretive: true,
		chunk: func(secret string, no, from, to int) ([]string, []any) {
			keys := make([]string, 2*(to-from))
			args := make([]any, 0, len(fixed)+4*(to-from))
			args = append(args, fixed...)
			args[5] = no
			for i, o := range b.Offences[from:to] {
				o = o.Clean()
				key := o.Indicator.Key()
				keys[i], keys[to-from+i] = pastPrefix+key, entryPrefix+key
				args = appendOffence(args, o, blocklist.NewJitter(secret, key), b.Now)
			}
			return keys, args
		},
	}
	var changes blocklist.Changes
	generation, err := s.write(ctx, w, func(reply []int64) {
		changes.Added += int(reply[0])
		changes.Extended += int(reply[1])
		changes.Upgraded += int(reply[2])
		changes.Unchanged += int(reply[3])
		changes.Released += int(reply[4])
		changes.Expired += int(reply[5])
	})
	changes.Generation = generation
	return changes, err
}

// appendOffence adds the four arguments of a cleaned offence; see put.lua.
func appendOffence(args []any, o blocklist.Offence, j blocklist.Jitter, now time.Time) []any {
	end, left := o.End(1, j), []byte(nil)
	if end.After(now) {
		left = strconv.AppendInt(nil, max(end.Sub(now).Milliseconds(), 1000), 10)
	}
	term := int64(o.Term / time.Second)
	if o.Source == blocklist.SourceOperator {
		term = -term
	}
	const digits = 12
	from := append(make([]byte, 0, 40), j[:]...)
	at := strconv.FormatInt(o.At.Unix(), 10)
	for range digits - len(at) {
		from = append(from, '0')
	}
	from = strconv.AppendInt(append(from, at...), term, 10)
	e := o.Entry
	e.Since, e.ExpiresAt, e.Strikes = o.At, end, 1
	return append(args, end.Unix(), left, from, appendValue(make([]byte, 0, 256), e))
}

// Remove is Unblock without a cool-off.
func (s *Store) Remove(ctx context.Context, now time.Time, run string, inds []threat.Indicator) (removed int, err error) {
	return s.Unblock(ctx, blocklist.Unblock{Run: run, Now: now, Indicators: inds})
}

// Unblock takes Indicators off the list and returns how many were on it. Each
// gets a tombstone, listed or not, so that reading again over windows that ended
// before now, or before the cool-off has, does not block it again; an operator's own
// later block does. The strike of a block that is undone so does not count. Large lists
// are written as by Put.
func (s *Store) Unblock(ctx context.Context, u blocklist.Unblock) (removed int, err error) {
	if err := u.Check(); err != nil {
		return 0, fmt.Errorf("remove: %w", err)
	}
	inds := u.Indicators
	fixed := []any{u.Now.Unix(), pastTTL.Milliseconds(), len(entryPrefix), 0, int64(u.CoolOff / time.Second)}
	w := write{
		operation: "remove", script: removeLua, hash: removeHash, run: u.Run, now: u.Now, total: len(inds),
		chunk: func(_ string, no, from, to int) ([]string, []any) {
			keys := make([]string, 0, 6+2*(to-from))
			args := slices.Clone(fixed)
			args[3] = no
			for _, ind := range inds[from:to] {
				key := ind.Key()
				keys = append(keys, entryPrefix+key, pastPrefix+key)
			}
			return keys, args
		},
	}
	_, err = s.write(ctx, w, func(reply []int64) { removed += int(reply[0]) })
	return removed, err
}

// checkBatch reports what is wrong with a batch, up to maxShownErrors offences.
func checkBatch(b blocklist.Batch) error {
	var bad []error
	if b.Now.Unix() <= 0 {
		return errors.New("now: no time")
	}
	if len(b.Run) > 128 {
		bad = append(bad, errors.New("run: want at most 128 bytes"))
	}
	for rule, at := range b.Checkpoints {
		if rule == "" || len(rule) > 128 || at.Unix() <= 0 {
			bad = append(bad, fmt.Errorf("checkpoint of rule %.40q: want a rule of 1 to 128 bytes and a time", rule))
		}
	}
	for i, o := range b.Offences {
		if err := o.Check(b.Now); err != nil {
			bad = append(bad, fmt.Errorf("offence %d: %w", i+1, err))
		}
		if len(bad) >= maxShownErrors {
			bad = append(bad, errors.New("and maybe more"))
			break
		}
	}
	return errors.Join(bad...)
}

// write is one Put or Remove on its way to Redis.
type write struct {
	operation    string
	script, hash string
	run          string
	now          time.Time
	checkpoints  map[string]time.Time
	total        int
	newEpoch     string // "" founds no list
	secretive    bool   // it needs the list's secret
	// chunk returns the keys and arguments of the given Indicators, without the six fixed keys.
	chunk func(secret string, no, from, to int) (keys []string, args []any)
}

// write sends w with the list's secret, if it needs that, which is asked for when it is not known
// or not right any more: begin refuses another one before anything is written.
func (s *Store) write(ctx context.Context, w write, tally func([]int64)) (generation uint64, err error) {
	if !w.secretive {
		return s.send(ctx, w, "", tally)
	}
	for range maxSecrets {
		secret, err := s.knownSecret(ctx)
		if err != nil {
			return 0, wrap(w.operation, err)
		}
		generation, err = s.send(ctx, w, secret, tally)
		if !errors.Is(err, errSecret) {
			return generation, err
		}
		s.secret.Store(nil)
	}
	return 0, fmt.Errorf("%s: %w each of %d times that it was read", w.operation, errSecret, maxSecrets)
}

// send writes w in as many transactions as it needs and hands each chunk's reply to
// tally: begin, the chunks, and with the last ones finish. While Redis works on one
// transaction the next one is made ready.
func (s *Store) send(ctx context.Context, w write, secret string, tally func([]int64)) (generation uint64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	ready := make(chan *transaction)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(ready)
		for tx := range s.transactions(ctx, w, secret) {
			select {
			case ready <- tx:
			case <-ctx.Done():
				return
			}
		}
	}()
	defer func() { cancel(); <-done }()
	for tx := range ready {
		if _, err := tx.pipe.Exec(ctx); err != nil {
			return 0, wrap(w.operation, err)
		}
		for _, r := range tx.chunks {
			n, err := ints(r)
			if err != nil {
				return 0, wrap(w.operation, err)
			}
			tally(n)
		}
		if tx.finish != nil {
			n, err := tx.finish.Int64()
			return uint64(max(n, 0)), wrap(w.operation, err)
		}
	}
	return 0, fmt.Errorf("%s: %w", w.operation, context.Cause(ctx))
}

// transaction is one MULTI/EXEC that is ready to be sent.
type transaction struct {
	pipe   redis.Pipeliner
	chunks []*redis.Cmd
	finish *redis.Cmd // nil in all but the last
}

func (s *Store) transactions(ctx context.Context, w write, secret string) iter.Seq[*transaction] {
	ticket := prefix + "put:" + nonce()
	fixed := []string{keyEpoch, keyGeneration, keySize, keyExpiry, ticket, keyUnannounced}
	chunks := (w.total + chunkSize - 1) / chunkSize
	perTx := max(1, s.txSize/chunkSize)
	return func(yield func(*transaction) bool) {
		for from := 0; ; from += perTx {
			to := min(from+perTx, chunks)
			tx := &transaction{pipe: s.db.TxPipeline()}
			if from == 0 {
				tx.pipe.Eval(ctx, beginLua, []string{
					keyEpoch, keyGeneration, keySize, keyExpiry, keyCheckpoints, keyHandoff, ticket, keySecret,
				}, w.newEpoch, ticketTTL.Milliseconds(), secret)
			}
			for no := from; no < to; no++ {
				keys, args := w.chunk(secret, no, no*chunkSize, min((no+1)*chunkSize, w.total))
				keys = append(slices.Clone(fixed), keys...)
				if no == from {
					// The whole text first: it makes the hash known for the rest of
					// the transaction, which no other client can interrupt.
					tx.chunks = append(tx.chunks, tx.pipe.Eval(ctx, w.script, keys, args...))
				} else {
					tx.chunks = append(tx.chunks, tx.pipe.EvalSha(ctx, w.hash, keys, args...))
				}
			}
			if to == chunks {
				args := []any{chunks, w.now.Add(-placeTTL).Unix(), maxPrune, handoffLen, w.run}
				for _, rule := range slices.Sorted(maps.Keys(w.checkpoints)) {
					args = append(args, rule, w.checkpoints[rule].Unix())
				}
				tx.finish = tx.pipe.Eval(ctx, finishLua, append(slices.Clone(fixed), keyHandoff, keyCheckpoints), args...)
			}
			if !yield(tx) || tx.finish != nil {
				return
			}
		}
	}
}

// ints reads a script's reply: one number or a list of them.
func ints(r *redis.Cmd) ([]int64, error) {
	if n, ok := r.Val().(int64); ok {
		return []int64{n}, r.Err()
	}
	n, err := r.Int64Slice()
	if err == nil && len(n) != 6 {
		err = fmt.Errorf("script reply of %d numbers: want 6", len(n))
	}
	return n, err
}

// fraction writes a time as Unix seconds with milliseconds, as sorted sets compare them.
func fraction(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64)
}
