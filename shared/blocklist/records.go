package blocklist

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tracewall/tracewall/shared/threat"
)

// Unblock is an operator's word that Indicators are to be let go, and not to come
// back at once.
type Unblock struct {
	Run        string // an id, recorded in the handoff
	Now        time.Time
	Indicators []threat.Indicator
	CoolOff    time.Duration // for how long after Now offences do not count either: 0 to MaxCoolOff
}

// Check tells what makes an Unblock unfit to be carried out.
func (u Unblock) Check() error {
	switch {
	case u.Now.Unix() <= 0:
		return errors.New("now: no time")
	case len(u.Run) > 128:
		return errors.New("run: want at most 128 bytes")
	case u.CoolOff < 0 || u.CoolOff > MaxCoolOff:
		return fmt.Errorf("cool-off %s: want 0 to %s", u.CoolOff, MaxCoolOff)
	}
	for i, ind := range u.Indicators {
		if ind.Kind() == 0 {
			return fmt.Errorf("indicator %d: names nobody", i+1)
		}
	}
	return nil
}

// History is what the list knows of an Indicator, in short: enough to judge what it does now.
type History struct {
	Listed    bool      // it is on the list
	Challenge bool      // it is listed to be challenged, not blocked
	Strikes   int       // times on the list that still count, one that lasts included
	Released  time.Time // when an operator last unblocked it; zero: never, as far as anybody remembers
	CoolOff   time.Time // up to when that unblock holds against new offences; zero: Released
}

// HistoryOf makes a History of what a store keeps. e is nil if the Indicator has no entry.
func HistoryOf(e *Entry, past Past, now time.Time) History {
	h := History{Strikes: past.StrikesAt(now), Released: past.Released, CoolOff: past.CoolOff}
	if e != nil && e.ExpiresAt.After(now) {
		h.Listed, h.Challenge, h.Strikes = true, e.Challenge, e.Strikes
	}
	return h
}

// Bounds of a Case.
const (
	MaxCase     = 16 << 10 // bytes of Text
	MaxCases    = 10_000   // in one call
	MaxCaseKeep = 90 * 24 * time.Hour
)

// Case is the record of why an Indicator was judged as it was: evidence for a person
// who asks. Stores keep the latest of each Indicator.
type Case struct {
	Indicator threat.Indicator
	At        time.Time     // when it was judged; whole seconds are kept
	Keep      time.Duration // for how long it is worth keeping: a second to MaxCaseKeep
	Text      []byte        // JSON, opaque to the store
}

// Check tells what makes a Case unfit to be stored.
func (c Case) Check() error {
	switch {
	case c.Indicator.Kind() == 0:
		return errors.New("indicator: names nobody")
	case c.At.Unix() <= 0:
		return fmt.Errorf("%s: at: no time", c.Indicator.Masked())
	case c.Keep < time.Second || c.Keep > MaxCaseKeep:
		return fmt.Errorf("%s: keep %s: want 1s to %s", c.Indicator.Masked(), c.Keep, MaxCaseKeep)
	case len(c.Text) > MaxCase:
		return fmt.Errorf("%s: text of %d bytes: want at most %d", c.Indicator.Masked(), len(c.Text), MaxCase)
	case !json.Valid(c.Text):
		return fmt.Errorf("%s: text: want JSON", c.Indicator.Masked())
	}
	return nil
}

// CheckCases reports what is wrong with the Cases of one call.
func CheckCases(cases []Case) error {
	if len(cases) > MaxCases {
		return fmt.Errorf("%d cases: want at most %d in one call", len(cases), MaxCases)
	}
	for i, c := range cases {
		if err := c.Check(); err != nil {
			return fmt.Errorf("case %d: %w", i+1, err)
		}
	}
	return nil
}

// MaxRecord bounds a report or a status, in bytes: it is read whole by people's tools.
const MaxRecord = 16 << 20

// MaxState bounds a function's named memory, in bytes: it is read whole at each run.
const MaxState = 1 << 20
