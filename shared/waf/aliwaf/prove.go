package aliwaf

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// protection is how far a template of ours protects anybody.
type protection struct {
	objects []string // at most maxShown of count
	count   int
	partial bool
	reasons []string
}

const maxShown = 100 // resources in a proof

// protects asks which protected objects a template covers.
func (w *wall) protects(ctx context.Context, t *template) (p protection, err error) {
	objects, err := w.boundTo(ctx, t.ID, kindObject)
	if err != nil {
		return p, err
	}
	groups, err := w.boundTo(ctx, t.ID, kindGroup)
	if err != nil {
		return p, err
	}
	all := objects
	for _, g := range groups {
		all = append(all, "group "+g)
	}
	if len(all) == 0 && t.Type == templateDefault {
		// Whether a default template tells its objects here is UNVERIFIED. It covers all that nobody has taken out of it.
		if all, err = w.objects(ctx); err != nil {
			return p, err
		}
		p.partial = true
	}
	slices.Sort(all)
	p.count, p.objects = len(all), all[:min(len(all), maxShown)]
	if p.count == 0 {
		p.reasons = append(p.reasons, fmt.Sprintf("template %s protects nothing: add a protected object to the waf instance, or name one in objects", t.Name))
	}
	return p, nil
}

// objects returns the names of all protected objects of the instance.
func (w *wall) objects(ctx context.Context) (all []string, err error) {
	for page := 1; page <= maxPages; page++ {
		var out struct {
			Resources  []struct{ Resource string }
			TotalCount int
		}
		p := params{"PageNumber": strconv.Itoa(page), "PageSize": strconv.Itoa(pageSize)}
		if err := w.waf(ctx, "DescribeDefenseResources", p, &out); err != nil {
			return nil, fmt.Errorf("list protected objects: %w", err)
		}
		for _, r := range out.Resources {
			if !slices.Contains(all, r.Resource) {
				all = append(all, r.Resource)
			}
		}
		if len(out.Resources) == 0 || out.TotalCount > 0 && len(all) >= out.TotalCount {
			return all, nil
		}
	}
	return nil, fmt.Errorf("list protected objects: %w: no end after %d pages", waf.ErrUnavailable, maxPages)
}

// spares returns the whitelist rules in force that let requests past rules of ours, whose module a whitelist
// rule calls by one of tags: customrule or blacklist; waf stands for all modules.
func (w *wall) spares(ctx context.Context, tag string) (rules []string, err error) {
	templates, err := w.listTemplates(ctx, sceneWhitelist, "")
	if err != nil {
		return nil, err
	}
	on := map[int64]bool{}
	for _, t := range templates {
		on[t.ID] = t.Status == 1
	}
	list, err := w.listRules(ctx, typeTemplate, "whitelist", ruleQuery{Scene: sceneWhitelist})
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		if r.Status != 1 || r.TemplateID != 0 && !on[r.TemplateID] {
			continue
		}
		c, err := configOf(&r)
		if err != nil {
			c.Tags = []string{"waf"} // take it for the worst
		}
		if !slices.Contains(c.Tags, tag) && !slices.Contains(c.Tags, "waf") {
			continue
		}
		var when []string
		for _, one := range c.Conditions {
			when = append(when, fmt.Sprintf("%s %s %s", one.Key, one.OpValue, printable(string(one.Values), maxCondition)))
		}
		rules = append(rules, fmt.Sprintf("%s (%s)", printable(r.Name, maxName), printable(strings.Join(when, " and "), maxErrorText)))
	}
	slices.Sort(rules)
	return rules, nil
}

const maxCondition = 60 // of a condition's values, in a text

// spared says what whitelist rules mean for a proof.
func spared(rules []string) []string {
	if len(rules) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%d whitelist rules come first and let through whom they match, also addresses that we block: %s: take out of them what shall be blocked", len(rules), names(rules))}
}

