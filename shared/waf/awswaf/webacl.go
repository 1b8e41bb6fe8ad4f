package awswaf

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
)

// maxReferences is AWS WAF's fixed number of reference statements (IP set, rule
// group and regex set together) per web ACL.
const maxReferences = 50

// webACLPlace is the place of mode web-acl: one rule of ours inside the user's own
// web ACL, of which everything else is carried over byte for byte.
type webACLPlace struct {
	*Firewall
	acl   *webACL // nil: there is none
	aclID string
	left  *leftRule // our rule as we left it; nil: not known
	// strangers are sets that are not ours and that somebody has put into our rule, of
	// which we know that it is ours.
	strangers []string
}

func (p *webACLPlace) title() string { return "web acl " + p.target.WebACL }
func (p *webACLPlace) exists() bool  { return p.acl != nil }

func (p *webACLPlace) id() string {
	if p.acl == nil {
		return ""
	}
	return p.acl.id
}

func (p *webACLPlace) refs() []string {
	if p.acl == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(p.acl.ourRefs(p.base)), func(arn string) bool { return slices.Contains(p.strangers, arn) })
}

func (p *webACLPlace) room() int {
	if p.acl == nil {
		return maxReferences
	}
	return maxReferences - p.acl.foreignRefs(p.base)
}

// ok implements place. Which of our sets the rule refers to is not judged here.
func (p *webACLPlace) ok() bool {
	if p.acl == nil || len(p.strangers) > 0 {
		return false
	}
	r := p.acl.ours(p.base)
	if r == nil {
		return p.bodyStands(false)
	}
	return r.priority == p.acl.priorityFor(p.base, p.target) && p.ruleStands(*r) && p.bodyStands(true)
}

func (p *webACLPlace) uses(arn string) bool { return p.acl != nil && p.acl.refersTo(arn) }

func (p *webACLPlace) check(ours map[string]bool, cameMeanwhile func(arn string) bool) error {
	if p.acl.managed {
		return errFirewallManager
	}
	return p.known(p.acl.checkOurs(p.base, ours, cameMeanwhile), ours)
}

// errFirewallManager: whatever is written into a web ACL that Firewall Manager made is undone by its next look.
var errFirewallManager = fmt.Errorf(`%w: Firewall Manager made this web acl and would undo our rule; set "mode" to "rule-group" and put the rule group into the Firewall Manager policy`, waf.ErrManaged)

func (p *webACLPlace) notes() []string {
	return append(p.acl.notes(p.base, p.target), p.acl.leftOfGroups(p.base)...)
}

// find implements place: p.acl is nil if there is no web ACL of the target's name.
func (p *webACLPlace) find(ctx context.Context, listed []types.IPSetSummary) error {
	p.acl, p.strangers = nil, nil
	id := p.aclID
	for _, s := range listed {
		if _, named, ok := parseDescription(aws.ToString(s.Description)); ok && id == "" {
			id = named
		}
	}
	if id != "" {
		err := p.getWebACL(ctx, id)
		if err == nil || code(err) != "WAFNonexistentItemException" {
			return err
		}
		// Deleted and perhaps made anew under the same name since.
	}
	id, err := p.searchWebACL(ctx)
	if err != nil || id == "" {
		p.aclID = ""
		return err
	}
	return p.getWebACL(ctx, id)
}

func (p *webACLPlace) getWebACL(ctx context.Context, id string) error {
	var raw []byte
	out, err := p.client.GetWebACL(ctx, &wafv2.GetWebACLInput{Name: &p.target.WebACL, Id: &id, Scope: p.scope()}, keepAnswer(&raw))
	if err != nil {
		return fmt.Errorf("get web acl %s: %w", p.target.WebACL, mapError(err))
	}
	acl, err := parseWebACL(raw)
	if err != nil {
		return fmt.Errorf("get web acl %s: %w", p.target.WebACL, err)
	}
	acl.id, acl.token = id, aws.ToString(out.LockToken)
	p.acl, p.aclID = acl, id
	return nil
}

// searchWebACL returns the id of the web ACL by its name, "" if there is none.
func (p *webACLPlace) searchWebACL(ctx context.Context) (id string, err error) {
	var marker *string
	seen := map[string]bool{}
	for range maxPages {
		out, err := p.client.ListWebACLs(ctx, &wafv2.ListWebACLsInput{Scope: p.scope(), Limit: aws.Int32(pageSize), NextMarker: marker})
		if err != nil {
			return "", fmt.Errorf("list web acls: %w", mapError(err))
		}
		for _, s := range out.WebACLs {
			if aws.ToString(s.Name) == p.target.WebACL {
				return aws.ToString(s.Id), nil
			}
		}
		next := aws.ToString(out.NextMarker)
		if next == "" || len(out.WebACLs) == 0 || seen[next] {
			return "", nil
		}
		seen[next] = true
		marker = out.NextMarker
	}
	return "", fmt.Errorf("list web acls: %w: no end after %d pages", waf.ErrUnavailable, maxPages)
}

