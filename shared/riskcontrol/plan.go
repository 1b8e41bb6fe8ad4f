package riskcontrol

import (
	"cmp"
	"slices"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// plan is what a Sync has to tell.
type plan struct {
	ended    []Event // whose term is over, or whom the allowlist spares
	early    []Event // who left the list before their end
	current  []Event // blocked or extended
	standing int     // told, and not yet at their end
	full     int     // blocked but not told, for want of memory
}

// makePlan compares the list with what was told. Nothing is decided by order: the
// same input gives the same plan.
func makePlan(entries []blocklist.Entry, spared func(threat.Indicator) bool, l *ledger, now time.Time) plan {
	var p plan
	room := [shards]int{}
	for i := range room {
		room[i] = maxShard - l.shards[i].size()
	}
	listed := make(map[string]bool, len(entries))
	let := map[string]bool{}
	for _, e := range entries {
		account := e.Indicator.Account()
		if account == "" || !e.ExpiresAt.After(now) {
			continue
		}
		if spared(e.Indicator) {
			let[account] = true
			continue
		}
		listed[account] = true
		a := accountOf(e)
		s := l.shards[shardOf(account)]
		t, known := s.told[account]
		typ, changed := compare(t, known, a)
		if !changed {
			continue
		}
		if need := perLine + len(account); !known && room[shardOf(account)] < need {
			p.full++
			continue
		} else if !known {
			room[shardOf(account)] -= need
		}
		p.current = append(p.current, accountEvent(typ, s.turn, a))
	}
	for _, s := range l.shards {
		for account, t := range s.told {
			standing := t.until > now.Unix()
			if standing {
				p.standing++
			}
			if listed[account] {
				continue
			}
			released := accountEvent(AccountReleased, s.turn, Account{ID: account, Action: t.action, Since: time.Unix(t.since, 0), Until: time.Unix(t.until, 0)})
			if standing && !let[account] {
				p.early = append(p.early, released)
			} else {
				p.ended = append(p.ended, released)
			}
		}
	}
	for _, events := range [][]Event{p.ended, p.early, p.current} {
		slices.SortFunc(events, byShard)
	}
	return p
}

// compare tells what to say of an account on the list, if anything. What was not
// acknowledged is said again, in the same words if they are still true.
func compare(t told, known bool, a Account) (Type, bool) {
	same := known && t.action == a.Action && t.since == a.Since.Unix()
	switch until := a.Until.Unix(); {
	case !same, until < t.until, t.state == blocking, t.state == releasing:
		return AccountBlocked, true
	case until > t.until, t.state == extending:
		return AccountExtended, true
	default:
		return "", false
	}
}

// byShard brings together what is remembered together, so that a delivery touches few shards.
func byShard(a, b Event) int {
	return cmp.Or(cmp.Compare(shardOf(a.Account.ID), shardOf(b.Account.ID)), cmp.Compare(a.Account.ID, b.Account.ID))
}
