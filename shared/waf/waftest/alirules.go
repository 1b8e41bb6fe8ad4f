package waftest

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// Kinds of rules (DefenseType).
const (
	rulesOfTemplate = "template"
	rulesGlobal     = "global"
)

// defenseType returns the kind of rules that a call is about, and their template.
func (a *Alibaba) defenseType(r aliRequest) (string, *aliTemplate, *aliError) {
	switch kind := r.str("DefenseType"); kind {
	case rulesGlobal:
		if r.str("TemplateId") != "" {
			return "", nil, wrong("TemplateId", "global rules are in no template")
		}
		if a.opts.NoAddressBooks {
			return "", nil, a.unsupported()
		}
		return kind, nil, nil
	case "", rulesOfTemplate:
		t, e := a.template(r)
		return rulesOfTemplate, t, e
	}
	return "", nil, wrong("DefenseType", "want template or global; the stand-in has no rules of single protected objects")
}

// createRules makes all rules of a call or none.
func (a *Alibaba) createRules(r aliRequest) (map[string]any, *aliError) {
	scene := r.str("DefenseScene")
	kind, t, e := a.defenseType(r)
	switch {
	case e != nil:
		return nil, e
	case kind == rulesGlobal && scene != sceneBook:
		return nil, wrong("DefenseScene", "the only global scene of the stand-in is address_book")
	case kind == rulesOfTemplate && scene != t.scene:
		return nil, wrong("DefenseScene", "the template is of another scene")
	}
	sent, e := a.readRules(r, scene, true)
	if e != nil {
		return nil, e
	}
	most, now := a.opts.Quotas.Books, a.opts.Now()
	var template int64
	if t != nil {
		template, most = t.id, a.ruleQuota(t.scene)
	}
	if len(a.state.rulesOf(template))+len(sent) > most {
		return nil, bad("Defense.Control.DefenseRuleCountOverSize", "The number of protection rules exceeds the limit.")
	}
	ids := make([]string, len(sent))
	for i, one := range sent {
		made := &aliRule{id: a.id(), template: template, scene: scene, name: one.name, status: one.status, config: one.config, created: now, modified: now}
		if scene == sceneBook {
			made.book = newAddressList()
		}
		a.state.rules[made.id] = made
		ids[i] = strconv.FormatInt(made.id, 10)
	}
	r.call.Object = strings.Join(ids, ",")
	return map[string]any{"RuleIds": strings.Join(ids, ",")}, nil
}

func (a *Alibaba) ruleQuota(scene string) int {
	switch scene {
	case sceneBlacklist:
		return a.opts.Quotas.BlacklistRules
	case sceneCustom:
		return a.opts.Quotas.CustomRules
	}
	return 100
}

// rule returns a rule of a template, or a global one, by its id.
func (a *Alibaba) rule(id int64, t *aliTemplate) (*aliRule, *aliError) {
	one := a.state.rules[id]
	if one == nil || t == nil && one.template != 0 || t != nil && one.template != t.id {
		return nil, bad("Defense.Control.DefenseRuleNotExist", "The protection rule does not exist.")
	}
	return one, nil
}

// modifyRules gives all rules of a call their new content, or none. It is replaced whole; status is
// for creation only (DOC) and overlooked here.
func (a *Alibaba) modifyRules(r aliRequest) (map[string]any, *aliError) {
	kind, t, e := a.defenseType(r)
	if e != nil {
		return nil, e
	}
	scene := sceneBook
	if kind == rulesOfTemplate {
		scene = t.scene
	}
	if s := r.str("DefenseScene"); s != "" && s != scene {
		return nil, wrong("DefenseScene", "the rules are of another scene")
	}
	sent, e := a.readRules(r, scene, false)
	if e != nil {
		return nil, e
	}
	targets := make([]*aliRule, len(sent))
	for i, one := range sent {
		if targets[i], e = a.rule(one.id, t); e != nil {
			return nil, e
		}
	}
	for i, one := range sent {
		targets[i].name, targets[i].config, targets[i].modified = one.name, one.config, a.opts.Now()
	}
	return nil, nil
}

func (a *Alibaba) modifyRuleStatus(r aliRequest) (map[string]any, *aliError) {
	kind, t, e := a.defenseType(r)
	if e != nil {
		return nil, e
	}
	if kind == rulesGlobal {
		return nil, wrong("DefenseType", "address books have no status")
	}
	id, e := r.number("RuleId", 0)
	if e != nil {
		return nil, e
	}
	one, e := a.rule(id, t)
	if e != nil {
		return nil, e
	}
	status, e := r.between("RuleStatus", 0, 0, 1)
	if e != nil {
		return nil, e
	}
	one.status, one.modified = status, a.opts.Now()
	return nil, nil
}

