package waftest

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// TencentPolicy is one policy of a security group as the API has it.
type TencentPolicy struct {
	PolicyIndex       *int64 `json:",omitempty"` // its place of the moment, from 0
	Protocol          string // TCP, UDP, ICMP, ICMPV6, GRE or ALL
	Port              string // "443", "8000-8010", "80,443" or "ALL"
	ServiceTemplate   TencentServiceTemplate
	CidrBlock         string
	Ipv6CidrBlock     string
	SecurityGroupId   string //nolint:staticcheck // named as on the wire
	AddressTemplate   TencentAddressTemplate
	Action            string // ACCEPT or DROP
	PolicyDescription string
	ModifyTime        string `json:",omitempty"`
	Priority          *int64 `json:",omitempty"`
}

// TencentAddressTemplate is what a policy says of its source: an address template or a group of them.
type TencentAddressTemplate struct {
	AddressId      string //nolint:staticcheck // named as on the wire
	AddressGroupId string //nolint:staticcheck // named as on the wire
}

// TencentServiceTemplate is what a policy says of its protocols and ports, in place of Protocol and Port.
type TencentServiceTemplate struct {
	ServiceId      string //nolint:staticcheck // named as on the wire
	ServiceGroupId string //nolint:staticcheck // named as on the wire
}

// tcGroup is a security group.
type tcGroup struct {
	id, region, name string
	version          int
	ingress, egress  []TencentPolicy
	created, updated time.Time
	instances        int // that it protects, beside load balancers
}

// tcPolicySet is SecurityGroupPolicySet as a request has it.
type tcPolicySet struct {
	Version         *string
	Egress, Ingress []TencentPolicy
}

type tcPoliciesRequest struct {
	SecurityGroupId                string //nolint:staticcheck // named as on the wire
	SecurityGroupPolicySet         *tcPolicySet
	OriginalSecurityGroupPolicySet *tcPolicySet
	UpdateType                     string
	SortPolicys                    bool
}

// open reads a request about a group's policies, finds the group and compares the versions.
func (t *Tencent) open(r tcRequest) (q tcPoliciesRequest, g *tcGroup, refused *tcError) {
	if refused := tcDecode(r.body, &q); refused != nil {
		return q, nil, refused
	}
	if q.SecurityGroupPolicySet == nil {
		return q, nil, tcRefuse("MissingParameter", "The request is missing a required parameter `SecurityGroupPolicySet`.")
	}
	if g, refused = t.group(r.region, q.SecurityGroupId); refused != nil {
		return q, nil, refused
	}
	for _, list := range [][]TencentPolicy{q.SecurityGroupPolicySet.Ingress, q.SecurityGroupPolicySet.Egress} {
		for i := range list {
			list[i].ModifyTime = "" // the service's to say
		}
	}
	if v := q.SecurityGroupPolicySet.Version; v != nil && r.action != "ModifySecurityGroupPolicies" {
		n, err := strconv.Atoi(*v)
		if err != nil {
			return q, nil, tcRefuse("InvalidParameterValue.Malformed", "The version %q is not a number.", *v)
		}
		if n != g.version {
			return q, nil, tcRefuse("UnsupportedOperation.VersionMismatch", "The version %d of the security group policies is not the current one, %d.", n, g.version)
		}
	}
	return q, g, nil
}

func (t *Tencent) group(region, id string) (*tcGroup, *tcError) {
	if id == "" {
		return nil, tcRefuse("MissingParameter", "The request is missing a required parameter `SecurityGroupId`.")
	}
	if !strings.HasPrefix(id, "sg-") {
		return nil, tcRefuse("InvalidParameterValue.Malformed", "The security group id %q is malformed.", id)
	}
	g := t.groups[id]
	if g == nil || g.region != region {
		return nil, tcRefuse("ResourceNotFound", "The security group %s does not exist.", id)
	}
	return g, nil
}

// direction returns the one direction that a change is about: the list that it names and the one in the group.
func (s *tcPolicySet) direction(g *tcGroup) (given []TencentPolicy, list *[]TencentPolicy, refused *tcError) {
	switch {
	case len(s.Ingress) > 0 && len(s.Egress) > 0:
		return nil, nil, tcRefuse("InvalidParameter.Coexist", "Ingress and Egress cannot be changed in one request.")
	case len(s.Ingress) > 0:
		return s.Ingress, &g.ingress, nil
	case len(s.Egress) > 0:
		return s.Egress, &g.egress, nil
	}
	return nil, nil, tcRefuse("InvalidParameterValue.Empty", "The request has no policies.")
}

func (t *Tencent) createPolicies(r tcRequest) (map[string]any, *tcError) {
	q, g, refused := t.open(r)
	if refused != nil {
		return nil, refused
	}
	given, list, refused := q.SecurityGroupPolicySet.direction(g)
	if refused != nil {
		return nil, refused
	}
	at := len(*list)
	for i := range given {
		index := given[i].PolicyIndex
		if (index == nil) != (given[0].PolicyIndex == nil) || index != nil && *index != *given[0].PolicyIndex {
			return nil, tcRefuse("InvalidParameterValue", "All policies of a request need the same PolicyIndex.")
		}
		if index != nil {
			if *index < 0 || *index > int64(len(*list)) {
				return nil, tcRefuse("InvalidParameterValue.Range", "The PolicyIndex %d is not from 0 to %d.", *index, len(*list))
			}
			at = int(*index)
		}
	}
	return t.write(g, list, slices.Concat((*list)[:at:at], given, (*list)[at:]))
}

