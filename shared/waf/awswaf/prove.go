package awswaf

import (
	"context"
	"fmt"
	"slices"

	"github.com/tracewall/tracewall/shared/waf"
)

var _ waf.Prover = (*Firewall)(nil)

// What a Proof lists at most.
const (
	maxResources  = 100
	maxReasons    = 20
	maxNeighbours = 20 // Allow rules before, or after, ours
)

// Prove implements waf.Prover. What the sets hold is in force if a rule that
// refers to them is as configured and blocks, challenges or asks for a CAPTCHA, in a
// web ACL that protects at least one resource, and no Allow rule comes first that
// could let anybody pass. What cannot be seen does not count: the reason names the permission.
//
// Allow rules that come first are always listed. One that only asks for addresses (an IP set) lets
// pass whom the user has named and nobody else; the wall is in force behind it. One
// that goes by path, header, country or anything else a listed client can choose or
// have does not only let friends pass, and then it is not. Rule groups that come
// first are named if they might hold Allow rules; AWS's own do not.
//
// It costs no second GetWebACL, but a call for each kind of resource. After
// a run that wrote something it stops at the first kind that shows a resource
// (ACLUse.Partial): a busy run's calls are dear, and the next calm proof lists them all.
func (f *Firewall) Prove(ctx context.Context) (waf.Proof, error) {
	proof := waf.Proof{AsOf: f.now().UTC()}
	var err error
	switch p := f.place.(type) {
	case *webACLPlace:
		err = f.proveWebACL(ctx, p, &proof)
	case *ruleGroupPlace:
		err = f.proveGroups(ctx, p, &proof)
	default:
		proof.Reasons = []string{fmt.Sprintf("the addresses are held by the %s named in ip_sets; whether a rule of yours refers to them cannot be seen with the two permissions of mode ip-set: "+
			"see to it that a rule that blocks does, in a web ACL that is associated with what it shall protect", f.place.title())}
	}
	if err != nil {
		return waf.Proof{}, fmt.Errorf("prove %s: %w", f.place.title(), err)
	}
	proof.Reasons = some(proof.Reasons, maxReasons)
	return proof, nil
}

func (f *Firewall) proveWebACL(ctx context.Context, p *webACLPlace, proof *waf.Proof) error {
	if p.acl != nil && p.acl.arn() == "" { // just made: the answer to that does not hold it all
		if err := p.find(ctx, nil); err != nil {
			return err
		}
	}
	if p.acl == nil {
		proof.Reasons = append(proof.Reasons, fmt.Sprintf("there is no %s: the first run that has an address to block makes it; associate it with what it shall protect", p.title()))
		return nil
	}
	rule := p.acl.ours(f.base)
	if rule == nil {
		proof.Reasons = append(proof.Reasons, fmt.Sprintf("%s has no rule %s yet: the first run that has an address to block makes it", p.title(), f.base))
		return nil
	}
	at := p.acl.at(rule.name)
	use := p.acl.use(f.target.WebACL, at)
	use.Action = rule.action
	var against []string
	switch {
	case rule.action == "Count":
		against = append(against, fmt.Sprintf(`rule %s of %s only counts: set "action" to "block", "challenge" or "captcha" once its count looks right`, f.base, p.title()))
	case !slices.Contains(blocking, rule.action):
		against = append(against, fmt.Sprintf("rule %s of %s does not block but has action %s: somebody changed it, the next run repairs it", f.base, p.title(), rule.action))
	case !p.ok():
		against = append(against, fmt.Sprintf("rule %s of %s is not as it is configured: somebody changed it, the next run repairs it", f.base, p.title()))
	}
	return f.proveUse(ctx, proof, p.acl, at, use, against)
}

// blocking are the actions that keep a client out, or up.
var blocking = []string{"Block", "Challenge", "Captcha"}

// proveUse judges the neighbours of a rule and what its web ACL protects. at is the rule's place in
// acl.sequence, against are the reasons found so far why this use of our sets is not in force.
func (f *Firewall) proveUse(ctx context.Context, proof *waf.Proof, acl *webACL, at int, use waf.ACLUse, against []string) error {
	title := "web acl " + use.Name
	holes, doubts := acl.passes(title, at)
	against = append(against, holes...)
	p, err := f.protection(ctx, acl.arn(), f.wrote)
	if err != nil {
		return err
	}
	use.ResourceCount, use.Resources, use.Partial = len(p.resources), p.resources[:min(len(p.resources), maxResources)], p.partial
	words := p.words(title, f.target.Scope)
	if len(p.resources) == 0 {
		against = append(against, words...)
	} else {
		doubts = append(doubts, words...)
	}
	proof.Effective = proof.Effective || len(against) == 0
	proof.Reasons = append(proof.Reasons, append(against, doubts...)...)
	proof.WebACLs = append(proof.WebACLs, use)
	return nil
}
