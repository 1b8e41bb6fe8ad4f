package waftest

import (
	"encoding/json"
	"maps"
	"slices"
)

// webACL is stored as the caller sent it, field by field and byte by byte, also
// what nobody here knows.
type webACL struct {
	name, id, arn, token string
	fields               map[string]json.RawMessage // what the caller may set
	rules                []rule
	capacity             int
	managed              map[string]any // what Firewall Manager adds to what GetWebACL shows
	first, last          []rule         // Firewall Manager's
}

// notStored are members of requests that are not settings.
var notStored = []string{"Scope", "LockToken", "Tags", "Id", "Name", "Rules"}

// outputOnly are members of a web ACL or rule group that no update may set. The service ignores them.
var outputOnly = []string{
	"ARN", "Capacity", "LabelNamespace", "PreProcessFirewallManagerRuleGroups", "PostProcessFirewallManagerRuleGroups",
	"ManagedByFirewallManager", "RetrofittedByFirewallManager", "AvailableLabels", "ConsumedLabels",
}

// settings judges the settings of a Create or Update request and takes them over whole.
func (a *AWS) settings(r request, acl *webACL) *apiError {
	if err := checkDescription(r); err != nil {
		return err
	}
	var action map[string]json.RawMessage
	if json.Unmarshal(r.fields["DefaultAction"], &action) != nil || len(action) != 1 || action["Allow"] == nil && action["Block"] == nil {
		return invalid("DEFAULT_ACTION", string(r.fields["DefaultAction"]), "You must specify exactly one action.")
	}
	if err := checkVisibility(r.fields["VisibilityConfig"]); err != nil {
		return err
	}
	rules, refused := readRules(r)
	if refused != nil {
		return refused
	}
	capacity, refused := a.judge(r.space(), rules, false)
	if refused != nil {
		return refused
	}
	capacity += a.cost(r.space(), slices.Concat(acl.first, acl.last))
	if capacity > maxCapacity {
		return errCapacity("WEB_ACL", capacity)
	}
	fields := r.settings()
	if kept, ok := acl.fields["ApplicationConfig"]; ok { // the one field that leaving out does not delete
		if sent, ok := fields["ApplicationConfig"]; ok && string(sent) != string(kept) {
			return refuse("WAFInvalidOperationException", "ApplicationConfig cannot be changed")
		}
		fields["ApplicationConfig"] = kept
	}
	acl.fields, acl.rules, acl.capacity = fields, rules, capacity
	return nil
}

// settings returns what a request sets, in its own bytes.
func (r request) settings() map[string]json.RawMessage {
	fields := map[string]json.RawMessage{}
	for key, raw := range r.fields {
		if !slices.Contains(notStored, key) && !slices.Contains(outputOnly, key) {
			fields[key] = raw
		}
	}
	return fields
}

func (a *AWS) createWebACL(r request) (any, *apiError) {
	if err := checkName(r); err != nil {
		return nil, err
	}
	tags, refused := readTags(r)
	if refused != nil {
		return nil, refused
	}
	c := a.in(r.space())
	if c.acls[r.str("Name")] != nil {
		return nil, refuse("WAFDuplicateItemException", "a web acl named %s exists", r.str("Name"))
	}
	acl := &webACL{name: r.str("Name")}
	if refused := a.settings(r, acl); refused != nil {
		return nil, refused
	}
	acl.id, acl.token = a.uuid(), a.uuid()
	acl.arn = arn(r.space(), "webacl", acl.name, acl.id)
	c.acls[acl.name] = acl
	a.tags[acl.arn] = tags
	return map[string]any{"Summary": acl.summary()}, nil
}

func (acl *webACL) summary() map[string]string {
	return map[string]string{"Name": acl.name, "Id": acl.id, "ARN": acl.arn, "LockToken": acl.token, "Description": text(acl.fields["Description"])}
}

// findACL finds a web ACL by name, scope and id, all of them.
func (a *AWS) findACL(r request) (*webACL, *apiError) {
	if err := checkName(r); err != nil {
		return nil, err
	}
	if err := checkUUID(r, "Id"); err != nil {
		return nil, err
	}
	acl := a.in(r.space()).acls[r.str("Name")]
	if acl == nil || acl.id != r.str("Id") {
		return nil, errNonexistent()
	}
	return acl, nil
}

// aclByARN finds a web ACL of the caller's account and Region.
func (a *AWS) aclByARN(r request, ref string) (*webACL, *apiError) {
	for _, acl := range a.in(spaceOf(r, ref)).acls {
		if acl.arn == ref {
			return acl, nil
		}
	}
	return nil, errNonexistent()
}

func (a *AWS) getWebACL(r request) (any, *apiError) {
	var acl *webACL
	var refused *apiError
	if ref := r.str("ARN"); ref != "" {
		acl, refused = a.aclByARN(r, ref)
	} else {
		acl, refused = a.findACL(r)
	}
	if refused != nil {
		return nil, refused
	}
	return map[string]any{"WebACL": acl.get(r.account), "LockToken": acl.token}, nil
}

// get returns the web ACL as GetWebACL shows it.
func (acl *webACL) get(account string) map[string]json.RawMessage {
	more := map[string]any{
		"Name": acl.name, "Id": acl.id, "ARN": acl.arn, "Capacity": acl.capacity, "Rules": rawRules(acl.rules),
		"ManagedByFirewallManager": false, "LabelNamespace": "awswaf:" + account + ":webacl:" + acl.name + ":",
	}
	maps.Copy(more, acl.managed)
	return shown(acl.fields, more)
}

// shown returns fields and what the service adds to them.
func shown(fields map[string]json.RawMessage, more map[string]any) map[string]json.RawMessage {
	out := maps.Clone(fields)
	for key, v := range more {
		raw, err := marshal(v)
		if err != nil {
			raw = json.RawMessage("null")
		}
		out[key] = raw
	}
	if out["Description"] == nil {
		out["Description"] = json.RawMessage(`""`) // what AWS shows for none, and does not take back
	}
	return out
}

func rawRules(rules []rule) []json.RawMessage {
	raws := make([]json.RawMessage, len(rules))
	for i, one := range rules {
		raws[i] = one.raw
	}
	return raws
}

// text returns a JSON string's content, "" for anything else.
func text(raw json.RawMessage) (s string) {
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

func (a *AWS) updateWebACL(r request) (any, *apiError) {
	acl, refused := a.findACL(r)
	if refused != nil {
		return nil, refused
	}
	if refused := checkToken(r, acl.token); refused != nil {
		return nil, refused
	}
	if refused := a.settings(r, acl); refused != nil {
		return nil, refused
	}
	acl.token = a.uuid()
	return map[string]any{"NextLockToken": acl.token}, nil
}

func (a *AWS) listWebACLs(r request) (any, *apiError) {
	c := a.in(r.space())
	page, marker, refused := a.page(r, slices.Collect(maps.Keys(c.acls)))
	if refused != nil {
		return nil, refused
	}
	list := make([]map[string]string, len(page))
	for i, name := range page {
		list[i] = c.acls[name].summary()
	}
	return withMarker(map[string]any{"WebACLs": list}, marker), nil
}

// all returns every rule in the order of evaluation's three parts.
func (acl *webACL) all() [][]rule { return [][]rule{acl.first, acl.rules, acl.last} }
