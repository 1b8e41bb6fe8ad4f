package allowlist

import (
	"fmt"
	"math"
	"net/netip"

	"go4.org/netipx"
)

// Coverage is how much of the public Internet a list spares. Each address counts once,
// however many entries hold it; private space (RFC 1918, RFC 4193, carrier-internal,
// loopback, link-local, multicast) does not count, since nobody comes from there.
type Coverage struct {
	IPv4     uint64 // addresses
	IPv6     uint64 // networks of /64, the piece that a verdict is about; a narrower entry counts as one
	Accounts int
}

// How much there is: the IPv4 addresses that are not reserved (2³² less the special-purpose
// blocks of RFC 6890), and the /64 networks of 2000::/3, of which IANA allocates.
const (
	public4 = 3_702_258_432
	public6 = 1 << 61
)

// Share4 and Share6 are the parts of the public space that are covered, 0 to 1.
func (c Coverage) Share4() float64 { return min(1, float64(c.IPv4)/public4) }

// Share6 is Share4 for IPv6.
func (c Coverage) Share6() float64 { return min(1, float64(c.IPv6)/public6) }

// Check returns ErrTooWide, with how much it is, if either share is above most.
func (c Coverage) Check(most float64) error {
	kind, share := "IPv4", c.Share4()
	if c.Share6() > share {
		kind, share = "IPv6", c.Share6()
	}
	if share <= most {
		return nil
	}
	return fmt.Errorf("%w: %s of all public %s addresses, more than %s: look for a range that lost a digit", ErrTooWide, percent(share), kind, percent(most))
}

// String says it in one line for people: "4,352 IPv4 addresses (0.0001 %), 3 IPv6 networks of /64, 2 accounts".
func (c Coverage) String() string {
	text := fmt.Sprintf("%s IPv4 %s", grouped(c.IPv4), plural(c.IPv4, "address", "addresses"))
	if c.Share4() >= 1e-6 {
		text += " (" + percent(c.Share4()) + ")"
	}
	text += fmt.Sprintf(", %s IPv6 %s of /64", grouped(c.IPv6), plural(c.IPv6, "network", "networks"))
	if c.Share6() >= 1e-6 {
		text += " (" + percent(c.Share6()) + ")"
	}
	return text + fmt.Sprintf(", %s %s", grouped(uint64(c.Accounts)), plural(uint64(c.Accounts), "account", "accounts"))
}

// Coverage tells how much the list covers, entries that have ended included: what they
// cover today may be more than their writer thinks.
func (l List) Coverage() Coverage {
	c := Coverage{Accounts: len(l.accounts)}
	var held netip.Addr // the last address of the span that was counted last
	for _, s := range l.spans {
		if held.IsValid() && !held.Less(s.from) {
			continue // prefixes never cross: it lies within the one before. IPv4 is less than IPv6
		}
		held = s.to
		p := l.entries[s.entry].Prefix
		switch {
		case internal(p):
		case p.Addr().Is4():
			c.IPv4 += 1 << (32 - p.Bits())
		default:
			c.IPv6 = saturated(c.IPv6, 1<<max(0, 64-p.Bits()))
		}
	}
	return c
}

func saturated(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}

var carrier = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598; net/netip does not count it as private

// internal tells whether no part of p is the public Internet's. Two private addresses
// can only be the ends of a prefix when all of it is private.
func internal(p netip.Prefix) bool {
	inside := func(a netip.Addr) bool {
		return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || carrier.Contains(a)
	}
	return inside(p.Addr()) && inside(netipx.PrefixLastIP(p))
}

func percent(share float64) string {
	return fmt.Sprintf("%.4g %%", 100*share)
}

func plural(n uint64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// grouped writes a number with a comma between thousands.
func grouped(n uint64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
