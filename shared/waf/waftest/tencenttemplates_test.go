package waftest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// addresses returns n addresses from the k-th hundred.
func addresses(k, n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("192.0.%d.%d", k, i))
	}
	return list
}

// template makes one and returns its id.
func (c *tcloud) template(name string, list ...string) string {
	c.t.Helper()
	return get[string](c.t, c.must("vpc", "CreateAddressTemplate", fields{"AddressTemplateName": name, "Addresses": list}), "AddressTemplate", "AddressTemplateId")
}

func (c *tcloud) templateGroup(name string, ids ...string) string {
	c.t.Helper()
	return get[string](c.t, c.must("vpc", "CreateAddressTemplateGroup", fields{"AddressTemplateGroupName": name, "AddressTemplateIds": ids}), "AddressTemplateGroup", "AddressTemplateGroupId")
}

func members(list ...string) (all []fields) {
	for _, one := range list {
		all = append(all, fields{"Member": one, "Description": "d"})
	}
	return all
}

func TestATemplateHoldsTwentyAddresses(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{Refuse: prefixes("198.18.0.0/15")})
	for name, try := range map[string]struct {
		want string
		in   fields
	}{
		"no name":               {"InvalidParameterValue.Empty", fields{"Addresses": addresses(2, 1)}},
		"a long name":           {"InvalidParameterValue.TooLong", fields{"AddressTemplateName": strings.Repeat("é", 61), "Addresses": addresses(2, 1)}},
		"no addresses":          {"InvalidParameterValue.Empty", fields{"AddressTemplateName": "a"}},
		"an empty list":         {"InvalidParameterValue.Empty", fields{"AddressTemplateName": "a", "Addresses": []string{}}},
		"both lists":            {"InvalidParameter.Coexist", fields{"AddressTemplateName": "a", "Addresses": addresses(2, 1), "AddressesExtra": []fields{{"Address": "192.0.2.9"}}}},
		"a long description":    {"InvalidParameterValue.TooLong", fields{"AddressTemplateName": "a", "AddressesExtra": []fields{{"Address": "192.0.2.1", "Description": strings.Repeat("é", 101)}}}},
		"twenty-one":            {"LimitExceeded", fields{"AddressTemplateName": "a", "Addresses": addresses(2, 21)}},
		"twice":                 {"InvalidParameterValue.Duplicate", fields{"AddressTemplateName": "a", "Addresses": []string{"192.0.2.1", "192.0.2.1/32"}}},
		"host bits":             {"InvalidParameterValue.Malformed", fields{"AddressTemplateName": "a", "Addresses": []string{"192.0.2.1/24"}}},
		"a range that is none":  {"InvalidParameterValue.Malformed", fields{"AddressTemplateName": "a", "Addresses": []string{"192.0.2.9-192.0.2.1"}}},
		"a name":                {"InvalidParameterValue.Malformed", fields{"AddressTemplateName": "a", "Addresses": []string{"localhost"}}},
		"what it will not take": {"InvalidParameterValue", fields{"AddressTemplateName": "a", "Addresses": []string{"192.0.2.1", "198.19.0.0/24"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c.t = t
			c.want(try.want, "vpc", "CreateAddressTemplate", try.in)
		})
	}
	c.t = t
	if got := c.Templates(tcRegion); len(got) != 0 {
		t.Errorf("made %v", got)
	}
	c.template("full", addresses(2, 20)...)
	c.template("full", "2001:db8::/32", "192.0.2.1-192.0.2.9") // a name may be there twice
}

func TestTheWholeTemplateIsReplaced(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{})
	id := c.template("a", addresses(2, 3)...)
	modify := func(want string, in fields) {
		t.Helper()
		c.want(want, "vpc", "ModifyAddressTemplateAttribute", with(fields{"AddressTemplateId": id}, in))
	}
	modify("", fields{"Addresses": addresses(3, 2)})
	same(t, "replaced", c.Templates(tcRegion), map[string][]string{"a": addresses(3, 2)})
	modify("", fields{"AddressTemplateName": "b"})
	same(t, "renamed", c.Templates(tcRegion), map[string][]string{"b": addresses(3, 2)})
	modify("InvalidParameterValue.Empty", fields{"Addresses": []string{}})
	modify("InvalidParameterValue.Empty", fields{"AddressTemplateName": "", "Addresses": addresses(4, 1)})
	modify("LimitExceeded", fields{"AddressTemplateName": "c", "Addresses": addresses(4, 21)})
	modify("ResourceNotFound", fields{"AddressTemplateId": "ipm-aaaaaaaa", "Addresses": addresses(4, 1)})
	modify("InvalidParameterValue.Malformed", fields{"AddressTemplateId": "ipmg-aaaaaaa", "Addresses": addresses(4, 1)})
	same(t, "refused whole", c.Templates(tcRegion), map[string][]string{"b": addresses(3, 2)})
}

