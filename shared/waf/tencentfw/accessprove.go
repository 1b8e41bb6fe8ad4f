package tencentfw

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
)

var (
	_ waf.Prover      = (*access)(nil)
	_ waf.Preflighter = (*access)(nil)
)

// What a Proof lists at most.
const (
	maxReasons = 20
	maxAllows  = 20 // allowlist rules that let somebody on the list through
	maxDomains = 20 // domains whose switches are asked for, if the target is all of them
)

// wafDomain is a domain as DescribeDomains returns it. A number that is not there says nothing.
type wafDomain struct {
	Domain     string `json:"Domain"`
	InstanceID string `json:"InstanceId"`
	Edition    string `json:"Edition"`
	Status     *int   `json:"Status"`   // of the WAF as a whole: 0 off, 1 on
	Mode       *int   `json:"Mode"`     // of the rule engine: 0 observes, 1 blocks
	FlowMode   *int   `json:"FlowMode"` // of the CLB edition: 0 mirrors, 1 filters
}

// domains lists the domains of the target: the one, or all.
func (a *access) domains(ctx context.Context) ([]wafDomain, error) {
	var all []wafDomain
	for n := range maxInstancePages {
		params := map[string]any{"Offset": n * rulePage, "Limit": rulePage}
		if a.target.Domain != Global {
			params["Filters"] = []map[string]any{{"Name": "Domain", "Values": []string{a.target.Domain}, "ExactMatch": true}}
		}
		var out struct {
			Total   int
			Domains []wafDomain
		}
		if err := a.call(ctx, "waf", "DescribeDomains", params, &out); err != nil {
			return nil, err
		}
		all = append(all, out.Domains...)
		if len(out.Domains) == 0 || len(all) >= out.Total {
			break
		}
	}
	return slices.DeleteFunc(all, func(d wafDomain) bool {
		return a.target.Domain != Global && d.Domain != a.target.Domain || a.target.InstanceID != "" && d.InstanceID != a.target.InstanceID ||
			a.target.Edition != "" && !sameEdition(d.Edition, a.target.Edition)
	}), nil
}

// Prove implements waf.Prover. What the blocklist holds is in force on a domain if the WAF is on there, filters and
// blocks, and access control is on. Whether the blocklist blocks while the rule engine only observes is
// UNVERIFIED, and so it does not count; nor does what cannot be seen: the reason names the permission.
//
// The allowlists of the domain and of all domains come first (DOC, product/627/35646). Rules in them that let somebody
// through who is on our list are named; for everybody else the wall is in force behind them. Rules of the
// precise allowlist, which go by path, header and the like, come before all of that and are not looked at.
func (a *access) Prove(ctx context.Context) (waf.Proof, error) {
	proof := waf.Proof{AsOf: a.cfg.Now().UTC()}
	if err := a.prove(ctx, &proof); err != nil {
		return waf.Proof{}, fmt.Errorf("prove the %s: %w", a.title(), err)
	}
	if len(proof.Reasons) > maxReasons {
		more := len(proof.Reasons) - maxReasons + 1
		proof.Reasons = append(proof.Reasons[:maxReasons-1], fmt.Sprintf("and %d more", more))
	}
	return proof, nil
}

func (a *access) prove(ctx context.Context, proof *waf.Proof) error {
	say := func(format string, args ...any) { proof.Reasons = append(proof.Reasons, fmt.Sprintf(format, args...)) }
	domains, err := a.domains(ctx)
	if errors.Is(err, waf.ErrDenied) {
		say("whether the WAF protects %s cannot be seen: grant waf:DescribeDomains", a.target.Domain)
		return nil
	}
	if err != nil {
		return err
	}
	if len(domains) == 0 {
		say("%s", a.noDomain())
		return nil
	}
	allows, err := a.allows(ctx)
	if err != nil {
		return err
	}
	for i, d := range domains {
		if i == maxDomains {
			say("%d more domains were not looked at", len(domains)-i)
			break
		}
		against, err := a.against(ctx, d)
		if err != nil {
			return err
		}
		proof.Effective = proof.Effective || len(against) == 0
		proof.Reasons = append(proof.Reasons, against...)
		proof.WebACLs = append(proof.WebACLs, waf.ACLUse{
			Name: printable(d.Domain, 100), Rule: "ip blocklist, notes tracewall:" + a.label, Action: "Block", DefaultAction: "Allow", Behind: allows,
			Resources: []string{printable(d.Domain, 100)}, ResourceCount: 1,
		})
	}
	for _, text := range allows {
		say("%s: take it out of the allowlist, or off the list", text)
	}
	return nil
}

func (a *access) noDomain() string {
	if a.target.Domain == Global {
		return fmt.Sprintf("the WAF in %s protects no domain: add one, or correct %q or %q", a.target.Region, "region", "edition")
	}
	return fmt.Sprintf("the WAF in %s does not protect %s: add it there, or correct %q, %q or %q", a.target.Region, a.target.Domain, "domain", "region", "edition")
}

