package waftest

import (
	"encoding/json"
	"fmt"
	"slices"
)

// AlibabaTemplate is a protection template to be seeded or found.
type AlibabaTemplate struct {
	ID                       int64
	Scene, Name, Description string
	// Default: it is in force for every protected object but those that are unbound.
	Default bool
	// Off: it is not enabled.
	Off bool
	// Objects and Groups that are bound to it; of a default template: unbound from it.
	Objects, Groups []string
}

// AlibabaRule is a rule to be seeded or found.
type AlibabaRule struct {
	ID, Template int64
	Scene, Name  string
	Off          bool
	// Config is the JSON object of the rule without id, name and status.
	Config string
}

// AlibabaBook is an address book of WAF (ID) or of Cloud Firewall (UUID, Kind).
type AlibabaBook struct {
	ID                      int64
	UUID, Kind              string // Kind is ip or ipv6
	Name, Description, Note string
	Addresses               []string
}

// AlibabaPolicy is a policy of Cloud Firewall's Internet border.
type AlibabaPolicy struct {
	UUID        string
	Description string
	Action      string // accept, drop, log
	Direction   string // in (default), out
	Version     int    // 4 (default), 6
	Source      string // a prefix, or the name of a book
	Group       bool   // Source is the name of a book
	Destination string // a prefix; default: all
	Order       int    // from 1
	Off         bool   // it is not released
}

// SeedObjects makes protected objects.
func (a *Alibaba) SeedObjects(names ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range names {
		if !slices.Contains(a.state.objects, name) {
			a.state.objects = append(a.state.objects, name)
		}
	}
}

// SeedGroup makes a protected object group of objects that there are.
func (a *Alibaba) SeedGroup(name string, objects ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.state.groups[name] = slices.Clone(objects)
}

// SeedTemplate makes a template and returns its id.
func (a *Alibaba) SeedTemplate(t AlibabaTemplate) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	made := &aliTemplate{id: a.id(), scene: t.Scene, modified: a.opts.Now()}
	made.set(t)
	a.state.templates[made.id] = made
	return made.id
}

// SeedRule makes a rule in a template that there is, unchecked, and returns its id.
func (a *Alibaba) SeedRule(r AlibabaRule) (int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := a.state.templates[r.Template]
	if t == nil {
		return 0, fmt.Errorf("seed rule %s: template %d: %w", r.Name, r.Template, errNoObject)
	}
	now := a.opts.Now()
	made := &aliRule{id: a.id(), template: t.id, scene: t.scene, name: r.Name, status: 1, created: now, modified: now}
	if err := json.Unmarshal([]byte(r.Config), &made.config); err != nil {
		return 0, fmt.Errorf("seed rule %s: %w", r.Name, err)
	}
	if r.Off {
		made.status = 0
	}
	a.state.rules[made.id] = made
	return made.id, nil
}

// SeedBook makes an address book of WAF and returns its id.
func (a *Alibaba) SeedBook(b AlibabaBook) (int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.opts.Now()
	made := &aliRule{id: a.id(), scene: sceneBook, name: b.Name, status: 1, book: newAddressList(), created: now, modified: now}
	made.config = map[string]json.RawMessage{"valueType": json.RawMessage(`"ip"`), "description": quoted(b.Description)}
	if err := made.book.seed(b.Addresses, b.Note, now); err != nil {
		return 0, fmt.Errorf("seed book %s: %w", b.Name, err)
	}
	a.state.rules[made.id] = made
	return made.id, nil
}

// SeedCloudBook makes an address book of Cloud Firewall, Kind ip unless it says otherwise, and returns its UUID.
func (a *Alibaba) SeedCloudBook(b AlibabaBook) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	made := &cloudBook{uuid: a.uuid(), name: b.Name, description: b.Description, kind: b.Kind, list: newAddressList()}
	if made.kind == "" {
		made.kind = "ip"
	}
	if err := made.list.seed(b.Addresses, b.Note, a.opts.Now()); err != nil {
		return "", fmt.Errorf("seed cloud firewall book %s: %w", b.Name, err)
	}
	a.state.cloud[made.uuid] = made
	return made.uuid, nil
}

// SeedPolicy puts a policy at the end of its list and returns its UUID.
func (a *Alibaba) SeedPolicy(p AlibabaPolicy) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.Direction == "" {
		p.Direction = "in"
	}
	if p.Version == 0 {
		p.Version = 4
	}
	if p.Destination == "" {
		p.Destination = map[int]string{4: "0.0.0.0/0", 6: "::/0"}[p.Version]
	}
	now := a.opts.Now()
	made := &cloudPolicy{
		uuid: a.uuid(), sourceType: "net", destinationType: "net", destPort: "0/0", destPortType: "port", proto: "ANY",
		apps: []string{"ANY"}, created: now, modified: now,
	}
	made.set(p)
	list := policyList{p.Direction, p.Version}
	a.state.policies[list] = append(a.state.policies[list], made)
	return made.uuid
}

// Templates returns the templates of a scene, or of all for "", in order of id.
func (a *Alibaba) Templates(scene string) []AlibabaTemplate {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []AlibabaTemplate
	for _, t := range a.state.templatesOf(scene) {
		found = append(found, t.view())
	}
	return found
}

// Rules returns the rules of a template in order of id.
func (a *Alibaba) Rules(template int64) []AlibabaRule {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []AlibabaRule
	for _, r := range a.state.rulesOf(template) {
		if r.book == nil {
			found = append(found, AlibabaRule{ID: r.id, Template: r.template, Scene: r.scene, Name: r.name, Off: r.status != 1, Config: canonical(r.config)})
		}
	}
	return found
}

// Books returns WAF's address books in order of id, their addresses in order and in canonical form.
func (a *Alibaba) Books() []AlibabaBook {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []AlibabaBook
	for _, r := range a.state.rulesOf(0) {
		if r.book != nil {
			found = append(found, AlibabaBook{ID: r.id, Name: r.name, Description: r.text("description"), Addresses: r.book.texts()})
		}
	}
	return found
}

// CloudBooks returns Cloud Firewall's address books in order of name.
func (a *Alibaba) CloudBooks() []AlibabaBook {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []AlibabaBook
	for _, b := range a.state.cloudBooks() {
		found = append(found, AlibabaBook{UUID: b.uuid, Kind: b.kind, Name: b.name, Description: b.description, Addresses: b.list.texts()})
	}
	return found
}

// Policies returns Cloud Firewall's policies of one direction and IP version in order of priority.
func (a *Alibaba) Policies(direction string, version int) []AlibabaPolicy {
	a.mu.Lock()
	defer a.mu.Unlock()
	var found []AlibabaPolicy
	for i, p := range a.state.policies[policyList{direction, version}] {
		found = append(found, p.view(policyList{direction, version}, i+1))
	}
	return found
}
