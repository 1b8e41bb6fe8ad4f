package waftest

import "slices"

// operations says who carries out what.
func (a *AWS) operations(service string) map[string]func(request) (any, *apiError) {
	switch service {
	case serviceSTS:
		return map[string]func(request) (any, *apiError){"AssumeRole": a.assumeRole}
	case serviceCloudFront:
		return map[string]func(request) (any, *apiError){"ListDistributionsByWebACLId": a.listDistributions}
	}
	return map[string]func(request) (any, *apiError){
		"CreateIPSet": a.createIPSet, "GetIPSet": a.getIPSet, "UpdateIPSet": a.updateIPSet, "DeleteIPSet": a.deleteIPSet, "ListIPSets": a.listIPSets,
		"CreateRuleGroup": a.createGroup, "GetRuleGroup": a.getGroup, "UpdateRuleGroup": a.updateGroup, "DeleteRuleGroup": a.deleteGroup, "ListRuleGroups": a.listGroups,
		"CreateWebACL": a.createWebACL, "GetWebACL": a.getWebACL, "UpdateWebACL": a.updateWebACL, "ListWebACLs": a.listWebACLs,
		"DeleteWebACL": a.deleteWebACL, "AssociateWebACL": a.associate, "DisassociateWebACL": a.disassociate, "ListResourcesForWebACL": a.listResources,
		"CheckCapacity": a.checkCapacity,
		"TagResource":   a.tagResource, "UntagResource": a.untagResource, "ListTagsForResource": a.listTags,
	}
}

// do carries one call out.
func (a *AWS) do(r request) (result any, changed bool, refused *apiError) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if refused := a.permit(r); refused != nil {
		return nil, false, refused
	}
	if refused := a.throttle(r); refused != nil {
		return nil, false, refused
	}
	f := a.operations(r.service)[r.op]
	if f == nil {
		return nil, false, refuse("UnknownOperationException", "the stand-in does not know %s", r.op)
	}
	if refused := checkScope(r); refused != nil {
		return nil, false, refused
	}
	result, refused = f(r)
	changed = refused == nil && Call{Op: r.op}.Write()
	if changed {
		a.record(r.space())
	}
	return result, changed, refused
}

// unscoped are the operations that go by ARN alone; byARN may.
var (
	unscoped = []string{
		"TagResource", "UntagResource", "ListTagsForResource", "AssociateWebACL", "DisassociateWebACL", "ListResourcesForWebACL",
	}
	byARN = []string{"GetWebACL", "GetRuleGroup"}
)

func checkScope(r request) *apiError {
	if r.service != serviceWAF || slices.Contains(unscoped, r.op) || slices.Contains(byARN, r.op) && r.str("ARN") != "" && r.str("Scope") == "" {
		return nil
	}
	switch scope := r.str("Scope"); {
	case scope != "REGIONAL" && scope != "CLOUDFRONT":
		return refuse("ValidationException", "1 validation error detected: Value at 'scope' failed to satisfy constraint: Member must satisfy enum value set: [REGIONAL, CLOUDFRONT]")
	case scope == "CLOUDFRONT" && r.region != "us-east-1":
		return invalid("SCOPE_VALUE", "CLOUDFRONT", "The scope is not valid.")
	}
	return nil
}