// deleteRules deletes all that a call names or none. An address book that a rule refers to stays: UNVERIFIED, as is the code.
func (a *Alibaba) deleteRules(r aliRequest) (map[string]any, *aliError) {
	_, t, e := a.defenseType(r)
	if e != nil {
		return nil, e
	}
	var ids []int64
	for text := range strings.SplitSeq(r.str("RuleIds"), ",") {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, wrong("RuleIds", "want numbers with commas between them")
		}
		one, e := a.rule(id, t)
		if e != nil {
			return nil, e
		}
		if one.book != nil && a.state.refersTo(id) {
			return nil, bad("Defense.Control.DefenseAddressBookInUse", "The address book is referenced by a protection rule.")
		}
		ids = append(ids, id)
	}
	for _, id := range ids {
		delete(a.state.rules, id)
	}
	return nil, nil
}

// refersTo tells whether any rule's condition names an address book.
func (s *aliState) refersTo(book int64) bool {
	for _, one := range s.rules {
		for _, c := range one.conditions() {
			if c.Key == "IP" && strings.HasSuffix(c.Op, "in-list") && string(c.Values) == strconv.FormatInt(book, 10) {
				return true
			}
		}
	}
	return false
}

func (a *Alibaba) describeRule(r aliRequest) (map[string]any, *aliError) {
	_, t, e := a.defenseType(r)
	if e != nil {
		return nil, e
	}
	id, e := r.number("RuleId", 0)
	if e != nil {
		return nil, e
	}
	one, e := a.rule(id, t)
	if e != nil {
		return nil, e
	}
	return map[string]any{"Rule": a.ruleView(one)}, nil
}

// ruleView is a rule as it is listed. Its configuration is a text with JSON in it.
func (a *Alibaba) ruleView(one *aliRule) map[string]any {
	config := map[string]json.RawMessage{"name": quoted(one.name)}
	for field, raw := range one.config {
		config[field] = raw
	}
	if raw, ok := config["remoteAddr"]; ok {
		var list []string
		_ = json.Unmarshal(raw, &list) // it was checked when it was stored
		for i := range list {
			list[i] = a.opts.Form.spell(list[i])
		}
		config["remoteAddr"], _ = json.Marshal(list)
	}
	view := map[string]any{
		"RuleId": one.id, "RuleName": one.name, "Config": canonical(config), "Status": one.status, "DefenseScene": one.scene,
		"DefenseType": rulesGlobal, "DefenseOrigin": "custom", "GmtCreate": a.time(one.created), "GmtModified": a.time(one.modified),
	}
	if one.template != 0 {
		view["DefenseType"], view["TemplateId"] = rulesOfTemplate, one.template
	}
	return view
}

// describeRules lists the newest first. Whitelist rules are listed for RuleType whitelist only,
// and others not then. Query's name finds what contains it.
func (a *Alibaba) describeRules(r aliRequest) (map[string]any, *aliError) {
	number, size, e := pages(r, 10)
	if e != nil {
		return nil, e
	}
	kind := r.str("DefenseType")
	switch {
	case kind == "":
		kind = rulesOfTemplate
	case kind != rulesGlobal && kind != rulesOfTemplate:
		return nil, wrong("DefenseType", "want template or global")
	case kind == rulesGlobal && a.opts.NoAddressBooks:
		return nil, a.unsupported()
	}
	rules := r.str("RuleType")
	if !slices.Contains([]string{"", "defense", "whitelist"}, rules) {
		return nil, wrong("RuleType", "want defense or whitelist")
	}
	query := struct {
		Scene, Name        string
		TemplateID, RuleID looseStr
		Status             *int
	}{}
	if text := r.str("Query"); text != "" {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&query); err != nil {
			return nil, wrong("Query", "want a JSON object of scene, name, templateId, ruleId, status")
		}
	}
	r.call.Scene = query.Scene
	found := []*aliRule{}
	for _, one := range a.state.rules {
		switch {
		case (one.template == 0) != (kind == rulesGlobal):
		case kind == rulesOfTemplate && (one.scene == sceneWhitelist) != (rules == "whitelist"):
		case query.Scene != "" && query.Scene != one.scene:
		case !strings.Contains(one.name, query.Name):
		case query.TemplateID != "" && string(query.TemplateID) != strconv.FormatInt(one.template, 10):
		case query.RuleID != "" && string(query.RuleID) != strconv.FormatInt(one.id, 10):
		case query.Status != nil && *query.Status != one.status:
		default:
			found = append(found, one)
		}
	}
	slices.SortFunc(found, func(a, b *aliRule) int { return int(b.id - a.id) })
	views := []map[string]any{}
	for _, one := range pageOf(found, number, size) {
		views = append(views, a.ruleView(one))
	}
	return map[string]any{"Rules": views, "TotalCount": len(found)}, nil
}
