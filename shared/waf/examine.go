package waf

import "context"

// Chooser is implemented by a Firewall that has to ask its cloud first which kind it
// is, say because only some editions have address books. Choose comes before each
// run's Look; it returns the same Firewall again as long as the answer is the same, and an
// error where the cloud does not answer: never another kind because of a passing fault.
type Chooser interface {
	Choose(ctx context.Context) (Firewall, error)
}

// Examiner is implemented by a Firewall that can try out, with calls that only read, what
// it relies on: permissions, quotas, editions, how addresses are spelled, clocks.
type Examiner interface {
	Examine(ctx context.Context) []Check
}

// Check is one thing that was tried. Its JSON form is stable.
type Check struct {
	Name  string     `json:"name"`
	State CheckState `json:"state"`
	Text  string     `json:"text"` // what was seen, and what to do about it
}

// CheckState tells how a Check came out.
type CheckState string

// The states.
const (
	CheckOK      CheckState = "ok"
	CheckWarn    CheckState = "warn"    // it works, and not as well as it should
	CheckFail    CheckState = "fail"    // a run would fail
	CheckUnknown CheckState = "unknown" // it could not be found out
)
