package waftest

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// instance checks that a call is for the instance that there is. Every action of WAF but DescribeInstance begins with it.
func (a *Alibaba) instance(r aliRequest) *aliError {
	region := r.str("RegionId")
	switch {
	case region != "" && region != "cn-hangzhou" && region != "ap-southeast-1":
		return wrong("RegionId", "want cn-hangzhou or ap-southeast-1")
	case a.opts.NoInstance || a.opts.Expired || r.str("InstanceId") != a.opts.InstanceID || region != "" && region != a.opts.Region:
		return bad("Waf.Instance.ValidFaild", "The instance is not valid.")
	}
	return nil
}

// template returns the template that a call names.
func (a *Alibaba) template(r aliRequest) (*aliTemplate, *aliError) {
	if r.str("TemplateId") == "" {
		return nil, missing("TemplateId")
	}
	id, e := r.number("TemplateId", 0)
	if e != nil {
		return nil, e
	}
	t := a.state.templates[id]
	if t == nil {
		return nil, bad("Defense.Control.DefenseTemplateNotExist", "The protection template does not exist.")
	}
	r.call.Scene, r.call.Object = t.scene, strconv.FormatInt(t.id, 10)
	return t, nil
}

// templateText checks a template's name and description; id is 0 for a new one.
func (a *Alibaba) templateText(scene, name, description string, id int64) *aliError {
	if !aliName.MatchString(name) {
		return bad("Defense.Control.DefenseTemplateNameInvalid", "The name of the protection template is invalid.")
	}
	for _, t := range a.state.templatesOf(scene) {
		if t.name == name && t.id != id {
			return bad("Defense.Control.DefenseTemplateNameExist", "The name of the protection template is already in use.")
		}
	}
	if utf8.RuneCountInString(description) > maxDescription {
		return wrong("Description", "want at most %d characters", maxDescription)
	}
	return nil
}

func (a *Alibaba) createTemplate(r aliRequest) (map[string]any, *aliError) {
	scene, name, kind := r.str("DefenseScene"), r.str("TemplateName"), r.str("TemplateType")
	if e := a.templateText(scene, name, r.str("Description"), 0); e != nil {
		return nil, e
	}
	if r.str("TemplateOrigin") != "custom" {
		return nil, wrong("TemplateOrigin", "want custom")
	}
	if kind != templateDefault && kind != templateCustom {
		return nil, wrong("TemplateType", "want user_default or user_custom")
	}
	status, e := r.between("TemplateStatus", 1, 0, 1)
	if e != nil {
		return nil, e
	}
	most, e := a.templateQuota(scene)
	if e != nil {
		return nil, e
	}
	here := a.state.templatesOf(scene)
	if len(here) >= most {
		return nil, bad("Defense.Control.DefenseTemplateCountOverSize", "The number of protection templates exceeds the limit.")
	}
	isDefault := func(t *aliTemplate) bool { return t.kind == templateDefault }
	if a.opts.OneDefault && kind == templateDefault && slices.ContainsFunc(here, isDefault) {
		return nil, bad("Defense.Control.DefenseTemplateDefaultExist", "There is a default protection template already.")
	}
	unbound, e := a.objectsIn(r, "UnbindResources", "UnbindResourceGroups")
	if e != nil {
		return nil, e
	}
	if kind != templateDefault && len(unbound.objects)+len(unbound.groups) > 0 {
		return nil, wrong("UnbindResources", "only a default template takes it")
	}
	t := &aliTemplate{
		id: a.id(), scene: scene, name: name, description: r.str("Description"), kind: kind, status: status,
		unbound: unbound.objects, unboundGroups: unbound.groups, modified: a.opts.Now(),
	}
	a.state.templates[t.id] = t
	r.call.Object = strconv.FormatInt(t.id, 10)
	return map[string]any{"TemplateId": t.id}, nil
}

// templateQuota returns how many templates a scene may have, or why the scene is none.
func (a *Alibaba) templateQuota(scene string) (int, *aliError) {
	switch scene {
	case sceneCustom:
		return a.opts.Quotas.CustomTemplates, nil
	case sceneBlacklist:
		if a.opts.NoBlacklist {
			return 0, a.unsupported()
		}
		return a.opts.Quotas.BlacklistTemplates, nil
	case sceneWhitelist:
		return 20, nil
	}
	return 0, wrong("DefenseScene", "the stand-in has no templates of this scene")
}

