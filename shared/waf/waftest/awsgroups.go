package waftest

import (
	"encoding/json"
	"maps"
	"slices"
)

// ruleGroup is stored as the caller sent it, field by field and byte by byte.
type ruleGroup struct {
	name, id, arn, token string
	capacity             int                        // declared; never changes
	fields               map[string]json.RawMessage // what the caller may set
	rules                []rule
	notReady             int
}

// groupSettings judges what Create and Update set, and takes it over whole.
func (a *AWS) groupSettings(r request, g *ruleGroup) *apiError {
	if err := checkDescription(r); err != nil {
		return err
	}
	if err := checkVisibility(r.fields["VisibilityConfig"]); err != nil {
		return err
	}
	rules, refused := readRules(r)
	if refused != nil {
		return refused
	}
	wants, refused := a.judge(r.space(), rules, true)
	if refused != nil {
		return refused
	}
	if wants > g.capacity {
		return errCapacity("RULE_GROUP", wants)
	}
	g.fields, g.rules = r.settings(), rules
	return nil
}

func (a *AWS) createGroup(r request) (any, *apiError) {
	if err := checkName(r); err != nil {
		return nil, err
	}
	g := &ruleGroup{name: r.str("Name"), notReady: a.opts.NotReady}
	if json.Unmarshal(r.fields["Capacity"], &g.capacity) != nil || g.capacity < 1 {
		return nil, refuse("ValidationException", "Value at 'capacity' failed to satisfy constraint: Member must have value greater than or equal to 1")
	}
	tags, refused := readTags(r)
	if refused != nil {
		return nil, refused
	}
	if g.capacity > maxCapacity {
		return nil, errCapacity("RULE_GROUP", g.capacity)
	}
	c := a.in(r.space())
	if c.groups[g.name] != nil {
		return nil, refuse("WAFDuplicateItemException", "a rule group named %s exists", g.name)
	}
	if len(c.groups) >= a.opts.MaxGroups {
		return nil, refuse("WAFLimitsExceededException", "the account has %d rule groups already", len(c.groups))
	}
	if refused := a.groupSettings(r, g); refused != nil {
		return nil, refused
	}
	g.id, g.token = a.uuid(), a.uuid()
	g.arn = arn(r.space(), "rulegroup", g.name, g.id)
	c.groups[g.name] = g
	a.tags[g.arn] = tags
	return map[string]any{"Summary": g.summary()}, nil
}

func (g *ruleGroup) summary() map[string]string {
	return map[string]string{"Name": g.name, "Id": g.id, "ARN": g.arn, "LockToken": g.token, "Description": text(g.fields["Description"])}
}

// findGroup finds a group by name, scope and id, all of them.
func (a *AWS) findGroup(r request) (*ruleGroup, *apiError) {
	if err := checkName(r); err != nil {
		return nil, err
	}
	if err := checkUUID(r, "Id"); err != nil {
		return nil, err
	}
	g := a.in(r.space()).groups[r.str("Name")]
	if g == nil || g.id != r.str("Id") {
		return nil, errNonexistent()
	}
	return g, nil
}

func (a *AWS) getGroup(r request) (any, *apiError) {
	var g *ruleGroup
	if ref := r.str("ARN"); ref != "" {
		if g = a.in(spaceOf(r, ref)).now().groups[ref]; g == nil {
			return nil, errNonexistent()
		}
	} else {
		var refused *apiError
		if g, refused = a.findGroup(r); refused != nil {
			return nil, refused
		}
	}
	return map[string]any{"RuleGroup": g.get(r.account), "LockToken": g.token}, nil
}

// get returns the group as GetRuleGroup shows it.
func (g *ruleGroup) get(account string) map[string]json.RawMessage {
	return shown(g.fields, map[string]any{
		"Name": g.name, "Id": g.id, "ARN": g.arn, "Capacity": g.capacity, "Rules": rawRules(g.rules),
		"LabelNamespace": "awswaf:" + account + ":rulegroup:" + g.name + ":",
	})
}

func (a *AWS) updateGroup(r request) (any, *apiError) {
	g, refused := a.findGroup(r)
	if refused != nil {
		return nil, refused
	}
	if refused := checkToken(r, g.token); refused != nil {
		return nil, refused
	}
	if refused := a.groupSettings(r, g); refused != nil {
		return nil, refused
	}
	g.token = a.uuid()
	return map[string]any{"NextLockToken": g.token}, nil
}

func (a *AWS) deleteGroup(r request) (any, *apiError) {
	g, refused := a.findGroup(r)
	if refused != nil {
		return nil, refused
	}
	if refused := checkToken(r, g.token); refused != nil {
		return nil, refused
	}
	c := a.in(r.space())
	if c.refersTo(g.arn) {
		return nil, errAssociated()
	}
	delete(c.groups, g.name)
	delete(a.tags, g.arn)
	return map[string]any{}, nil
}

func (a *AWS) listGroups(r request) (any, *apiError) {
	c := a.in(r.space())
	page, marker, refused := a.page(r, slices.Collect(maps.Keys(c.groups)))
	if refused != nil {
		return nil, refused
	}
	list := make([]map[string]string, len(page))
	for i, name := range page {
		list[i] = c.groups[name].summary()
	}
	return withMarker(map[string]any{"RuleGroups": list}, marker), nil
}
