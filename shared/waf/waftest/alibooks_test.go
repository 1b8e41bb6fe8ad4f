package waftest_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// listed reads a whole address book, page by page.
func (a *ali) listed(book string, most int) (all []string, pages int) {
	a.t.Helper()
	next := ""
	for {
		params := map[string]any{"RuleId": book, "MaxResults": most, "RegionId": "cn-hangzhou"}
		if next != "" {
			params["NextToken"] = next
		}
		answer := a.must("DescribeAddresses", params)
		pages++
		for _, entry := range answer["AddressList"].([]any) {
			all = append(all, entry.(map[string]any)["Address"].(string))
		}
		token, ok := answer["NextToken"].(string)
		if !ok {
			return all, pages
		}
		next = token
	}
}

func dozens(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("198.18.%d.%d", i>>8, i&255)
	}
	return list
}

func TestAnAddressBookGrowsAndShrinks(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{Batch: 100}})
	a.SeedObjects("shop")
	book, _, _ := a.book("tracewall-a")
	list := dozens(250)
	for i := 0; i < len(list); i += 50 {
		a.must("AddAddress", map[string]any{"RuleId": book, "AddressList": list[i : i+50]})
	}
	a.must("AddAddress", map[string]any{"RuleId": book, "AddressList": list[:3]}) // there already
	got, pages := a.listed(book, 100)
	if diff := cmp.Diff(list, got); diff != "" || pages != 3 {
		t.Errorf("%d pages (-want +got):\n%s", pages, diff)
	}
	a.must("DeleteAddress", map[string]any{"RuleId": book, "AddressList": append(list[1:100:100], "203.0.113.9")}) // one is not there
	if got, _ := a.listed(book, 500); len(got) != 151 || got[0] != list[0] || got[1] != list[100] {
		t.Errorf("%d left, %v first", len(got), got[:2])
	}
	answer := a.must("DescribeAddresses", map[string]any{"RuleId": book, "AddressLike": "18.0.24"})
	if got := text(answer["TotalCount"]); got != "10" {
		t.Errorf("%s like 18.0.24, want 10", got)
	}
	a.must("ClearAddress", map[string]any{"RuleId": book})
	a.enforces("")
}

func TestAPageIsNotLostWhenTheBookChanges(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{})
	book, _, _ := a.book("tracewall-a")
	a.must("AddAddress", map[string]any{"RuleId": book, "AddressList": []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}})
	first := a.must("DescribeAddresses", map[string]any{"RuleId": book, "MaxResults": 2})
	a.must("DeleteAddress", map[string]any{"RuleId": book, "AddressList": []string{"192.0.2.1"}})
	second := a.must("DescribeAddresses", map[string]any{"RuleId": book, "MaxResults": 2, "NextToken": first["NextToken"]})
	list := second["AddressList"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["Address"] != "192.0.2.3" {
		t.Errorf("second page %v, want 192.0.2.3", list)
	}
}

func TestAddressBooksRefuse(t *testing.T) {
	clock := newAliClock()
	opts := waftest.AlibabaOptions{
		Now: clock.now, BookPause: time.Second, Quotas: waftest.AlibabaQuotas{Batch: 4, BookAddresses: 5},
		Refuse: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	}
	add := func(list ...string) map[string]any { return map[string]any{"RuleId": "", "AddressList": list} }
	for _, tc := range []struct {
		name, action string
		params       map[string]any
		edit         func(*ali)
		want         string
	}{
		{"no address", "AddAddress", map[string]any{"RuleId": ""}, nil, "MissingAddressList"},
		{"no address to strike out", "DeleteAddress", map[string]any{"RuleId": ""}, nil, "MissingAddressList"},
		{"what is no address", "AddAddress", add("192.0.2.1", "shop"), nil, "Defense.Control.DefenseAddressInvalid"},
		{"a zone", "AddAddress", add("fe80::1%eth0"), nil, "Defense.Control.DefenseAddressInvalid"},
		{"IPv4 in IPv6", "AddAddress", add("::ffff:192.0.2.1"), nil, "Defense.Control.DefenseAddressInvalid"},
		{"everybody", "AddAddress", add("::/0"), nil, "Defense.Control.DefenseAddressInvalid"},
		{"host bits", "AddAddress", add("192.0.2.1/24"), nil, "Defense.Control.DefenseAddressInvalid"},
		{"an address that the service does not want", "AddAddress", add("10.1.2.3"), nil, "Defense.Control.DefenseAddressInvalid"},
		{"too many in one call", "AddAddress", add(dozens(5)...), nil, "Defense.Control.DefenseAddressOversize"},
		{"too many to strike out", "DeleteAddress", add(dozens(5)...), nil, "Defense.Control.DefenseAddressOversize"},
		{"more than all books may hold", "AddAddress", add("192.0.2.4", "192.0.2.5", "192.0.2.6"), nil, "Defense.Control.DefenseAddressOversize"},
		{"a second change at once", "AddAddress", add("192.0.2.4"), func(*ali) { clock.move(-500 * time.Millisecond) }, "Defense.Control.DefenseAddressOperationTooFrequent"},
		{"a book that is none", "AddAddress", map[string]any{"RuleId": 7, "AddressList": []string{"192.0.2.4"}}, nil, "Defense.Control.DefenseRuleNotExist"},
		{"a listing that is longer than a page may be", "DescribeAddresses", map[string]any{"RuleId": "", "MaxResults": 501}, nil, "InvalidParameter.MaxResults"},
		{"a token of another listing", "DescribeAddresses", map[string]any{"RuleId": "", "NextToken": "AAAA"}, nil, "InvalidParameter.NextToken"},
		{"a book that a rule refers to", "DeleteDefenseRule", map[string]any{"RuleIds": "", "DefenseType": "global"}, nil, "Defense.Control.DefenseAddressBookInUse"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := startAli(t, opts)
			a.SeedObjects("shop")
			book, _, _ := a.book("tracewall-a")
			a.must("AddAddress", map[string]any{"RuleId": book, "AddressList": []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}})
			clock.move(time.Second)
			params := map[string]any{}
			for name, value := range tc.params {
				if value == "" {
					value = book
				}
				params[name] = value
			}
			if tc.edit != nil {
				tc.edit(a)
			}
			if _, code := a.waf(tc.action, params); code != tc.want {
				t.Errorf("code %q, want %q", code, tc.want)
			}
			a.enforces("192.0.2.1/32 192.0.2.2/32 192.0.2.3/32")
		})
	}
}

