package detect

import (
	"net/netip"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/threat"
)

// Judgement is all that decides about one Indicator, and what was decided.
type Judgement struct {
	Indicator    threat.Indicator
	Action       threat.Action
	Score        int    // 0 to 100
	Parts        []Part // what the score is made of, in order
	Severity     threat.Severity
	Tags         []string
	Detections   []threat.Detection // at least one, in order of their rules
	Facts        *Facts             // nil: nothing speaks for it, or nobody asked
	Intelligence []threatintel.Hit
	History      blocklist.History
	Spared       string // why nobody may block it, whatever the score; "" when nothing spares it
	Reason       string // for people, at most 200 bytes
}

// Part is one reason for a score, for people and for machines.
type Part struct {
	Name   string `json:"name"` // rule, loud, classes, intelligence, history, successes, shared, capped
	Points int    `json:"points"`
	Text   string `json:"text"`
}

// Facts are what the logs say in favour of an address, in the time of its detections.
type Facts struct {
	Ordinary  int64 `json:"ordinary"`  // requests that went well
	Users     int   `json:"users"`     // distinct accounts with such requests
	Successes int64 `json:"successes"` // logins or orders that worked
}

// Gathered is what the logs have answered over some time, before anybody is judged.
// Parts of a longer time are joined with Join.
type Gathered struct {
	Detections []threat.Detection
	Campaigns  []Campaign
	Rejected   []Rejected
	Facts      map[threat.Indicator]Facts
	Ordinary   int64 // requests of everybody that went well; 0: not known
}

// Intelligence is what others know of addresses; *threatintel.Set is one.
type Intelligence interface {
	// Lookup returns what feeds say of an address or range, at most one Hit a feed.
	Lookup(p netip.Prefix) []threatintel.Hit
}

// Case is what is kept of a Judgement, so that it can be explained later. Its JSON form is
// stable. Everything in it that came from a log is as the log had it: escape it before showing.
type Case struct {
	Indicator    string          `json:"indicator"` // the whole name of an account
	Kind         string          `json:"kind"`      // ip or account
	Run          string          `json:"run"`
	At           time.Time       `json:"at"`      // the run's clock
	Verdict      string          `json:"verdict"` // observe, challenge, block, spared, held
	Score        int             `json:"score"`
	Parts        []Part          `json:"parts"`
	Severity     threat.Severity `json:"severity"`
	Tags         []string        `json:"tags"`
	Reason       string          `json:"reason"`
	Spared       string          `json:"spared,omitempty"`
	Mode         string          `json:"mode"` // of the run: what was only observed blocked nobody
	Rules        []CaseRule      `json:"rules"`
	Facts        *Facts          `json:"facts,omitempty"`
	Intelligence []CaseHit       `json:"intelligence,omitempty"`
	Strikes      int             `json:"strikes"`             // before this one
	ExpiresAt    time.Time       `json:"expires_at,omitzero"` // of a first block
	Country      string          `json:"country,omitempty"`
	Network      string          `json:"network,omitempty"` // AS number and operator
}

// CaseHit is what one feed said.
type CaseHit struct {
	Source     string    `json:"source"`
	Category   string    `json:"category,omitempty"`
	Confidence int       `json:"confidence"` // 1 to 100
	Seen       time.Time `json:"seen"`
}

// CaseRule is one rule's part in a Case.
type CaseRule struct {
	ID        string    `json:"id"`
	Version   int       `json:"version"`
	Title     string    `json:"title"`
	Action    string    `json:"action"` // what it asks for
	Reason    string    `json:"reason"`
	Count     int64     `json:"count"`
	Windows   int       `json:"windows"`
	Threshold int64     `json:"threshold"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Logstore  string    `json:"logstore"`
	From      time.Time `json:"from"`   // of the time to look at
	To        time.Time `json:"to"`     // not included
	Search    string    `json:"search"` // finds the lines in the log service
	Query     string    `json:"query"`  // sha256 of the query that was asked, in hex
	Samples   []string  `json:"samples,omitempty"`
	Accounts  []string  `json:"accounts,omitempty"`
	Addresses int       `json:"addresses,omitempty"`
}
