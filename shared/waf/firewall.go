package waf

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"time"
)

// Firewall is what the Reconciler needs of a cloud. It is a SetFirewall or a
// BookFirewall as well; waftest.TestFirewall holds the tests that every implementation of either passes.
//
// Look starts a run; the other methods act on what Look saw and return
// ErrConflict when that is no longer so. After an error a change may still have been
// made (an answer can be lost); an implementation first reads back what it can and
// reports success if the change is there. Not for concurrent use.
type Firewall interface {
	// Look returns what stands, without the addresses if those would cost calls.
	Look(ctx context.Context) (State, error)
}

// SetFirewall keeps addresses in sets that are written whole: AWS WAF's IP sets,
// Alibaba Cloud WAF's ip_blacklist rules, Tencent Cloud's address templates. Each method
// changes one object, and all of it or nothing.
type SetFirewall interface {
	Firewall
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

// BookFirewall keeps addresses in one book that takes and gives back some of them at a
// time: Alibaba Cloud WAF's and Cloud Firewall's address books, Tencent Cloud WAF's
// access control list. Both families stand in it side by side.
type BookFirewall interface {
	Firewall
	// Listings returns all that our book holds, whoever put it there, in any order, each once and masked.
	Listings(ctx context.Context) ([]Listing, error)
	// Add enters at most State.Book.Batch listings, and makes the book if there is none.
	// One that is there already gets the new Until, without being out of force meanwhile. ErrQuota: the book is full;
	// ErrInvalid: one of them is refused. Nothing was entered then, unless the Book Ends: of a batch with several ends some may be in.
	Add(ctx context.Context, listings []Listing, stamp Stamp) error
	// Remove strikes at most State.Book.Batch prefixes out. Those that are not there are no error.
	Remove(ctx context.Context, prefixes []netip.Prefix, stamp Stamp) error
	// Refer makes the rule that refers to the book, and what it stands in, as configured.
	Refer(ctx context.Context) error
}

// Stamper is implemented by a firewall that can note what the wall was made from only with
// a write of its own. The Reconciler asks for it when the note is absent or of another
// epoch, with a run of many writes, and hourly with Verify: the note is a lower bound.
type Stamper interface {
	Stamp(ctx context.Context, stamp Stamp) error
}

// Listing is one entry of a book.
type Listing struct {
	Prefix netip.Prefix
	Until  time.Time // when the firewall lets go of it by itself; zero: never
}

// Stamp notes on the wall which list, and which state of it or a newer one, it was made
// from, where no Mark on each set does.
type Stamp struct {
	Epoch      string // or ShortEpoch of it, where a firewall has not room for more
	Generation uint64
}

// Of tells whether the stamp is of this list.
func (s Stamp) Of(epoch string) bool { return s.Epoch == epoch || s.Epoch == ShortEpoch(epoch) }

// ShortEpoch returns 12 hexadecimal digits that stand for an epoch.
func ShortEpoch(epoch string) string {
	sum := sha256.Sum256([]byte("tracewall epoch v1 " + epoch))
	return hex.EncodeToString(sum[:6])
}

// Book is what Look saw of a BookFirewall's book.
type Book struct {
	// Name of the book, for people and reports.
	Name string
	// Room is how many listings it may hold in all, ours and nobody else's; 0: not known, the firewall will say.
	Room int
	// Room6, if not 0, is for IPv6 what Room then is for IPv4 alone: the families have places of their own.
	Room6 int
	// Count is how many it holds; negative: not known.
	Count int
	// Batch is how many one call takes; at least 1.
	Batch int
	// Ends: listings carry an Until and the firewall lets go of them by itself.
	Ends bool
	// Grid rounds each Until up to a multiple of it, so that many share one; at least a second.
	Grid time.Duration
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
	SetSize  int      // how many addresses a set may hold here; 0: not known, Limits.SetSize alone bounds it
	NoIPv6   bool     // no set can hold an IPv6 address
	Sets     []Set    // ours, in order of name
	Taken    []string // names of our pattern that belong to somebody else
	Notes    []string // for people: things that weaken the wall and are not ours to change

	// CanExcept: the rule can spare what an exceptions set holds, and does so for one that Reference names.
	CanExcept bool
	// Fixed: the sets are the user's to make, refer to and delete. Only Put to those that are there may be asked for.
	Fixed bool
	// Unmarked: sets carry no Mark here. Their content comes with Look, and only Stamp guards against an older list.
	Unmarked bool
	// Stamp is what the wall says about the list that it was made from; nil: nothing, or its sets carry Marks.
	Stamp *Stamp
	// Inherent: a set is in force from when it is made until it is deleted; Reference only makes the
	// rule, or what the sets stand in, as configured. Every set is Referenced.
	Inherent bool
	// NoEmpty: a set holds at least one address. One that is not needed is dropped, or deleted, as it is.
	NoEmpty bool
	// Book is what a BookFirewall has in place of Sets.
	Book *Book
	// Drift says in words what somebody else has changed since our last write.
	Drift []string
}

// Proof says how far what the sets hold is in force. Its JSON form is stable.
type Proof struct {
	AsOf      time.Time `json:"as_of,omitzero"`
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
