package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// noon lies far ahead: by the clock of a real server no entry of a test has ended.
var noon = time.Date(2076, 11, 20, 12, 0, 0, 0, time.UTC)

// intruder is a go-redis hook that does something just before or after each
// transaction or each command of a name, and may say that it failed.
type intruder struct {
	beforeTx func(n int) error
	afterTx  func(n int) error
	after    func(name string)
	mu       sync.Mutex
	n        int
}

func (i *intruder) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (i *intruder) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, c redis.Cmder) error {
		err := next(ctx, c)
		if i.after != nil {
			i.after(c.Name())
		}
		return err
	}
}

func (i *intruder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		isTx := slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return c.Name() == "eval" })
		i.mu.Lock()
		if isTx {
			i.n++
		}
		n := i.n
		i.mu.Unlock()
		if isTx && i.beforeTx != nil {
			if err := i.beforeTx(n); err != nil {
				return err
			}
		}
		err := next(ctx, cmds)
		if isTx && i.afterTx != nil {
			if late := i.afterTx(n); late != nil {
				return late
			}
		}
		return err
	}
}

// batch makes n offences over three transactions of a store with small sizes.
func batch(tb testing.TB, n int) blocklist.Batch {
	tb.Helper()
	b := many(tb, n, noon)
	b.Checkpoints = map[string]time.Time{"rate-limit-address": noon}
	return b
}

var errCut = errors.New("connection cut")

func TestAWriteCutBetweenItsTransactionsIsCompletedByTheNext(t *testing.T) {
	for _, c := range []struct {
		name    string
		cut     int // which transaction
		applied bool
		entries int
	}{
		{"the first is refused", 1, false, -1},
		{"the first is done but not answered", 1, true, 1000},
		{"the second is refused", 2, false, 1000},
		{"the second is done but not answered", 2, true, 2000},
		{"the last is refused", 3, false, 2000},
		{"the last is done but not answered", 3, true, 2500},
	} {
		t.Run(c.name, func(t *testing.T) {
			url := startMini(t)
			s, other := open(t, url), open(t, url)
			s.SetSizes(1000, 700)
			hook := &intruder{}
			fail := func(n int) error {
				if n == c.cut {
					return errCut
				}
				return nil
			}
			if c.applied {
				hook.afterTx = fail
			} else {
				hook.beforeTx = fail
			}
			s.AddHook(hook)
			b := batch(t, 2500)
			if _, err := s.Put(t.Context(), b); !errors.Is(err, errCut) {
				t.Fatalf("put: err = %v, want the cut", err)
			}
			snap, err := other.Snapshot(t.Context(), noon)
			if c.entries < 0 {
				if !errors.Is(err, blocklist.ErrNoEpoch) {
					t.Errorf("snapshot: err = %v, want ErrNoEpoch", err)
				}
			} else if err != nil || len(snap.Entries) != c.entries {
				t.Errorf("snapshot: %d entries, err = %v, want %d", len(snap.Entries), err, c.entries)
			}
			finished := c.cut == 3 && c.applied
			if _, ok, err := other.Checkpoint(t.Context(), "rate-limit-address"); err != nil || ok != finished {
				t.Errorf("checkpoint = %v, err = %v, want %v", ok, err, finished)
			}
			notices, err := other.Receive(t.Context(), "aws", "one", 0)
			if err != nil || (len(notices) > 0) != finished {
				t.Errorf("notices = %v, err = %v", notices, err)
			}

			changes, err := other.Put(t.Context(), b)
			if err != nil || changes.Added+changes.Unchanged != 2500 || changes.Unchanged != max(c.entries, 0) {
				t.Errorf("again: changes = %+v, err = %v", changes, err)
			}
			snap, err = other.Snapshot(t.Context(), noon)
			if err != nil || len(snap.Entries) != 2500 {
				t.Errorf("snapshot: %d entries, err = %v, want 2500", len(snap.Entries), err)
			}
			if _, ok, _ := other.Checkpoint(t.Context(), "rate-limit-address"); !ok {
				t.Error("the checkpoint did not move")
			}
			more, err := other.Receive(t.Context(), "aws", "one", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			// Also what the dead write had added is announced.
			total := 0
			for _, n := range append(notices, more...) {
				total += n.Added
			}
			if total != 2500 {
				t.Errorf("announced %d additions, want 2500", total)
			}
		})
	}
}

func TestAStoreEmptiedInTheMiddleOfAWriteGetsNoHalfList(t *testing.T) {
	m := miniredis.RunT(t)
	s := open(t, "redis://"+m.Addr())
	s.SetSizes(1000, 700)
	s.AddHook(&intruder{beforeTx: func(n int) error {
		if n == 2 {
			m.FlushAll()
		}
		return nil
	}})
	if _, err := s.Put(t.Context(), batch(t, 2500)); !errors.Is(err, blocklist.ErrDamaged) {
		t.Errorf("put: err = %v, want ErrDamaged", err)
	}
	if keys := m.Keys(); len(keys) > 0 {
		t.Errorf("keys %v were written into the emptied store", keys)
	}
}

func TestAStoreEmptiedInTheMiddleOfAReadIsAnError(t *testing.T) {
	for _, c := range []struct {
		name string
		then func(t *testing.T, url string)
		want error
	}{
		{"emptied", func(*testing.T, string) {}, blocklist.ErrNoEpoch},
		{"emptied and founded anew", func(t *testing.T, url string) {
			if _, err := open(t, url).Put(t.Context(), batch(t, 1)); err != nil {
				t.Error(err)
			}
		}, blocklist.ErrDamaged},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := miniredis.RunT(t)
			s := open(t, "redis://"+m.Addr())
			s.SetSizes(50_000, 100)
			if _, err := s.Put(t.Context(), batch(t, 1000)); err != nil {
				t.Fatal(err)
			}
			var once sync.Once
			s.AddHook(&intruder{after: func(name string) {
				if name == "mget" {
					once.Do(func() { m.FlushAll(); c.then(t, "redis://"+m.Addr()) })
				}
			}})
			if snap, err := s.Snapshot(t.Context(), noon); !errors.Is(err, c.want) {
				t.Errorf("snapshot: %d entries, err = %v, want %v", len(snap.Entries), err, c.want)
			}
		})
		t.Run(c.name+", of accounts alone", func(t *testing.T) {
			m := miniredis.RunT(t)
			s := open(t, "redis://"+m.Addr())
			b := batch(t, 10)
			for i := range b.Offences {
				b.Offences[i].Indicator = indicator(t, fmt.Sprintf("account:a%d", i))
			}
			if _, err := s.Put(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			var once sync.Once
			s.AddHook(&intruder{after: func(name string) {
				if name == "mget" || name == "zscan" && errors.Is(c.want, blocklist.ErrNoEpoch) {
					once.Do(func() { m.FlushAll(); c.then(t, "redis://"+m.Addr()) })
				}
			}})
			if list, err := s.Accounts(t.Context(), noon); !errors.Is(err, c.want) {
				t.Errorf("%d accounts, err = %v, want %v", len(list), err, c.want)
			}
		})
	}
}

