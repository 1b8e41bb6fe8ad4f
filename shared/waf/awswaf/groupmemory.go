package awswaf

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
)

// groupMemory is what is worth remembering of a rule group: as long as its lock
// token is the same, so is everything else, and it need not be read. It is plain
// data, so that it can outlive the process.
type groupMemory struct {
	Name     string   `json:"name"`
	ID       string   `json:"id"`
	ARN      string   `json:"arn"`
	Token    string   `json:"token"`
	Capacity int      `json:"capacity"`          // WCU, fixed when the group was made
	Refs     []string `json:"refs,omitempty"`    // ARNs of the IP sets that our rule refers to
	Form     string   `json:"form,omitempty"`    // form() of the configuration that the rule is made after; "" if after none
	Foreign  string   `json:"foreign,omitempty"` // in words, what in the group is not ours
}

// remember returns the groups as we left them, in order of name.
func (p *ruleGroupPlace) remember() []groupMemory {
	return slices.SortedFunc(maps.Values(p.left), func(a, b groupMemory) int { return cmp.Compare(a.Name, b.Name) })
}

// recall takes over what an earlier process remembered. It is believed only for
// groups whose lock token is still the same.
func (p *ruleGroupPlace) recall(groups []groupMemory) {
	p.known = make(map[string]groupMemory, len(groups))
	for _, g := range groups {
		p.known[g.ID] = g
	}
}

// form is a fingerprint of all that the configuration says about a group's content,
// whichever sets it refers to.
func (p *ruleGroupPlace) form() string {
	const one, two, except = "arn/x/a-v4-001/1", "arn/x/a-v4-002/2", "arn/x/a-v4-except-001/3"
	h := sha256.New()
	h.Write(p.groupRule([]string{one}))
	h.Write(p.groupRule([]string{one, two, except}))
	h.Write(p.bodies())
	return hex.EncodeToString(h.Sum(nil)[:8])
}
