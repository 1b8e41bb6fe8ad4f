package awswaf

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

var _ waf.Preflighter = (*Firewall)(nil)

const (
	includedWCU   = 1500 // AWS WAF: capacity units that the base price covers
	maxWCU        = 5000 // AWS WAF: per web ACL, fixed
	defaultIPSets = 100  // AWS WAF: IP sets per account and Region unless raised
	shieldRules   = "ShieldMitigationRuleGroup_"
)

// Preflight implements waf.Preflighter. Quotas are only warned of: AWS raises them
// without telling us, so the setting ip_set_quota may be old, and a run that meets the quota
// itself turns what is left into overflow. A refusal on an old number would protect less. Fatal is
// what makes the rest pointless: that the rule can never be written.
//
// What the credentials allow is tried by calls that can have no effect (probes), at most
// two, only before the wall's first set is made and never in a dry run.
func (f *Firewall) Preflight(ctx context.Context, need waf.Need) ([]waf.Finding, error) {
	findings := f.quotaFindings(need)
	if len(f.taken) > 0 {
		findings = append(findings, warning("names of our pattern are taken by ip sets that are not ours (%s), other numbers are used: delete them, or tag them %s=%s if they are remains of ours",
			naming(slices.Sorted(maps.Keys(f.taken))), tagKey, f.target.Name))
	}
	if p, ok := f.place.(*webACLPlace); ok && p.acl != nil {
		findings = append(findings, p.preflight(need)...)
	}
	if len(f.sets) > 0 || need.Creates == 0 || need.DryRun {
		return findings, nil
	}
	more, err := f.probe(ctx)
	return append(findings, more...), err
}

func warning(format string, args ...any) waf.Finding {
	return waf.Finding{Text: fmt.Sprintf(format, args...)}
}

func (f *Firewall) quotaFindings(need waf.Need) (findings []waf.Finding) {
	quota := cmp.Or(f.target.IPSetQuota, defaultIPSets)
	if over := f.inAccount + need.Creates - quota; need.Creates > 0 && over > 0 {
		text := fmt.Sprintf(`%s %s has %d ip sets and %d more are needed, %d above the quota of %d: ask for %d under Service Quotas, AWS WAF, IP sets per Region, and set "ip_set_quota" to what you have`,
			f.target.Region, f.target.Scope, f.inAccount, need.Creates, over, quota, quota+over)
		if f.target.SetSize < MaxSetSize {
			text += fmt.Sprintf(`; or set "set_size" to %d (it is %d): then about %d are needed`,
				MaxSetSize, f.target.SetSize, (need.Creates*f.target.SetSize+MaxSetSize-1)/MaxSetSize)
		}
		findings = append(findings, waf.Finding{Text: text + "; what has no room is overflow"})
	}
	return findings
}

// preflight looks at what the web ACL has room for and who else writes it.
func (p *webACLPlace) preflight(need waf.Need) (findings []waf.Finding) {
	if left := p.room() - len(p.refs()); need.References > left {
		findings = append(findings, warning("%s has room for %d more references (AWS WAF allows %d in all, your own rules hold %d) and %d are needed: remove some, or use mode rule-group; what has no room is overflow",
			p.title(), max(0, left), maxReferences, maxReferences-p.room(), need.References))
	}
	if used, ok := p.acl.capacity(); ok && need.References > 0 {
		each := p.unitsEach()
		after := used + each*need.References
		switch {
		case after > maxWCU:
			findings = append(findings, warning("%s uses %d WCU and our rule needs %d more, above AWS WAF's %d: remove rules of yours, or use mode rule-group with fewer groups", p.title(), used, after-used, maxWCU))
		case after > includedWCU && used <= includedWCU:
			findings = append(findings, warning("%s will use %d WCU; above %d AWS charges extra for every request", p.title(), after, includedWCU))
		}
	}
	for _, r := range p.acl.rules {
		if strings.HasPrefix(r.name, shieldRules) {
			findings = append(findings, warning("Shield Advanced keeps its rule %s in %s: it stays as it is, and now and then a run may have to try again", r.name, p.title()))
		}
	}
	return findings
}

// unitsEach is what a reference to an IP set costs: 1 WCU, 4 more for all the addresses of a header (AWS WAF developer guide).
func (f *Firewall) unitsEach() int {
	if f.target.Forwarded != nil && f.target.Forwarded.Position == "ANY" {
		return 5
	}
	return 1
}

// capacity returns the WCU that the web ACL uses, as AWS counted them.
func (a *webACL) capacity() (units int, ok bool) {
	raw, there := a.fields["Capacity"]
	return units, there && json.Unmarshal(raw, &units) == nil
}

// quietly tells errors that say nothing about permissions from those that end the run.
func quietly(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, waf.ErrOutOfTime) {
		return err
	}
	return nil
}
