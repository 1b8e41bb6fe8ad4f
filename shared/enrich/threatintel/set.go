package threatintel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

const (
	// MaxFeeds bounds how many feeds there are. A Set marks the feeds it has met in the bits of one word.
	MaxFeeds = 64
	// MaxSetEntries bounds a Set: two million IPv4 entries take 38 MB.
	MaxSetEntries = 2_000_000

	maxHits = 16 // more independent lists than this say nothing new
)

// Hit is what one feed says about an address.
type Hit struct {
	Source     string    // the feed's name, as FEEDS gives it; a Lookup names each feed at most once
	Category   string    // what the feed lists: "scan", "botnet"
	Confidence int       // 1..100, less when the feed could not be refreshed for long
	Seen       time.Time // when the feed saw it last, or when the feed was loaded if it does not say
}

// Source is one feed within a Set.
type Source struct {
	Name     string
	Category string
	Licence  string        // as the operator wrote it down
	Entries  int           // prefixes
	Loaded   time.Time     // when the source last said that this is its list
	MaxAge   time.Duration // after which it says nothing any more; 0: never
}

// fade returns how much of its confidence a feed has left at now, 0..100: all of it until half its
// MaxAge has passed without a refresh, nothing at MaxAge.
func (s Source) fade(now time.Time) int64 {
	age := now.Sub(s.Loaded)
	switch {
	case s.MaxAge <= 0 || age <= s.MaxAge/2:
		return 100
	case age >= s.MaxAge:
		return 0
	default:
		return int64(100 * float64(s.MaxAge-age) / float64(s.MaxAge-s.MaxAge/2))
	}
}

// Set is every signal feed's entries as they hold at one moment. It does not change and is safe for
// concurrent use. The nil Set knows nothing.
type Set struct {
	version string
	sources []Source
	left    []int64 // what each source has left of its confidence, percent
	now     uint32
	v4      *family[uint32]
	v6      *family[uint64] // the upper halves of addresses: nothing here is narrower than a /64
}

// ErrTooMany means that there are more feeds than MaxFeeds, or more entries than MaxSetEntries.
var ErrTooMany = errors.New("too much intelligence for one set")

// NewSet merges tables, one for each source and in their order, and shows them as they hold at now.
func NewSet(version string, now time.Time, sources []Source, tables []*Table) (*Set, error) {
	total := 0
	for _, t := range tables {
		total += t.Len()
	}
	switch {
	case len(sources) != len(tables):
		return nil, fmt.Errorf("new set: %d sources and %d tables: want one for each", len(sources), len(tables))
	case len(sources) > MaxFeeds:
		return nil, fmt.Errorf("new set: %w: %d feeds, want at most %d", ErrTooMany, len(sources), MaxFeeds)
	case total > MaxSetEntries:
		return nil, fmt.Errorf("new set: %w: %d entries, want at most %d: take a feed out", ErrTooMany, total, MaxSetEntries)
	}
	s := &Set{version: version, sources: slices.Clone(sources), v4: merge4(tables), v6: merge6(tables)}
	return s.At(now), nil
}

// About returns the same entries with newer facts about their sources, which must be as many and in
// the same order, as they hold at now. It costs nothing like NewSet.
func (s *Set) About(now time.Time, sources []Source) (*Set, error) {
	if len(sources) != len(s.sources) {
		return nil, fmt.Errorf("set: %d sources, want %d", len(sources), len(s.sources))
	}
	other := *s
	other.sources = slices.Clone(sources)
	return other.At(now), nil
}

// At returns the same Set as it holds at now: what feeds have taken back is gone, and those that could not be refreshed
// have faded. It costs nothing like NewSet.
func (s *Set) At(now time.Time) *Set {
	if s == nil {
		return nil
	}
	other := *s
	other.now, other.left = Seconds(now), make([]int64, len(s.sources))
	for i, source := range s.sources {
		other.left[i] = source.fade(now)
	}
	return &other
}

// Version names what the Set holds; "" for nothing.
func (s *Set) Version() string {
	if s == nil {
		return ""
	}
	return s.version
}

// Sources returns the feeds. The caller owns the slice.
func (s *Set) Sources() []Source {
	if s == nil {
		return nil
	}
	return slices.Clone(s.sources)
}

// Len returns how many entries there are over all feeds.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.v4.rows) + len(s.v6.rows)
}

// Lookup returns what each feed says of the whole of p: the most specific entry first, one Hit for a feed, and at most
// 16. A feed that only lists a part of p says nothing of it. It costs a few hundred nanoseconds in two million entries, most of
// which is waiting for memory, and takes memory only where it finds something.
func (s *Set) Lookup(p netip.Prefix) []Hit {
	if s == nil || !p.IsValid() {
		return nil
	}
	addr, bits := p.Addr(), p.Bits()
	if addr.Is4In6() && bits >= 96 {
		addr, bits = addr.Unmap(), bits-96
	}
	if addr.Is4() {
		b := addr.As4()
		return lookup(s, s.v4, binary.BigEndian.Uint32(b[:]), uint8(bits))
	}
	b := addr.As16()
	return lookup(s, s.v6, binary.BigEndian.Uint64(b[:8]), uint8(min(bits, 64)))
}

// lookup follows the rows that hold from/bits, from the narrowest to the widest.
func lookup[A address](s *Set, f *family[A], from A, bits uint8) []Hit {
	from &= mask[A](bits)
	var hits []Hit
	var met uint64
	for i := f.find(from, bits); i >= 0; {
		r := &f.rows[i]
		at := i
		i = r.parent
		if from&mask[A](r.bits) != r.from { // begins before from/bits, and ends before it
			continue
		}
		left := s.left[r.feed] * int64(r.confidence) / 100
		if met&(1<<r.feed) != 0 || left == 0 || f.until[at] != 0 && f.until[at] <= s.now {
			continue
		}
		met |= 1 << r.feed
		source := &s.sources[r.feed]
		hit := Hit{Source: source.Name, Category: source.Category, Confidence: int(left), Seen: moment(f.seen[at])}
		if f.seen[at] == 0 {
			hit.Seen = source.Loaded
		}
		if hits = append(hits, hit); len(hits) == maxHits {
			break
		}
	}
	return hits
}
