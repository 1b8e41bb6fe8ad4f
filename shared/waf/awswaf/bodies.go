package awswaf

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tracewall/tracewall/shared/waf"
)

const bodiesField = "CustomResponseBodies" // of a web ACL or a rule group

// bodies returns the map of custom response bodies that our rule needs, nil if it
// needs none. Its one key is the rule's name.
func (f *Firewall) bodies() json.RawMessage {
	r := f.target.Response
	if r == nil || r.Body == "" {
		return nil
	}
	return mustMarshal(map[string]map[string]string{f.base: {"ContentType": r.ContentType, "Content": r.Body}})
}

// bodiesStand tells whether our body is in a map of bodies as configured; if none is, that it is not there.
func (f *Firewall) bodiesStand(standing json.RawMessage) bool {
	var got, want map[string]any
	if len(standing) > 0 && json.Unmarshal(standing, &got) != nil {
		return false
	}
	if wanted := f.bodies(); wanted != nil && json.Unmarshal(wanted, &want) != nil {
		return false
	}
	g, there := got[f.base]
	w, wanted := want[f.base]
	return there == wanted && (!there || sameMember(f.base, g, w))
}

// withBody returns a map of bodies with ours in it if it is wanted and configured, else without: all others are the
// bytes that they were.
func (f *Firewall) withBody(standing json.RawMessage, wanted bool) (json.RawMessage, error) {
	bodies := map[string]json.RawMessage{}
	if len(standing) > 0 && !isEmpty(standing) {
		if err := json.Unmarshal(standing, &bodies); err != nil {
			return nil, fmt.Errorf("custom response bodies: %w: %w", waf.ErrInvalid, err)
		}
	}
	delete(bodies, f.base)
	if own := f.bodies(); own != nil && wanted {
		var ours map[string]json.RawMessage
		if err := json.Unmarshal(own, &ours); err != nil {
			return nil, err
		}
		bodies[f.base] = ours[f.base]
	}
	return object(bodies), nil
}

// hasBody tells whether a map of bodies has this key.
func hasBody(standing json.RawMessage, key string) bool {
	var bodies members
	return len(standing) > 0 && json.Unmarshal(standing, &bodies) == nil && bodies[key] != nil
}

// answersWith tells whether anything of the user's answers with the body of this key: a rule,
// an override in one, or the default action. AWS refuses to lose a body that something refers to.
func (a *webACL) answersWith(key string) bool {
	if mentionsBody(a.fields["DefaultAction"], key) {
		return true
	}
	return slices.ContainsFunc(a.rules, func(r aclRule) bool { return r.name != key && mentionsBody(r.raw, key) })
}

func mentionsBody(raw json.RawMessage, key string) bool {
	var all any
	if len(raw) == 0 || json.Unmarshal(raw, &all) != nil {
		return false
	}
	var walk func(v any) bool
	walk = func(v any) bool {
		switch v := v.(type) {
		case []any:
			return slices.ContainsFunc(v, walk)
		case map[string]any:
			for name, e := range v {
				if name == "CustomResponseBodyKey" && e == key || walk(e) {
					return true
				}
			}
		}
		return false
	}
	return walk(all)
}