// Prove implements waf.Prover: the rule is enabled and blocks, its condition is our book, its template is enabled and
// protects something. It costs about nine calls.
func (b *addressBook) Prove(ctx context.Context) (waf.Proof, error) {
	proof := waf.Proof{AsOf: b.cfg.Now().UTC()}
	if err := b.lookWhole(ctx); err != nil {
		return proof, err
	}
	flaws := b.wrong()
	for _, f := range flaws {
		switch f.kind {
		case otherKind, templateUnmarked, objectsTooMany:
			continue // it blocks nevertheless
		case templateMissing, templateOff, ruleMissing, ruleOff, ruleOther, objectsUnbound:
		}
		proof.Reasons = append(proof.Reasons, f.text+": the next sync repairs it")
	}
	// A part that is not bound does not make the rest ineffective.
	proof.Effective = b.seen.book != nil && !b.has(templateMissing, templateOff, ruleMissing, ruleOff, ruleOther)
	if b.seen.book == nil {
		proof.Reasons = append(proof.Reasons, fmt.Sprintf("address book %s is not there: the next sync makes it", b.name))
	}
	if b.seen.template == nil {
		return proof, nil
	}
	use := waf.ACLUse{Name: b.templateName(), Rule: b.name, Action: "Block", DefaultAction: "Allow"}
	if b.target.Action == ActionMonitor {
		use.Action, proof.Effective = "Count", false
		proof.Reasons = append(proof.Reasons, "the target's action is monitor, which blocks nobody: set action to block when you have seen enough")
	}
	covered, err := b.protects(ctx, b.seen.template)
	if err != nil {
		return proof, err
	}
	use.Resources, use.ResourceCount, use.Partial = covered.objects, covered.count, covered.partial
	proof.Reasons = append(proof.Reasons, covered.reasons...)
	proof.Effective = proof.Effective && covered.count > 0
	if use.Behind, err = b.spares(ctx, "customrule"); err != nil {
		return proof, err
	}
	proof.Reasons = append(proof.Reasons, spared(use.Behind)...)
	proof.WebACLs = []waf.ACLUse{use}
	return proof, nil
}

// Preflight implements waf.Preflighter: it asks whether the instance takes what is about to be made.
func (b *addressBook) Preflight(ctx context.Context, need waf.Need) ([]waf.Finding, error) {
	if !need.Rule && need.Creates == 0 {
		return nil, nil
	}
	found, err := b.instance(ctx)
	if err != nil {
		return nil, err
	}
	findings := found.findings()
	d := found.Details
	if !d.CustomRule {
		findings = append(findings, waf.Finding{Text: "the instance's edition has no custom rules, which mode address-book needs: use mode ip-blacklist", Fatal: found.has("CustomRule")})
	}
	if b.seen.template == nil && d.CustomRuleTemplateMaxCount > 0 && b.seen.inScene >= d.CustomRuleTemplateMaxCount {
		findings = append(findings, waf.Finding{Text: fmt.Sprintf("the instance may have %d templates of custom rules and has %d: delete one that is not needed", d.CustomRuleTemplateMaxCount, b.seen.inScene), Fatal: true})
	}
	if len(b.target.Objects) == 0 {
		return findings, nil
	}
	return append(findings, b.objectFindings(ctx, found)...), nil
}

// objectFindings tells what is wrong with the objects that the target names.
func (w *wall) objectFindings(ctx context.Context, found *instance) (findings []waf.Finding) {
	if most := found.Details.DefenseObjectInTemplateMaxCount; most > 0 && len(w.target.Objects) > most {
		findings = append(findings, waf.Finding{Text: fmt.Sprintf("the target names %d objects and a template takes %d: leave objects out, or make two targets", len(w.target.Objects), most), Fatal: true})
	}
	known, err := w.objects(ctx)
	if err != nil {
		return append(findings, waf.Finding{Text: "whether the target's objects exist could not be asked: " + err.Error()})
	}
	for _, name := range w.target.Objects {
		if !slices.Contains(known, name) {
			findings = append(findings, waf.Finding{Text: fmt.Sprintf("the instance has no protected object %s: correct objects, or add it in the console", name), Fatal: true})
		}
	}
	return findings
}
