package aliwaf

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/tracewall/tracewall/shared/waf"
)

// scope is what our templates shall be bound to, each in order.
type scope struct {
	objects []string
	groups  []string // an object in a group takes its templates from the group
}

// bindChunk is how many names one ModifyTemplateResources carries, ours: the call is documented without a bound.
const bindChunk = 50

// explicit tells whether our templates are to be bound to objects, rather than being default ones.
func (b *blacklist) explicit() bool {
	return len(b.target.Objects) > 0 || b.target.Templates > 1 || b.theirs != ""
}

// wanted returns what our templates shall be bound to. Asked for once in a look.
func (b *blacklist) wanted(ctx context.Context) (*scope, error) {
	if b.scope != nil {
		return b.scope, nil
	}
	s := &scope{objects: slices.Sorted(slices.Values(b.target.Objects))}
	if len(s.objects) == 0 {
		all, err := b.protectedObjects(ctx)
		if err != nil {
			return nil, err
		}
		for _, one := range all {
			if one.Group == "" {
				s.objects = append(s.objects, one.Name)
			} else {
				s.groups = append(s.groups, one.Group)
			}
		}
		slices.Sort(s.objects)
		slices.Sort(s.groups)
		s.groups = slices.Compact(s.groups)
	}
	b.scope = s
	return s, nil
}

// protectedObject is one of the instance's.
type protectedObject struct {
	Name  string `json:"Resource"`
	Group string `json:"ResourceGroup"` // "": it is in none
}

// protectedObjects lists all of the instance's.
func (b *blacklist) protectedObjects(ctx context.Context) ([]protectedObject, error) {
	var all []protectedObject
	seen := map[string]bool{}
	for page := 1; page <= maxPages; page++ {
		var out struct {
			Resources  []protectedObject
			TotalCount int
		}
		if err := b.waf(ctx, "DescribeDefenseResources", params{"PageNumber": strconv.Itoa(page), "PageSize": strconv.Itoa(pageSize)}, &out); err != nil {
			return nil, fmt.Errorf("list protected objects: %w", err)
		}
		for _, one := range out.Resources {
			if one.Name != "" && !seen[one.Name] {
				seen[one.Name] = true
				all = append(all, one)
			}
		}
		if len(out.Resources) == 0 || out.TotalCount > 0 && len(all) >= out.TotalCount {
			return all, nil
		}
	}
	return nil, fmt.Errorf("list protected objects: %w: no end after %d pages", waf.ErrUnavailable, maxPages)
}

// readBindings compares what our templates are bound to with what they shall be bound to. A default
// one covers what it covers: from which objects somebody took it away is not asked.
func (b *blacklist) readBindings(ctx context.Context) error {
	if b.theirs != "" && len(b.target.Objects) == 0 {
		b.note("template %s is the default one of the ip blacklist: so ours are bound to each protected object, a new one with the next run. Look into the console whether %s still covers them", b.theirs, b.theirs)
	}
	for _, t := range b.templates {
		if t.byDefault {
			if b.explicit() {
				b.note("template %s is a default one from before the target was told otherwise, and protects every object; detach the target and run it again to have it as configured", t.name)
			}
			continue
		}
		lacks, err := b.lacking(ctx, t)
		if err != nil {
			return err
		}
		t.missing = len(lacks.objects)+len(lacks.groups) > 0
	}
	return nil
}

// lacking returns what a template is not bound to and shall be.
func (b *blacklist) lacking(ctx context.Context, t *setTemplate) (scope, error) {
	want, err := b.wanted(ctx)
	if err != nil {
		return scope{}, err
	}
	var lacks scope
	for _, part := range []struct {
		kind string
		want []string
		out  *[]string
	}{{kindObject, want.objects, &lacks.objects}, {kindGroup, want.groups, &lacks.groups}} {
		if len(part.want) == 0 {
			continue
		}
		has, err := b.boundTo(ctx, t.id, part.kind)
		if err != nil {
			return scope{}, err
		}
		for _, name := range part.want {
			if !slices.Contains(has, name) {
				*part.out = append(*part.out, name)
			}
		}
	}
	return lacks, nil
}

// bindAll binds a template of ours to what it lacks. What else it is bound to stays.
func (b *blacklist) bindAll(ctx context.Context, t *setTemplate) error {
	if t.byDefault {
		return nil
	}
	lacks, err := b.lacking(ctx, t)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		field, kind string
		names       []string
	}{{"BindResources", kindObject, lacks.objects}, {"BindResourceGroups", kindGroup, lacks.groups}} {
		for names := range slices.Chunk(part.names, bindChunk) {
			err := b.waf(ctx, "ModifyTemplateResources", params{"TemplateId": number(t.id)}.list(part.field, names), nil)
			if unsure(err) {
				if has, rerr := b.boundTo(ctx, t.id, part.kind); rerr == nil && !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(has, name) }) {
					continue
				}
			}
			if err != nil {
				return fmt.Errorf("bind template %s to %d protected objects or groups, the first %s: %w", t.name, len(names), printable(names[0], maxName), err)
			}
		}
	}
	t.missing = false
	return nil
}
