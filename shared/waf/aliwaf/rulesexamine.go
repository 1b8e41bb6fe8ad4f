package aliwaf

import (
	"context"

	"github.com/tracewall/tracewall/shared/waf"
)

// Examine implements waf.Examiner. It reads only.
func (b *blacklist) Examine(ctx context.Context) []waf.Check {
	x := &examination{}
	if b.examineInstance(ctx, x) {
		b.examineRules(ctx, x)
	}
	return x.checks
}

// examineRules asks what mode ip-blacklist needs beyond the instance.
func (b *blacklist) examineRules(ctx context.Context, x *examination) {
	state, err := b.Look(ctx)
	if err != nil {
		x.failed("ip blacklist", err)
		return
	}
	held := 0
	for _, r := range b.rules {
		held += len(r.prefixes)
	}
	room := state.RoomSets * min(b.target.SetSize, b.setSize())
	level := waf.CheckOK
	if room == 0 {
		level = waf.CheckFail
	}
	x.add("ip blacklist", level, "room for %d addresses: %d rules of %d; %d rules of ours hold %d now", room, state.RoomSets, min(b.target.SetSize, b.setSize()), len(b.rules), held)
	said := "the instance says so"
	if !b.found.has("IpBlacklistTemplateMaxCount") {
		said = "the instance does not say how many it may have, Alibaba Cloud's example is taken"
	}
	x.add("templates", waf.CheckOK, "%d of ours (the target may have %d), %d in all of %d: %s", len(b.templates), b.target.Templates, b.total, b.templateQuota(), said)
	for _, note := range b.notes {
		x.add("ip blacklist", waf.CheckWarn, "%s", note)
	}
	if b.explicit() {
		want, err := b.wanted(ctx)
		switch {
		case err != nil:
			x.failed("objects", err)
		case len(b.target.Objects) == 0:
			x.add("objects", waf.CheckOK, "templates are bound to each of %d protected objects and %d groups; one that is added later is protected from the next run on", len(want.objects), len(want.groups))
		}
	}
	for _, f := range b.objectFindings(ctx, b.found) {
		x.add("objects", waf.CheckFail, "%s", f.Text)
	}
	b.examineForms(x)
	rules, err := b.spares(ctx, "blacklist")
	if err != nil {
		x.failed("whitelist", err)
	} else if said := spared(rules); said != nil {
		x.add("whitelist", waf.CheckWarn, "%s", said[0])
	}
}

// examineForms tells whether what the rules show can be read.
func (b *blacklist) examineForms(x *examination) {
	odd := 0
	for _, r := range b.rules {
		odd += r.odd
	}
	switch {
	case odd > 0:
		x.add("address form", waf.CheckWarn, "%d entries of our rules are no addresses: take them out in the console", odd)
	case len(b.rules) == 0:
		x.add("address form", waf.CheckUnknown, "there is no rule of ours to look at")
	default:
		x.add("address form", waf.CheckOK, "all entries of our rules can be read")
	}
}
