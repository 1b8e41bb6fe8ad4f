package blocklist

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tracewall/tracewall/shared/threat"
)

// Bounds of an entry's texts and lists. They keep an entry small whatever an
// attacker writes into a log line.
const (
	MaxReason    = 200 // bytes
	MaxAccounts  = 20
	MaxCountries = 250 // as many as there are
	MaxRules     = 50
	maxWord      = 256     // bytes of one rule, country or account
	maxCount     = 1 << 53 // Redis' Lua counts in doubles: above this, sums are no longer exact
)

// maxAhead is how far an offence may lie ahead of its batch's clock. The last
// window of a run may still be open; nothing that we know of is a day long.
const maxAhead = 24 * time.Hour

// Past is what a store remembers of an Indicator after its entry is gone.
type Past struct {
	Strikes  int       // blocks so far
	Until    time.Time // when the latest of them ends or ended
	Released time.Time // when an operator last unblocked the Indicator
}

// Outcome is what became of one Offence.
type Outcome uint8

// The outcomes, in the order of the fields of Changes.
const (
	OutcomeAdded Outcome = iota + 1
	OutcomeExtended
	OutcomeUnchanged
	OutcomeReleased
	OutcomeExpired
)

// Tally counts one outcome.
func (c *Changes) Tally(o Outcome) {
	switch o {
	case OutcomeAdded:
		c.Added++
	case OutcomeExtended:
		c.Extended++
	case OutcomeUnchanged:
		c.Unchanged++
	case OutcomeReleased:
		c.Released++
	case OutcomeExpired:
		c.Expired++
	}
}

// Apply is the rule by which every store turns an Offence into an Entry; stores
// that compute elsewhere (redisstore does in Lua) are tested against it. old is
// the Indicator's entry or nil; an old entry that has ended by now counts as nil.
// o must have passed Check and Clean. Neither old nor o is changed.
//
// Everything counts from the offence's own time, so a replay changes nothing:
//
//   - an offence from before an unblock is Released. An operator's own block in
//     the very second of the unblock is the later word and holds;
//   - a strike is counted when a block begins after the one before has ended. An
//     offence from the time of an earlier block belongs to that block;
//   - the term doubles with each strike, except an operator's: a person who says
//     72 h means 72 h;
//   - a term that is over by now is Expired and writes nothing;
//   - an entry that is there gets the later end, the larger count, the worse
//     severity, the earlier first and the later last sighting, and the union of
//     the lists. An operator's word outranks a rule's as source and reason.
func Apply(old *Entry, past Past, o Offence, now time.Time) (Entry, Past, Outcome) {
	byOperator := o.Source == SourceOperator
	if !past.Released.IsZero() && (o.At.Before(past.Released) || o.At.Equal(past.Released) && !byOperator) {
		return Entry{}, past, OutcomeReleased
	}
	if old != nil && !old.ExpiresAt.After(now) {
		old = nil
	}
	strikes := past.Strikes + 1
	switch {
	case old != nil:
		strikes = old.Strikes
	case past.Strikes > 0 && o.At.Before(past.Until):
		strikes = past.Strikes
	}
	term := o.Term
	if !byOperator {
		term = TermFor(term, strikes)
	}
	end := o.At.Add(term)
	if !end.After(now) {
		return Entry{}, past, OutcomeExpired
	}
	e := o.Entry
	e.Since, e.ExpiresAt, e.Strikes = o.At, end, strikes
	outcome := OutcomeAdded
	if old != nil {
		outcome = OutcomeUnchanged
		if end.After(old.ExpiresAt) {
			outcome = OutcomeExtended
		}
		e = merge(*old, e)
	}
	past.Strikes = strikes
	if e.ExpiresAt.After(past.Until) {
		past.Until = e.ExpiresAt
	}
	return e, past, outcome
}

// Forgive is the counterpart of Apply for an unblock at now: an entry that was
// active takes its strike with it, since an unblock says that it should not have
// been, and offences up to now no longer count.
func Forgive(active bool, past Past, now time.Time) Past {
	if active && past.Strikes > 0 {
		past.Strikes--
	}
	now = now.UTC().Truncate(time.Second)
	if past.Until.After(now) {
		past.Until = now
	}
	if past.Released.Before(now) {
		past.Released = now
	}
	return past
}