// against returns in words why our rules are not in force on a domain.
func (a *access) against(ctx context.Context, d wafDomain) (reasons []string, err error) {
	name := printable(d.Domain, 100)
	say := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	is := func(n *int, value int) bool { return n != nil && *n == value }
	if is(d.Status, 0) {
		say("the WAF is switched off for %s: switch it on", name)
	}
	if is(d.Mode, 0) {
		say("the WAF only observes %s: set its protection mode to block", name)
	}
	if editionOf(d.Edition) == EditionCLB && is(d.FlowMode, 0) {
		say("the WAF only gets a copy of the traffic of %s: set its traffic mode from mirroring to cleaning", name)
	}
	switch on, err := a.controls(ctx, d); {
	case errors.Is(err, waf.ErrDenied):
		say("whether access control is on for %s cannot be seen: grant waf:DescribeModuleStatus", name)
	case errors.Is(err, waf.ErrInvalid), errors.Is(err, waf.ErrConflict):
		say("whether access control is on for %s cannot be seen: %s", name, err.Error())
	case err != nil:
		return nil, err
	case !on:
		say("access control is switched off for %s: switch it on", name)
	}
	return reasons, nil
}

// controls tells whether access control is on for a domain. That the IP lists are part of what that switch
// turns off is UNVERIFIED: if they are not, a proof says too little.
func (a *access) controls(ctx context.Context, d wafDomain) (on bool, err error) {
	var out struct{ AccessControl *int }
	err = a.call(ctx, "waf", "DescribeModuleStatus", map[string]any{"Domain": d.Domain}, &out)
	return out.AccessControl == nil || *out.AccessControl != 0, err
}

// allows names the allowlist rules that let somebody through who is on our list.
func (a *access) allows(ctx context.Context) ([]string, error) {
	if err := a.whole(ctx); err != nil {
		return nil, err
	}
	held := a.book.listings(a.cfg.Now())
	var texts []string
	where := []string{Global}
	if a.target.Domain != Global {
		where = append(where, a.target.Domain)
	}
	for _, domain := range where {
		rules, _, err := a.rulesOf(ctx, domain, actionAllow)
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			if text := r.lets(held, a.cfg.Now(), domain); text != "" {
				texts = append(texts, text)
			}
		}
	}
	if len(texts) > maxAllows {
		texts = append(texts[:maxAllows-1], fmt.Sprintf("%d more allowlist rules let addresses through that are on the list", len(texts)-maxAllows+1))
	}
	return texts, nil
}

// lets says in words which of the listings an allowlist rule lets through, "" if none.
func (r *accessRule) lets(held []waf.Listing, now time.Time, domain string) string {
	if r.over(now) {
		return ""
	}
	through, first := 0, netip.Prefix{}
	for _, p := range r.list {
		if !p.IsValid() {
			continue
		}
		// held is in order: what begins in p comes after it, what p lies in has a shorter prefix of its address.
		i, _ := slices.BinarySearchFunc(held, p, func(l waf.Listing, p netip.Prefix) int { return l.Prefix.Addr().Compare(p.Addr()) })
		for ; i < len(held) && p.Contains(held[i].Prefix.Addr()); i++ {
			if held[i].Prefix.Bits() >= p.Bits() {
				through++
				first = held[i].Prefix
			}
		}
		for bits := range p.Bits() {
			wide := netip.PrefixFrom(p.Addr(), bits).Masked()
			if _, has := slices.BinarySearchFunc(held, wide, func(l waf.Listing, p netip.Prefix) int {
				return cmp.Or(l.Prefix.Addr().Compare(p.Addr()), cmp.Compare(l.Prefix.Bits(), p.Bits()))
			}); has {
				through++
				first = wide
			}
		}
	}
	if through == 0 {
		return ""
	}
	return fmt.Sprintf("allowlist rule %s of %s lets %d addresses or ranges through that are on the list, %s among them", printable(r.key, 60), domain, through, first)
}

// domainFor is how long a domain is believed to be there.
const domainFor = 24 * time.Hour

// Preflight implements waf.Preflighter: before the first write, and then once a day, it makes sure that
// the domain is one that the WAF protects. Whether writes are permitted cannot be asked without one.
func (a *access) Preflight(ctx context.Context, _ waf.Need) ([]waf.Finding, error) {
	now := a.cfg.Now()
	if a.left != nil && now.Sub(time.Unix(a.left.Domain, 0)) < domainFor {
		return nil, nil
	}
	domains, err := a.domains(ctx)
	switch {
	case errors.Is(err, waf.ErrDenied):
		return []waf.Finding{{Text: fmt.Sprintf("whether the WAF protects %s cannot be seen: grant waf:DescribeDomains", a.target.Domain)}}, nil
	case err != nil:
		return nil, fmt.Errorf("preflight of the %s: %w", a.title(), err)
	case len(domains) == 0:
		return []waf.Finding{{Text: a.noDomain(), Fatal: a.target.Domain != Global}}, nil
	}
	if a.left != nil {
		a.left.Domain = now.Unix()
	}
	return nil, nil
}
