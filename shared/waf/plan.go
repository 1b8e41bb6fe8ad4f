package waf

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
)

// Limits bound a Plan. The zero value of a field means its default.
type Limits struct {
	SetSize  int      // addresses per set; default 5,000, as in the founding story
	MaxSets  int      // sets that the rule may refer to; default 50; negative: none
	MinBits4 int      // the widest IPv4 range allowed; default 16
	MinBits6 int      // the widest IPv6 range allowed; default 32
	Base     string   // new sets are named SetName(Base, family, number)
	Taken    []string // set names that belong to somebody else
	Repair   bool     // the rule or the wall is not as configured: plan a Reference even if no set is new

	CanExcept bool // the rule can spare what an exceptions set holds
	Fixed     bool // no set can be made, referred to or deleted: use those that there are
	Unmarked  bool // sets carry no Mark
	Inherent  bool // a set is in force from when it is made until it is deleted
	NoEmpty   bool // a set holds at least one address
	NoIPv6    bool // no set can hold an IPv6 address: such wants are rejected

	// Dense, if not 0, lets a range stand for those within it when there is no room for all of them: a /24 that
	// has at least so many wanted addresses, or a /48 that has so many wanted /64s. It blocks
	// others too, so it is never the default, and never over anything in Spare.
	Dense int
	Spare []netip.Prefix // the allowlist, sorted, none within another; only for Dense

	inBook    bool // there is one book, with bookRoom places for either family, or for IPv4 alone and bookRoom6 for IPv6
	bookRoom  int
	bookRoom6 int

	keep bool // delete nothing: MaxSets is a passing limit, and what is there would soon be made again
}

// The defaults of Limits.
const (
	DefaultSetSize = 5000
	DefaultMaxSets = 50 // AWS WAF: reference statements per web ACL, fixed
	// A /16 is 65,536 addresses: no sane verdict about an attacker is wider, and a
	// poisoned feed with a /8 in it must not cut off a part of the Internet.
	DefaultMinBits4 = 16
	DefaultMinBits6 = 32 // what a registry hands to a whole provider
)

func (l Limits) withDefaults() Limits {
	if l.SetSize <= 0 {
		l.SetSize = DefaultSetSize
	}
	if l.MaxSets == 0 {
		l.MaxSets = DefaultMaxSets
	}
	l.MaxSets = max(l.MaxSets, 0)
	if l.MinBits4 <= 0 {
		l.MinBits4 = DefaultMinBits4
	}
	if l.MinBits6 <= 0 {
		l.MinBits6 = DefaultMinBits6
	}
	if l.Base == "" {
		l.Base = "tracewall"
	}
	return l
}

// Plan is what must change, in the order in which it is safe to change it: fill
// and create sets, refer to them, only then take away or spare. It is a value and can be
// shown before anything happens.
type Plan struct {
	Steps    []Step
	Desired  int         // distinct valid wants
	Overflow []Want      // what there is no room for, most urgent first
	Rejected []Rejection // what can never be enforced

	// OverflowWants counts the distinct wants that Overflow stands for: those within
	// an overflowing range have no place of their own.
	OverflowWants int

	picks    []pick         // what the sets will block together, in order of address
	released []netip.Prefix // what is blocked now and will not be
	added    int            // picks that are not in force yet
	holds    int            // prefixes in force now

	condensed []netip.Prefix // ranges that block others too; see Limits.Dense
	ruleFirst bool           // the first step mends the rule, and without it no other is to be done
}

// StepKind says what a Step does. Steps of a Plan come in this order; only an Except that
// must let go of something before it is wanted again comes first, and a Reference that
// mends the rule of a wall that does less than block.
type StepKind uint8

// The kinds of steps.
const (
	Fill        StepKind = iota + 1 // give an existing set addresses that it lacks (and drop those it no longer needs)
	Create                          // make a set with its addresses
	Reference                       // make the rule refer to sets
	Except                          // write an exceptions set: spare what has to go, let go of what is wanted again or gone
	Trim                            // only take addresses out of a set
	Retire                          // empty a set that is not needed any more and mark it so
	Unreference                     // make the rule refer to retired sets no longer
	Delete                          // remove a set to which no rule has referred since before this run, or that is in force by being there
	Enlist                          // enter listings into a book
	Delist                          // strike prefixes out of a book: first where that makes the room for others, else last
	Note                            // stamp the wall with what it was made from
)

var stepWords = [...]string{
	Fill: "fill", Create: "create", Reference: "reference", Except: "except", Trim: "trim", Retire: "retire", Unreference: "unreference", Delete: "delete",
	Enlist: "add", Delist: "remove", Note: "note",
}

// String returns the kind's word.
func (k StepKind) String() string { return stepWords[k] }

// Step is one write.
type Step struct {
	Kind           StepKind
	Set            string
	Family         Family
	Content        []netip.Prefix // Fill, Create, Except, Trim: the whole new content, sorted; Delist: what goes
	Added, Removed int
	Renewed        int            // Enlist: those that get a later end
	Listings       []Listing      // Enlist
	Except         bool           // the set is an exceptions set
	Live           []netip.Prefix // of an exceptions set: what its Mark counts
	Sets           []string       // Reference, Unreference; for Reference it may be empty: the rule or the wall only needs repair
}

// String says the step in words, without the addresses.
func (s Step) String() string {
	switch s.Kind {
	case Create:
		return fmt.Sprintf("create %s with %d", s.Set, len(s.Content))
	case Fill, Trim, Except:
		return fmt.Sprintf("%s %s +%d -%d = %d", s.Kind, s.Set, s.Added, s.Removed, len(s.Content))
	case Retire:
		return fmt.Sprintf("retire %s -%d", s.Set, s.Removed)
	case Reference:
		if len(s.Sets) == 0 {
			return "reference nothing new (make the rule as configured)"
		}
		return "reference " + strings.Join(s.Sets, " ")
	case Unreference:
		return "unreference " + strings.Join(s.Sets, " ")
	case Enlist:
		return fmt.Sprintf("%s to %s +%d", s.Kind, s.Set, s.Added) + renewed(s.Renewed)
	case Delist:
		return fmt.Sprintf("%s from %s -%d", s.Kind, s.Set, s.Removed)
	case Note:
		return "note on the wall which list it was made from"
	default:
		return s.Kind.String() + " " + s.Set
	}
}

func renewed(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d with a later end", n)
}

// Words returns the steps in words, one line each.
func (p Plan) Words() []string {
	words := make([]string, len(p.Steps))
	for i, s := range p.Steps {
		words[i] = s.String()
	}
	return words
}

// ofBook bounds the choice by what a book holds in all.
func (l Limits) ofBook(b Book) Limits {
	l.inBook, l.bookRoom, l.bookRoom6 = true, b.Room, b.Room6
	if b.Room <= 0 {
		l.bookRoom = math.MaxInt
	}
	return l
}

// MakePlan returns what turns the current sets into the desired list. current has
// the sets' Prefixes filled in. It is pure and deterministic: neither the order of
// current nor of desired matters. Addresses within a wider wanted range need no
// place of their own. Neighbours are merged into the exact range only when that
// makes room that is needed: an address has to move between sets whenever a neighbour of its
// range comes or goes.
func MakePlan(current []Set, desired []Want, limits Limits) Plan {
	limits = limits.withDefaults()
	return place(current, distinct(desired, limits).within(current, limits), limits)
}
