package awswaf

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
)

// maxWebACLsRead bounds the search for the web ACLs that refer to our rule groups:
// at 5 calls a second it takes four seconds. With "web_acl" set there is nothing to search.
const maxWebACLsRead = 20

// seenACL is a web ACL that was read to see whether it refers to our rule groups.
type seenACL struct {
	name string
	*webACL
	uses []groupUse
}

// groupUse is a rule that refers to one of our rule groups.
type groupUse struct {
	group string // ARN
	rule  string
	at    int    // in the web ACL's sequence
	why   string // in words, why the group's rule does not do there what it says; "" if it does
}

// groupUse returns the rule that refers to a group and lets it work, or any rule that refers to it; nil if none does.
func (a seenACL) groupUse(arn string) *groupUse {
	var found *groupUse
	for i := range a.uses {
		if u := &a.uses[i]; u.group == arn && (found == nil || found.why != "") {
			found = u
		}
	}
	return found
}

// proveGroups judges every web ACL that refers to one of our rule groups. The wall is in
// force if in one of them all groups that have sets are, and it protects something.
func (f *Firewall) proveGroups(ctx context.Context, p *ruleGroupPlace, proof *waf.Proof) error {
	var filled []*ruleGroup
	var against []string
	for _, g := range p.groups {
		if len(g.Refs) == 0 {
			continue
		}
		filled = append(filled, g)
		switch {
		case g.Foreign != "":
			against = append(against, fmt.Sprintf("rule group %s: %s: move that to a rule group of your own", g.Name, g.Foreign))
		case g.Form != p.form():
			against = append(against, fmt.Sprintf("rule group %s is not as it is configured: somebody changed it, the next run repairs it", g.Name))
		}
	}
	if len(filled) == 0 {
		proof.Reasons = append(proof.Reasons, fmt.Sprintf("%s has nothing to block yet: the first run that has an address to block fills it; refer to it from your web ACL meanwhile", p.title()))
		return nil
	}
	if f.target.Action == ActionCount {
		against = append(against, fmt.Sprintf(`the rule of %s only counts: set "action" to "block", "challenge" or "captcha" once its count looks right`, p.title()))
	}
	acls, hints, err := f.webACLsUsing(ctx, p.groupARNs())
	if err != nil {
		return err
	}
	proof.Reasons = append(proof.Reasons, hints...)
	for _, acl := range acls {
		if err := f.proveGroupsIn(ctx, proof, acl, filled, against); err != nil {
			return err
		}
	}
	if len(acls) == 0 {
		for _, g := range filled {
			proof.Reasons = append(proof.Reasons, unused(g, "any web ACL that could be seen"))
		}
	}
	return nil
}

// unused says exactly what to add.
func unused(g *ruleGroup, where string) string {
	return fmt.Sprintf(`rule group %s is not referred to by %s: add a rule with the statement {"RuleGroupReferenceStatement": {"ARN": "%s"}}, override action None and a priority before your Allow rules`, g.Name, where, g.ARN)
}

func (f *Firewall) proveGroupsIn(ctx context.Context, proof *waf.Proof, acl seenACL, filled []*ruleGroup, against []string) error {
	against = slices.Clone(against)
	last := -1
	action := actionKeys[f.target.Action]
	for _, g := range filled {
		u := acl.groupUse(g.ARN)
		if u == nil {
			against = append(against, unused(g, "web acl "+acl.name))
			continue
		}
		if u.why != "" {
			action = "Count"
			against = append(against, fmt.Sprintf("rule %s of web acl %s refers to rule group %s and %s", u.rule, acl.name, g.Name, u.why))
		}
		last = max(last, u.at)
	}
	if last < 0 {
		return nil
	}
	use := acl.use(acl.name, last)
	use.Action = action
	return f.proveUse(ctx, proof, acl.webACL, last, use, against)
}

