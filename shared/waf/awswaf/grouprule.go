package awswaf

import "encoding/json"

// groupRule is the rule of a group that refers to these sets, the same as mode
// web-acl makes; nil if they hold nothing to block.
func (p *ruleGroupPlace) groupRule(arns []string) json.RawMessage {
	return p.ourRule(arns, int64(p.target.Priority))
}

// groupStands tells whether a group's rule and bodies are as configured.
func (p *ruleGroupPlace) groupStands(rule aclRule, bodies json.RawMessage) bool {
	return rule.priority == int64(p.target.Priority) && p.ruleStands(rule) && p.bodiesStand(bodies)
}

// plainRule is groupRule as CheckCapacity is asked about it: that takes no response
// bodies, so it is not known what it makes of a rule that names one, and no action costs anything.
func (p *ruleGroupPlace) plainRule(arns []string) json.RawMessage {
	var rule map[string]json.RawMessage
	if err := json.Unmarshal(p.groupRule(arns), &rule); err != nil {
		panic(err) // what was just marshalled
	}
	rule["Action"] = json.RawMessage(`{"Block":{}}`)
	return object(rule)
}
