package blocklist

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// Term limits, in force wherever a term is read: one minute to thirty days.
const (
	MinTerm     = time.Minute
	MaxTerm     = 30 * 24 * time.Hour
	DefaultTerm = 72 * time.Hour
)

// MaxStrikes caps how often the term doubles: 72 h, 144 h, 288 h, 576 h, then MaxTerm.
const MaxStrikes = 5

// StrikeDecay is how long somebody has to stay off the list for one strike to be
// forgotten; a second one is after twice as long, and so on.
const StrikeDecay = 30 * 24 * time.Hour

// Cool-off limits: how long an unblock holds against new offences.
const (
	DefaultCoolOff = 24 * time.Hour
	MaxCoolOff     = MaxTerm
)

// TermFor returns how long the strikes-th block lasts, before jitter: the rule's
// term, doubled for each earlier block, at most MaxTerm. Strikes below 1 count as 1.
func TermFor(term time.Duration, strikes int) time.Duration {
	for range min(max(strikes, 1), MaxStrikes) - 1 {
		term *= 2
		if term >= MaxTerm {
			return MaxTerm
		}
	}
	return term
}

// StrikesAt returns how many strikes still count at t: one less for each full
// StrikeDecay since the latest block ended, never below zero.
func (p Past) StrikesAt(t time.Time) int {
	if !t.After(p.Until) {
		return p.Strikes
	}
	return int(max(0, int64(p.Strikes)-int64(t.Sub(p.Until)/StrikeDecay)))
}

// Jitter is how much later than its term each block of one Indicator ends: a share of
// below a tenth, one for each strike (from the ninth on they come again). It lets go of
// a botnet's addresses one by one instead of all in one second, and nobody can sit a
// term out to the second. Being a function of the Indicator and the strike, it is the
// same for a replay, an overlapping window and whoever is seen again. The zero Jitter is none.
type Jitter [2 * jitterShares]byte

const (
	jitterShares = 8
	// jitterScale: a share counts 1/65536 of a tenth of the term.
	jitterScale = 10 << 16
)

// NewJitter returns the Jitter of the Indicator with this Key under a store's secret,
// without which it cannot be computed. Stores take 32 hexadecimal digits; the hash's
// other half stays unused, so that nothing can be appended to what is hashed.
func NewJitter(secret, key string) (j Jitter) {
	text := make([]byte, 0, 128)
	text = append(append(append(text, secret...), '\n'), key...)
	sum := sha256.Sum256(text)
	copy(j[:], sum[:])
	return j
}

// Of returns how much later than its term the strikes-th block ends, in whole seconds.
func (j Jitter) Of(term time.Duration, strikes int) time.Duration {
	i := (max(strikes, 1) - 1) % jitterShares
	share := int64(binary.BigEndian.Uint16(j[2*i:]))
	return time.Duration(int64(term/time.Second)*share/jitterScale) * time.Second
}

// JitterScale is for stores that compute elsewhere: jitter is term × share / JitterScale.
const JitterScale = jitterScale

// End returns when the Offence's block ends if it is the strikes-th: after the term for
// that many strikes and its jitter, at most MaxTerm. An operator's term is neither
// doubled nor moved: a person who says 72 h means 72 h.
func (o Offence) End(strikes int, j Jitter) time.Time {
	if o.Source == SourceOperator {
		return o.At.Add(o.Term)
	}
	term := TermFor(o.Term, strikes)
	return o.At.Add(min(term+j.Of(term, strikes), MaxTerm))
}
