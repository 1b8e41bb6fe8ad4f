package waftest_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func TestAFaultHappensBeforeOrAfterTheChange(t *testing.T) {
	add := func(list ...string) map[string]any { return map[string]any{"AddressList": list} }
	for _, tc := range []struct {
		name     string
		arrange  func(*ali)
		code     string // of the second AddAddress
		enforced string // after it
		changed  bool
	}{
		{"refused", func(a *ali) { a.Fail("AddAddress", 1, 1, waftest.Fault{Code: "InternalError"}) }, "InternalError", "192.0.2.1/32", false},
		{"done and then refused", func(a *ali) { a.FailWrite(1, 1, waftest.Fault{Code: "InternalError", AfterChange: true}) }, "InternalError", "192.0.2.1/32 192.0.2.2/32", true},
		{"the connection cut", func(a *ali) { a.FailCall(1, 1, waftest.Fault{Drop: true}) }, "cut", "192.0.2.1/32", false},
		{"done and the connection cut", func(a *ali) { a.FailCall(1, -1, waftest.Fault{Drop: true, AfterChange: true}) }, "cut", "192.0.2.1/32 192.0.2.2/32", true},
		{"throttled", func(a *ali) { a.Fail("AddAddress", 1, 3, waftest.Fault{Code: "Throttling.User"}) }, "Throttling.User", "192.0.2.1/32", false},
		{"another action fails", func(a *ali) { a.Fail("DeleteAddress", 0, -1, waftest.Fault{Code: "InternalError"}) }, "", "192.0.2.1/32 192.0.2.2/32", true},
		{"healed", func(a *ali) { a.FailCall(0, -1, waftest.Fault{Drop: true}); a.Heal() }, "", "192.0.2.1/32 192.0.2.2/32", true},
		{"by what is asked before each call", func(a *ali) {
			a.Before(func(c waftest.AlibabaCall) *waftest.Fault {
				if c.Action == "AddAddress" && len(a.Calls("AddAddress")) == 2 {
					return &waftest.Fault{Code: "ServiceUnavailable"}
				}
				return nil
			})
		}, "ServiceUnavailable", "192.0.2.1/32", false},
		{"denied", func(a *ali) {
			a.After(func(c waftest.AlibabaCall) {
				if c.Action == "AddAddress" {
					a.Deny("waf:AddAddress")
				}
			})
		}, "NoPermission", "192.0.2.1/32", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := startAli(t, waftest.AlibabaOptions{})
			a.SeedObjects("shop")
			book, _, _ := a.book("tracewall-a")
			a.Forget()
			tc.arrange(a)
			first, second := add("192.0.2.1"), add("192.0.2.2")
			first["RuleId"], second["RuleId"] = book, book
			a.must("AddAddress", first)
			if _, code := a.waf("AddAddress", second); code != tc.code {
				t.Errorf("code %q, want %q", code, tc.code)
			}
			a.Heal()
			a.enforces(tc.enforced)
			calls := a.Calls("AddAddress")
			if len(calls) != 2 || a.Writes() != 2 || calls[1].Changed != tc.changed || calls[1].Object != book || calls[1].Entries != 1 {
				t.Errorf("calls %+v", calls)
			}
		})
	}
}

func TestRatesRefuseWhatComesTooSoon(t *testing.T) {
	clock := newAliClock()
	a := startAli(t, waftest.AlibabaOptions{Rates: true, Now: clock.now})
	var codes []string
	for _, wait := range []time.Duration{0, 199 * time.Millisecond, time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond} {
		clock.move(wait)
		_, code := a.waf("DescribeInstance", nil)
		codes = append(codes, code)
	}
	if diff := cmp.Diff([]string{"", "Throttling.User", "", "Throttling.User", ""}, codes); diff != "" {
		t.Error(diff)
	}
	for range 12 {
		a.waf("DescribeAddressBook", nil)
	}
	if a.Throttled() != 2+2 {
		t.Errorf("%d throttled, want 2 of WAF and 2 of Cloud Firewall", a.Throttled())
	}
	clock.move(time.Second)
	a.must("DescribeAddressBook", nil)
}

func TestLatencyIsAddedToEveryCall(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{Latency: 30 * time.Millisecond})
	before := time.Now()
	a.must("DescribeInstance", nil)
	if took := time.Since(before); took < 30*time.Millisecond {
		t.Errorf("took %s", took)
	}
}

