//go:build cgo

package localcloud

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// Wall is one firewall target here.
type Wall struct {
	Kind  string // aws-waf, alibaba-waf, tencent: of the function that keeps it
	Name  string // of the target
	Title string // for people

	enforced  func() []netip.Prefix
	untouched func() bool
}

// Enforced is what the wall blocks by address, asked of the wall itself.
func (w Wall) Enforced() []netip.Prefix { return w.enforced() }

// Untouched tells whether everything on the wall's cloud that was there before is still so, byte for byte.
func (w Wall) Untouched() bool { return w.untouched() }

// What is protected, in each cloud's own words.
const (
	awsRegion     = "eu-west-1"
	awsScope      = "REGIONAL"
	awsACL        = "shop"
	protected     = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shop/50dc6c495c0c9188"
	aliObject     = "shop.example.com-waf"
	tencentRegion = "ap-guangzhou"
	tencentDomain = "shop.example.com"
)

// TargetName is AWS WAF's target.
const TargetName = "shop"

// startAWS makes the web ACL shop, with three rules of somebody's own, in front of a load balancer.
func (c *Cloud) startAWS() (err error) {
	c.aws = waftest.NewAWS(waftest.AWSOptions{Latency: c.cfg.Latency, RateLimits: c.cfg.Rates})
	if c.awsURL, err = c.aws.Start(); err != nil {
		return err
	}
	if err := c.aws.SeedWebACL(awsRegion, awsScope, awsACL); err != nil {
		return err
	}
	if err := c.aws.Associate(awsRegion, awsACL, protected); err != nil {
		return err
	}
	if c.began, err = c.aws.Rules(awsRegion, awsScope, awsACL); err != nil {
		return err
	}
	c.walls = append(c.walls, Wall{
		Kind: "aws-waf", Name: TargetName, Title: "AWS WAF",
		enforced:  func() []netip.Prefix { return c.aws.Enforced(awsRegion, awsScope, awsACL) },
		untouched: func() bool { _, ok := c.TheirRules(); return ok },
	})
	return nil
}

// startAlibaba makes a WAF 3.0 instance with one protected object and a rule of somebody's own.
func (c *Cloud) startAlibaba() (err error) {
	c.alibaba = waftest.NewAlibaba(waftest.AlibabaOptions{
		Latency: c.cfg.Latency, Rates: c.cfg.Rates, Form: waftest.WithBits,
		Keys: []waftest.AlibabaKey{{ID: AccessKeyID, Secret: AccessSecret}},
	})
	c.alibaba.SeedObjects(aliObject)
	theirs := c.alibaba.SeedTemplate(waftest.AlibabaTemplate{Name: "office", Scene: "custom_acl", Default: true})
	if _, err := c.alibaba.SeedRule(waftest.AlibabaRule{
		Template: theirs, Name: "no-scanners", Config: `{"action":"block","conditions":[{"key":"URL","opValue":"contain","values":"/.git"}]}`,
	}); err != nil {
		return err
	}
	if c.alibabaURL, err = c.alibaba.Start(); err != nil {
		return err
	}
	before := c.alibaba.Foreign()
	untouched := func() bool { return c.alibaba.Foreign() == before }
	for _, w := range []struct {
		name, title, by string
		here            bool
	}{
		{"shop", "Alibaba Cloud WAF, address book", waftest.ByAddressBook, true},
		{"shop-rules", "Alibaba Cloud WAF, ip_blacklist", waftest.ByBlacklist, c.cfg.Both},
		{"shop-border", "Alibaba Cloud Firewall", waftest.ByCloudFirewall, true},
	} {
		if !w.here {
			continue
		}
		c.walls = append(c.walls, Wall{
			Kind: "alibaba-waf", Name: w.name, Title: w.title,
			enforced:  func() []netip.Prefix { return c.alibaba.Enforced(w.by) },
			untouched: untouched,
		})
	}
	return nil
}

