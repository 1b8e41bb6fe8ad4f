// Package allowlist holds who must never be blocked: the offices, the partners,
// the health checks, the accounts of the house.
//
// It is the strictest list of the system. It is read whole or not at all: one bad
// line makes Parse fail, because half an allowlist blocks the other half. It
// matches by overlap in both directions: an allowlisted /24 spares every address
// in it, and an allowlisted address spares every range around it from being
// blocked as a range. Unlike the blocklist it may hold private addresses.
//
// One line, one entry:
//
//	# who                        details, all optional
//	203.0.113.0/24               owner=office Beijing, second floor
//	2001:db8:7::/48              owner=partner-x until=2026-12-31
//	account:loadtest-1           owner=qa the nightly load test
//	account:"jane doe"           an account name with blanks stands in quotes
package allowlist

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"go4.org/netipx"

	"github.com/tracewall/tracewall/shared/threat"
)

// Entry is one line: an address range (a single address is a /32 or /128) or an
// account, whose it is, why it is here, and until when. The zero Until means for good.
type Entry struct {
	Prefix  netip.Prefix // the zero Prefix for an account
	Account string       // "" for an address
	Owner   string       // one word: a person, a team, a partner
	Reason  string       // for people
	Until   time.Time    // the entry ends here; midnight UTC after the day that the file names
}

// ended tells whether the entry no longer holds at now.
func (e Entry) ended(now time.Time) bool { return !e.Until.IsZero() && !now.Before(e.Until) }

// subject spells whom the entry is about, as a line of the file does.
func (e Entry) subject() string {
	switch {
	case e.Account != "" && strings.ContainsAny(e.Account, " \""):
		return "account:" + strconv.Quote(e.Account)
	case e.Account != "":
		return "account:" + e.Account
	case e.Prefix.IsSingleIP():
		return e.Prefix.Addr().String()
	default:
		return e.Prefix.String()
	}
}

// why says in one phrase why the entry spares someone, for reports.
func (e Entry) why() string {
	subject := e.subject()
	if e.Account != "" {
		subject = "account:" + threat.Mask(e.Account)
	}
	var b strings.Builder
	b.WriteString("allowlisted as " + subject)
	if e.Owner != "" {
		b.WriteString(", owner " + e.Owner)
	}
	if e.Reason != "" {
		b.WriteString(": " + e.Reason)
	}
	return b.String()
}

// List is a whole allowlist. It does not change once made and is safe for
// concurrent use. The zero List spares nobody; callers that could not read a list
// hold an error, not a zero List.
type List struct {
	entries  []Entry // as written
	spans    []span  // see newList
	accounts map[string]int32
}

// span is the address range of one entry. Prefixes never cross: two of them are
// apart or one holds the other. parent is the narrowest span around this one, -1 for none.
type span struct {
	from, to netip.Addr
	entry    int32
	parent   int32
}

// newList builds the search structure: the spans sorted by first address, the
// wider first, one for each prefix. Entries must be valid, masked and unmapped. Of
// several entries about the same subject the one that holds longest counts.
func newList(entries []Entry) List {
	l := List{entries: entries, accounts: map[string]int32{}}
	for i, e := range entries {
		if e.Account == "" {
			r := netipx.RangeOfPrefix(e.Prefix)
			l.spans = append(l.spans, span{from: r.From(), to: r.To(), entry: int32(i)})
			continue
		}
		if j, ok := l.accounts[e.Account]; !ok || e.outlasts(entries[j]) {
			l.accounts[e.Account] = int32(i)
		}
	}
	slices.SortFunc(l.spans, func(a, b span) int {
		if c := a.from.Compare(b.from); c != 0 {
			return c
		}
		if c := b.to.Compare(a.to); c != 0 {
			return c
		}
		if entries[a.entry].outlasts(entries[b.entry]) {
			return -1
		}
		if entries[b.entry].outlasts(entries[a.entry]) {
			return 1
		}
		return int(a.entry - b.entry)
	})
	l.spans = slices.CompactFunc(l.spans, func(a, b span) bool { return a.from == b.from && a.to == b.to })
	for i := range l.spans {
		parent := int32(i - 1)
		for parent >= 0 && l.spans[parent].to.Less(l.spans[i].from) {
			parent = l.spans[parent].parent
		}
		l.spans[i].parent = parent
	}
	return l
}

// outlasts tells whether e holds longer than f.
func (e Entry) outlasts(f Entry) bool {
	return !f.Until.IsZero() && (e.Until.IsZero() || e.Until.After(f.Until))
}

// Covers tells whether blocking ind would block someone on the list at now, and
// says who in words fit for a report. Address ranges match when they overlap at
// all. It costs a binary search: about 100 ns on a list of 100,000 entries.
func (l List) Covers(ind threat.Indicator, now time.Time) (reason string, ok bool) {
	if e, ok := l.match(ind, now); ok {
		return e.why(), true
	}
	return "", false
}

func (l List) match(ind threat.Indicator, now time.Time) (Entry, bool) {
	switch ind.Kind() {
	case threat.KindAccount:
		if i, ok := l.accounts[ind.Account()]; ok && !l.entries[i].ended(now) {
			return l.entries[i], true
		}
	case threat.KindAddress:
		return l.overlap(ind.Prefix().Addr(), netipx.PrefixLastIP(ind.Prefix()), now)
	}
	return Entry{}, false
}

// overlap finds an entry that holds at now and shares an address with first…last.
func (l List) overlap(first, last netip.Addr, now time.Time) (Entry, bool) {
	i, _ := slices.BinarySearchFunc(l.spans, last, func(s span, last netip.Addr) int {
		if last.Less(s.from) {
			return 1
		}
		return -1
	})
	i-- // the last span that begins at or before the end of the wanted range
	// Spans that begin inside the wanted range.
	for ; i >= 0 && !l.spans[i].from.Less(first); i-- {
		if e := l.entries[l.spans[i].entry]; !e.ended(now) {
			return e, true
		}
	}
	// Spans that begin before it and reach into it: since prefixes never cross,
	// they are the last span before it or some of those around that one.
	for ; i >= 0; i = int(l.spans[i].parent) {
		if e := l.entries[l.spans[i].entry]; !l.spans[i].to.Less(first) && !e.ended(now) {
			return e, true
		}
	}
	return Entry{}, false
}

// Entries returns the entries as they were written, ended ones included. The caller owns the slice.
func (l List) Entries() []Entry { return slices.Clone(l.entries) }

// Len returns how many entries there are, ended ones included.
func (l List) Len() int { return len(l.entries) }

// Text returns the list in the form that Parse reads. Parse(l.Text()) has the same entries as l.
func (l List) Text() []byte {
	var b []byte
	for _, e := range l.entries {
		b = append(b, e.subject()...)
		if e.Owner != "" {
			b = append(b, " owner="+e.Owner...)
		}
		if !e.Until.IsZero() {
			b = append(b, " until="+e.Until.AddDate(0, 0, -1).Format(time.DateOnly)...)
		}
		if e.Reason != "" {
			b = append(b, " "+e.Reason...)
		}
		b = append(b, '\n')
	}
	return b
}
