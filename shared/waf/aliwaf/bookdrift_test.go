package aliwaf_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// ours returns the ids of our template and rule.
func (c *cloud) ours(t testing.TB) (template waftest.AlibabaTemplate, rule waftest.AlibabaRule, book waftest.AlibabaBook) {
	t.Helper()
	for _, one := range c.Templates("custom_acl") {
		if strings.HasPrefix(one.Description, "tracewall:shop") {
			template = one
		}
	}
	for _, one := range c.Rules(template.ID) {
		if one.Name == "tracewall-shop" {
			rule = one
		}
	}
	for _, one := range c.Books() {
		if one.Name == "tracewall-shop" {
			book = one
		}
	}
	if template.ID == 0 || rule.ID == 0 || book.ID == 0 {
		t.Fatalf("template %+v, rule %+v, book %d", template, rule, book.ID)
	}
	return template, rule, book
}

// hand makes a call as a person in the console would.
func (c *cloud) hand(t testing.TB, action string, p map[string]string) {
	t.Helper()
	p["InstanceId"] = waftest.AlibabaInstance
	if err := aliwaf.CallForTest(t.Context(), c.config(), c.target.Region, action, p); err != nil {
		t.Fatal(err)
	}
	c.Forget()
}

func TestDriftIsSeenAndRepaired(t *testing.T) {
	number := func(n int64) string { b, _ := json.Marshal(n); return string(b) }
	for name, tt := range map[string]struct {
		objects []string
		change  func(t *testing.T, c *cloud)
		says    string
		late    bool // seen by a thorough Look only
	}{
		"the rule is disabled": {change: func(t *testing.T, c *cloud) {
			tpl, rule, _ := c.ours(t)
			c.hand(t, "ModifyDefenseRuleStatus", map[string]string{"TemplateId": number(tpl.ID), "RuleId": number(rule.ID), "RuleStatus": "0"})
		}, says: "was disabled"},
		"the rule only monitors": {change: func(t *testing.T, c *cloud) {
			tpl, rule, book := c.ours(t)
			c.hand(t, "ModifyDefenseRule", map[string]string{
				"DefenseScene": "custom_acl", "DefenseType": "template", "TemplateId": number(tpl.ID),
				"Rules": `[{"id":` + number(rule.ID) + `,"name":"tracewall-shop","origin":"custom","action":"monitor","ccStatus":0,"conditions":[{"key":"IP","opValue":"in-list","values":"` + number(book.ID) + `"}]}]`,
			})
		}, says: `its action is "monitor"`},
		"the rule has another condition": {change: func(t *testing.T, c *cloud) {
			tpl, rule, book := c.ours(t)
			c.hand(t, "ModifyDefenseRule", map[string]string{
				"DefenseScene": "custom_acl", "DefenseType": "template", "TemplateId": number(tpl.ID),
				"Rules": `[{"id":` + number(rule.ID) + `,"name":"tracewall-shop","origin":"custom","action":"block","ccStatus":0,"conditions":[{"key":"IP","opValue":"in-list","values":"` + number(book.ID) + `"},{"key":"URL","opValue":"contain","values":"/x"}]}]`,
			})
		}, says: "its condition is not"},
		"the rule is deleted": {change: func(t *testing.T, c *cloud) {
			tpl, rule, _ := c.ours(t)
			c.hand(t, "DeleteDefenseRule", map[string]string{"TemplateId": number(tpl.ID), "RuleIds": number(rule.ID)})
		}, says: "rule tracewall-shop is gone"},
		"the template is disabled": {change: func(t *testing.T, c *cloud) {
			tpl, _, _ := c.ours(t)
			c.hand(t, "ModifyDefenseTemplateStatus", map[string]string{"TemplateId": number(tpl.ID), "TemplateStatus": "0"})
		}, says: "template tracewall-shop was disabled"},
		"the template is deleted": {change: func(t *testing.T, c *cloud) {
			tpl, _, _ := c.ours(t)
			c.hand(t, "DeleteDefenseTemplate", map[string]string{"TemplateId": number(tpl.ID)})
		}, says: "template tracewall-shop is gone"},
		"the template's description is taken away": {change: func(t *testing.T, c *cloud) {
			tpl, _, _ := c.ours(t)
			c.hand(t, "ModifyDefenseTemplate", map[string]string{"TemplateId": number(tpl.ID), "TemplateName": tpl.Name, "Description": ""})
		}, says: "has lost its description"},
		"an object is unbound": {objects: []string{shopObject, apiObject}, late: true, change: func(t *testing.T, c *cloud) {
			tpl, _, _ := c.ours(t)
			c.hand(t, "ModifyTemplateResources", map[string]string{"TemplateId": number(tpl.ID), "UnbindResources.1": apiObject})
		}, says: "no longer protects " + apiObject},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
			c := newCloud(t, waftest.AlibabaOptions{Now: func() time.Time { return now }})
			c.target.Objects = tt.objects
			r := &runner{c: c}
			r.ok(t, 1, hosts(0, 25))
			foreign := c.Foreign()
			tt.change(t, c)
			if tt.late {
				now = now.Add(aliwaf.LookEvery)
			}
			for process := range 2 {
				if process == 1 { // what another process sees with the memory of the first
					tt.change(t, c)
					if tt.late {
						now = now.Add(aliwaf.LookEvery)
					}
					memory := r.f.(waf.Rememberer).Memory()
					r.f = c.open(t)
					r.f.(waf.Rememberer).Recall(memory)
				}
				report := r.ok(t, 2, hosts(0, 25))
				if !slices.ContainsFunc(report.Drift, func(line string) bool { return strings.Contains(line, tt.says) }) {
					t.Errorf("drift %q, want %q", report.Drift, tt.says)
				}
				if len(c.EnforcedOn(apiObject)) < 25 {
					t.Errorf("%s is not protected", apiObject)
				}
				if again := r.ok(t, 3, hosts(0, 25)); again.Writes != 0 || len(again.Drift) != 0 {
					t.Errorf("once more: %d writes, drift %q", again.Writes, again.Drift)
				}
			}
			if c.Foreign() != foreign {
				t.Error("what is not ours changed")
			}
		})
	}
}