func TestPedanticBooksRefuseWhatIsThereAndWhatIsNot(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{Pedantic: true})
	book, _, _ := a.book("tracewall-a")
	a.must("AddAddress", map[string]any{"RuleId": book, "AddressList": []string{"192.0.2.1"}})
	for action, list := range map[string][]string{"AddAddress": {"192.0.2.2", "192.0.2.1/32"}, "DeleteAddress": {"192.0.2.1", "192.0.2.2"}} {
		if _, code := a.waf(action, map[string]any{"RuleId": book, "AddressList": list}); code != "Defense.Control.DefenseAddressInvalid" {
			t.Errorf("%s: code %q", action, code)
		}
	}
	if got, _ := a.listed(book, 10); len(got) != 1 {
		t.Errorf("book holds %v, want what it held", got)
	}
}

func TestAddressesAreReadBackInAnotherForm(t *testing.T) {
	sent := []string{"192.0.2.4", "192.0.2.8/32", "198.51.100.0/24", "2001:db8::1", "2001:db8:a::/48"}
	for _, tc := range []struct {
		form waftest.AddressForm
		want string
	}{
		{waftest.AsWritten, "192.0.2.4 192.0.2.8/32 198.51.100.0/24 2001:db8::1 2001:db8:a::/48"},
		{waftest.WithBits, "192.0.2.4/32 192.0.2.8/32 198.51.100.0/24 2001:db8::1/128 2001:db8:a::/48"},
		{waftest.WithoutBits, "192.0.2.4 192.0.2.8 198.51.100.0/24 2001:db8::1 2001:db8:a::/48"},
		{waftest.LongUpper, "192.0.2.4/32 192.0.2.8/32 198.51.100.0/24 2001:0DB8:0000:0000:0000:0000:0000:0001/128 2001:0DB8:000A:0000:0000:0000:0000:0000/48"},
	} {
		a := startAli(t, waftest.AlibabaOptions{Form: tc.form, HostBits: true})
		book, _, _ := a.book("tracewall-a")
		a.must("AddAddress", map[string]any{"RuleId": book, "AddressList": sent})
		got, _ := a.listed(book, 100)
		if strings.Join(got, " ") != tc.want {
			t.Errorf("form %d: %v, want %s", tc.form, got, tc.want)
		}
		a.must("DeleteAddress", map[string]any{"RuleId": book, "AddressList": got}) // in whatever form
		a.must("AddAddress", map[string]any{"RuleId": book, "AddressList": []string{"203.0.113.7/24"}})
		if got, _ := a.listed(book, 100); len(got) != 1 || tc.form == waftest.AsWritten && got[0] != "203.0.113.7/24" {
			t.Errorf("form %d: %v, want one prefix with host bits", tc.form, got)
		}
	}
}

func TestAnEditionWithoutAddressBooks(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{NoAddressBooks: true})
	book := rules(t, map[string]any{"name": "tracewall-a", "valueType": "ip"})
	for action, params := range map[string]map[string]any{
		"CreateDefenseRule":    {"DefenseScene": "address_book", "DefenseType": "global", "Rules": book},
		"DescribeDefenseRules": {"DefenseType": "global", "Query": `{"scene":"address_book"}`},
		"AddAddress":           {"RuleId": 1, "AddressList": []string{"192.0.2.1"}},
		"DescribeAddresses":    {"RuleId": 1},
	} {
		if _, code := a.waf(action, params); code != "ComboError" {
			t.Errorf("%s: code %q, want ComboError", action, code)
		}
	}
	a.template("ip_blacklist", "tracewall-a", "user_default") // the rest of it works
}
