package aliwaf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/tracewall/tracewall/shared/waf"
)

// Put implements waf.SetFirewall. One address that the service refuses is found, by writing a part
// of the set at a time, and told as a waf.EntryError: what was accepted on the way is in force.
func (b *blacklist) Put(ctx context.Context, set waf.Set) error {
	switch {
	case !b.ruleNames().MatchString(set.Name):
		return fmt.Errorf("put rule %s: %w: not a name of this target", printable(set.Name, maxName), waf.ErrInvalid)
	case len(set.Prefixes) == 0:
		return fmt.Errorf("put rule %s: %w: a rule cannot be empty", set.Name, waf.ErrInvalid)
	case len(set.Prefixes) > b.setSize():
		return fmt.Errorf("put rule %s: %w: %d addresses, and the instance takes %d in a rule", set.Name, waf.ErrInvalid, len(set.Prefixes), b.setSize())
	}
	err := b.write(ctx, set.Name, set.Prefixes)
	if !refusesContent(err) {
		return err
	}
	return b.isolate(ctx, set, err)
}

// write makes or changes a rule.
func (b *blacklist) write(ctx context.Context, name string, list []netip.Prefix) error {
	if known := b.rules[name]; known != nil {
		return b.change(ctx, name, known, list)
	}
	return b.create(ctx, name, list)
}

// create makes a rule in the first of our templates that has a place, or in a new one.
func (b *blacklist) create(ctx context.Context, name string, list []netip.Prefix) error {
	t, err := b.place(ctx)
	if err != nil {
		return fmt.Errorf("put rule %s: %w", name, err)
	}
	on := 1
	id, err := b.createRule(ctx, sceneBlacklist, t.id, setConfig{Name: name, RemoteAddr: spellAll(list), Action: b.target.Action, Status: &on})
	r := &setRule{id: id, name: name, in: t, on: true, action: b.target.Action, prefixes: slices.Clone(list)}
	if err == nil && id == 0 || unsure(err) {
		made, rerr := b.made(ctx, r)
		if rerr != nil || made == nil {
			return fmt.Errorf("put rule %s: %w", name, errors.Join(orUnavailable(err), rerr))
		}
		r, err = made, nil
	}
	if err != nil {
		return fmt.Errorf("put rule %s: %w", name, err)
	}
	t.ours++
	b.rules[name] = r
	return nil
}

// orUnavailable stands for an answer that came without what it should say.
func orUnavailable(err error) error {
	if err == nil {
		return fmt.Errorf("the answer has no id: %w", waf.ErrUnavailable)
	}
	return err
}

// made finds a rule that a call made whose answer was lost: one that no look has seen, with the name and the content.
func (b *blacklist) made(ctx context.Context, r *setRule) (*setRule, error) {
	all, err := b.listRules(ctx, typeTemplate, "", ruleQuery{Scene: sceneBlacklist, TemplateID: r.in.id})
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		if one.Name != r.name || slices.ContainsFunc(b.known(), func(id int64) bool { return id == one.ID }) {
			continue
		}
		found, err := readSetRule(one, r.in)
		if err == nil && found.same(r) {
			return found, nil
		}
	}
	return nil, nil
}

// known returns the ids of our rules.
func (b *blacklist) known() []int64 {
	ids := make([]int64, 0, len(b.rules))
	for _, r := range b.rules {
		ids = append(ids, r.id)
	}
	return ids
}

// same tells whether two rules block the same.
func (r *setRule) same(other *setRule) bool {
	return r.on == other.on && r.action == other.action && r.odd == other.odd &&
		slices.Equal(inOrder(slices.Clone(r.prefixes)), inOrder(slices.Clone(other.prefixes)))
}

