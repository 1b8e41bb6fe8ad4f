package aliwaf_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func TestDetachLeavesNothingOfOursAndAllThatIsNot(t *testing.T) {
	for _, objects := range [][]string{nil, {shopObject}} {
		c := newCloud(t, waftest.AlibabaOptions{})
		c.target.Objects = objects
		foreign := c.Foreign()
		r := &runner{c: c}
		r.ok(t, 1, hosts(0, 25))
		c.Forget()
		said, err := c.open(t).(waf.Detacher).Detach(t.Context(), true)
		if err != nil || len(said) != 3 || c.Writes() != 0 {
			t.Fatalf("dry run: %q, %v, %d writes", said, err, c.Writes())
		}
		done, err := r.f.(waf.Detacher).Detach(t.Context(), false)
		if err != nil || len(done) != 3 || !strings.HasPrefix(done[0], "deleted rule") || !strings.HasPrefix(done[2], "deleted address book") {
			t.Fatalf("%q, %v", done, err)
		}
		if len(c.enforced()) != 0 || c.Foreign() != foreign || len(c.Books()) != 1 || len(c.Templates("custom_acl")) != 1 {
			t.Error("something of ours is left, or something else gone")
		}
		if r.f.(waf.Rememberer).Memory() != nil {
			t.Error("a memory is left")
		}
		if done, err := c.open(t).(waf.Detacher).Detach(t.Context(), false); err != nil || len(done) != 0 {
			t.Errorf("once more: %q, %v", done, err)
		}
		r.book = nil
		r.ok(t, 2, hosts(0, 5)) // and back again
	}
}

func TestDetachConvergesWhereverItIsCut(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := range 12 {
			c := newCloud(t, waftest.AlibabaOptions{})
			foreign := c.Foreign()
			(&runner{c: c}).ok(t, 1, hosts(0, 5))
			c.FailCall(n, 20, waftest.Fault{Drop: true, AfterChange: after})
			_, _ = c.open(t).(waf.Detacher).Detach(t.Context(), false)
			c.Heal()
			if _, err := c.open(t).(waf.Detacher).Detach(t.Context(), false); err != nil {
				t.Fatalf("cut at %d, after %t: %v", n, after, err)
			}
			if c.Foreign() != foreign || len(c.Books()) != 1 || len(c.Templates("custom_acl")) != 1 {
				t.Fatalf("cut at %d, after %t: not all of ours is gone", n, after)
			}
		}
	}
}

func TestATemplateWithSomebodyElsesRuleStays(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 5))
	tpl, _, _ := c.ours(t)
	if _, err := c.SeedRule(waftest.AlibabaRule{Template: tpl.ID, Name: "mine", Config: `{"action":"block","conditions":[{"key":"URL","opValue":"contain","values":"/x"}]}`}); err != nil {
		t.Fatal(err)
	}
	foreign := c.Foreign()
	r.f = c.open(t)
	report := r.ok(t, 2, hosts(0, 5))
	if len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "mine") {
		t.Errorf("notes %q", report.Notes)
	}
	done, err := r.f.(waf.Detacher).Detach(t.Context(), false)
	if err != nil || !slices.ContainsFunc(done, func(s string) bool { return strings.Contains(s, "stays") }) || c.Foreign() != foreign {
		t.Errorf("%q, %v", done, err)
	}
	if len(c.Books()) != 1 || len(c.enforced()) != 0 {
		t.Error("our book or rule is still there")
	}
}

func TestABookThatAnotherRuleUsesStays(t *testing.T) {
	c := newCloud(t, waftest.AlibabaOptions{})
	r := &runner{c: c}
	r.ok(t, 1, hosts(0, 5))
	_, _, book := c.ours(t)
	id, _ := json.Marshal(book.ID)
	tpl := c.Templates("custom_acl")[0]
	if _, err := c.SeedRule(waftest.AlibabaRule{Template: tpl.ID, Name: "uses-it", Config: `{"action":"monitor","conditions":[{"key":"IP","opValue":"in-list","values":"` + string(id) + `"}]}`}); err != nil {
		t.Fatal(err)
	}
	done, err := r.f.(waf.Detacher).Detach(t.Context(), false)
	if !errors.Is(err, waf.ErrInUse) || len(done) != 2 {
		t.Errorf("%q, %v", done, err)
	}
}

