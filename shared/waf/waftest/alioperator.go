package waftest

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
)

// The methods in this file are the second writer: an operator in the console. They take effect at
// once, make no AlibabaCall and may be used from Before and After.

// lockedChange runs one edit under the lock.
func (a *Alibaba) lockedChange(what string, edit func() error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := edit(); err != nil {
		return fmt.Errorf("operator: %s: %w", what, err)
	}
	return nil
}

// templateNamed returns the template of a scene by its name. The caller holds the lock.
func (s *aliState) templateNamed(scene, name string) (*aliTemplate, error) {
	for _, t := range s.templatesOf(scene) {
		if t.name == name {
			return t, nil
		}
	}
	return nil, fmt.Errorf("template %s of scene %s: %w", name, scene, errNoObject)
}

// EditTemplate changes name, description, status, kind and bindings of a template. edit gets it as Templates shows it.
func (a *Alibaba) EditTemplate(scene, name string, edit func(*AlibabaTemplate)) error {
	return a.lockedChange("edit template "+name, func() error {
		t, err := a.state.templateNamed(scene, name)
		if err != nil {
			return err
		}
		one := t.view()
		edit(&one)
		t.set(one)
		t.modified = a.opts.Now()
		return nil
	})
}

// RemoveTemplate deletes a template with its rules.
func (a *Alibaba) RemoveTemplate(scene, name string) error {
	return a.lockedChange("remove template "+name, func() error {
		t, err := a.state.templateNamed(scene, name)
		if err != nil {
			return err
		}
		for _, r := range a.state.rulesOf(t.id) {
			delete(a.state.rules, r.id)
		}
		delete(a.state.templates, t.id)
		return nil
	})
}

// EditRule changes name, status and configuration of a rule by its id.
func (a *Alibaba) EditRule(id int64, edit func(*AlibabaRule)) error {
	return a.lockedChange(fmt.Sprintf("edit rule %d", id), func() error {
		r := a.state.rules[id]
		if r == nil || r.book != nil {
			return errNoObject
		}
		one := AlibabaRule{ID: r.id, Template: r.template, Scene: r.scene, Name: r.name, Off: r.status != 1, Config: canonical(r.config)}
		edit(&one)
		var config map[string]json.RawMessage
		if err := json.Unmarshal([]byte(one.Config), &config); err != nil {
			return err
		}
		r.name, r.config, r.modified, r.status = one.Name, config, a.opts.Now(), 1
		if one.Off {
			r.status = 0
		}
		return nil
	})
}

// RemoveRule deletes a rule, or an address book whoever refers to it.
func (a *Alibaba) RemoveRule(id int64) error {
	return a.lockedChange(fmt.Sprintf("remove rule %d", id), func() error {
		if a.state.rules[id] == nil {
			return errNoObject
		}
		delete(a.state.rules, id)
		return nil
	})
}

// EditBook adds and strikes addresses of an address book of WAF, by its id.
func (a *Alibaba) EditBook(id int64, add, drop []string) error {
	return a.lockedChange(fmt.Sprintf("edit book %d", id), func() error {
		r := a.state.rules[id]
		if r == nil || r.book == nil {
			return errNoObject
		}
		return a.editList(r.book, add, drop)
	})
}

// RenameBook gives an address book of WAF another name and description.
func (a *Alibaba) RenameBook(id int64, name, description string) error {
	return a.lockedChange(fmt.Sprintf("rename book %d", id), func() error {
		r := a.state.rules[id]
		if r == nil || r.book == nil {
			return errNoObject
		}
		r.name, r.config["description"], r.modified = name, quoted(description), a.opts.Now()
		return nil
	})
}

// EditCloudBook adds and strikes addresses of one of Cloud Firewall's books, by its name.
func (a *Alibaba) EditCloudBook(name string, add, drop []string) error {
	return a.lockedChange("edit cloud firewall book "+name, func() error {
		b := a.state.bookNamed(name)
		if b == nil {
			return errNoObject
		}
		return a.editList(b.list, add, drop)
	})
}

// DescribeCloudBookAs gives one of Cloud Firewall's books another description.
func (a *Alibaba) DescribeCloudBookAs(name, description string) error {
	return a.lockedChange("describe cloud firewall book "+name, func() error {
		b := a.state.bookNamed(name)
		if b == nil {
			return errNoObject
		}
		b.description = description
		return nil
	})
}

// EditPolicy changes a policy of Cloud Firewall by its UUID, and its place if Order is another.
func (a *Alibaba) EditPolicy(uuid string, edit func(*AlibabaPolicy)) error {
	return a.lockedChange("edit policy "+uuid, func() error {
		for list, policies := range a.state.policies {
			i := slices.IndexFunc(policies, func(p *cloudPolicy) bool { return p.uuid == uuid })
			if i < 0 {
				continue
			}
			p := policies[i]
			one := p.view(list, i+1)
			edit(&one)
			p.set(one)
			policies = slices.Delete(policies, i, i+1)
			a.state.policies[list] = slices.Insert(policies, min(max(one.Order-1, 0), len(policies)), p)
			return nil
		}
		return errNoObject
	})
}

// RemovePolicy deletes a policy of Cloud Firewall by its UUID.
func (a *Alibaba) RemovePolicy(uuid string) error {
	return a.lockedChange("remove policy "+uuid, func() error {
		for list, policies := range a.state.policies {
			if i := slices.IndexFunc(policies, func(p *cloudPolicy) bool { return p.uuid == uuid }); i >= 0 {
				a.state.policies[list] = slices.Delete(policies, i, i+1)
				return nil
			}
		}
		return errNoObject
	})
}

func (a *Alibaba) editList(list *addressList, add, drop []string) error {
	var gone []netip.Prefix
	for _, text := range drop {
		p, err := parsePrefix(text)
		if err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
		gone = append(gone, p.Masked())
	}
	if err := list.seed(add, "", a.opts.Now()); err != nil {
		return err
	}
	for _, p := range gone {
		list.remove(p)
	}
	return nil
}
