package aliwaf

import (
	"context"
	"fmt"

	"github.com/tracewall/tracewall/shared/waf"
)

// Prove implements waf.Prover: rules of ours are enabled and block, in enabled templates that protect
// something. It looks again, and costs two calls more for each template and two for the whitelist.
func (b *blacklist) Prove(ctx context.Context) (waf.Proof, error) {
	proof := waf.Proof{AsOf: b.cfg.Now().UTC()}
	if _, err := b.Look(ctx); err != nil {
		return proof, err
	}
	behind, err := b.spares(ctx, "blacklist")
	if err != nil {
		return proof, err
	}
	for _, t := range b.templates {
		use, reasons, err := b.proveTemplate(ctx, t)
		if err != nil {
			return proof, err
		}
		if use == nil {
			continue
		}
		use.Behind = behind
		proof.WebACLs = append(proof.WebACLs, *use)
		proof.Reasons = append(proof.Reasons, reasons...)
		proof.Effective = proof.Effective || t.on && use.Action == "Block" && use.ResourceCount > 0
	}
	switch {
	case b.target.Action == ActionMonitor:
		proof.Reasons = append(proof.Reasons, "the target's action is monitor, which blocks nobody: set action to block when you have seen enough")
	case len(proof.WebACLs) == 0:
		proof.Reasons = append(proof.Reasons, "there is no rule of ours: the list is empty, or no sync has run yet")
	}
	proof.Reasons = append(proof.Reasons, spared(behind)...)
	return proof, nil
}

// proveTemplate tells how far the rules in a template are in force; nil: it holds none of ours.
func (b *blacklist) proveTemplate(ctx context.Context, t *setTemplate) (*waf.ACLUse, []string, error) {
	if t.ours == 0 {
		return nil, nil, nil
	}
	var reasons []string
	blocks, off, other := 0, 0, 0
	for _, r := range b.rules {
		switch {
		case r.in != t:
		case !r.on:
			off++
		case r.action != ActionBlock:
			other++
		default:
			blocks++
		}
	}
	use := &waf.ACLUse{Name: t.name, Rule: fmt.Sprintf("%d rules of the ip blacklist", t.ours), Action: "Block", DefaultAction: "Allow"}
	if blocks == 0 {
		use.Action = "Count"
	}
	if off > 0 {
		reasons = append(reasons, fmt.Sprintf("%d rules in template %s are switched off: the next sync repairs it", off, t.name))
	}
	if other > 0 && b.target.Action == ActionBlock {
		reasons = append(reasons, fmt.Sprintf("%d rules in template %s do not block: the next sync repairs it", other, t.name))
	}
	if !t.on {
		reasons = append(reasons, fmt.Sprintf("template %s is switched off: the next sync repairs it", t.name))
	}
	if t.missing {
		reasons = append(reasons, fmt.Sprintf("template %s does not protect every object that it should: the next sync repairs it", t.name))
	}
	covered, err := b.protects(ctx, t.asTemplate())
	if err != nil {
		return nil, nil, err
	}
	use.Resources, use.ResourceCount, use.Partial = covered.objects, covered.count, covered.partial
	return use, append(reasons, covered.reasons...), nil
}

// asTemplate is the template as the calls of WAF 3.0 know it.
func (t *setTemplate) asTemplate() *template {
	kind := templateCustom
	if t.byDefault {
		kind = templateDefault
	}
	return &template{ID: t.id, Name: t.name, Type: kind}
}
