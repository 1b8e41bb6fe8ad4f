package tencentfw_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/tencentfw"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func prove(t *testing.T, c *cloudWAF) waf.Proof {
	t.Helper()
	f := c.looked(t)
	proof, err := f.(waf.Prover).Prove(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

func TestProofSaysWhyAListIsNotInForce(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil     func(c *cloudWAF)
		effective bool
		says      string
	}{
		"all is as it should be": {func(*cloudWAF) {}, true, ""},
		"the WAF is off":         {func(c *cloudWAF) { c.SeedDomain(shop, "", false) }, false, "switched off for shop"},
		"it only observes":       {func(c *cloudWAF) { c.SwitchDomain(shop, "Mode", false) }, false, "only observes"},
		"access control is off":  {func(c *cloudWAF) { c.SwitchDomain(shop, "AccessControl", false) }, false, "access control is switched off"},
		"it gets a copy": {func(c *cloudWAF) {
			c.SeedInstance("waf_clb", tencentfw.EditionCLB, 3)
			c.SeedDomain(shop, "waf_clb", true)
			c.SwitchDomain(shop, "FlowMode", false)
			c.target.Edition = tencentfw.EditionCLB
		}, false, "copy of the traffic"},
		"the switches cannot be seen": {func(c *cloudWAF) { c.Deny("waf:DescribeModuleStatus") }, false, "grant waf:DescribeModuleStatus"},
		"the domains cannot be seen":  {func(c *cloudWAF) { c.Deny("waf:DescribeDomains") }, false, "grant waf:DescribeDomains"},
		"the domain is of another instance": {func(c *cloudWAF) {
			c.SeedInstance("waf_other", tencentfw.EditionSaaS, 3)
			c.target.InstanceID = "waf_else"
		}, false, "does not protect"},
		"an allowlist lets one through": {func(c *cloudWAF) {
			seed(c, shop, "vip", "100.64.0.0/29")
		}, true, "lets 3 addresses or ranges through that are on the list, 100.64.0.4/32 among them"},
		"the allowlist of all domains lets one through": {func(c *cloudWAF) {
			seed(c, tencentfw.Global, "vip", "100.64.0.2")
		}, true, "of global lets 1 addresses"},
		"an allowlist lets a part of a range through": {func(c *cloudWAF) {
			seed(c, shop, "vip", "203.0.113.9")
		}, true, "203.0.113.0/24 among them"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloudWAF(t, waftest.TencentOptions{})
			mustAdd(t, c.looked(t), until(dawn.Add(time.Hour), append(hosts(0, 3), prefix("203.0.113.0/24"))...))
			tc.spoil(c)
			proof := prove(t, c)
			words := strings.Join(proof.Reasons, "\n")
			if proof.Effective != tc.effective || !strings.Contains(words, tc.says) || tc.says == "" && words != "" {
				t.Errorf("effective %t, reasons %q; want %t and %q", proof.Effective, words, tc.effective, tc.says)
			}
		})
	}
}

func TestProofOfAllDomainsLooksAtEachOfThem(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{})
	c.target.Domain = tencentfw.Global
	c.SeedDomain("blog.example.com", "", false)
	proof := prove(t, c)
	if !proof.Effective || len(proof.WebACLs) != 2 || len(proof.Reasons) != 1 || !strings.Contains(proof.Reasons[0], "blog.example.com") {
		t.Errorf("%+v", proof)
	}
}

func TestPreflightFindsADomainThatIsNotProtected(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{})
	f := c.looked(t)
	for i := range 2 {
		findings, err := f.(waf.Preflighter).Preflight(t.Context(), waf.Need{})
		if err != nil || len(findings) != 0 {
			t.Fatalf("time %d: %v, %v", i, findings, err)
		}
	}
	if n := len(c.Calls("DescribeDomains")); n != 1 {
		t.Errorf("%d calls, want one a day", n)
	}
	c.target.Edition = tencentfw.EditionCLB // and the domain is behind the other
	findings, err := c.looked(t).(waf.Preflighter).Preflight(t.Context(), waf.Need{})
	if err != nil || len(findings) != 1 || !findings[0].Fatal || !strings.Contains(findings[0].Text, shop) {
		t.Errorf("%v, %v", findings, err)
	}
	c.Deny("DescribeDomains")
	findings, err = c.looked(t).(waf.Preflighter).Preflight(t.Context(), waf.Need{})
	if err != nil || len(findings) != 1 || findings[0].Fatal {
		t.Errorf("%v, %v", findings, err)
	}
}

func TestTheEditionTellsHowMuchRoomThereIs(t *testing.T) {
	const others = 4 // three black and one white
	for name, tc := range map[string]struct {
		set  func(c *cloudWAF)
		room int
		note string
	}{
		"ultimate":             {func(*cloudWAF) {}, 20_000 - others, ""},
		"enterprise":           {func(c *cloudWAF) { c.SeedInstance("waf_a", tencentfw.EditionSaaS, 3) }, 5_000 - others, ""},
		"premium":              {func(c *cloudWAF) { c.SeedInstance("waf_a", tencentfw.EditionSaaS, 2) }, 1_000 - others, ""},
		"a small one":          {func(c *cloudWAF) { c.SeedInstance("waf_a", tencentfw.EditionSaaS, 101) }, 1_000 - others, "not documented"},
		"what the target says": {func(c *cloudWAF) { c.target.Entries = 300 }, 300 - others, ""},
		"it cannot be seen":    {func(c *cloudWAF) { c.Deny("DescribeInstances") }, 1_000 - others, "DescribeInstances is denied"},
		"there are two": {func(c *cloudWAF) {
			c.SeedInstance("waf_a", tencentfw.EditionSaaS, 3)
			c.SeedInstance("waf_b", tencentfw.EditionSaaS, 2)
		}, 1_000 - others, "instance_id"},
		"others have it all": {func(c *cloudWAF) { c.target.Entries = 3 }, 1, "fill the quota"},
		"one of two that is named": {func(c *cloudWAF) {
			c.SeedInstance("waf_aaaa", tencentfw.EditionSaaS, 3)
			c.SeedInstance("waf_bbbb", tencentfw.EditionSaaS, 4)
			c.target.InstanceID = "waf_bbbb"
		}, 20_000 - others, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloudWAF(t, waftest.TencentOptions{})
			tc.set(c)
			state := look(t, c.open(t))
			notes := strings.Join(state.Notes, "\n")
			if state.Book.Room != tc.room || !strings.Contains(notes, tc.note) || tc.note == "" && notes != "" {
				t.Errorf("room %d, notes %q; want %d and %q", state.Book.Room, notes, tc.room, tc.note)
			}
		})
	}
}
