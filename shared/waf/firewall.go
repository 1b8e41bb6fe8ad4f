package waf

import (
	"context"
	"net/netip"
)

// Firewall is what the Reconciler needs of a cloud. waftest.TestFirewall holds the
// tests that every implementation passes.
//
// Look starts a run; the other methods act on what Look saw and return
// ErrConflict when that is no longer so. Each method changes one object, and all
// of it or nothing. After an error a change may still have been made (an answer
// can be lost); an implementation first reads back what it can and reports
// success if the change is there. Not for concurrent use.
type Firewall interface {
	// Look returns what stands, without the sets' addresses if that would cost calls.
	Look(ctx context.Context) (State, error)
	// Contents returns the addresses of one of our sets, in any order, each once and masked.
	Contents(ctx context.Context, set string) ([]netip.Prefix, error)
	// Put gives a set this content and this mark; a set that Look did not see is created.
	Put(ctx context.Context, set Set) error
	// Reference makes our rule refer to the sets in add and no longer to those in
	// drop, and to whatever else it refers to already; it makes the rule as configured, and the
	// wall itself if there is none.
	Reference(ctx context.Context, add, drop []string) error
	// Delete removes a set that no rule refers to. ErrInUse if one does.
	Delete(ctx context.Context, set string) error
}

// Metered is implemented by a Firewall that counts its calls to the cloud,
// retries included, since it was made.
type Metered interface {
	Calls() (calls, writes int)
}

// State is what Look saw.
type State struct {
	Wall     string   // the firewall's name, for people: "web acl shop (REGIONAL eu-west-1)"
	Base     string   // the beginning of the names by which the Firewall knows our sets
	Exists   bool     // false: Reference will make it
	RuleOK   bool     // our rule is there and as configured (or not there because no set is)
	RoomSets int      // how many sets our rule may refer to in all; 0 or less: none
	Sets     []Set    // ours, in order of name
	Taken    []string // names of our pattern that belong to somebody else
	Notes    []string // for people: things that weaken the wall and are not ours to change
}
