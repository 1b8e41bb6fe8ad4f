package waftest

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// judge checks one policy and brings it into the form in which it is read back.
func (t *Tencent) judge(g *tcGroup, p *TencentPolicy) *tcError {
	p.Protocol, p.Port = strings.ToUpper(p.Protocol), strings.ToUpper(p.Port)
	if p.Action != "ACCEPT" && p.Action != "DROP" {
		return tcRefuse("InvalidParameterValue", "The action %q is neither ACCEPT nor DROP.", p.Action)
	}
	if utf8.RuneCountInString(p.PolicyDescription) > 100 {
		return tcRefuse("InvalidParameterValue.TooLong", "The PolicyDescription is longer than 100 characters.")
	}
	sources := 0
	for _, given := range []bool{p.CidrBlock != "", p.Ipv6CidrBlock != "", p.SecurityGroupId != "", p.AddressTemplate != TencentAddressTemplate{}} {
		if given {
			sources++
		}
	}
	if sources == 0 {
		return tcRefuse("InvalidParameterValue.Empty", "A policy needs one of CidrBlock, Ipv6CidrBlock, SecurityGroupId and AddressTemplate.")
	}
	if sources > 1 {
		return tcRefuse("InvalidParameter.Coexist", "CidrBlock, Ipv6CidrBlock, SecurityGroupId and AddressTemplate exclude each other.")
	}
	if refused := t.judgeSource(g, p); refused != nil {
		return refused
	}
	return judgePorts(p)
}

func (t *Tencent) judgeSource(g *tcGroup, p *TencentPolicy) *tcError {
	for _, c := range []struct {
		block *string
		is4   bool
	}{{&p.CidrBlock, true}, {&p.Ipv6CidrBlock, false}} {
		if *c.block == "" {
			continue
		}
		prefix, ok := tcPrefix(*c.block)
		if !ok || prefix.Addr().Is4() != c.is4 {
			return tcRefuse("InvalidParameterValue.Malformed", "%q is not an address block of its family.", *c.block)
		}
		if prefix.Addr().Is4() && prefix.Addr().IsUnspecified() {
			*c.block = "0.0.0.0/0" // documented: 0.0.0.0/n is mapped to this
		}
	}
	if p.SecurityGroupId != "" {
		if _, refused := t.group(g.region, p.SecurityGroupId); refused != nil {
			return refused
		}
	}
	a := p.AddressTemplate
	switch {
	case a.AddressId != "" && a.AddressGroupId != "":
		return tcRefuse("InvalidParameter.Coexist", "AddressId and AddressGroupId exclude each other.")
	case a.AddressId != "":
		_, refused := t.template(g.region, a.AddressId)
		return refused
	case a.AddressGroupId != "":
		_, refused := t.templateGroup(g.region, a.AddressGroupId)
		return refused
	}
	return nil
}

func judgePorts(p *TencentPolicy) *tcError {
	service := p.ServiceTemplate != TencentServiceTemplate{}
	switch {
	case service && (p.Protocol != "" || p.Port != ""):
		return tcRefuse("InvalidParameter.Coexist", "ServiceTemplate excludes Protocol and Port.")
	case service:
		return tcRefuse("ResourceNotFound", "The service template does not exist.") // the stand-in has none
	case p.Protocol == "TCP" || p.Protocol == "UDP":
		if p.Port == "" {
			return tcRefuse("InvalidParameterValue.Empty", "%s needs a Port.", p.Protocol)
		}
		for one := range strings.SplitSeq(p.Port, ",") {
			from, to, ranged := strings.Cut(one, "-")
			if !ranged {
				to = from
			}
			a, errA := strconv.ParseUint(from, 10, 16)
			b, errB := strconv.ParseUint(to, 10, 16)
			if p.Port != "ALL" && (errA != nil || errB != nil || a > b) {
				return tcRefuse("InvalidParameterValue.Malformed", "The Port %q is malformed.", p.Port)
			}
		}
		return nil
	case p.Protocol == "ALL" && p.Port == "ALL":
		return nil
	case p.Protocol == "ALL":
		return tcRefuse("InvalidParameterValue", "With Protocol ALL, Port must be all.")
	case p.Protocol == "ICMP" && p.Ipv6CidrBlock != "":
		return tcRefuse("InvalidParameter.Coexist", "Ipv6CidrBlock goes with ICMPV6.")
	case p.Protocol == "ICMP" || p.Protocol == "ICMPV6" || p.Protocol == "GRE":
		if p.Port != "" && p.Port != "ALL" {
			return tcRefuse("InvalidParameter.Coexist", "%s has no Port.", p.Protocol)
		}
		p.Port = "ALL"
		return nil
	}
	return tcRefuse("InvalidParameterValue", "The Protocol %q is none.", p.Protocol)
}

// tcPrefix reads an address or a block without host bits.
func tcPrefix(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	return p, err == nil && p == p.Masked() && !p.Addr().Is4In6()
}

// tcTime writes a time as VPC and CLB do.
func tcTime(at time.Time) string {
	return at.In(time.FixedZone("CST", 8*60*60)).Format(time.DateTime)
}
