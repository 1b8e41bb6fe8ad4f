package tencentfw

import (
	"context"
	"errors"
	"fmt"

	"github.com/tracewall/tracewall/shared/waf"
)

// Detach implements waf.Detacher: our rule goes out of each security group, then the group of address templates,
// then the templates. The security groups, and their bindings to load balancers, stay: a load balancer
// that loses its only security group lets everybody in, and one that keeps another may let in fewer than before.
// The scheduled sync must be off: it would build everything anew.
func (g *group) Detach(ctx context.Context, dryRun bool) (done []string, err error) {
	return g.DetachMode(ctx, g.target.Mode, dryRun)
}

// DetachMode implements waf.Detacher, for the configured mode alone.
func (g *group) DetachMode(ctx context.Context, mode string, dryRun bool) (done []string, err error) {
	if err := g.target.otherMode(mode); err != nil {
		return nil, err
	}
	l := &leaving{dryRun: dryRun}
	return l.result(g.target, g.detach(ctx, l))
}

func (g *group) detach(ctx context.Context, l *leaving) error {
	if err := g.look(ctx, &waf.State{}); err != nil {
		return err
	}
	if g.list != nil {
		if err := g.detachList(ctx, l); err != nil || len(l.failures) > 0 {
			return err // the templates are in the group, and it stays
		}
	}
	for _, name := range g.names() {
		err := l.step("delete address template "+name, func() error { return g.Delete(ctx, name) })
		switch {
		case errors.Is(err, waf.ErrInUse):
			l.failures = append(l.failures, fmt.Errorf("%w; take it out of the group or the rule that refers to it, and detach again", err))
		case err != nil:
			return err
		}
	}
	for _, b := range g.balancers {
		if !b.notThere && len(b.lacks(g.target.SecurityGroups)) < len(g.target.SecurityGroups) {
			l.stays("load balancer %s stays bound to the security groups that it has: unbind what you do not want there, and mind that one without any lets everybody in", b.ID)
		}
	}
	return nil
}

// detachList takes our rules out, and then deletes the group that they refer to.
func (g *group) detachList(ctx context.Context, l *leaving) error {
	for _, w := range g.walls {
		s := w.judge(g.list.ID, g.mark)
		n := len(s.extra)
		if s.main >= 0 {
			n++
		}
		if n > 0 {
			if err := l.step(fmt.Sprintf("take %d rules of ours out of security group %s", n, w.ID), func() error { return g.takeOff(ctx, w) }); err != nil {
				return err
			}
		}
		if s.twin >= 0 {
			l.failures = append(l.failures, fmt.Errorf("security group %s: %s refers to our group and has not our description: delete it and detach again: %w", w.ID, w.rules[s.twin], waf.ErrInUse))
		}
	}
	if len(l.failures) > 0 {
		return nil
	}
	id := g.list.ID
	err := l.step("delete address template group "+printable(id, 40), func() error { return g.dropList(ctx) })
	if errors.Is(err, waf.ErrInUse) {
		err = fmt.Errorf("%w; a security group that this target does not name refers to it: take our rule (%q) out of that and detach again", err, g.mark)
	}
	return err
}
