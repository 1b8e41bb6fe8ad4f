package blocklist

import (
	"slices"
	"time"
)

// Past is what a store remembers of an Indicator after its entry is gone.
type Past struct {
	Strikes  int       // times on the list so far, as of Until; see StrikesAt
	Until    time.Time // when the latest of them ends or ended
	Released time.Time // when an operator last unblocked the Indicator
	CoolOff  time.Time // up to when that unblock holds against new offences; zero: Released
}

// Outcome is what became of one Offence.
type Outcome uint8

// The outcomes, in the order of the fields of Changes.
const (
	OutcomeAdded Outcome = iota + 1
	OutcomeExtended
	OutcomeUpgraded
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
	case OutcomeUpgraded:
		c.Upgraded++
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
// the Indicator's entry or nil; an old entry that has ended by now counts as nil. j is
// the Indicator's Jitter. o must have passed Check and Clean. Neither old nor o is changed.
//
// Everything counts from the offence's own time, so a replay changes nothing:
//
//   - an offence from before an unblock, or within its cool-off, is Released. An
//     operator's own block from the very second of the unblock on is the later word: it
//     holds, and the cool-off ends with it;
//   - a strike is counted when a block begins after the one before has ended, and
//     forgotten as StrikesAt says. An offence from the time of an earlier block belongs
//     to that block;
//   - the term doubles with each strike and gets the strike's jitter, except an
//     operator's; see Offence.End;
//   - a term that is over by now is Expired and writes nothing;
//   - an entry that is there gets the later end, the larger count, the worse
//     severity, the earlier first and the later last sighting, and the union of
//     the lists. An operator's word outranks a rule's as source and reason;
//   - a block outranks a challenge, whichever came first: one who is blocked gets no
//     more of a challenge than its sightings, and one who is challenged is Upgraded to
//     the block as it would be without the challenge, its end included. Both count strikes alike.
func Apply(old *Entry, past Past, j Jitter, o Offence, now time.Time) (Entry, Past, Outcome) {
	byOperator := o.Source == SourceOperator
	if past.forgives(o.At, byOperator) {
		return Entry{}, past, OutcomeReleased
	}
	if old != nil && !old.ExpiresAt.After(now) {
		old = nil
	}
	strikes := past.StrikesAt(o.At) + 1
	switch {
	case old != nil:
		strikes = old.Strikes
	case past.Strikes > 0 && o.At.Before(past.Until):
		strikes = past.Strikes
	}
	end := o.End(strikes, j)
	if !end.After(now) {
		return Entry{}, past, OutcomeExpired
	}
	e := o.Entry
	e.Since, e.ExpiresAt, e.Strikes = o.At, end, strikes
	outcome := OutcomeAdded
	if old != nil {
		e, outcome = merge(*old, e)
	}
	past.Strikes = strikes
	if e.ExpiresAt.After(past.Until) || outcome == OutcomeUpgraded {
		past.Until = e.ExpiresAt
	}
	if byOperator && past.CoolOff.After(o.At) {
		past.CoolOff = o.At
	}
	return e, past, outcome
}

// forgives tells whether an unblock holds against an offence.
func (p Past) forgives(at time.Time, byOperator bool) bool {
	switch {
	case p.Released.IsZero():
		return false
	case byOperator:
		return at.Before(p.Released)
	default:
		return !at.After(later(p.Released, p.CoolOff))
	}
}

// Forgive is the counterpart of Apply for an unblock at now: an entry that was
// active takes its strike with it, since an unblock says that it should not have
// been, and offences up to now, and for the cool-off after, do not count. Another
// unblock can make the cool-off end later, not earlier.
func Forgive(active bool, past Past, now time.Time, coolOff time.Duration) Past {
	if active && past.Strikes > 0 {
		past.Strikes--
	}
	now = now.UTC().Truncate(time.Second)
	if past.Until.After(now) {
		past.Until = now
	}
	past.Released = later(past.Released, now)
	if coolOff >= time.Second {
		past.CoolOff = later(past.CoolOff, now.Add(coolOff.Truncate(time.Second)))
	}
	return past
}

// merge joins what is known (old) with what came in (e).
func merge(old, e Entry) (Entry, Outcome) {
	switch {
	case e.Challenge && !old.Challenge:
		return sighted(old, e), OutcomeUnchanged
	case old.Challenge && !e.Challenge:
		return sighted(e, old), OutcomeUpgraded
	}
	m := sighted(old, e)
	if e.Source == SourceOperator {
		m.Source = SourceOperator
	}
	if e.Reason != "" && (m.Reason == "" || e.Source == SourceOperator) {
		m.Reason = e.Reason
	}
	m.Severity = max(old.Severity, e.Severity)
	m.Since = earlier(old.Since, e.Since)
	m.ExpiresAt = later(old.ExpiresAt, e.ExpiresAt)
	if e.ExpiresAt.After(old.ExpiresAt) {
		return m, OutcomeExtended
	}
	return m, OutcomeUnchanged
}

// sighted returns m with what e has seen: all but who says so, why, how bad it is, from when and until when.
func sighted(m, e Entry) Entry {
	m.Score = max(m.Score, e.Score)
	m.Count = max(m.Count, e.Count)
	m.Addresses = max(m.Addresses, e.Addresses)
	m.FirstSeen = earlier(m.FirstSeen, e.FirstSeen)
	m.LastSeen = later(m.LastSeen, e.LastSeen)
	m.Rules = words(slices.Concat(m.Rules, e.Rules), MaxRules)
	m.Countries = words(slices.Concat(m.Countries, e.Countries), MaxCountries)
	m.Accounts = words(slices.Concat(m.Accounts, e.Accounts), MaxAccounts)
	m.Tags = words(slices.Concat(m.Tags, e.Tags), MaxTags)
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
