package aliwaf

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// Scenes and types of what WAF 3.0 calls defense rules and templates.
const (
	sceneBook      = "address_book" // a book is a "rule" of type global
	sceneCustom    = "custom_acl"
	sceneBlacklist = "ip_blacklist"
	sceneWhitelist = "whitelist"

	typeGlobal   = "global"
	typeTemplate = "template"

	templateDefault = "user_default" // protects every object that nobody has taken out
	templateCustom  = "user_custom"  // protects the objects that are bound to it

	originCustom = "custom"
)

const (
	// pageSize of the listings that count pages; what they take is not documented, Alibaba Cloud's Terraform provider asks for 50.
	pageSize = 50
	maxPages = 400 // of any listing: an end that never comes must not eat the run
)

// rule is a defense rule, or an address book, as listings and DescribeDefenseRule show it.
type rule struct {
	ID         int64  `json:"RuleId"`
	Name       string `json:"RuleName"`
	Config     string // JSON text
	Status     int    // 1: enabled
	Scene      string `json:"DefenseScene"`
	TemplateID int64  `json:"TemplateId"`
}

// template holds rules of one scene and says which objects they protect.
type template struct {
	ID          int64  `json:"TemplateId"`
	Name        string `json:"TemplateName"`
	Description string
	Status      int    `json:"TemplateStatus"` // 1: enabled
	Type        string `json:"TemplateType"`
	Scene       string `json:"DefenseScene"`
	Origin      string `json:"TemplateOrigin"`
}

// ruleQuery is the Query of DescribeDefenseRules. Only scene and templateId are asked for: whether a name matches
// whole or in part is said nowhere (UNVERIFIED), so names are compared here.
type ruleQuery struct {
	Scene      string `json:"scene"`
	TemplateID int64  `json:"templateId,omitempty"`
}

// listRules returns all rules of a query. Whitelist rules are only there for ruleType "whitelist".
func (w *wall) listRules(ctx context.Context, defenseType, ruleType string, query ruleQuery) ([]rule, error) {
	var all []rule
	seen := map[int64]bool{}
	for page := 1; page <= maxPages; page++ {
		var out struct {
			Rules      []rule
			TotalCount int
		}
		p := params{"DefenseType": defenseType, "PageNumber": strconv.Itoa(page), "PageSize": strconv.Itoa(pageSize)}.json("Query", query)
		if ruleType != "" {
			p["RuleType"] = ruleType
		}
		if err := w.waf(ctx, "DescribeDefenseRules", p, &out); err != nil {
			return nil, fmt.Errorf("list rules of scene %s: %w", query.Scene, err)
		}
		for _, r := range out.Rules {
			if !seen[r.ID] { // a page that moved meanwhile shows some twice
				seen[r.ID] = true
				all = append(all, r)
			}
		}
		// A service that gives smaller pages than it was asked for is read on until its count, or an empty page.
		if len(out.Rules) == 0 || out.TotalCount > 0 && len(all) >= out.TotalCount {
			return all, nil
		}
	}
	return nil, fmt.Errorf("list rules of scene %s: %w: no end after %d pages", query.Scene, waf.ErrUnavailable, maxPages)
}

// listTemplates returns the templates of a scene; with a name only those whose names are it, or contain it.
func (w *wall) listTemplates(ctx context.Context, scene, name string) ([]template, error) {
	var all []template
	seen := map[int64]bool{}
	for page := 1; page <= maxPages; page++ {
		var out struct {
			Templates  []template
			TotalCount int
		}
		p := params{"DefenseScene": scene, "PageNumber": strconv.Itoa(page), "PageSize": strconv.Itoa(pageSize)}
		if name != "" {
			p["TemplateName"] = name
		}
		if err := w.waf(ctx, "DescribeDefenseTemplates", p, &out); err != nil {
			return nil, fmt.Errorf("list templates of scene %s: %w", scene, err)
		}
		for _, t := range out.Templates {
			if !seen[t.ID] {
				seen[t.ID] = true
				all = append(all, t)
			}
		}
		if len(out.Templates) == 0 || out.TotalCount > 0 && len(all) >= out.TotalCount {
			return all, nil
		}
	}
	return nil, fmt.Errorf("list templates of scene %s: %w: no end after %d pages", scene, waf.ErrUnavailable, maxPages)
}

