package tencentfw

import (
	"context"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/shared/waf"
)

// accessRegions are the regions that the documentation of WAF's list names.
var accessRegions = []string{"ap-guangzhou", "ap-seoul", "ap-singapore"}

// Examine implements waf.Examiner. It costs a call for each hundred rules, and some five more. That the three writes
// are permitted, that a rule takes 100 addresses, and whether an address may be in two rules cannot be
// found out by reading: what past writes have left is told instead.
func (a *access) Examine(ctx context.Context) []waf.Check {
	e := &examination{client: a.client}
	if !slices.Contains(accessRegions, a.target.Region) {
		e.say("region", waf.CheckWarn, "the documentation knows WAF's list in %s only, and the target says %s: for WAF outside mainland China it is ap-singapore or ap-seoul", strings.Join(accessRegions, ", "), a.target.Region)
	}
	a.examineInstance(ctx, e)
	a.examineDomain(ctx, e)
	var book *accessBook
	if e.try("waf:DescribeIpAccessControl", "the "+a.bookName(), func() (err error) { book, err = a.readBook(ctx); return err }) {
		a.examineBook(e, book)
	}
	if !e.broken {
		e.say("permissions to write", waf.CheckUnknown,
			"waf:CreateIpAccessControl, waf:ModifyIpAccessControl and waf:DeleteIpAccessControlV2 cannot be tried without writing: the policy in infra grants them, and the first run tells")
	}
	return e.report()
}

// examineInstance looks at the edition, and what it allows.
func (a *access) examineInstance(ctx context.Context, e *examination) {
	var all []wafInstance
	if !e.try("waf:DescribeInstances", "the WAF instances", func() (err error) { all, err = a.instances(ctx); return err }) {
		return
	}
	one := a.pick(all)
	if one == nil {
		e.say("edition", waf.CheckFail, "%s, of %d in all: correct %q or %q, or buy one", a.noInstance(), len(all), "instance_id", "edition")
		return
	}
	name := printable(one.InstanceID, 60)
	if a.target.Edition != "" && !sameEdition(one.Edition, a.target.Edition) {
		e.say("edition", waf.CheckFail, "instance %s is of edition %q, and the target says %q: correct it", name, printable(one.Edition, 20), a.target.Edition)
	} else {
		e.say("edition", waf.CheckOK, "instance %s is of edition %q, level %d, valid until %s", name, printable(one.Edition, 20), one.Level, printable(one.ValidTime, 30))
	}
	quota, known := quotaByLevel[one.Level]
	switch {
	case a.target.Entries > 0 && known && a.target.Entries > quota:
		e.say("quota", waf.CheckWarn, "the target says %d entries, and level %d takes %d for a domain, black and white together: correct %q", a.target.Entries, one.Level, quota, "entries")
	case a.target.Entries > 0:
		e.say("quota", waf.CheckOK, "the target says %d entries", a.target.Entries)
	case known:
		e.say("quota", waf.CheckOK, "level %d takes %d entries for a domain, black and white together", one.Level, quota)
	default:
		e.say("quota", waf.CheckWarn, "what level %d takes is not documented and %d entries are assumed: the console shows it, say %q", one.Level, smallestQuota, "entries")
	}
}

// examineDomain looks at the domains of the target and their switches.
func (a *access) examineDomain(ctx context.Context, e *examination) {
	var domains []wafDomain
	if !e.try("waf:DescribeDomains", "the WAF's domains", func() (err error) { domains, err = a.domains(ctx); return err }) {
		return
	}
	if len(domains) == 0 {
		e.say("domain", waf.CheckFail, "%s", a.noDomain())
		return
	}
	for _, d := range domains[:min(len(domains), maxDomains)] {
		if !e.try("waf:DescribeModuleStatus", "the switches of "+printable(d.Domain, 100), func() error { _, err := a.controls(ctx, d); return err }) {
			continue
		}
		reasons, err := a.against(ctx, d)
		if err != nil {
			e.say("domain", waf.CheckUnknown, "%s", err.Error())
			continue
		}
		if len(reasons) > 0 {
			e.say("domain", waf.CheckWarn, "what is on the list is not blocked: %s", strings.Join(reasons, "; "))
		} else {
			e.say("domain", waf.CheckOK, "%s is protected, filters and blocks, and access control is on", printable(d.Domain, 100))
		}
	}
}

// examineBook looks at what past writes have left.
func (a *access) examineBook(e *examination, book *accessBook) {
	now := a.cfg.Now()
	var texts []string
	largest, endless, broken := 0, 0, 0
	for _, r := range book.rules {
		texts = append(texts, r.texts...)
		largest = max(largest, len(r.texts))
		switch {
		case r.over(now):
		case !r.holds(now):
			broken++
		case r.end == 0:
			endless++
		}
	}
	others := 0
	for _, r := range book.other {
		others += len(r.texts)
		if len(book.rules) == 0 {
			texts = append(texts, r.texts...)
		}
	}
	e.spellings(texts, "the "+a.bookName())
	e.say("entries", waf.CheckOK, "%d rules of ours hold %d addresses, %d at most in one; others hold %d; the cloud counts %d, black and white together", len(book.rules), listed(book.rules), largest, others, book.used)
	switch {
	case broken > 0:
		e.say("ends", waf.CheckWarn, "%d rules of ours do not hold until their end: somebody has changed when they do, or the cloud reads our ends otherwise than we write them; please report the latter", broken)
	case endless > 0:
		e.say("ends", waf.CheckWarn, "%d rules of ours have no end: entries without a term are on the list, or the cloud has dropped their ends, which please report", endless)
	case len(book.rules) == 0:
		e.say("ends", waf.CheckUnknown, "no rule of ours is there yet: ask again after the first run")
	default:
		e.say("ends", waf.CheckOK, "all rules of ours end by themselves")
	}
}

func listed(rules []*accessRule) (n int) {
	for _, r := range rules {
		n += len(r.texts)
	}
	return n
}
