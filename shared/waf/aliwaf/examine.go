package aliwaf

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
)

// examination collects checks.
type examination struct{ checks []waf.Check }

func (x *examination) add(name string, state waf.CheckState, format string, args ...any) {
	x.checks = append(x.checks, waf.Check{Name: name, State: state, Text: fmt.Sprintf(format, args...)})
}

// failed notes what could not be asked.
func (x *examination) failed(name string, err error) {
	state := waf.CheckUnknown
	if errors.Is(err, waf.ErrDenied) || errors.Is(err, waf.ErrForeign) {
		state = waf.CheckFail
	}
	x.add(name, state, "%v", err)
}

// examineInstance asks what every mode of WAF 3.0 needs: that calls get through, the clock, the
// instance and its edition. False: nothing further can be asked.
func (w *wall) examineInstance(ctx context.Context, x *examination) bool {
	w.found = nil
	found, err := w.instance(ctx)
	w.examineClock(x)
	if err != nil {
		x.failed("instance", err)
		return false
	}
	x.add("permissions", waf.CheckOK, "DescribeInstance is allowed; what only writing needs cannot be tried without writing: compare the role's policy with infra")
	switch findings := found.findings(); {
	case len(findings) > 0:
		x.add("instance", waf.CheckFail, "%s", findings[0].Text)
	default:
		until := ""
		if found.EndTime > 0 {
			until = ", until " + time.UnixMilli(found.EndTime).UTC().Format(time.DateOnly)
		}
		x.add("instance", waf.CheckOK, "%s in %s, edition %s, %s%s", printable(found.ID, maxName), w.region, printable(found.Edition, maxName), printable(found.PayType, maxName), until)
	}
	if found.has("Ipv6") && !found.Details.IPv6 {
		x.add("ipv6", waf.CheckWarn, "the edition does not know IPv6: addresses of that kind will be refused and told as rejected")
	}
	return true
}

// maxSkew is what Alibaba Cloud forgives; beyond it every call is refused.
const maxSkew = 15 * time.Minute

// examineClock compares this machine's clock with the service's.
func (w *wall) examineClock(x *examination) {
	if w.date.IsZero() {
		x.add("clock", waf.CheckUnknown, "no answer has told the time")
		return
	}
	skew := w.asked.Sub(w.date).Abs()
	switch {
	case skew >= maxSkew:
		x.add("clock", waf.CheckFail, "this machine's clock is %s away from the service's: set it, or every call is refused", skew.Round(time.Second))
	case skew >= time.Minute:
		x.add("clock", waf.CheckWarn, "this machine's clock is %s away from the service's: terms end by so much too early or late", skew.Round(time.Second))
	default:
		x.add("clock", waf.CheckOK, "within %s of the service's", skew.Round(time.Second)+time.Second)
	}
}

// Examine implements waf.Examiner. It reads only.
func (b *addressBook) Examine(ctx context.Context) []waf.Check {
	x := &examination{}
	if !b.examineInstance(ctx, x) {
		return x.checks
	}
	b.mem.At = 0
	b.examineBooks(ctx, x)
	return x.checks
}

// examineBooks asks what mode address-book needs beyond the instance.
func (b *addressBook) examineBooks(ctx context.Context, x *examination) {
	if found := b.found; found.has("CustomRule") && !found.Details.CustomRule {
		x.add("custom rules", waf.CheckFail, "the edition has none: use mode ip-blacklist")
	}
	err := b.lookWhole(ctx)
	switch {
	case refusesBooks(err):
		x.add("address books", waf.CheckFail, "the instance refuses the scene address_book: use mode ip-blacklist or auto (%v)", err)
		return
	case err != nil:
		x.failed("address books", err)
		return
	case b.seen.book == nil:
		x.add("address books", waf.CheckOK, "they can be listed, ours is not there yet; how many addresses the edition lets them hold is not told by any call: the first full book will say")
	default:
		b.examineEntries(ctx, x)
	}
	if most := b.found.Details.CustomRuleTemplateMaxCount; most > 0 {
		state := waf.CheckOK
		if b.seen.template == nil && b.seen.inScene >= most {
			state = waf.CheckFail
		}
		x.add("templates", state, "%d of %d templates of custom rules are in use", b.seen.inScene, most)
	}
	for _, f := range b.objectFindings(ctx, b.found) {
		x.add("objects", waf.CheckFail, "%s", f.Text)
	}
	rules, err := b.spares(ctx, "customrule")
	if err != nil {
		x.failed("whitelist", err)
		return
	}
	if said := spared(rules); said != nil {
		x.add("whitelist", waf.CheckWarn, "%s", said[0])
	}
}

// examineEntries looks at the form in which our book shows addresses.
func (b *addressBook) examineEntries(ctx context.Context, x *examination) {
	page, err := b.page(ctx, b.seen.book.ID, "", "", bookPage)
	if err != nil {
		x.failed("address form", err)
		return
	}
	long, odd := 0, 0
	for _, a := range page.AddressList {
		p, err := readAddress(a.Address)
		switch {
		case err != nil:
			odd++
		case p.IsSingleIP() && strings.Contains(a.Address, "/"):
			long++
		}
	}
	switch {
	case odd > 0:
		x.add("address form", waf.CheckWarn, "%d of the first %d entries of the book are no addresses: take them out in the console", odd, len(page.AddressList))
	case len(page.AddressList) == 0:
		x.add("address form", waf.CheckUnknown, "our book is empty")
	default:
		x.add("address form", waf.CheckOK, "the first %d entries can be read; %d single addresses are shown with a length", len(page.AddressList), long)
	}
	if b.seen.count < 0 {
		x.add("book count", waf.CheckWarn, "the service does not say how many entries the book has: what others change in it is seen hourly only")
		return
	}
	x.add("book count", waf.CheckOK, "the book has %d entries", b.seen.count)
}

// Examine implements waf.Examiner: as the mode that is in use, or would be.
func (c *chooser) Examine(ctx context.Context) []waf.Check {
	x := &examination{}
	f, err := c.Choose(ctx)
	if err != nil {
		if c.examineInstance(ctx, x) {
			x.failed("mode", err)
		}
		return x.checks
	}
	mode := ModeIPBlacklist
	if f == waf.Firewall(c.book) {
		mode = ModeAddressBook
	}
	x.add("mode", waf.CheckOK, "auto is %s here", mode)
	if e, ok := f.(waf.Examiner); ok {
		x.checks = append(x.checks, e.Examine(ctx)...)
	}
	return x.checks
}
