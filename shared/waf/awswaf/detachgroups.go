package awswaf

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/wafv2"

	"github.com/tracewall/tracewall/shared/waf"
)

// deleteGroups deletes our rule groups but those that a web ACL refers to, which stay whole and
// in force, and those that hold what is not ours.
func (l *leaving) deleteGroups(ctx context.Context, p *ruleGroupPlace) error {
	if len(p.groups) == 0 {
		return nil
	}
	using, hints, err := l.webACLsUsing(ctx, p.groupARNs())
	if err != nil {
		return err
	}
	l.done = append(l.done, hints...)
	for _, g := range slices.Clone(p.groups) {
		if g.Foreign != "" {
			l.stays("rule group %s stays: %s; move that to a rule group of your own and detach again", g.Name, g.Foreign)
			continue
		}
		if user := userOf(using, g.ARN); user != "" {
			l.stays("rule group %s stays, and so do its %d ip sets: %s refers to it; remove that rule first, then detach again", g.Name, len(g.Refs), user)
			continue
		}
		err := l.step("delete rule group "+g.Name, func() error {
			return l.patiently(ctx, func() error { return l.deleteGroup(ctx, g) })
		})
		switch {
		case errors.Is(err, waf.ErrInUse):
			l.failures = append(l.failures, fmt.Errorf("%w: remove the rule that refers to it in your web ACL, or in your Firewall Manager policy, first, then detach again", err))
			continue
		case err != nil:
			return err
		}
		p.groups = slices.DeleteFunc(p.groups, func(o *ruleGroup) bool { return o == g })
	}
	return nil
}

func (l *leaving) deleteGroup(ctx context.Context, g *ruleGroup) error {
	_, err := l.client.DeleteRuleGroup(ctx, &wafv2.DeleteRuleGroupInput{Name: &g.Name, Id: &g.ID, Scope: l.scope(), LockToken: &g.Token})
	if err != nil && code(err) != "WAFNonexistentItemException" {
		return fmt.Errorf("delete rule group %s: %w", g.Name, mapError(err))
	}
	return nil
}

// userOf names the rule that refers to a group.
func userOf(using []seenACL, group string) string {
	for _, acl := range using {
		if u := acl.groupUse(group); u != nil {
			return fmt.Sprintf("rule %s of web acl %s", u.rule, acl.name)
		}
	}
	return ""
}

// usedBy names the group that refers to a set, "" if none does.
func (p *ruleGroupPlace) usedBy(arn string) string {
	for _, g := range p.groups {
		if slices.Contains(g.Refs, arn) {
			return "rule group " + g.Name
		}
	}
	return ""
}
