package awswaf

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
)

// Pace keeps calls under AWS WAF's fixed rates, which hold per account, Region and
// action and are shared with the console and every other tool: 1 a second for each
// Create, Put, Update and Delete action, 5 a second for each Get and List
// action. All targets of a process should share one Pace: those of one account
// and Region then take turns, in the order in which they asked. Safe for concurrent use.
//
// A call that AWS throttles all the same says that somebody else uses the quota.
// The distance between calls of that action then doubles, up to slowest times,
// and is halved again by every call that passes. This was simulated against others that
// use half of the quota in fixed steps, at random and in bursts, with and without a burst in the quota: of 30 writes
// some 2 to 4 are throttled; a gentler recovery hangs at the slowest, and never slowing down
// hammers whoever calls in bursts.
type Pace struct {
	write, read time.Duration

	mu    sync.Mutex
	lanes map[laneKey]*lane
}

// laneKey is what AWS counts calls by.
type laneKey struct{ account, region, action string }

// lane is the calls of one action in one account and Region.
type lane struct {
	turn chan struct{} // holds the one token of whoever is next; waiters are served in order

	mu      sync.Mutex
	base    time.Duration // the distance between two calls while nobody else is about
	every   time.Duration // the distance now
	next    time.Time     // the earliest moment for the next call
	refused int           // calls that AWS throttled, in a row
	waiting int           // calls that asked and were not let go yet
}

// The default distances between two calls of the same action. 1.005 s has been
// seen to be throttled now and then; 1.1 s has not.
const (
	WriteEvery = 1100 * time.Millisecond
	ReadEvery  = 220 * time.Millisecond
)

const (
	// slowest bounds how far the distance grows for others: a write every 9 s still gets a
	// change to the wall within the hour, however busy the account is.
	slowest = 8
	// recovery divides the distance after each call that passed, down to the base.
	recovery = 2
	// settled is what the distance may lack between the answer to a call and the next call, as a part of it: a
	// tenth of AWS's own second. A first call is late by its TLS handshake, and the second must not catch up with it.
	settled = 11
)

// NewPace returns a Pace with these distances between two calls of the same action; 0 does not wait.
func NewPace(write, read time.Duration) *Pace {
	return &Pace{write: write, read: read, lanes: map[laneKey]*lane{}}
}

func (p *Pace) lane(account, region, action string) *lane {
	every := p.write
	if !isWrite(action) {
		every = p.read
	}
	if every <= 0 {
		return nil
	}
	key := laneKey{account, region, action}
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.lanes[key]
	if l == nil {
		l = &lane{turn: make(chan struct{}, 1), base: every, every: every}
		p.lanes[key] = l
	}
	return l
}

// begin returns when the next call of the action may be made; the caller then says
// with done what became of it. If the moment would be after the context's deadline
// begin returns waf.ErrOutOfTime at once. account is anything that tells accounts apart.
func (p *Pace) begin(ctx context.Context, account, region, action string) (done func(error), err error) {
	l := p.lane(account, region, action)
	if l == nil {
		return func(error) {}, ctx.Err()
	}
	if err := l.wait(ctx); err != nil {
		return nil, fmt.Errorf("wait for the pace of %s: %w", action, err)
	}
	return l.done, nil
}

func (l *lane) wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := l.join(ctx); err != nil {
		return err
	}
	defer l.leave()
	select { // a channel serves its waiters in the order in which they came
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		left, err := l.take(ctx)
		if left <= 0 || err != nil {
			return err
		}
		t := time.NewTimer(left)
		select {
		case <-t.C: // look again: a throttled call may have moved the moment
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
}

// join counts the caller in, unless those before it take all the time that it has.
func (l *lane) join(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	at := later(now, l.next).Add(time.Duration(l.waiting) * l.every)
	if err := inTime(ctx, now, at); err != nil {
		return err
	}
	l.waiting++
	return nil
}

func (l *lane) leave() {
	l.mu.Lock()
	l.waiting--
	l.mu.Unlock()
}

// take takes the next moment if it has come, and else returns how long until then.
func (l *lane) take(ctx context.Context) (left time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if err := inTime(ctx, now, l.next); err != nil {
		return 0, err
	}
	if left = l.next.Sub(now); left > 0 {
		return left, nil
	}
	l.next = now.Add(l.every)
	return 0, nil
}

// done tells the lane what became of a call.
func (l *lane) done(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	switch {
	case !errors.Is(mapError(err), waf.ErrThrottled):
		l.refused = 0
		if err == nil {
			l.every = max(l.every/recovery, l.base)
		}
	case l.refused == 0:
		// Whoever was faster has had that second: one more try after a plain distance meets
		// nobody who calls in steps of two or more.
		l.refused++
		l.every = min(2*l.every, slowest*l.base)
		l.next = now.Add(l.base)
		return
	default:
		// At random, for others may call in a step that would meet ours again and again.
		l.refused++
		l.every = min(2*l.every, slowest*l.base)
		l.next = later(l.next, now.Add(l.every+rand.N(l.base/2)))
		return
	}
	l.next = later(l.next, now.Add(l.base-l.base/settled))
}

// hold lets no call begin before t. What is further away than the distance between
// two calls comes from a clock that is wrong, and counts as that distance.
func (l *lane) hold(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if most := time.Now().Add(l.every); t.After(most) {
		t = most
	}
	l.next = later(l.next, t)
}

// busy returns, by action, until when the lanes of an account and Region are taken.
func (p *Pace) busy(account, region string) map[string]time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := map[string]time.Time{}
	now := time.Now()
	for key, l := range p.lanes {
		if key.account != account || key.region != region {
			continue
		}
		l.mu.Lock()
		if l.next.After(now) {
			list[key.action] = l.next
		}
		l.mu.Unlock()
	}
	return list
}

// inTime refuses a moment that is not before the context's deadline.
func inTime(ctx context.Context, now, at time.Time) error {
	end, ok := ctx.Deadline()
	if ok && at.After(now) && !at.Before(end) {
		return fmt.Errorf("%w: the next call would be in %s, %s are left",
			waf.ErrOutOfTime, at.Sub(now).Round(time.Millisecond), end.Sub(now).Round(time.Millisecond))
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// isWrite tells actions that change something.
func isWrite(action string) bool {
	for _, reads := range []string{"Get", "List", "Describe", "CheckCapacity"} {
		if strings.HasPrefix(action, reads) {
			return false
		}
	}
	return true
}
