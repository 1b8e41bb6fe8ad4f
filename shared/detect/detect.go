// Package detect turns log lines into verdicts. It asks a log service the
// questions that rule files hold, in that service's own words (dialect.go), reads
// the rows that come back, and says whom to block, whom to watch and whom to spare.
//
//	rule file → Rule → query over aligned windows → rows → Detections → Decide → Verdicts
//
// Everything before and after the query is pure: values in, values out, the clock
// handed in. The Runner alone talks to the log service and the store, through
// interfaces that it declares itself.
//
// Invariants. Log text is written by attackers, so a row is believed only after
// its subject has become a threat.Indicator; one that cannot is counted and
// reported, and the rest goes on. The same lines give the same Detections in the
// same order, whenever and however often they are read. A window is judged by its
// whole content or, while still open, by a count that can only be too small.
// Unsure means do not block: an unreadable allowlist, an incomplete answer or a
// run that would block too many all end without a single new block, and with an
// error.
package detect

import "errors"

// Each sentinel means one decision.
var (
	// ErrRule: a rule file is wrong. Nothing is loaded.
	ErrRule = errors.New("bad rule")
	// ErrHeld: the run would block more than the brake allows and has blocked nobody. A person must look.
	ErrHeld = errors.New("held by the brake on new blocks")
	// ErrAllowlist: the allowlist could not be read whole, so nobody was blocked.
	ErrAllowlist = errors.New("allowlist unreadable")
	// ErrContext: what speaks for addresses could not be read, so nobody was blocked.
	ErrContext = errors.New("what speaks for addresses is unreadable")
	// ErrRequest: the caller asked for something that cannot be run.
	ErrRequest = errors.New("bad request")
	// ErrClock: the run's clock is ahead of the wall clock.
	ErrClock = errors.New("clock is in the future")
)
