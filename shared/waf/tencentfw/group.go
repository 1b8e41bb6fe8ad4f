package tencentfw

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// group is a Target of mode security-group: a waf.SetFirewall whose sets are address templates, referred to
// by one address template group, which one DROP rule on top of each security group refers to.
type group struct {
	*client
	target Target
	mark   string // the second mark: of each member of our templates, and of our rules

	quota *templateLimits // nil: not asked yet; it is asked once
	most  int             // rules that a security group may have in one direction; 0: not asked yet

	// From the last Look, kept up to date by our own writes.
	templates map[string]*template // by name; ours only
	inTenant  int                  // all address templates of the tenant, here
	list      *templateGroup       // nil: there is none
	walls     []*securityGroup     // as configured
	balancers []*balancer          // as configured
}

// The defaults of the tenant's quotas, from the documentation of parameter templates.
const (
	defaultTemplates = 1000 // address templates of a tenant
	// defaultPolicies is the rules of a security group in one direction.
	defaultPolicies = 100
)

func newGroup(c *client, t Target) *group {
	return &group{client: c, target: t, mark: "tracewall " + t.Name, templates: map[string]*template{}}
}

// Look implements waf.Firewall. It costs one call for each hundred address templates and groups of them in the
// Region, one for each security group and each twenty load balancers, and the first time one for the quotas.
func (g *group) Look(ctx context.Context) (waf.State, error) {
	state := waf.State{Wall: g.wall(), Base: g.target.base(), Exists: true, Unmarked: true, NoEmpty: true}
	if err := g.look(ctx, &state); err != nil {
		return waf.State{}, fmt.Errorf("look at %s: %w", g.wall(), err)
	}
	return state, nil
}

func (g *group) wall() string {
	return fmt.Sprintf("security groups %s (%s)", strings.Join(g.target.SecurityGroups, " "), g.target.Region)
}

func (g *group) look(ctx context.Context, state *waf.State) error {
	if err := g.limits(ctx); err != nil {
		return err
	}
	if err := g.findTemplates(ctx, state); err != nil {
		return err
	}
	if err := g.findList(ctx); err != nil {
		return err
	}
	if err := g.findWalls(ctx, state); err != nil {
		return err
	}
	if err := g.findBalancers(ctx, state); err != nil {
		return err
	}
	foreign := 0
	if g.list != nil {
		state.Stamp = g.list.stamp(g.target.base())
		for _, id := range g.list.Templates {
			if g.byID(id) == nil {
				foreign++
				state.Notes = append(state.Notes, fmt.Sprintf("address template %q is in our group %s and not ours: what it holds is dropped too, and it takes the place of %d addresses", id, g.list.ID, g.target.SetSize))
			}
		}
	}
	state.RuleOK = g.ruleOK()
	ours := 0
	for _, name := range g.names() {
		t := g.templates[name]
		referenced := g.list != nil && slices.Contains(g.list.Templates, t.ID)
		state.Sets = append(state.Sets, waf.Set{Name: name, Family: t.family(), Referenced: referenced, Prefixes: t.prefixes()})
		ours++
	}
	room := max(0, defaultTemplates-g.inTenant) + ours
	state.RoomSets = min(max(0, g.quota.perGroup-foreign), room)
	if n := g.quota.perTemplate; n > g.target.SetSize {
		state.Notes = append(state.Notes, fmt.Sprintf("the account's quota is %d addresses per address template, and set_size is %d: more would fit", n, g.target.SetSize))
	}
	return nil
}

// ruleOK tells whether nothing but the sets' contents could be missing. Without a list there is nothing to refer
// to. A security group or a load balancer that is gone protects nobody and keeps no run from its work: notes and
// the proof tell of it.
func (g *group) ruleOK() bool {
	if g.list == nil {
		return len(g.templates) == 0
	}
	there := g.there()
	for _, w := range g.walls {
		if !w.missing && !w.judge(g.list.ID, g.mark).ok() {
			return false
		}
	}
	for _, b := range g.balancers {
		if !b.notThere && len(b.lacks(there)) > 0 {
			return false
		}
	}
	return len(there) > 0
}

// there returns those of the security groups that are not missing.
func (g *group) there() (ids []string) {
	for _, w := range g.walls {
		if !w.missing {
			ids = append(ids, w.ID)
		}
	}
	return ids
}

// stands tells whether our rule is in any security group.
func (g *group) stands() bool {
	return g.list != nil && slices.ContainsFunc(g.walls, func(w *securityGroup) bool { return w.judge(g.list.ID, g.mark).place() >= 0 })
}

// names returns those of our templates, in order.
func (g *group) names() []string {
	names := make([]string, 0, len(g.templates))
	for name := range g.templates {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (g *group) byID(id string) *template {
	for _, t := range g.templates {
		if t.ID == id {
			return t
		}
	}
	return nil
}

// Contents implements waf.SetFirewall with what Look saw.
func (g *group) Contents(_ context.Context, set string) ([]netip.Prefix, error) {
	t := g.templates[set]
	if t == nil {
		return nil, fmt.Errorf("contents of %s: %w", set, waf.ErrConflict)
	}
	return t.prefixes(), nil
}

// change makes a write and then reads back until done says that it is there: most changes of templates are
// tasks that go on after the answer, and an answer can be lost. A write that is refused for good
// is not looked after.
func (g *group) change(ctx context.Context, write func() error, done func() (bool, error)) error {
	failed := write()
	if failed != nil && !unsure(failed) {
		return failed
	}
	tries := settleTries
	if failed != nil {
		tries = 2 // it may have been done, or be on its way
	}
	for try := 1; ; try++ {
		there, err := done()
		switch {
		case err != nil:
			return errors.Join(failed, err)
		case there:
			return nil
		case try == tries && failed != nil:
			return failed
		case try == tries:
			return fmt.Errorf("read back: the change is not there yet: %w", waf.ErrUnavailable)
		}
		if err := g.wait(ctx, try); err != nil {
			return errors.Join(failed, err)
		}
	}
}

// settleTries bounds the reads after a change: about half a minute.
const settleTries = 8
