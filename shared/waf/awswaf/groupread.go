package awswaf

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
)

// listGroups returns the summaries of all rule groups with our names. As with IP
// sets, a page that is not full ends the list, unless a group is missing or all must be found.
func (p *ruleGroupPlace) listGroups(ctx context.Context) (ours []types.RuleGroupSummary, err error) {
	var marker *string
	seen := map[string]bool{}
	for range maxPages {
		out, err := p.client.ListRuleGroups(ctx, &wafv2.ListRuleGroupsInput{Scope: p.scope(), Limit: aws.Int32(pageSize), NextMarker: marker})
		if err != nil {
			return nil, fmt.Errorf("list rule groups: %w", mapError(err))
		}
		for _, s := range out.RuleGroups {
			if p.number(aws.ToString(s.Name)) > 0 {
				ours = append(ours, s)
			}
		}
		next := aws.ToString(out.NextMarker)
		end := len(out.RuleGroups) < pageSize && len(ours) >= p.configured() && !p.thorough
		if end || next == "" || len(out.RuleGroups) == 0 || seen[next] {
			return ours, nil
		}
		seen[next] = true
		marker = out.NextMarker
	}
	return nil, fmt.Errorf("list rule groups: %w: no end after %d pages", waf.ErrUnavailable, maxPages)
}

// adopt returns the group of a summary, nil if it is neither ours nor in our way.
func (p *ruleGroupPlace) adopt(ctx context.Context, s types.RuleGroupSummary) (*ruleGroup, error) {
	name, arn, description := aws.ToString(s.Name), aws.ToString(s.ARN), aws.ToString(s.Description)
	g := &ruleGroup{number: p.number(name), described: description == groupDescription(p.target.Name)}
	if !describesGroup(description, p.target.Name) {
		mine, err := p.tagged(ctx, arn)
		if err != nil {
			return nil, fmt.Errorf("list tags of rule group %s: %w", name, err)
		}
		if !mine && g.number > p.configured() {
			return nil, nil
		}
		if !mine {
			return nil, fmt.Errorf("rule group %s: %w: it carries neither our description nor the tag %s=%s; delete it, or give the target another name",
				name, waf.ErrForeign, tagKey, p.target.Name)
		}
	}
	id := aws.ToString(s.Id)
	if m, ok := p.known[id]; ok && m.Token == aws.ToString(s.LockToken) && m.Name == name {
		g.groupMemory = m
		return g, nil
	}
	var err error
	g.groupMemory, err = p.readGroup(ctx, name, id)
	if err != nil {
		return nil, fmt.Errorf("get rule group %s: %w", name, err)
	}
	g.ARN = arn
	return g, nil
}

// readGroup reads a group and judges what stands in it.
func (p *ruleGroupPlace) readGroup(ctx context.Context, name, id string) (m groupMemory, err error) {
	var raw []byte
	out, err := p.client.GetRuleGroup(ctx, &wafv2.GetRuleGroupInput{Name: &name, Id: &id, Scope: p.scope()}, keepAnswer(&raw))
	if err != nil {
		return m, mapError(err)
	}
	var answer struct {
		RuleGroup struct {
			Capacity             int
			Rules                []json.RawMessage
			CustomResponseBodies json.RawMessage
		}
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return m, fmt.Errorf("answer: %w: %w", waf.ErrInvalid, err)
	}
	m = groupMemory{Name: name, ID: id, Token: aws.ToString(out.LockToken), Capacity: answer.RuleGroup.Capacity}
	for _, one := range answer.RuleGroup.Rules {
		rule, err := parseRule(one)
		if err != nil {
			return m, err
		}
		if rule.name != p.base {
			m.Foreign = fmt.Sprintf("it holds a rule that is not ours, %q", rule.name)
			continue
		}
		m.Refs = rule.ipSets
		if len(rule.ipSets) == 0 || rule.others > 0 { // whose the sets are, check tells
			m.Foreign = "its rule does not consist of references to our ip sets"
		}
		if p.groupStands(rule, answer.RuleGroup.CustomResponseBodies) {
			m.Form = p.form()
		}
	}
	return m, nil
}
