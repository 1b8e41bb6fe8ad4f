package waftest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// SecondWriter is the other one who writes to a web ACL that tracewall writes to: the
// user in the console, or Terraform. It edits its own rules, the settings and its own IP set, each time as
// the API has it (read, change, replace whole, with the lock token of the moment), and knows what it wants to
// find there afterwards. Rules and bodies of custom responses whose names
// begin with "tracewall-" are not its business: it sends them back as they are.
//
// Its edits make no Calls. It may be used from AWS.Before and AWS.After, by one goroutine at a time.
type SecondWriter struct {
	view  *View
	where space
	acl   string
	rng   *rand.Rand
	made  int // names given so far

	did      []string
	rules    map[string]string // its own, by name
	settings map[string]string
	set      string   // name of its IP set
	holds    []string // addresses in it
	words    string   // its description
}

// ours is how the names of tracewall's own rules, groups and sets begin.
const ours = "tracewall-"

// SecondWriter returns one who takes everything in the web ACL that is not
// tracewall's for their own, and who makes an IP set beside it. The same seed gives the same edits in the same state.
func (v *View) SecondWriter(seed uint64, region, scope, acl string) (*SecondWriter, error) {
	a := v.aws
	a.mu.Lock()
	defer a.mu.Unlock()
	_, found, err := v.webACL(region, scope, acl)
	if err != nil {
		return nil, err
	}
	w := &SecondWriter{
		view: v, where: space{v.account, region, scope}, acl: acl, rng: rand.New(rand.NewPCG(seed, 2)),
		set: acl + "-second-writer", holds: []string{"198.51.100.1/32"},
	}
	if _, err := a.seedSet(w.where, w.set, w.holds...); err != nil {
		return nil, err
	}
	a.record(w.where)
	w.rules, w.settings = theirs(found)
	return w, nil
}

// theirs returns what of a web ACL is not tracewall's.
func theirs(acl *webACL) (rules, settings map[string]string) {
	rules, settings = map[string]string{}, map[string]string{}
	for _, one := range acl.rules {
		if !strings.HasPrefix(one.Name, ours) {
			rules[one.Name] = string(one.raw)
		}
	}
	for key, raw := range acl.fields {
		if key == bodiesField {
			continue
		}
		settings[key] = string(raw)
	}
	for key, raw := range bodiesOf(acl.fields) {
		if !strings.HasPrefix(key, ours) {
			settings[bodiesField+"."+key] = string(raw)
		}
	}
	return rules, settings
}

// bodiesField is the one setting that tracewall has a part in: a body of its custom response.
const bodiesField = "CustomResponseBodies"

func bodiesOf(fields map[string]json.RawMessage) map[string]json.RawMessage {
	bodies := map[string]json.RawMessage{}
	_ = json.Unmarshal(fields[bodiesField], &bodies) // it was stored, so it can be read; or there is none
	return bodies
}

// Edit makes one random edit and says what it was.
func (w *SecondWriter) Edit() (string, error) {
	a := w.view.aws
	a.mu.Lock()
	defer a.mu.Unlock()
	_, acl, err := w.view.webACL(w.where.region, w.where.scope, w.acl)
	if err != nil {
		return "", err
	}
	kinds := []func(*webACL) (string, *apiError){w.add, w.remove, w.rename, w.move, w.toggle, w.setting, w.setting, w.content}
	did, refused := kinds[w.rng.IntN(len(kinds))](acl)
	if refused != nil {
		return "", fmt.Errorf("second writer: %s: %w", did, refused)
	}
	a.record(w.where)
	w.did = append(w.did, did)
	return did, nil
}

// Apply puts the web ACL back to what the writer knows of it, as "terraform apply" does:
// every rule and body that is not its own is gone, tracewall's too.
func (w *SecondWriter) Apply() error {
	a := w.view.aws
	a.mu.Lock()
	defer a.mu.Unlock()
	_, acl, err := w.view.webACL(w.where.region, w.where.scope, w.acl)
	if err != nil {
		return err
	}
	rules := []json.RawMessage{}
	for _, name := range sortedKeys(w.rules) {
		rules = append(rules, json.RawMessage(w.rules[name]))
	}
	fields, bodies := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	for key, raw := range w.settings {
		if body, ok := strings.CutPrefix(key, bodiesField+"."); ok {
			bodies[body] = json.RawMessage(raw)
		} else {
			fields[key] = json.RawMessage(raw)
		}
	}
	if len(bodies) > 0 {
		raw, err := marshal(bodies)
		if err != nil {
			return fmt.Errorf("second writer: apply: %w", err)
		}
		fields[bodiesField] = raw
	}
	if refused := w.replace(acl, fields, rules); refused != nil {
		return fmt.Errorf("second writer: apply: %w", refused)
	}
	a.record(w.where)
	w.did = append(w.did, "apply")
	return nil
}

// Did returns what the writer did so far, in order.
func (w *SecondWriter) Did() []string {
	w.view.aws.mu.Lock()
	defer w.view.aws.mu.Unlock()
	return slices.Clone(w.did)
}

// Lost returns in words which of its edits are no longer there, byte for byte, and what
// of the things it removed is back. Empty means that nobody overwrote it.
func (w *SecondWriter) Lost() (lost []string) {
	a := w.view.aws
	a.mu.Lock()
	defer a.mu.Unlock()
	c, acl, err := w.view.webACL(w.where.region, w.where.scope, w.acl)
	if err != nil {
		return []string{err.Error()}
	}
	rules, settings := theirs(acl)
	lost = append(differences("rule", w.rules, rules), differences("setting", w.settings, settings)...)
	s := c.sets[w.set]
	switch {
	case s == nil:
		lost = append(lost, "ip set "+w.set+" is gone")
	case s.description != w.words:
		lost = append(lost, fmt.Sprintf("ip set %s: description %q, it wrote %q", w.set, s.description, w.words))
	default:
		var has []string
		for _, p := range s.addresses {
			has = append(has, p.String())
		}
		slices.Sort(has)
		if want := slices.Sorted(slices.Values(w.holds)); !slices.Equal(has, want) {
			lost = append(lost, fmt.Sprintf("ip set %s has %v, it wrote %v", w.set, has, want))
		}
	}
	return lost
}

func differences(kind string, want, got map[string]string) (lost []string) {
	for _, key := range sortedKeys(want) {
		if has, ok := got[key]; !ok {
			lost = append(lost, fmt.Sprintf("%s %s is gone", kind, key))
		} else if has != want[key] {
			lost = append(lost, fmt.Sprintf("%s %s is %s, it wrote %s", kind, key, has, want[key]))
		}
	}
	for _, key := range sortedKeys(got) {
		if _, ok := want[key]; !ok {
			lost = append(lost, fmt.Sprintf("%s %s is back", kind, key))
		}
	}
	return lost
}

// replace updates the web ACL as the API has it, and remembers what is the writer's in it.
func (w *SecondWriter) replace(acl *webACL, fields map[string]json.RawMessage, rules []json.RawMessage) *apiError {
	r := w.where.request()
	r.fields = maps.Clone(fields)
	r = r.with("Scope", w.where.scope).with("Name", acl.name).with("Id", acl.id).with("LockToken", acl.token).with("Rules", rules)
	if _, refused := w.view.aws.updateWebACL(r); refused != nil {
		return refused
	}
	w.rules, w.settings = theirs(acl)
	return nil
}
