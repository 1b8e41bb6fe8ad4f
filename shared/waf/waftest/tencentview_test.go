package waftest_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func at(index int64) *int64 { return &index }

func TestADropIsInForceUnlessAnAcceptComesFirst(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{})
	tpl, err := c.SeedTemplate(tcRegion, "list", "192.0.2.1", "198.51.100.0/24", "203.0.113.4-203.0.113.7", "2001:db8::/32")
	if err != nil {
		t.Fatal(err)
	}
	group, err := c.SeedTemplateGroup(tcRegion, "lists", tpl)
	if err != nil {
		t.Fatal(err)
	}
	ours := waftest.TencentPolicy{Protocol: "ALL", Port: "ALL", Action: "DROP", AddressTemplate: waftest.TencentAddressTemplate{AddressGroupId: group}}
	all := prefixes("192.0.2.1/32", "198.51.100.0/24", "203.0.113.4/30", "203.0.113.66/32", "2001:db8::/32")
	for name, try := range map[string]struct {
		index int64
		more  []waftest.TencentPolicy
		want  []string // nil: all
	}{
		"on top":                           {index: 0},
		"below the office's ACCEPT":        {index: 1, want: []string{"192.0.2.1/32", "203.0.113.4/30", "203.0.113.66/32", "2001:db8::/32"}},
		"below everybody's ACCEPT":         {index: 3, want: []string{"203.0.113.66/32", "2001:db8::/32"}},
		"at the end":                       {index: 4, want: []string{"203.0.113.66/32"}},
		"an ACCEPT of a part above":        {more: []waftest.TencentPolicy{{PolicyIndex: at(0), Protocol: "TCP", Port: "443", CidrBlock: "198.51.100.0/25", Action: "ACCEPT"}}, want: []string{"192.0.2.1/32", "198.51.100.128/25", "203.0.113.4/30", "203.0.113.66/32", "2001:db8::/32"}},
		"an ACCEPT below a DROP of all":    {more: []waftest.TencentPolicy{{PolicyIndex: at(1), Protocol: "ALL", Port: "ALL", CidrBlock: "0.0.0.0/0", Action: "ACCEPT"}}, want: []string{"192.0.2.1/32", "198.51.100.0/24", "203.0.113.4/30", "2001:db8::/32"}},
		"a DROP of one port drops not all": {more: []waftest.TencentPolicy{{PolicyIndex: at(0), Protocol: "TCP", Port: "443", CidrBlock: "192.0.3.0/24", Action: "DROP"}}},
	} {
		t.Run(name, func(t *testing.T) {
			sg := c.SeedSecurityGroup(tcRegion, "web")
			p := ours
			p.PolicyIndex = at(try.index)
			if err := c.SeedPolicies(sg, append([]waftest.TencentPolicy{p}, try.more...)...); err != nil {
				t.Fatal(err)
			}
			want := all
			if try.want != nil {
				want = prefixes(try.want...)
			}
			same(t, "in force", c.EnforcedGroup(sg), want)
		})
	}
	if got := c.EnforcedGroup("sg-aaaaaaaa"); got != nil {
		t.Errorf("no group drops %v", got)
	}
}

func TestALoadBalancerAsksItsGroupsInTheirOrder(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{})
	web, ours := c.SeedSecurityGroup(tcRegion, "web"), c.SeedSecurityGroup(tcRegion, "ours")
	if err := c.SeedPolicies(ours, waftest.TencentPolicy{PolicyIndex: at(0), Protocol: "ALL", Port: "ALL", CidrBlock: "192.0.2.1", Action: "DROP"}); err != nil {
		t.Fatal(err)
	}
	bare, first, last := c.SeedLoadBalancer(tcRegion, "bare"), c.SeedLoadBalancer(tcRegion, "first", ours, web), c.SeedLoadBalancer(tcRegion, "last", web, ours)
	for id, want := range map[string][]string{bare: nil, first: {"192.0.2.1/32", "203.0.113.66/32"}, last: {"203.0.113.66/32"}} {
		got := c.EnforcedBalancer(id)
		if got == nil {
			got = prefixes()
		}
		same(t, "in force", got, prefixes(want...))
	}
}

func TestAWhitelistSpares(t *testing.T) {
	now := newClock()
	c := newTencent(t, waftest.TencentOptions{Now: now.now})
	c.SeedDomain("shop.example.com", "", true)
	for _, e := range []struct {
		domain string
		action int64
		until  time.Time
		list   []string
	}{
		{"global", waftest.TencentBlock, time.Time{}, []string{"192.0.2.0/24", "2001:db8::1"}},
		{"shop.example.com", waftest.TencentBlock, now.at.Add(time.Hour), []string{"198.51.100.1"}},
		{"shop.example.com", waftest.TencentAllow, now.at.Add(time.Minute), []string{"192.0.2.0/25"}},
	} {
		if _, err := c.SeedAccess(e.domain, e.action, "seeded", e.until, e.list...); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "global", c.EnforcedAccess("global"), prefixes("192.0.2.0/24", "2001:db8::1/128"))
	same(t, "shop", c.EnforcedAccess("shop.example.com"), prefixes("192.0.2.128/25", "198.51.100.1/32", "2001:db8::1/128"))
	now.advance(time.Minute)
	same(t, "shop, without its whitelist", c.EnforcedAccess("shop.example.com"), prefixes("192.0.2.0/24", "198.51.100.1/32", "2001:db8::1/128"))
}

