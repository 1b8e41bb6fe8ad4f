package aliwaf_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// cloudBooks returns the books of Cloud Firewall that are the target shop's.
func (c *cloud) cloudBooks() []waftest.AlibabaBook {
	return slices.DeleteFunc(c.CloudBooks(), func(b waftest.AlibabaBook) bool { return !strings.HasPrefix(b.Description, "tracewall:shop ") })
}

// cloudPolicies returns the policies of an IP version that are ours.
func (c *cloud) cloudPolicies(version int) []waftest.AlibabaPolicy {
	return slices.DeleteFunc(c.Policies("in", version), func(p waftest.AlibabaPolicy) bool { return !strings.HasPrefix(p.Description, "tracewall:shop ") })
}

func TestCloudFirewallFillsSeveralBooks(t *testing.T) {
	c := newCloudFirewall(t, waftest.AlibabaOptions{})
	c.target.Books, c.target.Batch = 3, 500
	list := append(spaced(4500), v6(30)...)
	r := &runner{c: c}
	cold := r.ok(t, 1, list)
	same := r.ok(t, 2, list)
	gone := (&runner{c: c, book: r.book}).ok(t, 3, append(list[:4000:4000], list[4001:]...))
	t.Logf("cold: %d calls, %d writes; no change: %d and %d; one gone: %d and %d", cold.Calls, cold.Writes, same.Calls, same.Writes, gone.Calls, gone.Writes)
	if same.Writes != 0 || gone.Writes != 1 {
		t.Errorf("no change: %d writes, one gone: %d; want 0 and 1", same.Writes, gone.Writes)
	}
	if n := len(c.cloudPolicies(4)); n != 3 || len(c.cloudPolicies(6)) != 1 {
		t.Errorf("%d policies for three IPv4 books, %d for the IPv6 one", n, len(c.cloudPolicies(6)))
	}
	for _, b := range c.cloudBooks() {
		if len(b.Addresses) > 2000 {
			t.Errorf("book %s holds %d", b.Name, len(b.Addresses))
		}
	}
}

// v6 returns n IPv6 ranges of which no two make one.
func v6(n int) []netip.Prefix {
	list := make([]netip.Prefix, n)
	for i := range list {
		list[i] = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(i), 0, 1}), 64)
	}
	return list
}

func TestCloudFirewallsFamiliesHavePlacesOfTheirOwn(t *testing.T) {
	c := newCloudFirewall(t, waftest.AlibabaOptions{})
	c.target.Batch = 500
	r := &runner{c: c}
	full := spaced(2100)
	if report, err := r.run(t, 1, full); err != nil || report.Enforced != 2000 || report.Overflow != 100 {
		t.Fatalf("error %v, enforced %d, overflow %d; want 2000 and 100", err, report.Enforced, report.Overflow)
	}
	report, err := r.run(t, 2, append(full, v6(5)...))
	if err != nil || report.Enforced != 2005 || report.Overflow != 100 || !strings.Contains(strings.Join(report.Notes, "\n"), "raise books") || len(c.enforced()) != 2005 {
		t.Errorf("error %v, enforced %d, overflow %d, %d on the wall; IPv6 has an empty book and is to be in", err, report.Enforced, report.Overflow, len(c.enforced()))
	}
	// What goes of IPv6 makes no room for IPv4, and what goes of IPv4 does.
	if report, err = r.run(t, 3, append(full[50:], v6(2)...)); err != nil || report.Enforced != 2002 || report.Overflow != 50 {
		t.Errorf("error %v, enforced %d, overflow %d; want 2002 and 50", err, report.Enforced, report.Overflow)
	}
}

