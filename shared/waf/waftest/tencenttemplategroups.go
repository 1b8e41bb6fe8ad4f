package waftest

import (
	"slices"
	"strings"
)

// tcTemplateGroup is a group of address templates.
type tcTemplateGroup struct {
	tcKept
	templates []string
}

func (t *Tencent) templateGroup(region, id string) (*tcTemplateGroup, *tcError) {
	return tcFind(t.sets, "ipmg-", "address template group", t.home(region), id)
}

// regroup gives a group other templates.
func (t *Tencent) regroup(set *tcTemplateGroup, next []string) *tcError {
	if refused := t.judgeGroup(set.region, next); refused != nil {
		return refused
	}
	if refused := t.busy(&set.task, set.id); refused != nil {
		return refused
	}
	old := set.templates
	set.templates = next
	if refused := t.allFit(); refused != nil && len(next) >= len(old) {
		set.templates = old
		return refused
	}
	set.updated = t.opts.Now()
	t.begin(set.id)
	return nil
}

// judgeGroup judges what a group would hold.
func (t *Tencent) judgeGroup(region string, templates []string) *tcError {
	if len(templates) == 0 && !t.opts.EmptyTemplates {
		return tcRefuse("InvalidParameterValue", "A template group cannot be empty.")
	}
	for i, id := range templates {
		if _, refused := t.template(region, id); refused != nil {
			return refused
		}
		if slices.Contains(templates[:i], id) {
			return tcRefuse("InvalidParameterValue.Duplicate", "The template %s is there twice.", id)
		}
	}
	if len(templates) > t.opts.GroupMembers {
		return tcRefuse("LimitExceeded", "A template group holds at most %d templates.", t.opts.GroupMembers)
	}
	return nil
}

func (t *Tencent) createTemplateGroup(r tcRequest) (map[string]any, *tcError) {
	var q struct {
		AddressTemplateGroupName string
		AddressTemplateIds       []string
		Tags                     []struct{ Key, Value string }
	}
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	if refused := tcName(q.AddressTemplateGroupName); refused != nil {
		return nil, refused
	}
	if len(q.AddressTemplateIds) == 0 {
		return nil, tcRefuse("MissingParameter", "The request is missing a required parameter `AddressTemplateIds`.")
	}
	if refused := t.judgeGroup(r.region, q.AddressTemplateIds); refused != nil {
		return nil, refused
	}
	for _, id := range q.AddressTemplateIds {
		if refused := t.busy(&t.templates[id].task, id); refused != nil {
			return nil, refused
		}
	}
	if len(t.sets) >= t.opts.Templates {
		return nil, tcRefuse("LimitExceeded", "There are at most %d template groups.", t.opts.Templates)
	}
	set := &tcTemplateGroup{t.keep("ipmg", r.region, q.AddressTemplateGroupName), slices.Clone(q.AddressTemplateIds)}
	t.sets[set.id] = set
	return map[string]any{"AddressTemplateGroup": t.showTemplateGroup(set, true)}, nil
}

func (t *Tencent) modifyTemplateGroup(r tcRequest) (map[string]any, *tcError) {
	var q struct {
		AddressTemplateGroupId   string //nolint:staticcheck // named as on the wire
		AddressTemplateGroupName *string
		AddressTemplateIds       []string
	}
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	set, refused := t.templateGroup(r.region, q.AddressTemplateGroupId)
	if refused != nil {
		return nil, refused
	}
	name, refused := set.newName(q.AddressTemplateGroupName)
	if refused != nil {
		return nil, refused
	}
	next := set.templates
	if q.AddressTemplateIds != nil {
		next = q.AddressTemplateIds
	}
	if refused := t.regroup(set, next); refused != nil {
		return nil, refused
	}
	set.name = name
	return nil, nil
}

func (t *Tencent) deleteTemplateGroup(r tcRequest) (map[string]any, *tcError) {
	var q struct {
		AddressTemplateGroupId string //nolint:staticcheck // named as on the wire
	}
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	set, refused := t.templateGroup(r.region, q.AddressTemplateGroupId)
	if refused != nil {
		return nil, refused
	}
	if refused := t.busy(&set.task, set.id); refused != nil {
		return nil, refused
	}
	if t.refers(TencentAddressTemplate{AddressGroupId: set.id}) && !t.opts.UsedTemplatesGo {
		return nil, tcRefuse("ResourceInUse", "The address template group %s is in use.", set.id)
	}
	delete(t.sets, set.id)
	return nil, nil
}

func (t *Tencent) describeTemplateGroups(r tcRequest) (map[string]any, *tcError) {
	return tcDescribe(t, r, "AddressTemplateGroupSet", t.sets, map[string]func(*tcTemplateGroup, string) bool{
		"address-template-group-id":   func(set *tcTemplateGroup, v string) bool { return set.id == v },
		"address-template-group-name": func(set *tcTemplateGroup, v string) bool { return strings.Contains(set.name, v) },
	}, t.showTemplateGroup)
}

func (t *Tencent) showTemplateGroup(set *tcTemplateGroup, extra bool) map[string]any {
	items := []map[string]any{}
	for _, id := range set.templates {
		if extra {
			items = append(items, map[string]any{"AddressTemplateId": id, "UpdatedTime": tcTime(set.updated)})
		}
	}
	return map[string]any{
		"AddressTemplateGroupId": set.id, "AddressTemplateGroupName": set.name, "AddressTemplateIdSet": slices.Clone(set.templates),
		"AddressTemplateSet": items, "CreatedTime": tcTime(set.created), "UpdatedTime": tcTime(set.updated), "TagSet": []any{},
	}
}
