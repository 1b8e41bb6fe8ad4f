package detect

import (
	"fmt"
	"slices"

	"github.com/tracewall/tracewall/shared/threat"
)

// Allow says whether an indicator must never be blocked, and why. It must have
// been read whole; whoever has not been able to read it does not call Decide.
type Allow func(threat.Indicator) (reason string, ok bool)

// Brake stops a run that would block too many at once: a broken rule, a log format
// that changed, a test that went live. MaxNew is the most indicators that one run
// may block; 0 means no brake.
type Brake struct{ MaxNew int }

// DefaultMaxNew is the brake of a deployment that sets none: well above the
// thousands of addresses of the founding story.
const DefaultMaxNew = 50_000

// Spared is a detection that the allowlist lets off.
type Spared struct {
	Detection threat.Detection
	Reason    string
}

// Verdicts is what shall happen, each detection in exactly one list.
type Verdicts struct {
	Block   []threat.Detection // by rules that ask for it
	Observe []threat.Detection // by rules that ask for less
	Spared  []Spared           // allowlisted, whatever the rule asks for
	Held    []threat.Detection // would be blocked but for the brake; then Block is empty
}

// Err is ErrHeld when the brake was needed.
func (v Verdicts) Err() error {
	if len(v.Held) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d indicators would be blocked in one run, nobody was", ErrHeld, distinct(v.Held))
}

// maxAccounts bounds the accounts that an address is joined to.
const maxAccounts = 20

// Decide sorts detections into verdicts. It never adds anybody and never makes a
// range wider: an indicator in a verdict is one that a rule has named. An address
// gets the accounts whose evidence lists it, as information only; being listed as
// an account's address blocks nobody.
//
// A challenge counts as observe until a wall can be asked for one.
//
// The brake counts indicators, not detections. Over it nobody at all is blocked:
// which of them would be right is what a person must find out.
func Decide(detections []threat.Detection, allow Allow, brake Brake) Verdicts {
	var v Verdicts
	accounts := accountsByAddress(detections)
	for _, d := range detections {
		if d.Indicator.Kind() == threat.KindAddress {
			d.Accounts = merge(d.Accounts, accounts[d.Indicator])
		}
		reason, allowed := allow(d.Indicator)
		switch {
		case allowed:
			v.Spared = append(v.Spared, Spared{Detection: d, Reason: reason})
		case d.Action == threat.Block:
			v.Block = append(v.Block, d)
		default:
			v.Observe = append(v.Observe, d)
		}
	}
	if brake.MaxNew > 0 && distinct(v.Block) > brake.MaxNew {
		v.Held, v.Block = v.Block, nil
	}
	return v
}

// accountsByAddress turns the accounts' evidence around.
func accountsByAddress(detections []threat.Detection) map[threat.Indicator][]string {
	seen := map[threat.Indicator]bool{}
	for _, d := range detections {
		if d.Indicator.Kind() == threat.KindAddress {
			seen[d.Indicator] = true
		}
	}
	accounts := make(map[threat.Indicator][]string)
	for _, d := range detections {
		if d.Indicator.Kind() != threat.KindAccount {
			continue
		}
		for _, address := range d.Evidence {
			if seen[address] {
				accounts[address] = append(accounts[address], d.Indicator.Account())
			}
		}
	}
	return accounts
}

// merge returns both lists as one, sorted, each once, at most maxAccounts.
func merge(a, b []string) []string {
	if len(a)+len(b) == 0 {
		return nil
	}
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), maxAccounts)]
}

func distinct(ds []threat.Detection) int {
	seen := make(map[threat.Indicator]bool, len(ds))
	for _, d := range ds {
		seen[d.Indicator] = true
	}
	return len(seen)
}
