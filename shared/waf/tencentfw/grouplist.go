package tencentfw

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	"github.com/tracewall/tracewall/shared/waf"
)

// templateGroup is an address template group, ipmg-…: at most 20 address templates. It has no text but its
// name, so the name carries the Stamp: tracewall-edge.5f3a90c1d2e4.2k, with the generation in base 36. It is ours if
// it has that name and a template of ours is in it: no template of ours is anywhere else.
type templateGroup struct {
	ID        string   `json:"AddressTemplateGroupId"`
	Name      string   `json:"AddressTemplateGroupName"`
	Templates []string `json:"AddressTemplateIdSet"`
}

// maxName is what a template's or a group's name may have in characters: see template.
const maxName = 60

// listNames matches the names of a target's group. Target names have no dot in them.
func listNames(base string) *regexp.Regexp {
	return regexp.MustCompile(`^` + regexp.QuoteMeta(base) + `(?:\.([0-9a-f]{12})\.([0-9a-z]{1,13}))?$`)
}

func listName(base string, s waf.Stamp) string {
	epoch := s.Epoch
	if !shortEpoch.MatchString(epoch) {
		epoch = waf.ShortEpoch(epoch)
	}
	return base + "." + epoch + "." + strconv.FormatUint(s.Generation, 36)
}

var shortEpoch = regexp.MustCompile(`^[0-9a-f]{12}$`)

func (l *templateGroup) stamp(base string) *waf.Stamp {
	f := listNames(base).FindStringSubmatch(l.Name)
	if f == nil || f[1] == "" {
		return nil
	}
	n, err := strconv.ParseUint(f[2], 36, 64)
	if err != nil {
		return nil
	}
	return &waf.Stamp{Epoch: f[1], Generation: n}
}

// findList finds our address template group.
func (g *group) findList(ctx context.Context) error {
	all, err := g.lists(ctx, nil)
	if err != nil {
		return err
	}
	g.list = nil
	names := listNames(g.target.base())
	for _, l := range all {
		switch {
		case !names.MatchString(l.Name):
		case !g.owns(&l):
			return fmt.Errorf("address template group %s has the name %s and nothing of ours in it: rename it, or take another target name: %w", printable(l.ID, 40), l.Name, waf.ErrForeign)
		case g.list != nil:
			return fmt.Errorf("address template groups %s and %s are both ours: delete the one to which no security group refers: %w", g.list.ID, printable(l.ID, 40), waf.ErrForeign)
		default:
			g.list = &l
		}
	}
	return nil
}

// owns tells whether a template of ours is in the group.
func (g *group) owns(l *templateGroup) bool {
	return slices.ContainsFunc(l.Templates, func(id string) bool { return g.byID(id) != nil })
}

func (g *group) lists(ctx context.Context, filter map[string]any) ([]templateGroup, error) {
	return pages(ctx, func(ctx context.Context, offset int) ([]templateGroup, int, error) {
		var answer struct {
			TotalCount              int
			AddressTemplateGroupSet []templateGroup
		}
		params := page(offset, filter)
		err := g.call(ctx, "vpc", "DescribeAddressTemplateGroups", params, &answer)
		return answer.AddressTemplateGroupSet, answer.TotalCount, err
	}, func(l templateGroup) string { return l.ID })
}

// readList reads our group again; nil: it is not there any more.
func (g *group) readList(ctx context.Context, id string) (*templateGroup, error) {
	found, err := g.lists(ctx, byFilter("address-template-group-id", id))
	if err != nil {
		return nil, err
	}
	for _, l := range found {
		if l.ID == id {
			return &l, nil
		}
	}
	return nil, nil
}

// relist makes our group hold the templates in add and no longer those in drop, and what
// else is in it already. It returns false if nothing would be left in it: a group cannot be empty. It is
// read right before it is written, for what others entered meanwhile.
func (g *group) relist(ctx context.Context, add, drop []string) (left bool, err error) {
	if g.list == nil {
		if len(add) == 0 {
			return false, nil
		}
		return true, g.makeList(ctx, add)
	}
	now, err := g.readList(ctx, g.list.ID)
	if err != nil {
		return true, err
	}
	if now == nil || now.Name != g.list.Name {
		return true, fmt.Errorf("group %s: %w", g.list.ID, waf.ErrConflict)
	}
	want := slices.DeleteFunc(slices.Clone(now.Templates), func(id string) bool { return slices.Contains(drop, id) })
	for _, id := range add {
		if !slices.Contains(want, id) {
			want = append(want, id)
		}
	}
	g.list = now
	if len(want) == 0 {
		return false, nil
	}
	if slices.Equal(want, now.Templates) {
		return true, nil
	}
	return true, g.writeList(ctx, map[string]any{"AddressTemplateIds": want}, func(l *templateGroup) bool {
		return sameIDs(l.Templates, want)
	})
}

func (g *group) makeList(ctx context.Context, ids []string) error {
	var answer struct{ AddressTemplateGroup templateGroup }
	return g.change(ctx, func() error {
		return g.call(ctx, "vpc", "CreateAddressTemplateGroup", map[string]any{"AddressTemplateGroupName": g.target.base(), "AddressTemplateIds": ids}, &answer)
	}, func() (bool, error) {
		if id := answer.AddressTemplateGroup.ID; id != "" { // to make one is no task: the answer is the group
			g.list = &templateGroup{ID: id, Name: g.target.base(), Templates: ids}
			return true, nil
		}
		all, err := g.lists(ctx, byFilter("address-template-group-name", g.target.base()))
		if err != nil {
			return false, err
		}
		for _, l := range all {
			if l.Name == g.target.base() && sameIDs(l.Templates, ids) {
				g.list = &l
				return true, nil
			}
		}
		return false, nil
	})
}

// writeList changes the group's name, or what is in it, and waits until that can be read.
func (g *group) writeList(ctx context.Context, what map[string]any, done func(*templateGroup) bool) error {
	id := g.list.ID
	what["AddressTemplateGroupId"] = id
	return g.change(ctx, func() error {
		return g.call(ctx, "vpc", "ModifyAddressTemplateGroupAttribute", what, nil)
	}, func() (bool, error) {
		l, err := g.readList(ctx, id)
		if err != nil {
			return false, err
		}
		if l == nil {
			return false, fmt.Errorf("group %s: %w", id, waf.ErrConflict)
		}
		g.list = l
		return done(l), nil
	})
}

// dropList deletes the group, to which no rule of ours refers any more.
func (g *group) dropList(ctx context.Context) error {
	id := g.list.ID
	err := g.change(ctx, func() error {
		return g.call(ctx, "vpc", "DeleteAddressTemplateGroup", map[string]any{"AddressTemplateGroupId": id}, nil)
	}, func() (bool, error) {
		l, err := g.readList(ctx, id)
		return l == nil, err
	})
	if err == nil {
		g.list = nil
	}
	return err
}

// Stamp implements waf.Stamper: it gives the group the name that says so. Without a group there is nothing to guard.
func (g *group) Stamp(ctx context.Context, stamp waf.Stamp) error {
	if g.list == nil {
		return nil
	}
	name := listName(g.target.base(), stamp)
	if len(name) > maxName {
		return fmt.Errorf("stamp %s: the name would be longer than %d characters: %w", g.list.ID, maxName, waf.ErrInvalid)
	}
	if g.list.Name == name {
		return nil
	}
	err := g.writeList(ctx, map[string]any{"AddressTemplateGroupName": name}, func(l *templateGroup) bool { return l.Name == name })
	if err != nil {
		return fmt.Errorf("stamp %s: %w", g.list.ID, err)
	}
	return nil
}

func sameIDs(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}
