package waftest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func bookOf(name, kind, list string) map[string]any {
	return map[string]any{"GroupName": name, "GroupType": kind, "Description": "tracewall " + name, "AddressList": list}
}

func dropping(book string, version, order int) map[string]any {
	all := map[int]string{4: "0.0.0.0/0", 6: "::/0"}[version]
	return map[string]any{
		"AclAction": "drop", "Description": "tracewall " + book, "Direction": "in", "IpVersion": version, "NewOrder": order,
		"Source": book, "SourceType": "group", "Destination": all, "DestinationType": "net", "Proto": "ANY",
		"ApplicationNameList": []string{"ANY"}, "DestPort": "0/0", "DestPortType": "port", "Release": "true",
	}
}

func TestCloudFirewallDropsWhatABookHolds(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{Form: waftest.WithBits})
	four := text(a.must("AddAddressBook", bookOf("tracewall-4", "ip", "192.0.2.1 till tonight,198.51.100.0/24"))["GroupUuid"])
	a.must("AddAddressBook", bookOf("tracewall-6", "ipv6", "2001:db8::1"))
	a.enforces("")
	a.must("AddControlPolicy", dropping("tracewall-6", 6, 1))
	acl := text(a.must("AddControlPolicy", dropping("tracewall-4", 4, 1))["AclUuid"])
	a.enforces("192.0.2.1/32 198.51.100.0/24 2001:db8::1/128", waftest.ByCloudFirewall)

	modify := func(mode, list string) {
		t.Helper()
		params := bookOf("tracewall-4", "", list)
		delete(params, "GroupType")
		params["GroupUuid"] = four
		if mode != "" {
			params["ModifyMode"] = mode
		}
		a.must("ModifyAddressBook", params)
	}
	modify("Append", "192.0.2.2,192.0.2.1")
	a.enforces("192.0.2.1/32 192.0.2.2/32 198.51.100.0/24 2001:db8::1/128")
	modify("Delete", "198.51.100.0/24,203.0.113.1")
	a.enforces("192.0.2.1/32 192.0.2.2/32 2001:db8::1/128")
	modify("", "192.0.2.9")
	a.enforces("192.0.2.9/32 2001:db8::1/128")

	book := a.must("DescribeAddressBook", map[string]any{"Query": "tracewall-4"})["Acls"].([]any)[0].(map[string]any)
	if got := fmt.Sprintf("%v %v %v %t", book["AddressList"], book["AddressListCount"], book["ReferenceCount"], book["GroupUuid"] == four); got != "[192.0.2.9/32] 1 1 true" {
		t.Errorf("book %s", got)
	}
	if _, code := a.waf("DeleteAddressBook", map[string]any{"GroupUuid": four}); code != "ErrorAddressGroupReference" {
		t.Errorf("code %q, want ErrorAddressGroupReference", code)
	}
	for _, narrowed := range []map[string]any{{"Release": "false"}, {"Release": "true", "Destination": "198.51.100.7/32"}} {
		narrowed["AclUuid"] = acl
		a.must("ModifyControlPolicy", narrowed)
		a.enforces("2001:db8::1/128")
	}
	a.must("ModifyControlPolicy", map[string]any{"AclUuid": acl, "Destination": "0.0.0.0/0"})
	a.enforces("192.0.2.9/32 2001:db8::1/128")
	a.must("ModifyControlPolicy", map[string]any{"AclUuid": acl, "AclAction": "log"})
	a.enforces("2001:db8::1/128")
	if got := spelling(a.Observed()); got != "192.0.2.9/32" {
		t.Errorf("observed %q", got)
	}
	a.must("DeleteControlPolicy", map[string]any{"AclUuid": acl, "Direction": "in"})
	a.must("DeleteAddressBook", map[string]any{"GroupUuid": four})
	a.enforces("2001:db8::1/128")
}

