package threat

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind tells what an Indicator names.
type Kind uint8

// The kinds. The zero Kind belongs to the zero Indicator and is valid nowhere.
const (
	KindAddress Kind = iota + 1
	KindAccount
)

// String returns "ip" or "account", the words used in rule files, in JSON and in Redis keys.
func (k Kind) String() string {
	switch k {
	case KindAddress:
		return "ip"
	case KindAccount:
		return "account"
	default:
		return "none"
	}
}

// maxAccount bounds an account name, in bytes: it ends up in a Redis key and in messages.
const maxAccount = 256

// ErrRejected means that a value from outside names nobody whom we could block.
// The value is counted and reported; the rest of the batch goes on.
var ErrRejected = errors.New("rejected")

// Indicator is an address range (a single address is a /32 or /128) or an
// account. It is comparable, has one spelling per meaning, and its zero value
// names nobody.
type Indicator struct {
	prefix  netip.Prefix
	account string
}

// Address returns the Indicator of one public unicast address. IPv4-mapped IPv6
// addresses are unmapped. Zones, and addresses that can never be a client on the
// Internet (private, loopback, multicast, reserved: see reservedRanges), are ErrRejected.
func Address(addr netip.Addr) (Indicator, error) {
	addr = addr.Unmap()
	if addr.Zone() != "" {
		return Indicator{}, fmt.Errorf("%w: address has a zone", ErrRejected)
	}
	if !addr.IsValid() {
		return Indicator{}, fmt.Errorf("%w: not an address", ErrRejected)
	}
	if why := reserved(addr); why != "" {
		return Indicator{}, fmt.Errorf("%w: %s address", ErrRejected, why)
	}
	return Indicator{prefix: netip.PrefixFrom(addr, addr.BitLen())}, nil
}

// Range returns the Indicator of an address range, with its host bits cleared.
// An IPv4-mapped range is unmapped. The range must not be wider than a /8 (IPv4)
// or a /16 (IPv6) and must not touch reserved space; narrower limits belong to whoever decides.
func Range(p netip.Prefix) (Indicator, error) {
	if !p.IsValid() {
		return Indicator{}, fmt.Errorf("%w: not an address range", ErrRejected)
	}
	p, err := unmapPrefix(p)
	if err != nil {
		return Indicator{}, err
	}
	if p.IsSingleIP() {
		return Address(p.Addr())
	}
	if p.Addr().Is4() && p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 16 {
		return Indicator{}, fmt.Errorf("%w: range wider than an IPv4 /8 or an IPv6 /16", ErrRejected)
	}
	for _, r := range reservedRanges {
		if r.prefix.Overlaps(p) {
			return Indicator{}, fmt.Errorf("%w: range touches %s space", ErrRejected, r.why)
		}
	}
	return Indicator{prefix: p.Masked()}, nil
}

// unmapPrefix turns ::ffff:192.0.2.0/120 into 192.0.2.0/24: net/netip matches
// neither form against the other.
func unmapPrefix(p netip.Prefix) (netip.Prefix, error) {
	addr := p.Addr()
	if addr.Zone() != "" {
		return p, fmt.Errorf("%w: address has a zone", ErrRejected)
	}
	if !addr.Is4In6() {
		return p.Masked(), nil
	}
	if p.Bits() < 96 {
		return p, fmt.Errorf("%w: IPv4-mapped range wider than all of IPv4", ErrRejected)
	}
	return netip.PrefixFrom(addr.Unmap(), p.Bits()-96).Masked(), nil
}

// Account returns the Indicator of an account name as the user's own systems
// spell it. Control characters, invalid UTF-8, blanks at either end and more than 256 bytes are ErrRejected.
func Account(name string) (Indicator, error) {
	switch {
	case name == "":
		return Indicator{}, fmt.Errorf("%w: empty account", ErrRejected)
	case len(name) > maxAccount:
		return Indicator{}, fmt.Errorf("%w: account longer than %d bytes", ErrRejected, maxAccount)
	case !utf8.ValidString(name):
		return Indicator{}, fmt.Errorf("%w: account is not UTF-8", ErrRejected)
	case strings.TrimSpace(name) != name:
		return Indicator{}, fmt.Errorf("%w: account has blanks around it", ErrRejected)
	case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return Indicator{}, fmt.Errorf("%w: account has unprintable characters", ErrRejected)
	}
	return Indicator{account: name}, nil
}