// merge joins what is known (old) with what came in (e).
func merge(old, e Entry) Entry {
	m := old
	if e.Source == SourceOperator {
		m.Source = SourceOperator
	}
	if e.Reason != "" && (m.Reason == "" || e.Source == SourceOperator) {
		m.Reason = e.Reason
	}
	m.Severity = max(old.Severity, e.Severity)
	m.Count = max(old.Count, e.Count)
	m.Addresses = max(old.Addresses, e.Addresses)
	m.FirstSeen = earlier(old.FirstSeen, e.FirstSeen)
	m.Since = earlier(old.Since, e.Since)
	m.LastSeen = later(old.LastSeen, e.LastSeen)
	m.ExpiresAt = later(old.ExpiresAt, e.ExpiresAt)
	m.Rules = words(slices.Concat(old.Rules, e.Rules), MaxRules)
	m.Countries = words(slices.Concat(old.Countries, e.Countries), MaxCountries)
	m.Accounts = words(slices.Concat(old.Accounts, e.Accounts), MaxAccounts)
	return m
}

// earlier and later ignore zero times: they mean "not known".
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.After(a) {
		return b
	}
	return a
}

// Check tells what makes an Offence unfit to be stored in a batch of now. It
// names the field and what is allowed, never the Indicator in full.
func (o Offence) Check(now time.Time) error {
	switch {
	case o.Indicator.Kind() == 0:
		return fmt.Errorf("indicator: names nobody")
	case o.Source != SourceDetect && o.Source != SourceOperator:
		return fmt.Errorf("%s: source %.20q: want %s or %s", o.Indicator.Masked(), o.Source, SourceDetect, SourceOperator)
	case o.Severity > threat.Critical:
		return fmt.Errorf("%s: %s: want low, medium, high or critical", o.Indicator.Masked(), o.Severity)
	case o.Term < MinTerm || o.Term > MaxTerm:
		return fmt.Errorf("%s: term %s: want %s to %s", o.Indicator.Masked(), o.Term, MinTerm, MaxTerm)
	case o.At.Unix() <= 0:
		return fmt.Errorf("%s: at: no time", o.Indicator.Masked())
	case o.At.After(now.Add(maxAhead)):
		return fmt.Errorf("%s: at %s: want at most %s after the batch's clock", o.Indicator.Masked(), o.At.UTC().Format(time.RFC3339), maxAhead)
	case o.Count < 0 || o.Addresses < 0:
		return fmt.Errorf("%s: count and addresses: want 0 or more", o.Indicator.Masked())
	}
	return nil
}

// Clean returns the Offence as it is stored: times in UTC, times and terms in whole seconds, lists
// sorted, without duplicates and bounded, texts printable and bounded. Texts come
// from logs, so they are cut to size rather than refused: one odd account name
// must not cost a batch.
func (o Offence) Clean() Offence {
	o.At = second(o.At)
	o.Term = o.Term.Truncate(time.Second)
	o.FirstSeen, o.LastSeen = second(o.FirstSeen), second(o.LastSeen)
	o.Since, o.ExpiresAt, o.Strikes = time.Time{}, time.Time{}, 0
	o.Count = min(o.Count, maxCount)
	o.Reason = word(o.Reason, MaxReason)
	o.Rules = words(o.Rules, MaxRules)
	o.Countries = words(o.Countries, MaxCountries)
	o.Accounts = words(o.Accounts, MaxAccounts)
	return o
}

func second(t time.Time) time.Time {
	if t.Unix() <= 0 {
		return time.Time{} // before 1970 nobody saw anything: not known
	}
	return t.UTC().Truncate(time.Second)
}

// words returns in sorted, cleaned, without duplicates, at most limit of them; nil for none.
func words(in []string, limit int) []string {
	if len(in) == 0 {
		return nil
	}
	out := make([]string, 0, len(in))
	for _, s := range in {
		if s = word(s, maxWord); s != "" {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	out = slices.Compact(out)
	if len(out) == 0 {
		return nil
	}
	return slices.Clip(out[:min(len(out), limit)])
}

// word makes s printable, valid UTF-8 and at most limit bytes long, cut between runes.
func word(s string, limit int) string {
	plain := len(s) <= limit
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] < utf8.RuneSelf-1
	}
	if plain {
		return s
	}
	s = s[:min(len(s), 4*limit)] // no need to look at what is cut off anyway
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, string(utf8.RuneError)))
	for len(s) > limit {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}
