package waftest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// policies returns the descriptions of a group's ingress policies, in their order, and the version.
func (c *tcloud) policies(group string) (descriptions []string, version string) {
	c.t.Helper()
	out := c.must("vpc", "DescribeSecurityGroupPolicies", fields{"SecurityGroupId": group})
	for i, p := range get[[]any](c.t, out, "SecurityGroupPolicySet", "Ingress") {
		p := fields(p.(map[string]any))
		descriptions = append(descriptions, get[string](c.t, p, "PolicyDescription"))
		if at := get[float64](c.t, p, "PolicyIndex"); int(at) != i {
			c.t.Errorf("policy %d has index %v", i, at)
		}
	}
	return descriptions, get[string](c.t, out, "SecurityGroupPolicySet", "Version")
}

func drop(source, description string) fields {
	return fields{"Protocol": "ALL", "Port": "all", "CidrBlock": source, "Action": "DROP", "PolicyDescription": description}
}

func ingress(group string, more fields, policies ...fields) fields {
	return fields{"SecurityGroupId": group, "SecurityGroupPolicySet": with(fields{"Ingress": policies}, more)}
}

func TestPoliciesAreInsertedAtTheirIndex(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{})
	sg := c.SeedSecurityGroup(tcRegion, "web")
	before, version := c.policies(sg)
	c.must("vpc", "CreateSecurityGroupPolicies", ingress(sg, fields{"Version": version},
		with(drop("192.0.2.1", "one"), fields{"PolicyIndex": 0}), with(drop("192.0.2.2", "two"), fields{"PolicyIndex": 0})))
	got, next := c.policies(sg)
	same(t, "on top", got, append([]string{"one", "two"}, before...))
	if version != "3" || next != "4" {
		t.Errorf("version %s, then %s", version, next)
	}
	c.must("vpc", "CreateSecurityGroupPolicies", ingress(sg, nil, drop("192.0.2.3", "last"))) // no version: no conflict; no index: at the end
	c.must("vpc", "CreateSecurityGroupPolicies", ingress(sg, fields{"Version": "5"}, with(drop("192.0.2.4", "second"), fields{"PolicyIndex": 1})))
	got, _ = c.policies(sg)
	same(t, "all", got, append(append([]string{"one", "second", "two"}, before...), "last"))
}

func TestPoliciesAreReadBackInOtherForms(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{Form: waftest.TencentForms["always a prefix"]})
	sg := c.SeedSecurityGroup(tcRegion, "web")
	out := c.must("vpc", "DescribeSecurityGroupPolicies", fields{"SecurityGroupId": sg})
	if got := get[string](t, out, "SecurityGroupPolicySet", "Ingress", 1, "CidrBlock"); got != "203.0.113.66/32" {
		t.Errorf("reads back as %q", got)
	}
	c.must("vpc", "DeleteSecurityGroupPolicies", ingress(sg, nil, fields{"PolicyIndex": 1}))
}

func TestAStaleVersionChangesNothing(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{})
	sg := c.SeedSecurityGroup(tcRegion, "web")
	before, _ := c.policies(sg)
	for _, version := range []string{"2", "4", "0"} {
		c.want("UnsupportedOperation.VersionMismatch", "vpc", "CreateSecurityGroupPolicies", ingress(sg, fields{"Version": version}, drop("192.0.2.1", "one")))
		c.want("UnsupportedOperation.VersionMismatch", "vpc", "DeleteSecurityGroupPolicies", ingress(sg, fields{"Version": version}, fields{"PolicyIndex": 0}))
		c.want("UnsupportedOperation.VersionMismatch", "vpc", "ReplaceSecurityGroupPolicies", ingress(sg, fields{"Version": version}, with(drop("192.0.2.1", "one"), fields{"PolicyIndex": 0})))
	}
	c.want("InvalidParameterValue.Malformed", "vpc", "CreateSecurityGroupPolicies", ingress(sg, fields{"Version": "v3"}, drop("192.0.2.1", "one")))
	if after, version := c.policies(sg); fmt.Sprint(after) != fmt.Sprint(before) || version != "3" {
		t.Errorf("%v in version %s", after, version)
	}
}

