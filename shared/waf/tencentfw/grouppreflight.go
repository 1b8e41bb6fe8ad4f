package tencentfw

import (
	"context"
	"fmt"
	"slices"

	"github.com/tracewall/tracewall/shared/waf"
)

// Preflight implements waf.Preflighter. It asks for one quota more, once, and judges the rest by what Look saw. That
// permissions suffice cannot be asked for without trying: no action of VPC's has a dry run.
func (g *group) Preflight(ctx context.Context, need waf.Need) ([]waf.Finding, error) {
	var findings []waf.Finding
	say := func(fatal bool, format string, args ...any) {
		findings = append(findings, waf.Finding{Text: fmt.Sprintf(format, args...), Fatal: fatal})
	}
	if n := g.quota.perTemplate; g.target.SetSize > n {
		say(true, "set_size is %d, and the account's quota is %d addresses per address template: lower it", g.target.SetSize, n)
	}
	if free := defaultTemplates - g.inTenant; need.Creates > free {
		say(false, "%d address templates are needed, and of the tenant's %d some %d are free: delete some, or have the quota raised", need.Creates, defaultTemplates, max(0, free))
	}
	if !need.Rule {
		return findings, nil
	}
	if err := g.policyLimit(ctx); err != nil {
		return findings, err
	}
	// While our rule stands nowhere, what is missing is a target that was written wrong, and nobody is protected yet. Later it is
	// something that the user deleted.
	fresh := !g.stands()
	for _, w := range g.walls {
		switch {
		case w.missing:
			say(fresh, "%s", missingWall(w.ID, g.target.Region))
		case len(w.rules) >= g.most && (g.list == nil || w.judge(g.list.ID, g.mark).place() < 0):
			say(true, "security group %s has %d of %d inbound rules, and ours is one more: take one out, or have the quota raised", w.ID, len(w.rules), g.most)
		}
	}
	for _, b := range g.balancers {
		g.preflightBalancer(b, fresh, say)
	}
	return findings, nil
}

func (g *group) preflightBalancer(b *balancer, fresh bool, say func(bool, string, ...any)) {
	if b.notThere {
		say(fresh, "%s", missingBalancer(b.ID, g.target.Region))
		return
	}
	lacks := b.lacks(g.there())
	if len(lacks) == 0 {
		return
	}
	if n := len(b.Groups) + len(lacks); n > groupsPerBalancer {
		say(true, "load balancer %s would be bound to %d security groups, and %d are the most: unbind one", b.ID, n, groupsPerBalancer)
	}
	// Without any security group a load balancer lets everybody through; with one, only whom a rule accepts.
	if len(b.Groups) > 0 {
		return
	}
	accepts := slices.ContainsFunc(g.walls, func(w *securityGroup) bool {
		return slices.Contains(lacks, w.ID) && slices.ContainsFunc(w.rules, func(p policy) bool {
			return p.accepts() && p.PolicyDescription != g.mark
		})
	})
	if !accepts {
		say(true, "load balancer %s has no security group and lets everybody through; ours accept nobody, so binding them would cut everybody off: add the rules that accept first", b.ID)
	}
}

// policyLimit asks how many rules a security group may have.
func (g *group) policyLimit(ctx context.Context) error {
	if g.most > 0 {
		return nil
	}
	var answer struct {
		SecurityGroupLimitSet struct{ SecurityGroupPolicyLimit int }
	}
	if err := g.call(ctx, "vpc", "DescribeSecurityGroupLimits", nil, &answer); err != nil {
		return fmt.Errorf("quotas of security groups: %w", err)
	}
	g.most = answer.SecurityGroupLimitSet.SecurityGroupPolicyLimit
	if g.most <= 0 {
		g.most = defaultPolicies
	}
	return nil
}
