package enforce

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
)

// Status is what is kept in Redis about a wall's last run, for the operator and
// for the next run. Its JSON form is stable:
//
//	as_of mode             when, and "sync" or "plan" (nothing was to be written)
//	epoch generation       the list that the wall was last compared with
//	fence                  the fencing number of the run's lease; absent in a plan
//	result report          what the run did; see Result and waf.Report
//	proof                  how far what the sets hold was in force when last asked: proof.as_of
//	proof_asked            when a run last asked, answer or not
//	challenges             the wall holds also what is only to be challenged
//	held drift findings    what somebody has to look at
//	memory                 the adapter's own, opaque
//	book                   what a firewall's book holds, packed; absent: in doubt, or it has none
//	entries                the state of every wanted entry, packed; ask StateOf
type Status struct {
	AsOf       time.Time     `json:"as_of"`
	Mode       string        `json:"mode"`
	Epoch      string        `json:"epoch"`
	Generation uint64        `json:"generation"`
	Fence      uint64        `json:"fence,omitempty"`
	Result     Result        `json:"result"`
	Report     waf.Report    `json:"report"`
	Proof      *waf.Proof    `json:"proof,omitempty"`
	ProofAsked time.Time     `json:"proof_asked,omitzero"`
	Challenges bool          `json:"challenges,omitempty"`
	Held       *waf.Held     `json:"held,omitempty"`
	Drift      []string      `json:"drift,omitempty"`
	Findings   []waf.Finding `json:"findings,omitempty"`
	Memory     []byte        `json:"memory,omitempty"`
	Book       *Book         `json:"book,omitempty"`
	Entries    Entries       `json:"entries"`
}

// State is how far an entry of the list has got on a wall.
type State string

// The states.
const (
	StatePending  State = "pending"  // not in force, or not known to be
	StateEnforced State = "enforced" // in the sets of a rule that was proven to be in force
	StateOverflow State = "overflow" // there is no room for it
	StateRejected State = "rejected" // the firewall refuses it for good
)

// Entries holds the state of every wanted address and range: most of them share
// one, which is Default. Each list is packed; a million addresses take about 3 MB.
type Entries struct {
	Default  State    `json:"default"`
	Reasons  []string `json:"reasons,omitempty"` // why Default is not enforced
	Rest     Packed   `json:"rest,omitempty"`    // those in the Default state
	Pending  Packed   `json:"pending,omitempty"`
	Overflow Packed   `json:"overflow,omitempty"`
	Rejected Packed   `json:"rejected,omitempty"`
	Cut      int      `json:"cut,omitempty"` // how many did not fit in here
}

// maxPacked bounds the lists of one status together, in bytes; in JSON they become a third
// larger. IPv4 addresses take two bytes each, IPv6 ranges up to nine.
const maxPacked = 8 << 20

// entriesOf sorts what is wanted by its state after a run. A run that did not
// learn which of the entries lack says pending of all.
func entriesOf(want goal, report waf.Report, proof *waf.Proof) Entries {
	var e Entries
	var rejected, rest []netip.Prefix
	for _, r := range report.Rejected {
		if p, err := netip.ParsePrefix(r.Value); err == nil {
			rejected = append(rejected, p)
		}
	}
	overflow, pending := slices.Clone(report.Overflowed), slices.Clone(report.Pending)
	known := []cursor{newCursor(rejected), newCursor(overflow), newCursor(pending)}
	for _, w := range want.Wants { // in order of address, and so are the cursors
		switch {
		case known[0].has(w.Prefix) || known[1].has(w.Prefix) || known[2].has(w.Prefix):
		case tooWide(w.Prefix, want.limits): // more of them than the report lists
			rejected = append(rejected, w.Prefix)
		default:
			rest = append(rest, w.Prefix)
		}
	}
	room := maxPacked
	pack := func(list []netip.Prefix) (packed Packed) {
		packed, cut := packPrefixes(list, room)
		room -= len(packed)
		e.Cut += cut
		return packed
	}
	e.Rejected, e.Pending, e.Overflow, e.Rest = pack(rejected), pack(pending), pack(overflow), pack(rest)
	e.Default = StatePending
	switch {
	case len(report.Pending) == 0 && report.Enforced+report.Overflow < report.Desired:
		e.Reasons = []string{"the last run did not get as far as to know which entries are in force"}
	case proof == nil:
		e.Reasons = []string{"it is in the sets, but nobody has asked yet whether they are in force: sync with --verify asks"}
	case !proof.Effective:
		e.Reasons = proof.Reasons
	default:
		e.Default = StateEnforced
	}
	return e
}

// cursor walks a sorted list beside another in the same order.
type cursor struct{ list []netip.Prefix }

// newCursor sorts list.
func newCursor(list []netip.Prefix) cursor {
	slices.SortFunc(list, comparePrefix)
	return cursor{list}
}

// has tells whether the list has p. What it is asked about must not go back.
func (c *cursor) has(p netip.Prefix) bool {
	for len(c.list) > 0 && comparePrefix(c.list[0], p) < 0 {
		c.list = c.list[1:]
	}
	return len(c.list) > 0 && c.list[0] == p
}

// StateOf returns the state of an entry of the list on this wall, and why, in words.
// Of a range that was split around allowlisted addresses it is the worst state of
// its pieces. An entry that was not part of the last run is pending; whether the
// allowlist spares it is not known here.
func (s Status) StateOf(p netip.Prefix) (State, string) {
	e := s.Entries
	lists := []struct {
		state State
		list  Packed
		why   string
	}{
		{StateRejected, e.Rejected, s.rejection(p)},
		{StatePending, e.Pending, s.wait()},
		{StateOverflow, e.Overflow, "the wall has no room for it: more urgent entries take all of its sets"},
		{e.Default, e.Rest, s.standing()},
	}
	split := -1
	for i, c := range lists {
		around, within := c.list.find(p)
		switch {
		case around == p:
			return c.state, c.why
		case around.IsValid() && c.state != StateRejected: // what is refused for its width is no word on what is in it
			return c.state, c.why + ", as a part of " + around.String()
		case within && split < 0:
			split = i
		}
	}
	if split >= 0 {
		return lists[split].state, lists[split].why + ", split around allowlisted addresses"
	}
	why := "it was not part of the last run: " + s.asOf() + " it was not yet on the list, or the allowlist spared it"
	if e.Cut > 0 {
		why = "the status has no room for all entries, and this one is not in it"
	}
	return StatePending, why
}

func (s Status) asOf() string { return "on " + s.AsOf.UTC().Format(time.RFC3339) }

// rejection says why the firewall refuses p.
func (s Status) rejection(p netip.Prefix) string {
	for _, r := range s.Report.Rejected {
		if r.Value == p.String() {
			return r.Reason
		}
	}
	return "refused by the firewall's limits"
}

// wait says why an entry is not in force although it has room.
func (s Status) wait() string {
	switch {
	case s.Mode == "plan":
		return "the last run was a plan and wrote nothing"
	case s.Held != nil:
		return "the last run was held: " + s.Held.Reason
	case s.Result.Error != "":
		return "the last run did not get there: " + s.Result.Error
	}
	return "the last run did not get there"
}

// standing says why the default state is what it is.
func (s Status) standing() string {
	if s.Entries.Default == StateEnforced && s.Proof != nil {
		return "proven in force on " + s.Proof.AsOf.UTC().Format(time.RFC3339)
	}
	return strings.Join(s.Entries.Reasons, "; ")
}
