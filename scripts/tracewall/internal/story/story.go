// Package story writes the attack that tracewall was founded on, so that the
// whole system can be seen at work without a cloud and without anybody's logs.
//
// A service is flooded from thousands of addresses around one account; its log is
// one stream of unstructured text of many kinds. Everything here is made up and
// comes from a seed: the same Config gives the same lines, byte for byte. The
// addresses lie in routable blocks of many countries, because countries are part of
// the story, and none of the blocks belongs to a crawler or a cloud.
//
// The Cast tells who is who. It is what tests and the terminal compare the
// system's verdicts with; the system itself never sees it.
package story

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// Account is the one account behind most of the attack, spelled as the founding
// story's log line spells it: without quotes, with a slash and padding.
const Account = "nbNgQ01wRWiOSVcI2Y/hUw=="

// LoadTestAccount is the quality team's account: as loud as an attacker, and allowlisted.
const LoadTestAccount = "qaLoadTest01=="

// Threshold is how many rate-limit lines in one window an address of the story may
// have without being called an attacker; the shipped rule uses the same number.
const Threshold = 20

// Window is the story's window.
const Window = 2 * time.Minute

// DefaultLines is how many lines the story has when nobody says otherwise.
const DefaultLines = 240_000

// MinLines is the smallest story that still has every part of the cast in it.
const MinLines = 5_000

// defaultSpan is how long the story lasts: detect's first run looks back as far.
const defaultSpan = 30 * time.Minute

// The default story has 4,112 attackers in 240,000 lines. Shorter stories keep the
// proportion; in longer ones the same attackers come back, window after window.
const (
	defaultAttackers = 4_112
	maxAttackers     = 20_000
	othersLines      = 3_000 // about what the allowlisted and the forged take, however long the story is
	limitShare       = 0.26  // of all lines are over the limit, in longer stories
)

// Config says which story to tell. The zero value of every field but End has a default.
type Config struct {
	Seed      uint64        // 0 is a seed like any other
	Lines     int           // all lines together; DefaultLines if 0
	Attackers int           // attackers with the account; in proportion to Lines if 0
	Span      time.Duration // from the first line to the last; 30 minutes if 0
	End       time.Time     // no line is later; in whole seconds
}

// Line is one log line.
type Line struct {
	Time    time.Time
	Msg     string
	TraceID string // "" on lines that carry none
}

// Story is a made-up attack. It is immutable; Lines may be walked any number of times.
type Story struct {
	cfg    Config
	cast   Cast
	events []event
	base   int64 // the earliest second
	ids    uint64
}

// event is one line before it is written out: 20 bytes, since there may be millions.
type event struct {
	at    uint32 // seconds after base
	kind  kind
	actor uint32 // index into the cast's addresses or accounts, by kind
	trace uint32 // number of the trace id; 0 is none
	salt  uint32 // picks among spellings, paths and numbers
}

// New plans a story. It fails if the numbers do not fit each other.
func New(cfg Config) (*Story, error) {
	if cfg.End.IsZero() {
		return nil, errors.New("story: no end time")
	}
	cfg.End = cfg.End.Truncate(time.Second)
	if cfg.Lines == 0 {
		cfg.Lines = DefaultLines
	}
	if cfg.Lines < MinLines {
		return nil, fmt.Errorf("story: %d lines: want at least %d", cfg.Lines, MinLines)
	}
	if cfg.Span == 0 {
		cfg.Span = defaultSpan
	}
	if cfg.Span < 6*Window {
		return nil, fmt.Errorf("story: span %s: want at least %s", cfg.Span, 6*Window)
	}
	if cfg.Attackers == 0 {
		cfg.Attackers = min(max((cfg.Lines-othersLines)*defaultAttackers/(DefaultLines-othersLines), 20), defaultAttackers)
	}
	r := rand.New(rand.NewPCG(cfg.Seed, 0x7472616365)) // not for secrets: the same story every time is the point
	s := &Story{cfg: cfg, base: cfg.End.Add(-cfg.Span).Unix(), ids: r.Uint64()}
	p := newPlanner(r, s.base, cfg.End.Unix())
	s.cast = p.cast(cfg.Attackers)
	p.attack(&s.cast, int(limitShare*float64(cfg.Lines))/(cfg.Attackers*(Threshold+4)))
	p.loudFriends(&s.cast)
	p.forgeries(&s.cast)
	p.neighbours(&s.cast)
	if len(p.events) > cfg.Lines {
		return nil, fmt.Errorf("story: %d attackers need at least %d lines, have %d", cfg.Attackers, len(p.events), cfg.Lines)
	}
	p.ordinary(cfg.Lines - len(p.events))
	slices.SortStableFunc(p.events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	s.events = p.events
	return s, nil
}

// Burst plans the second wave: n new attackers, all of them in the Window that
// contains end, no line later than end. It shares the account with the first wave and no address.
func (s *Story) Burst(end time.Time, n int) (*Story, error) {
	end = end.Truncate(time.Second)
	if n < 1 || n > maxAttackers {
		return nil, fmt.Errorf("story: burst of %d attackers: want 1 to %d", n, maxAttackers)
	}
	r := rand.New(rand.NewPCG(s.cfg.Seed, uint64(end.Unix())))
	window := end.Unix() - end.Unix()%int64(Window/time.Second)
	b := &Story{cfg: s.cfg, base: window, ids: r.Uint64()}
	p := newPlanner(r, window, end.Unix())
	for _, a := range s.cast.Attackers {
		p.taken[unit(a)] = true
	}
	for _, a := range s.cast.actors {
		if a.addr.IsValid() {
			p.taken[unit(a.addr)] = true
		}
	}
	for range n {
		at := p.newActor(&b.cast, p.address(r.IntN(25) == 0))
		b.cast.Attackers = append(b.cast.Attackers, b.cast.actors[at].addr)
		p.burstOf(at, window, Threshold+4+r.IntN(6), true)
	}
	slices.SortStableFunc(p.events, func(a, b event) int { return cmp.Compare(a.at, b.at) })
	b.cast.accounts = []string{Account}
	b.events = p.events
	return b, nil
}

// Cast returns who is who in the story. Do not change it.
func (s *Story) Cast() Cast { return s.cast }

// Len returns how many lines the story has.
func (s *Story) Len() int { return len(s.events) }

// Lines walks the story in the order of time.
func (s *Story) Lines() iter.Seq[Line] {
	return func(yield func(Line) bool) {
		w := newWriter(s)
		for _, e := range s.events {
			if !yield(w.line(e)) {
				return
			}
		}
	}
}

// unit is what a verdict about addr is about: the address, or its /64 in IPv6.
func unit(addr netip.Addr) netip.Prefix {
	if addr.Is4() {
		return netip.PrefixFrom(addr, 32)
	}
	return netip.PrefixFrom(addr, 64).Masked()
}