// change writes a rule of ours whole, if it is still what Look saw.
func (b *blacklist) change(ctx context.Context, name string, known *setRule, list []netip.Prefix) error {
	if err := b.unchanged(ctx, known); err != nil {
		return fmt.Errorf("put rule %s: %w", name, err)
	}
	after := &setRule{id: known.id, name: name, in: known.in, on: known.on, action: b.target.Action, prefixes: slices.Clone(list)}
	err := b.modifyRule(ctx, sceneBlacklist, known.in.id, setConfig{ID: known.id, Name: name, RemoteAddr: spellAll(list), Action: b.target.Action})
	if unsure(err) {
		now, rerr := b.readSet(ctx, known)
		if rerr != nil || now == nil || !now.same(after) {
			return fmt.Errorf("put rule %s: %w", name, errors.Join(err, rerr))
		}
		err = nil
	}
	if err != nil {
		return fmt.Errorf("put rule %s: %w", name, err)
	}
	b.rules[name] = after
	return nil
}

// unchanged reads a rule again before it is written over or deleted.
func (b *blacklist) unchanged(ctx context.Context, known *setRule) error {
	now, err := b.readSet(ctx, known)
	switch {
	case err != nil:
		return err
	case now == nil || !now.same(known) || now.name != known.name:
		return waf.ErrConflict
	}
	return nil
}

// readSet reads one of our rules; nil: it is not there.
func (b *blacklist) readSet(ctx context.Context, known *setRule) (*setRule, error) {
	one, err := b.readRule(ctx, known.id, known.in.id)
	if err != nil || one == nil {
		return nil, err
	}
	if one.Name == "" {
		one.Name = known.name
	}
	return readSetRule(*one, known.in)
}

// Delete implements waf.SetFirewall. What the rule holds is free from then on.
func (b *blacklist) Delete(ctx context.Context, set string) error {
	known := b.rules[set]
	if known == nil {
		return nil
	}
	if err := b.unchanged(ctx, known); err != nil {
		return fmt.Errorf("delete rule %s: %w", set, err)
	}
	err := b.deleteRules(ctx, known.in.id, known.id)
	if unsure(err) {
		now, rerr := b.readSet(ctx, known)
		if rerr != nil || now != nil {
			return fmt.Errorf("delete rule %s: %w", set, errors.Join(err, rerr))
		}
		err = nil
	}
	if err != nil {
		return fmt.Errorf("delete rule %s: %w", set, err)
	}
	known.in.ours--
	delete(b.rules, set)
	return nil
}

// refusesContent tells errors that may be about an address. With which code the service refuses one is
// UNVERIFIED, so a code that is not known counts too.
func refusesContent(err error) bool { return errors.Is(err, waf.ErrInvalid) || unheardOf(err) }

// isolate finds the address for which a set was refused. What the set holds already, and each half
// that is accepted, goes into the next try; a half that is refused is halved. A set of 200 takes eight writes.
func (b *blacklist) isolate(ctx context.Context, set waf.Set, refused error) error {
	var stays, fresh []netip.Prefix
	for _, p := range set.Prefixes {
		if known := b.rules[set.Name]; known != nil && slices.Contains(known.prefixes, p) {
			stays = append(stays, p)
		} else {
			fresh = append(fresh, p)
		}
	}
	if len(fresh) == 0 {
		return refused
	}
	alone, accepted := len(fresh) == 1, false
	for len(fresh) > 1 {
		half := len(fresh) / 2
		err := b.write(ctx, set.Name, inOrder(slices.Concat(stays, fresh[:half])))
		switch {
		case err == nil:
			accepted = true
			stays, fresh = append(stays, fresh[:half]...), fresh[half:]
		case refusesContent(err):
			fresh = fresh[:half]
		default:
			return err
		}
	}
	// An address is only blamed if the set is taken without it, or the service says that it is invalid.
	if !accepted && len(stays) > 0 {
		accepted = b.write(ctx, set.Name, inOrder(stays)) == nil
	}
	if !accepted && !(alone && errors.Is(refused, waf.ErrInvalid)) {
		return refused
	}
	return &waf.EntryError{Prefix: fresh[0], Err: refused}
}

// spellAll returns a list as it is sent.
func spellAll(list []netip.Prefix) []string {
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = spell(p)
	}
	return texts
}