func TestAReadWhileTheListChangesIsWholeAllTheSame(t *testing.T) {
	m := miniredis.RunT(t)
	url := "redis://" + m.Addr()
	s, writer := open(t, url), open(t, url)
	s.SetSizes(50_000, 100)
	b := batch(t, 1000)
	if _, err := s.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	s.AddHook(&intruder{after: func(name string) {
		if name != "mget" {
			return
		}
		once.Do(func() {
			var gone []threat.Indicator
			for i, o := range b.Offences {
				if i%2 == 0 {
					gone = append(gone, o.Indicator)
				} else {
					b.Offences[i].At = noon.Add(time.Hour)
				}
			}
			if n, err := writer.Remove(t.Context(), noon, "unblock", gone); err != nil || n != 500 {
				t.Errorf("removed %d, err = %v", n, err)
			}
			var still []blocklist.Offence
			for i, o := range b.Offences {
				if i%2 == 1 {
					still = append(still, o)
				}
			}
			if _, err := writer.Put(t.Context(), blocklist.Batch{Run: "r", Now: noon, Offences: still}); err != nil {
				t.Error(err)
			}
		})
	}})
	snap, err := s.Snapshot(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[threat.Indicator]bool{}
	for _, e := range snap.Entries {
		if seen[e.Indicator] {
			t.Fatalf("%s twice", e.Indicator)
		}
		seen[e.Indicator] = true
	}
	for i, o := range b.Offences {
		if i%2 == 1 && !seen[o.Indicator] {
			t.Fatalf("%s, blocked all the time, is not in the snapshot", o.Indicator)
		}
	}
}

func TestAnIndexThatKeepsChangingIsReadAgainButNotForEver(t *testing.T) {
	url := startMini(t)
	s, writer := open(t, url), open(t, url)
	if _, err := s.Put(t.Context(), batch(t, 10)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		changes int
		ok      bool
	}{{2, true}, {100, false}} {
		reads := 0
		s.AddHook(&intruder{after: func(name string) {
			if name != "zrevrange" || reads >= c.changes {
				return
			}
			reads++
			ind, _ := threat.ParseAddress(fmt.Sprintf("198.51.100.%d", reads+100*min(c.changes, 1)))
			o := batch(t, 1).Offences[0]
			o.Indicator, o.At = ind, noon.Add(time.Duration(reads+c.changes)*time.Second)
			if _, err := writer.Put(t.Context(), blocklist.Batch{Run: "r", Now: noon, Offences: []blocklist.Offence{o}}); err != nil {
				t.Error(err)
			}
		}})
		_, err := s.Snapshot(t.Context(), noon)
		if (err == nil) != c.ok {
			t.Errorf("%d changes meanwhile: err = %v", c.changes, err)
		}
		if reads > 10 {
			t.Errorf("it read the index %d times", reads)
		}
	}
}

func TestAFailedChunkMovesNoCheckpoint(t *testing.T) {
	m := miniredis.RunT(t)
	s := open(t, "redis://"+m.Addr())
	if _, err := s.Put(t.Context(), batch(t, 1)); err != nil {
		t.Fatal(err)
	}
	// A foreign value of another type makes one chunk of three fail in the midst of
	// a transaction, which Redis carries on with all the same.
	b := batch(t, 2500)
	b.Checkpoints = map[string]time.Time{"rate-limit-address": noon.Add(time.Hour)}
	if _, err := m.Lpush(prefix+"past:"+b.Offences[1500].Indicator.Key(), "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.ZAdd(prefix+"expiry", 1, b.Offences[1500].Indicator.Key()); err != nil {
		t.Fatal(err)
	}
	if err := m.Set(prefix+"size", "2"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), b); err == nil {
		t.Fatal("put: want an error")
	}
	at, _, err := s.Checkpoint(t.Context(), "rate-limit-address")
	if err != nil || !at.Equal(noon) {
		t.Errorf("checkpoint = %s, err = %v, want it where it was", at, err)
	}
}

