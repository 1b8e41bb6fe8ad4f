package aliwaf_test

import (
	"errors"
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func TestTheModeIsChosenByWhatTheInstanceAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		opts waftest.AlibabaOptions
		seed func(t *testing.T, c *cloud)
		book bool
	}{
		"address books and nothing of ours": {book: true},
		"no address books":                  {opts: waftest.AlibabaOptions{NoAddressBooks: true}},
		"no address books, in other words":  {opts: waftest.AlibabaOptions{NoAddressBooks: true, NoAddressBooksCode: "InvalidParameter"}},
		"a book of ours and rules of ours": {book: true, seed: func(t *testing.T, c *cloud) {
			c.SeedTemplate(waftest.AlibabaTemplate{Scene: "ip_blacklist", Name: "tracewall-shop-01", Description: "tracewall:shop", Default: true})
			if _, err := c.SeedBook(waftest.AlibabaBook{Name: "tracewall-shop", Description: "tracewall:shop"}); err != nil {
				t.Fatal(err)
			}
		}},
		// Addresses that two modes blocked would be released by one only.
		"rules of ours and no book": {seed: func(_ *testing.T, c *cloud) {
			c.SeedTemplate(waftest.AlibabaTemplate{Scene: "ip_blacklist", Name: "tracewall-shop-01", Description: "tracewall:shop", Default: true})
		}},
		"somebody else's blacklist": {book: true, seed: func(_ *testing.T, c *cloud) {
			c.SeedTemplate(waftest.AlibabaTemplate{Scene: "ip_blacklist", Name: "tracewall-shops", Description: "tracewall:shops", Default: true})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, tt.opts)
			if tt.seed != nil {
				tt.seed(t, c)
			}
			c.target = aliwaf.Target{Name: "shop", Region: aliwaf.RegionMainland}
			choice := c.open(t).(waf.Chooser)
			for range 2 { // the second time without asking
				f, err := choice.Choose(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if _, book := f.(waf.BookFirewall); book != tt.book {
					t.Errorf("chosen: %T", f)
				}
			}
			if n := len(c.Calls("DescribeDefenseRules")); n != 1 || c.Writes() != 0 {
				t.Errorf("asked %d times, %d writes", n, c.Writes())
			}
		})
	}
}

func TestAPassingErrorChoosesNothing(t *testing.T) {
	for code, want := range map[string]error{
		"Throttling.User": waf.ErrThrottled, "ServiceUnavailable": waf.ErrUnavailable, "InternalError": waf.ErrUnavailable, "": waf.ErrUnavailable,
		"NoPermission": waf.ErrDenied, "Forbidden.RAM": waf.ErrDenied, "InvalidSecurityToken.Expired": waf.ErrDenied, "Waf.Instance.ValidFaild": waf.ErrDenied,
	} {
		for _, action := range []string{"DescribeInstance", "DescribeDefenseRules", "DescribeDefenseTemplates"} {
			c := newCloud(t, waftest.AlibabaOptions{})
			c.target = aliwaf.Target{Name: "shop", Region: aliwaf.RegionMainland}
			c.Fail(action, 0, -1, waftest.Fault{Code: code, Drop: code == ""})
			choice := c.open(t).(waf.Chooser)
			if f, err := choice.Choose(t.Context()); !errors.Is(err, want) || f != nil {
				t.Errorf("%s with %q: %T, %v", action, code, f, err)
			}
			c.Heal()
			if f, err := choice.Choose(t.Context()); err != nil {
				t.Errorf("%s with %q, and then: %T, %v", action, code, f, err)
			} else if _, book := f.(waf.BookFirewall); !book {
				t.Errorf("%s with %q, and then: %T", action, code, f)
			}
		}
	}
}

func TestBothModesLeaveWhenTheTargetIsLeft(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	foreign := c.Foreign()
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 5))
	c.target = aliwaf.Target{Name: "shop", Region: aliwaf.RegionMainland}
	done, err := c.open(t).(waf.Detacher).Detach(t.Context(), false)
	if err != nil || len(done) != 3 || c.Foreign() != foreign || len(c.enforced()) != 0 {
		t.Errorf("%q, %v", done, err)
	}
	none := newCloud(t, waftest.AlibabaOptions{NoAddressBooks: true})
	none.target = c.target
	if done, err := none.open(t).(waf.Detacher).Detach(t.Context(), false); err != nil || len(done) != 0 {
		t.Errorf("without address books: %q, %v", done, err)
	}
}

func TestAnotherModeIsOnlyLeftOnceTheConfiguredOneIsInForce(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	f := c.open(t).(waf.Detacher)
	if _, err := f.DetachMode(t.Context(), aliwaf.ModeIPBlacklist, false); !errors.Is(err, waf.ErrUnavailable) {
		t.Errorf("not in force yet: %v", err)
	}
	if _, err := f.DetachMode(t.Context(), "everything", false); !errors.Is(err, waf.ErrInvalid) {
		t.Errorf("no such mode: %v", err)
	}
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 5))
	if _, err := f.DetachMode(t.Context(), aliwaf.ModeIPBlacklist, false); err != nil || len(c.enforced()) != 5 {
		t.Errorf("%v, %d in force", err, len(c.enforced()))
	}
	if _, err := f.DetachMode(t.Context(), aliwaf.ModeAddressBook, false); err != nil || len(c.enforced()) != 0 {
		t.Errorf("%v, %d in force", err, len(c.enforced()))
	}
}
