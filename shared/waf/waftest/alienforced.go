package waftest

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// What Enforced can be asked for, beside the names of WAF's scenes.
const (
	ByAddressBook   = sceneCustom    // address books that a custom_acl rule refers to, and its literal addresses
	ByBlacklist     = sceneBlacklist // ip_blacklist rules
	ByCloudFirewall = "cloudfw"      // Cloud Firewall's policies on the Internet border
)

// Enforced returns what is blocked by address, masked and in order, each prefix once and
// as it stands there: by WAF for at least one protected object, and by Cloud Firewall. by
// narrows it to one or several of ByAddressBook, ByBlacklist, ByCloudFirewall.
//
// Blocked means: an enabled rule with the action block whose condition is the address and
// nothing else, in an enabled template that a protected object has (bound, or default and
// not unbound); and a book that an enabled policy drops inbound for every port and destination.
// Whitelist rules and accepting policies ahead are not taken away from it: see Spared.
func (a *Alibaba) Enforced(by ...string) []netip.Prefix {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state.enforced("block", "", by)
}

// EnforcedOn is Enforced for one protected object, by WAF.
func (a *Alibaba) EnforcedOn(object string) []netip.Prefix {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state.enforced("block", object, []string{sceneCustom, sceneBlacklist})
}

// Observed is Enforced for what is only logged: action monitor, or log in Cloud Firewall.
func (a *Alibaba) Observed(by ...string) []netip.Prefix {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state.enforced("monitor", "", by)
}

func (s *aliState) enforced(action, object string, by []string) []netip.Prefix {
	wants := func(kind string) bool { return len(by) == 0 || slices.Contains(by, kind) }
	all := []netip.Prefix{}
	for _, r := range s.rules {
		if r.template == 0 || r.status != 1 || !wants(r.scene) || r.text("action") != action {
			continue
		}
		t := s.templates[r.template]
		if object == "" && !s.inForce(t) || object != "" && !s.covers(t, object) {
			continue
		}
		all = append(all, s.matched(r)...)
	}
	if wants(ByCloudFirewall) {
		all = append(all, s.cloudEnforced(map[string]string{"block": "drop", "monitor": "log"}[action])...)
	}
	return tidy(all)
}

// text returns a text of the rule's configuration, "" if it is not one.
func (r *aliRule) text(field string) string {
	var text string
	_ = json.Unmarshal(r.config[field], &text) // "" says it
	return text
}

// matched returns the addresses from which every request meets the rule.
func (s *aliState) matched(r *aliRule) []netip.Prefix {
	var found []netip.Prefix
	switch r.scene {
	case sceneBlacklist:
		var list []string
		_ = json.Unmarshal(r.config["remoteAddr"], &list) // it was checked when it was stored
		for _, text := range list {
			if p, err := parsePrefix(text); err == nil {
				found = append(found, p.Masked())
			}
		}
	case sceneCustom, sceneWhitelist:
		conditions := r.conditions()
		if len(conditions) != 1 || conditions[0].Key != "IP" {
			return nil // several must all be met, and so some request from there is not
		}
		one := conditions[0]
		switch one.Op {
		case "in-list":
			id, _ := strconv.ParseInt(string(one.Values), 10, 64)
			if book := s.rules[id]; book != nil && book.book != nil {
				found = book.book.prefixes()
			}
		case "eq", "contain":
			for text := range strings.SplitSeq(string(one.Values), ",") {
				if p, err := parsePrefix(strings.TrimSpace(text)); err == nil {
					found = append(found, p.Masked())
				}
			}
		}
	}
	return found
}

// Spared says in words, in order, which whitelist rules and accepting policies are in
// force that let something past what Enforced returns, and what.
func (a *Alibaba) Spared() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var said []string
	for _, t := range a.state.templatesOf(sceneWhitelist) {
		for _, r := range a.state.rulesOf(t.id) {
			if r.status != 1 || !a.state.inForce(t) {
				continue
			}
			what := "some requests"
			if list := tidy(a.state.matched(r)); len(list) > 0 {
				what = spelt(list)
			}
			said = append(said, "whitelist rule "+r.name+" spares "+what+" from "+string(r.config["tags"]))
		}
	}
	return append(said, a.state.cloudSpared()...)
}

func spelt(list []netip.Prefix) string {
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = p.String()
	}
	return strings.Join(texts, ", ")
}
