package waftest

import (
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// sentRule is one element of the parameter Rules.
type sentRule struct {
	id     int64
	name   string
	status int
	config map[string]json.RawMessage // the rest
}

// ruleFields are what a rule of a scene may consist of; ! is required. A field that is not
// here is refused: the service would overlook it.
var ruleFields = map[string]string{
	sceneBook:      "name! valueType! description",
	sceneBlacklist: "name! status! action! remoteAddr! origin",
	sceneCustom:    "name! status! action! conditions! ccStatus! origin! ccEffect effect ratelimit ratelimitors grayStatus grayConfig timeConfig",
	sceneWhitelist: "name! status! tags! conditions origin timeConfig regularRules regularTypes",
}

// readRules reads and judges the parameter Rules. For a change each has its id, and status need not be there.
func (a *Alibaba) readRules(r aliRequest, scene string, create bool) ([]sentRule, *aliError) {
	var list []map[string]json.RawMessage
	if err := json.Unmarshal([]byte(r.str("Rules")), &list); err != nil || len(list) == 0 {
		return nil, wrong("Rules", "want a JSON array of at least one object")
	}
	sent := make([]sentRule, len(list))
	for i, fields := range list {
		one := sentRule{status: 1, config: fields}
		if id, ok := fields["id"]; ok == create {
			return nil, wrong("Rules", "id: a change needs it, a new rule has none")
		} else if ok {
			var text looseStr
			if text.UnmarshalJSON(id) != nil {
				return nil, wrong("Rules", "id: want a number")
			}
			if one.id, _ = strconv.ParseInt(string(text), 10, 64); slices.ContainsFunc(sent[:i], func(s sentRule) bool { return s.id == one.id }) {
				return nil, wrong("Rules", "id: each rule once")
			}
		}
		if e := one.read(scene, create); e != nil {
			return nil, e
		}
		if e := a.judge(scene, one, r); e != nil {
			return nil, e
		}
		sent[i] = one
	}
	return sent, nil
}

// read takes id, name and status out of the fields and checks which the others are.
func (s *sentRule) read(scene string, create bool) *aliError {
	may := map[string]bool{"id": true}
	for one := range strings.FieldsSeq(ruleFields[scene]) {
		name := strings.TrimRight(one, "!")
		may[name] = true
		if _, ok := s.config[name]; !ok && strings.HasSuffix(one, "!") && (create || name != "status") {
			return wrong("Rules", "%s is missing", name)
		}
	}
	for name := range s.config {
		if !may[name] {
			return wrong("Rules", "a rule of %s has no field %s", scene, name)
		}
	}
	if json.Unmarshal(s.config["name"], &s.name) != nil || !aliName.MatchString(s.name) {
		return bad("Defense.Control.DefenseRuleNameInvalid", "The name of the protection rule is invalid.")
	}
	if raw, ok := s.config["status"]; ok && (json.Unmarshal(raw, &s.status) != nil || s.status != 0 && s.status != 1) {
		return wrong("Rules", "status: want 0 or 1")
	}
	s.config = maps.Clone(s.config)
	delete(s.config, "id")
	delete(s.config, "name")
	delete(s.config, "status")
	return nil
}

func (s *sentRule) text(field string) string {
	var text string
	_ = json.Unmarshal(s.config[field], &text) // "" is refused by whoever asks
	return text
}

// Actions of rules that block, hold up or only log (DOC: CreateDefenseRule).
var (
	blacklistActions = []string{"block", "monitor"}
	customActions    = []string{"block", "monitor", "js", "captcha", "captcha_strict", "bypass"}
)

// judge checks one rule's content.
func (a *Alibaba) judge(scene string, one sentRule, r aliRequest) *aliError {
	switch scene {
	case sceneBook:
		if one.text("valueType") != "ip" {
			return wrong("Rules", "valueType: want ip")
		}
		if utf8.RuneCountInString(one.text("description")) > maxDescription {
			return wrong("Rules", "description: want at most %d characters", maxDescription)
		}
	case sceneBlacklist:
		if !slices.Contains(blacklistActions, one.text("action")) {
			return wrong("Rules", "action: want block or monitor")
		}
		return a.judgeBlacklist(one.config["remoteAddr"], r)
	case sceneCustom:
		if !slices.Contains(customActions, one.text("action")) {
			return wrong("Rules", "action: want one of %v", customActions)
		}
		if one.text("origin") != "custom" {
			return wrong("Rules", "origin: want custom")
		}
		if cc := string(one.config["ccStatus"]); cc != "0" && cc != "1" {
			return wrong("Rules", "ccStatus: want 0 or 1")
		}
		return a.judgeConditions(one.config["conditions"], 5)
	case sceneWhitelist:
		var tags []string
		if json.Unmarshal(one.config["tags"], &tags) != nil || len(tags) == 0 {
			return bad("Defense.Control.DefenseWhitelistBypassTagInvalid", "The tags of the whitelist rule are invalid.")
		}
		if raw, ok := one.config["conditions"]; ok {
			return a.judgeConditions(raw, 5)
		}
	}
	return nil
}

func (a *Alibaba) judgeBlacklist(raw json.RawMessage, r aliRequest) *aliError {
	var list []string
	if json.Unmarshal(raw, &list) != nil {
		return wrong("Rules", "remoteAddr: want an array of texts")
	}
	r.call.Entries = len(list)
	if len(list) == 0 {
		return bad("Defense.Control.DefenseIpBlacklistIpEmpty", "The IP addresses of the blacklist rule are empty.")
	}
	if len(list) > a.opts.Quotas.BlacklistAddresses {
		return bad("AclIpCountOverLimit", "The number of IP addresses of the rule exceeds the limit.")
	}
	seen := map[netip.Prefix]bool{}
	for _, text := range list {
		p, wrong := a.takes(text)
		if wrong == "" && seen[p] {
			wrong = "it is there twice"
		}
		if wrong != "" {
			return bad("Defense.Control.DefenseIpBlacklistIpInvalid", "The IP address %.60q of the blacklist rule is invalid: %s.", text, wrong)
		}
		seen[p] = true
	}
	return nil
}

// condition is one of a rule's. All of them must be met.
type condition struct {
	Key    string   `json:"key"`
	SubKey string   `json:"subKey"`
	Op     string   `json:"opValue"`
	Values looseStr `json:"values"`
}

// looseStr is a text that comes as a number too: the service takes an address book's id in either form.
type looseStr string

// UnmarshalJSON implements json.Unmarshaler.
func (s *looseStr) UnmarshalJSON(raw []byte) error {
	if strings.HasPrefix(string(raw), `"`) {
		return json.Unmarshal(raw, (*string)(s))
	}
	var n json.Number
	if err := json.Unmarshal(raw, &n); err != nil {
		return err
	}
	*s = looseStr(n.String())
	return nil
}

// conditions returns those of a stored rule; none if it has none.
func (r *aliRule) conditions() []condition {
	var list []condition
	_ = json.Unmarshal(r.config["conditions"], &list) // it was checked when it was stored
	return list
}

// operators of the key IP. Sources differ on eq and ne.
var ipOperators = []string{"contain", "not-contain", "in-list", "not-in-list", "eq", "ne"}

func (a *Alibaba) judgeConditions(raw json.RawMessage, most int) *aliError {
	invalid := func(format string, args ...any) *aliError {
		e := wrong("conditions", format, args...)
		e.code = "Defense.Control.DefenseRuleConditionValueInvalid"
		return e
	}
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.DisallowUnknownFields() // "value" for "values" is the slip that the vendor warns of
	var list []condition
	if err := decoder.Decode(&list); err != nil || len(list) == 0 || len(list) > most {
		return invalid("want 1 to %d of key, subKey, opValue, values", most)
	}
	for _, c := range list {
		switch {
		case c.Key == "" || c.Op == "" || c.Values == "":
			return invalid("key, opValue and values must be there")
		case c.Key != "IP":
		case !slices.Contains(ipOperators, c.Op):
			return invalid("IP knows no operator %.40q", c.Op)
		case strings.HasSuffix(c.Op, "in-list"):
			id, err := strconv.ParseInt(string(c.Values), 10, 64)
			if book := a.state.rules[id]; err != nil || a.opts.NoAddressBooks || book == nil || book.book == nil {
				return invalid("there is no address book %.40q", c.Values)
			}
		default:
			parts := strings.Split(string(c.Values), ",")
			if len(parts) > a.opts.Quotas.ACLAddresses {
				return bad("AclIpCountOverLimit", "The number of IP addresses of the condition exceeds the limit.")
			}
			for _, text := range parts {
				if _, why := a.takes(text); why != "" {
					return invalid("address %.60q: %s", text, why)
				}
			}
		}
	}
	return nil
}
