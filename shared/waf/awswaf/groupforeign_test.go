package awswaf_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func (c *cloud) theirGroup(t *testing.T, name string) {
	t.Helper()
	_, err := c.sdk().CreateRuleGroup(t.Context(), &wafv2.CreateRuleGroupInput{
		Name: &name, Scope: types.ScopeRegional, Capacity: aws.Int64(10), Description: aws.String("of the shop team"),
		VisibilityConfig: &types.VisibilityConfig{MetricName: aws.String("m")},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAGroupNameThatIsTaken(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{}, 2)
	c.theirGroup(t, "tracewall-edge-003") // not in the way
	c.theirGroup(t, "tracewall-edge-old")
	c.mustRunGroups(t, c.open(t), 1, hosts(0, 15))

	c.target.Groups = 3
	c.Forget()
	_, err := c.run(t, c.open(t), 1, hosts(0, 15))
	if !errors.Is(err, waf.ErrForeign) || !strings.Contains(err.Error(), "tracewall-edge-003") || slices.ContainsFunc(c.Calls(), waftest.Call.Write) {
		t.Errorf("error %v, want ErrForeign that names the group, and no write", err)
	}
}

// TestAGroupNameTakenMeanwhile: between our look and our create somebody makes a group of that name.
func TestAGroupNameTakenMeanwhile(t *testing.T) {
	c := newGroupCloud(t, waftest.AWSOptions{}, 1)
	c.Before(func(call waftest.Call) *waftest.Fault {
		if call.Op == "CreateRuleGroup" {
			c.Before(nil)
			c.theirGroup(t, call.Name)
		}
		return nil
	})
	if _, err := c.run(t, c.open(t), 1, hosts(0, 5)); !errors.Is(err, waf.ErrForeign) {
		t.Errorf("error %v, want ErrForeign", err)
	}
}

// edit replaces a group's content, as somebody else might.
func (c *cloud) editGroup(t *testing.T, name string, description *string, edit func([]json.RawMessage) []json.RawMessage) {
	t.Helper()
	g := c.group(t, name)
	client := c.sdk()
	got, err := client.GetRuleGroup(t.Context(), &wafv2.GetRuleGroupInput{ARN: &g.arn})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]any{
		"Name": name, "Scope": c.scope(), "Id": g.id, "LockToken": got.LockToken, "Description": description, "Rules": edit(g.rules),
		"VisibilityConfig": map[string]any{"SampledRequestsEnabled": true, "CloudWatchMetricsEnabled": true, "MetricName": "m"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if description == nil {
		raw = []byte(strings.Replace(string(raw), `"Description":null,`, "", 1))
	}
	_, err = client.UpdateRuleGroup(t.Context(), &wafv2.UpdateRuleGroupInput{
		Name: &name, Scope: types.Scope(c.scope()), Id: &g.id, LockToken: got.LockToken, VisibilityConfig: &types.VisibilityConfig{MetricName: aws.String("m")},
	}, awswaf.SendBody(raw))
	if err != nil {
		t.Fatal(err)
	}
}

func rule(name string, priority int, statement string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"Name":%q,"Priority":%d,"Action":{"Block":{}},"Statement":%s,`+
		`"VisibilityConfig":{"SampledRequestsEnabled":true,"CloudWatchMetricsEnabled":true,"MetricName":"m"}}`, name, priority, statement))
}

func TestAGroupThatSomebodyEditedIsRepaired(t *testing.T) {
	keep := func(rules []json.RawMessage) []json.RawMessage { return rules }
	described := "tracewall target:edge blocklist. Refer to it from a web ACL, change nothing in it"
	change := func(old, new string) func([]json.RawMessage) []json.RawMessage {
		return func(rules []json.RawMessage) []json.RawMessage {
			return []json.RawMessage{json.RawMessage(strings.Replace(string(rules[0]), old, new, 1))}
		}
	}
	for name, c := range map[string]struct {
		description *string
		edit        func([]json.RawMessage) []json.RawMessage
	}{
		"the description was dropped": {nil, keep},
		"the description was changed": {aws.String("tracewall target:edge mine"), keep},
		"the rule was deleted":        {&described, func([]json.RawMessage) []json.RawMessage { return nil }},
		"the action was changed":      {&described, change(`"Block":{}`, `"Count":{}`)},
		"the priority was changed":    {&described, change(`"Priority":101`, `"Priority":7`)},
		"a set was taken out": {&described, func(rules []json.RawMessage) []json.RawMessage {
			var r struct {
				Statement struct {
					OrStatement struct{ Statements []json.RawMessage }
				}
			}
			if err := json.Unmarshal(rules[0], &r); err != nil {
				return nil
			}
			return []json.RawMessage{rule("tracewall-edge", 101, string(r.Statement.OrStatement.Statements[0]))}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := newGroupCloud(t, waftest.AWSOptions{}, 1)
			f := cloud.open(t)
			cloud.mustRunGroups(t, f, 1, hosts(0, 15))
			was := cloud.group(t, "tracewall-edge-001")
			cloud.editGroup(t, "tracewall-edge-001", c.description, c.edit)
			report := cloud.mustRunGroups(t, f, 1, hosts(0, 15))
			if report.Writes != 1 {
				t.Errorf("plan %q, want one write", report.Plan)
			}
			now := cloud.group(t, "tracewall-edge-001")
			if diff := cmp.Diff(string(was.rules[0]), string(now.rules[0])); diff != "" || now.description != described {
				t.Errorf("description %q, rule:\n%s", now.description, diff)
			}
			if r := cloud.mustRunGroups(t, cloud.open(t), 1, hosts(0, 15)); r.Writes != 0 {
				t.Errorf("again: %q", r.Plan)
			}
		})
	}
}

// TestWhatIsNotOursInAGroup: it is never dropped, the sets stay in force and go on
// being filled, new sets go elsewhere, and only what would have to change the group fails.
func TestWhatIsNotOursInAGroup(t *testing.T) {
	described := "tracewall target:edge blocklist. Refer to it from a web ACL, change nothing in it"
	for name, edit := range map[string]func(c *cloud, rules []json.RawMessage) []json.RawMessage{
		"a rule of the user": func(_ *cloud, rules []json.RawMessage) []json.RawMessage {
			return append(rules, rule("theirs", 7, `{"GeoMatchStatement":{"CountryCodes":["DE"]}}`))
		},
		"another rule with the name of ours": func(_ *cloud, rules []json.RawMessage) []json.RawMessage {
			return []json.RawMessage{rule("tracewall-edge", 101, `{"GeoMatchStatement":{"CountryCodes":["DE"]}}`)}
		},
		"a set of the user in our rule": func(c *cloud, rules []json.RawMessage) []json.RawMessage {
			office := c.setARN(t, "shop-office")
			return []json.RawMessage{json.RawMessage(strings.Replace(string(rules[0]), `"Statements":[`, `"Statements":[{"IPSetReferenceStatement":{"ARN":"`+office+`"}},`, 1))}
		},
		"a set with a name like ours in our rule": func(c *cloud, rules []json.RawMessage) []json.RawMessage {
			if _, err := c.sdk().CreateIPSet(t.Context(), &wafv2.CreateIPSetInput{
				Name: aws.String("tracewall-edge-v4-077"), Scope: types.ScopeRegional, IPAddressVersion: types.IPAddressVersionIpv4, Addresses: []string{},
			}); err != nil {
				t.Fatal(err)
			}
			return []json.RawMessage{json.RawMessage(strings.Replace(string(rules[0]), `"Statements":[`, `"Statements":[{"IPSetReferenceStatement":{"ARN":"`+c.setARN(t, "tracewall-edge-v4-077")+`"}},`, 1))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newGroupCloud(t, waftest.AWSOptions{}, 2)
			c.mustRunGroups(t, c.open(t), 1, hosts(0, 15))
			c.editGroup(t, "tracewall-edge-001", &described, func(rules []json.RawMessage) []json.RawMessage { return edit(c, rules) })
			edited := c.group(t, "tracewall-edge-001")

			f := c.open(t)
			state, err := f.Look(t.Context())
			left := 2 // of our sets in the group, which gets no more
			if len(edited.refs) == 0 {
				left = 0
			}
			if err != nil || state.RoomSets != left+48 || state.CanExcept != (left == 0) {
				t.Errorf("%v, room %d, can except %t; want room for %d and 48", err, state.RoomSets, state.CanExcept, left)
			}
			report, err := c.run(t, f, 2, hosts(3, 30))
			if err != nil || report.Enforced != 30 {
				t.Fatalf("%v, %d enforced; want the sets to go on", err, report.Enforced)
			}
			if len(report.Notes) != 1 || !strings.Contains(report.Notes[0], "tracewall-edge-001 is left as it is, since it") {
				t.Errorf("notes %q", report.Notes)
			}
			now := c.group(t, "tracewall-edge-001")
			if len(now.rules) != len(edited.rules) || string(now.rules[0]) != string(edited.rules[0]) {
				t.Errorf("the group was changed:\n%s", now.rules)
			}
			if len(edited.refs) == 0 { // ours is gone from there: all of it finds its place elsewhere, nothing is to be changed
				if got := c.group(t, "tracewall-edge-002").refs; len(got) != 3 {
					t.Errorf("the second group refers to %q, want all three sets", got)
				}
				return
			}
			if got := c.group(t, "tracewall-edge-002").refs; len(got) != 1 {
				t.Errorf("the second group refers to %q, want the new set", got)
			}

			c.target.Action = awswaf.ActionCount
			_, err = c.run(t, c.open(t), 3, hosts(3, 30))
			if !errors.Is(err, waf.ErrForeign) || !strings.Contains(err.Error(), "rule group of your own") {
				t.Errorf("error %v, want ErrForeign that says what to do", err)
			}
			if string(c.group(t, "tracewall-edge-001").rules[0]) != string(edited.rules[0]) {
				t.Error("the group was changed")
			}
		})
	}
}