// readTemplate returns one template; nil: it is not there.
func (w *wall) readTemplate(ctx context.Context, id int64) (*template, error) {
	var out struct{ Template *template }
	err := w.waf(ctx, "DescribeDefenseTemplate", params{"TemplateId": number(id)}, &out)
	switch {
	case gone(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read template %d: %w", id, err)
	case out.Template == nil || out.Template.ID != id:
		return nil, nil
	}
	return out.Template, nil
}

// readRule returns one rule; nil: it is not there. templateID is 0 for an address book.
func (w *wall) readRule(ctx context.Context, id, templateID int64) (*rule, error) {
	p := params{"RuleId": number(id), "DefenseType": typeGlobal}
	if templateID != 0 {
		p["DefenseType"], p["TemplateId"] = typeTemplate, number(templateID)
	}
	var out struct{ Rule *rule }
	err := w.waf(ctx, "DescribeDefenseRule", p, &out)
	switch {
	case gone(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read rule %d: %w", id, err)
	case out.Rule == nil || out.Rule.ID != id:
		return nil, nil
	}
	return out.Rule, nil
}

// Kinds of what a template protects.
const (
	kindObject = "single"
	kindGroup  = "group"
)

// boundTo returns the names of the objects, or groups of objects, that a template is bound to.
func (w *wall) boundTo(ctx context.Context, templateID int64, kind string) ([]string, error) {
	var all []string
	token := ""
	for range maxPages {
		var out struct {
			Resources []string
			NextToken string
		}
		p := params{"TemplateId": number(templateID), "ResourceType": kind, "MaxResults": "500"}
		if token != "" {
			p["NextToken"] = token
		}
		if err := w.waf(ctx, "DescribeTemplateResources", p, &out); err != nil {
			return nil, fmt.Errorf("list what template %d protects: %w", templateID, err)
		}
		all = append(all, out.Resources...)
		if out.NextToken == "" || out.NextToken == token {
			return all, nil
		}
		token = out.NextToken
	}
	return nil, fmt.Errorf("list what template %d protects: %w: no end after %d pages", templateID, waf.ErrUnavailable, maxPages)
}

// createTemplate makes an enabled template of ours and returns its id.
func (w *wall) createTemplate(ctx context.Context, scene, name, description, kind string) (int64, error) {
	var out struct {
		TemplateID int64 `json:"TemplateId"`
	}
	err := w.waf(ctx, "CreateDefenseTemplate", params{
		"DefenseScene": scene, "TemplateName": name, "Description": description,
		"TemplateType": kind, "TemplateOrigin": originCustom, "TemplateStatus": "1",
	}, &out)
	if err != nil {
		return 0, fmt.Errorf("create template %s: %w", name, err)
	}
	return out.TemplateID, nil
}

// createRule makes one rule and returns its id. templateID is 0 for an address book.
func (w *wall) createRule(ctx context.Context, scene string, templateID int64, config any) (int64, error) {
	p := params{"DefenseScene": scene, "DefenseType": typeGlobal}.json("Rules", []any{config})
	if templateID != 0 {
		p["DefenseType"], p["TemplateId"] = typeTemplate, number(templateID)
	}
	var out struct {
		RuleIDs json.RawMessage `json:"RuleIds"`
	}
	if err := w.waf(ctx, "CreateDefenseRule", p, &out); err != nil {
		return 0, fmt.Errorf("create a rule of scene %s: %w", scene, err)
	}
	// Documented as text, "22215" or "22215,23354"; a number is taken too.
	id, err := strconv.ParseInt(strings.Trim(string(out.RuleIDs), `"`), 10, 64)
	if err != nil {
		return 0, nil // it is there, and the next Look finds it by its name
	}
	return id, nil
}

// modifyRule gives a rule another content. templateID is 0 for an address book. config has the rule's id.
func (w *wall) modifyRule(ctx context.Context, scene string, templateID int64, config any) error {
	p := params{"DefenseScene": scene, "DefenseType": typeGlobal}.json("Rules", []any{config})
	if templateID != 0 {
		p["DefenseType"], p["TemplateId"] = typeTemplate, number(templateID)
	}
	if err := w.waf(ctx, "ModifyDefenseRule", p, nil); err != nil {
		return fmt.Errorf("modify a rule of scene %s: %w", scene, err)
	}
	return nil
}

// deleteRules deletes rules by their ids; those that are gone already are no error. templateID is 0 for an address book.
func (w *wall) deleteRules(ctx context.Context, templateID int64, ids ...int64) error {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = number(id)
	}
	p := params{"RuleIds": strings.Join(texts, ","), "DefenseType": typeGlobal}
	if templateID != 0 {
		p["DefenseType"], p["TemplateId"] = typeTemplate, number(templateID)
	}
	if err := w.waf(ctx, "DeleteDefenseRule", p, nil); err != nil && !gone(err) {
		return fmt.Errorf("delete rule %s: %w", strings.Join(texts, ","), err)
	}
	return nil
}

// deleteTemplate deletes a template; one that is gone already is no error.
func (w *wall) deleteTemplate(ctx context.Context, id int64) error {
	if err := w.waf(ctx, "DeleteDefenseTemplate", params{"TemplateId": number(id)}, nil); err != nil && !gone(err) {
		return fmt.Errorf("delete template %d: %w", id, err)
	}
	return nil
}

// enableTemplate switches a template on.
func (w *wall) enableTemplate(ctx context.Context, id int64) error {
	if err := w.waf(ctx, "ModifyDefenseTemplateStatus", params{"TemplateId": number(id), "TemplateStatus": "1"}, nil); err != nil {
		return fmt.Errorf("enable template %d: %w", id, err)
	}
	return nil
}

// enableRule switches a rule on.
func (w *wall) enableRule(ctx context.Context, templateID, id int64) error {
	err := w.waf(ctx, "ModifyDefenseRuleStatus", params{
		"RuleId": number(id), "RuleStatus": "1", "TemplateId": number(templateID), "DefenseType": typeTemplate,
	}, nil)
	if err != nil {
		return fmt.Errorf("enable rule %d: %w", id, err)
	}
	return nil
}

// bind adds objects to those that a template protects, and takes others away. What is named in neither stays as it is.
func (w *wall) bind(ctx context.Context, templateID int64, add, drop []string) error {
	p := params{"TemplateId": number(templateID)}.list("BindResources", add).list("UnbindResources", drop)
	if err := w.waf(ctx, "ModifyTemplateResources", p, nil); err != nil {
		return fmt.Errorf("bind template %d to protected objects: %w", templateID, err)
	}
	return nil
}

// templateType is what a template of ours is to be for the target's objects.
func (t Target) templateType() string {
	if len(t.Objects) > 0 {
		return templateCustom
	}
	return templateDefault
}

func number(n int64) string { return strconv.FormatInt(n, 10) }