// unsupported is the answer to a feature that the edition lacks.
func (a *Alibaba) unsupported() *aliError {
	return bad(a.opts.NoAddressBooksCode, "The current edition does not support this feature.")
}

func (a *Alibaba) templateView(t *aliTemplate) map[string]any {
	return map[string]any{
		"TemplateId": t.id, "TemplateName": t.name, "TemplateType": t.kind, "TemplateStatus": t.status, "TemplateOrigin": "custom",
		"DefenseScene": t.scene, "Description": t.description, "GmtModified": a.time(t.modified),
	}
}

// time is how a point in time is told.
func (a *Alibaba) time(at time.Time) any {
	if a.opts.TextTimes {
		return at.UTC().Format("2006-01-02T15:04:05Z")
	}
	return at.UnixMilli()
}

func (a *Alibaba) describeTemplate(r aliRequest) (map[string]any, *aliError) {
	t, e := a.template(r)
	if e != nil {
		return nil, e
	}
	return map[string]any{"Template": a.templateView(t)}, nil
}

// describeTemplates lists the newest first. TemplateName finds what contains it, and Resource counts together with
// ResourceType only.
func (a *Alibaba) describeTemplates(r aliRequest) (map[string]any, *aliError) {
	number, size, e := pages(r, 20)
	if e != nil {
		return nil, e
	}
	var ids []string
	for _, field := range []string{"TemplateIds", "TemplateId"} {
		if text := r.str(field); text != "" {
			ids = append(ids, strings.Split(text, ",")...)
		}
	}
	found := []map[string]any{}
	for _, t := range slices.Backward(a.state.templatesOf(r.str("DefenseScene"))) {
		switch {
		case !strings.Contains(t.name, r.str("TemplateName")):
		case r.str("TemplateType") != "" && r.str("TemplateType") != t.kind:
		case len(ids) > 0 && !slices.Contains(ids, strconv.FormatInt(t.id, 10)):
		case r.str("Resource") != "" && r.str("ResourceType") == "single" && !a.state.stands(t, r.str("Resource")):
		default:
			found = append(found, a.templateView(t))
		}
	}
	return map[string]any{"Templates": pageOf(found, number, size), "TotalCount": len(found)}, nil
}

// pages reads PageNumber and PageSize. The greatest PageSize is UNVERIFIED: Terraform's provider asks for 50.
func pages(r aliRequest, standard int64) (number, size int, e *aliError) {
	if number, e = r.between("PageNumber", 1, 1, 1<<20); e == nil {
		size, e = r.between("PageSize", standard, 1, 100)
	}
	return number, size, e
}

func (a *Alibaba) modifyTemplate(r aliRequest) (map[string]any, *aliError) {
	t, e := a.template(r)
	if e != nil {
		return nil, e
	}
	if e := a.templateText(t.scene, r.str("TemplateName"), r.str("Description"), t.id); e != nil {
		return nil, e
	}
	t.name, t.modified = r.str("TemplateName"), a.opts.Now()
	t.description = r.str("Description") // left out is empty: the careful reading of a whole replacement
	return nil, nil
}

func (a *Alibaba) modifyTemplateStatus(r aliRequest) (map[string]any, *aliError) {
	t, e := a.template(r)
	if e != nil {
		return nil, e
	}
	status, e := r.between("TemplateStatus", 0, 0, 1)
	if e != nil {
		return nil, e
	}
	t.status, t.modified = status, a.opts.Now()
	return nil, nil
}

// deleteTemplate deletes a template and the rules in it.
func (a *Alibaba) deleteTemplate(r aliRequest) (map[string]any, *aliError) {
	t, e := a.template(r)
	if e != nil {
		return nil, e
	}
	for _, one := range a.state.rulesOf(t.id) {
		delete(a.state.rules, one.id)
	}
	delete(a.state.templates, t.id)
	return nil, nil
}
