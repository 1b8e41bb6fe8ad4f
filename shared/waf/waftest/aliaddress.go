package waftest

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

var errNotAnAddress = errors.New("want an IPv4 or IPv6 address or prefix")

// parsePrefix reads an address or a prefix, host bits and all. Zones, IPv4 in IPv6 and /0 are none.
func parsePrefix(text string) (netip.Prefix, error) {
	addr, err := netip.ParseAddr(text)
	p := netip.PrefixFrom(addr, 128)
	switch {
	case err == nil && addr.Is4():
		p = netip.PrefixFrom(addr, 32)
	case err != nil:
		if p, err = netip.ParsePrefix(text); err != nil {
			return netip.Prefix{}, errNotAnAddress
		}
	}
	if addr.Zone() != "" || p.Addr().Is4In6() || p.Bits() == 0 {
		return netip.Prefix{}, errNotAnAddress
	}
	return p, nil
}

// spell returns an address as the service spells it.
func (f AddressForm) spell(written string) string {
	p, err := parsePrefix(written)
	if err != nil {
		return written
	}
	switch f {
	case AsWritten:
	case WithBits:
		return p.String()
	case WithoutBits:
		if p.IsSingleIP() {
			return p.Addr().String()
		}
		return p.String()
	case LongUpper:
		return fmt.Sprintf("%s/%d", strings.ToUpper(p.Addr().StringExpanded()), p.Bits())
	}
	return written
}

// takes judges an address as the service does; "" is a yes.
func (a *Alibaba) takes(text string) (p netip.Prefix, wrong string) {
	p, err := parsePrefix(text)
	if err != nil {
		return p, err.Error()
	}
	if p != p.Masked() && !a.opts.HostBits {
		return p, "host bits are set"
	}
	for _, refused := range a.opts.Refuse {
		if refused.Overlaps(p) {
			return p, "this address cannot be added"
		}
	}
	return p.Masked(), ""
}

// seed enters addresses as they are written.
func (l *addressList) seed(texts []string, note string, now time.Time) error {
	for _, text := range texts {
		p, err := parsePrefix(text)
		if err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
		l.add(p.Masked(), text, note, now)
	}
	return nil
}

func (l *addressList) texts() []string {
	var texts []string
	for _, p := range l.prefixes() {
		texts = append(texts, p.String())
	}
	return texts
}