func TestTheProofSaysWhatIsInForce(t *testing.T) {
	number := func(n int64) string { b, _ := json.Marshal(n); return string(b) }
	for name, tt := range map[string]struct {
		change    func(t *testing.T, c *cloud)
		target    func(*aliwaf.Target)
		objects   []string // of the instance; nil: two
		effective bool
		says      string
		shows     func(waf.ACLUse) bool
	}{
		"all is well": {effective: true, shows: func(u waf.ACLUse) bool {
			return u.ResourceCount == 2 && u.Action == "Block" && len(u.Behind) == 0 && u.Name == "tracewall-shop"
		}},
		"bound by name": {
			target: func(t *aliwaf.Target) { t.Objects = []string{shopObject} }, effective: true,
			shows: func(u waf.ACLUse) bool { return slices.Equal(u.Resources, []string{shopObject}) },
		},
		"monitored": {
			target: func(t *aliwaf.Target) { t.Action = aliwaf.ActionMonitor }, says: "set action to block",
			shows: func(u waf.ACLUse) bool { return u.Action == "Count" },
		},
		"the rule is off": {change: func(t *testing.T, c *cloud) {
			tpl, rule, _ := c.ours(t)
			c.hand(t, "ModifyDefenseRuleStatus", map[string]string{"TemplateId": number(tpl.ID), "RuleId": number(rule.ID), "RuleStatus": "0"})
		}, says: "was disabled"},
		"the template is off": {change: func(t *testing.T, c *cloud) {
			tpl, _, _ := c.ours(t)
			c.hand(t, "ModifyDefenseTemplateStatus", map[string]string{"TemplateId": number(tpl.ID), "TemplateStatus": "0"})
		}, says: "was disabled"},
		"nothing is protected": {objects: []string{}, says: "protects nothing"},
		"a whitelist rule lets some past": {change: func(t *testing.T, c *cloud) {
			white := c.SeedTemplate(waftest.AlibabaTemplate{Scene: "whitelist", Name: "partners", Default: true})
			off := c.SeedTemplate(waftest.AlibabaTemplate{Scene: "whitelist", Name: "off", Default: true, Off: true})
			for _, r := range []waftest.AlibabaRule{
				{Template: white, Name: "partner", Config: `{"tags":["customrule"],"conditions":[{"key":"IP","opValue":"contain","values":"203.0.0.0/24"}]}`},
				{Template: white, Name: "asleep", Off: true, Config: `{"tags":["waf"],"conditions":[{"key":"IP","opValue":"contain","values":"203.0.0.0/24"}]}`},
				{Template: white, Name: "cc-only", Config: `{"tags":["cc"],"conditions":[{"key":"IP","opValue":"contain","values":"203.0.0.0/24"}]}`},
				{Template: off, Name: "template-off", Config: `{"tags":["waf"],"conditions":[{"key":"IP","opValue":"contain","values":"203.0.0.0/24"}]}`},
			} {
				if _, err := c.SeedRule(r); err != nil {
					t.Fatal(err)
				}
			}
		}, effective: true, says: "203.0.0.0/24", shows: func(u waf.ACLUse) bool { return len(u.Behind) == 1 && strings.HasPrefix(u.Behind[0], "partner (") }},
	} {
		t.Run(name, func(t *testing.T) {
			c := emptyCloud(t, waftest.AlibabaOptions{})
			c.SeedObjects(shopObject, apiObject)
			if tt.objects != nil {
				c = emptyCloud(t, waftest.AlibabaOptions{})
			}
			if tt.target != nil {
				tt.target(&c.target)
			}
			r := &runner{c: c}
			if _, err := r.run(t, 1, hosts(0, 5)); err != nil {
				t.Fatal(err)
			}
			if tt.change != nil {
				tt.change(t, c)
			}
			proof, err := r.f.(waf.Prover).Prove(t.Context())
			if err != nil || proof.Effective != tt.effective || (tt.says == "") != (len(proof.Reasons) == 0) || !strings.Contains(strings.Join(proof.Reasons, " "), tt.says) {
				t.Fatalf("%+v, %v", proof, err)
			}
			if tt.shows != nil && (len(proof.WebACLs) != 1 || !tt.shows(proof.WebACLs[0])) {
				t.Errorf("%+v", proof.WebACLs)
			}
			if proof.Effective != (len(c.enforced()) == 5) {
				t.Errorf("effective %t, and %d of 5 are blocked", proof.Effective, len(c.enforced()))
			}
		})
	}
}

