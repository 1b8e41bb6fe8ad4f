package waftest

import (
	"strings"
	"time"
)

// tcKept is what an address template and a group of them have in common.
type tcKept struct {
	id, region, name string
	created, updated time.Time
	task             tcTask
}

// keep returns that of a new one.
func (t *Tencent) keep(prefix, region, name string) tcKept {
	now := t.opts.Now()
	return tcKept{id: t.id(prefix), region: t.home(region), name: name, created: now, updated: now}
}

func (k *tcKept) where() string { return k.region }

// home returns where templates of a Region are kept.
func (t *Tencent) home(region string) string {
	if t.opts.SharedTemplates {
		return ""
	}
	return region
}

// tcFind returns the one with an id that begins with prefix. home is where it must be, kind names it in refusals.
func tcFind[T interface{ where() string }](all map[string]T, prefix, kind, home, id string) (one T, refused *tcError) {
	if !strings.HasPrefix(id, prefix) {
		return one, tcRefuse("InvalidParameterValue.Malformed", "The %s id %q is malformed.", kind, id)
	}
	found, ok := all[id]
	if !ok || found.where() != home {
		return one, tcRefuse("ResourceNotFound", "The %s %s does not exist.", kind, id)
	}
	return found, nil
}

// newName returns the name that a Modify action gives it, if it gives one.
func (k *tcKept) newName(name *string) (string, *tcError) {
	if name == nil {
		return k.name, nil
	}
	return *name, tcName(*name)
}

// tcDescribe answers a Describe action: those of the request's Region that meet its filters, one page of them, under a name.
func tcDescribe[T interface{ where() string }](
	t *Tencent, r tcRequest, under string, all map[string]T, filters map[string]func(T, string) bool, show func(one T, extra bool) map[string]any,
) (map[string]any, *tcError) {
	var q struct {
		Filters                                                            []tcFilter
		Offset, Limit                                                      string
		NeedMemberInfo                                                     bool
		OrderField, OrderDirection, MemberOrderField, MemberOrderDirection string
	}
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	meets, refused := tcFilters(q.Filters, filters)
	if refused != nil {
		return nil, refused
	}
	set := []map[string]any{}
	for _, id := range sortedKeys(all) {
		if one := all[id]; one.where() == t.home(r.region) && meets(one) {
			set = append(set, show(one, q.NeedMemberInfo))
		}
	}
	page, refused := tcPage(set, q.Offset, q.Limit)
	if refused != nil {
		return nil, refused
	}
	return map[string]any{"TotalCount": len(set), under: page}, nil
}
