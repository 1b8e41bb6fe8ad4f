// Package blocklist holds the decision of who is blocked until when. The list is
// the truth that every firewall is made equal to; the handoff stream beside it
// only rings the bell.
//
// Invariants, kept by every implementation and proven by blocklisttest.TestStore:
// the same Batch put twice, or by two writers at once, leaves the same list; an
// entry never gets shorter by being seen again (a challenge that becomes a block ends
// as the block does); reading a list that is absent, flushed or half there is an error and never an empty list.
package blocklist

import (
	"errors"
	"time"

	"github.com/tracewall/tracewall/shared/threat"
)

// Each sentinel means one decision.
var (
	// ErrNoEpoch: the store has no list at all. Do not plan from it.
	ErrNoEpoch = errors.New("blocklist has no epoch: the store is empty, flushed or not ours")
	// ErrDamaged: the list is there but parts of it are missing or unreadable. Do not plan from it.
	ErrDamaged = errors.New("blocklist is damaged")
	// ErrLeaseHeld: another run holds the lease. Leave the work to it.
	ErrLeaseHeld = errors.New("lease is held by another run")
	// ErrLeaseLost: the lease passed to another run meanwhile. Stop writing.
	ErrLeaseLost = errors.New("lease was lost")
)

// Sources of an entry.
const (
	SourceDetect   = "detect"
	SourceOperator = "operator"
)

// Entry is one Indicator that is blocked, or challenged, until ExpiresAt. Times are in UTC and whole seconds.
type Entry struct {
	Indicator threat.Indicator `json:"-"`
	Source    string           `json:"source"`
	Severity  threat.Severity  `json:"severity"`
	Challenge bool             `json:"challenge,omitempty"` // not to be blocked: to be challenged, where something can
	Score     int              `json:"score,omitempty"`     // 0 to 100, the largest of any one offence; 0: not known
	Tags      []string         `json:"tags,omitempty"`      // sorted, at most 20: "web attack", "scan"
	Rules     []string         `json:"rules,omitempty"`     // sorted
	Reason    string           `json:"reason,omitempty"`    // for people; printable, at most 200 bytes
	Count     int64            `json:"count,omitempty"`     // the largest Count of any one offence
	FirstSeen time.Time        `json:"first_seen"`
	LastSeen  time.Time        `json:"last_seen"`
	Countries []string         `json:"countries,omitempty"` // sorted
	Accounts  []string         `json:"accounts,omitempty"`  // sorted, at most 20
	Addresses int              `json:"addresses,omitempty"`
	Since     time.Time        `json:"since"` // when this block or challenge began
	ExpiresAt time.Time        `json:"expires_at"`
	Strikes   int              `json:"strikes"` // times on the list that count, this one included
}

// Offence is a reason to block: what Put turns into an Entry.
type Offence struct {
	Entry               // Since, ExpiresAt and Strikes are the store's to fill in
	At    time.Time     // the term counts from here (the end of the last offending window)
	Term  time.Duration // before strikes
}

// Batch is what one run writes, all of it or nothing.
type Batch struct {
	Run         string // the run's id, recorded in the handoff
	Now         time.Time
	Offences    []Offence
	Checkpoints map[string]time.Time // by rule id; a checkpoint never moves backwards
}

// Changes tells what a Put did.
type Changes struct {
	Added      int // new entries
	Extended   int // entries that now last longer
	Upgraded   int // entries that were challenged and are blocked now
	Unchanged  int // already known
	Released   int // left alone: an operator unblocked the Indicator after the offence, or its cool-off lasts
	Expired    int // left alone: the term was over before Now
	Generation uint64
}

// Snapshot is the whole list at one moment.
type Snapshot struct {
	Epoch      string // changes only when a list is founded anew
	Generation uint64 // grows with every Put or Remove that changed something
	Entries    []Entry
}

// Version says which list was read, and how new it was at least.
type Version struct {
	Epoch      string // see Snapshot
	Generation uint64
}

// Notice is one handoff message: the list changed.
type Notice struct {
	ID         string
	Run        string
	Generation uint64
	Added      int
	Removed    int
}
