package waf

import (
	"context"
	"net/netip"
	"time"
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

	// CanExcept: the rule can spare what an exceptions set holds, and does so for one that Reference names.
	CanExcept bool
	// Fixed: the sets are the user's to make, refer to and delete. Only Put to those that are there may be asked for.
	Fixed bool
	// Unmarked: sets carry no Mark here. Their content comes with Look, and nothing guards against an older list.
	Unmarked bool
	// Drift says in words what somebody else has changed since our last write.
	Drift []string
	// SetsInAccount counts all sets of the account, of which SetQuota (0: not known) may exist.
	SetsInAccount, SetQuota int
}

// Proof says how far what the sets hold is in force. Its JSON form is stable.
type Proof struct {
	AsOf      time.Time `json:"as_of"`
	Effective bool      `json:"effective"` // what the sets hold is blocked, challenged or held up for somebody
	// Reasons say in words why it is not, or not everywhere, and what to do about it.
	Reasons []string `json:"reasons,omitempty"`
	WebACLs []ACLUse `json:"web_acls,omitempty"` // where our rule stands
}

// ACLUse is one web ACL in which our rule, or our rule group, stands.
type ACLUse struct {
	Name     string   `json:"name"`
	Rule     string   `json:"rule"`
	Priority int64    `json:"priority"`
	Action   string   `json:"action"`           // Block, Challenge, Captcha, Count
	Behind   []string `json:"behind,omitempty"` // Allow rules that come first
	Ahead    []string `json:"ahead,omitempty"`  // Allow rules that come after
	// DefaultAction is what happens to a request that no rule decides on: Allow, Block.
	DefaultAction string `json:"default_action,omitempty"`
	// Resources that the web ACL protects, at most 100 of ResourceCount.
	Resources     []string `json:"resources,omitempty"`
	ResourceCount int      `json:"resource_count"`
	// Partial: there may be more resources, not every kind was asked for or could be.
	Partial bool `json:"partial,omitempty"`
}

// Prover is implemented by a Firewall that can tell whether its sets are in
// force. Prove follows Look, reads only, and may cost several calls.
type Prover interface {
	Prove(ctx context.Context) (Proof, error)
}

// Need is what a Plan is about to ask of the firewall.
type Need struct {
	Creates    int  // sets to be made
	References int  // sets to be referred to anew
	Rule       bool // the rule or the place where it stands is to be written
	DryRun     bool // ask only what can be asked without a call that counts as a write
}

// Finding is one result of a preflight, in words with what to do.
type Finding struct {
	Text  string `json:"text"`
	Fatal bool   `json:"fatal"` // the run would fail: it does not start
}

// Preflighter is implemented by a Firewall that can tell before the first write
// what would go wrong. Preflight follows Look and changes nothing.
type Preflighter interface {
	Preflight(ctx context.Context, need Need) ([]Finding, error)
}

// Rememberer is implemented by a Firewall whose memory outlives the process: what
// it knows of the state that it left, so that the next process sees what others
// changed since. Recall comes before the first Look; a memory that cannot be read counts as none.
type Rememberer interface {
	Memory() []byte
	Recall(memory []byte)
}

// Detacher is implemented by a Firewall that can be left for good: Detach removes
// all that is ours and nothing else, in an order that never blocks anybody anew. It
// returns, in words, what it did (or, in a dry run, would do), also with an error.
//
// DetachMode leaves only the place of another mode than the one that is configured,
// once the configured one is proven to be in force; what both use stays. With the
// configured mode, or with "", it is Detach.
type Detacher interface {
	Detach(ctx context.Context, dryRun bool) (done []string, err error)
	DetachMode(ctx context.Context, mode string, dryRun bool) (done []string, err error)
}
