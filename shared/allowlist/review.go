package allowlist

import (
	"fmt"
	"net/netip"
	"time"
)

// Entries wider than this are worth a second look: a whole IPv4 /16 or IPv6 /32 is a
// provider, not a partner. It is our own measure; Check of Coverage has the hard one.
const (
	wide4 = 16
	wide6 = 32
)

// Finding is one entry that somebody should look at, and why.
type Finding struct {
	Entry    Entry
	Problems []string // for people: "ends on 2026-12-31, in 12 days", "no owner"
}

// Subject spells whom the finding is about as the file does. It shows an account in full.
func (f Finding) Subject() string { return f.Entry.subject() }

// Review returns the entries that ended, end within the given time after now, have no
// owner, no reason, or are suspiciously wide, in the order of the list. An allowlist
// decays: people leave, partners move, and what nobody remembers is how attackers stay
// spared.
func (l List) Review(now time.Time, within time.Duration) []Finding {
	var found []Finding
	for _, e := range l.entries {
		var problems []string
		add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
		last := e.Until.AddDate(0, 0, -1).Format(time.DateOnly)
		switch {
		case e.Until.IsZero():
		case e.ended(now):
			add("ended on %s: it spares nobody", last)
		case e.Until.Sub(now) <= within:
			add("ends on %s, %s", last, daysFrom(e.Until.Sub(now)))
		}
		if e.Owner == "" {
			add("no owner")
		}
		if e.Reason == "" {
			add("no reason")
		}
		if e.Account == "" && wide(e.Prefix) && !internal(e.Prefix) {
			add("wide: %s", newList([]Entry{e}).Coverage().forOne())
		}
		if problems != nil {
			found = append(found, Finding{e, problems})
		}
	}
	return found
}

func wide(p netip.Prefix) bool {
	if p.Addr().Is4() {
		return p.Bits() < wide4
	}
	return p.Bits() < wide6
}

// forOne is String of a list that holds one range.
func (c Coverage) forOne() string {
	if c.IPv4 > 0 {
		return grouped(c.IPv4) + " IPv4 addresses"
	}
	return grouped(c.IPv6) + " IPv6 networks of /64"
}

// daysFrom says how long d is to somebody who thinks in days; d is positive.
func daysFrom(d time.Duration) string {
	switch days := int(d / (24 * time.Hour)); days {
	case 0:
		return "today"
	case 1:
		return "in 1 day"
	default:
		return fmt.Sprintf("in %d days", days)
	}
}
