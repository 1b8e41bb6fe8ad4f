package waftest

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// cloudBook is one of Cloud Firewall's address books.
type cloudBook struct {
	uuid, name, description, kind string
	list                          *addressList
}

// policyList is one ordered list of the Internet border's policies.
type policyList struct {
	direction string // in, out
	version   int    // 4, 6
}

type cloudPolicy struct {
	uuid                         string
	action                       string // accept, drop, log
	description                  string
	source, sourceType           string
	destination, destinationType string
	destPort, destPortType       string
	proto                        string
	apps                         []string
	released                     bool
	created, modified            time.Time
}

// view shows a policy; set takes what a view says over, but for its list and its place.
func (p *cloudPolicy) view(list policyList, order int) AlibabaPolicy {
	return AlibabaPolicy{
		UUID: p.uuid, Description: p.description, Action: p.action, Direction: list.direction, Version: list.version,
		Source: p.source, Group: p.sourceType == "group", Destination: p.destination, Order: order, Off: !p.released,
	}
}

func (p *cloudPolicy) set(one AlibabaPolicy) {
	p.description, p.action, p.source, p.sourceType = one.Description, one.Action, one.Source, "net"
	p.destination, p.released = one.Destination, !one.Off
	if one.Group {
		p.sourceType = "group"
	}
}

// cloudBooks returns all books in order of name.
func (s *aliState) cloudBooks() []*cloudBook {
	return slices.SortedFunc(maps.Values(s.cloud), func(a, b *cloudBook) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.uuid, b.uuid))
	})
}

// bookNamed returns the book of a name, nil if there is none.
func (s *aliState) bookNamed(name string) *cloudBook {
	for _, b := range s.cloud {
		if b.name == name {
			return b
		}
	}
	return nil
}

// from returns what a policy's source covers.
func (s *aliState) from(p *cloudPolicy) []netip.Prefix {
	switch p.sourceType {
	case "net":
		if one, err := parsePrefix(p.source); err == nil {
			return []netip.Prefix{one.Masked()}
		}
	case "group":
		if b := s.bookNamed(p.source); b != nil {
			return b.list.prefixes()
		}
	}
	return nil
}

// everything tells whether a policy means all traffic from its source.
func (p *cloudPolicy) everything(version int) bool {
	all := map[int]string{4: "0.0.0.0/0", 6: "::/0"}[version]
	return p.destinationType == "net" && p.destination == all && p.proto == "ANY" && slices.Equal(p.apps, []string{"ANY"})
}

// cloudEnforced returns what the inbound policies of one action mean, wherever they stand.
func (s *aliState) cloudEnforced(action string) []netip.Prefix {
	var found []netip.Prefix
	for _, version := range []int{4, 6} {
		for _, p := range s.policies[policyList{"in", version}] {
			if p.action == action && p.released && p.everything(version) {
				found = append(found, s.from(p)...)
			}
		}
	}
	return found
}

// cloudSpared names the policies that accept before one that drops.
func (s *aliState) cloudSpared() []string {
	var said []string
	for _, version := range []int{4, 6} {
		var ahead []string
		for _, p := range s.policies[policyList{"in", version}] {
			switch {
			case p.released && p.action == "accept":
				ahead = append(ahead, "policy "+p.description+" accepts "+p.source+" before")
			case p.released && p.action == "drop":
				for _, one := range ahead {
					said = append(said, one+" policy "+p.description+" drops "+p.source)
				}
				ahead = nil
			}
		}
	}
	return said
}
