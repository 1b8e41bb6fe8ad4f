package awswaf

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/aws/smithy-go"

	"github.com/tracewall/tracewall/shared/waf"
)

// A probe is a call that AWS judges by its permissions first and can then only
// refuse: IAM has no other way to ask that needs no further permission. None can
// have an effect even if AWS ignored what it must not. The IP set and the rule group have a number that none of
// ours ever gets and a random id. The web ACL is sent as it stands, byte for byte, with a
// random lock token; should AWS take it all the same, it would be what it was.
//
// Only a denial counts. That of what is not there is a warning: a policy that goes by tags
// denies a set that is not there and allows one that is, and a wall that can be
// filled but not changed still blocks more than none.
type probe struct {
	action string
	fatal  bool
	what   string // on which the action must be allowed, and where
	call   func(ctx context.Context) error
}

// probe makes the probes and returns what is denied.
func (f *Firewall) probe(ctx context.Context) (findings []waf.Finding, err error) {
	if f.probed {
		return nil, nil
	}
	for _, p := range f.probes() {
		err := p.call(ctx)
		if err := quietly(ctx, err); err != nil {
			return findings, fmt.Errorf("probe %s: %w", p.action, err)
		}
		if errors.Is(mapError(err), waf.ErrDenied) {
			text := fmt.Sprintf("wafv2:%s is denied: allow it to the function's role on %s", p.action, p.what)
			if said := deniedBecause(err); said != "" {
				text += "; AWS says that " + said
			}
			findings = append(findings, waf.Finding{Text: text, Fatal: p.fatal})
		}
	}
	f.probed = len(findings) == 0
	return findings, nil
}

// deniedBecause is what AWS says about a denial, in our words.
func deniedBecause(err error) string {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ""
	}
	return deniedAdvice(api.ErrorMessage())
}

func (f *Firewall) probes() []probe {
	name, id, token := f.base+"-v4-000", newID(), newID() // SetName counts from 1
	sets := "ipset/tracewall-*/* (template.yaml, statement KeepOwnIPSets)"
	list := []probe{
		{"UpdateIPSet", false, sets, func(ctx context.Context) error {
			_, err := f.client.UpdateIPSet(ctx, &wafv2.UpdateIPSetInput{Name: &name, Id: &id, Scope: f.scope(), LockToken: &token, Addresses: []string{}})
			return err
		}},
	}
	if p, ok := f.place.(*webACLPlace); ok && p.acl != nil {
		what := fmt.Sprintf("webacl/%s/* and on every ip set, rule group, regex pattern set and managed rule group that the web ACL's rules refer to (template.yaml, statements KeepTheWebACL and CarryOverReferences)", f.target.WebACL)
		list = append(list, probe{"UpdateWebACL", true, what, p.probe})
	}
	if f.target.Mode == ModeRuleGroup {
		group := f.base + "-000"
		list = append(list, probe{"UpdateRuleGroup", false, "rulegroup/tracewall-*/* and ipset/tracewall-*/*", func(ctx context.Context) error {
			_, err := f.client.UpdateRuleGroup(ctx, &wafv2.UpdateRuleGroupInput{
				Name: &group, Id: &id, Scope: f.scope(), LockToken: &token, VisibilityConfig: storyVisibility(group),
			})
			return err
		}})
	}
	return list
}

// probe sends the web ACL as it stands under a lock token that it cannot have.
func (p *webACLPlace) probe(ctx context.Context) error {
	_, err := p.client.UpdateWebACL(ctx, &wafv2.UpdateWebACLInput{
		// Only what the SDK itself insists on; the body that is sent is ours.
		Name: &p.target.WebACL, Id: &p.acl.id, Scope: p.scope(), LockToken: &p.acl.token,
		DefaultAction: &types.DefaultAction{}, VisibilityConfig: storyVisibility(p.target.WebACL),
	}, sendBody(p.probeBody()))
	return err
}

func (p *webACLPlace) probeBody() []byte {
	same := *p.acl
	same.token = newID()
	return same.request(p.target, same.raws())
}

// newID returns a random UUID, which is what AWS WAF wants ids and lock tokens to be.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
