package awswaf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
)

// maxPerReference is what a reference to an IP set may cost by AWS's documentation,
// in WCU: 1, and 4 more when all addresses of a header are looked at. It is for a
// group that is made while there is no set to ask CheckCapacity with.
const maxPerReference = 5

// all returns the groups that exist and, without an id, those that are to be made, in order of number.
func (p *ruleGroupPlace) all() []*ruleGroup {
	groups := slices.Clone(p.groups)
	for n := 1; n <= p.configured(); n++ {
		if !slices.ContainsFunc(groups, func(g *ruleGroup) bool { return g.number == n }) {
			groups = append(groups, &ruleGroup{number: n, groupMemory: groupMemory{Name: p.groupName(n)}})
		}
	}
	slices.SortFunc(groups, func(a, b *ruleGroup) int { return a.number - b.number })
	return groups
}

// shares returns every group's part as it stands. Places for exceptions sets are kept
// free where there may be any.
func (p *ruleGroupPlace) shares(excepts []string) []share {
	groups := p.all()
	shares := make([]share, len(groups))
	kept := len(excepts)
	if p.target.canExcept() {
		kept = max(kept, exceptPlaces)
	}
	for i, g := range groups {
		shares[i].blocks, _ = splitRefs(g.Refs)
		if g.number <= p.configured() && g.notOurs() == "" {
			shares[i].room = p.references - kept
		}
	}
	return shares
}

// change is one write of a group.
type change struct {
	group *ruleGroup
	refs  []string
	loses bool // it does nothing but take references away
}

// write implements place. Each changed group costs one call. Those that only lose
// references come last, so that a failure on the way has taken nothing away.
func (p *ruleGroupPlace) write(ctx context.Context, arns []string) error {
	changes, err := p.changes(arns)
	if err != nil {
		return err
	}
	var foreign []error
	for _, last := range []bool{false, true} {
		for _, c := range changes {
			if c.loses != last {
				continue
			}
			if why := c.group.notOurs(); why != "" {
				foreign = append(foreign, fmt.Errorf("rule group %s: %w: %s, which an update would drop: move that to a rule group of your own", c.group.Name, waf.ErrForeign, why))
				continue
			}
			if err := p.writeGroup(ctx, c.group, c.refs); err != nil {
				return err
			}
		}
	}
	return errors.Join(foreign...)
}

// changes compares the groups as they stand with what they shall be.
func (p *ruleGroupPlace) changes(arns []string) ([]change, error) {
	blocks, excepts := splitRefs(arns)
	parts, err := spread(p.shares(excepts), blocks)
	if err != nil {
		return nil, err
	}
	form := p.form()
	var changes []change
	for i, g := range p.all() {
		refs := parts[i]
		if len(refs) > 0 {
			refs = append(slices.Clone(refs), excepts...)
		}
		if len(refs) > p.references {
			return nil, fmt.Errorf("rule group %s: %w: %d references, AWS WAF takes %d", g.Name, waf.ErrQuota, len(refs), p.references)
		}
		asConfigured := g.ID != "" && g.described && (len(refs) == 0 || g.Form == form)
		if asConfigured && refsKey(refs) == refsKey(g.Refs) {
			continue
		}
		gains := slices.ContainsFunc(refs, func(arn string) bool { return !slices.Contains(g.Refs, arn) })
		changes = append(changes, change{group: g, refs: refs, loses: asConfigured && !gains})
	}
	return changes, nil
}

// writeGroup makes one group, or makes it anew as it shall be.
func (p *ruleGroupPlace) writeGroup(ctx context.Context, g *ruleGroup, refs []string) error {
	if g.ID == "" {
		return p.createGroup(ctx, g, refs)
	}
	body := p.groupRequest(g.Name, refs)
	body["Id"], body["LockToken"] = quote(g.ID), quote(g.Token)
	out, err := p.client.UpdateRuleGroup(ctx, &wafv2.UpdateRuleGroupInput{
		// Only what the SDK itself insists on; the body that is sent is ours.
		Name: &g.Name, Id: &g.ID, Scope: p.scope(), LockToken: &g.Token, VisibilityConfig: p.groupVisibility(g.Name),
	}, sendBody(object(body)))
	if overCapacity(err) {
		return fmt.Errorf("rule group %s: %w: its capacity of %d WCU was fixed when it was made, and the rule as configured now costs more: take the last change of its settings back; or let the target run in mode web-acl for a while, which shares the sets, detach mode rule-group and return to it: %w",
			g.Name, waf.ErrQuota, g.Capacity, err)
	}
	if err != nil {
		return fmt.Errorf("rule group %s: %w", g.Name, mapError(err))
	}
	p.stands(g, aws.ToString(out.NextLockToken), refs)
	return nil
}

