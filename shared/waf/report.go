package waf

import "net/netip"

// Report tells what a run saw, planned and did. Its JSON form is stable.
type Report struct {
	Name string `json:"name"`
	Wall string `json:"wall,omitempty"` // for people: "web acl shop (REGIONAL eu-west-1)"
	// Desired counts the distinct valid addresses and ranges asked for. Enforced counts
	// those of them that sets referred to by our rule hold (or hold a wider range of) at
	// the end of the run, as far as this run knows for certain; in a dry run, now.
	Desired  int `json:"desired"`
	Enforced int `json:"enforced"`
	// Overflow counts what was asked for and had no room. Overflowed lists it, most urgent first.
	Overflow   int            `json:"overflow"`
	Overflowed []netip.Prefix `json:"-"`
	// Rejected lists what was asked for and can never be enforced.
	Rejected []Rejection `json:"rejected,omitempty"`

	Writes int  `json:"writes"` // calls that change something, retries included
	Calls  int  `json:"calls"`  // all calls, retries included
	DryRun bool `json:"dry_run"`
	// Plan has one line per change, in order. A dry run and the real run after it say the same.
	Plan []string `json:"plan"`
	// Remaining has the lines of Plan that were not carried out.
	Remaining []string    `json:"remaining,omitempty"`
	Sets      []SetReport `json:"sets"`
	Notes     []string    `json:"notes,omitempty"`
	Error     string      `json:"error,omitempty"`

	// NoExceptions: the firewall has refused a rule with exceptions, and the run did without.
	NoExceptions bool `json:"no_exceptions,omitempty"`

	Held     *Held     `json:"held,omitempty"`     // with ErrHeld
	Drift    []string  `json:"drift,omitempty"`    // what somebody else has changed, in words
	Findings []Finding `json:"findings,omitempty"` // of the preflight
	Proof    *Proof    `json:"proof,omitempty"`    // nil: not asked in this run
	// Book is what the book holds after the run, for the next one; nil: there is no book, or it is in doubt.
	Book *BookMemory `json:"-"`
	// Pending are the addresses and ranges that are wanted and have room but are not
	// in the sets in force, as far as this run knows.
	Pending []netip.Prefix `json:"-"`
}

// SetReport is one set at the end of the run.
type SetReport struct {
	Name       string `json:"name"`
	Count      int    `json:"count"`
	Referenced bool   `json:"referenced"`
	Except     bool   `json:"except,omitempty"` // what it holds is spared
}

// Rejection is a wanted address that was refused, and why.
type Rejection struct {
	Value  string `json:"value"`
	Reason string `json:"reason"`
	// ByFirewall: the firewall itself refused it, although our own limits allow it.
	ByFirewall bool `json:"by_firewall,omitempty"`
}

// maxRejections bounds Report.Rejected: a broken feed may hold a million bad lines.
const maxRejections = 1000
