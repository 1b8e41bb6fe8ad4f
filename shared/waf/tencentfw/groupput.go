package tencentfw

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// Put implements waf.SetFirewall: with CreateAddressTemplate, or with ModifyAddressTemplateAttribute, which replaces
// all members at once. AddTemplateMember and DeleteTemplateMember could leave alone what others
// entered meanwhile, but take two writes where one address goes and another comes, with a state
// between them, and are not served in every Region. So the template is read once more right before it is
// written, and what somebody entered since Look is a conflict. What is entered in the moment between that read and
// the write is lost: it is in a template of ours, and would go with the next run.
func (g *group) Put(ctx context.Context, set waf.Set) error {
	if len(set.Prefixes) == 0 || !setNames(g.target.base()).MatchString(set.Name) {
		return fmt.Errorf("put %s with %d addresses: %w", set.Name, len(set.Prefixes), waf.ErrInvalid)
	}
	var err error
	if known := g.templates[set.Name]; known == nil {
		err = g.create(ctx, set.Name, set.Prefixes)
	} else {
		err = g.rewrite(ctx, known, set.Prefixes)
	}
	if errors.Is(err, waf.ErrInvalid) {
		err = g.blame(ctx, set, err)
	}
	if err != nil {
		return fmt.Errorf("put %s: %w", set.Name, err)
	}
	return nil
}

func (g *group) create(ctx context.Context, name string, list []netip.Prefix) error {
	var answer struct{ AddressTemplate template }
	var made *template
	err := g.change(ctx, func() error {
		return g.call(ctx, "vpc", "CreateAddressTemplate", map[string]any{"AddressTemplateName": name, "AddressesExtra": g.members(list)}, &answer)
	}, func() (there bool, err error) {
		if answer.AddressTemplate.ID != "" { // to make one is no task: the answer is the template
			made, answer.AddressTemplate = &template{ID: answer.AddressTemplate.ID, Name: name, Members: g.asMembers(list)}, template{}
			return true, nil
		}
		made, err = g.named(ctx, name)
		return made != nil && slices.Equal(made.prefixes(), list), err
	})
	if made != nil {
		if g.templates[name] == nil {
			g.inTenant++
		}
		g.templates[name] = made // also with other content: it is there, and ours
	}
	return err
}

func (g *group) rewrite(ctx context.Context, known *template, list []netip.Prefix) error {
	now, err := g.template(ctx, known.ID)
	switch {
	case err != nil:
		return err
	case now == nil || now.Name != known.Name || !slices.Equal(now.prefixes(), known.prefixes()):
		return fmt.Errorf("read before writing: %w", waf.ErrConflict)
	}
	err = g.change(ctx, func() error {
		return g.call(ctx, "vpc", "ModifyAddressTemplateAttribute", map[string]any{"AddressTemplateId": known.ID, "AddressesExtra": g.members(list)}, nil)
	}, func() (bool, error) {
		read, err := g.template(ctx, known.ID)
		if err == nil && read == nil {
			err = fmt.Errorf("read back: %w", waf.ErrConflict)
		}
		if err != nil {
			return false, err
		}
		now = read
		return slices.Equal(now.prefixes(), list), nil
	})
	g.templates[known.Name] = now
	return err
}

func (g *group) asMembers(list []netip.Prefix) []member {
	members := make([]member, len(list))
	for i, p := range list {
		members[i] = member{Address: spell(p), Description: g.mark}
	}
	return members
}

func (g *group) members(list []netip.Prefix) []map[string]any {
	members := make([]map[string]any, len(list))
	for i, m := range g.asMembers(list) {
		members[i] = map[string]any{"Address": m.Address, "Description": m.Description}
	}
	return members
}

// blame finds the address because of which a write was refused, so that it costs only itself. The cloud's text
// may name it; else it is among the newcomers, and smaller and smaller parts of these are written until one
// is left. Those that were taken meanwhile stay: they are wanted.
func (g *group) blame(ctx context.Context, set waf.Set, refused error) error {
	var kept, suspects []netip.Prefix
	if known := g.templates[set.Name]; known != nil {
		kept = known.prefixes()
	}
	for _, p := range set.Prefixes {
		if !slices.Contains(kept, p) {
			suspects = append(suspects, p)
		}
	}
	// What is only to go stays until the next run: it must not go before what is to come is there.
	var told *cloudError
	if errors.As(refused, &told) {
		for _, p := range suspects {
			if names(told.text, p) {
				return &waf.EntryError{Prefix: p, Err: refused}
			}
		}
	}
	for len(suspects) > 1 {
		half := suspects[:len(suspects)/2]
		trial := slices.Concat(kept, half)
		slices.SortFunc(trial, netip.Prefix.Compare)
		var err error
		switch known := g.templates[set.Name]; {
		case len(trial) > g.quota.perTemplate:
			return refused // what has to go first is still there
		case known == nil:
			err = g.create(ctx, set.Name, trial)
		default:
			err = g.rewrite(ctx, known, trial)
		}
		switch {
		case err == nil:
			kept, suspects = trial, suspects[len(half):]
		case errors.Is(err, waf.ErrInvalid):
			suspects, refused = half, err
		default:
			return err
		}
	}
	if len(suspects) == 0 {
		return refused
	}
	return &waf.EntryError{Prefix: suspects[0], Err: refused}
}

// names tells whether a text has an address in it as a word of its own.
func names(text string, p netip.Prefix) bool {
	words := strings.FieldsFunc(text, func(r rune) bool {
		return !strings.ContainsRune("0123456789abcdefABCDEF.:/", r)
	})
	return slices.ContainsFunc(words, func(word string) bool {
		read := readAddress(strings.TrimRight(word, ".:"))
		return len(read) == 1 && read[0] == p
	})
}

// Delete implements waf.SetFirewall.
func (g *group) Delete(ctx context.Context, set string) error {
	t := g.templates[set]
	if t == nil {
		return nil
	}
	now, err := g.template(ctx, t.ID)
	if err == nil && now != nil && now.Name != t.Name {
		err = waf.ErrConflict
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", set, err)
	}
	if now != nil {
		err = g.change(ctx, func() error {
			return g.call(ctx, "vpc", "DeleteAddressTemplate", map[string]any{"AddressTemplateId": t.ID}, nil)
		}, func() (bool, error) {
			left, err := g.template(ctx, t.ID)
			return left == nil, err
		})
	}
	if errors.Is(err, waf.ErrInvalid) {
		// The id is right, so it can only be that something of somebody else's refers to it: which code says so is UNVERIFIED.
		err = fmt.Errorf("%w: %w", waf.ErrInUse, err)
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", set, err)
	}
	delete(g.templates, set)
	g.inTenant--
	return nil
}
