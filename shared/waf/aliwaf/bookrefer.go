package aliwaf

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tracewall/tracewall/shared/waf"
)

// bookConfig is what is written of an address book. It holds addresses of both families.
type bookConfig struct {
	ID          int64  `json:"id,omitempty"`
	Name        string `json:"name"`
	Description string `json:"description"`
	ValueType   string `json:"valueType"`
}

// customRule is what is written of our rule. Status counts only when it is made.
type customRule struct {
	ID         int64       `json:"id,omitempty"`
	Name       string      `json:"name"`
	Origin     string      `json:"origin"`
	Action     string      `json:"action"`
	Status     int         `json:"status"`
	CCStatus   int         `json:"ccStatus"`
	Conditions []condition `json:"conditions"`
}

func (b *addressBook) customRule(id int64) customRule {
	return customRule{
		ID: id, Name: b.name, Origin: originCustom, Action: b.target.Action, Status: 1,
		Conditions: []condition{{Key: "IP", OpValue: "in-list", Values: loose(number(b.seen.book.ID))}},
	}
}

// write makes one write until it is certain that it was made, or that it was not. there tells, after everything
// was looked up again, whether it was. What stayed uncertain is looked up before the next write: nothing is made twice.
func (b *addressBook) write(ctx context.Context, make func() error, there func() bool) error {
	if b.uncertain {
		if err := b.lookWhole(ctx); err != nil {
			return err
		}
		if there() {
			return nil
		}
	}
	for try := 1; ; try++ {
		err := make()
		if err == nil || !unsure(err) && !unheardOf(err) {
			return err
		}
		b.uncertain = true
		if rerr := b.lookWhole(ctx); rerr != nil {
			return errors.Join(err, rerr)
		}
		if there() {
			return nil
		}
		if try == writeTries || !unsure(err) {
			return err
		}
		if serr := b.cfg.Sleep(ctx, backoff(try)); serr != nil {
			return errors.Join(err, serr)
		}
	}
}

// findMade looks everything up again after something was made whose id did not come back.
func (b *addressBook) findMade(ctx context.Context, what string, there func() bool) error {
	if err := b.lookWhole(ctx); err != nil {
		return err
	}
	if !there() {
		return fmt.Errorf("%s: %w: it was made and is not to be seen yet", what, waf.ErrUnavailable)
	}
	return nil
}

// needBook makes the book if there is none, with what it will be made from in its description.
func (b *addressBook) needBook(ctx context.Context, stamp waf.Stamp) error {
	if b.seen.book != nil {
		return nil
	}
	there := func() bool { return b.seen.book != nil }
	config := bookConfig{Name: b.name, Description: b.stamped(stamp), ValueType: "ip"}
	err := b.write(ctx, func() error {
		id, err := b.createRule(ctx, sceneBook, 0, config)
		if err != nil {
			return fmt.Errorf("make address book %s: %w", b.name, err)
		}
		if id != 0 {
			b.seen.book, b.seen.count = &rule{ID: id, Name: b.name, Scene: sceneBook}, 0
			b.mem.Surplus, b.mem.Odd = 0, 0
			if stamp.Epoch != "" {
				b.mem.Stamp = &stamp
			}
			b.remember()
		}
		return nil
	}, there)
	if err != nil || there() {
		return err
	}
	return b.findMade(ctx, "make address book "+b.name, there)
}

// Stamp implements waf.Stamper, in the book's description. What an operator wrote after our mark stays.
func (b *addressBook) Stamp(ctx context.Context, stamp waf.Stamp) error {
	if b.seen.book == nil {
		return b.needBook(ctx, stamp)
	}
	if b.mem.Stamp != nil && *b.mem.Stamp == stamp {
		return nil // the book was made with it
	}
	if b.seen.book.Config == "" { // known by its id only
		book, err := b.readRule(ctx, b.seen.book.ID, 0)
		if err != nil {
			return err
		}
		if book == nil {
			b.forget()
			return fmt.Errorf("stamp address book %s: %w: it is gone", b.name, waf.ErrConflict)
		}
		b.seen.book = book
	}
	description := b.stamped(stamp) + b.remark(descriptionOf(b.seen.book))
	config := bookConfig{ID: b.seen.book.ID, Name: b.name, Description: description, ValueType: "ip"}
	err := b.write(ctx, func() error { return b.modifyRule(ctx, sceneBook, 0, config) },
		func() bool { return b.mem.Stamp != nil && *b.mem.Stamp == stamp })
	if err != nil {
		return fmt.Errorf("stamp address book %s: %w", b.name, err)
	}
	b.seen.book.Config = ""
	b.mem.Stamp = &stamp
	return nil
}