func TestAPolicyIsJudgedBeforeItIsMade(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{Policies: 6, SharedTemplates: true})
	sg := c.SeedSecurityGroup(tcRegion, "web")
	elsewhere := c.SeedSecurityGroup("ap-singapore", "web")
	tpl, err := c.SeedTemplate(tcRegion, "a", "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	one := drop("192.0.2.1", "one")
	for name, try := range map[string]struct {
		want   string
		change fields
	}{
		"another action":                  {"InvalidParameterValue", fields{"Action": "REJECT"}},
		"no source":                       {"InvalidParameterValue.Empty", fields{"CidrBlock": nil}},
		"two sources":                     {"InvalidParameter.Coexist", fields{"Ipv6CidrBlock": "2001:db8::/32"}},
		"two templates":                   {"InvalidParameter.Coexist", fields{"CidrBlock": nil, "AddressTemplate": fields{"AddressId": tpl, "AddressGroupId": "ipmg-aaaaaaaa"}}},
		"a template that is none":         {"ResourceNotFound", fields{"CidrBlock": nil, "AddressTemplate": fields{"AddressId": "ipm-aaaaaaaa"}}},
		"a group that is none":            {"ResourceNotFound", fields{"CidrBlock": nil, "AddressTemplate": fields{"AddressGroupId": "ipmg-aaaaaaaa"}}},
		"a template as a group":           {"InvalidParameterValue.Malformed", fields{"CidrBlock": nil, "AddressTemplate": fields{"AddressGroupId": tpl}}},
		"another Region's group":          {"ResourceNotFound", fields{"CidrBlock": nil, "SecurityGroupId": elsewhere}},
		"the other family":                {"InvalidParameterValue.Malformed", fields{"CidrBlock": "2001:db8::/32"}},
		"host bits":                       {"InvalidParameterValue.Malformed", fields{"CidrBlock": "192.0.2.1/24"}},
		"all protocols, one port":         {"InvalidParameterValue", fields{"Port": "80"}},
		"all protocols, no port":          {"InvalidParameterValue", fields{"Port": nil}},
		"no port":                         {"InvalidParameterValue.Empty", fields{"Protocol": "TCP", "Port": nil}},
		"ports the wrong way around":      {"InvalidParameterValue.Malformed", fields{"Protocol": "TCP", "Port": "90-80"}},
		"a protocol that is none":         {"InvalidParameterValue", fields{"Protocol": "HTTP"}},
		"ICMP for IPv6":                   {"InvalidParameter.Coexist", fields{"Protocol": "ICMP", "CidrBlock": nil, "Ipv6CidrBlock": "2001:db8::/32"}},
		"a service template, too":         {"InvalidParameter.Coexist", fields{"ServiceTemplate": fields{"ServiceId": "ppm-aaaaaaaa"}}},
		"a service template that is none": {"ResourceNotFound", fields{"Protocol": nil, "Port": nil, "ServiceTemplate": fields{"ServiceId": "ppm-aaaaaaaa"}}},
		"a port of ICMP":                  {"InvalidParameter.Coexist", fields{"Protocol": "ICMP", "Port": "80"}},
		"many words":                      {"InvalidParameterValue.TooLong", fields{"PolicyDescription": strings.Repeat("é", 101)}},
		"past the end":                    {"InvalidParameterValue.Range", fields{"PolicyIndex": 5}},
		"before the beginning":            {"InvalidParameterValue.Range", fields{"PolicyIndex": -1}},
		"there already":                   {"UnsupportedOperation.DuplicatePolicy", fields{"CidrBlock": "203.0.113.66"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			c.want(try.want, "vpc", "CreateSecurityGroupPolicies", ingress(sg, nil, with(one, try.change)))
		})
	}
	c.t = t
	c.want("InvalidParameter.Coexist", "vpc", "CreateSecurityGroupPolicies", ingress(sg, fields{"Egress": []fields{one}}, one))
	c.want("InvalidParameterValue.Empty", "vpc", "CreateSecurityGroupPolicies", ingress(sg, nil))
	c.want("InvalidParameterValue", "vpc", "CreateSecurityGroupPolicies", ingress(sg, nil, with(one, fields{"PolicyIndex": 0}), with(drop("192.0.2.2", ""), fields{"PolicyIndex": 1})))
	c.want("UnsupportedOperation.DuplicatePolicy", "vpc", "CreateSecurityGroupPolicies", ingress(sg, nil, one, with(one, fields{"PolicyDescription": "again"})))
	c.want("LimitExceeded.SecurityGroupPolicySet", "vpc", "CreateSecurityGroupPolicies", ingress(sg, nil, one, drop("192.0.2.2", ""), drop("192.0.2.3", "")))
	c.want("ResourceNotFound", "vpc", "CreateSecurityGroupPolicies", ingress("sg-aaaaaaaa", nil, one))
	c.want("InvalidParameterValue.Malformed", "vpc", "CreateSecurityGroupPolicies", ingress("web", nil, one))
	c.want("MissingParameter", "vpc", "CreateSecurityGroupPolicies", fields{"SecurityGroupId": sg})
	if got, version := c.policies(sg); len(got) != 4 || version != "3" {
		t.Errorf("%v in version %s", got, version)
	}
	for _, fine := range []fields{
		{"CidrBlock": nil, "AddressTemplate": fields{"AddressId": tpl}},
		{"CidrBlock": "0.0.0.0/4", "Protocol": "udp", "Port": "1-2,7", "Action": "ACCEPT"},
	} {
		c.must("vpc", "CreateSecurityGroupPolicies", ingress(sg, nil, with(one, fine)))
	}
	out := c.must("vpc", "DescribeSecurityGroupPolicies", fields{"SecurityGroupId": sg, "Filters": []fields{{"Name": "address-module", "Values": []string{tpl}}}})
	if got := get[float64](t, out, "SecurityGroupPolicySet", "Ingress", 0, "PolicyIndex"); got != 4 {
		t.Errorf("the filtered policy has index %v", got)
	}
	if got := get[string](t, out, "SecurityGroupPolicySet", "Ingress", 0, "Port"); got != "ALL" {
		t.Errorf("the port reads back as %q", got)
	}
	all, _ := c.Tencent.Policies(sg)
	if got := all[5].CidrBlock; got != "0.0.0.0/0" {
		t.Errorf("0.0.0.0/4 is %s", got)
	}
}