// ParseAddress reads an address or a range as an operator writes it: 192.0.2.7,
// 192.0.2.0/24, 2001:db8::/48, ::ffff:192.0.2.7. Ports and brackets are ErrRejected.
func ParseAddress(text string) (Indicator, error) {
	text = strings.TrimSpace(text)
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return Indicator{}, fmt.Errorf("%w: not an address range", ErrRejected)
		}
		return Range(p)
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return Indicator{}, fmt.Errorf("%w: not an address", ErrRejected)
	}
	return Address(addr)
}

// ParseLogAddress reads one client address as it stands in logs: besides a bare
// address also one with a port (192.0.2.7:4431, [2001:db8::7]:443) or in
// brackets. A range is no client and is ErrRejected.
func ParseLogAddress(text string) (Indicator, error) {
	text = strings.TrimSpace(text)
	if addr, err := netip.ParseAddr(text); err == nil {
		return Address(addr)
	}
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return Address(ap.Addr())
	}
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); ok {
			if addr, err := netip.ParseAddr(inner); err == nil && addr.Is6() {
				return Address(addr)
			}
		}
	}
	return Indicator{}, fmt.Errorf("%w: not an address", ErrRejected)
}

// Kind returns what the Indicator names; 0 for the zero Indicator.
func (i Indicator) Kind() Kind {
	switch {
	case i.prefix.IsValid():
		return KindAddress
	case i.account != "":
		return KindAccount
	default:
		return 0
	}
}

// Prefix returns the address range; the zero Prefix for an account.
func (i Indicator) Prefix() netip.Prefix { return i.prefix }

// Account returns the account name; "" for an address. It is personal data: use
// Masked wherever people or logs see it.
func (i Indicator) Account() string { return i.account }

// Unit returns the Indicator that a verdict about i is about: an IPv6 address
// stands for its /64, the smallest piece of IPv6 that one customer holds.
// Everything else stands for itself.
func (i Indicator) Unit() Indicator {
	if i.prefix.IsValid() && i.prefix.Addr().Is6() && i.prefix.Bits() > 64 {
		return Indicator{prefix: netip.PrefixFrom(i.prefix.Addr(), 64).Masked()}
	}
	return i
}

// String returns the full spelling: 192.0.2.7, 192.0.2.0/24, 2001:db8::/64, or
// the account name. ParseAddress and Account read it back.
func (i Indicator) String() string {
	switch {
	case i.prefix.IsValid() && i.prefix.IsSingleIP():
		return i.prefix.Addr().String()
	case i.prefix.IsValid():
		return i.prefix.String()
	default:
		return i.account
	}
}

// Key returns a spelling that is unique over both kinds: "ip:192.0.2.7" or
// "account:abc". ParseKey reads it back.
func (i Indicator) Key() string { return i.Kind().String() + ":" + i.String() }

// ParseKey reads what Key wrote. Anything else is ErrRejected.
func ParseKey(key string) (Indicator, error) {
	kind, rest, _ := strings.Cut(key, ":")
	switch kind {
	case "ip":
		return ParseAddress(rest)
	case "account":
		return Account(rest)
	default:
		return Indicator{}, fmt.Errorf("%w: not an indicator key", ErrRejected)
	}
}

// Masked returns String for an address and a shortened form for an account,
// which still tells two accounts apart most of the time.
func (i Indicator) Masked() string {
	if i.account == "" {
		return i.String()
	}
	return Mask(i.account)
}

// Mask shortens an account name for people and logs: its first three characters,
// an ellipsis, and how long it was.
func Mask(account string) string {
	r := []rune(account)
	keep := min(3, len(r)/2)
	return fmt.Sprintf("%s…(%d)", string(r[:keep]), len(r))
}

// LogValue implements slog.LogValuer with Masked, so that no log line carries a full account.
func (i Indicator) LogValue() slog.Value { return slog.StringValue(i.Masked()) }

// MarshalText implements encoding.TextMarshaler with Key.
func (i Indicator) MarshalText() ([]byte, error) {
	if i.Kind() == 0 {
		return nil, errors.New("marshal indicator: zero value")
	}
	return []byte(i.Key()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler with ParseKey.
func (i *Indicator) UnmarshalText(text []byte) (err error) {
	*i, err = ParseKey(string(text))
	return err
}

// Compare orders Indicators: IPv4 before IPv6 before accounts, then by value.
func (i Indicator) Compare(j Indicator) int {
	if c := int(i.Kind()) - int(j.Kind()); c != 0 {
		return c
	}
	if i.Kind() == KindAccount {
		return strings.Compare(i.account, j.account)
	}
	if c := i.prefix.Addr().Compare(j.prefix.Addr()); c != 0 {
		return c
	}
	return i.prefix.Bits() - j.prefix.Bits()
}
