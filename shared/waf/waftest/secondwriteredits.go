package waftest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// maxOwn is how many rules of its own a SecondWriter lets gather.
const maxOwn = 12

// own returns the places of the writer's rules in the web ACL.
func (w *SecondWriter) own(acl *webACL) (places []int) {
	for i, one := range acl.rules {
		if !strings.HasPrefix(one.Name, ours) {
			places = append(places, i)
		}
	}
	return places
}

// free returns a priority that no rule has.
func (w *SecondWriter) free(acl *webACL) int64 {
	for {
		p := w.rng.Int64N(300)
		if !slices.ContainsFunc(acl.rules, func(one rule) bool { return *one.Priority == p }) {
			return p
		}
	}
}

// pick returns one of the writer's rules and all rules' bytes; nil if it has none.
func (w *SecondWriter) pick(acl *webACL) (one *rule, place int, raws []json.RawMessage) {
	raws = rawRules(acl.rules)
	places := w.own(acl)
	if len(places) == 0 {
		return nil, 0, raws
	}
	place = places[w.rng.IntN(len(places))]
	return &acl.rules[place], place, raws
}

// change gives one member of one of the writer's rules another value.
func (w *SecondWriter) change(acl *webACL, member string, value func(one *rule) any, did string) (string, *apiError) {
	one, place, raws := w.pick(acl)
	if one == nil {
		return w.add(acl)
	}
	members := map[string]json.RawMessage{}
	_ = json.Unmarshal(one.raw, &members) // it was stored, so it can be read
	old := string(members[member])
	v, err := marshal(value(one))
	if err != nil {
		return did, refuse("SerializationException", "%v", err)
	}
	members[member] = v
	if raws[place], err = marshal(members); err != nil {
		return did, refuse("SerializationException", "%v", err)
	}
	name := one.Name
	return fmt.Sprintf("%s %s from %s to %s", did, name, old, v), w.replace(acl, acl.fields, raws)
}

func (w *SecondWriter) add(acl *webACL) (string, *apiError) {
	if len(w.own(acl)) >= maxOwn {
		return w.remove(acl)
	}
	w.made++
	name := fmt.Sprintf("theirs-%d", w.made)
	statements := []string{
		`{"GeoMatchStatement":{"CountryCodes":["AQ"]}}`,
		fmt.Sprintf(`{"IPSetReferenceStatement":{"ARN":%q}}`, w.view.aws.in(w.where).sets[w.set].arn),
		`{"ByteMatchStatement":{"SearchString":"YTxi","FieldToMatch":{"UriPath":{}},"TextTransformations":[{"Priority":0,"Type":"NONE"}],"PositionalConstraint":"CONTAINS"}}`,
		`{"RateBasedStatement":{"Limit":500,"AggregateKeyType":"IP","FutureOption":0.50}}`,
	}
	raw := fmt.Sprintf(`{"Name":%q,"Priority":%d,"Action":{"Count":{}},"Statement":%s,"VisibilityConfig":%s}`,
		name, w.free(acl), statements[w.rng.IntN(len(statements))], seedVisibility)
	return "add rule " + name, w.replace(acl, acl.fields, append(rawRules(acl.rules), json.RawMessage(raw)))
}

func (w *SecondWriter) remove(acl *webACL) (string, *apiError) {
	one, place, raws := w.pick(acl)
	if one == nil {
		return w.add(acl)
	}
	name := one.Name
	return "remove rule " + name, w.replace(acl, acl.fields, slices.Delete(raws, place, place+1))
}

func (w *SecondWriter) rename(acl *webACL) (string, *apiError) {
	w.made++
	return w.change(acl, "Name", func(*rule) any { return fmt.Sprintf("renamed-%d", w.made) }, "rename rule")
}

func (w *SecondWriter) move(acl *webACL) (string, *apiError) {
	return w.change(acl, "Priority", func(*rule) any { return w.free(acl) }, "move rule")
}

