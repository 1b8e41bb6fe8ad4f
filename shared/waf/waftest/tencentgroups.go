package waftest

import (
	"slices"
	"strconv"
	"strings"
)

func (t *Tencent) describeGroups(r tcRequest) (map[string]any, *tcError) {
	var q struct {
		SecurityGroupIds           []string
		Filters                    []tcFilter
		Offset, Limit              string
		OrderField, OrderDirection string
	}
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	if len(q.SecurityGroupIds) > 0 && len(q.Filters) > 0 {
		return nil, tcRefuse("InvalidParameter.Coexist", "SecurityGroupIds and Filters exclude each other.")
	}
	if len(q.SecurityGroupIds) > 100 {
		return nil, tcRefuse("InvalidParameterValue.LimitExceeded", "At most 100 SecurityGroupIds.")
	}
	meets, refused := tcFilters(q.Filters, map[string]func(*tcGroup, string) bool{
		"security-group-id":   func(g *tcGroup, v string) bool { return g.id == v },
		"security-group-name": func(g *tcGroup, v string) bool { return g.name == v },
		"project-id":          func(_ *tcGroup, v string) bool { return v == "0" },
	})
	if refused != nil {
		return nil, refused
	}
	for _, id := range q.SecurityGroupIds {
		if _, refused := t.group(r.region, id); refused != nil {
			return nil, refused
		}
	}
	set := []map[string]any{}
	for _, id := range sortedKeys(t.groups) {
		g := t.groups[id]
		if g.region != r.region || !meets(g) || len(q.SecurityGroupIds) > 0 && !slices.Contains(q.SecurityGroupIds, id) {
			continue
		}
		set = append(set, map[string]any{
			"SecurityGroupId": g.id, "SecurityGroupName": g.name, "SecurityGroupDesc": "", "ProjectId": "0", "IsDefault": false,
			"CreatedTime": tcTime(g.created), "UpdateTime": tcTime(g.updated), "TagSet": []any{},
		})
	}
	page, refused := tcPage(set, q.Offset, q.Limit)
	if refused != nil {
		return nil, refused
	}
	return map[string]any{"TotalCount": len(set), "SecurityGroupSet": page}, nil
}

func (t *Tencent) describePolicies(r tcRequest) (map[string]any, *tcError) {
	var q struct {
		SecurityGroupId string //nolint:staticcheck // named as on the wire
		Filters         []tcFilter
	}
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	g, refused := t.group(r.region, q.SecurityGroupId)
	if refused != nil {
		return nil, refused
	}
	type one struct {
		TencentPolicy
		inbound bool
	}
	meets, refused := tcFilters(q.Filters, map[string]func(one, string) bool{
		"security-group-id": func(p one, v string) bool { return p.SecurityGroupId == v },
		"ip":                func(p one, v string) bool { return strings.Contains(p.CidrBlock+" "+p.Ipv6CidrBlock, v) },
		"address-module": func(p one, v string) bool {
			return p.AddressTemplate.AddressId == v || p.AddressTemplate.AddressGroupId == v
		},
		"protocol-type": func(p one, v string) bool { return v == "ALL" || p.Protocol == v },
		"poly":          func(p one, v string) bool { return v == "ALL" || p.Action == v },
		"direction":     func(p one, v string) bool { return v == "ALL" || (v == "INBOUND") == p.inbound },
		"description":   func(p one, v string) bool { return strings.Contains(p.PolicyDescription, v) },
	})
	if refused != nil {
		return nil, refused
	}
	show := func(list []TencentPolicy, inbound bool) []TencentPolicy {
		shown := []TencentPolicy{}
		for i, p := range list {
			if index := int64(i); meets(one{p, inbound}) {
				p.PolicyIndex = &index // its place among all, also when filters leave some out
				p.CidrBlock, p.Ipv6CidrBlock = t.form(p.CidrBlock), t.form(p.Ipv6CidrBlock)
				shown = append(shown, p)
			}
		}
		return shown
	}
	return map[string]any{"SecurityGroupPolicySet": map[string]any{
		"Version": strconv.Itoa(g.version), "Ingress": show(g.ingress, true), "Egress": show(g.egress, false),
	}}, nil
}

// form writes an address as it is read back.
func (t *Tencent) form(s string) string {
	if t.opts.Form == nil || s == "" {
		return s
	}
	return t.opts.Form(s)
}

func (t *Tencent) describeGroupLimits(r tcRequest) (map[string]any, *tcError) {
	if refused := tcDecode(r.body, &struct{}{}); refused != nil {
		return nil, refused
	}
	return map[string]any{"SecurityGroupLimitSet": map[string]any{
		"SecurityGroupLimit": 50, "SecurityGroupPolicyLimit": t.opts.Policies, "ReferedSecurityGroupLimit": 10,
		"SecurityGroupInstanceLimit": 2000, "InstanceSecurityGroupLimit": 5, "SecurityGroupExtendedPolicyLimit": t.opts.Expanded,
		"SecurityGroupReferedCvmAndEniLimit": 1000, "SecurityGroupReferedSvcLimit": 0,
	}}, nil
}

// expanded returns how many policies a list is once its templates are written out.
func (t *Tencent) expanded(list []TencentPolicy) (n int) {
	for _, p := range list {
		n += max(1, len(t.members(p.AddressTemplate)))
	}
	return n
}

// members returns what a reference to a template or a group of templates stands for.
func (t *Tencent) members(ref TencentAddressTemplate) (members []tcMember) {
	ids := []string{ref.AddressId}
	if set := t.sets[ref.AddressGroupId]; set != nil {
		ids = set.templates
	}
	for _, id := range ids {
		if one := t.templates[id]; one != nil {
			members = append(members, one.members...)
		}
	}
	return members
}

// fits judges a group's size against the quotas that count what templates stand for.
func (t *Tencent) fits(g *tcGroup) *tcError {
	in, out := t.expanded(g.ingress), t.expanded(g.egress)
	if max(in, out) > t.opts.Expanded {
		return tcRefuse("LimitExceeded", "The security group %s has more than %d policies after its templates are written out.", g.id, t.opts.Expanded)
	}
	for _, b := range t.balancers {
		if slices.Contains(b.groups, g.id) && in+out > t.opts.BalancerExpanded {
			return tcRefuse("UnsupportedOperation.ClbPolicyExceedLimit", "The security group %s is bound to a load balancer and has more than %d policies after its templates are written out.", g.id, t.opts.BalancerExpanded)
		}
	}
	return nil
}

// allFit judges all groups, after a template changed.
func (t *Tencent) allFit() *tcError {
	for _, id := range sortedKeys(t.groups) {
		if refused := t.fits(t.groups[id]); refused != nil {
			return tcRefuse("LimitExceeded", "%s", refused.Message)
		}
	}
	return nil
}