// overCapacity tells that a rule costs more than its group has. AWS calls that an
// invalid parameter; that it is one of the group's settings shows only in the words.
func overCapacity(err error) bool {
	var invalid *types.WAFInvalidParameterException
	return code(err) == "WAFLimitsExceededException" ||
		errors.As(err, &invalid) && strings.Contains(strings.ToLower(aws.ToString(invalid.Reason)+" "+invalid.ErrorMessage()), "capacity limit")
}

// createGroup asks what the references cost and makes the group with room for all that it may ever have.
func (p *ruleGroupPlace) createGroup(ctx context.Context, g *ruleGroup, refs []string) error {
	capacity, err := p.capacityFor(ctx, refs)
	if err != nil {
		return fmt.Errorf("check capacity of rule group %s: %w", g.Name, mapError(err))
	}
	body := p.groupRequest(g.Name, refs)
	body["Capacity"] = mustMarshal(capacity)
	body["Tags"] = mustMarshal([]map[string]string{{"Key": tagKey, "Value": p.target.Name}})
	out, err := p.client.CreateRuleGroup(ctx, &wafv2.CreateRuleGroupInput{
		Name: &g.Name, Scope: p.scope(), Capacity: aws.Int64(int64(capacity)), VisibilityConfig: p.groupVisibility(g.Name),
	}, sendBody(object(body)))
	if err != nil {
		return fmt.Errorf("rule group %s: %w", g.Name, mapError(err))
	}
	g.ID, g.ARN, g.Capacity = aws.ToString(out.Summary.Id), aws.ToString(out.Summary.ARN), capacity
	p.groups = append(p.groups, g)
	slices.SortFunc(p.groups, func(a, b *ruleGroup) int { return a.number - b.number })
	p.stands(g, aws.ToString(out.Summary.LockToken), refs)
	return nil
}

// capacityFor returns the capacity to declare: room for as many references as a group
// may have, at the price of those at hand.
func (p *ruleGroupPlace) capacityFor(ctx context.Context, refs []string) (int, error) {
	if p.perReference == 0 && len(refs) > 0 {
		body := object(map[string]json.RawMessage{
			"Scope": quote(p.target.Scope), "Rules": joinRaw([]json.RawMessage{p.plainRule(refs)}),
		})
		out, err := p.client.CheckCapacity(ctx, &wafv2.CheckCapacityInput{Scope: p.scope(), Rules: []types.Rule{}}, sendBody(body))
		if err != nil {
			return 0, err
		}
		p.perReference = max(1, (int(out.Capacity)+len(refs)-1)/len(refs))
	}
	if p.perReference == 0 {
		return maxPerReference * groupReferences, nil
	}
	return p.perReference * groupReferences, nil
}

// stands takes over what was just written.
func (p *ruleGroupPlace) stands(g *ruleGroup, token string, refs []string) {
	g.Token, g.Refs, g.Form, g.described = token, refs, "", true
	if len(refs) > 0 {
		g.Form = p.form()
	}
	p.known[g.ID] = g.groupMemory
	if p.left == nil {
		p.left = map[string]groupMemory{}
	}
	p.left[g.ID] = g.groupMemory
}

// groupRequest is what an update and a create have in common.
func (p *ruleGroupPlace) groupRequest(name string, refs []string) map[string]json.RawMessage {
	var rules []json.RawMessage
	if len(refs) > 0 {
		rules = append(rules, p.groupRule(refs))
	}
	body := map[string]json.RawMessage{
		"Name": quote(name), "Scope": quote(p.target.Scope), "Rules": joinRaw(rules),
		"Description":      quote(groupDescription(p.target.Name)),
		"VisibilityConfig": mustMarshal(visibility{true, true, *p.groupVisibility(name).MetricName}),
	}
	if bodies := p.bodies(); bodies != nil && len(rules) > 0 {
		body[bodiesField] = bodies
	}
	return body
}

func (p *ruleGroupPlace) groupVisibility(name string) *types.VisibilityConfig {
	return &types.VisibilityConfig{SampledRequestsEnabled: true, CloudWatchMetricsEnabled: true, MetricName: aws.String(name + "_Group")}
}
