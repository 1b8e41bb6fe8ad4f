package awswaf

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"github.com/tracewall/tracewall/shared/waf"
)

// leftRule is our rule in the web ACL as we left it.
type leftRule struct {
	WebACL   string `json:"acl"` // its id
	Priority int64  `json:"priority,omitzero"`
	Action   string `json:"action,omitzero"`
	// Parts are fingerprints of the rule's members; nil: there was no rule.
	Parts map[string]string `json:"parts,omitzero"`
}

// idPattern is what GetWebACL takes for an id.
var idPattern = regexp.MustCompile(`^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$`)

func (p *webACLPlace) handOver() json.RawMessage {
	if p.left == nil {
		return nil
	}
	return mustMarshal(p.left)
}

func (p *webACLPlace) takeOver(raw json.RawMessage) {
	p.left = nil
	var l leftRule
	if raw != nil && json.Unmarshal(raw, &l) == nil && idPattern.MatchString(l.WebACL) {
		// The sets' descriptions name it too, but one from before it was deleted and made anew.
		p.left, p.aclID = &l, l.WebACL
	}
}

// note takes what stands as left by us: after a write of ours, if it is as configured,
// and if nothing is known.
func (p *webACLPlace) note() {
	p.left = &leftRule{WebACL: p.acl.id}
	if r := p.acl.ours(p.base); r != nil {
		p.left.Priority, p.left.Action, p.left.Parts = r.priority, r.action, p.parts(*r)
	}
}

// known makes of a rule that is not ours by its looks one that is, if we know that we
// made it: without a memory it may be anybody's and is left alone.
func (p *webACLPlace) known(err error, ours map[string]bool) error {
	if errors.Is(err, waf.ErrForeign) && p.wasOurs() {
		p.strangers = slices.DeleteFunc(slices.Clone(p.acl.ourRefs(p.base)), func(arn string) bool { return ours[arn] })
		return nil
	}
	if err == nil && (p.left == nil || p.acl.ours(p.base) != nil && p.ok()) {
		p.note()
	}
	return err
}

// wasOurs tells whether the rule that stands there is one that we made, whatever became of it.
func (p *webACLPlace) wasOurs() bool {
	return p.left != nil && p.left.Parts != nil && p.left.WebACL == p.acl.id
}

// drift implements place.
func (p *webACLPlace) drift() (drift []string) {
	if p.left == nil || p.left.Parts == nil || !p.inForce() {
		return nil
	}
	if p.acl == nil {
		return []string{p.title() + " is gone"}
	}
	if p.acl.id != p.left.WebACL {
		return []string{p.title() + " was deleted and made anew"}
	}
	r := p.acl.ours(p.base)
	if r == nil {
		return []string{fmt.Sprintf("%s: our rule %s is gone", p.title(), p.base)}
	}
	say := func(format string, args ...any) {
		drift = append(drift, fmt.Sprintf("%s: our rule %s: ", p.title(), p.base)+fmt.Sprintf(format, args...))
	}
	for _, arn := range p.strangers {
		say("it refers to %s, %v", printable(nameInARN(arn), 128), errForeignSet)
	}
	if r.priority != p.left.Priority {
		say("its priority was changed from %d to %d", p.left.Priority, r.priority)
	}
	now := p.parts(*r)
	for _, part := range slices.Sorted(maps.Keys(p.left.Parts)) {
		switch {
		case now[part] == p.left.Parts[part]:
		case part == "Action" && r.action != p.left.Action:
			say("its action was changed from %s to %s", printable(p.left.Action, 40), printable(r.action, 40))
		default:
			say("its %s was changed", printable(part, 40))
		}
	}
	return drift
}

// parts returns a fingerprint of each member of a rule but its name and priority, and of
// its custom response body. Which sets the rule refers to makes no difference, nor how many.
func (p *webACLPlace) parts(r aclRule) map[string]string {
	var rule, bodies members
	parts := map[string]string{}
	if json.Unmarshal(r.raw, &rule) != nil {
		return parts
	}
	delete(rule, "Name")
	delete(rule, "Priority")
	if standing := p.acl.fields[bodiesField]; standing != nil && json.Unmarshal(standing, &bodies) == nil && bodies[p.base] != nil {
		rule["custom response body"] = bodies[p.base]
	}
	for key, value := range rule {
		var v any
		if json.Unmarshal(value, &v) == nil {
			sum := sha256.Sum256(mustMarshal(withoutReferences(v)))
			parts[key] = hex.EncodeToString(sum[:6])
		}
	}
	return parts
}

// withoutReferences returns a statement with its lists of references shortened to one that
// names nothing, and without what is null.
func withoutReferences(v any) any {
	switch v := v.(type) {
	case []any:
		var list []any
		var seen []string
		for _, e := range v {
			e = withoutReferences(e)
			if text := string(mustMarshal(e)); !slices.Contains(seen, text) {
				seen = append(seen, text)
				list = append(list, e)
			}
		}
		return list
	case map[string]any:
		out := map[string]any{}
		for key, e := range v {
			if ref, ok := e.(map[string]any); ok && key == "IPSetReferenceStatement" {
				ref = maps.Clone(ref)
				delete(ref, "ARN")
				e = ref
			}
			if e != nil {
				out[key] = withoutReferences(e)
			}
		}
		return out
	}
	return v
}
