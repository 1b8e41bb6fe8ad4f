package tencentfw_test

import (
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// many enters n addresses into as many rules.
func many(t *testing.T, c *cloudWAF, n int) {
	t.Helper()
	var listings []waf.Listing
	for i, p := range hosts(0, n) {
		listings = append(listings, waf.Listing{Prefix: p, Until: dawn.Add(time.Duration(1+i) * 10 * time.Minute)})
	}
	mustAdd(t, c.looked(t), listings)
}

func TestAllRulesAreReadHoweverTheyArePaged(t *testing.T) {
	for name, opts := range map[string]waftest.TencentOptions{
		"offsets are rules": {}, "offsets are pages": {AccessOffsetPages: true}, "pages of twenty": {AccessPage: 20},
		"pages of twenty by number": {AccessPage: 20, AccessOffsetPages: true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloudWAF(t, opts)
			many(t, c, 230)
			if n := len(c.ends(t)); n != 230 {
				t.Errorf("%d of 230 are read", n)
			}
		})
	}
}

func TestRulesThatMoveWhileTheyAreReadAreReadOnceMore(t *testing.T) {
	for name, edit := range map[string]func(t *testing.T, c *cloudWAF){
		"one is taken out": func(t *testing.T, c *cloudWAF) {
			last := c.Access(shop)
			if err := c.raw(t, "DeleteIpAccessControlV2", map[string]any{"Domain": shop, "RuleIds": []uint64{last[len(last)-1].Rule}}); err != nil {
				t.Error(err)
			}
		},
		"one is put in": func(t *testing.T, c *cloudWAF) {
			if _, err := c.SeedAccess(shop, waftest.TencentBlock, "theirs", time.Time{}, "192.0.2.200"); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloudWAF(t, waftest.TencentOptions{})
			many(t, c, 230)
			c.Forget()
			done := false
			c.After(func(call waftest.TencentCall) { // between the first page and the second
				if !done && call.Index == 0 {
					done = true
					edit(t, c)
				}
			})
			f := c.looked(t)
			list, err := f.Listings(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if in := c.enforced(); len(list)-len(in) != 0 && name != "one is put in" {
				t.Errorf("%d listings, %d in force", len(list), len(in))
			}
			has := map[string]bool{}
			for _, l := range list {
				has[l.Prefix.String()] = true
			}
			for _, p := range c.enforced() {
				if !has[p.String()] && p != prefix("192.0.2.200/32") {
					t.Errorf("%s is in force and was not read", p)
				}
			}
		})
	}
}
