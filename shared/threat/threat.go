// Package threat is the vocabulary that every other package speaks. It knows
// nothing of clouds, logs or stores and imports only the standard library.
//
// Indicator: an address, an address range or an account under suspicion (STIX
// calls it an observable). Detection: one rule's belief about one Indicator,
// with a count and a window. Verdict: what the rules and the allowlist together
// say shall happen. Entry (package blocklist): an Indicator that is blocked until
// a time. Allowlist: who must never be blocked. IP set: a named list in a
// firewall. Plan (package waf): what must change there.
//
// Log text is written by attackers. Values of this package are valid once they
// exist: an Indicator can only be made by a constructor that has checked it.
package threat

import "fmt"

// Severity ranks detections. The zero value is Low. Higher is worse, so that
// severities compare with < and >.
type Severity uint8

// The severities, in SLS's own order.
const (
	Low Severity = iota
	Medium
	High
	Critical
)

var severityNames = [...]string{"low", "medium", "high", "critical"}

// String returns the severity's name as rule files spell it.
func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return fmt.Sprintf("severity(%d)", uint8(s))
}

// MarshalText implements encoding.TextMarshaler.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It accepts only the four names.
func (s *Severity) UnmarshalText(text []byte) error {
	for i, name := range severityNames {
		if string(text) == name {
			*s = Severity(i)
			return nil
		}
	}
	return fmt.Errorf("severity %q: want low, medium, high or critical", text)
}

// Action is what a rule asks for when it fires.
type Action uint8

// The actions, mildest first. Observe is the zero value: a rule that says
// nothing blocks nobody.
const (
	Observe Action = iota
	Challenge
	Block
)

var actionNames = [...]string{"observe", "challenge", "block"}

// String returns the action's name as rule files spell it.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// MarshalText implements encoding.TextMarshaler.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It accepts only the three names.
func (a *Action) UnmarshalText(text []byte) error {
	for i, name := range actionNames {
		if string(text) == name {
			*a = Action(i)
			return nil
		}
	}
	return fmt.Errorf("action %q: want observe, challenge or block", text)
}
