package aliwaf

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// spell returns a prefix as we write it: a single address without a length, a range with it. In which form
// the service shows what it was given is UNVERIFIED; readAddress takes every one.
func spell(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.Masked().String()
}

// readAddress reads an address in any form that a cloud might show it in: with or without a length, with bits
// beyond the length, in capitals, written out in full, an IPv4 address within IPv6.
func readAddress(text string) (netip.Prefix, error) {
	addr, length, ranged := strings.Cut(strings.TrimSpace(text), "/")
	a, err := netip.ParseAddr(addr)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, fmt.Errorf("address %s: %w: not an address or a range", printable(text, maxName), waf.ErrInvalid)
	}
	bits := a.BitLen()
	if ranged {
		p, err := netip.ParsePrefix(addr + "/" + length)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("address %s: %w: not an address or a range", printable(text, maxName), waf.ErrInvalid)
		}
		bits = p.Bits()
	}
	if a.Is4In6() && bits >= 96 {
		a, bits = a.Unmap(), bits-96
	}
	return netip.PrefixFrom(a, bits).Masked(), nil
}