func TestPoliciesAreDeletedByPlaceOrByWhatTheySay(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{})
	sg := c.SeedSecurityGroup(tcRegion, "web")
	c.must("vpc", "CreateSecurityGroupPolicies", ingress(sg, nil, with(drop("192.0.2.1", "one"), fields{"PolicyIndex": 0})))
	c.want("InvalidParameterValue.Range", "vpc", "DeleteSecurityGroupPolicies", ingress(sg, nil, fields{"PolicyIndex": 5}))
	c.want("InvalidParameter.Coexist", "vpc", "DeleteSecurityGroupPolicies", ingress(sg, nil, fields{"PolicyIndex": 0}, drop("192.0.2.1", "")))
	c.want("ResourceNotFound", "vpc", "DeleteSecurityGroupPolicies", ingress(sg, nil, drop("192.0.2.9", "")))
	c.must("vpc", "DeleteSecurityGroupPolicies", ingress(sg, nil, drop("192.0.2.1", "another description")))
	got, version := c.policies(sg)
	same(t, "by what it says", got, []string{"office ssh", "the guest of last May", "web", "web"})
	// What a place holds is not asked: a stale one deletes another's policy.
	c.must("vpc", "DeleteSecurityGroupPolicies", ingress(sg, fields{"Version": version}, with(drop("192.0.2.1", "one"), fields{"PolicyIndex": 1}), fields{"PolicyIndex": 3}))
	got, _ = c.policies(sg)
	same(t, "by place", got, []string{"office ssh", "web"})
}

