package waftest

import (
	"slices"
	"strings"
)

type tcMembersRequest struct {
	TemplateId     string //nolint:staticcheck // named as on the wire
	TemplateMember []struct{ Member, Description string }
}

// readMembers reads a request about the members of a group, if its id is one's, or of a template.
func (t *Tencent) readMembers(r tcRequest) (q tcMembersRequest, set *tcTemplateGroup, one *tcTemplate, refused *tcError) {
	if refused = tcDecode(r.body, &q); refused != nil {
		return q, nil, nil, refused
	}
	switch {
	case len(q.TemplateMember) == 0:
		refused = tcRefuse("MissingParameter", "The request is missing a required parameter `TemplateMember`.")
	case strings.HasPrefix(q.TemplateId, "ipmg-"):
		set, refused = t.templateGroup(r.region, q.TemplateId)
	default:
		one, refused = t.template(r.region, q.TemplateId)
	}
	return q, set, one, refused
}

// addMembers adds addresses to a template, or templates to a group.
func (t *Tencent) addMembers(r tcRequest) (map[string]any, *tcError) {
	q, set, one, refused := t.readMembers(r)
	if refused != nil {
		return nil, refused
	}
	if set != nil {
		next := slices.Clone(set.templates)
		for _, m := range q.TemplateMember {
			next = append(next, m.Member)
		}
		return nil, t.regroup(set, next)
	}
	var more []tcAddressInfo
	for _, m := range q.TemplateMember {
		more = append(more, tcAddressInfo{Address: m.Member, Description: m.Description})
	}
	next, refused := t.grown(one.members, more)
	if refused != nil {
		return nil, refused
	}
	return nil, t.rewrite(one, next)
}

// deleteMembers takes addresses out of a template, or templates out of a group; none, if one is not there.
func (t *Tencent) deleteMembers(r tcRequest) (map[string]any, *tcError) {
	q, set, one, refused := t.readMembers(r)
	if refused != nil {
		return nil, refused
	}
	if set != nil {
		next := slices.Clone(set.templates)
		for _, m := range q.TemplateMember {
			at := slices.Index(next, m.Member)
			if at < 0 {
				return nil, tcRefuse("InvalidParameterValue", "The template %q is not in %s.", m.Member, set.id)
			}
			next = slices.Delete(next, at, at+1)
		}
		return nil, t.regroup(set, next)
	}
	next := slices.Clone(one.members)
	for _, m := range q.TemplateMember {
		gone, refused := t.member(m.Member, "")
		if refused != nil {
			return nil, refused
		}
		at := slices.IndexFunc(next, gone.same)
		if at < 0 {
			return nil, tcRefuse("InvalidParameterValue", "The address %q is not in %s.", m.Member, one.id)
		}
		next = slices.Delete(next, at, at+1)
	}
	return nil, t.rewrite(one, next)
}

func (t *Tencent) describeTemplateLimits(r tcRequest) (map[string]any, *tcError) {
	if refused := tcDecode(r.body, &struct{}{}); refused != nil {
		return nil, refused
	}
	return map[string]any{"TemplateLimit": map[string]any{
		"AddressTemplateMemberLimit": t.opts.TemplateMembers, "AddressTemplateGroupMemberLimit": t.opts.GroupMembers,
		"ServiceTemplateMemberLimit": 20, "ServiceTemplateGroupMemberLimit": 20,
	}}, nil
}
