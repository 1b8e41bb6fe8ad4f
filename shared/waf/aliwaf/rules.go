package aliwaf

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// What an instance holds that has the feature and does not say how much of it: the numbers of
// Alibaba Cloud's own example.
const (
	defaultRulesInTemplate = 100
	defaultTemplateQuota   = 20
)

// blacklist is mode ip-blacklist: each set is one rule of the IP blacklist, and the rules stand in
// templates of our own, tracewall-<target>-001 and so on.
//
// A rule is in force from when it is made until it is deleted, and the service writes it whole: there is
// no version that a write could depend on. Before one of our rules is written again or deleted it is
// therefore read, and the write is not made if it is no longer what Look saw. What somebody changes between
// that read and the write, a fifth of a second as a rule, is overwritten; nothing closes this window.
//
// Which objects a template protects: those that the target names; else, while one template is all
// that the target may have and nobody else has a default one, all, by being a default template; else all
// that there are, by being bound to each of them in every run. Whether a scene may have several default
// templates is said differently in Alibaba Cloud's documents of different years: "only one" in the older,
// nothing in the newer ones (UNVERIFIED), and so is whether an object that has a template of its own
// is still covered by a default one. So there is never more than one of ours, and none beside another's.
type blacklist struct {
	*wall

	templates []*setTemplate      // ours, in order of number
	rules     map[string]*setRule // ours, by the name of the set
	taken     map[int]bool        // numbers of templates that somebody else's names have
	total     int                 // templates of the scene, whoever's
	theirs    string              // the name of a default template that is not ours
	scope     *scope              // what our templates shall be bound to; nil: not asked yet
	notes     []string
}

// setTemplate is one of our templates, as Look saw it and our writes left it.
type setTemplate struct {
	id          int64
	number      int
	name        string
	description string
	stamp       *waf.Stamp
	on          bool
	byDefault   bool
	ours, other int  // rules in it
	missing     bool // not bound to all that it shall be bound to
}

// setRule is one of our rules. name is what it is called there, which differs from its
// set's only where two rules have the same: the set of the later one gets a free name, and the rule
// with the next write.
type setRule struct {
	id       int64
	name     string
	in       *setTemplate
	on       bool
	action   string
	prefixes []netip.Prefix
	odd      int // entries that are no addresses to us
}

// newRules is mode ip-blacklist.
func newRules(w *wall) *blacklist { return &blacklist{wall: w} }

// Look implements waf.Firewall. It reads all of our rules: 50 in one call.
func (b *blacklist) Look(ctx context.Context) (waf.State, error) {
	found, err := b.instance(ctx)
	if err != nil {
		return waf.State{}, err
	}
	if !found.Details.IPBlacklist && found.has("IpBlacklist") {
		return waf.State{}, fmt.Errorf("look at the ip blacklist: %w: the instance's edition %s has none: upgrade it, or use mode address-book",
			waf.ErrDenied, printable(found.Edition, maxName))
	}
	b.notes, b.scope = nil, nil
	if err := b.readTemplates(ctx); err != nil {
		return waf.State{}, err
	}
	if err := b.readRules(ctx); err != nil {
		return waf.State{}, err
	}
	if err := b.readBindings(ctx); err != nil {
		return waf.State{}, err
	}
	return b.state(), nil
}

