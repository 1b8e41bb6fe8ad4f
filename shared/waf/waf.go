// Package waf makes a firewall equal to the blocklist without ever leaving a
// gap. It knows no cloud: package awswaf (and its later siblings) implement
// Firewall, everything that needs thought happens here, on values.
//
// The invariants, each proven by a test:
//
//   - An address that was blocked and is still wanted is blocked after every
//     single write, whichever call fails and however it fails.
//   - Placement is sticky: an address stays in the set that it is in, so that one
//     change costs one write and a slow spread of changes inside the cloud cannot
//     open a hole between two sets.
//   - Nothing changed means no write.
//   - The same input gives the same Plan, always.
//   - What does not fit is an explicit overflow, counted and listed, the least
//     urgent first.
//   - Only what carries our mark is ours. A list with another epoch, or an older
//     one than the wall was made from, is refused and the wall stays.
package waf

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/tracewall/tracewall/shared/threat"
)

// Each sentinel means one decision. Adapters map their cloud's errors to these in
// one place and keep the original in the chain.
var (
	// ErrConflict: somebody else changed the object meanwhile. Look again and plan again.
	ErrConflict = errors.New("changed meanwhile by another writer")
	// ErrQuota: a limit of the account or of the firewall is reached. What is left over is overflow.
	ErrQuota = errors.New("quota is exhausted")
	// ErrThrottled: the cloud kept refusing for calling too often. The next run continues.
	ErrThrottled = errors.New("throttled")
	// ErrDenied: the credentials do not allow the call. Nothing further is tried.
	ErrDenied = errors.New("access denied")
	// ErrInvalid: the cloud, or our own check before it, refuses the content of the call.
	ErrInvalid = errors.New("refused as invalid")
	// ErrForeign: the name that we need belongs to an object which is not ours. It is left alone.
	ErrForeign = errors.New("not ours")
	// ErrTheirRules: the firewall refuses the user's own rules, which we only send back as they are.
	ErrTheirRules = errors.New("the user's own rules are refused")
	// ErrInUse: the object is still referenced. The next run tries again.
	ErrInUse = errors.New("still in use")
	// ErrUnavailable: the object, or the service, is not ready. Try again later.
	ErrUnavailable = errors.New("not available yet")
	// ErrOutOfTime: the run stopped cleanly before its deadline. The next run continues.
	ErrOutOfTime = errors.New("out of time, the next run continues")
	// ErrEpoch: the wall was made from another list. Nothing was changed.
	ErrEpoch = errors.New("wall was made from another list (epoch differs)")
	// ErrStale: the wall was made from a newer state of the list. Nothing was changed.
	ErrStale = errors.New("list is older than the one the wall was made from")
	// ErrHeld: the run would release or add more than it may by itself. Nothing was
	// changed; an operator looks and approves.
	ErrHeld = errors.New("held: more would change than a run may change by itself")
	// ErrDrift: somebody else changed what is ours and the target says to report it only. Nothing was changed.
	ErrDrift = errors.New("changed by somebody else, and drift is only reported")
	// ErrPreflight: a look ahead found that the run cannot go well. Nothing was changed.
	ErrPreflight = errors.New("preflight")
	// ErrManaged: another authority manages the firewall and would undo our change. Nothing was changed.
	ErrManaged = errors.New("managed by somebody else")
)

// EntryError says that the firewall refuses one address. The run goes on without it.
type EntryError struct {
	Prefix netip.Prefix
	Err    error
}

// Error names the address.
func (e *EntryError) Error() string { return fmt.Sprintf("address %s: %v", e.Prefix, e.Err) }

// Unwrap returns the firewall's own error.
func (e *EntryError) Unwrap() error { return e.Err }

// Want is one address range that shall be blocked. All but Prefix only rank it
// against others when there is not room for all.
type Want struct {
	Prefix    netip.Prefix
	Severity  threat.Severity
	Count     int64
	LastSeen  time.Time
	ExpiresAt time.Time
}

// Desired is the blocklist (minus the allowlist) at one moment.
type Desired struct {
	Wants      []Want
	Epoch      string // which list: blocklist.Snapshot.Epoch
	Generation uint64 // which state of it: blocklist.Snapshot.Generation
}

// Family is an address family. A set holds one.
type Family uint8

// The families.
const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// FamilyOf returns the family of a valid prefix.
func FamilyOf(p netip.Prefix) Family {
	if p.Addr().Is4() {
		return IPv4
	}
	return IPv6
}

// String returns "v4" or "v6", as set names spell it.
func (f Family) String() string {
	if f == IPv4 {
		return "v4"
	}
	return "v6"
}

// Mark is what a set says about itself, so that a run with no memory can tell
// whose it is, what it was made from, and, by Count and Sum, what it holds,
// without reading its addresses. The Count and Sum of an exceptions set leave out
// what no other set holds any more, so that the sets' marks minus the
// exceptions' are what is in force.
type Mark struct {
	Epoch      string
	Generation uint64
	Count      int
	Sum        Sum
	Retired    bool // emptied on purpose, on its way out: never filled again
}

// Set is one named list in the firewall that is ours.
type Set struct {
	Name       string
	Family     Family
	Except     bool // what it holds is spared: the rule blocks what the other sets hold AND NOT what these hold
	Mark       Mark
	Marked     bool // false: it is ours by its tag but says nothing about its content
	Suspect    bool // it changed in a way that its Mark does not show: read it
	Referenced bool // by our rule
	Prefixes   []netip.Prefix
}

// SetName returns the name of the n-th set of a family: "tracewall-edge-v4-001" for base "tracewall-edge".
func SetName(base string, f Family, n int) string { return fmt.Sprintf("%s-%s-%03d", base, f, n) }

// ExceptName returns the name of the n-th exceptions set of a family:
// "tracewall-edge-v4-except-001" for base "tracewall-edge". One is in use; the number
// only steps around a name that is taken.
func ExceptName(base string, f Family, n int) string {
	return fmt.Sprintf("%s-%s-except-%03d", base, f, n)
}
