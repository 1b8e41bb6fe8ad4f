package waftest

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// objectList is protected objects and groups of them, by name.
type objectList struct{ objects, groups []string }

// objectsIn reads two repeated parameters and checks that what they name is there.
func (a *Alibaba) objectsIn(r aliRequest, objects, groups string) (objectList, *aliError) {
	var found objectList
	var e *aliError
	if found.objects, e = r.list(objects); e != nil {
		return found, e
	}
	if found.groups, e = r.list(groups); e != nil {
		return found, e
	}
	if len(found.objects) > 200 || len(found.groups) > 200 {
		return found, wrong(objects, "want at most 200")
	}
	for _, name := range found.objects {
		if !slices.Contains(a.state.objects, name) {
			return found, bad("Defense.Control.DefenseResourceNotExist", "The protected object %.100q does not exist.", name)
		}
	}
	for _, name := range found.groups {
		if _, ok := a.state.groups[name]; !ok {
			return found, bad("Defense.Control.DefenseResourceGroupNotExist", "The protected object group %.100q does not exist.", name)
		}
	}
	return found, nil
}

// modifyTemplateResources binds and unbinds. A default template has everything that is not unbound from it.
func (a *Alibaba) modifyTemplateResources(r aliRequest) (map[string]any, *aliError) {
	t, e := a.template(r)
	if e != nil {
		return nil, e
	}
	bind, e := a.objectsIn(r, "BindResources", "BindResourceGroups")
	if e != nil {
		return nil, e
	}
	unbind, e := a.objectsIn(r, "UnbindResources", "UnbindResourceGroups")
	if e != nil {
		return nil, e
	}
	if len(bind.objects)+len(bind.groups)+len(unbind.objects)+len(unbind.groups) == 0 {
		return nil, missing("BindResources")
	}
	if t.kind == templateDefault {
		t.unbound = changed(t.unbound, unbind.objects, bind.objects)
		t.unboundGroups = changed(t.unboundGroups, unbind.groups, bind.groups)
		t.modified = a.opts.Now()
		return nil, nil
	}
	objects, groups := changed(t.bound, bind.objects, unbind.objects), changed(t.groups, bind.groups, unbind.groups)
	if len(objects)+len(groups) > a.opts.Quotas.ObjectsInTemplate {
		return nil, bad("Defense.Control.DefenseTemplateResourceCountOverSize", "The number of protected objects of the template exceeds the limit.")
	}
	t.bound, t.groups, t.modified = objects, groups, a.opts.Now()
	return nil, nil
}

// changed returns a list with some more and without some others.
func changed(list, add, drop []string) []string {
	list = slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(drop, s) })
	for _, s := range add {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// stands tells whether an object has a template, on or off.
func (s *aliState) stands(t *aliTemplate, object string) bool {
	on := *t
	on.status = 1
	return s.covers(&on, object)
}

// describeTemplateResources tells of a default template what it has at the moment. UNVERIFIED: the
// service may as well tell nothing of it.
func (a *Alibaba) describeTemplateResources(r aliRequest) (map[string]any, *aliError) {
	t, e := a.template(r)
	if e != nil {
		return nil, e
	}
	var all []string
	switch r.str("ResourceType") {
	case "single":
		all = slices.Clone(t.bound)
		if t.kind == templateDefault {
			all = slices.DeleteFunc(slices.Clone(a.state.objects), func(o string) bool { return !a.state.stands(t, o) })
		}
	case "group":
		all = slices.Clone(t.groups)
		if t.kind == templateDefault {
			all = slices.DeleteFunc(sortedKeys(a.state.groups), func(g string) bool { return slices.Contains(t.unboundGroups, g) })
		}
	case "asset":
	default:
		return nil, wrong("ResourceType", "want single, group or asset")
	}
	all = slices.DeleteFunc(all, func(name string) bool { return !strings.Contains(name, r.str("Resource")) })
	most, e := r.between("MaxResults", 500, 1, 500)
	if e != nil {
		return nil, e
	}
	from, e := readToken(r, "resources "+strconv.FormatInt(t.id, 10)+" "+r.str("ResourceType"))
	if e != nil {
		return nil, e
	}
	start := min(int(from), len(all))
	page := all[start:min(start+most, len(all))]
	answer := map[string]any{"Resources": append([]string{}, page...), "TemplateId": t.id, "TotalCount": len(all), "MaxResults": most}
	if start+most < len(all) {
		answer["NextToken"] = token("resources "+strconv.FormatInt(t.id, 10)+" "+r.str("ResourceType"), from+int64(most))
	}
	return answer, nil
}

// token returns what leads to the next page of one listing, and of no other.
func token(listing string, at int64) string {
	return base64.StdEncoding.EncodeToString([]byte(listing + "|" + strconv.FormatInt(at, 10)))
}

func readToken(r aliRequest, listing string) (int64, *aliError) {
	text := r.str("NextToken")
	if text == "" {
		return 0, nil
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	at, ok := strings.CutPrefix(string(raw), listing+"|")
	n, errNumber := strconv.ParseInt(at, 10, 64)
	if err != nil || !ok || errNumber != nil {
		return 0, wrong("NextToken", "it is of another listing, or none of ours")
	}
	return n, nil
}

// describeResources lists protected objects. Query may have resource (a part of the name), resourceGroup and product.
func (a *Alibaba) describeResources(r aliRequest) (map[string]any, *aliError) {
	number, size, e := pages(r, 10)
	if e != nil {
		return nil, e
	}
	query := struct{ Resource, ResourceGroup, Product string }{}
	if text := r.str("Query"); text != "" {
		if err := json.Unmarshal([]byte(text), &query); err != nil {
			return nil, wrong("Query", "want a JSON object")
		}
	}
	found := []map[string]any{}
	for _, name := range a.state.objects {
		group := ""
		for _, g := range sortedKeys(a.state.groups) {
			if slices.Contains(a.state.groups[g], name) {
				group = g
			}
		}
		if !strings.Contains(name, query.Resource) || query.ResourceGroup != "" && query.ResourceGroup != group || query.Product != "" && query.Product != "waf" {
			continue
		}
		found = append(found, map[string]any{
			"Resource": name, "ResourceGroup": group, "Product": "waf", "Pattern": "domain", "ResourceOrigin": "custom",
			"ResourceStatus": "active", "InstanceId": a.opts.InstanceID, "Description": "",
		})
	}
	return map[string]any{"Resources": pageOf(found, number, size), "TotalCount": len(found)}, nil
}

// describeResourceTemplates lists the templates that a protected object, or a group, has.
func (a *Alibaba) describeResourceTemplates(r aliRequest) (map[string]any, *aliError) {
	name, kind, rules := r.str("Resource"), r.str("ResourceType"), r.str("RuleType")
	found := []map[string]any{}
	for _, t := range a.state.templatesOf("") {
		has := a.state.stands(t, name)
		if kind == "group" {
			has = slices.Contains(t.groups, name) || t.kind == templateDefault && !slices.Contains(t.unboundGroups, name)
		}
		if has && (t.scene == sceneWhitelist) == (rules == "whitelist") && strings.Contains(t.name, r.str("TemplateName")) {
			found = append(found, a.templateView(t))
		}
	}
	return map[string]any{"Templates": found}, nil
}