// state is what the last look, and our writes since, come to.
func (b *blacklist) state() waf.State {
	s := waf.State{
		Wall: b.title("ip blacklist"), Base: b.name, Exists: len(b.templates) > 0, RuleOK: len(b.templates) > 0,
		RoomSets: b.roomSets(), SetSize: b.setSize(), NoIPv6: b.found.has("Ipv6") && !b.found.Details.IPv6,
		Unmarked: true, Inherent: true, NoEmpty: true, Notes: slices.Clone(b.notes),
	}
	if more := b.templateQuota() - b.total; len(b.templates) > 0 && b.placesLeft() == 0 && b.templatesLeft() == 0 && more > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("all places in our %d templates are taken, and the instance has room for %d more: raise templates of the target if there is overflow", len(b.templates), more))
	}
	for _, t := range b.templates {
		if s.Stamp == nil {
			s.Stamp = t.stamp
		}
		if !t.on {
			s.RuleOK = false
			s.Drift = append(s.Drift, fmt.Sprintf("template %s was switched off", t.name))
		}
		s.RuleOK = s.RuleOK && !t.missing
	}
	// That all have another action than the configured one is a change of the configuration, not of somebody else.
	asWanted := 0
	for _, r := range b.rules {
		if r.action == b.target.Action {
			asWanted++
		}
	}
	for _, name := range sortedNames(b.rules) {
		r := b.rules[name]
		family := waf.IPv4
		if strings.HasPrefix(name, b.name+"-v6-") {
			family = waf.IPv6
		}
		// What is switched off or only counts is not in force, but the set is ours, and Reference mends it.
		s.Sets = append(s.Sets, waf.Set{Name: name, Family: family, Referenced: true, Prefixes: slices.Clone(r.prefixes)})
		if !r.on {
			s.RuleOK = false
			s.Drift = append(s.Drift, fmt.Sprintf("rule %s was switched off", r.name))
		}
		if r.action != b.target.Action {
			s.RuleOK = false
			if asWanted > 0 {
				s.Drift = append(s.Drift, fmt.Sprintf("rule %s was given the action %s", r.name, printable(r.action, maxName)))
			}
		}
		if r.odd > 0 {
			s.Drift = append(s.Drift, fmt.Sprintf("rule %s holds %d entries that are no addresses or ranges", r.name, r.odd))
		}
	}
	return s
}

// rulesInTemplate, templateQuota and setSize are the instance's quotas.
func (b *blacklist) rulesInTemplate() int {
	return orDefault(b.found.Details.IPBlacklistRuleInTemplateMaxCount, defaultRulesInTemplate)
}

func (b *blacklist) templateQuota() int {
	return orDefault(b.found.Details.IPBlacklistTemplateMaxCount, defaultTemplateQuota)
}

func (b *blacklist) setSize() int {
	return orDefault(b.found.Details.IPBlacklistIPInRuleMaxCount, DefaultSetSize)
}

func orDefault(n, standard int) int {
	if n > 0 {
		return n
	}
	return standard
}

// roomSets is how many rules of ours there may be: the places in our templates that nobody
// else's rules take, and those of the templates that can still be made.
func (b *blacklist) roomSets() int {
	n := b.templatesLeft() * b.rulesInTemplate()
	for _, t := range b.templates {
		n += max(t.ours, b.rulesInTemplate()-t.other)
	}
	return n
}

// templatesLeft is how many more templates we may make.
func (b *blacklist) templatesLeft() int {
	return max(0, min(b.target.Templates-len(b.templates), b.templateQuota()-b.total))
}

// templateNames matches the names of the target's templates. A target's name ends in no such number by
// chance: "shop-001" is another target, and its templates are tracewall-shop-001-001.
func (b *blacklist) templateNames() *regexp.Regexp {
	return regexp.MustCompile(`^` + regexp.QuoteMeta(b.name) + `-([0-9]{3,6})$`)
}

// ruleNames matches the names of the target's rules.
func (b *blacklist) ruleNames() *regexp.Regexp {
	return regexp.MustCompile(`^` + regexp.QuoteMeta(b.name) + `-(v4|v6)-[0-9]{3,6}$`)
}

// Contents implements waf.SetFirewall, from what Look saw.
func (b *blacklist) Contents(_ context.Context, set string) ([]netip.Prefix, error) {
	r := b.rules[set]
	if r == nil {
		return nil, fmt.Errorf("read rule %s: %w", printable(set, maxName), waf.ErrConflict)
	}
	return slices.Clone(r.prefixes), nil
}

// sortedNames returns the keys of m in order.
func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