func TestThePreflightTellsWhatWouldGoWrong(t *testing.T) {
	for name, tt := range map[string]struct {
		opts   waftest.AlibabaOptions
		target func(*aliwaf.Target)
		says   string
	}{
		"no such object":         {target: func(t *aliwaf.Target) { t.Objects = []string{"nowhere.example.com-waf"} }, says: "no protected object"},
		"no template left":       {opts: waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{CustomTemplates: 1}}, says: "1 templates of custom rules and has 1"},
		"no custom rules at all": {opts: waftest.AlibabaOptions{Details: map[string]any{"CustomRule": false}}, says: "no custom rules"},
		"too many objects": {
			opts: waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{ObjectsInTemplate: 1}}, says: "a template takes 1",
			target: func(t *aliwaf.Target) { t.Objects = []string{shopObject, apiObject} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, tt.opts)
			if tt.target != nil {
				tt.target(&c.target)
			}
			c.Forget()
			report, err := (&runner{c: c}).run(t, 1, hosts(0, 3))
			if !errors.Is(err, waf.ErrPreflight) || !strings.Contains(err.Error(), tt.says) || report.Writes != 0 {
				t.Errorf("error %v, %d writes", err, report.Writes)
			}
		})
	}
}

func TestExamineOnlyReadsAndSaysWhatToDo(t *testing.T) {
	now := time.Now()
	states := func(checks []waf.Check) map[string]waf.CheckState {
		all := map[string]waf.CheckState{}
		for _, c := range checks {
			all[c.Name] = c.State
			if c.Text == "" {
				t.Errorf("check %s says nothing", c.Name)
			}
		}
		return all
	}
	for name, tt := range map[string]struct {
		opts    waftest.AlibabaOptions
		change  func(*cloud)
		skew    time.Duration
		filled  bool
		want    map[string]waf.CheckState
		wantNot []string
	}{
		"fresh":  {want: map[string]waf.CheckState{"permissions": "ok", "instance": "ok", "clock": "ok", "address books": "ok", "templates": "ok"}, wantNot: []string{"whitelist", "objects"}},
		"filled": {filled: true, opts: waftest.AlibabaOptions{Form: waftest.WithBits}, want: map[string]waf.CheckState{"address form": "ok", "book count": "ok"}},
		"clock":  {skew: 3 * time.Minute, want: map[string]waf.CheckState{"clock": "warn"}},
		"wrong clock": {
			skew: time.Hour, want: map[string]waf.CheckState{"clock": "fail", "instance": "fail"},
		},
		"denied":       {change: func(c *cloud) { c.Deny("*") }, want: map[string]waf.CheckState{"instance": "fail"}},
		"books denied": {change: func(c *cloud) { c.Deny("DescribeDefenseRules") }, want: map[string]waf.CheckState{"instance": "ok", "address books": "fail"}},
		"expired":      {opts: waftest.AlibabaOptions{Expired: true}, want: map[string]waf.CheckState{"instance": "fail"}},
		"no books":     {opts: waftest.AlibabaOptions{NoAddressBooks: true}, want: map[string]waf.CheckState{"address books": "fail"}},
		"no ipv6":      {opts: waftest.AlibabaOptions{Details: map[string]any{"Ipv6": false}}, want: map[string]waf.CheckState{"ipv6": "warn"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, tt.opts)
			if tt.filled {
				(&runner{c: c}).ok(t, 1, hosts(0, 5))
			}
			if tt.change != nil {
				tt.change(c)
			}
			c.now = func() time.Time { return now.Add(tt.skew) }
			c.Forget()
			got := states(c.open(t).(waf.Examiner).Examine(t.Context()))
			for check, state := range tt.want {
				if got[check] != state {
					t.Errorf("%s is %q, want %q: %v", check, got[check], state, got)
				}
			}
			for _, check := range tt.wantNot {
				if got[check] != "" {
					t.Errorf("%s is %q", check, got[check])
				}
			}
			if c.Writes() != 0 {
				t.Errorf("%d writes", c.Writes())
			}
		})
	}
}
