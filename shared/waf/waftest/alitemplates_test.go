package waftest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func TestATemplateIsInForceWhereItIsBound(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{})
	a.SeedObjects("shop", "api", "office")
	a.SeedGroup("outside", "shop", "api")
	template := a.template("ip_blacklist", "tracewall-b", "user_custom")
	a.must("CreateDefenseRule", map[string]any{"DefenseScene": "ip_blacklist", "TemplateId": template, "Rules": rules(t, blacklist("tracewall-001", 1, "192.0.2.1"))})
	bind := func(params map[string]any) {
		t.Helper()
		params["TemplateId"] = template
		a.must("ModifyTemplateResources", params)
	}
	on := func(want string) {
		t.Helper()
		var got []string
		for _, object := range []string{"api", "office", "shop"} {
			if len(a.EnforcedOn(object)) > 0 {
				got = append(got, object)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("in force on %v, want %s", got, want)
		}
	}
	on("")
	a.enforces("")
	bind(map[string]any{"BindResources": []string{"shop", "office"}})
	on("office shop")
	a.enforces("192.0.2.1/32")
	bind(map[string]any{"BindResourceGroups": []string{"outside"}, "UnbindResources": []string{"office"}})
	on("api shop")
	listed := a.must("DescribeTemplateResources", map[string]any{"TemplateId": template, "ResourceType": "single"})
	groups := a.must("DescribeTemplateResources", map[string]any{"TemplateId": template, "ResourceType": "group"})
	if fmt.Sprint(listed["Resources"], groups["Resources"]) != "[shop] [outside]" {
		t.Errorf("bound to %v and %v", listed["Resources"], groups["Resources"])
	}
	a.must("ModifyDefenseTemplateStatus", map[string]any{"TemplateId": template, "TemplateStatus": 0})
	on("")
	a.must("ModifyDefenseTemplateStatus", map[string]any{"TemplateId": template, "TemplateStatus": 1})
	a.must("DeleteDefenseTemplate", map[string]any{"TemplateId": template})
	on("")
}

func TestADefaultTemplateIsInForceEverywhere(t *testing.T) {
	for _, yields := range []bool{false, true} {
		t.Run(fmt.Sprintf("yields %t", yields), func(t *testing.T) {
			a := startAli(t, waftest.AlibabaOptions{DefaultYields: yields})
			a.SeedObjects("shop", "api")
			book, template, _ := a.book("tracewall-a")
			a.must("AddAddress", map[string]any{"RuleId": book, "AddressList": []string{"192.0.2.1"}})
			a.SeedObjects("later")
			a.must("ModifyTemplateResources", map[string]any{"TemplateId": template, "UnbindResources": []string{"api"}})
			own := a.template("custom_acl", "shop-own", "user_custom")
			a.must("ModifyTemplateResources", map[string]any{"TemplateId": own, "BindResources": []string{"shop"}})
			want := map[string]int{"shop": 1, "api": 0, "later": 1}
			if yields {
				want["shop"] = 0
			}
			for object, n := range want {
				if got := len(a.EnforcedOn(object)); got != n {
					t.Errorf("%s: %d addresses, want %d", object, got, n)
				}
			}
			a.must("ModifyTemplateResources", map[string]any{"TemplateId": template, "BindResources": []string{"api"}})
			if got := len(a.EnforcedOn("api")); got != 1 {
				t.Errorf("api: %d addresses after it was bound again, want 1", got)
			}
		})
	}
}