// startTencent makes a security group in front of a load balancer, with rules of somebody's own, and a
// WAF with one domain.
func (c *Cloud) startTencent() (err error) {
	rate := 0
	if c.cfg.Rates {
		rate = 20
	}
	c.tencent = waftest.NewTencent(waftest.TencentOptions{
		Latency: c.cfg.Latency, Rate: rate, Keys: map[string]waftest.TencentKey{AccessKeyID: {Secret: AccessSecret}},
	})
	group := c.tencent.SeedSecurityGroup(tencentRegion, "shop")
	c.tencentGroup = group
	c.tencentBalancer = c.tencent.SeedLoadBalancer(tencentRegion, "shop")
	c.tencent.SeedInstance("waf_2kshop01", "clb-waf", 4) // Ultimate: 20,000 entries
	c.tencent.SeedDomain(tencentDomain, "waf_2kshop01", true)
	if c.tencentURL, err = c.tencent.Start(); err != nil {
		return err
	}
	before, dropped := c.tencent.Foreign(), c.tencent.EnforcedGroup(group)
	untouched := func() bool { return c.tencent.Foreign() == before }
	c.walls = append(c.walls, Wall{
		Kind: "tencent", Name: "shop-group", Title: "Tencent security group",
		enforced: func() []netip.Prefix { // but for whom somebody else drops
			return slices.DeleteFunc(c.tencent.EnforcedBalancer(c.tencentBalancer), func(p netip.Prefix) bool { return slices.Contains(dropped, p) })
		},
		untouched: untouched,
	})
	if !c.cfg.Past {
		c.walls = append(c.walls, Wall{
			Kind: "tencent", Name: "shop-waf", Title: "Tencent Cloud WAF",
			enforced:  func() []netip.Prefix { return c.tencent.EnforcedAccess(tencentDomain) },
			untouched: untouched,
		})
	}
	return nil
}

// awsEnv, alibabaEnv and tencentEnv are what the sync functions are configured with.
func (c *Cloud) awsEnv() map[string]string {
	return map[string]string{
		"AWS_ENDPOINT_URL": c.awsURL,
		"WAF_TARGETS":      fmt.Sprintf(`[{"name":%q,"region":%q,"scope":%q,"mode":"web-acl","web_acl":%q,"action":"block","priority":100}]`, TargetName, awsRegion, awsScope, awsACL),
	}
}

func (c *Cloud) alibabaEnv() map[string]string {
	targets := fmt.Sprintf(`{"name":"shop","region":"cn-hangzhou","mode":"auto","objects":[%q]},`+
		`{"name":"shop-border","region":"cn-hangzhou","mode":"cloud-firewall","manage":true,"books":10}`, aliObject)
	if c.cfg.Both {
		targets += fmt.Sprintf(`,{"name":"shop-rules","region":"cn-hangzhou","mode":"ip-blacklist","objects":[%q],"templates":2}`, aliObject)
	}
	return map[string]string{"ALIBABA_ENDPOINT_URL": c.alibabaURL, "ALIBABA_TARGETS": "[" + targets + "]"}
}

func (c *Cloud) tencentEnv() map[string]string {
	targets := fmt.Sprintf(`{"name":"shop-group","region":%q,"mode":"security-group","security_groups":[%q],"load_balancers":[%q]}`, tencentRegion, c.tencentGroup, c.tencentBalancer)
	if !c.cfg.Past {
		targets += fmt.Sprintf(`,{"name":"shop-waf","region":%q,"mode":"waf","domain":%q,"edition":"clb-waf"}`, tencentRegion, tencentDomain)
	}
	return map[string]string{
		"TENCENT_ENDPOINT_URL": c.tencentURL, "TENCENT_TARGETS": "[" + targets + "]",
		"TENCENTCLOUD_SECRET_ID": AccessKeyID, "TENCENTCLOUD_SECRET_KEY": AccessSecret,
	}
}

// Walls are all firewall targets here, AWS WAF's first.
func (c *Cloud) Walls() []Wall { return slices.Clone(c.walls) }

// Enforced is what AWS WAF blocks by address, asked of the wall itself.
func (c *Cloud) Enforced() []netip.Prefix { return c.walls[0].Enforced() }

// Throttled returns how many calls the walls have refused for coming too often.
func (c *Cloud) Throttled() int {
	n := c.aws.Throttled()
	if !c.cfg.OnlyAWS {
		n += c.alibaba.Throttled() + c.tencent.Throttled()
	}
	return n
}

// TheirRules returns the names of the rules that were in the web ACL before, and
// whether every one of them is still there, byte for byte.
func (c *Cloud) TheirRules() (names []string, untouched bool) {
	now, err := c.aws.Rules(awsRegion, awsScope, awsACL)
	untouched = err == nil
	for name, rule := range c.began {
		names = append(names, name)
		untouched = untouched && now[name] == rule
	}
	return names, untouched
}
