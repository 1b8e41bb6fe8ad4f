package awswaf

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
)

// protection is what is known of the resources that a web ACL protects.
type protection struct {
	resources []string // ARNs, in order
	disabled  int      // CloudFront distributions that use it and are switched off
	partial   bool     // there may be more: not every kind was asked for
	unknown   []string // in words, what could not be found out and what to do about it
}

// provedBefore is what the last proof has found and the next one asks about first.
type provedBefore struct {
	kind  types.ResourceType // a kind of resource that was protected
	using map[string]bool    // by id, the web ACLs that were read: whether they refer to our rule groups
	named *webACLPlace       // the web ACL that the target names
}

// alsoNeeds names what else AWS asks of the caller of ListResourcesForWebACL, by kind of resource
// (AWS WAF developer guide, "Permissions for ListResourcesForWebACL", the service authorization
// reference, and the AWS managed policy AWSWAFReadOnlyAccess).
var alsoNeeds = map[types.ResourceType]string{
	types.ResourceTypeApplicationLoadBalancer: "elasticloadbalancing:DescribeWebACLAssociation",
	types.ResourceTypeAppsync:                 "appsync:ListResourcesForWebACL",
	types.ResourceTypeCognitioUserPool:        "cognito-idp:ListResourcesForWebACL",
	types.ResourceTypeAppRunnerService:        "apprunner:ListAssociatedServicesForWebAcl",
	types.ResourceTypeVerifiedAccessInstance:  "ec2:DescribeVerifiedAccessInstanceWebAclAssociations",
	types.ResourceTypeAmplify:                 "amplify:ListResourcesForWebACL",
}

// kinds returns which kinds of resource a web ACL of the scope can protect, beside
// CloudFront's distributions. The list is the SDK's, so that new kinds come with it. An
// Amplify app is served by CloudFront and takes web ACLs of that scope.
func (f *Firewall) kinds() []types.ResourceType {
	if f.target.Scope == CloudFront {
		return []types.ResourceType{types.ResourceTypeAmplify}
	}
	all := types.ResourceType("").Values()
	// The kind that was found last is the likeliest.
	slices.SortStableFunc(all, func(a, b types.ResourceType) int {
		return firstIf(a == f.proved.kind, b == f.proved.kind)
	})
	return all
}

// protection finds out which resources the web ACL protects, a call for each kind. quick
// stops at the first kind that has one. An error means that nothing was found and that asking again may help.
func (f *Firewall) protection(ctx context.Context, webACL string, quick bool) (p protection, err error) {
	var passing error
	if f.target.Scope == CloudFront {
		list, err := f.distributions(ctx, webACL)
		for _, d := range list {
			if d.Enabled {
				p.resources = append(p.resources, d.ARN)
			} else {
				p.disabled++
			}
		}
		if err := p.note(err, "cloudfront:"+listDistributions, "CloudFront distributions"); err != nil {
			passing = err
		}
	}
	for _, kind := range f.kinds() {
		if quick && len(p.resources) > 0 {
			p.partial = true
			break
		}
		out, err := f.client.ListResourcesForWebACL(ctx, &wafv2.ListResourcesForWebACLInput{WebACLArn: &webACL, ResourceType: kind})
		if err == nil {
			if len(out.ResourceArns) > 0 {
				f.proved.kind = kind
			}
			p.resources = append(p.resources, out.ResourceArns...)
			continue
		}
		allow := "wafv2:ListResourcesForWebACL"
		if more := alsoNeeds[kind]; more != "" {
			allow += " and " + more
		}
		if err := p.note(fmt.Errorf("list resources for web acl: %w", mapError(err)), allow, "resources of kind "+string(kind)); err != nil {
			passing = err
		}
		if stopped(ctx, err) {
			break
		}
	}
	slices.Sort(p.resources)
	p.resources = slices.Compact(p.resources)
	p.partial = p.partial || len(p.unknown) > 0
	if len(p.resources) == 0 && passing != nil {
		return p, passing
	}
	return p, nil
}

// note puts an error into words; one that may pass by itself is returned too.
func (p *protection) note(err error, allow, what string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, waf.ErrDenied):
		p.unknown = append(p.unknown, fmt.Sprintf("whether it protects %s is not known: allow %s to the function's role", what, allow))
		return nil
	case errors.Is(err, waf.ErrInvalid):
		return nil // a kind that this Region does not have
	case code(err) == "WAFNonexistentItemException":
		p.unknown = append(p.unknown, fmt.Sprintf("whether it protects %s is not known: the web ACL is new, or gone", what))
		return nil
	}
	p.unknown = append(p.unknown, fmt.Sprintf("whether it protects %s is not known: no answer; the next proof asks again", what))
	return err
}

func stopped(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, waf.ErrOutOfTime)
}

// words says why a web ACL that protects nothing, as far as known, keeps nothing out.
func (p protection) words(title, scope string) []string {
	if len(p.resources) > 0 {
		return prefixed(title+": ", p.unknown)
	}
	if len(p.unknown) > 0 {
		return prefixed(title+" protects nothing that could be seen; ", p.unknown)
	}
	where := "a load balancer, an API or another resource of this Region"
	if scope == CloudFront {
		where = "a CloudFront distribution"
	}
	if p.disabled > 0 {
		return []string{fmt.Sprintf("%s protects only CloudFront distributions that are disabled (%d): enable one, or associate the web ACL with one that is", title, p.disabled)}
	}
	return []string{fmt.Sprintf("%s protects nothing: associate it with %s", title, where)}
}

// naming names a few of the resources.
func (p protection) naming() string {
	if len(p.resources) == 0 {
		return fmt.Sprintf("%d disabled CloudFront distributions", p.disabled)
	}
	return naming(p.resources)
}

func prefixed(prefix string, list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = prefix + s
	}
	return out
}

// some returns at most n of a list, and says that there are more.
func some(list []string, n int) []string {
	if len(list) <= n {
		return list
	}
	return append(slices.Clone(list[:n]), fmt.Sprintf("and %d more", len(list)-n))
}

// naming joins a few names for a sentence.
func naming(list []string) string { return strings.Join(some(list, 5), ", ") }