// merge returns the web ACL as it shall be, with our rule referring to arns, at its
// place if it is there, and with our custom response body if the rule needs it; and whether that is a
// change. All that is not ours are the bytes that we got.
func (p *webACLPlace) merge(arns []string) (next *webACL, changed bool, err error) {
	next = &webACL{id: p.acl.id, token: p.acl.token, fields: maps.Clone(p.acl.fields), managed: p.acl.managed, retrofitted: p.acl.retrofitted}
	raw := p.ourRule(arns, p.acl.priorityFor(p.base, p.target))
	var ours *aclRule
	if raw != nil {
		rule, err := parseRule(raw)
		if err != nil {
			return nil, false, err
		}
		ours = &rule
	}
	there := false
	for _, r := range p.acl.rules {
		if r.name != p.base {
			next.rules = append(next.rules, r)
			continue
		}
		there = true
		if ours != nil {
			next.rules = append(next.rules, *ours)
		}
		changed = ours == nil || refsKey(r.ipSets) != refsKey(arns) || !p.ok()
	}
	if !there && ours != nil {
		next.rules = append(next.rules, *ours)
		changed = true
	}
	if p.bodyStands(ours != nil) {
		return next, changed, nil
	}
	bodies, err := p.withBody(p.acl.fields[bodiesField], ours != nil)
	if err != nil {
		return nil, false, err
	}
	next.fields[bodiesField] = bodies // an empty one is not sent
	return next, true, nil
}

// bodyStands tells whether our custom response body is in the web ACL as a rule of ours
// needs it, or without a rule is not. One that a rule of the user's has come to use stays.
func (p *webACLPlace) bodyStands(withRule bool) bool {
	standing := p.acl.fields[bodiesField]
	if withRule && p.bodies() != nil {
		return p.bodiesStand(standing)
	}
	return !hasBody(standing, p.base) || p.acl.answersWith(p.base)
}

// write implements place.
func (p *webACLPlace) write(ctx context.Context, arns []string) error {
	if p.acl == nil {
		return p.createWebACL(ctx, arns)
	}
	if p.acl.managed {
		return errFirewallManager
	}
	next, changed, err := p.merge(arns)
	if err != nil || !changed {
		return err
	}
	out, err := p.client.UpdateWebACL(ctx, &wafv2.UpdateWebACLInput{
		// Only what the SDK itself insists on; the body that is sent is ours.
		Name: &p.target.WebACL, Id: &p.acl.id, Scope: p.scope(), LockToken: &p.acl.token,
		DefaultAction: &types.DefaultAction{}, VisibilityConfig: storyVisibility(p.target.WebACL),
	}, sendBody(next.request(p.target, next.raws())))
	if err != nil {
		return mapError(err)
	}
	next.token = aws.ToString(out.NextLockToken)
	p.acl, p.strangers = next, nil
	p.note()
	return nil
}

// createWebACL makes the web ACL as the founding story does: default action Allow,
// sampled requests and metrics on, metric <name>ACLMetric.
func (p *webACLPlace) createWebACL(ctx context.Context, arns []string) error {
	p.acl = nil
	next := &webACL{fields: map[string]json.RawMessage{
		"DefaultAction":    json.RawMessage(`{"Allow":{}}`),
		"VisibilityConfig": mustMarshal(visibility{true, true, *storyVisibility(p.target.WebACL).MetricName}),
	}}
	if raw := p.ourRule(arns, next.priorityFor(p.base, p.target)); raw != nil {
		rule, err := parseRule(raw)
		if err != nil {
			return err
		}
		next.rules = append(next.rules, rule)
		if bodies := p.bodies(); bodies != nil {
			next.fields[bodiesField] = bodies
		}
	}
	body := maps.Clone(next.fields)
	body["Name"], body["Scope"], body["Rules"] = quote(p.target.WebACL), quote(p.target.Scope), joinRaw(next.raws())
	body["Tags"] = mustMarshal([]map[string]string{{"Key": tagKey, "Value": p.target.Name}})
	out, err := p.client.CreateWebACL(ctx, &wafv2.CreateWebACLInput{
		Name: &p.target.WebACL, Scope: p.scope(),
		DefaultAction: &types.DefaultAction{}, VisibilityConfig: storyVisibility(p.target.WebACL),
	}, sendBody(object(body)))
	if err != nil {
		return mapError(err)
	}
	next.id, next.token = aws.ToString(out.Summary.Id), aws.ToString(out.Summary.LockToken)
	p.acl, p.aclID, p.strangers = next, next.id, nil
	p.note()
	return nil
}

func storyVisibility(webACL string) *types.VisibilityConfig {
	return &types.VisibilityConfig{
		SampledRequestsEnabled: true, CloudWatchMetricsEnabled: true, MetricName: aws.String(webACL + "ACLMetric"),
	}
}