func TestLongParametersDoNotFitIntoTheQuery(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{})
	book, _, _ := a.book("tracewall-a")
	params := map[string]any{"RuleId": book, "AddressList": dozens(400)}
	a.query = true
	if _, code := a.waf("AddAddress", params); code != "RequestURITooLarge" {
		t.Errorf("code %q, want RequestURITooLarge", code)
	}
	a.query = false
	a.must("AddAddress", params)
}

// furniture seeds what an account may have that is not ours.
func furniture(t *testing.T, a *ali) (rule, book int64, policy string) {
	t.Helper()
	a.SeedObjects("shop", "api")
	a.SeedGroup("outside", "shop")
	template := a.SeedTemplate(waftest.AlibabaTemplate{Scene: "custom_acl", Name: "shop-rules", Objects: []string{"shop"}})
	rule, err := a.SeedRule(waftest.AlibabaRule{Template: template, Name: "no-curl", Config: `{"action":"block","conditions":[{"key":"User-Agent","opValue":"contain","values":"curl"}]}`})
	if err != nil {
		t.Fatal(err)
	}
	book, err = a.SeedBook(waftest.AlibabaBook{Name: "partners", Description: "ask Li", Addresses: []string{"203.0.113.1", "203.0.113.0/28"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.SeedCloudBook(waftest.AlibabaBook{Name: "tracewall-by-hand", Description: "only the name is ours", Addresses: []string{"203.0.113.1"}}); err != nil {
		t.Fatal(err)
	}
	return rule, book, a.SeedPolicy(waftest.AlibabaPolicy{Description: "partners", Action: "accept", Source: "tracewall-by-hand", Group: true})
}

func TestForeignTellsAllThatIsNotOurs(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{})
	rule, book, policy := furniture(t, a)
	before := a.Foreign()
	ours, template, _ := a.book("tracewall-a")
	a.must("AddAddress", map[string]any{"RuleId": ours, "AddressList": []string{"192.0.2.1"}})
	a.must("AddAddressBook", bookOf("tracewall-4", "ip", "192.0.2.1"))
	a.must("AddControlPolicy", dropping("tracewall-4", 4, 1))
	if diff := cmp.Diff(before, a.Foreign()); diff != "" {
		t.Fatalf("what is ours counts as foreign:\n%s", diff)
	}
	var id int64
	for _, tpl := range a.Templates("custom_acl") {
		if text(tpl.ID) == template {
			id = tpl.ID
		}
	}
	for _, edit := range []struct {
		name string
		do   func() error
	}{
		{"a rule's status", func() error { return a.EditRule(rule, func(r *waftest.AlibabaRule) { r.Off = true }) }},
		{"a rule's condition", func() error {
			return a.EditRule(rule, func(r *waftest.AlibabaRule) { r.Config = strings.Replace(r.Config, "curl", "wget", 1) })
		}},
		{"a rule put into our template", func() error {
			_, err := a.SeedRule(waftest.AlibabaRule{Template: id, Name: "by-hand", Config: `{"action":"block","conditions":[]}`})
			return err
		}},
		{"a book's address", func() error { return a.EditBook(book, []string{"203.0.113.77"}, []string{"203.0.113.1"}) }},
		{"a book's name", func() error { return a.RenameBook(book, "tracewall-b", "ask Li") }},
		{"a template's binding", func() error {
			return a.EditTemplate("custom_acl", "shop-rules", func(t *waftest.AlibabaTemplate) { t.Objects = append(t.Objects, "api") })
		}},
		{"a policy's place is not a change, its action is", func() error {
			return a.EditPolicy(policy, func(p *waftest.AlibabaPolicy) { p.Order, p.Action = 1, "log" })
		}},
		{"a cloud book's address", func() error { return a.EditCloudBook("tracewall-by-hand", []string{"203.0.113.9"}, nil) }},
		{"a policy removed", func() error { return a.RemovePolicy(policy) }},
		{"a rule removed", func() error { return a.RemoveRule(rule) }},
		{"a template removed", func() error { return a.RemoveTemplate("custom_acl", "shop-rules") }},
	} {
		was := a.Foreign()
		if err := edit.do(); err != nil {
			t.Errorf("%s: %v", edit.name, err)
		}
		if a.Foreign() == was {
			t.Errorf("%s: not to be seen in what is foreign", edit.name)
		}
	}
	if n := len(a.Calls()); n != 6 {
		t.Errorf("%d calls, want those of the test only: an operator makes none", n)
	}
}

func TestAnOperatorUndoesWhatIsOurs(t *testing.T) {
	for _, tc := range []struct {
		name string
		edit func(a *ali, book, rule int64) error
	}{
		{"the template is switched off", func(a *ali, _, _ int64) error {
			return a.EditTemplate("custom_acl", "tracewall-a", func(t *waftest.AlibabaTemplate) { t.Off = true })
		}},
		{"the template is bound to nothing", func(a *ali, _, _ int64) error {
			return a.EditTemplate("custom_acl", "tracewall-a", func(t *waftest.AlibabaTemplate) { t.Default = false })
		}},
		{"the object is unbound", func(a *ali, _, _ int64) error {
			return a.EditTemplate("custom_acl", "tracewall-a", func(t *waftest.AlibabaTemplate) { t.Objects = []string{"shop"} })
		}},
		{"the rule only watches", func(a *ali, _, rule int64) error {
			return a.EditRule(rule, func(r *waftest.AlibabaRule) { r.Config = strings.Replace(r.Config, `"block"`, `"monitor"`, 1) })
		}},
		{"the rule has one condition more", func(a *ali, _, rule int64) error {
			return a.EditRule(rule, func(r *waftest.AlibabaRule) {
				r.Config = strings.Replace(r.Config, `[{`, `[{"key":"URL","opValue":"contain","values":"/x"},{`, 1)
			})
		}},
		{"the rule has another condition as well", func(a *ali, _, rule int64) error {
			return a.EditRule(rule, func(r *waftest.AlibabaRule) {
				r.Config = strings.Replace(r.Config, `}]`, `},{"key":"URL","opValue":"contain","values":"/x"}]`, 1)
			})
		}},
		{"the rule goes by another address than the visitor's", func(a *ali, _, rule int64) error {
			return a.EditRule(rule, func(r *waftest.AlibabaRule) { r.Config = strings.Replace(r.Config, `"IP"`, `"Header"`, 1) })
		}},
		{"the rule is switched off", func(a *ali, _, rule int64) error {
			return a.EditRule(rule, func(r *waftest.AlibabaRule) { r.Off = true })
		}},
		{"the rule is removed", func(a *ali, _, rule int64) error { return a.RemoveRule(rule) }},
		{"the book is emptied", func(a *ali, book, _ int64) error { return a.EditBook(book, nil, []string{"192.0.2.1"}) }},
		{"the book is removed", func(a *ali, book, _ int64) error { return a.RemoveRule(book) }},
		{"the template is removed", func(a *ali, _, _ int64) error { return a.RemoveTemplate("custom_acl", "tracewall-a") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := startAli(t, waftest.AlibabaOptions{})
			a.SeedObjects("shop")
			id, _, _ := a.book("tracewall-a")
			a.must("AddAddress", map[string]any{"RuleId": id, "AddressList": []string{"192.0.2.1"}})
			a.enforces("192.0.2.1/32", waftest.ByAddressBook)
			book := a.Books()[0].ID
			rule := a.Rules(a.Templates("custom_acl")[0].ID)[0].ID
			if err := tc.edit(a, book, rule); err != nil {
				t.Fatal(err)
			}
			a.enforces("")
		})
	}
}

func TestOperatorsErrorsNameWhatIsNotThere(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{})
	for _, err := range []error{
		a.EditTemplate("custom_acl", "x", nil), a.RemoveTemplate("custom_acl", "x"), a.EditRule(1, nil), a.RemoveRule(1),
		a.EditBook(1, nil, nil), a.RenameBook(1, "", ""), a.EditCloudBook("x", nil, nil), a.DescribeCloudBookAs("x", ""),
		a.EditPolicy("x", nil), a.RemovePolicy("x"),
	} {
		if err == nil || !strings.Contains(err.Error(), "there is no such object") {
			t.Errorf("got %v, want that there is no such object", err)
		}
	}
}

var _ http.Handler = (*waftest.Alibaba)(nil)