// webACLsUsing reads the web ACLs that may refer to these rule groups and returns those that do. hints
// say what could not be seen.
func (f *Firewall) webACLsUsing(ctx context.Context, groups []string) (using []seenACL, hints []string, err error) {
	add := func(name string, acl *webACL) {
		if uses := acl.groupUses(groups, f.base); len(uses) > 0 {
			using = append(using, seenACL{name: name, webACL: acl, uses: uses})
		}
	}
	if f.target.WebACL != "" {
		p := f.proved.named
		if p == nil {
			p = &webACLPlace{Firewall: f}
			f.proved.named = p
		}
		switch err := p.find(ctx, nil); {
		case errors.Is(err, waf.ErrDenied):
			return nil, []string{fmt.Sprintf("whether web acl %s refers to our rule groups is not known: allow wafv2:ListWebACLs, and wafv2:GetWebACL on it, to the function's role", f.target.WebACL)}, nil
		case err != nil:
			return nil, nil, err
		case p.acl == nil:
			return nil, []string{fmt.Sprintf(`there is no web acl %s in %s %s: make it, or correct "web_acl"`, f.target.WebACL, f.target.Scope, f.target.Region)}, nil
		}
		add(f.target.WebACL, p.acl)
		return using, nil, nil
	}
	listed, err := f.listWebACLs(ctx)
	if errors.Is(err, waf.ErrDenied) {
		return nil, []string{"which web ACLs refer to our rule groups is not known: allow wafv2:ListWebACLs, and wafv2:GetWebACL on webacl/*/*, to the function's role"}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	// Those that did the last time come first.
	slices.SortStableFunc(listed, func(a, b types.WebACLSummary) int {
		return firstIf(f.proved.using[aws.ToString(a.Id)], f.proved.using[aws.ToString(b.Id)])
	})
	denied := 0
	f.proved.using = map[string]bool{}
	for _, s := range listed[:min(len(listed), maxWebACLsRead)] {
		acl, err := f.readWebACL(ctx, aws.ToString(s.Name), aws.ToString(s.Id))
		switch {
		case errors.Is(err, waf.ErrDenied):
			denied++
		case code(err) == "WAFNonexistentItemException":
		case err != nil:
			return nil, nil, err
		default:
			before := len(using)
			add(aws.ToString(s.Name), acl)
			f.proved.using[aws.ToString(s.Id)] = len(using) > before
		}
	}
	if denied > 0 {
		hints = append(hints, fmt.Sprintf(`%d web ACLs could not be read: set "web_acl" to the one that refers to our rule groups, or allow wafv2:GetWebACL on webacl/*/*`, denied))
	}
	if n := len(listed) - maxWebACLsRead; n > 0 {
		hints = append(hints, fmt.Sprintf(`of %d web ACLs %d were read: set "web_acl" to the one that refers to our rule groups`, len(listed), maxWebACLsRead))
	}
	return using, hints, nil
}

// firstIf orders what has a property before what has not.
func firstIf(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// groupUses returns the rules that refer to one of the groups. rule is the name of the rule inside them.
func (a *webACL) groupUses(groups []string, rule string) (uses []groupUse) {
	for i, r := range a.sequence() {
		var known struct {
			OverrideAction members
			Statement      struct {
				RuleGroupReferenceStatement *struct {
					ARN                 string
					ExcludedRules       []struct{ Name string } // the older spelling of an override to Count
					RuleActionOverrides []struct {
						Name        string
						ActionToUse members
					}
				}
			}
		}
		if json.Unmarshal(r.raw, &known) != nil || known.Statement.RuleGroupReferenceStatement == nil {
			continue
		}
		s := known.Statement.RuleGroupReferenceStatement
		if !slices.Contains(groups, s.ARN) {
			continue
		}
		use := groupUse{group: s.ARN, rule: r.name, at: i}
		if known.OverrideAction["None"] == nil {
			use.why = "only counts what it matches: set its override action to None"
		}
		for _, o := range s.ExcludedRules {
			if o.Name == rule {
				use.why = fmt.Sprintf("excludes rule %s of it: take that out", rule)
			}
		}
		for _, o := range s.RuleActionOverrides {
			if o.Name != rule {
				continue
			}
			for action := range o.ActionToUse {
				if !slices.Contains(blocking, action) {
					use.why = fmt.Sprintf("overrides the action of rule %s to %s: take that out", rule, action)
				}
			}
		}
		uses = append(uses, use)
	}
	return uses
}

func (f *Firewall) readWebACL(ctx context.Context, name, id string) (*webACL, error) {
	var raw []byte
	if _, err := f.client.GetWebACL(ctx, &wafv2.GetWebACLInput{Name: &name, Id: &id, Scope: f.scope()}, keepAnswer(&raw)); err != nil {
		return nil, fmt.Errorf("get web acl %s: %w", name, mapError(err))
	}
	acl, err := parseWebACL(raw)
	if err != nil {
		return nil, fmt.Errorf("get web acl %s: %w", name, err)
	}
	return acl, nil
}

// listWebACLs returns all web ACLs of the scope.
func (f *Firewall) listWebACLs(ctx context.Context) (list []types.WebACLSummary, err error) {
	var marker *string
	seen := map[string]bool{}
	for range maxPages {
		out, err := f.client.ListWebACLs(ctx, &wafv2.ListWebACLsInput{Scope: f.scope(), Limit: aws.Int32(pageSize), NextMarker: marker})
		if err != nil {
			return nil, fmt.Errorf("list web acls: %w", mapError(err))
		}
		list = append(list, out.WebACLs...)
		next := aws.ToString(out.NextMarker)
		if next == "" || len(out.WebACLs) < pageSize || seen[next] {
			return list, nil
		}
		seen[next] = true
		marker = out.NextMarker
	}
	return nil, fmt.Errorf("list web acls: %w: no end after %d pages", waf.ErrUnavailable, maxPages)
}
