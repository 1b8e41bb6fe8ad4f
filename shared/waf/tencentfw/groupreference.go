package tencentfw

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tracewall/tracewall/shared/waf"
)

// Reference implements waf.SetFirewall: first what our group of templates holds, then our rule in each
// security group, then the load balancers. A security group that cannot be written does not keep the others
// from it. When nothing is left in the group, the rules go and then the group: neither can be without the next.
func (g *group) Reference(ctx context.Context, add, drop []string) error {
	ids := func(names []string) (ids []string, err error) {
		for _, name := range names {
			t := g.templates[name]
			if t == nil {
				return nil, fmt.Errorf("refer to %s: %w", name, waf.ErrConflict)
			}
			ids = append(ids, t.ID)
		}
		return ids, nil
	}
	more, err := ids(add)
	if err != nil {
		return err
	}
	fewer, err := ids(drop)
	if err != nil {
		return err
	}
	left, err := g.relist(ctx, more, fewer)
	if err != nil {
		return fmt.Errorf("refer to address templates: %w", err)
	}
	if !left {
		return g.leave(ctx)
	}
	var failures []error
	for _, w := range g.walls {
		if w.missing {
			continue // it protects nobody, and preflight has said so
		}
		if err := g.keepOnTop(ctx, w); err != nil {
			failures = append(failures, fmt.Errorf("refer to %s: %w", g.list.ID, err))
		}
	}
	if err := g.bind(ctx); err != nil {
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// leave takes our rules out and deletes the group of templates.
func (g *group) leave(ctx context.Context) error {
	if g.list == nil {
		return nil
	}
	for _, w := range g.walls {
		if err := g.takeOff(ctx, w); err != nil {
			return fmt.Errorf("take the rule out: %w", err)
		}
	}
	if err := g.dropList(ctx); err != nil {
		return fmt.Errorf("delete the group of address templates: %w", err)
	}
	return nil
}

// balancer is a load balancer as it was read.
type balancer struct {
	ID       string   `json:"LoadBalancerId"`
	Name     string   `json:"LoadBalancerName"`
	Groups   []string `json:"SecureGroups"`
	Kind     string   `json:"LoadBalancerType"` // OPEN or INTERNAL
	notThere bool
}

// lacks returns which of the security groups the load balancer is not bound to.
func (b *balancer) lacks(groups []string) []string {
	return slices.DeleteFunc(slices.Clone(groups), func(id string) bool { return slices.Contains(b.Groups, id) })
}

const (
	balancersPerCall   = 20 // CLB: of one call, to read and to bind
	groupsPerBalancer  = 50 // CLB's documentation of SetLoadBalancerSecurityGroups; other documents say 5
	balancerIsInternal = "INTERNAL"
)

// findBalancers reads the load balancers of the target.
func (g *group) findBalancers(ctx context.Context, state *waf.State) error {
	g.balancers = nil
	for ids := range slices.Chunk(g.target.LoadBalancers, balancersPerCall) {
		some, err := g.readBalancers(ctx, ids)
		if err != nil {
			return err
		}
		g.balancers = append(g.balancers, some...)
	}
	for _, b := range g.balancers {
		switch {
		case b.notThere:
			state.Notes = append(state.Notes, missingBalancer(b.ID, g.target.Region))
		default:
			if first, ok := g.before(b); ok {
				state.Notes = append(state.Notes, fmt.Sprintf("load balancer %s asks security group %s first, whose accepting rules decide before ours: name it in security_groups too", b.ID, printable(first, 30)))
			}
		}
	}
	return nil
}

// before returns a group of somebody else's that the load balancer asks before any of ours. Groups are
// asked in the order in which they are bound; what one of them decides, the next is not asked.
func (g *group) before(b *balancer) (string, bool) {
	for _, id := range b.Groups {
		if slices.Contains(g.target.SecurityGroups, id) {
			return "", false
		}
		if len(b.lacks(g.target.SecurityGroups)) < len(g.target.SecurityGroups) {
			return id, true
		}
	}
	return "", false
}

func missingBalancer(id, region string) string {
	return fmt.Sprintf("load balancer %s is not in %s: correct load_balancers or region", id, region)
}

// readBalancers reads some, at most balancersPerCall. If the cloud refuses because one is not there, each is asked for alone.
func (g *group) readBalancers(ctx context.Context, ids []string) ([]*balancer, error) {
	var answer struct{ LoadBalancerSet []balancer }
	err := g.call(ctx, "clb", "DescribeLoadBalancers", map[string]any{"LoadBalancerIds": ids, "Limit": balancersPerCall}, &answer)
	absent := code(err) == "InvalidParameter.LBIdNotFound" || code(err) == "ResourceNotFound"
	if absent && len(ids) > 1 {
		var all []*balancer
		for _, id := range ids {
			one, err := g.readBalancers(ctx, []string{id})
			if err != nil {
				return nil, err
			}
			all = append(all, one...)
		}
		return all, nil
	}
	if err != nil && !absent {
		return nil, err
	}
	list := make([]*balancer, len(ids))
	for i, id := range ids {
		list[i] = &balancer{ID: id, notThere: true}
		for _, b := range answer.LoadBalancerSet {
			if b.ID == id {
				list[i] = &b
			}
		}
	}
	return list, nil
}

// bind adds our security groups to the load balancers that lack them, each group in calls of twenty load balancers at most. What a load
// balancer is bound to already stays bound: nothing is ever taken away here.
func (g *group) bind(ctx context.Context) error {
	var failures []error
	for _, id := range g.there() {
		var lacking []string
		for _, b := range g.balancers {
			if !b.notThere && !slices.Contains(b.Groups, id) {
				lacking = append(lacking, b.ID)
			}
		}
		for some := range slices.Chunk(lacking, balancersPerCall) {
			if err := g.bindTo(ctx, id, some); err != nil {
				failures = append(failures, fmt.Errorf("bind %s to load balancers: %w", id, err))
			}
		}
	}
	return errors.Join(failures...)
}

func (g *group) bindTo(ctx context.Context, id string, balancers []string) error {
	return g.change(ctx, func() error {
		return g.call(ctx, "clb", "SetSecurityGroupForLoadbalancers", map[string]any{
			"SecurityGroup": id, "OperationType": "ADD", "LoadBalancerIds": balancers,
		}, nil)
	}, func() (bool, error) {
		now, err := g.readBalancers(ctx, balancers)
		if err != nil {
			return false, err
		}
		there := true
		for _, b := range now {
			there = there && (slices.Contains(b.Groups, id) || b.notThere)
			for i, old := range g.balancers {
				if old.ID == b.ID {
					g.balancers[i] = b
				}
			}
		}
		return there, nil
	})
}
