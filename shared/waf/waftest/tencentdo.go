package waftest

import "time"

// tcOperation carries one action out.
type tcOperation func(tcRequest) (map[string]any, *tcError)

// operations says who carries out what.
func (t *Tencent) operations(service string) map[string]tcOperation {
	switch service {
	case tcVPC:
		return map[string]tcOperation{
			"DescribeSecurityGroups": t.describeGroups, "DescribeSecurityGroupPolicies": t.describePolicies, "DescribeSecurityGroupLimits": t.describeGroupLimits,
			"CreateSecurityGroupPolicies": t.createPolicies, "DeleteSecurityGroupPolicies": t.deletePolicies,
			"ReplaceSecurityGroupPolicies": t.replacePolicies, "ModifySecurityGroupPolicies": t.modifyPolicies,
			"CreateAddressTemplate": t.createTemplate, "ModifyAddressTemplateAttribute": t.modifyTemplate,
			"DescribeAddressTemplates": t.describeTemplates, "DeleteAddressTemplate": t.deleteTemplate,
			"AddTemplateMember": t.addMembers, "DeleteTemplateMember": t.deleteMembers,
			"CreateAddressTemplateGroup": t.createTemplateGroup, "ModifyAddressTemplateGroupAttribute": t.modifyTemplateGroup,
			"DescribeAddressTemplateGroups": t.describeTemplateGroups, "DeleteAddressTemplateGroup": t.deleteTemplateGroup,
			"DescribeTemplateLimits":                     t.describeTemplateLimits,
			"DescribeSecurityGroupAssociationStatistics": t.describeAssociations,
		}
	case tcCLB:
		return map[string]tcOperation{
			"DescribeLoadBalancers": t.describeBalancers, "SetSecurityGroupForLoadbalancers": t.bindGroup,
			"SetLoadBalancerSecurityGroups": t.setBalancerGroups,
		}
	case tcWAF:
		return map[string]tcOperation{
			"CreateIpAccessControl": t.createAccess, "ModifyIpAccessControl": t.modifyAccess, "DeleteIpAccessControlV2": t.deleteAccess,
			"DescribeIpAccessControl": t.describeAccess, "DescribeInstances": t.describeInstances, "DescribeDomains": t.describeDomains,
			"DescribeModuleStatus": t.describeModules,
		}
	}
	return nil
}

// do carries one call out.
func (t *Tencent) do(r tcRequest) (result map[string]any, changed bool, refused *tcError) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if refused := t.throttle(r); refused != nil {
		return nil, false, refused
	}
	if refused := t.permit(r); refused != nil {
		return nil, false, refused
	}
	result, refused = t.operations(r.service)[r.action](r)
	return result, refused == nil && TencentCall{Action: r.action}.Write(), refused
}

// tcRate is how much of one action's rate is used.
type tcRate struct {
	second time.Time // when the current second began
	calls  int
}

// throttle judges a call against its action's rate. A call that is refused takes nothing from it.
func (t *Tencent) throttle(r tcRequest) *tcError {
	if t.opts.Rate <= 0 {
		return nil
	}
	key, now := r.service+" "+r.action+" "+r.region, t.opts.Now()
	rate := t.rates[key]
	if rate == nil || now.Sub(rate.second) >= time.Second {
		rate = &tcRate{second: now}
		t.rates[key] = rate
	}
	if rate.calls >= t.opts.Rate {
		return tcRefuse("RequestLimitExceeded", "Your current request times equals to %d in a second, which exceeds the frequency limit %d for a second. Please reduce the frequency of calls.", rate.calls+1, t.opts.Rate)
	}
	rate.calls++
	return nil
}

// Throttled returns how many of Calls were answered with RequestLimitExceeded.
func (t *Tencent) Throttled() (n int) {
	for _, call := range t.Calls() {
		if call.Code == "RequestLimitExceeded" {
			n++
		}
	}
	return n
}
