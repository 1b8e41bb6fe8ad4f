package threatintel

import (
	"fmt"
	"math"
	"net/netip"
	"time"
)

// Arrival is what came when a feed was fetched and read.
type Arrival struct {
	Table     *Table
	Bad       int       // lines or objects that could not be read, or name what no feed may list
	Protected int       // how many of the addresses that everybody needs were named; they are not in Table
	Published time.Time // the feed's own word for when it was made; zero if its format has none
}

// The bounds within which a feed may change from one time to the next. No source gives such
// figures; these come from looking at what public lists do from day to day (UNVERIFIED).
const (
	shrinkFrom  = 10  // entries: below that, halving means nothing
	growSignal  = 10  // times the last good one
	growAllow   = 3   // stricter: who is added is spared
	growFrom    = 100 // entries from which growth counts
	growFromFew = 30  // for an allow feed
	fewBad      = 2   // bad lines that a signal feed may always have
)

// Judge tells whether what came is believable. last is what is known of the feed's last good state, the zero Record if
// there is none. accept is an operator's word that a feed may be of another size; it waives nothing else.
func Judge(f Feed, now time.Time, last Record, got Arrival, accept bool) error {
	n := got.Table.Len()
	if err := judgeLines(f, n, got); err != nil {
		return err
	}
	if n < max(f.MinEntries, 1) {
		return fmt.Errorf("%w: %d entries, want at least %d", ErrEmpty, n, max(f.MinEntries, 1))
	}
	if got.Protected > 1 {
		return fmt.Errorf("%w: %d of the public resolvers are on it, so it is not what it says it is", ErrProtected, got.Protected)
	}
	v4, v6 := got.Table.Coverage()
	if share := 100 * math.Max(v4, v6); share > f.MaxCoverage {
		return fmt.Errorf("%w: %.1f %% of the Internet, want at most %g %% (max_coverage)", ErrTooWide, share, f.MaxCoverage)
	}
	if err := judgeTime(f, now, last, got); err != nil {
		return err
	}
	if last.Reading != f.Reading() || accept { // nothing to compare with, or somebody has looked
		return nil
	}
	return judgeSize(f, last.Entries, n)
}

// judgeLines bounds how much of a feed could not be read. Of a list of whom to spare everything
// must be read: each line that is not is somebody who is not spared.
func judgeLines(f Feed, n int, got Arrival) error {
	switch {
	case f.Purpose == Allow && got.Bad > 0:
		return fmt.Errorf("%w: %d could not be read; a list of whom to spare is read whole or not at all", ErrBadLines, got.Bad)
	case got.Bad > fewBad && 10*got.Bad > n+got.Bad, got.Bad > 0 && got.Bad >= n:
		return fmt.Errorf("%w: %d beside %d good ones, want at most a tenth: is it still of format %s?", ErrBadLines, got.Bad, n, f.Format)
	}
	return nil
}

// judgeTime uses the feed's own date, where it has one. A date from the future says nothing. Ranges to spare may be as old as
// they like: those of a search engine may stay for years as they are.
func judgeTime(f Feed, now time.Time, last Record, got Arrival) error {
	switch {
	case got.Published.IsZero():
		return nil
	case f.Purpose == Signal && now.Sub(got.Published) > f.MaxAge:
		return fmt.Errorf("%w: it says that it was made at %s, more than %s ago (max_age)", ErrStale, got.Published.UTC().Format(time.RFC3339), f.MaxAge)
	case last.Reading == f.Reading() && got.Published.Before(last.Published) && !last.Published.After(now):
		return fmt.Errorf("%w: it was made at %s and the last good one at %s", ErrStale, got.Published.UTC().Format(time.RFC3339), last.Published.UTC().Format(time.RFC3339))
	}
	return nil
}

func judgeSize(f Feed, before, n int) error {
	const way = `if it is meant, invoke refresh-intel with {"accept":[%q]}`
	times, from := growSignal, growFrom
	if f.Purpose == Allow {
		times, from = growAllow, growFromFew
	}
	switch {
	case before >= shrinkFrom && 2*n < before:
		return fmt.Errorf("%w: %d entries, %d before: "+way, ErrShrunk, n, before, f.Name)
	case n > times*max(before, from):
		return fmt.Errorf("%w: %d entries, %d before: "+way, ErrGrown, n, before, f.Name)
	}
	return nil
}

// protected are addresses that half the Internet asks every minute. A list with one of them has made
// a mistake, one with two is broken: public resolvers of Google, Cloudflare, Quad9, OpenDNS, 114DNS, Alibaba Cloud and
// Tencent Cloud.
var protected = []netip.Addr{
	netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("8.8.4.4"), netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("1.0.0.1"),
	netip.MustParseAddr("9.9.9.9"), netip.MustParseAddr("208.67.222.222"), netip.MustParseAddr("208.67.220.220"),
	netip.MustParseAddr("114.114.114.114"), netip.MustParseAddr("223.5.5.5"), netip.MustParseAddr("223.6.6.6"), netip.MustParseAddr("119.29.29.29"),
	netip.MustParseAddr("2001:4860:4860::8888"), netip.MustParseAddr("2001:4860:4860::8844"), netip.MustParseAddr("2606:4700:4700::1111"),
	netip.MustParseAddr("2606:4700:4700::1001"), netip.MustParseAddr("2620:fe::fe"), netip.MustParseAddr("2400:3200::1"),
}

// Protected returns which of the addresses that everybody needs p holds, as a set of bits; 0 for none.
// Who reads a signal feed leaves such entries out and counts the bits.
func Protected(p netip.Prefix) (bits uint32) {
	for i, addr := range protected {
		if p.Contains(addr) {
			bits |= 1 << i
		}
	}
	return bits
}
