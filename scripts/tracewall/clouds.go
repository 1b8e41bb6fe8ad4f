package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/waf"
)

// cloud is one kind of firewalls, as the function sync-<kind> keeps them.
type cloud struct {
	kind    string // part of the names of leases, consumer groups and statuses; the function's own
	title   string // for people
	setting string // the variable with its targets
	example string // of that variable
	modes   []string
	// parse reads the variable.
	parse func(text string) ([]target, error)
	// connect reads what the cloud's own tools read: credentials, endpoints. It makes no call. What it
	// returns makes the firewalls of one account, which share a pace.
	connect func(ctx context.Context, a *app) (opener, error)
}

// opener makes the Firewall of a target. It makes no call.
type opener func(t target) (waf.Firewall, error)

// target is one wall of a cloud.
type target struct {
	kind, name, mode string

	limits waf.Limits
	policy waf.Policy
	spec   any // the adapter's own Target
}

// clouds are all kinds of firewalls there are. To add one: its adapter under shared/waf,
// its stand-in, its function, and a line here.
func clouds() []cloud {
	return []cloud{awsCloud(), alibabaCloud(), tencentCloud()}
}

// kinds are their names.
func kinds() []string {
	var all []string
	for _, c := range clouds() {
		all = append(all, c.kind)
	}
	return all
}

// settings are the variables with their targets.
func targetSettings() string {
	var all []string
	for _, c := range clouds() {
		all = append(all, c.setting)
	}
	return strings.Join(all, ", ")
}

// isSet tells whether the cloud has any targets.
func (c cloud) isSet(a *app) bool {
	text, _ := a.lookup(c.setting)
	return strings.TrimSpace(text) != ""
}

// targets reads the cloud's variable, with all that is wrong with it at once, in order of name.
func (c cloud) targets(a *app) ([]target, error) {
	text, _ := a.lookup(c.setting)
	if strings.TrimSpace(text) == "" {
		return nil, usagef("%s is not set: want a JSON array of targets, e.g. %s", c.setting, c.example)
	}
	targets, err := c.parse(text)
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", c.setting, err)}
	}
	slices.SortFunc(targets, func(a, b target) int { return strings.Compare(a.name, b.name) })
	return targets, nil
}

// walls makes the walls of targets.
func (c cloud) walls(ctx context.Context, a *app, targets []target) ([]enforce.Wall, error) {
	open, err := c.connect(ctx, a)
	if err != nil {
		return nil, err
	}
	walls := make([]enforce.Wall, len(targets))
	for i, t := range targets {
		firewall, err := open(t)
		if err != nil {
			return nil, usageError{fmt.Errorf("target %s: %w", t.name, err)}
		}
		walls[i] = enforce.Wall{Name: t.name, Firewall: firewall, Limits: t.limits, Policy: t.policy}
	}
	return walls, nil
}

// chosenClouds returns those of the names, in the order of clouds; "all" stands for each that has targets.
func (a *app) chosenClouds(names []string) ([]cloud, error) {
	if len(names) == 0 {
		return nil, usagef("no firewall is named: want %s or all", strings.Join(kinds(), ", "))
	}
	for _, name := range names {
		if name != "all" && !slices.Contains(kinds(), name) {
			return nil, usagef("argument %q: want %s or all", name, strings.Join(kinds(), ", "))
		}
	}
	all := slices.Contains(names, "all")
	var some []cloud
	for _, c := range clouds() {
		if slices.Contains(names, c.kind) || all && c.isSet(a) {
			some = append(some, c)
		}
	}
	if len(some) == 0 {
		return nil, usagef("all: no cloud has any targets: want at least one of %s", targetSettings())
	}
	return some, nil
}

// names is a flag that may be given several times.
type names []string

func (n *names) String() string { return strings.Join(*n, ",") }

// Set implements flag.Value.
func (n *names) Set(text string) error {
	if text == "" {
		return fmt.Errorf("want a target's name")
	}
	*n = append(*n, text)
	return nil
}

var _ flag.Value = (*names)(nil)

// cloudTargets are the targets of one cloud that a command is about.
type cloudTargets struct {
	cloud
	some []target
}

// chosen reads the targets of the clouds and keeps those of these names, or all of them for none.
func (a *app) chosen(of []cloud, wanted names) ([]cloudTargets, error) {
	var all []cloudTargets
	var known []string
	found := map[string]bool{}
	for _, c := range of {
		targets, err := c.targets(a)
		if err != nil {
			return nil, err
		}
		one := cloudTargets{cloud: c}
		for _, t := range targets {
			known = append(known, t.name)
			if len(wanted) == 0 || slices.Contains(wanted, t.name) {
				one.some = append(one.some, t)
				found[t.name] = true
			}
		}
		if len(one.some) > 0 {
			all = append(all, one)
		}
	}
	for _, name := range wanted {
		if !found[name] {
			return nil, usagef("--target %q: want one of %s", name, strings.Join(known, ", "))
		}
	}
	return all, nil
}