// toggle switches one of the writer's rules between what it does and counting only.
func (w *SecondWriter) toggle(acl *webACL) (string, *apiError) {
	one, place, raws := w.pick(acl)
	if one == nil {
		return w.add(acl)
	}
	member, on, now := "Action", "Block", one.Action
	if one.cond.needsOverride() {
		member, on, now = "OverrideAction", "None", one.Override
	}
	to := "Count"
	if _, counts := now["Count"]; counts {
		to = on
	}
	members := map[string]json.RawMessage{}
	_ = json.Unmarshal(one.raw, &members)
	members[member] = json.RawMessage(`{"` + to + `":{}}`)
	raw, err := marshal(members)
	if err != nil {
		return "toggle", refuse("SerializationException", "%v", err)
	}
	raws[place] = raw
	name := one.Name
	return "let rule " + name + " " + to, w.replace(acl, acl.fields, raws)
}

// setting changes or drops one of the web ACL's settings.
func (w *SecondWriter) setting(acl *webACL) (string, *apiError) {
	w.made++
	fields := map[string]json.RawMessage{}
	for key, raw := range acl.fields {
		fields[key] = raw
	}
	key, value := "Description", fmt.Sprintf(`"edited %d times"`, w.made)
	switch w.rng.IntN(9) {
	case 0:
		key, value = "CaptchaConfig", fmt.Sprintf(`{"ImmunityTimeProperty":{"ImmunityTime":%d}}`, 60+w.made)
	case 1:
		key, value = "TokenDomains", fmt.Sprintf(`["shop%d.example.com"]`, w.made)
	case 2:
		key, value = "DefaultAction", fmt.Sprintf(`{"Allow":{"CustomRequestHandling":{"InsertHeaders":[{"Name":"x-edit","Value":"%d <&>"}]}}}`, w.made)
	case 3:
		key, value = "DataProtectionConfig", fmt.Sprintf(`{"DataProtections":[{"Field":{"FieldType":"SINGLE_HEADER","FieldKeys":["h%d"]},"Action":"HASH"}]}`, w.made)
	case 4:
		key, value = "FutureConfig", fmt.Sprintf(`{"Since":"20%d","Level":1.50}`, 30+w.made)
	case 5:
		key, value = "VisibilityConfig", fmt.Sprintf(`{"SampledRequestsEnabled":%t,"CloudWatchMetricsEnabled":true,"MetricName":"m%d"}`, w.made%2 == 0, w.made)
	case 6:
		drops := []string{"ChallengeConfig", "AssociationConfig", "OnSourceDDoSProtectionConfig", "Description"}
		key, value = drops[w.rng.IntN(len(drops))], ""
	case 7:
		bodies := bodiesOf(fields)
		bodies[fmt.Sprintf("body-%d", w.made%5)] = json.RawMessage(fmt.Sprintf(`{"ContentType":"TEXT_PLAIN","Content":"<b> & %d"}`, w.made))
		raw, err := marshal(bodies)
		if err != nil {
			return key, refuse("SerializationException", "%v", err)
		}
		key, value = bodiesField, string(raw)
	}
	if value == "" {
		delete(fields, key)
		return "drop " + key, w.replace(acl, fields, rawRules(acl.rules))
	}
	fields[key] = json.RawMessage(value)
	return "set " + key + " to " + value, w.replace(acl, fields, rawRules(acl.rules))
}

// content replaces what is in the writer's IP set.
func (w *SecondWriter) content(*webACL) (string, *apiError) {
	s := w.view.aws.in(w.where).sets[w.set]
	if s == nil {
		return "edit ip set " + w.set, errNonexistent()
	}
	holds := make([]string, 0, 4)
	for i := range w.rng.IntN(5) {
		holds = append(holds, fmt.Sprintf("198.51.100.%d/32", i*50+w.rng.IntN(50)))
	}
	w.made++
	words := fmt.Sprintf("edit %d", w.made)
	r := w.where.request().with("Name", s.name).with("Id", s.id).with("LockToken", s.token).with("Addresses", holds).with("Description", words)
	if _, refused := w.view.aws.updateIPSet(r); refused != nil {
		return "edit ip set " + w.set, refused
	}
	w.holds, w.words = holds, words
	return fmt.Sprintf("put %v into ip set %s", holds, w.set), nil
}