func TestMembersComeAndGo(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{})
	id := c.template("a", addresses(2, 18)...)
	add := func(want string, list ...string) {
		t.Helper()
		c.want(want, "vpc", "AddTemplateMember", fields{"TemplateId": id, "TemplateMember": members(list...)})
	}
	remove := func(want string, list ...string) {
		t.Helper()
		c.want(want, "vpc", "DeleteTemplateMember", fields{"TemplateId": id, "TemplateMember": members(list...)})
	}
	add("InvalidParameterValue.Duplicate", "192.0.3.1", "192.0.2.1")
	add("LimitExceeded", addresses(3, 3)...)
	add("MissingParameter")
	add("", addresses(3, 2)...)
	remove("InvalidParameterValue", "192.0.2.1", "192.0.9.1")
	remove("MissingParameter")
	same(t, "in between", c.Templates(tcRegion)["a"], slices.Concat(addresses(2, 18), addresses(3, 2)))
	remove("", append(addresses(2, 18), "192.0.3.0/32")...)
	same(t, "the last", c.Templates(tcRegion)["a"], []string{"192.0.3.1"})
	remove("InvalidParameterValue.Empty", "192.0.3.1")

	other := c.template("b", "192.0.4.1")
	group := c.templateGroup("g", id)
	c.must("vpc", "AddTemplateMember", fields{"TemplateId": group, "TemplateMember": members(other)})
	c.want("InvalidParameterValue.Duplicate", "vpc", "AddTemplateMember", fields{"TemplateId": group, "TemplateMember": members(other)})
	c.want("ResourceNotFound", "vpc", "AddTemplateMember", fields{"TemplateId": group, "TemplateMember": members("ipm-aaaaaaaa")})
	c.must("vpc", "DeleteTemplateMember", fields{"TemplateId": group, "TemplateMember": members(id)})
	c.want("InvalidParameterValue", "vpc", "DeleteTemplateMember", fields{"TemplateId": group, "TemplateMember": members(id)})
	c.want("InvalidParameterValue", "vpc", "DeleteTemplateMember", fields{"TemplateId": group, "TemplateMember": members(other)}) // would be empty
}

func TestEmptyTemplatesAreTakenWhereTheOptionSaysSo(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{EmptyTemplates: true})
	id := c.template("a", "192.0.2.1")
	group := c.templateGroup("g", id)
	c.must("vpc", "DeleteTemplateMember", fields{"TemplateId": id, "TemplateMember": members("192.0.2.1")})
	c.must("vpc", "DeleteTemplateMember", fields{"TemplateId": group, "TemplateMember": members(id)})
}

func TestAGroupHoldsTwentyTemplates(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{Templates: 22})
	var ids []string
	for i := range 21 {
		ids = append(ids, c.template(fmt.Sprint("t", i), fmt.Sprintf("192.0.2.%d", i)))
	}
	create := func(want string, ids ...string) {
		t.Helper()
		c.want(want, "vpc", "CreateAddressTemplateGroup", fields{"AddressTemplateGroupName": "g", "AddressTemplateIds": ids})
	}
	create("LimitExceeded", ids...)
	create("MissingParameter")
	create("InvalidParameterValue.Duplicate", ids[0], ids[0])
	create("ResourceNotFound", ids[0], "ipm-aaaaaaaa")
	group := c.templateGroup("g", ids[:20]...)
	modify := func(want string, in fields) {
		t.Helper()
		c.want(want, "vpc", "ModifyAddressTemplateGroupAttribute", with(fields{"AddressTemplateGroupId": group}, in))
	}
	modify("LimitExceeded", fields{"AddressTemplateIds": ids})
	modify("InvalidParameterValue", fields{"AddressTemplateIds": []string{}})
	modify("InvalidParameterValue.TooLong", fields{"AddressTemplateGroupName": strings.Repeat("g", 61)})
	modify("", fields{"AddressTemplateGroupName": "h", "AddressTemplateIds": ids[1:]})
	out := c.must("vpc", "DescribeAddressTemplateGroups", fields{"Filters": []fields{{"Name": "address-template-group-name", "Values": []string{"h"}}}})
	if got := get[[]any](t, out, "AddressTemplateGroupSet", 0, "AddressTemplateIdSet"); len(got) != 20 || got[0] != ids[1] {
		t.Errorf("holds %v", got)
	}
	c.template("one more", "192.0.3.1")
	c.want("LimitExceeded", "vpc", "CreateAddressTemplate", fields{"AddressTemplateName": "and one", "Addresses": addresses(4, 1)})
	for i := range 21 { // groups of templates have a quota of their own
		c.templateGroup(fmt.Sprint("g", i), ids[0])
	}
	create("LimitExceeded", ids[0])
	limits := c.must("vpc", "DescribeTemplateLimits", nil)
	if get[float64](t, limits, "TemplateLimit", "AddressTemplateMemberLimit") != 20 || get[float64](t, limits, "TemplateLimit", "AddressTemplateGroupMemberLimit") != 20 {
		t.Errorf("limits %v", limits)
	}
}

