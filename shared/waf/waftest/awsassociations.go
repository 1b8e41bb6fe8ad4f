package waftest

import (
	"fmt"
	"slices"
	"strings"
)

// resourceTypes is what AWS calls the resources that a web ACL can protect, by what
// their ARNs begin with after Region and account.
var resourceTypes = []struct{ service, prefix, kind string }{
	{"elasticloadbalancing", "loadbalancer/app/", "APPLICATION_LOAD_BALANCER"},
	{"apigateway", "/restapis/", "API_GATEWAY"},
	{"appsync", "apis/", "APPSYNC"},
	{"cognito-idp", "userpool/", "COGNITO_USER_POOL"},
	{"apprunner", "service/", "APP_RUNNER_SERVICE"},
	{"ec2", "verified-access-instance/", "VERIFIED_ACCESS_INSTANCE"},
	{"amplify", "apps/", "AMPLIFY"},
}

// resourceType returns the kind of a resource in a Region, "" if a web ACL cannot protect it.
func resourceType(resource, region string) string {
	parts := strings.SplitN(resource, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[3] != region {
		return ""
	}
	for _, t := range resourceTypes {
		if parts[2] == t.service && strings.HasPrefix(parts[5], t.prefix) {
			return t.kind
		}
	}
	return ""
}

func (a *AWS) associate(r request) (any, *apiError) {
	acl, refused := a.aclByARN(r, r.str("WebACLArn"))
	if refused != nil {
		return nil, refused
	}
	resource := r.str("ResourceArn")
	if resourceType(resource, r.region) == "" || strings.Contains(acl.arn, ":global/") {
		return nil, invalid("RESOURCE_ARN", resource, "The ARN isn't valid. A valid ARN begins with arn: and includes other information separated by colons or slashes.")
	}
	a.homes[resource] = acl.arn
	return map[string]any{}, nil
}

func (a *AWS) disassociate(r request) (any, *apiError) {
	resource := r.str("ResourceArn")
	if resourceType(resource, r.region) == "" {
		return nil, invalid("RESOURCE_ARN", resource, "The ARN isn't valid. A valid ARN begins with arn: and includes other information separated by colons or slashes.")
	}
	delete(a.homes, resource)
	return map[string]any{}, nil
}

func (a *AWS) listResources(r request) (any, *apiError) {
	acl, refused := a.aclByARN(r, r.str("WebACLArn"))
	if refused != nil {
		return nil, refused
	}
	if strings.Contains(acl.arn, ":global/") {
		return nil, invalid("RESOURCE_ARN", acl.arn, "CloudFront's distributions are asked of CloudFront.")
	}
	kind := r.str("ResourceType")
	switch {
	case kind == "":
		kind = "APPLICATION_LOAD_BALANCER"
	case !slices.ContainsFunc(resourceTypes, func(t struct{ service, prefix, kind string }) bool { return t.kind == kind }):
		return nil, refuse("ValidationException", "Value '%s' at 'resourceType' failed to satisfy constraint: Member must satisfy enum value set", kind)
	}
	list := []string{}
	for resource, home := range a.homes {
		if home == acl.arn && resourceType(resource, r.region) == kind {
			list = append(list, resource)
		}
	}
	slices.Sort(list)
	return map[string]any{"ResourceArns": list}, nil
}

func (a *AWS) deleteWebACL(r request) (any, *apiError) {
	acl, refused := a.findACL(r)
	if refused != nil {
		return nil, refused
	}
	if refused := checkToken(r, acl.token); refused != nil {
		return nil, refused
	}
	if acl.managed != nil {
		return nil, refuse("WAFInvalidOperationException", "AWS WAF couldn't delete the web ACL because Firewall Manager manages it.")
	}
	for _, home := range a.homes {
		if home == acl.arn {
			return nil, errAssociated()
		}
	}
	for _, d := range a.sites[r.account] {
		if d.acl == acl.arn {
			return nil, errAssociated()
		}
	}
	delete(a.in(r.space()).acls, acl.name)
	delete(a.tags, acl.arn)
	return map[string]any{}, nil
}

// Associate lets a regional web ACL protect a resource, which any other one then does no more.
func (v *View) Associate(region, acl, resource string) error {
	v.aws.mu.Lock()
	defer v.aws.mu.Unlock()
	_, found, err := v.webACL(region, "REGIONAL", acl)
	if err != nil {
		return err
	}
	r := request{account: v.account, region: region}.with("WebACLArn", found.arn).with("ResourceArn", resource)
	if _, refused := v.aws.associate(r); refused != nil {
		return fmt.Errorf("associate %s: %w", resource, refused)
	}
	return nil
}

// Disassociate takes a resource of the Region out of its web ACL's protection.
func (v *View) Disassociate(resource string) {
	v.aws.mu.Lock()
	defer v.aws.mu.Unlock()
	delete(v.aws.homes, resource)
}

// ARN returns the ARN of a web ACL.
func (v *View) ARN(region, scope, acl string) (string, error) {
	v.aws.mu.Lock()
	defer v.aws.mu.Unlock()
	_, found, err := v.webACL(region, scope, acl)
	if err != nil {
		return "", err
	}
	return found.arn, nil
}
