package waftest

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// tcTemplate is an address template.
type tcTemplate struct {
	tcKept
	members []tcMember
}

// tcMember is an address, a block or a range ("192.0.2.1-192.0.2.9") in a template.
type tcMember struct {
	text, description string
	area              []netip.Prefix
	updated           time.Time
}

func (t *Tencent) template(region, id string) (*tcTemplate, *tcError) {
	return tcFind(t.templates, "ipm-", "address template", t.home(region), id)
}

func (t *Tencent) createTemplate(r tcRequest) (map[string]any, *tcError) {
	var q struct {
		AddressTemplateName string
		Addresses           []string
		AddressesExtra      []tcAddressInfo
		Tags                []struct{ Key, Value string }
	}
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	if refused := tcName(q.AddressTemplateName); refused != nil {
		return nil, refused
	}
	members, refused := t.list(q.Addresses, q.AddressesExtra)
	if refused != nil {
		return nil, refused
	}
	if len(members) == 0 {
		return nil, tcRefuse("InvalidParameterValue.Empty", "One of Addresses and AddressesExtra is needed.")
	}
	if len(t.templates) >= t.opts.Templates {
		return nil, tcRefuse("LimitExceeded", "There are at most %d templates.", t.opts.Templates)
	}
	one := &tcTemplate{t.keep("ipm", r.region, q.AddressTemplateName), members}
	t.templates[one.id] = one
	return map[string]any{"AddressTemplate": t.showTemplate(one, true)}, nil
}

func (t *Tencent) modifyTemplate(r tcRequest) (map[string]any, *tcError) {
	var q struct {
		AddressTemplateId   string //nolint:staticcheck // named as on the wire
		AddressTemplateName *string
		Addresses           []string
		AddressesExtra      []tcAddressInfo
	}
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	one, refused := t.template(r.region, q.AddressTemplateId)
	if refused != nil {
		return nil, refused
	}
	name, refused := one.newName(q.AddressTemplateName)
	if refused != nil {
		return nil, refused
	}
	next := one.members
	if q.Addresses != nil || q.AddressesExtra != nil {
		if next, refused = t.list(q.Addresses, q.AddressesExtra); refused != nil {
			return nil, refused
		}
	}
	if refused := t.rewrite(one, next); refused != nil {
		return nil, refused
	}
	one.name = name
	return nil, nil
}

// rewrite gives a template other members, unless a task runs, it would be empty, or a group would be too large.
func (t *Tencent) rewrite(one *tcTemplate, next []tcMember) *tcError {
	if len(next) == 0 && !t.opts.EmptyTemplates {
		return tcRefuse("InvalidParameterValue.Empty", "The address template %s would be empty.", one.id)
	}
	if refused := t.busy(&one.task, one.id); refused != nil {
		return refused
	}
	old := one.members
	one.members = next
	if refused := t.allFit(); refused != nil && len(next) > len(old) {
		one.members = old
		return refused
	}
	one.updated = t.opts.Now()
	t.begin(one.id)
	return nil
}

func (t *Tencent) deleteTemplate(r tcRequest) (map[string]any, *tcError) {
	var q struct {
		AddressTemplateId string //nolint:staticcheck // named as on the wire
	}
	if refused := tcDecode(r.body, &q); refused != nil {
		return nil, refused
	}
	one, refused := t.template(r.region, q.AddressTemplateId)
	if refused != nil {
		return nil, refused
	}
	if refused := t.busy(&one.task, one.id); refused != nil {
		return nil, refused
	}
	used := t.refers(TencentAddressTemplate{AddressId: one.id})
	for _, set := range t.sets {
		used = used || slices.Contains(set.templates, one.id)
	}
	if used && !t.opts.UsedTemplatesGo {
		return nil, tcRefuse("ResourceInUse", "The address template %s is in use.", one.id)
	}
	t.begin(one.id)
	for _, set := range t.sets {
		set.templates = slices.DeleteFunc(set.templates, func(id string) bool { return id == one.id })
	}
	delete(t.templates, one.id)
	return nil, nil
}

// refers tells whether a policy of any group refers to a template or a group of templates.
func (t *Tencent) refers(ref TencentAddressTemplate) bool {
	for _, g := range t.groups {
		if slices.ContainsFunc(slices.Concat(g.ingress, g.egress), func(p TencentPolicy) bool { return p.AddressTemplate == ref }) {
			return true
		}
	}
	return false
}

func (t *Tencent) describeTemplates(r tcRequest) (map[string]any, *tcError) {
	return tcDescribe(t, r, "AddressTemplateSet", t.templates, map[string]func(*tcTemplate, string) bool{
		"address-template-id": func(one *tcTemplate, v string) bool { return one.id == v },
		// Whether a part of a name is enough no source says: the careful case is that it finds more than was meant.
		"address-template-name": func(one *tcTemplate, v string) bool { return strings.Contains(one.name, v) },
		"address-ip": func(one *tcTemplate, v string) bool {
			return slices.ContainsFunc(one.members, func(m tcMember) bool { return m.text == v })
		},
	}, t.showTemplate)
}

func (t *Tencent) showTemplate(one *tcTemplate, extra bool) map[string]any {
	addresses, infos := []string{}, []tcAddressInfo{}
	for _, m := range one.members {
		addresses = append(addresses, t.form(m.text))
		if extra {
			infos = append(infos, tcAddressInfo{t.form(m.text), m.description, tcTime(m.updated)})
		}
	}
	return map[string]any{
		"AddressTemplateId": one.id, "AddressTemplateName": one.name, "AddressSet": addresses, "AddressExtraSet": infos,
		"CreatedTime": tcTime(one.created), "UpdatedTime": tcTime(one.updated), "TagSet": []any{},
	}
}
