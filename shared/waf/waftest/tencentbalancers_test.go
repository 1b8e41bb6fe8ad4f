package waftest_test

import (
	"fmt"
	"testing"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// bound returns the security groups of a load balancer.
func (c *tcloud) bound(id string) (groups []string) {
	c.t.Helper()
	out := c.must("clb", "DescribeLoadBalancers", fields{"LoadBalancerIds": []string{id}})
	for _, g := range get[[]any](c.t, out, "LoadBalancerSet", 0, "SecureGroups") {
		groups = append(groups, g.(string))
	}
	return groups
}

func bind(operation, group string, ids ...string) fields {
	return fields{"SecurityGroup": group, "OperationType": operation, "LoadBalancerIds": ids}
}

func TestAGroupIsAddedToThoseThatAreBound(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{BalancerGroups: 2})
	web, ours, third := c.SeedSecurityGroup(tcRegion, "web"), c.SeedSecurityGroup(tcRegion, "ours"), c.SeedSecurityGroup(tcRegion, "third")
	a, b := c.SeedLoadBalancer(tcRegion, "a", web), c.SeedLoadBalancer(tcRegion, "b")
	const set = "SetSecurityGroupForLoadbalancers"
	c.must("clb", set, bind("ADD", ours, a, b))
	c.must("clb", set, bind("ADD", ours, a)) // once more
	same(t, "a", c.bound(a), []string{web, ours})
	same(t, "b", c.bound(b), []string{ours})
	c.want("LimitExceeded", "clb", set, bind("ADD", third, b, a))
	c.want("InvalidParameter.LBIdNotFound", "clb", set, bind("ADD", third, b, "lb-aaaaaaaa"))
	c.want("InvalidParameterValue", "clb", set, bind("ADD", "sg-aaaaaaaa", b))
	c.want("InvalidParameterValue", "clb", set, bind("SET", third, b))
	c.want("MissingParameter", "clb", set, bind("ADD", third))
	c.want("InvalidParameterValue.Length", "clb", set, bind("ADD", third, make([]string, 21)...))
	same(t, "b, still", c.bound(b), []string{ours})
	c.must("clb", set, bind("DEL", ours, a, b))
	same(t, "a, after all", c.bound(a), []string{web})
	c.must("clb", "SetLoadBalancerSecurityGroups", fields{"LoadBalancerId": a, "SecurityGroups": []string{third}})
	same(t, "a, overwritten", c.bound(a), []string{third})
	c.must("clb", "SetLoadBalancerSecurityGroups", fields{"LoadBalancerId": a})
	same(t, "a, emptied", c.bound(a), []string(nil))
}

func TestLoadBalancersAreFiltered(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{})
	web := c.SeedSecurityGroup(tcRegion, "web")
	for i := range 5 {
		c.SeedLoadBalancer(tcRegion, fmt.Sprint("lb", i), []string{web}[:i%2]...)
	}
	c.SeedLoadBalancer("ap-singapore", "elsewhere", web)
	out := c.must("clb", "DescribeLoadBalancers", fields{"SecurityGroup": web})
	if get[float64](t, out, "TotalCount") != 2 {
		t.Errorf("total %v", out["TotalCount"])
	}
	out = c.must("clb", "DescribeLoadBalancers", fields{"Offset": 4, "Limit": 2})
	if got := get[[]any](t, out, "LoadBalancerSet"); len(got) != 1 {
		t.Errorf("the last page has %d", len(got))
	}
	c.want("InvalidParameterValue.Range", "clb", "DescribeLoadBalancers", fields{"Limit": 101})
	c.want("InvalidParameterValue.Length", "clb", "DescribeLoadBalancers", fields{"LoadBalancerIds": make([]string, 21)})
}

func TestTemplatesCountForWhatTheyHold(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{BalancerExpanded: 26, Expanded: 40})
	sg := c.SeedSecurityGroup(tcRegion, "web") // 4 and 1 policies
	first, second := c.template("first", addresses(2, 10)...), c.template("second", addresses(3, 11)...)
	group := c.templateGroup("g", first, second)
	c.must("vpc", "CreateSecurityGroupPolicies", ingress(sg, nil, with(drop("", ""), fields{"CidrBlock": nil, "AddressTemplate": fields{"AddressGroupId": group}})))
	lb := c.SeedLoadBalancer(tcRegion, "a")
	c.must("clb", "SetSecurityGroupForLoadbalancers", bind("ADD", sg, lb))
	c.want("UnsupportedOperation.ClbPolicyExceedLimit", "vpc", "CreateSecurityGroupPolicies", ingress(sg, nil, drop("192.0.2.99", "")))
	c.want("LimitExceeded", "vpc", "AddTemplateMember", fields{"TemplateId": first, "TemplateMember": members("192.0.9.1")})
	c.want("LimitExceeded", "vpc", "ModifyAddressTemplateAttribute", fields{"AddressTemplateId": first, "Addresses": addresses(4, 11)})
	third := c.template("third", "192.0.5.1")
	c.want("LimitExceeded", "vpc", "AddTemplateMember", fields{"TemplateId": group, "TemplateMember": members(third)})
	c.must("clb", "SetSecurityGroupForLoadbalancers", bind("DEL", sg, lb))
	c.must("vpc", "ModifyAddressTemplateAttribute", fields{"AddressTemplateId": first, "Addresses": addresses(4, 20)})
	c.want("FailedOperation", "clb", "SetSecurityGroupForLoadbalancers", bind("ADD", sg, lb))
	// 4 and 31 of 40: five more, and no sixth.
	c.must("vpc", "CreateSecurityGroupPolicies", ingress(sg, nil, drop("192.0.2.91", ""), drop("192.0.2.92", ""), drop("192.0.2.93", ""), drop("192.0.2.94", ""), drop("192.0.2.95", "")))
	c.want("LimitExceeded", "vpc", "CreateSecurityGroupPolicies", ingress(sg, nil, drop("192.0.2.96", "")))
	c.must("vpc", "DeleteTemplateMember", fields{"TemplateId": first, "TemplateMember": members("192.0.4.0")})
}
