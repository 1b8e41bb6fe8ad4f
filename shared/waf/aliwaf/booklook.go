package aliwaf

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// lookAgain looks whether all is as we left it. False: it is not, or it cannot be told in three calls.
func (b *addressBook) lookAgain(ctx context.Context) (bool, error) {
	m := b.mem
	if m.Book == 0 || m.Template == 0 || m.Rule == 0 || m.Count < 0 || m.Stamp == nil || !m.Left || m.Action != b.target.Action || !b.fresh() {
		return false, nil
	}
	count, err := b.count(ctx, m.Book)
	if gone(err) || err == nil && count != m.Count {
		return false, nil
	} else if err != nil {
		return false, err
	}
	r, err := b.readRule(ctx, m.Rule, m.Template)
	if err != nil || r == nil || r.Name != b.name {
		return false, err
	}
	t, err := b.readTemplate(ctx, m.Template)
	if err != nil || t == nil || t.Name != b.templateName() {
		return false, err
	}
	if _, ours := b.readMark(t.Description); !ours {
		return false, nil
	}
	was := b.seen
	b.seen = seen{
		book: &rule{ID: m.Book, Name: b.name, Scene: sceneBook}, count: count, rule: r, template: t,
		bound: slices.Clone(m.Bound), strays: was.strays, inScene: was.inScene,
	}
	if was.book != nil && was.book.ID == m.Book {
		b.seen.book = was.book
	}
	return true, nil
}

// lookWhole finds everything that is ours by its name and its mark.
func (b *addressBook) lookWhole(ctx context.Context) error {
	book, err := b.findBook(ctx)
	if err != nil {
		return err
	}
	s := seen{book: book, count: 0}
	if err := b.findPlace(ctx, &s); err != nil {
		return err
	}
	m := &b.mem
	m.Stamp = nil
	if book != nil {
		if m.Book != book.ID {
			m.Surplus, m.Odd = 0, 0 // of another book
		}
		m.Stamp, _ = b.readMark(descriptionOf(book))
		if s.count, err = b.count(ctx, book.ID); err != nil {
			return err
		}
	}
	b.seen, b.uncertain = s, false
	b.remember()
	m.At = b.cfg.Now().UnixMilli()
	return nil
}

// remember keeps the ids and the count of what was seen.
func (b *addressBook) remember() {
	m, s := &b.mem, b.seen
	m.Book, m.Template, m.Rule, m.Count = 0, 0, 0, s.count
	if s.book != nil {
		m.Book = s.book.ID
	}
	if s.template != nil {
		m.Template = s.template.ID
	}
	if s.rule != nil {
		m.Rule = s.rule.ID
	}
}

// findBook returns our book; nil: there is none. A book with our name only, or with our mark only, is left
// alone: filling another one in its place would leave the rule with a nearly empty book.
func (b *addressBook) findBook(ctx context.Context) (*rule, error) {
	books, err := b.listRules(ctx, typeGlobal, "", ruleQuery{Scene: sceneBook})
	if err != nil {
		return nil, err
	}
	var ours *rule
	for i, book := range books {
		_, marked := b.readMark(descriptionOf(&book))
		marked = marked || book.ID == b.mem.Book // its note was taken away; an id is given once
		named := book.Name == b.name
		switch {
		case !marked && !named:
		case !named:
			return nil, fmt.Errorf("address book %d: %w: it has our mark and the name %s: name it %s again, or delete it", book.ID, waf.ErrForeign, printable(book.Name, maxName), b.name)
		case !marked:
			return nil, fmt.Errorf("address book %s: %w: it has our name and not our mark %q in its description: delete it, or give the target another name", b.name, waf.ErrForeign, b.mark())
		case ours != nil:
			return nil, fmt.Errorf("address book %s: %w: it is there twice (%d and %d): delete the one that no rule refers to", b.name, waf.ErrForeign, ours.ID, book.ID)
		default:
			ours = &books[i]
		}
	}
	return ours, nil
}

