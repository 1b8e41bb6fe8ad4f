package awswaf_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// TestTheAccountsQuotaOfSetsIsMetInTheMiddleOfARun: what has room is enforced, the rest is overflow and says why;
// once the quota is raised a next process, with the memory, goes on.
func TestTheAccountsQuotaOfSetsIsMetInTheMiddleOfARun(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{MaxSets: 6}) // the office's, two of somebody's, three of ours
	c.makeSet(t, "theirs-1", "", false, "192.0.2.0/24")
	c.makeSet(t, "theirs-2", "", false, "192.0.2.0/24")
	f := c.open(t)
	for i := range 2 {
		report, err := c.run(t, f, 1, hosts(0, 45))
		if !errors.Is(err, waf.ErrQuota) || report.Enforced != 30 || report.Overflow != 15 || len(c.enforced()) != 30 {
			t.Fatalf("run %d: %v, enforced %d, overflow %d", i, err, report.Enforced, report.Overflow)
		}
		f = c.after(t, f)
	}
	if state, err := f.Look(t.Context()); err != nil || len(state.Drift) > 0 {
		t.Errorf("%v, drift %q", err, state.Drift)
	}
	// What ends still goes, what comes takes its place.
	c.watch(t, "at the quota", hosts(10, 45))
	report, err := c.run(t, f, 2, hosts(10, 45))
	if !errors.Is(err, waf.ErrQuota) || report.Enforced != 30 || len(c.enforced()) != 30 || contains(hosts(0, 10), c.enforced()[0]) {
		t.Errorf("%v, enforced %d", err, report.Enforced)
	}
	c.After(nil)
	s := c.Sets(region, awswaf.Regional)
	if s["theirs-1"] != 1 || s["theirs-2"] != 1 {
		t.Errorf("sets %v", s)
	}
}

// TestBadEntriesCostOnlyThemselves: also when several sets have some, and in a process with a memory.
func TestBadEntriesCostOnlyThemselves(t *testing.T) {
	var bad []netip.Prefix
	for _, i := range []int{3, 4, 17, 29} {
		bad = append(bad, hosts(i, 1)[0].Prefix)
	}
	c := newCloud(t, waftest.AWSOptions{Refuse: bad})
	f := c.open(t)
	for i := range 2 {
		report, err := c.run(t, f, 1, hosts(0, 30+i))
		if err != nil || report.Enforced != 26+i || len(c.enforced()) != 26+i || len(report.Rejected) != 4 {
			t.Fatalf("%v, enforced %d, rejected %+v", err, report.Enforced, report.Rejected)
		}
		f = c.after(t, f)
	}
}

// TestABadEntryThatOnlyTheMessageNames: the members of the error are optional in the model.
func TestABadEntryThatOnlyTheMessageNames(t *testing.T) {
	list := []netip.Prefix{netip.MustParsePrefix("192.0.2.64/29"), netip.MustParsePrefix("2001:db8::/64")}
	for message, want := range map[string]int{
		"Error reason: x, field: IP_ADDRESS, parameter: 192.0.2.64/29":                                 0,
		"Error reason: x, field: IP_ADDRESS, parameter: 2001:0db8:0000:0000:0000:0000:0000:0000/64 ":   1,
		"Error reason: x, field: IP_ADDRESS, parameter: 192.0.2.65/32":                                 -1,
		"Error reason: x, field: IP_ADDRESS, parameter: ":                                              -1,
		"Error reason: x, field: STATEMENT, parameter: 192.0.2.64/29":                                  -1,
		"Error reason: field: IP_ADDRESS, parameter: " + strings.Repeat("1", 100) + "/1 192.0.2.64/29": -1,
	} {
		got, ok := awswaf.BadEntry(awswaf.APIError("WAFInvalidParameterException", message), list)
		if ok != (want >= 0) || ok && got != list[want] {
			t.Errorf("%q: %s, %t", message, got, ok)
		}
		if _, ok := awswaf.BadEntry(awswaf.APIError("ValidationException", message), list); ok {
			t.Errorf("%q: taken from another error", message)
		}
		if _, ok := awswaf.BadEntry(fmt.Errorf("WAFInvalidParameterException: %s", message), list); ok {
			t.Errorf("%q: taken from no error of AWS", message)
		}
	}
}
