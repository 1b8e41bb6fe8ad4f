package waftest

import (
	"fmt"
	"net/netip"
	"strings"
)

// TencentForms are ways in which addresses might be read back otherwise than they were written.
var TencentForms = map[string]func(string) string{
	"host bits": func(s string) string { // 192.0.2.1/32 → 192.0.2.1
		if p, err := netip.ParsePrefix(s); err == nil && p.IsSingleIP() {
			return p.Addr().String()
		}
		return s
	},
	"always a prefix": func(s string) string { // 192.0.2.1 → 192.0.2.1/32
		if a, err := netip.ParseAddr(s); err == nil {
			return netip.PrefixFrom(a, a.BitLen()).String()
		}
		return s
	},
	"expanded": func(s string) string { // 2001:db8::/32 → 2001:0DB8:0000:…/32
		if p, err := netip.ParsePrefix(s); err == nil {
			return strings.ToUpper(p.Addr().StringExpanded()) + fmt.Sprintf("/%d", p.Bits())
		}
		if a, err := netip.ParseAddr(s); err == nil {
			return strings.ToUpper(a.StringExpanded())
		}
		return s
	},
}
