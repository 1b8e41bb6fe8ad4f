package aliwaf

import (
	"context"
	"fmt"

	"github.com/tracewall/tracewall/shared/waf"
)

// Preflight implements waf.Preflighter: it asks whether the instance takes what is about to be made.
func (b *blacklist) Preflight(ctx context.Context, need waf.Need) ([]waf.Finding, error) {
	found, err := b.instance(ctx)
	if err != nil {
		return nil, err
	}
	findings := found.findings()
	if len(b.target.Objects) > 0 {
		findings = append(findings, b.objectFindings(ctx, found)...)
	}
	makes := len(b.templates) == 0 || need.Creates > b.placesLeft()
	if !makes || !b.explicit() {
		return findings, nil
	}
	want, err := b.wanted(ctx)
	if err != nil {
		return findings, err
	}
	n := len(want.objects) + len(want.groups)
	if n == 0 {
		findings = append(findings, waf.Finding{Text: "the waf instance protects nothing yet, so the rules will not be in force for anybody: add a protected object"})
	}
	if most := found.Details.DefenseObjectInTemplateMaxCount; most > 0 && n > most {
		findings = append(findings, waf.Finding{Fatal: true, Text: fmt.Sprintf(
			"templates of this target have to be bound to all %d protected objects and groups, and a template takes %d: put objects into groups, name those that matter in objects, or set templates to 1", n, most)})
	}
	return findings, nil
}

// placesLeft is how many more rules the templates take that there are.
func (b *blacklist) placesLeft() (n int) {
	for _, t := range b.templates {
		n += max(0, b.rulesInTemplate()-t.ours-t.other)
	}
	return n
}