func TestCloudFirewallListsOneFamilyAtATime(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{})
	for i := range 12 {
		if _, err := a.SeedCloudBook(waftest.AlibabaBook{Name: fmt.Sprintf("b-%02d", i), Addresses: []string{"192.0.2.1"}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.SeedCloudBook(waftest.AlibabaBook{Name: "six", Kind: "ipv6", Addresses: []string{"2001:db8::1"}}); err != nil {
		t.Fatal(err)
	}
	a.SeedPolicy(waftest.AlibabaPolicy{Description: "office", Action: "accept", Source: "192.0.2.0/24"})
	a.SeedPolicy(waftest.AlibabaPolicy{Description: "six", Action: "drop", Version: 6, Source: "six", Group: true})
	for _, tc := range []struct {
		action string
		params map[string]any
		want   string // in all, and on the page
	}{
		{"DescribeAddressBook", nil, "12 10"},
		{"DescribeAddressBook", map[string]any{"CurrentPage": 2}, "12 2"},
		{"DescribeAddressBook", map[string]any{"GroupType": "ip", "PageSize": 50}, "12 12"},
		{"DescribeAddressBook", map[string]any{"GroupType": "ipv6"}, "1 1"},
		{"DescribeControlPolicy", map[string]any{"CurrentPage": 1, "PageSize": 10}, "1 1"},
		{"DescribeControlPolicy", map[string]any{"CurrentPage": 1, "PageSize": 10, "Direction": "in", "IpVersion": 6}, "1 1"},
		{"DescribeControlPolicy", map[string]any{"CurrentPage": 1, "PageSize": 10, "Direction": "out"}, "0 0"},
		{"DescribeControlPolicy", map[string]any{"CurrentPage": 1, "PageSize": 10, "Description": "shop"}, "0 0"},
	} {
		answer := a.must(tc.action, tc.params)
		list, _ := answer["Acls"].([]any)
		if policies, ok := answer["Policys"].([]any); ok {
			list = policies
		}
		if got := fmt.Sprint(answer["TotalCount"], " ", len(list)); got != tc.want {
			t.Errorf("%s %v: %s, want %s", tc.action, tc.params, got, tc.want)
		}
	}
}

func TestPoliciesStandInOrder(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{})
	a.SeedPolicy(waftest.AlibabaPolicy{Description: "office", Action: "accept", Source: "192.0.2.0/24"})
	last := a.SeedPolicy(waftest.AlibabaPolicy{Description: "rest", Action: "drop", Source: "198.51.100.0/24"})
	a.must("AddAddressBook", bookOf("tracewall-4", "ip", "192.0.2.1"))
	order := func(want string) {
		t.Helper()
		var got []string
		for _, p := range a.Policies("in", 4) {
			got = append(got, p.Description)
		}
		if strings.Join(got, ",") != want {
			t.Errorf("order %v, want %s", got, want)
		}
	}
	foreign := a.Foreign()
	a.must("AddControlPolicy", dropping("tracewall-4", 4, 1))
	order("tracewall tracewall-4,office,rest")
	if a.Foreign() != foreign {
		t.Errorf("a policy of ours changed what is foreign:\n%s", a.Foreign())
	}
	a.must("ModifyControlPolicyPriority", map[string]any{"AclUuid": last, "Order": 1})
	order("rest,tracewall tracewall-4,office")
	a.must("AddControlPolicy", having(dropping("tracewall-4", 4, -1), "Description", "tracewall end"))
	order("rest,tracewall tracewall-4,office,tracewall end")
	if said := a.Spared(); len(said) != 1 || said[0] != "policy office accepts 192.0.2.0/24 before policy tracewall end drops tracewall-4" {
		t.Errorf("spared %q", said)
	}
	if got := a.must("DescribePolicyPriorUsed", map[string]any{"Direction": "in", "IpVersion": 4}); text(got["Start"])+" "+text(got["End"]) != "1 4" {
		t.Errorf("priorities %v", got)
	}
}

func TestCloudFirewallRefuses(t *testing.T) {
	list, apps := strings.Join(dozens(6), ","), []string{"HTTP", "HTTPS", "SSH", "RDP"}
	change := func(mode, list string) map[string]any {
		return map[string]any{"GroupUuid": "four", "GroupName": "tracewall-4", "Description": "x", "ModifyMode": mode, "AddressList": list}
	}
	for _, tc := range []struct {
		name, action string
		params       map[string]any
		want         string
	}{
		{"a book without addresses", "AddAddressBook", having(bookOf("b", "ip", ""), "AddressList", nil), "MissingAddressList"},
		{"a book without a description", "AddAddressBook", having(bookOf("b", "ip", "192.0.2.1"), "Description", nil), "MissingDescription"},
		{"a description that is too long", "AddAddressBook", having(bookOf("b", "ip", "192.0.2.1"), "Description", strings.Repeat("x", 257)), "InvalidParameter.Description"},
		{"a name with a blank", "AddAddressBook", bookOf("trace wall", "ip", "192.0.2.1"), "InvalidParameter.GroupName"},
		{"a name that is there", "AddAddressBook", bookOf("tracewall-4", "ip", "192.0.2.1"), "ErrorAddressGroupExist"},
		{"a kind that is none", "AddAddressBook", bookOf("b", "ipv4", "192.0.2.1"), "InvalidParameter.GroupType"},
		{"IPv6 in an IPv4 book", "AddAddressBook", bookOf("b", "ip", "192.0.2.1,2001:db8::1"), "ErrorParametersAddressList"},
		{"host bits", "AddAddressBook", bookOf("b", "ip", "192.0.2.1/24"), "ErrorParametersAddressList"},
		{"too many addresses", "AddAddressBook", bookOf("b", "ip", list), "ErrorAddressCountExceed"},
		{"a book too many", "AddAddressBook", bookOf("b", "ip", "192.0.2.1"), "ErrorAddressGroupCountExceed"},
		{"a change without the name", "ModifyAddressBook", having(change("Append", "192.0.2.2"), "GroupName", nil), "MissingGroupName"},
		{"a mode that is none", "ModifyAddressBook", change("Add", "192.0.2.2"), "InvalidParameter.ModifyMode"},
		{"more than a book holds", "ModifyAddressBook", change("Append", strings.Join(dozens(5), ",")), "ErrorAddressCountExceed"},
		{"more than the policies may take", "ModifyAddressBook", change("Append", strings.Join(dozens(4), ",")), "ErrorAclExtendedCountExceed"},
		{"too many to take out in one call", "ModifyAddressBook", change("Delete", strings.Join(dozens(7), ",")), "ErrorAddressCountExceed"},
		{"the last address taken out", "ModifyAddressBook", change("Delete", "192.0.2.1"), "ErrorParametersAddressList"},
		{"a book that there is not", "ModifyAddressBook", having(change("Append", "192.0.2.2"), "GroupUuid", "x"), "ErrorAddressGroupNotExist"},
		{"a policy that takes more than is left", "AddControlPolicy", having(having(dropping("tracewall-4", 4, 1), "Proto", "TCP"), "ApplicationNameList", apps), "ErrorAclExtendedCountExceed"},
		{"a change of a policy that takes more than is left", "ModifyControlPolicy", map[string]any{"AclUuid": "acl", "Proto": "TCP", "ApplicationNameList": append(apps, "FTP")}, "ErrorAclExtendedCountExceed"},
		{"a policy on a book that there is not", "AddControlPolicy", dropping("x", 4, 1), "ErrorAddressGroupNotExist"},
		{"a policy of the other family", "AddControlPolicy", dropping("tracewall-4", 6, 1), "ErrorParametersSource"},
		{"a place that there is not", "AddControlPolicy", dropping("tracewall-4", 4, 3), "InvalidParameter.NewOrder"},
		{"no place", "AddControlPolicy", having(dropping("tracewall-4", 4, 1), "NewOrder", nil), "MissingNewOrder"},
		{"an action that there is not", "AddControlPolicy", having(dropping("tracewall-4", 4, 1), "AclAction", "deny"), "ErrorParametersAction"},
		{"another protocol", "AddControlPolicy", having(dropping("tracewall-4", 4, 1), "Proto", "SCTP"), "ErrorParametersProto"},
		{"another direction", "AddControlPolicy", having(dropping("tracewall-4", 4, 1), "Direction", "both"), "ErrorParametersDirection"},
		{"another IP version", "AddControlPolicy", having(dropping("tracewall-4", 4, 1), "IpVersion", 5), "ErrorParameterIpVersion"},
		{"a destination that is none", "AddControlPolicy", having(dropping("tracewall-4", 4, 1), "Destination", "all"), "ErrorParametersDestination"},
		{"no application", "AddControlPolicy", having(dropping("tracewall-4", 4, 1), "ApplicationNameList", nil), "ErrorParametersApplicationName"},
		{"a policy that there is not", "DeleteControlPolicy", map[string]any{"AclUuid": "x"}, "ErrorAclNotExist"},
		{"a listing without pages", "DescribeControlPolicy", map[string]any{"Direction": "in"}, "MissingCurrentPage"},
		{"a page that is too long", "DescribeAddressBook", map[string]any{"PageSize": 51}, "InvalidParameter.PageSize"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			books := 2
			if strings.HasSuffix(tc.name, "too many") {
				books = 1
			}
			a := startAli(t, waftest.AlibabaOptions{NoEmptyBooks: true, Quotas: waftest.AlibabaQuotas{CloudAddresses: 5, CloudBatch: 6, CloudSpread: 4, CloudBooks: books}})
			uuid, err := a.SeedCloudBook(waftest.AlibabaBook{Name: "tracewall-4", Description: "theirs", Addresses: []string{"192.0.2.1"}})
			if err != nil {
				t.Fatal(err)
			}
			acl := a.SeedPolicy(waftest.AlibabaPolicy{Description: "theirs", Action: "drop", Source: "tracewall-4", Group: true})
			params := map[string]any{}
			for name, value := range tc.params {
				switch value {
				case "four":
					value = uuid
				case "acl":
					value = acl
				}
				params[name] = value
			}
			before := a.Foreign()
			if _, code := a.waf(tc.action, params); code != tc.want {
				t.Errorf("code %q, want %q", code, tc.want)
			}
			if a.Foreign() != before || len(a.CloudBooks()) != 1 {
				t.Errorf("a call that was refused changed something:\n%s", a.Foreign())
			}
		})
	}
}

func TestAnAccountWithoutCloudFirewall(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{NoCloudFirewall: true})
	if _, code := a.waf("DescribeAddressBook", nil); code != "InvalidApi.NotPurchase" {
		t.Errorf("code %q, want InvalidApi.NotPurchase", code)
	}
}