func TestTemplatesRefuse(t *testing.T) {
	good := map[string]any{"DefenseScene": "ip_blacklist", "TemplateName": "tracewall-b", "TemplateType": "user_default", "TemplateOrigin": "custom", "TemplateStatus": 1}
	for _, tc := range []struct {
		name, action string
		params       map[string]any
		opts         waftest.AlibabaOptions
		want         string
	}{
		{"a name with a blank", "CreateDefenseTemplate", having(good, "TemplateName", "trace wall"), waftest.AlibabaOptions{}, "Defense.Control.DefenseTemplateNameInvalid"},
		{"a name that is there in the scene", "CreateDefenseTemplate", having(good, "TemplateName", "tracewall-a"), waftest.AlibabaOptions{}, "Defense.Control.DefenseTemplateNameExist"},
		{"a description that is too long", "CreateDefenseTemplate", having(good, "Description", strings.Repeat("x", 256)), waftest.AlibabaOptions{}, "InvalidParameter.Description"},
		{"no status", "CreateDefenseTemplate", having(good, "TemplateStatus", nil), waftest.AlibabaOptions{}, "MissingTemplateStatus"},
		{"another status", "CreateDefenseTemplate", having(good, "TemplateStatus", 2), waftest.AlibabaOptions{}, "InvalidParameter.TemplateStatus"},
		{"another origin", "CreateDefenseTemplate", having(good, "TemplateOrigin", "system"), waftest.AlibabaOptions{}, "InvalidParameter.TemplateOrigin"},
		{"another kind", "CreateDefenseTemplate", having(good, "TemplateType", "default"), waftest.AlibabaOptions{}, "InvalidParameter.TemplateType"},
		{"a scene that has no templates", "CreateDefenseTemplate", having(good, "DefenseScene", "address_book"), waftest.AlibabaOptions{}, "InvalidParameter.DefenseScene"},
		{"one template too many", "CreateDefenseTemplate", good, waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{BlacklistTemplates: 1}}, "Defense.Control.DefenseTemplateCountOverSize"},
		{"a second default template", "CreateDefenseTemplate", good, waftest.AlibabaOptions{OneDefault: true}, "Defense.Control.DefenseTemplateDefaultExist"},
		{"an edition without the scene", "CreateDefenseTemplate", good, waftest.AlibabaOptions{NoBlacklist: true}, "ComboError"},
		{"an object that there is not", "ModifyTemplateResources", map[string]any{"TemplateId": "", "BindResources": []string{"other"}}, waftest.AlibabaOptions{}, "Defense.Control.DefenseResourceNotExist"},
		{"a group that there is not", "ModifyTemplateResources", map[string]any{"TemplateId": "", "UnbindResourceGroups": []string{"other"}}, waftest.AlibabaOptions{}, "Defense.Control.DefenseResourceGroupNotExist"},
		{"nothing to bind", "ModifyTemplateResources", map[string]any{"TemplateId": ""}, waftest.AlibabaOptions{}, "MissingBindResources"},
		{"more objects than a template takes", "ModifyTemplateResources", map[string]any{"TemplateId": "own", "BindResources": []string{"shop", "api"}}, waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{ObjectsInTemplate: 1}}, "Defense.Control.DefenseTemplateResourceCountOverSize"},
		{"a kind of object that there is not", "DescribeTemplateResources", map[string]any{"TemplateId": "", "ResourceType": "all"}, waftest.AlibabaOptions{}, "InvalidParameter.ResourceType"},
		{"another's name for a template", "ModifyDefenseTemplate", map[string]any{"TemplateId": "", "TemplateName": "shop-own"}, waftest.AlibabaOptions{}, "Defense.Control.DefenseTemplateNameExist"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := startAli(t, tc.opts)
			a.SeedObjects("shop", "api")
			first := a.SeedTemplate(waftest.AlibabaTemplate{Scene: "ip_blacklist", Name: "tracewall-a", Description: "tracewall a", Default: true})
			own := a.SeedTemplate(waftest.AlibabaTemplate{Scene: "ip_blacklist", Name: "shop-own", Objects: []string{"shop"}})
			params := map[string]any{}
			for name, value := range tc.params {
				switch value {
				case "":
					value = first
				case "own":
					value = own
				}
				params[name] = value
			}
			before := a.Foreign()
			if _, code := a.waf(tc.action, params); code != tc.want {
				t.Errorf("code %q, want %q", code, tc.want)
			}
			if n := len(a.Templates("ip_blacklist")); n != 2 || a.Foreign() != before {
				t.Errorf("%d templates, or one was changed, by a call that was refused", n)
			}
		})
	}
}

func TestTemplatesAreListedByWhatTheyAre(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{TextTimes: true})
	a.SeedObjects("shop", "api")
	for i := range 23 {
		a.SeedTemplate(waftest.AlibabaTemplate{Scene: "ip_blacklist", Name: fmt.Sprintf("b-%02d", i), Objects: []string{"shop"}})
	}
	a.SeedTemplate(waftest.AlibabaTemplate{Scene: "custom_acl", Name: "c", Default: true})
	for _, tc := range []struct {
		params map[string]any
		want   string // in all, and on the page
	}{
		{nil, "24 20"},
		{map[string]any{"PageNumber": 2}, "24 4"},
		{map[string]any{"DefenseScene": "ip_blacklist", "PageSize": 50}, "23 23"},
		{map[string]any{"DefenseScene": "ip_blacklist", "TemplateName": "b-0"}, "10 10"},
		{map[string]any{"TemplateType": "user_default"}, "1 1"},
		{map[string]any{"Resource": "api", "ResourceType": "single"}, "1 1"},
		{map[string]any{"Resource": "api"}, "24 20"}, // one without the other means nothing
	} {
		answer := a.must("DescribeDefenseTemplates", tc.params)
		list := answer["Templates"].([]any)
		if got := fmt.Sprint(answer["TotalCount"], " ", len(list)); got != tc.want {
			t.Errorf("%v: %s, want %s", tc.params, got, tc.want)
		}
		if at := list[0].(map[string]any)["GmtModified"]; !strings.HasSuffix(text(at), "Z") {
			t.Errorf("time %v, want it as text", at)
		}
	}
	answer := a.must("DescribeDefenseResourceTemplates", map[string]any{"Resource": "api"})
	if n := len(answer["Templates"].([]any)); n != 1 {
		t.Errorf("%d templates on api, want the default one", n)
	}
	objects := a.must("DescribeDefenseResources", map[string]any{"Query": `{"resource":"ap"}`})
	if text(objects["TotalCount"]) != "1" {
		t.Errorf("objects: %v", objects)
	}
}
