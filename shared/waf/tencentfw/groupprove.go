package tencentfw

import (
	"context"
	"fmt"
	"slices"

	"github.com/tracewall/tracewall/shared/waf"
)

// association is how many resources a security group protects, by kind.
type association struct {
	SecurityGroupID    string `json:"SecurityGroupId"`
	TotalCount         int    // without security groups that refer to this one
	InstanceStatistics []struct {
		InstanceType  string
		InstanceCount int
	}
}

// Prove implements waf.Prover from what Look saw, which our own writes have kept up to date, and one call for what
// the security groups protect. In the proof each security group stands where other clouds have a web ACL.
func (g *group) Prove(ctx context.Context) (waf.Proof, error) {
	proof := waf.Proof{AsOf: g.cfg.Now()}
	protects, err := g.associations(ctx, g.there())
	if err != nil {
		return waf.Proof{}, fmt.Errorf("prove %s: %w", g.wall(), err)
	}
	say := func(format string, args ...any) { proof.Reasons = append(proof.Reasons, fmt.Sprintf(format, args...)) }
	held := 0
	if g.list != nil {
		for _, id := range g.list.Templates {
			if t := g.byID(id); t != nil {
				held += len(t.prefixes())
			}
		}
	}
	if held == 0 {
		say("no address template of ours is in a group: nobody is on the list, or the next run has to refer to them")
	}
	for _, w := range g.walls {
		if w.missing {
			say("%s", missingWall(w.ID, g.target.Region))
			continue
		}
		use, inForce := g.use(w, protects[w.ID], say)
		proof.Effective = proof.Effective || inForce
		proof.WebACLs = append(proof.WebACLs, use)
	}
	for _, b := range g.balancers {
		g.proveBalancer(b, say)
	}
	return proof, nil
}

// use says how our rule stands in one security group, and whether somebody is dropped there.
func (g *group) use(w *securityGroup, has association, say func(string, ...any)) (waf.ACLUse, bool) {
	use := waf.ACLUse{Name: w.ID, Rule: g.mark, Priority: -1, Action: "Block", DefaultAction: "Block", ResourceCount: has.TotalCount}
	for _, kind := range has.InstanceStatistics {
		if kind.InstanceCount > 0 {
			use.Resources = append(use.Resources, fmt.Sprintf("%d %s", kind.InstanceCount, printable(kind.InstanceType, 30)))
		}
	}
	for _, b := range g.balancers {
		if slices.Contains(b.Groups, w.ID) && len(use.Resources) < maxResources {
			use.Resources = append(use.Resources, b.ID)
		}
	}
	use.Partial = true // kinds are counted, not named
	if has.TotalCount == 0 {
		say("security group %s protects nothing: bind it to instances or load balancers", w.ID)
	}
	place := -1
	if g.list != nil {
		s := w.judge(g.list.ID, g.mark)
		place = s.place()
		for _, i := range s.ahead {
			use.Behind = append(use.Behind, w.rules[i].String())
		}
		for _, i := range s.behind {
			use.Ahead = append(use.Ahead, w.rules[i].String())
		}
		if len(s.ahead) > 0 {
			say("security group %s: %d accepting rules come before ours, the first: %s; whom they let through is not dropped", w.ID, len(s.ahead), w.rules[s.ahead[0]])
		}
	}
	if place < 0 {
		say("security group %s has no rule of ours", w.ID)
		return use, false
	}
	use.Priority = int64(w.rules[place].PolicyIndex)
	if !slices.ContainsFunc(w.rules, policy.accepts) {
		say("security group %s accepts nobody at all: its other rules are the user's to make", w.ID)
	}
	return use, has.TotalCount > 0
}

const maxResources = 100

func (g *group) proveBalancer(b *balancer, say func(string, ...any)) {
	lacks := b.lacks(g.there())
	first, behind := g.before(b)
	switch {
	case b.notThere:
		say("%s", missingBalancer(b.ID, g.target.Region))
	case len(lacks) > 0:
		say("load balancer %s is not bound to %s", b.ID, lacks[0])
	case behind:
		say("load balancer %s asks security group %s before ours: whom that lets through is not dropped", b.ID, printable(first, 30))
	case b.Kind == balancerIsInternal:
		say("load balancer %s is internal: its security groups are not asked about what comes in over an elastic address", b.ID)
	}
}

// associations asks what the security groups protect; a hundred groups a call is more than a target has.
func (g *group) associations(ctx context.Context, ids []string) (map[string]association, error) {
	found := map[string]association{}
	if len(ids) == 0 {
		return found, nil
	}
	var answer struct{ SecurityGroupAssociationStatisticsSet []association }
	err := g.call(ctx, "vpc", "DescribeSecurityGroupAssociationStatistics", map[string]any{"SecurityGroupIds": ids}, &answer)
	for _, a := range answer.SecurityGroupAssociationStatisticsSet {
		found[a.SecurityGroupID] = a
	}
	return found, err
}
