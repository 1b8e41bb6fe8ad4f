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
}

type rule struct {
	raw       json.RawMessage
	Name      string
	Priority  *int64
	Statement json.RawMessage
	Action    map[string]json.RawMessage
	Override  map[string]json.RawMessage `json:"OverrideAction"`
	Visible   json.RawMessage            `json:"VisibilityConfig"`
}

// AWS's fixed limits of a web ACL.
const (
	maxReferences = 50
	maxCapacity   = 5000
)

// notStored are members of requests that are not settings.
var notStored = []string{"Scope", "LockToken", "Tags", "Id", "Name", "Rules"}

// outputOnly are members of a web ACL that no request may set. The service ignores them.
var outputOnly = []string{
	"ARN", "Capacity", "LabelNamespace", "PreProcessFirewallManagerRuleGroups", "PostProcessFirewallManagerRuleGroups",
	"ManagedByFirewallManager", "RetrofittedByFirewallManager",
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
	var raws []json.RawMessage
	if raw, ok := r.fields["Rules"]; ok && json.Unmarshal(raw, &raws) != nil {
		return refuse("SerializationException", "Rules is not a list")
	}
	var rules []rule
	names, priorities := map[string]bool{}, map[int64]bool{}
	for _, raw := range raws {
		one, refused := checkRule(raw, r.fields["CustomResponseBodies"])
		if refused != nil {
			return refused
		}
		if names[one.Name] || priorities[*one.Priority] {
			return refuse("WAFDuplicateItemException", "rule name %s or priority %d is there twice", one.Name, *one.Priority)
		}
		names[one.Name], priorities[*one.Priority] = true, true
		rules = append(rules, one)
	}
	capacity, refused := a.judge(r, rules)
	if refused != nil {
		return refused
	}
	fields := map[string]json.RawMessage{}
	for key, raw := range r.fields {
		if !slices.Contains(notStored, key) && !slices.Contains(outputOnly, key) {
			fields[key] = raw
		}
	}
	if kept, ok := acl.fields["ApplicationConfig"]; ok { // the one field that leaving out does not delete
		if sent, ok := fields["ApplicationConfig"]; ok && string(sent) != string(kept) {
			return refuse("WAFInvalidOperationException", "ApplicationConfig cannot be changed")
		}
		fields["ApplicationConfig"] = kept
	}
	acl.fields, acl.rules, acl.capacity = fields, rules, capacity
	return nil
}

func checkVisibility(raw json.RawMessage) *apiError {
	var v struct {
		SampledRequestsEnabled, CloudWatchMetricsEnabled *bool
		MetricName                                       string
	}
	if json.Unmarshal(raw, &v) != nil || v.SampledRequestsEnabled == nil || v.CloudWatchMetricsEnabled == nil || !metricPattern.MatchString(v.MetricName) {
		return refuse("ValidationException", "Value at 'visibilityConfig' failed to satisfy constraint")
	}
	return nil
}

func checkRule(raw, bodies json.RawMessage) (rule, *apiError) {
	one := rule{raw: raw}
	if json.Unmarshal(raw, &one) != nil || one.Priority == nil || *one.Priority < 0 || !namePattern.MatchString(one.Name) {
		return one, refuse("ValidationException", "a rule lacks a valid Name or Priority")
	}
	if err := checkVisibility(one.Visible); err != nil {
		return one, err
	}
	if len(one.Action)+len(one.Override) != 1 {
		return one, invalid("RULE_ACTION", one.Name, "A rule has exactly one of Action and OverrideAction.")
	}
	var custom struct {
		Block struct {
			CustomResponse struct{ CustomResponseBodyKey string }
		}
	}
	var known map[string]json.RawMessage
	_ = json.Unmarshal(bodies, &known)
	if raw := one.Action["Block"]; raw != nil {
		_ = json.Unmarshal(raw, &custom.Block)
	}
	if key := custom.Block.CustomResponse.CustomResponseBodyKey; key != "" && known[key] == nil {
		return one, invalid("CUSTOM_RESPONSE_BODY", key, "The custom response body key doesn't exist.")
	}
	s, err := parseStatement(one.Statement)
	if err != nil {
		return one, invalid("STATEMENT", one.Name, err.Error())
	}
	if s.needsOverride() != (len(one.Override) == 1) {
		return one, invalid("RULE_ACTION", one.Name, "A rule that refers to a rule group has an OverrideAction, any other an Action.")
	}
	return one, nil
}

