package aliwaf

import (
	"context"

	"github.com/tracewall/tracewall/shared/waf"
)

// Examine implements waf.Examiner. It reads only.
func (c *cloudFirewall) Examine(ctx context.Context) []waf.Check {
	x := &examination{}
	state, err := c.Look(ctx)
	c.examineClock(x)
	if err != nil {
		x.failed("address books", err)
		return x.checks
	}
	x.add("permissions", waf.CheckOK, "DescribeAddressBook is allowed; what only writing needs cannot be tried without writing: compare the role's policy with infra")
	odd := 0
	for _, b := range c.books {
		odd += b.odd
	}
	x.add("address books", waf.CheckOK, "%d of ours hold %d addresses; the target may have %d for each family, of %d addresses each", len(c.books), state.Book.Count, c.target.Books, cloudBookSize)
	switch {
	case odd > 0:
		x.add("address form", waf.CheckWarn, "%d entries of our books are no addresses: take them out in the console", odd)
	case state.Book.Count == 0:
		x.add("address form", waf.CheckUnknown, "there is no address of ours to look at")
	default:
		x.add("address form", waf.CheckOK, "all entries of our books can be read")
	}
	for _, note := range c.notes {
		x.add("address books", waf.CheckWarn, "%s", note)
	}
	c.examinePolicies(ctx, x)
	return x.checks
}

// examinePolicies asks for the policies, also while there is no book that they could refer to.
func (c *cloudFirewall) examinePolicies(ctx context.Context, x *examination) {
	for _, f := range []waf.Family{waf.IPv4, waf.IPv6} {
		if _, err := c.listPolicies(ctx, ipVersion(f)); err != nil {
			x.failed("control policies", err)
			return
		}
	}
	x.add("control policies", waf.CheckOK, "inbound policies of the Internet border can be listed; how many entries the edition lets them have is not told by any call: each address of a book counts for each policy that refers to it")
	for _, b := range c.books {
		if _, reasons := c.proveBook(b); len(reasons) > 0 {
			x.add("control policies", waf.CheckWarn, "%s", reasons[0])
		}
	}
	x.add("internet firewall", waf.CheckUnknown, "whether it is switched on for each public address is not asked: look into the console")
}
