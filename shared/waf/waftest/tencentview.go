package waftest

import (
	"net/netip"
	"slices"
)

// EnforcedGroup returns, in order, the addresses that a security group's policies drop whatever they ask for: those on
// a DROP policy for all protocols and ports that comes before every ACCEPT that would let them
// through. What no policy speaks of, and so is not let in either, is not among them. Empty if there is no such group.
func (t *Tencent) EnforcedGroup(id string) []netip.Prefix {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groups[id]
	if g == nil {
		return nil
	}
	return t.dropped(g.ingress)
}

// EnforcedBalancer returns what the security groups of a load balancer drop, the first one's policies first.
func (t *Tencent) EnforcedBalancer(id string) []netip.Prefix {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.balancers[id]
	if b == nil {
		return nil
	}
	var all []TencentPolicy
	for _, id := range b.groups {
		if g := t.groups[id]; g != nil {
			all = append(all, g.ingress...)
		}
	}
	return t.dropped(all)
}

// dropped returns what policies drop, in their order.
func (t *Tencent) dropped(policies []TencentPolicy) []netip.Prefix {
	var accepted, dropped []netip.Prefix
	for _, p := range policies {
		source := t.source(p)
		switch {
		case p.Action == "ACCEPT":
			accepted = append(accepted, source...) // also what is dropped already, and stays so
		case p.Protocol == "ALL":
			dropped = append(dropped, areaWithout(source, accepted)...)
		}
	}
	return sorted(dropped)
}

// source returns the addresses that a policy speaks of. Those of other security groups are private and left out.
func (t *Tencent) source(p TencentPolicy) (source []netip.Prefix) {
	for _, block := range []string{p.CidrBlock, p.Ipv6CidrBlock} {
		if prefix, ok := tcPrefix(block); ok {
			source = append(source, prefix)
		}
	}
	for _, m := range t.members(p.AddressTemplate) {
		source = append(source, m.area...)
	}
	return source
}

// EnforcedAccess returns, in order, the addresses that WAF blocks for a domain now: those on an entry of the domain's
// blacklist, or of the one of all domains ("global"), that has not come to its end by the stand-in's clock, without those that a
// whitelist lets through. For "global" itself it asks that list alone.
func (t *Tencent) EnforcedAccess(domain string) []netip.Prefix {
	t.mu.Lock()
	defer t.mu.Unlock()
	var black, white []netip.Prefix
	now := t.opts.Now()
	for _, e := range t.entries {
		switch {
		case e.domain != domain && e.domain != "global" || !e.inForce(now):
		case e.action == TencentBlock:
			black = append(black, e.area...)
		default:
			white = append(white, e.area...)
		}
	}
	return sorted(areaWithout(black, white))
}

// Policies returns a security group's ingress policies as they stand, and its version.
func (t *Tencent) Policies(group string) (ingress []TencentPolicy, version int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.groups[group]
	if g == nil {
		return nil, 0
	}
	return slices.Clone(g.ingress), g.version
}

// TencentEntry is one entry of WAF's access control list.
type TencentEntry struct {
	Rule      uint64
	Domain    string
	Action    int64 // TencentAllow or TencentBlock
	Addresses []string
	Note      string
	Until     int64 // seconds; 0: for ever
}

// Access returns all entries of a domain ("global": of all), in the order in which they were made, those that have come to their end too.
func (t *Tencent) Access(domain string) (entries []TencentEntry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.entries {
		if e.domain == domain {
			entries = append(entries, TencentEntry{e.rule, e.domain, e.action, slices.Clone(e.ips), e.note, e.end()})
		}
	}
	return entries
}

// Templates returns the addresses of all templates of a Region, by the templates' names, as they were written.
func (t *Tencent) Templates(region string) map[string][]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := map[string][]string{}
	for _, one := range t.templates {
		if one.region == t.home(region) {
			addresses := []string{}
			for _, m := range one.members {
				addresses = append(addresses, m.text)
			}
			all[one.name] = addresses
		}
	}
	return all
}