// Refer implements waf.BookFirewall: template, rule, objects, in an order in which nothing that is in
// force ceases to be so before its successor is. Each is written only if it is not as configured.
func (b *addressBook) Refer(ctx context.Context) error {
	if err := b.needBook(ctx, waf.Stamp{}); err != nil {
		return err
	}
	b.mem.Left = false // until it is done, what differs is our own doing
	for _, step := range []func(context.Context) error{b.needTemplate, b.needRule, b.needObjects, b.needEnabled, b.dropOther} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("make rule %s as configured: %w", b.name, err)
		}
	}
	b.left()
	return nil
}

// has tells whether something is still not as configured.
func (b *addressBook) has(kinds ...flawKind) bool {
	return slices.ContainsFunc(b.wrong(), func(f flaw) bool { return slices.Contains(kinds, f.kind) })
}

func (b *addressBook) needTemplate(ctx context.Context) error {
	kind := b.target.templateType()
	if b.has(templateMissing) {
		there := func() bool { return b.seen.template != nil }
		err := b.write(ctx, func() error {
			id, err := b.createTemplate(ctx, sceneCustom, b.templateName(), b.mark(), kind)
			if err == nil && id != 0 {
				b.seen.template = &template{ID: id, Name: b.templateName(), Description: b.mark(), Status: 1, Type: kind}
				b.seen.rule, b.seen.bound = nil, nil
				b.remember()
			}
			return err
		}, there)
		if err == nil && !there() {
			err = b.findMade(ctx, "create template "+b.templateName(), there)
		}
		if err != nil {
			return err
		}
	}
	if !b.has(templateUnmarked) {
		return nil
	}
	return b.write(ctx, func() error {
		err := b.waf(ctx, "ModifyDefenseTemplate", params{
			"TemplateId": number(b.seen.template.ID), "TemplateName": b.templateName(), "Description": b.mark(),
		}, nil)
		if err == nil {
			b.seen.template.Description = b.mark()
		}
		return err
	}, func() bool { return !b.has(templateUnmarked) })
}

func (b *addressBook) needRule(ctx context.Context) error {
	if b.has(ruleMissing) {
		there := func() bool { return b.seen.rule != nil }
		err := b.write(ctx, func() error {
			config := b.customRule(0)
			id, err := b.createRule(ctx, sceneCustom, b.seen.template.ID, config)
			if err == nil && id != 0 {
				b.keepRule(id, config)
			}
			return err
		}, there)
		if err == nil && !there() {
			err = b.findMade(ctx, "create rule "+b.name, there)
		}
		if err != nil {
			return err
		}
	}
	if b.has(ruleOther) {
		err := b.write(ctx, func() error {
			config := b.customRule(b.seen.rule.ID)
			status := b.seen.rule.Status
			err := b.modifyRule(ctx, sceneCustom, b.seen.template.ID, config)
			if err == nil {
				b.keepRule(config.ID, config)
				b.seen.rule.Status = status // which this call leaves as it is
			}
			return err
		}, func() bool { return !b.has(ruleOther, ruleMissing, templateMissing) })
		if err != nil {
			return err
		}
	}
	if !b.has(ruleOff) {
		return nil
	}
	return b.write(ctx, func() error {
		err := b.enableRule(ctx, b.seen.template.ID, b.seen.rule.ID)
		if err == nil {
			b.seen.rule.Status = 1
		}
		return err
	}, func() bool { return !b.has(ruleOff, ruleMissing, templateMissing) })
}

// keepRule notes our rule as it was just written.
func (b *addressBook) keepRule(id int64, config customRule) {
	b.seen.rule = &rule{ID: id, Name: b.name, Status: 1, Scene: sceneCustom, TemplateID: b.seen.template.ID, Config: params{}.json("c", config)["c"]}
	b.remember()
}

func (b *addressBook) needObjects(ctx context.Context) error {
	if !b.has(objectsUnbound, objectsTooMany) {
		return nil
	}
	err := b.write(ctx, func() error {
		missing, former := b.missingObjects(), b.formerObjects()
		err := b.bind(ctx, b.seen.template.ID, missing, former)
		if err == nil {
			b.seen.bound = append(b.seen.bound, missing...)
			b.seen.bound = slices.DeleteFunc(b.seen.bound, func(name string) bool { return slices.Contains(former, name) })
		}
		return err
	}, func() bool { return !b.has(objectsUnbound, objectsTooMany, templateMissing) })
	if err == nil {
		b.mem.Bound = slices.Clone(b.target.Objects)
	}
	return err
}

func (b *addressBook) needEnabled(ctx context.Context) error {
	if !b.has(templateOff) {
		return nil
	}
	return b.write(ctx, func() error {
		err := b.enableTemplate(ctx, b.seen.template.ID)
		if err == nil {
			b.seen.template.Status = 1
		}
		return err
	}, func() bool { return !b.has(templateOff, templateMissing) })
}

// dropOther removes our template of the kind that the target does not need any more, now that the needed one is in force.
func (b *addressBook) dropOther(ctx context.Context) error {
	if b.seen.other == nil {
		return nil
	}
	if _, err := b.removeTemplate(ctx, b.seen.other); err != nil {
		return err
	}
	b.seen.other = nil
	return nil
}