// write judges a group's new list and puts it in place of the old one.
func (t *Tencent) write(g *tcGroup, list *[]TencentPolicy, next []TencentPolicy) (map[string]any, *tcError) {
	now := t.opts.Now()
	seen := map[TencentPolicy]bool{}
	for i := range next {
		next[i].PolicyIndex, next[i].Priority = nil, nil
		if next[i].ModifyTime == "" {
			if refused := t.judge(g, &next[i]); refused != nil {
				return nil, refused
			}
			next[i].ModifyTime = tcTime(now)
		}
		key := next[i]
		key.ModifyTime, key.PolicyDescription = "", ""
		if seen[key] {
			return nil, tcRefuse("UnsupportedOperation.DuplicatePolicy", "The security group has this policy already.")
		}
		seen[key] = true
	}
	if len(next) > t.opts.Policies {
		return nil, tcRefuse("LimitExceeded.SecurityGroupPolicySet", "A security group has at most %d policies in one direction.", t.opts.Policies)
	}
	old := *list
	*list = next
	if refused := t.fits(g); refused != nil && len(next) >= len(old) {
		*list = old
		return nil, refused
	}
	g.version++
	g.updated = now
	return nil, nil
}

func (t *Tencent) deletePolicies(r tcRequest) (map[string]any, *tcError) {
	q, g, refused := t.open(r)
	if refused != nil {
		return nil, refused
	}
	given, list, refused := q.SecurityGroupPolicySet.direction(g)
	if refused != nil {
		return nil, refused
	}
	gone := map[int]bool{}
	for i := range given {
		if (given[i].PolicyIndex == nil) != (given[0].PolicyIndex == nil) {
			return nil, tcRefuse("InvalidParameter.Coexist", "Policies are deleted by PolicyIndex or by what they say, not both.")
		}
		at := slices.IndexFunc(*list, func(p TencentPolicy) bool { return given[i].same(p) })
		if index := given[i].PolicyIndex; index != nil {
			if at = int(*index); *index < 0 || *index >= int64(len(*list)) {
				return nil, tcRefuse("InvalidParameterValue.Range", "The PolicyIndex %d is not from 0 to %d.", *index, len(*list)-1)
			}
		}
		if at < 0 {
			return nil, tcRefuse("ResourceNotFound", "The security group has no such policy.")
		}
		gone[at] = true
	}
	var next []TencentPolicy
	for i, p := range *list {
		if !gone[i] {
			next = append(next, p)
		}
	}
	return t.write(g, list, next)
}

// same tells whether two policies say the same, whatever their descriptions.
func (p TencentPolicy) same(o TencentPolicy) bool {
	for _, one := range []*TencentPolicy{&p, &o} {
		one.PolicyIndex, one.Priority, one.ModifyTime, one.PolicyDescription = nil, nil, "", ""
		one.Protocol, one.Port = strings.ToUpper(one.Protocol), strings.ToUpper(one.Port)
	}
	return p == o
}

// replacePolicies changes what policies say at their places, UpdateType Policy; the stand-in moves none.
func (t *Tencent) replacePolicies(r tcRequest) (map[string]any, *tcError) {
	q, g, refused := t.open(r)
	if refused != nil {
		return nil, refused
	}
	if q.UpdateType != "" && q.UpdateType != "Policy" {
		return nil, tcRefuse("InvalidParameterValue.Invalid", "The stand-in knows no UpdateType %q.", q.UpdateType)
	}
	given, list, refused := q.SecurityGroupPolicySet.direction(g)
	if refused != nil {
		return nil, refused
	}
	next := slices.Clone(*list)
	for _, p := range given {
		if p.PolicyIndex == nil {
			return nil, tcRefuse("InvalidParameterValue.Empty", "A policy that is replaced needs a PolicyIndex.")
		}
		if *p.PolicyIndex < 0 || *p.PolicyIndex >= int64(len(next)) {
			return nil, tcRefuse("InvalidParameterValue.Range", "The PolicyIndex %d is not from 0 to %d.", *p.PolicyIndex, len(next)-1)
		}
		at := *p.PolicyIndex
		p.ModifyTime = ""
		next[at] = p
	}
	return t.write(g, list, next)
}

// modifyPolicies resets a group: all that is not in the request is gone, and everything with Version "0".
func (t *Tencent) modifyPolicies(r tcRequest) (map[string]any, *tcError) {
	q, g, refused := t.open(r)
	if refused != nil {
		return nil, refused
	}
	set := q.SecurityGroupPolicySet
	if set.Version != nil && *set.Version == "0" {
		g.ingress, g.egress = nil, nil
		g.version++
		return nil, nil
	}
	if len(set.Ingress) == 0 || len(set.Egress) == 0 {
		return nil, tcRefuse("InvalidParameterValue.Empty", "A reset needs both Ingress and Egress.")
	}
	was := *g
	for _, d := range []struct {
		list *[]TencentPolicy
		next []TencentPolicy
	}{{&g.ingress, set.Ingress}, {&g.egress, set.Egress}} {
		if _, refused := t.write(g, d.list, d.next); refused != nil {
			*g = was
			return nil, refused
		}
	}
	g.version = was.version + 1
	return nil, nil
}
