package aliwaf

import (
	"context"
	"fmt"
	"slices"
)

// Detach implements waf.Detacher: our rules first, so that nobody is blocked any more, then the templates they stood
// in. A template that holds somebody else's rules stays, without ours.
func (b *blacklist) Detach(ctx context.Context, dryRun bool) (done []string, err error) {
	if _, err := b.instance(ctx); err != nil {
		return nil, err
	}
	b.notes, b.scope = nil, nil
	if err := b.readTemplates(ctx); err != nil {
		return nil, err
	}
	if err := b.readRules(ctx); err != nil {
		return nil, err
	}
	verb := "deleted"
	if dryRun {
		verb = "would delete"
	}
	for _, t := range slices.Clone(b.templates) {
		said, err := b.leaveTemplate(ctx, t, verb, dryRun)
		if done = append(done, said...); err != nil {
			return done, err
		}
	}
	if !dryRun {
		b.templates, b.rules = nil, map[string]*setRule{}
	}
	return done, nil
}

// rulesChunk is how many rules one DeleteDefenseRule names, ours: the call is documented without a bound.
const rulesChunk = 20

// leaveTemplate removes our rules from a template, and the template if nothing else is in it.
func (b *blacklist) leaveTemplate(ctx context.Context, t *setTemplate, verb string, dryRun bool) (done []string, err error) {
	var ids []int64
	for _, r := range b.rules {
		if r.in == t {
			ids = append(ids, r.id)
		}
	}
	slices.Sort(ids)
	for part := range slices.Chunk(ids, rulesChunk) {
		if dryRun {
			break
		}
		if err := again(ctx, b.wall, func() error { return b.deleteRules(ctx, t.id, part...) }); err != nil {
			return done, err
		}
	}
	if len(ids) > 0 {
		done = append(done, fmt.Sprintf("%s %d rules in template %s", verb, len(ids), t.name))
	}
	// A template goes with all that is in it: what has been put there since is looked for.
	left, err := b.listRules(ctx, typeTemplate, "", ruleQuery{Scene: sceneBlacklist, TemplateID: t.id})
	if err != nil {
		return done, err
	}
	left = slices.DeleteFunc(left, func(r rule) bool { return slices.Contains(ids, r.ID) || r.TemplateID != 0 && r.TemplateID != t.id })
	if len(left) > 0 {
		return append(done, fmt.Sprintf("template %s stays: it holds %d rules that are not ours, the first: %s", t.name, len(left), printable(left[0].Name, maxName))), nil
	}
	if !dryRun {
		if err := again(ctx, b.wall, func() error { return b.deleteTemplate(ctx, t.id) }); err != nil {
			return done, err
		}
	}
	return append(done, verb+" template "+t.name), nil
}

// DetachMode implements waf.Detacher.
func (b *blacklist) DetachMode(ctx context.Context, mode string, dryRun bool) ([]string, error) {
	return b.detachMode(ctx, b, ModeIPBlacklist, mode, dryRun)
}
