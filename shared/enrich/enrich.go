// Package enrich says what is known of an address beside what it did: its country, its
// network and who runs that.
//
// A Profile is context for people and for the brake (so many blocks in one country or
// network at once are a mistake of ours more often than an attack). It is no evidence:
// sources disagree with each other on the country of 7 to 28 % of addresses, and an
// attacker chooses his hoster. Nobody is blocked for where he comes from.
//
// The parts come from packages below this one, and all may be missing: geoip has
// countries built in, networks reads a file that the user brings, threatintel holds
// feeds. What is not known is the zero value.
package enrich

import (
	"net/netip"

	"github.com/tracewall/tracewall/shared/threat"
)

// Profile is what enrichment learned about an address.
type Profile struct {
	Country  string       `json:"country,omitempty"`  // ISO 3166-1 alpha-2: "CN"; "" for not known
	ASN      uint32       `json:"asn,omitempty"`      // the autonomous system that announces it; 0 for not known
	Operator string       `json:"operator,omitempty"` // who runs that, printable, at most 100 bytes
	Network  netip.Prefix `json:"network,omitzero"`   // the announced range around it, or the zero Prefix
}

// Countries tells the country of an address, "" if it does not know. It must be safe for concurrent use.
type Countries interface {
	Country(addr netip.Addr) string
}

// Networks tells the network of an address, zero values if it does not know. It must be safe for concurrent use.
type Networks interface {
	Network(addr netip.Addr) (asn uint32, operator string, network netip.Prefix)
}

// Profiler joins the sources. Either may be nil. It is safe for concurrent use.
type Profiler struct {
	Countries Countries
	Networks  Networks
}

// Profile returns what is known of addr. IPv4-mapped addresses are unmapped.
func (p Profiler) Profile(addr netip.Addr) Profile {
	addr = addr.Unmap().WithZone("")
	var profile Profile
	if !addr.IsValid() {
		return profile
	}
	if p.Countries != nil {
		profile.Country = p.Countries.Country(addr)
	}
	if p.Networks != nil {
		profile.ASN, profile.Operator, profile.Network = p.Networks.Network(addr)
	}
	return profile
}

// Of returns the profile of an Indicator: of an address, or of a range's first address,
// with those parts left out that do not hold for all of the range as far as its two ends
// tell. An account has none.
func (p Profiler) Of(ind threat.Indicator) Profile {
	if ind.Kind() != threat.KindAddress {
		return Profile{}
	}
	prefix := ind.Prefix()
	first := p.Profile(prefix.Addr())
	if prefix.IsSingleIP() {
		return first
	}
	last := p.Profile(lastOf(prefix))
	if last.Country != first.Country {
		first.Country = ""
	}
	if last.ASN != first.ASN {
		first.ASN, first.Operator = 0, ""
	}
	if !first.Network.Contains(lastOf(prefix)) {
		first.Network = netip.Prefix{}
	}
	return first
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := range b {
		switch bits := p.Bits() - 8*i; {
		case bits <= 0:
			b[i] = 0xff
		case bits < 8:
			b[i] |= 0xff >> bits
		}
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}