func TestForeignIsAllButOurs(t *testing.T) {
	now := newClock()
	c := newTencent(t, waftest.TencentOptions{Now: now.now})
	sg := c.SeedSecurityGroup(tcRegion, "web")
	lb := c.SeedLoadBalancer(tcRegion, "a", c.SeedSecurityGroup(tcRegion, "other"))
	theirs := c.template("theirs", "192.0.2.1")
	if _, err := c.SeedAccess("global", waftest.TencentBlock, "by hand", time.Time{}, "192.0.2.77"); err != nil {
		t.Fatal(err)
	}
	before := c.Foreign()
	for _, part := range []string{"office ssh", theirs, lb, "by hand", "192.0.2.77"} {
		if !strings.Contains(before, part) {
			t.Errorf("%q is not in\n%s", part, before)
		}
	}

	// All that tracewall does leaves it as it is.
	tpl := c.template("tracewall-edge-01", "192.0.2.2")
	group := c.templateGroup("tracewall-edge", tpl)
	c.must("vpc", "CreateSecurityGroupPolicies", ingress(sg, nil, with(drop("", "by whatever name"), fields{"PolicyIndex": 0, "CidrBlock": nil, "AddressTemplate": fields{"AddressGroupId": group}})))
	c.must("vpc", "CreateSecurityGroupPolicies", ingress(sg, nil, with(drop("192.0.2.3", "tracewall"), fields{"PolicyIndex": 0})))
	c.must("clb", "SetSecurityGroupForLoadbalancers", bind("ADD", sg, lb))
	c.enter(entry(now, fields{"Note": "tracewall:edge 0 1"}, "192.0.2.4"))
	same(t, "after ours", c.Foreign(), before)

	// And nothing that changes theirs does.
	for name, change := range map[string]func(){
		"a policy": func() { c.must("vpc", "DeleteSecurityGroupPolicies", ingress(sg, nil, fields{"PolicyIndex": 3})) },
		"a template": func() {
			c.must("vpc", "AddTemplateMember", fields{"TemplateId": theirs, "TemplateMember": members("192.0.2.5")})
		},
		"a binding": func() {
			c.must("clb", "SetLoadBalancerSecurityGroups", fields{"LoadBalancerId": lb, "SecurityGroups": []string{sg}})
		},
		"an entry": func() {
			c.must("waf", "DeleteIpAccessControlV2", fields{"Domain": "global", "RuleIds": []uint64{c.Access("global")[0].Rule}})
		},
		"a group more": func() { c.templateGroup("theirs", theirs) },
	} {
		was := c.Foreign()
		if change(); c.Foreign() == was {
			t.Errorf("%s: not seen", name)
		}
	}
}

func TestASecondWriterSeesWhoOverwritesIt(t *testing.T) {
	kinds := map[string]bool{}
	for seed := range uint64(10) {
		now := newClock()
		c := newTencent(t, waftest.TencentOptions{Now: now.now})
		sg := c.SeedSecurityGroup(tcRegion, "web")
		c.SeedLoadBalancer(tcRegion, "a", sg)
		w := c.Writer(seed, sg, "global")
		for range 40 {
			did, err := w.Edit()
			if err != nil {
				t.Fatalf("seed %d after %v: %v", seed, w.Did(), err)
			}
			kinds[strings.Join(strings.Fields(did)[:2], " ")] = true
			if lost := w.Lost(); lost != nil {
				t.Fatalf("seed %d after %v: lost %v", seed, w.Did(), lost)
			}
		}
		if len(w.Did()) != 40 || len(c.Calls()) != 0 {
			t.Errorf("did %d, %d calls", len(w.Did()), len(c.Calls()))
		}
		_, version := c.policies(sg)
		c.must("vpc", "CreateSecurityGroupPolicies", ingress(sg, fields{"Version": version}, with(drop("192.0.2.3", "tracewall"), fields{"PolicyIndex": 0})))
		if lost := w.Lost(); lost != nil {
			t.Errorf("ours is theirs: %v", lost)
		}
		c.must("vpc", "ModifySecurityGroupPolicies", ingress(sg, fields{"Version": "0"}))
		if lost := w.Lost(); !slices.ContainsFunc(lost, func(l string) bool { return strings.HasPrefix(l, "- ") && strings.Contains(l, "CidrBlock") }) {
			t.Errorf("a reset is not seen: %v", lost)
		}
	}
	for _, kind := range []string{"insert policy", "strike policy", "describe policy", "template changed", "bind changed", "enter entry", "note entry", "leave entry"} {
		if !kinds[kind] {
			t.Errorf("never: %s", kind)
		}
	}
	if _, err := newTencent(t, waftest.TencentOptions{}).Writer(1, "", "").Edit(); err == nil {
		t.Error("edits nothing without an error")
	}
}