func TestWhatIsInUseStays(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{})
	sg := c.SeedSecurityGroup(tcRegion, "web")
	id := c.template("a", "192.0.2.1")
	group := c.templateGroup("g", id)
	c.must("vpc", "CreateSecurityGroupPolicies", ingress(sg, nil, with(drop("", ""), fields{"CidrBlock": nil, "AddressTemplate": fields{"AddressGroupId": group}})))
	c.want("ResourceInUse", "vpc", "DeleteAddressTemplate", fields{"AddressTemplateId": id})
	c.want("ResourceInUse", "vpc", "DeleteAddressTemplateGroup", fields{"AddressTemplateGroupId": group})
	c.must("vpc", "DeleteSecurityGroupPolicies", ingress(sg, nil, fields{"PolicyIndex": 4}))
	c.must("vpc", "DeleteAddressTemplateGroup", fields{"AddressTemplateGroupId": group})
	c.must("vpc", "DeleteAddressTemplate", fields{"AddressTemplateId": id})
	c.want("ResourceNotFound", "vpc", "DeleteAddressTemplate", fields{"AddressTemplateId": id})
}

func TestATaskKeepsChangesWaiting(t *testing.T) {
	now := newClock()
	c := newTencent(t, waftest.TencentOptions{TaskCalls: 2, TaskTime: time.Second, Now: now.now})
	id, other := c.template("a", "192.0.2.1"), c.template("b", "192.0.3.1")
	group := c.templateGroup("g", id)
	modify := func(want, id string) {
		t.Helper()
		c.want(want, "vpc", "ModifyAddressTemplateAttribute", fields{"AddressTemplateId": id, "Addresses": []string{"192.0.2.2"}})
	}
	const busy = "UnsupportedOperation.MutexOperationTaskRunning"
	modify("", id)
	now.advance(2 * time.Second)
	modify(busy, id)
	modify("", other) // another template's task
	c.want(busy, "vpc", "AddTemplateMember", fields{"TemplateId": id, "TemplateMember": members("192.0.2.3")})
	modify("", id) // after two calls
	for range 2 {
		c.want(busy, "vpc", "ModifyAddressTemplateGroupAttribute", fields{"AddressTemplateGroupId": group, "AddressTemplateIds": []string{id, other}})
	}
	for range 3 {
		modify(busy, id) // within the second
	}
	c.want(busy, "vpc", "CreateAddressTemplateGroup", fields{"AddressTemplateGroupName": "h", "AddressTemplateIds": []string{id}})
	c.want(busy, "vpc", "DeleteAddressTemplateGroup", fields{"AddressTemplateGroupId": group})
	now.advance(time.Second)
	modify("", id)
	same(t, "after all", c.Templates(tcRegion), map[string][]string{"a": {"192.0.2.2"}, "b": {"192.0.2.2"}})
}

func TestTemplatesAreReadPageByPageAndInOtherForms(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{Form: waftest.TencentForms["always a prefix"]})
	for i := range 5 {
		c.template(fmt.Sprint("t", i), "192.0.2.1", fmt.Sprintf("198.51.100.%d/32", i))
	}
	names := map[string]bool{}
	for _, offset := range []string{"0", "2", "4", "6"} {
		out := c.must("vpc", "DescribeAddressTemplates", fields{"Offset": offset, "Limit": "2", "NeedMemberInfo": true})
		if get[float64](t, out, "TotalCount") != 5 {
			t.Errorf("total %v", out["TotalCount"])
		}
		for i := range get[[]any](t, out, "AddressTemplateSet") {
			names[get[string](t, out, "AddressTemplateSet", i, "AddressTemplateName")] = true
			if got := get[string](t, out, "AddressTemplateSet", i, "AddressSet", 0); got != "192.0.2.1/32" {
				t.Errorf("reads back as %q", got)
			}
			get[string](t, out, "AddressTemplateSet", i, "AddressExtraSet", 1, "Address")
		}
	}
	if len(names) != 5 {
		t.Errorf("saw %v", names)
	}
	c.region = "ap-singapore"
	if out := c.must("vpc", "DescribeAddressTemplates", nil); get[float64](t, out, "TotalCount") != 0 {
		t.Errorf("another Region has %v", out)
	}
	if out := c.must("vpc", "DescribeAddressTemplates", fields{"Filters": []fields{{"Name": "address-template-id", "Values": []string{"ipm-aaaaaaaa"}}}}); get[float64](t, out, "TotalCount") != 0 {
		t.Errorf("an unknown id finds %v", out)
	}
}

func TestFormsAreReadBackOtherwise(t *testing.T) {
	for form, want := range map[string][3]string{
		"host bits":       {"192.0.2.1", "192.0.2.0/24", "2001:db8::/32"},
		"always a prefix": {"192.0.2.1/32", "192.0.2.0/24", "2001:db8::/32"},
		"expanded":        {"192.0.2.1", "192.0.2.0/24", "2001:0DB8:0000:0000:0000:0000:0000:0000/32"},
	} {
		f := waftest.TencentForms[form]
		if got := [3]string{f("192.0.2.1"), f("192.0.2.0/24"), f("2001:db8::/32")}; got != want {
			t.Errorf("%s: %v, want %v", form, got, want)
		}
	}
}
