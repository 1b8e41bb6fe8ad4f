package threatintel

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/tracewall/tracewall/shared/threat"
)

// Purpose tells what a feed's addresses are for.
type Purpose string

// The purposes.
const (
	Signal Purpose = "signal" // they make a suspicion heavier
	Allow  Purpose = "allow"  // they are spared
)

// ErrNotListable means that a feed names something that no list may hold: a private or reserved
// address, or a range wider than an IPv4 /8 or an IPv6 /16.
var ErrNotListable = errors.New("not listable")

// Item is one entry of a feed. Times are Unix seconds, since a feed may have a million Items.
type Item struct {
	Prefix     netip.Prefix // as Admit returns it
	Confidence uint8        // 0..100: how sure the feed is
	Seen       uint32       // when the feed saw it last; 0: it does not say
	Until      uint32       // when the feed takes it back by itself; 0: never
}

// Admit returns p as Items hold it: its host bits cleared, an IPv4-mapped range as IPv4. With purpose Signal an IPv6 range
// narrower than a /64 becomes its /64, which is what a verdict is about (threat.Indicator.Unit).
// The error is ErrNotListable and does not repeat p.
func Admit(p netip.Prefix, purpose Purpose) (netip.Prefix, error) {
	ind, err := threat.Range(p)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%w: %w", ErrNotListable, err)
	}
	if purpose == Signal {
		ind = ind.Unit()
	}
	return ind.Prefix(), nil
}

// Seconds turns a time into an Item's form: 0 for the zero time and for what an Item cannot hold.
func Seconds(t time.Time) uint32 {
	s := t.Unix()
	if t.IsZero() || s < 0 || s > 1<<32-1 {
		return 0
	}
	return uint32(s)
}

// moment is the reverse of Seconds.
func moment(s uint32) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}