func TestCloudFirewallSeesAndMendsItsPolicies(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(p *waftest.AlibabaPolicy)
		drift  string
		writes int
	}{
		"switched off":    {change: func(p *waftest.AlibabaPolicy) { p.Off = true }, drift: "was switched off", writes: 1},
		"narrowed":        {change: func(p *waftest.AlibabaPolicy) { p.Destination = "192.0.2.0/24" }, drift: "was narrowed to 192.0.2.0/24", writes: 1},
		"moved":           {change: func(p *waftest.AlibabaPolicy) { p.Order = 2 }},
		"of other source": {change: func(p *waftest.AlibabaPolicy) { p.Source = "office" }, writes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloudFirewall(t, waftest.AlibabaOptions{})
			list := spaced(25)
			r := &runner{c: c}
			r.ok(t, 1, list)
			must(t, c.EditPolicy(c.cloudPolicies(4)[0].UUID, tt.change))
			report, err := r.run(t, 2, list, func(r *waf.Reconciler) { r.ReportDrift = true })
			if (tt.drift != "") != errors.Is(err, waf.ErrDrift) || !strings.Contains(strings.Join(report.Drift, "\n"), tt.drift) {
				t.Errorf("error %v, drift %q, want %q", err, report.Drift, tt.drift)
			}
			if tt.drift != "" {
				report = r.ok(t, 3, list)
			}
			if report.Writes != tt.writes || len(c.enforced()) < 25 {
				t.Errorf("%d writes, %d in force; want %d and 25", report.Writes, len(c.enforced()), tt.writes)
			}
			if report := r.ok(t, 4, list); report.Writes != 0 {
				t.Errorf("the run after it still writes: %q", report.Plan)
			}
		})
	}
}

func TestCloudFirewallPutsANewPolicyWhereTheTargetSays(t *testing.T) {
	for order, want := range map[int]int{0: 1, 1: 1, 2: 2, 99: 3} {
		c := newCloudFirewall(t, waftest.AlibabaOptions{})
		c.target.Order = order
		(&runner{c: c}).ok(t, 1, spaced(5))
		if got := c.cloudPolicies(4)[0].Order; got != want {
			t.Errorf("order %d: the policy is at %d, want %d", order, got, want)
		}
	}
}

func TestCloudFirewallWithoutManageTouchesNoPolicy(t *testing.T) {
	c := newCloudFirewall(t, waftest.AlibabaOptions{})
	c.target.Manage = false
	policies := c.Policies("in", 4)
	r := &runner{c: c}
	report, err := r.run(t, 1, spaced(25), func(r *waf.Reconciler) { r.Prove = true })
	must(t, err)
	if !slices.Equal(policies, c.Policies("in", 4)) {
		t.Error("a policy was touched")
	}
	if report.Proof.Effective || !strings.Contains(strings.Join(report.Proof.Reasons, "\n"), "no enabled policy drops what comes from book tracewall-shop-v4-001") {
		t.Errorf("proof without any policy: %+v", report.Proof)
	}
	c.SeedPolicy(waftest.AlibabaPolicy{Description: "drop what tracewall lists", Action: "drop", Source: "tracewall-shop-v4-001", Group: true})
	report = r.ok(t, 2, spaced(25), func(r *waf.Reconciler) { r.Prove = true })
	if !report.Proof.Effective || report.Writes != 0 || !strings.Contains(strings.Join(report.Proof.Reasons, "\n"), "let the office in") {
		t.Errorf("%d writes, proof %+v; want it in force, and a word about what is accepted before", report.Writes, report.Proof)
	}
	done, err := c.open(t).(waf.Detacher).Detach(t.Context(), false)
	must(t, err)
	if len(c.cloudBooks()) != 1 || !strings.Contains(strings.Join(done, "\n"), "stays: 1 policies that are not ours refer to it") {
		t.Errorf("leaving a book that somebody refers to: %q", done)
	}
}

func TestCloudFirewallOverwritesNobody(t *testing.T) {
	for name, opts := range map[string]waftest.AlibabaOptions{"": {}, "pedantic": {Pedantic: true}} {
		t.Run(name, func(t *testing.T) {
			c := newCloudFirewall(t, opts)
			list := spaced(25)
			(&runner{c: c}).ok(t, 1, list[:20])
			// Between the look and the first write somebody enters one that is wanted, one that is not, and strikes one out that is to go.
			once := false
			c.Before(func(call waftest.AlibabaCall) *waftest.Fault {
				if call.Action == "ModifyAddressBook" && !once {
					once = true
					must(t, c.EditCloudBook("tracewall-shop-v4-001", []string{list[21].String(), "198.51.100.77/32"}, []string{list[0].String()}))
				}
				return nil
			})
			report, err := (&runner{c: c}).run(t, 2, list[1:])
			if err != nil || len(report.Rejected) != 0 {
				t.Fatalf("error %v, rejected %+v: what somebody else has entered is no refused address", err, report.Rejected)
			}
			c.Heal()
			book := c.cloudBooks()[0]
			if !slices.Contains(book.Addresses, "198.51.100.77") && !slices.Contains(book.Addresses, "198.51.100.77/32") {
				t.Errorf("what somebody else entered is gone: %q", book.Addresses)
			}
			(&runner{c: c}).ok(t, 3, list[1:]) // the next run sees it, and the list is the truth
		})
	}
}

