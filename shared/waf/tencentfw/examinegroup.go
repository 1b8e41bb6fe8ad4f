package tencentfw

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// Examine implements waf.Examiner. It costs a call for each hundred address templates and groups of them in the
// Region, one for each security group and each twenty load balancers, and four more. That writes are permitted cannot
// be found out by reading: no action of VPC's has a dry run.
func (g *group) Examine(ctx context.Context) []waf.Check {
	e := &examination{client: g.client}
	g.examineTemplates(ctx, e)
	g.examineWalls(ctx, e)
	g.examineBalancers(ctx, e)
	if !e.broken {
		e.say("permissions to write", waf.CheckUnknown, "the actions that write cannot be tried without writing: the policy in infra grants them, and the first run tells")
	}
	return e.report()
}

// examineTemplates looks at the quotas and at how addresses are spelled.
func (g *group) examineTemplates(ctx context.Context, e *examination) {
	if e.try("vpc:DescribeTemplateLimits", "the quotas of address templates", func() error { return g.limits(ctx) }) {
		n, m := g.quota.perTemplate, g.quota.perGroup
		switch {
		case g.target.SetSize > n:
			e.say("quota", waf.CheckFail, "an address template takes %d addresses, and set_size is %d: lower it", n, g.target.SetSize)
		case g.target.SetSize < n:
			e.say("quota", waf.CheckWarn, "an address template takes %d addresses, and set_size is %d: raise it", n, g.target.SetSize)
		default:
			e.say("quota", waf.CheckOK, "an address template takes %d addresses, and a group %d of them: %d in all", n, m, n*m)
		}
	}
	var all []template
	if e.try("vpc:DescribeAddressTemplates", "the address templates", func() (err error) { all, err = g.pagesOfTemplates(ctx, nil); return err }) {
		var texts []string
		names := setNames(g.target.base())
		six := false
		for _, t := range all {
			if marked, _ := t.marks(g.mark); !marked || !names.MatchString(t.Name) {
				continue
			}
			six = six || t.family() == waf.IPv6
			for _, m := range t.Members {
				texts = append(texts, m.Address)
			}
		}
		e.spellings(texts, "our address templates")
		if six {
			e.say("ipv6", waf.CheckOK, "an address template of ours holds IPv6")
		} else {
			e.say("ipv6", waf.CheckUnknown, "no address template of ours holds IPv6; the documentation shows none: the first such address tells")
		}
		if free := defaultTemplates - len(all); free < g.target.Limits().MaxSets {
			e.say("templates", waf.CheckWarn, "the tenant has %d address templates of usually %d: delete some, or have the quota raised", len(all), defaultTemplates)
		}
	}
	e.try("vpc:DescribeAddressTemplateGroups", "the groups of address templates", func() error { _, err := g.lists(ctx, nil); return err })
}

// examineWalls looks at the security groups.
func (g *group) examineWalls(ctx context.Context, e *examination) {
	g.most = 0
	if !e.try("vpc:DescribeSecurityGroupLimits", "the quotas of security groups", func() error { return g.policyLimit(ctx) }) {
		g.most = 0
	}
	var there []string
	for _, id := range g.target.SecurityGroups {
		var w *securityGroup
		if !e.try("vpc:DescribeSecurityGroupPolicies", "the rules of "+id, func() (err error) { w, err = g.readWall(ctx, id); return err }) {
			continue
		}
		switch {
		case w.missing:
			e.say("security group", waf.CheckFail, "%s", missingWall(id, g.target.Region))
			continue
		case g.most > 0 && len(w.rules) >= g.most && !slices.ContainsFunc(w.rules, func(p policy) bool { return p.PolicyDescription == g.mark }):
			e.say("security group", waf.CheckFail, "%s has %d of %d inbound rules, and ours is one more: take one out, or have the quota raised", id, len(w.rules), g.most)
		default:
			e.say("security group", waf.CheckOK, "%s is there, with %d inbound rules at version %s", id, len(w.rules), printable(w.version, 20))
		}
		there = append(there, id)
	}
	var protects map[string]association
	if len(there) > 0 && e.try("vpc:DescribeSecurityGroupAssociationStatistics", "what the security groups protect", func() (err error) {
		protects, err = g.associations(ctx, there)
		return err
	}) {
		for _, id := range there {
			if protects[id].TotalCount == 0 {
				e.say("security group", waf.CheckWarn, "%s protects nothing: bind it to instances or load balancers", id)
			}
		}
	}
}

// examineBalancers looks at the load balancers.
func (g *group) examineBalancers(ctx context.Context, e *examination) {
	for ids := range slices.Chunk(g.target.LoadBalancers, balancersPerCall) {
		var all []*balancer
		if !e.try("clb:DescribeLoadBalancers", fmt.Sprintf("%d load balancers", len(ids)), func() (err error) { all, err = g.readBalancers(ctx, ids); return err }) {
			return
		}
		for _, b := range all {
			switch lacks := b.lacks(g.target.SecurityGroups); {
			case b.notThere:
				e.say("load balancer", waf.CheckFail, "%s", missingBalancer(b.ID, g.target.Region))
			case len(lacks) > 0:
				e.say("load balancer", waf.CheckWarn, "%s is not bound to %s: the next run that has an address to block binds it", b.ID, strings.Join(lacks, ", "))
			default:
				e.say("load balancer", waf.CheckOK, "%s is there, and bound", b.ID)
			}
		}
	}
}