func TestASecondWriterInTheBookIsSeen(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 25))
	_, _, book := c.ours(t)
	id, _ := json.Marshal(book.ID)
	for name, p := range map[string]map[string]string{
		"AddAddress":    {"RuleId": string(id), "AddressList.1": "203.99.0.1", "AddressList.2": "203.99.0.2/32"},
		"DeleteAddress": {"RuleId": string(id), "AddressList.1": "203.0.0.7"},
	} {
		c.hand(t, name, p)
		if report := r.ok(t, 2, hosts(0, 25)); report.Writes != 1 {
			t.Errorf("%s: %d writes: %q", name, report.Writes, report.Plan)
		}
	}
	// One in, one out: the count is as it was, and the hourly run sees it.
	c.hand(t, "AddAddress", map[string]string{"RuleId": string(id), "AddressList.1": "203.99.0.1"})
	c.hand(t, "DeleteAddress", map[string]string{"RuleId": string(id), "AddressList.1": "203.0.0.7"})
	if report, err := r.run(t, 3, hosts(0, 25)); err != nil || report.Writes != 0 {
		t.Fatalf("error %v, %d writes", err, report.Writes)
	}
	report := r.ok(t, 3, hosts(0, 25), verify)
	if len(report.Drift) != 1 {
		t.Errorf("drift %q", report.Drift)
	}
}

func TestAnAddressInTwoSpellingsIsOneAndMayGo(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	r := &runner{c: c}
	list := append(hosts(0, 3), netip.MustParsePrefix("2001:db8::1/128"), netip.MustParsePrefix("2001:db8:2::/48"))
	r.ok(t, 1, list)
	_, _, book := c.ours(t)
	id, _ := json.Marshal(book.ID)
	c.hand(t, "DeleteAddress", map[string]string{"RuleId": string(id), "AddressList.1": "2001:db8::1", "AddressList.2": "203.0.0.1"})
	c.hand(t, "AddAddress", map[string]string{"RuleId": string(id), "AddressList.1": "2001:0DB8::0001/128", "AddressList.2": "203.0.0.1/32"})
	r.book = nil
	if report := r.ok(t, 2, list); report.Writes != 0 {
		t.Errorf("%d writes: %q", report.Writes, report.Plan)
	}
	r.ok(t, 3, list[:1])
}