func TestCloudFirewallNotesAnAdoptedListOnEachBook(t *testing.T) {
	for name, opts := range map[string]waftest.AlibabaOptions{"": {}, "a service that appends nothing twice": {Pedantic: true}} {
		t.Run(name, func(t *testing.T) {
			c := newCloudFirewall(t, opts)
			list := append(spaced(5), v6(5)...)
			(&runner{c: c}).ok(t, 9, list)
			other := waf.Desired{Wants: wanted(list), Epoch: "epoch-2", Generation: 1}
			rec := waf.Reconciler{Firewall: c.open(t), Name: "shop", Limits: c.target.Limits()}
			if _, err := rec.Reconcile(t.Context(), other); !errors.Is(err, waf.ErrEpoch) {
				t.Fatalf("another list: %v", err)
			}
			rec.AdoptEpoch = true
			report, err := rec.Reconcile(t.Context(), other)
			must(t, err)
			for _, b := range c.cloudBooks() {
				if !strings.Contains(b.Description, "epoch=epoch-2 generation=1") || len(b.Addresses) != 5 {
					t.Errorf("book %+v after %d writes", b, report.Writes)
				}
			}
			rec = waf.Reconciler{Firewall: c.open(t), Name: "shop", Limits: c.target.Limits()}
			if report, err := rec.Reconcile(t.Context(), other); err != nil || report.Writes != 0 {
				t.Errorf("after adopting: %v, %d writes", err, report.Writes)
			}
		})
	}
}

func TestCloudFirewallEmptiesABook(t *testing.T) {
	for name, opts := range map[string]waftest.AlibabaOptions{"": {}, "a service that keeps no empty book": {NoEmptyBooks: true}} {
		t.Run(name, func(t *testing.T) {
			c := newCloudFirewall(t, opts)
			r := &runner{c: c}
			r.ok(t, 1, append(spaced(5), v6(3)...))
			report, err := r.run(t, 2, nil)
			if err != nil || len(c.enforced()) != 0 || report.Enforced != 0 {
				t.Fatalf("error %v, %d in force", err, len(c.enforced()))
			}
			if report, err := r.run(t, 3, nil); err != nil || report.Writes != 0 {
				t.Errorf("empty stays empty: error %v, %d writes", err, report.Writes)
			}
			r.ok(t, 4, spaced(7))
		})
	}
}

func TestCloudFirewallKnowsWhatIsOurs(t *testing.T) {
	c := newCloudFirewall(t, waftest.AlibabaOptions{})
	_, err := c.SeedCloudBook(waftest.AlibabaBook{Name: "tracewall-shop-v4-001", Description: "made by hand", Addresses: []string{"198.51.100.3/32"}})
	must(t, err)
	_, err = c.SeedCloudBook(waftest.AlibabaBook{Name: "copied", Description: "tracewall:shop epoch=x generation=9", Addresses: []string{"198.51.100.4/32"}})
	must(t, err)
	foreign := c.Foreign()
	report := (&runner{c: c}).ok(t, 1, append(spaced(5), v6(3)...))
	if c.Foreign() != foreign || !strings.Contains(strings.Join(report.Notes, "\n"), "tracewall-shop-v4-001 has a name of ours but not our mark") {
		t.Errorf("notes %q, or what is not ours changed", report.Notes)
	}
	done, err := c.open(t).(waf.Detacher).Detach(t.Context(), false)
	if err != nil || c.Foreign() != foreign || len(c.cloudBooks()) != 1 || len(done) != 4 {
		t.Errorf("leaving: %v, %q", err, done)
	}
}