// judge checks what the rules refer to and what they cost.
func (a *AWS) judge(r request, rules []rule) (capacity int, refused *apiError) {
	references := 0
	c := a.in(r.space())
	for _, one := range rules {
		s, err := parseStatement(one.Statement)
		if err != nil {
			return 0, invalid("STATEMENT", one.Name, err.Error())
		}
		capacity += s.capacity()
		refs := s.sets()
		references += len(refs) + s.otherReferences()
		for _, ref := range refs {
			i := slices.IndexFunc(slices.Collect(maps.Values(c.sets)), func(s *ipSet) bool { return s.arn == ref })
			if i < 0 {
				return 0, refuse("WAFNonexistentItemException", "AWS WAF couldn't perform the operation because your resource doesn't exist: %s", ref)
			}
		}
	}
	if references > maxReferences || capacity > maxCapacity {
		return 0, refuse("WAFLimitsExceededException", "%d references, %d WCU", references, capacity)
	}
	waiting := false
	for _, set := range c.sets {
		if set.notReady > 0 && slices.ContainsFunc(rules, func(one rule) bool {
			s, _ := parseStatement(one.Statement)
			return slices.Contains(s.sets(), set.arn)
		}) {
			set.notReady--
			waiting = true
		}
	}
	if waiting {
		return 0, refuse("WAFUnavailableEntityException", "AWS WAF couldn't retrieve the resource that you requested. Retry your request.")
	}
	return capacity, nil
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
	var description string
	_ = json.Unmarshal(acl.fields["Description"], &description)
	return map[string]string{"Name": acl.name, "Id": acl.id, "ARN": acl.arn, "LockToken": acl.token, "Description": description}
}

func (a *AWS) findACL(r request) (*webACL, *apiError) {
	for _, acl := range a.in(r.space()).acls {
		if acl.name == r.str("Name") && acl.id == r.str("Id") || acl.arn == r.str("ARN") {
			return acl, nil
		}
	}
	return nil, refuse("WAFNonexistentItemException", "AWS WAF couldn't perform the operation because your resource doesn't exist.")
}

func (a *AWS) getWebACL(r request) (any, *apiError) {
	acl, refused := a.findACL(r)
	if refused != nil {
		return nil, refused
	}
	return map[string]any{"WebACL": acl.get(), "LockToken": acl.token}, nil
}

// get returns the web ACL as GetWebACL shows it.
func (acl *webACL) get() map[string]json.RawMessage {
	out := maps.Clone(acl.fields)
	raws := make([]json.RawMessage, len(acl.rules))
	for i, one := range acl.rules {
		raws[i] = one.raw
	}
	for key, v := range map[string]any{
		"Name": acl.name, "Id": acl.id, "ARN": acl.arn, "Capacity": acl.capacity, "Rules": raws,
		"ManagedByFirewallManager": false, "LabelNamespace": "awswaf:" + account + ":webacl:" + acl.name + ":",
	} {
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

func (a *AWS) updateWebACL(r request) (any, *apiError) {
	if err := checkName(r); err != nil {
		return nil, err
	}
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

func (a *AWS) checkCapacity(r request) (any, *apiError) {
	var raws []json.RawMessage
	if json.Unmarshal(r.fields["Rules"], &raws) != nil {
		return nil, refuse("SerializationException", "Rules is not a list")
	}
	total := 0
	for _, raw := range raws {
		one, refused := checkRule(raw, r.fields["CustomResponseBodies"])
		if refused != nil {
			return nil, refused
		}
		s, _ := parseStatement(one.Statement)
		total += s.capacity()
	}
	return map[string]any{"Capacity": total}, nil
}

func (acl *webACL) references() (arns []string) {
	for _, one := range acl.rules {
		if s, err := parseStatement(one.Statement); err == nil {
			arns = append(arns, s.sets()...)
		}
	}
	return arns
}