func TestWhatIsNotWhollyOursIsLeftAlone(t *testing.T) {
	for name, tt := range map[string]struct {
		seed func(t *testing.T, c *cloud)
		says string
	}{
		"a book with our name only": {func(t *testing.T, c *cloud) {
			if _, err := c.SeedBook(waftest.AlibabaBook{Name: "tracewall-shop", Description: "mine"}); err != nil {
				t.Fatal(err)
			}
		}, "not our mark"},
		"a book with our mark only": {func(t *testing.T, c *cloud) {
			if _, err := c.SeedBook(waftest.AlibabaBook{Name: "renamed", Description: "tracewall:shop epoch=e generation=1"}); err != nil {
				t.Fatal(err)
			}
		}, "name it tracewall-shop again"},
		"two books of ours": {func(t *testing.T, c *cloud) {
			for range 2 {
				if _, err := c.SeedBook(waftest.AlibabaBook{Name: "tracewall-shop", Description: "tracewall:shop"}); err != nil {
					t.Fatal(err)
				}
			}
		}, "there twice"},
		"a template with our name only": {func(_ *testing.T, c *cloud) {
			c.SeedTemplate(waftest.AlibabaTemplate{Scene: "custom_acl", Name: "tracewall-shop", Description: "tracewall:shopping", Default: true})
		}, "not our mark"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, waftest.AlibabaOptions{})
			tt.seed(t, c)
			before := c.Foreign()
			r := &runner{c: c}
			report, err := r.run(t, 1, hosts(0, 3))
			if !errors.Is(err, waf.ErrForeign) || !strings.Contains(err.Error(), tt.says) || report.Writes != 0 || c.Foreign() != before {
				t.Errorf("error %v, %d writes", err, report.Writes)
			}
			if _, err := c.open(t).(waf.Detacher).Detach(t.Context(), false); !errors.Is(err, waf.ErrForeign) || c.Foreign() != before {
				t.Errorf("detach: %v", err)
			}
		})
	}
}

func TestATargetThatBeginsToNameObjectsMovesWithoutAGap(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	r := &runner{c: c}
	list := hosts(0, 5)
	r.ok(t, 1, list)
	c.After(func(call waftest.AlibabaCall) {
		if call.Write() && len(c.EnforcedOn(shopObject)) < 5 {
			t.Errorf("a gap after %s", call.Action)
		}
	})
	move := func(objects ...string) {
		t.Helper()
		c.target.Objects = objects
		r.f = c.open(t)
		r.ok(t, 2, list)
		if n := len(c.Templates("custom_acl")); n != 2 {
			t.Errorf("%d templates, want the user's and ours", n)
		}
		if report := r.ok(t, 3, list); report.Writes != 0 {
			t.Errorf("%d writes", report.Writes)
		}
	}
	move(shopObject)
	if len(c.EnforcedOn(apiObject)) != 0 {
		t.Error("an object that is not named is protected")
	}
	move(shopObject, apiObject)
	move()
	move(apiObject, shopObject)
}

func TestObjectsThatSomebodyElseBoundStay(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	c.target.Objects = []string{shopObject}
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 3))
	tpl, _, _ := c.ours(t)
	id, _ := json.Marshal(tpl.ID)
	c.hand(t, "ModifyTemplateResources", map[string]string{"TemplateId": string(id), "BindResources.1": apiObject})
	memory := r.f.(waf.Rememberer).Memory()
	r.f = c.open(t)
	report := r.ok(t, 2, hosts(0, 3))
	if report.Writes != 0 || len(report.Notes) != 1 || !strings.Contains(report.Notes[0], apiObject) {
		t.Errorf("%d writes, notes %q", report.Writes, report.Notes)
	}
	// One that we have bound and that is no longer named goes.
	c.target.Objects = []string{apiObject}
	r.f = c.open(t)
	r.f.(waf.Rememberer).Recall(memory)
	r.ok(t, 3, hosts(0, 3))
	if got := c.Templates("custom_acl")[1].Objects; !slices.Equal(got, []string{apiObject}) {
		t.Errorf("bound to %q", got)
	}
}

func TestATemplateThatSomebodyElseUsesNowStaysBehind(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 5))
	tpl, _, _ := c.ours(t)
	if _, err := c.SeedRule(waftest.AlibabaRule{Template: tpl.ID, Name: "mine", Config: `{"action":"block","conditions":[{"key":"URL","opValue":"contain","values":"/x"}]}`}); err != nil {
		t.Fatal(err)
	}
	foreign := c.Foreign()
	c.target.Objects = []string{shopObject}
	for generation := range uint64(2) {
		r.f = c.open(t)
		report := r.ok(t, 2+generation, hosts(0, 5))
		if generation == 1 && (report.Writes != 0 || len(report.Plan) != 0) {
			t.Errorf("it is tried again in every run: %q", report.Plan)
		}
	}
	if c.Foreign() != foreign || len(c.EnforcedOn(apiObject)) != 0 {
		t.Error("what is not ours changed, or our rule is still in it")
	}
}
