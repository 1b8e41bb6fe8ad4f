package awswaf

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// oldPlace takes away the place of a mode that the target has left.
func (l *leaving) oldPlace(ctx context.Context, mode string) error {
	shared := []string{ModeWebACL, ModeRuleGroup}
	if !slices.Contains(shared, mode) || !slices.Contains(shared, l.target.Mode) {
		return fmt.Errorf("mode %s: %w: mode %s shares nothing with the other modes and cannot be proven; see to it that the new mode is in force, then detach with the target set to %s as it was",
			mode, waf.ErrPreflight, ModeIPSet, mode)
	}
	if mode == ModeWebACL && l.target.WebACL == "" {
		return fmt.Errorf(`mode %s: %w: name the web ACL that has the old rule in "web_acl"`, mode, waf.ErrPreflight)
	}
	acl, groups, err := l.look(ctx)
	if err != nil {
		return err
	}
	var old place = groups
	if mode == ModeWebACL {
		old = acl
	}
	if err := l.proveNew(ctx, old.refs()); err != nil {
		return err
	}
	if mode == ModeWebACL {
		return l.rule(ctx, acl)
	}
	return l.deleteGroups(ctx, groups)
}

// proveNew refuses to leave the old place before the new one does all that it did. A set
// that has been emptied since, and cannot be deleted while the old place refers to it, blocks nobody, nor
// does one of exceptions.
func (l *leaving) proveNew(ctx context.Context, old []string) error {
	for _, arn := range old {
		if name := nameInARN(arn); l.left[name].Retired || isExcept(name) {
			continue
		}
		if !slices.Contains(l.place.refs(), arn) {
			return fmt.Errorf("%w: %s does not refer to ip set %s yet, which the old place does: sync first", waf.ErrPreflight, l.place.title(), nameInARN(arn))
		}
	}
	proof, err := l.Prove(ctx)
	if err != nil {
		return err
	}
	if !proof.Effective {
		return fmt.Errorf("%w: mode %s is not proven to be in force, so the old place stays: %s", waf.ErrPreflight, l.target.Mode, strings.Join(proof.Reasons, "; "))
	}
	return nil
}

// look returns both places that our rule may stand in, as they stand.
func (l *leaving) look(ctx context.Context) (acl *webACLPlace, groups *ruleGroupPlace, err error) {
	if _, err := l.Look(ctx); err != nil {
		return nil, nil, err
	}
	if acl, err = l.aclPlace(ctx); err != nil {
		return nil, nil, err
	}
	groups, err = l.groupPlace(ctx)
	return acl, groups, err
}

// aclPlace returns the web ACL that the target names; without a web ACL if there is
// none, none is named, or its rule of our name is somebody else's.
func (l *leaving) aclPlace(ctx context.Context) (*webACLPlace, error) {
	if p, ok := l.place.(*webACLPlace); ok {
		return p, nil
	}
	p := &webACLPlace{Firewall: l.Firewall}
	if l.target.WebACL == "" {
		return p, nil
	}
	err := p.find(ctx, nil)
	if errors.Is(err, waf.ErrDenied) {
		l.done = append(l.done, fmt.Sprintf("whether %s has a rule %s of ours cannot be seen: allow wafv2:ListWebACLs, and wafv2:GetWebACL on it", p.title(), l.base))
		return &webACLPlace{Firewall: l.Firewall}, nil
	}
	if err == nil && p.acl != nil && p.check(l.ours(), noneCame) != nil {
		p.acl = nil
	}
	return p, err
}

// groupPlace returns our rule groups, none if there are none.
func (l *leaving) groupPlace(ctx context.Context) (*ruleGroupPlace, error) {
	if p, ok := l.place.(*ruleGroupPlace); ok {
		return p, nil
	}
	p := newRuleGroupPlace(l.Firewall)
	err := p.find(ctx, nil)
	switch {
	case errors.Is(err, waf.ErrDenied):
		l.done = append(l.done, "whether rule groups of an earlier mode rule-group are left cannot be seen: allow wafv2:ListRuleGroups and wafv2:GetRuleGroup")
	case errors.Is(err, waf.ErrForeign): // the name is a user's
	case err != nil:
		return nil, err
	default:
		return p, p.check(l.ours(), noneCame)
	}
	return newRuleGroupPlace(l.Firewall), nil
}

// ours are the ARNs of our sets.
func (l *leaving) ours() map[string]bool {
	arns := map[string]bool{}
	for _, s := range l.sets {
		arns[s.arn] = true
	}
	return arns
}

// noneCame: the sets were listed to the end.
func noneCame(string) bool { return false }
