package aliwaf_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func TestBlacklistFindsTheAddressThatIsRefused(t *testing.T) {
	list := spaced(40)
	for name, tt := range map[string]struct {
		first  int // how many of the list are there before
		refuse []netip.Prefix
	}{
		"in a new rule":                  {0, list[7:8]},
		"two in a new rule":              {0, []netip.Prefix{list[3], list[30]}},
		"among others in a rule of ours": {20, list[33:34]},
		"alone in a rule of ours":        {39, list[39:]},
		"nothing else is wanted":         {0, list},
	} {
		t.Run(name, func(t *testing.T) {
			c := newBlacklist(t, waftest.AlibabaOptions{Refuse: tt.refuse})
			want := list
			if len(tt.refuse) == len(list) {
				want, tt.refuse = list[:1], list[:1]
			}
			if tt.first > 0 {
				(&runner{c: c}).ok(t, 1, slices.Clone(want[:tt.first]))
			}
			report, err := (&runner{c: c}).run(t, 2, want)
			if err != nil {
				t.Fatal(err)
			}
			var rejected []string
			for _, r := range report.Rejected {
				rejected = append(rejected, r.Value)
			}
			slices.Sort(rejected)
			var refused []string
			for _, p := range tt.refuse {
				refused = append(refused, p.String())
			}
			slices.Sort(refused)
			if !slices.Equal(rejected, refused) || len(c.enforced()) != len(want)-len(refused) {
				t.Errorf("rejected %q, %d in force; want %q and all others", rejected, len(c.enforced()), refused)
			}
		})
	}
}

func TestBlacklistBlamesNoAddressForWhatItIsNotGuiltyOf(t *testing.T) {
	c := newBlacklist(t, waftest.AlibabaOptions{})
	(&runner{c: c}).ok(t, 1, spaced(5))
	for _, action := range []string{"CreateDefenseRule", "ModifyDefenseRule"} {
		c.Fail(action, 0, -1, waftest.Fault{Code: "Defense.Control.SomethingElse"})
	}
	for name, list := range map[string][]netip.Prefix{"one more": spaced(6), "many more": spaced(30)} {
		report, err := (&runner{c: c}).run(t, 2, list)
		if err == nil || len(report.Rejected) != 0 || len(c.enforced()) != 5 {
			t.Errorf("%s: error %v, rejected %+v, %d in force; want an error and nobody blamed", name, err, report.Rejected, len(c.enforced()))
		}
	}
}

func TestBlacklistKeepsToTheInstancesQuotas(t *testing.T) {
	t.Run("a rule takes fewer than the target says", func(t *testing.T) {
		c := newBlacklist(t, waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{BlacklistAddresses: 7}})
		report := (&runner{c: c}).ok(t, 1, spaced(20))
		if len(report.Sets) != 3 {
			t.Errorf("%d rules for 20 addresses of which a rule takes 7, want 3", len(report.Sets))
		}
	})
	t.Run("others have used up the templates", func(t *testing.T) {
		c := newBlacklist(t, waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{BlacklistTemplates: 2}})
		report, err := (&runner{c: c}).run(t, 1, spaced(5))
		if !errors.Is(err, waf.ErrQuota) || report.Overflow != 5 || report.Enforced != 0 || c.Writes() != 0 {
			t.Errorf("error %v, overflow %d, enforced %d, %d writes; want 5 told as overflow and no write", err, report.Overflow, report.Enforced, c.Writes())
		}
	})
	t.Run("a quota that is met on the way", func(t *testing.T) {
		c := newBlacklist(t, waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{BlacklistRules: 2}, Details: map[string]any{"IpBlacklistRuleInTemplateMaxCount": 100}})
		c.target.SetSize = 5
		report, err := (&runner{c: c}).run(t, 1, spaced(20))
		if !errors.Is(err, waf.ErrQuota) || report.Enforced != 10 || report.Overflow != 10 {
			t.Errorf("error %v, enforced %d, overflow %d; want 10 and 10", err, report.Enforced, report.Overflow)
		}
	})
	t.Run("the target may have fewer templates than the instance", func(t *testing.T) {
		c := newBlacklist(t, waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{BlacklistRules: 1}})
		c.target.SetSize = 5
		for _, want := range []bool{false, true} { // on the first run there is no full template yet
			report, err := (&runner{c: c}).run(t, 1, spaced(20))
			if told := strings.Contains(strings.Join(report.Notes, "\n"), "raise templates of the target"); err != nil || report.Overflow != 15 || told != want {
				t.Errorf("error %v, overflow %d, notes %q", err, report.Overflow, report.Notes)
			}
		}
	})
	t.Run("the edition has no IP blacklist", func(t *testing.T) {
		c := newBlacklist(t, waftest.AlibabaOptions{NoBlacklist: true})
		if _, err := (&runner{c: c}).run(t, 1, spaced(5)); !errors.Is(err, waf.ErrDenied) || !strings.Contains(err.Error(), "edition") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("an instance that does not say its quotas", func(t *testing.T) {
		details := map[string]any{}
		for _, field := range []string{"IpBlacklist", "IpBlacklistIpInRuleMaxCount", "IpBlacklistRuleInTemplateMaxCount", "IpBlacklistTemplateMaxCount", "Ipv6"} {
			details[field] = nil
		}
		c := newBlacklist(t, waftest.AlibabaOptions{Details: details})
		(&runner{c: c}).ok(t, 1, append(spaced(5), netip.MustParsePrefix("2001:db8::/64")))
	})
}

func TestBlacklistRejectsIPv6WhereTheInstanceHasNone(t *testing.T) {
	c := newBlacklist(t, waftest.AlibabaOptions{Details: map[string]any{"Ipv6": false}})
	report, err := (&runner{c: c}).run(t, 1, append(spaced(5), netip.MustParsePrefix("2001:db8::/64"), netip.MustParsePrefix("2001:db8:1::/48")))
	if err != nil || report.Enforced != 5 || len(c.enforced()) != 5 || len(report.Rejected) != 2 || !strings.Contains(report.Rejected[0].Reason, "IPv6") {
		t.Errorf("error %v, enforced %d, rejected %+v; want 5 and two rejected for being IPv6", err, report.Enforced, report.Rejected)
	}
}

func TestBlacklistLooksAheadBeforeItWrites(t *testing.T) {
	for name, tt := range map[string]struct {
		opts   waftest.AlibabaOptions
		change func(c *cloud)
		want   string
	}{
		"an object that does not exist": {change: func(c *cloud) { c.target.Objects = []string{"nowhere-waf"} }, want: "no protected object nowhere-waf"},
		"more objects than a template takes": {
			opts:   waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{ObjectsInTemplate: 1}},
			change: func(c *cloud) { c.target.Templates = 2 }, want: "a template takes 1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newBlacklist(t, tt.opts)
			tt.change(c)
			_, err := (&runner{c: c}).run(t, 1, spaced(5))
			if !errors.Is(err, waf.ErrPreflight) || !strings.Contains(err.Error(), tt.want) || c.Writes() != 0 {
				t.Errorf("error %v, %d writes; want %q before any write", err, c.Writes(), tt.want)
			}
		})
	}
}
