// Package geoip tells the country of an address from tables that are built in.
//
// The tables are IP2Location LITE data through github.com/phuslu/iploc (the attribution is
// in NOTICE). They are as old as the module's version, and no source of countries agrees
// with another on more than 72 to 93 % of addresses: good for a column in a report, no
// ground for a verdict. Importing this package adds 4.5 MB to a binary (1.9 MB to its ZIP); IPv6 tables
// are unpacked into memory at the first look-up of an IPv6 address.
package geoip

import (
	"net/netip"

	"github.com/phuslu/iploc"
)

// Countries tells countries. Its zero value is ready, and safe for concurrent use.
type Countries struct{}

// Country returns the ISO 3166-1 alpha-2 code of addr's country, "" if it is not known or
// addr is not an address of the public Internet. Some 100 ns.
func (Countries) Country(addr netip.Addr) string {
	addr = addr.Unmap()
	if !addr.IsValid() || !addr.IsGlobalUnicast() || addr.IsPrivate() {
		return ""
	}
	code := iploc.IPCountry(addr.WithZone(""))
	if len(code) != 2 || !letter(code[0]) || !letter(code[1]) || code == unknown {
		return ""
	}
	return code
}

// unknown is how the tables spell that a range belongs to nobody.
const unknown = "ZZ"

func letter(c byte) bool { return c >= 'A' && c <= 'Z' }
