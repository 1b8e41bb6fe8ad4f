package aliwaf

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tracewall/tracewall/shared/waf"
)

// place returns one of our templates that has a place for another rule, in force where it should be.
func (b *blacklist) place(ctx context.Context) (*setTemplate, error) {
	for _, t := range b.templates {
		if t.ours+t.other >= b.rulesInTemplate() {
			continue
		}
		return t, b.ready(ctx, t)
	}
	if b.templatesLeft() == 0 {
		return nil, fmt.Errorf("%w: our %d templates are full, of %d that the target may have, and the instance has %d of %d: raise templates of the target, or the instance's edition",
			waf.ErrQuota, len(b.templates), b.target.Templates, b.total, b.templateQuota())
	}
	t, err := b.newTemplate(ctx)
	if err != nil {
		return nil, err
	}
	return t, b.ready(ctx, t)
}

// ready switches a template on and binds it before anything is put into it that counts as blocked.
func (b *blacklist) ready(ctx context.Context, t *setTemplate) error {
	if !t.on {
		if err := again(ctx, b.wall, func() error { return b.enableTemplate(ctx, t.id) }); err != nil {
			return err
		}
		t.on = true
	}
	if t.missing {
		return b.bindAll(ctx, t)
	}
	return nil
}

// newTemplate makes the next template.
func (b *blacklist) newTemplate(ctx context.Context) (*setTemplate, error) {
	t := &setTemplate{number: b.freeNumber(), description: b.mark(), on: true, byDefault: !b.explicit()}
	t.missing = !t.byDefault
	t.name = fmt.Sprintf("%s-%03d", b.name, t.number)
	kind := templateCustom
	if t.byDefault {
		kind = templateDefault
	}
	id, err := b.createTemplate(ctx, sceneBlacklist, t.name, t.description, kind)
	if err == nil && id == 0 || unsure(err) {
		var rerr error
		if id, rerr = b.madeTemplate(ctx, t); rerr != nil || id == 0 {
			return nil, errors.Join(orUnavailable(err), rerr)
		}
		err = nil
	}
	if err != nil {
		return nil, err
	}
	t.id = id
	b.templates = append(b.templates, t)
	b.total++
	return t, nil
}

func (b *blacklist) freeNumber() int {
	for n := 1; ; n++ {
		if !b.taken[n] && !slices.ContainsFunc(b.templates, func(t *setTemplate) bool { return t.number == n }) {
			return n
		}
	}
}

// madeTemplate finds a template as a call made it whose answer was lost.
func (b *blacklist) madeTemplate(ctx context.Context, t *setTemplate) (int64, error) {
	all, err := b.listTemplates(ctx, sceneBlacklist, t.name)
	if err != nil {
		return 0, err
	}
	for _, one := range all {
		if one.Name == t.name && one.Description == t.description && (one.Status == 1) == t.on && (one.Type == templateDefault) == t.byDefault {
			return one.ID, nil
		}
	}
	return 0, nil
}

// Reference implements waf.SetFirewall: rules are in force by being there, so it only mends our templates
// and rules, and makes the first template.
func (b *blacklist) Reference(ctx context.Context, _, _ []string) error {
	if len(b.templates) == 0 {
		_, err := b.place(ctx)
		return err
	}
	var failures []error
	for _, t := range b.templates {
		if err := b.ready(ctx, t); err != nil {
			failures = append(failures, err)
		}
	}
	for _, name := range sortedNames(b.rules) {
		if err := b.mend(ctx, name, b.rules[name]); err != nil {
			failures = append(failures, err)
			if errors.Is(err, waf.ErrDenied) || ctx.Err() != nil {
				break // the others will not fare better
			}
		}
	}
	return errors.Join(failures...)
}

// mend switches a rule on and gives it the configured action.
func (b *blacklist) mend(ctx context.Context, name string, r *setRule) error {
	if !r.on {
		if err := again(ctx, b.wall, func() error { return b.enableRule(ctx, r.in.id, r.id) }); err != nil {
			return err
		}
		r.on = true
	}
	if r.action == b.target.Action {
		return nil
	}
	return b.change(ctx, name, r, r.prefixes)
}

// Stamp implements waf.Stamper: the note stands in the description of our first template. Without a
// template there is nothing to guard.
func (b *blacklist) Stamp(ctx context.Context, stamp waf.Stamp) error {
	if len(b.templates) == 0 {
		return nil
	}
	t := b.templates[0]
	description := b.restamped(t.description, stamp)
	err := b.waf(ctx, "ModifyDefenseTemplate", params{"TemplateId": number(t.id), "TemplateName": t.name, "Description": description}, nil)
	if unsure(err) {
		t.description = description
		if id, rerr := b.madeTemplate(ctx, t); rerr != nil || id != t.id {
			return fmt.Errorf("note on template %s: %w", t.name, errors.Join(err, rerr))
		}
		err = nil
	}
	if err != nil {
		return fmt.Errorf("note on template %s: %w", t.name, err)
	}
	t.description, t.stamp = description, &stamp
	return nil
}

// restamped is a description of ours with another stamp. An operator's own words after it stay.
func (w *wall) restamped(description string, s waf.Stamp) string {
	text := w.stamped(s)
	if m := markPattern.FindString(description); m != "" && len(m) < len(description) {
		text += " " + description[len(m):]
	}
	return text
}