func TestReplaceAndModifyOverwrite(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{})
	sg := c.SeedSecurityGroup(tcRegion, "web")
	c.must("vpc", "ReplaceSecurityGroupPolicies", ingress(sg, fields{"Version": "3"}, with(drop("192.0.2.1", "one"), fields{"PolicyIndex": 0})))
	got, _ := c.policies(sg)
	same(t, "replaced", got, []string{"one", "the guest of last May", "web", "web"})
	c.want("InvalidParameterValue.Empty", "vpc", "ReplaceSecurityGroupPolicies", ingress(sg, nil, drop("192.0.2.1", "one")))
	c.want("InvalidParameterValue.Range", "vpc", "ReplaceSecurityGroupPolicies", ingress(sg, nil, with(drop("192.0.2.2", ""), fields{"PolicyIndex": 4})))
	c.want("InvalidParameterValue.Invalid", "vpc", "ReplaceSecurityGroupPolicies", with(ingress(sg, nil, with(drop("192.0.2.2", ""), fields{"PolicyIndex": 0})), fields{"UpdateType": "Both"}))
	c.want("UnsupportedOperation.DuplicatePolicy", "vpc", "ReplaceSecurityGroupPolicies", ingress(sg, nil, with(drop("203.0.113.66", ""), fields{"PolicyIndex": 0})))
	c.want("InvalidParameterValue.Empty", "vpc", "ModifySecurityGroupPolicies", ingress(sg, nil, drop("192.0.2.2", "two")))
	c.must("vpc", "ModifySecurityGroupPolicies", ingress(sg, fields{"Egress": []fields{drop("192.0.2.2", "two")}}, drop("192.0.2.2", "two")))
	got, version := c.policies(sg)
	same(t, "reset", got, []string{"two"})
	if version != "5" {
		t.Errorf("version %s", version)
	}
	c.must("vpc", "ModifySecurityGroupPolicies", ingress(sg, fields{"Version": "0"}))
	if got, _ := c.policies(sg); got != nil {
		t.Errorf("version 0 left %v", got)
	}
}

func TestSecurityGroupsAreListedPageByPage(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{Policies: 7, Expanded: 8})
	for i := range 23 {
		c.SeedSecurityGroup(tcRegion, fmt.Sprint("g", i))
	}
	c.SeedSecurityGroup("ap-singapore", "elsewhere")
	seen := map[string]bool{}
	for _, page := range []fields{{}, {"Offset": "20", "Limit": "20"}} {
		out := c.must("vpc", "DescribeSecurityGroups", page)
		if get[float64](t, out, "TotalCount") != 23 {
			t.Errorf("total %v", out["TotalCount"])
		}
		for _, g := range get[[]any](t, out, "SecurityGroupSet") {
			seen[get[string](t, g.(map[string]any), "SecurityGroupName")] = true
		}
	}
	if len(seen) != 23 || seen["elsewhere"] {
		t.Errorf("saw %d", len(seen))
	}
	out := c.must("vpc", "DescribeSecurityGroups", fields{"Filters": []fields{{"Name": "security-group-name", "Values": []string{"g7"}}}})
	id := get[string](t, out, "SecurityGroupSet", 0, "SecurityGroupId")
	c.must("vpc", "DescribeSecurityGroups", fields{"SecurityGroupIds": []string{id}})
	c.want("InvalidParameter.Coexist", "vpc", "DescribeSecurityGroups", fields{"SecurityGroupIds": []string{id}, "Filters": []fields{{"Name": "project-id", "Values": []string{"0"}}}})
	c.want("ResourceNotFound", "vpc", "DescribeSecurityGroups", fields{"SecurityGroupIds": []string{"sg-aaaaaaaa"}})
	limits := c.must("vpc", "DescribeSecurityGroupLimits", nil)
	if get[float64](t, limits, "SecurityGroupLimitSet", "SecurityGroupPolicyLimit") != 7 || get[float64](t, limits, "SecurityGroupLimitSet", "SecurityGroupExtendedPolicyLimit") != 8 {
		t.Errorf("limits %v", limits)
	}
}
