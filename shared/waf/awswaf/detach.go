package awswaf

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/wafv2"

	"github.com/tracewall/tracewall/shared/waf"
)

var _ waf.Detacher = (*Firewall)(nil)

// Detach implements waf.Detacher. What is left behind on purpose is said with what to
// do about it; whoever repeats it goes on where it stopped. The scheduled sync must be off: it would build everything anew.
func (f *Firewall) Detach(ctx context.Context, dryRun bool) (done []string, err error) {
	return f.DetachMode(ctx, f.target.Mode, dryRun)
}

// DetachMode implements waf.Detacher. Modes web-acl and rule-group share the IP sets:
// leaving one for the other takes only the old place away, and that only if the new one
// is proven to be in force with every set that the old one has.
func (f *Firewall) DetachMode(ctx context.Context, mode string, dryRun bool) (done []string, err error) {
	l := &leaving{Firewall: f, dryRun: dryRun}
	f.thorough = true // a set that is not seen would stay for good
	if mode == "" || mode == f.target.Mode {
		if !dryRun {
			defer f.forget() // that all is gone is nobody's doing
		}
		err = l.all(ctx)
	} else {
		err = l.oldPlace(ctx, mode)
	}
	if err = errors.Join(append(l.failures, err)...); err != nil {
		err = fmt.Errorf("detach %s: %w", f.target.Name, err)
	}
	return l.done, err
}

// leaving is one Detach.
type leaving struct {
	*Firewall
	dryRun   bool
	done     []string
	failures []error // that did not keep the rest from being done
	waits    int     // for removed references to spread, in all
}

// step does one thing, unless this is a dry run, and says so.
func (l *leaving) step(line string, do func() error) error {
	if !l.dryRun {
		if err := do(); err != nil {
			return err
		}
	}
	l.done = append(l.done, line)
	return nil
}

// stays says what is left, and why; it makes the whole incomplete.
func (l *leaving) stays(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	l.done = append(l.done, line)
	l.failures = append(l.failures, fmt.Errorf("%s: %w", line, waf.ErrInUse))
}

// all leaves everything: both places that our rule may stand in, since an earlier mode
// may have left one, then the sets, then a web ACL that we made.
func (l *leaving) all(ctx context.Context) error {
	if p, named := l.place.(*namedPlace); named {
		return l.emptyNamed(ctx, p)
	}
	acl, groups, err := l.look(ctx)
	if err != nil {
		return err
	}
	if err := l.rule(ctx, acl); err != nil {
		return err
	}
	if err := l.deleteGroups(ctx, groups); err != nil {
		return err
	}
	err = l.deleteSets(ctx, func(arn string) string {
		return cmp.Or(acl.usedBy(arn), groups.usedBy(arn))
	})
	if err != nil {
		return err
	}
	return l.webACL(ctx, acl)
}

// emptyNamed empties the sets that the user names, which stay, with their descriptions.
func (l *leaving) emptyNamed(ctx context.Context, _ *namedPlace) error {
	state, err := l.Look(ctx)
	if err != nil {
		return err
	}
	for _, s := range state.Sets {
		if len(s.Prefixes) == 0 {
			continue
		}
		err := l.step(fmt.Sprintf("empty ip set %s (%d addresses)", s.Name, len(s.Prefixes)), func() error {
			return l.Put(ctx, waf.Set{Name: s.Name, Family: s.Family, Prefixes: []netip.Prefix{}})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rule removes our rule from the web ACL, and nothing else of it.
func (l *leaving) rule(ctx context.Context, p *webACLPlace) error {
	if p.acl == nil || p.acl.ours(l.base) == nil {
		return nil
	}
	return l.step(fmt.Sprintf("remove rule %s from %s", l.base, p.title()), func() error {
		configured := l.place
		defer func() { l.place = configured }()
		l.place = p // the lossless update, with its merges and retries, is the same whichever mode is configured
		return l.Reference(ctx, nil, slices.Collect(maps.Keys(l.sets)))
	})
}

// deleteSets deletes our sets but those that something of the user's still refers to.
func (l *leaving) deleteSets(ctx context.Context, usedBy func(arn string) string) error {
	for _, name := range slices.Sorted(maps.Keys(l.sets)) {
		s := l.sets[name]
		if user := usedBy(s.arn); user != "" {
			l.stays("ip set %s stays: %s refers to it; remove that reference and detach again", name, user)
			continue
		}
		err := l.step("delete ip set "+name, func() error {
			return l.patiently(ctx, func() error { return l.Delete(ctx, name) })
		})
		switch {
		case errors.Is(err, waf.ErrInUse):
			l.failures = append(l.failures, fmt.Errorf(`%w; if nothing of yours refers to it, detach again in some minutes; if rule %s is left in a web ACL, name that in "web_acl"`, err, l.base))
		case err != nil:
			return err
		}
	}
	return nil
}

// patiently repeats what AWS refuses because a removed reference has not spread yet.
func (l *leaving) patiently(ctx context.Context, do func() error) error {
	for {
		err := do()
		if !errors.Is(err, waf.ErrInUse) || l.waits == readyAttempts {
			return err
		}
		l.waits++
		if serr := l.sleep(ctx, l.waits); serr != nil {
			return fmt.Errorf("%w: %w", serr, err)
		}
	}
}

// webACL deletes the web ACL if it was made by us, holds nothing else and protects nothing.
func (l *leaving) webACL(ctx context.Context, p *webACLPlace) error {
	if p.acl == nil || p.acl.managed || slices.ContainsFunc(p.acl.rules, func(r aclRule) bool { return r.name != l.base }) {
		return nil // the user's
	}
	mine, err := l.tagged(ctx, p.acl.arn())
	switch {
	case errors.Is(err, waf.ErrDenied):
		l.done = append(l.done, fmt.Sprintf("%s stays: whether tracewall made it cannot be seen (wafv2:ListTagsForResource is denied)", p.title()))
		return nil
	case err != nil:
		return fmt.Errorf("list tags of %s: %w", p.title(), err)
	case !mine:
		return nil
	}
	protects, err := l.protection(ctx, p.acl.arn(), true)
	if err != nil {
		return err
	}
	if len(protects.resources) > 0 || protects.disabled > 0 {
		l.stays("%s stays: tracewall made it, and it protects %s; take it off there and detach again, or keep it as yours", p.title(), protects.naming())
		return nil
	}
	return l.step(fmt.Sprintf("delete %s, which tracewall made and nothing uses", p.title()), func() error {
		_, err := l.client.DeleteWebACL(ctx, &wafv2.DeleteWebACLInput{Name: &l.target.WebACL, Id: &p.acl.id, Scope: l.scope(), LockToken: &p.acl.token})
		if err != nil && code(err) != "WAFNonexistentItemException" {
			return fmt.Errorf("delete %s: %w", p.title(), mapError(err))
		}
		p.acl, p.aclID = nil, ""
		return nil
	})
}

// usedBy names a rule of the user's in our web ACL that refers to a set, "" if there is none.
func (p *webACLPlace) usedBy(arn string) string {
	if p.acl == nil {
		return ""
	}
	for _, r := range p.acl.rules {
		if r.name != p.base && slices.Contains(r.ipSets, arn) {
			return fmt.Sprintf("rule %s of %s", r.name, p.title())
		}
	}
	return ""
}