func TestMessagesThatTheStreamDroppedAreNoObstacle(t *testing.T) {
	m := miniredis.RunT(t)
	s := open(t, "redis://"+m.Addr())
	if _, err := s.Put(t.Context(), batch(t, 1)); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Receive(t.Context(), "aws", "one", time.Hour); err != nil || len(n) != 1 {
		t.Fatalf("notices = %v, err = %v", n, err)
	}
	raw := redis.NewClient(&redis.Options{Addr: m.Addr()})
	defer func() { _ = raw.Close() }()
	// Dropped just after it was claimed; older servers let it be claimed later, too.
	s.AddHook(&intruder{after: func(name string) {
		if name == "xclaim" {
			if err := raw.XTrimMaxLen(t.Context(), prefix+"handoff", 0).Err(); err != nil {
				t.Error(err)
			}
		}
	}})
	for range 2 {
		if n, err := s.Receive(t.Context(), "aws", "two", 0); err != nil || len(n) != 0 {
			t.Errorf("notices = %v, err = %v, want none", n, err)
		}
	}
}

func TestRepairAcceptsWhatIsLeft(t *testing.T) {
	m := miniredis.RunT(t)
	s := open(t, "redis://"+m.Addr())
	if _, _, err := s.Repair(t.Context(), noon); !errors.Is(err, blocklist.ErrNoEpoch) {
		t.Errorf("repair of nothing: err = %v, want ErrNoEpoch", err)
	}
	b := batch(t, 10)
	if _, err := s.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	before, err := s.Snapshot(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	// Who has ended is not lost: the place stays, for the strike that it records.
	if _, err := s.Remove(t.Context(), noon, "test", []threat.Indicator{b.Offences[5].Indicator}); err != nil {
		t.Fatal(err)
	}
	m.Del(prefix + "epoch")
	m.Del(prefix + "size")
	m.Del(prefix + "entry:" + b.Offences[3].Indicator.Key())
	kept, dropped, err := s.Repair(t.Context(), noon)
	if err != nil || kept != 8 || dropped != 1 {
		t.Fatalf("kept %d, dropped %d, err = %v, want 8 and 1", kept, dropped, err)
	}
	after, err := s.Snapshot(t.Context(), noon)
	if err != nil || len(after.Entries) != 8 || after.Epoch == before.Epoch || after.Generation <= before.Generation {
		t.Errorf("after: %d entries, epoch %s, generation %d, err = %v", len(after.Entries), after.Epoch, after.Generation, err)
	}
	if _, err := s.Put(t.Context(), b); err != nil {
		t.Errorf("put after repair: %v", err)
	}
}

func TestValuesHaveTheirNativeTimeToLive(t *testing.T) {
	m := miniredis.RunT(t)
	s := open(t, "redis://"+m.Addr())
	b := batch(t, 1)
	b.Now, b.Offences[0].Source = noon.Add(time.Hour), blocklist.SourceOperator // without jitter
	if _, err := s.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	key := prefix + "entry:" + b.Offences[0].Indicator.Key()
	if ttl := m.TTL(key); ttl != 71*time.Hour {
		t.Errorf("ttl = %s, want 71h: the term counts from the offence", ttl)
	}
	text, err := m.Get(key)
	if err != nil || !strings.HasPrefix(text, `{"v":1,"source":"operator","severity":"high","rules":["rate-limit-address"],`) {
		t.Errorf("value = %s, err = %v", text, err)
	}
	for _, k := range m.Keys() {
		switch ttl := m.TTL(k); strings.TrimPrefix(k, prefix) {
		case "epoch", "generation", "size", "expiry", "handoff", "checkpoints", "secret":
			if ttl != 0 {
				t.Errorf("%s ends after %s", k, ttl)
			}
		default:
			if ttl == 0 {
				t.Errorf("%s never ends", k)
			}
		}
	}
	m.FastForward(71 * time.Hour)
	if m.Exists(key) {
		t.Error("the value outlived its term")
	}
}

func TestForgottenPlacesArePruned(t *testing.T) {
	m := miniredis.RunT(t)
	s := open(t, "redis://"+m.Addr())
	if _, err := s.Put(t.Context(), batch(t, 100)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		days int
		want int
	}{{10, 100}, {200, 0}} {
		if _, err := s.Put(t.Context(), blocklist.Batch{Run: "r", Now: noon.AddDate(0, 0, c.days)}); err != nil {
			t.Fatal(err)
		}
		places, _ := m.ZMembers(prefix + "expiry")
		if len(places) != c.want {
			t.Errorf("after %d days %d places, want %d", c.days, len(places), c.want)
		}
		if _, err := s.Snapshot(t.Context(), noon.AddDate(0, 0, c.days)); err != nil {
			t.Errorf("snapshot: %v", err)
		}
	}
}

func TestAnEntryWithoutItsPlaceIsStillKnown(t *testing.T) {
	m := miniredis.RunT(t)
	s := open(t, "redis://"+m.Addr())
	b := batch(t, 1)
	b.Offences[0].Source = blocklist.SourceOperator // without jitter
	if _, err := s.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	// A run on a clock years ahead would prune it so.
	if _, err := m.ZRem(prefix+"expiry", b.Offences[0].Indicator.Key()); err != nil {
		t.Fatal(err)
	}
	if err := m.Set(prefix+"size", "0"); err != nil {
		t.Fatal(err)
	}
	want := b.Offences[0].At.Add(b.Offences[0].Term).Truncate(time.Second)
	b.Offences[0].Term = time.Hour
	if c, err := s.Put(t.Context(), b); err != nil || c.Unchanged != 1 {
		t.Errorf("changes = %+v, err = %v, want it known", c, err)
	}
	snap, err := s.Snapshot(t.Context(), noon)
	if err != nil || len(snap.Entries) != 1 || !snap.Entries[0].ExpiresAt.Equal(want) {
		t.Errorf("entries = %+v, err = %v, want the end at %s still", snap.Entries, err, want)
	}
}

// A sample event, or one that waited in a queue, reads the list as of a time long
// past. What has ended by the server's own clock since is no damage; what has not, is.
func TestAReadAsOfLongAgoTellsEndedFromLost(t *testing.T) {
	m := miniredis.RunT(t)
	s := open(t, "redis://"+m.Addr())
	b := batch(t, 3)
	b.Offences[1].Source = blocklist.SourceOperator // without jitter
	if _, err := s.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	gone := b.Offences[1]
	m.Del(prefix + "entry:" + gone.Indicator.Key())

	m.SetTime(gone.At.Add(gone.Term + time.Minute))
	got, err := s.Snapshot(t.Context(), noon)
	if err != nil || len(got.Entries) != 2 {
		t.Errorf("ended by the server's clock: %d entries, err = %v, want 2 and none", len(got.Entries), err)
	}
	m.SetTime(gone.At.Add(gone.Term - time.Minute))
	if _, err := s.Snapshot(t.Context(), noon); !errors.Is(err, blocklist.ErrDamaged) {
		t.Errorf("not ended yet: err = %v, want %v", err, blocklist.ErrDamaged)
	}
}