func TestCloudFirewallCanBeExamined(t *testing.T) {
	for name, tt := range map[string]struct {
		opts  waftest.AlibabaOptions
		deny  string
		check string
		state waf.CheckState
	}{
		"all is well":            {check: "address form", state: waf.CheckOK},
		"no permission":          {deny: "cloudfw:DescribeAddressBook", check: "address books", state: waf.CheckFail},
		"no permission for more": {deny: "cloudfw:DescribeControlPolicy", check: "address books", state: waf.CheckFail},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloudFirewall(t, tt.opts)
			(&runner{c: c}).ok(t, 1, spaced(5))
			c.Forget()
			if tt.deny != "" {
				c.Deny(tt.deny)
			}
			checks := c.open(t).(waf.Examiner).Examine(t.Context())
			if !slices.ContainsFunc(checks, func(x waf.Check) bool { return x.Name == tt.check && x.State == tt.state }) || c.Writes() != 0 {
				t.Errorf("checks %+v, want %s %s; %d writes", checks, tt.check, tt.state, c.Writes())
			}
		})
	}
}

func TestCloudFirewallOnlyWatches(t *testing.T) {
	c := newCloudFirewall(t, waftest.AlibabaOptions{})
	c.target.Action = aliwaf.ActionMonitor
	report, err := (&runner{c: c}).run(t, 1, spaced(5), func(r *waf.Reconciler) { r.Prove = true })
	if err != nil || len(c.enforced()) != 0 || len(c.Observed(waftest.ByCloudFirewall)) < 5 || report.Proof.Effective {
		t.Errorf("error %v, %d blocked, proof %+v", err, len(c.enforced()), report.Proof)
	}
}

func TestCloudFirewallSaysHowMuchOfAnAddWentIn(t *testing.T) {
	listings := func(list []netip.Prefix) (all []waf.Listing) {
		for _, p := range list {
			all = append(all, waf.Listing{Prefix: p})
		}
		return all
	}
	stamp := waf.Stamp{Epoch: "epoch-1", Generation: 3}
	open := func(t *testing.T, held int) (*cloud, waf.BookFirewall) {
		c := newCloudFirewall(t, waftest.AlibabaOptions{})
		c.target.Batch = 500
		(&runner{c: c}).ok(t, 1, spaced(held))
		f := c.open(t).(waf.BookFirewall)
		_, err := f.Look(t.Context())
		must(t, err)
		c.Forget()
		return c, f
	}
	t.Run("more than there is room for is refused before any call", func(t *testing.T) {
		c, f := open(t, 1990)
		if err := f.Add(t.Context(), listings(hosts(9000, 11)), stamp); !errors.Is(err, waf.ErrQuota) || len(c.Calls()) != 0 {
			t.Errorf("error %v after %d calls", err, len(c.Calls()))
		}
		must(t, f.Add(t.Context(), listings(hosts(9000, 10)), stamp))
	})
	t.Run("throttled half way is not as if nothing had been entered", func(t *testing.T) {
		c, f := open(t, 5)
		c.Fail("AddAddressBook", 0, -1, waftest.Fault{Code: "Throttling.User"})
		err := f.Add(t.Context(), listings(append(hosts(9000, 2), v6(2)...)), stamp)
		if errors.Is(err, waf.ErrThrottled) || !errors.Is(err, waf.ErrUnavailable) || len(c.enforced()) != 7 {
			t.Errorf("error %v, %d in force; want 7 and that it is not known how much", err, len(c.enforced()))
		}
	})
	t.Run("what is there already costs no call", func(t *testing.T) {
		c, f := open(t, 5)
		if err := f.Add(t.Context(), listings(spaced(5)), stamp); err != nil || len(c.Calls()) != 0 {
			t.Errorf("error %v after %d calls", err, len(c.Calls()))
		}
	})
	t.Run("throttled from the start is", func(t *testing.T) {
		c, f := open(t, 5)
		c.Fail("ModifyAddressBook", 0, -1, waftest.Fault{Code: "Throttling.User"})
		if err := f.Add(t.Context(), listings(hosts(9000, 2)), stamp); !errors.Is(err, waf.ErrThrottled) {
			t.Errorf("error %v", err)
		}
	})
}