// findPlace finds our templates, our rule, and what our template is bound to.
func (b *addressBook) findPlace(ctx context.Context, s *seen) error {
	templates, err := b.listTemplates(ctx, sceneCustom, "")
	if err != nil {
		return err
	}
	s.inScene = len(templates)
	for i, t := range templates {
		needed := t.Name == b.templateName()
		if t.Name != b.templateNamed(templateDefault) && t.Name != b.templateNamed(templateCustom) {
			continue
		}
		_, marked := b.readMark(t.Description)
		switch {
		case !marked && t.ID != b.mem.Template:
			if needed {
				return fmt.Errorf("template %s: %w: it has our name and not our mark %q in its description: delete it, or give the target another name", t.Name, waf.ErrForeign, b.mark())
			}
		case needed && s.template != nil:
			return fmt.Errorf("template %s: %w: it is there twice (%d and %d): delete one of them", t.Name, waf.ErrForeign, s.template.ID, t.ID)
		case needed:
			s.template = &templates[i]
		default:
			s.other = &templates[i]
		}
	}
	if s.other != nil {
		rule, strays, err := b.findRule(ctx, s.other.ID)
		if err != nil {
			return err
		}
		if rule == nil && len(strays) > 0 {
			s.other = nil // somebody else uses it now
		}
	}
	if s.template == nil {
		return nil
	}
	if s.rule, s.strays, err = b.findRule(ctx, s.template.ID); err != nil {
		return err
	}
	if s.template.Type == templateCustom {
		s.bound, err = b.boundTo(ctx, s.template.ID, kindObject)
	}
	return err
}

// findRule returns our rule in a template of ours, and the names of the others there.
func (b *addressBook) findRule(ctx context.Context, templateID int64) (ours *rule, strays []string, err error) {
	rules, err := b.listRules(ctx, typeTemplate, "", ruleQuery{Scene: sceneCustom, TemplateID: templateID})
	if err != nil {
		return nil, nil, err
	}
	for i, r := range rules {
		switch {
		case r.TemplateID != 0 && r.TemplateID != templateID:
		case r.Name != b.name:
			strays = append(strays, r.Name)
		case ours != nil:
			return nil, nil, fmt.Errorf("rule %s: %w: it is there twice (%d and %d) in template %d: delete one of them", b.name, waf.ErrForeign, ours.ID, r.ID, templateID)
		default:
			ours = &rules[i]
		}
	}
	return ours, strays, nil
}

// descriptionOf reads the description out of a book's configuration.
func descriptionOf(book *rule) string {
	var config struct {
		Description string `json:"description"`
	}
	_ = json.Unmarshal([]byte(book.Config), &config) // a book without one is not ours
	return config.Description
}

// ruleConfig is what matters of a custom rule's configuration.
type ruleConfig struct {
	Action     string      `json:"action"`
	Conditions []condition `json:"conditions"`
	CCStatus   loose       `json:"ccStatus"`
	GrayStatus loose       `json:"grayStatus"` // 1: only a part of the requests
	TimeConfig *struct {
		TimeScope string `json:"timeScope"` // permanent, or only at times
	} `json:"timeConfig"`
	Tags []string `json:"tags"` // of a whitelist rule: what it lets requests past
}

type condition struct {
	Key     string `json:"key"`
	OpValue string `json:"opValue"`
	Values  loose  `json:"values"`
}

// loose is text that a service may also write as a number.
type loose string

// UnmarshalJSON implements json.Unmarshaler.
func (l *loose) UnmarshalJSON(raw []byte) error {
	*l = loose(strings.Trim(string(raw), `"`))
	if raw[0] == '"' {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		*l = loose(s)
	}
	return nil
}

// configOf reads a rule's configuration.
func configOf(r *rule) (c ruleConfig, err error) {
	err = json.Unmarshal([]byte(r.Config), &c)
	return c, err
}
