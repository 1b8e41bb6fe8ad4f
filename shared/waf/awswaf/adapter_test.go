package awswaf_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// sdk is a plain client, as any other tool of the account might be.
func (c *cloud) sdk() *wafv2.Client {
	return wafv2.New(wafv2.Options{
		BaseEndpoint: aws.String(c.url), Region: region,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	})
}

func TestAWebACLIsMadeAsInTheStory(t *testing.T) {
	c := emptyCloud(t, waftest.AWSOptions{})
	c.target.WebACL = "front"
	f := c.open(t)
	if _, err := c.run(t, f, 1, nil); err != nil {
		t.Fatal(err)
	}
	c.mustRunAt(t, f, "front", 2, hosts(0, 12))
	got, err := c.Snapshot(region, awswaf.Regional, "front")
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"DefaultAction":    `{"Allow":{}}`,
		"VisibilityConfig": `{"SampledRequestsEnabled":true,"CloudWatchMetricsEnabled":true,"MetricName":"frontACLMetric"}`,
	} {
		if string(got[key]) != want {
			t.Errorf("%s = %s, want %s", key, got[key], want)
		}
	}
	if r, err := c.run(t, c.open(t), 2, hosts(0, 12)); err != nil || r.Writes != 0 {
		t.Errorf("again: %v, plan %q", err, r.Plan)
	}
}

func (c *cloud) mustRunAt(t *testing.T, f waf.Firewall, webACL string, generation uint64, wants []waf.Want) waf.Report {
	t.Helper()
	report, err := c.run(t, f, generation, wants)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Enforced(region, awswaf.Regional, webACL); len(got) != len(wants) {
		t.Fatalf("%d enforced, want %d", len(got), len(wants))
	}
	return report
}

func TestTheGeneratedRule(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	rule := func() string {
		t.Helper()
		rules, err := c.Rules(region, awswaf.Regional, acl)
		if err != nil {
			t.Fatal(err)
		}
		// Ids differ; the rest is the golden text.
		text := rules["tracewall-edge"]
		out, err := c.sdk().ListIPSets(t.Context(), &wafv2.ListIPSetsInput{Scope: types.ScopeRegional})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range out.IPSets {
			text = strings.ReplaceAll(text, *s.ARN, *s.Name)
		}
		return text
	}
	c.mustRun(t, c.open(t), 1, hosts(0, 5))
	const head = `{"Name":"tracewall-edge","Priority":102,"Statement":`
	const tail = `,"Action":{"Block":{}},"VisibilityConfig":{"SampledRequestsEnabled":true,"CloudWatchMetricsEnabled":true,"MetricName":"tracewall-edge_Metric"}}`
	const one = `{"IPSetReferenceStatement":{"ARN":"tracewall-edge-v4-001"}}`
	const two = `{"IPSetReferenceStatement":{"ARN":"tracewall-edge-v4-002"}}`
	if got, want := rule(), head+one+tail; got != want {
		t.Errorf("one set:\n got %s\nwant %s", got, want)
	}
	c.mustRun(t, c.open(t), 2, hosts(0, 15))
	if got, want := rule(), head+`{"OrStatement":{"Statements":[`+one+`,`+two+`]}}`+tail; got != want {
		t.Errorf("two sets:\n got %s\nwant %s", got, want)
	}

	c.target.Action, c.target.Priority = awswaf.ActionCount, 7
	report, err := c.run(t, c.open(t), 2, hosts(0, 15))
	if err != nil || report.Writes != 1 || len(c.enforced()) != 0 {
		t.Errorf("to count: %v, %d writes, %d blocked", err, report.Writes, len(c.enforced()))
	}
	if got := rule(); !strings.Contains(got, `"Priority":7,`) || !strings.Contains(got, `"Action":{"Count":{}}`) {
		t.Errorf("rule = %s", got)
	}
	want := []string{"action is count: nothing is blocked", "rule office-allow (priority 0) allows requests before our rule sees them"}
	if report, err = c.run(t, c.open(t), 2, hosts(0, 15)); err != nil || report.Writes != 0 {
		t.Errorf("again: %v, %q", err, report.Plan)
	}
	if diff := cmp.Diff(want, report.Notes); diff != "" {
		t.Error(diff)
	}
}

func TestEvaluateFollowsTheUsersOrder(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	wants := append(hosts(0, 5), waf.Want{Prefix: netip.MustParsePrefix("198.51.100.7/32")})
	c.mustRun(t, c.open(t), 1, wants)
	for addr, want := range map[string]string{
		"203.0.0.2":    "Block tracewall-edge",
		"198.51.100.7": "Allow office-allow",
		"192.0.2.1":    "Allow ",
	} {
		action, rule, err := c.Evaluate(region, awswaf.Regional, acl, netip.MustParseAddr(addr))
		if got := action + " " + rule; err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", addr, got, err, want)
		}
	}
}

func TestCallsPerRun(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	warm := c.open(t)
	ops := func(f waf.Firewall, generation uint64, wants []waf.Want) string {
		t.Helper()
		c.Forget()
		report := c.mustRun(t, f, generation, wants)
		var list []string
		writes := 0
		for _, call := range c.Calls() {
			list = append(list, call.Op)
			if call.Write() {
				writes++
			}
		}
		if report.Calls != len(list) || report.Writes != writes {
			t.Errorf("report says %d calls, %d writes; there were %d, %d", report.Calls, report.Writes, len(list), writes)
		}
		return strings.Join(list, " ")
	}
	for _, step := range []struct {
		name  string
		f     waf.Firewall
		wants []waf.Want
		want  string
	}{
		{"cold", warm, hosts(0, 15), "ListIPSets ListWebACLs GetWebACL UpdateIPSet UpdateWebACL CreateIPSet CreateIPSet UpdateWebACL ListResourcesForWebACL"},
		{"nothing changed, warm", warm, hosts(0, 15), "ListIPSets GetWebACL"},
		{"nothing changed, a new process", c.open(t), hosts(0, 15), "ListIPSets GetWebACL"},
		{"one gone and one come, warm", warm, hosts(1, 15), "ListIPSets GetWebACL UpdateIPSet"},
		{"one gone and one come, a new process", c.open(t), hosts(2, 15), "ListIPSets GetWebACL GetIPSet GetIPSet UpdateIPSet"},
		{"one come, warm again: reads only what another process wrote", warm, hosts(2, 16), "ListIPSets GetWebACL GetIPSet UpdateIPSet"},
	} {
		if got := ops(step.f, 1, step.wants); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
}

// TestThePlanIsWhatHappens compares the plan's lines with the calls that the service saw.
func TestThePlanIsWhatHappens(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	for i, wants := range [][]waf.Want{hosts(0, 25), hosts(5, 40), hosts(40, 3), hosts(40, 3), hosts(40, 3)} {
		dry := on(c.open(t), 10)
		dry.DryRun = true
		said, err := dry.Reconcile(t.Context(), waf.Desired{Wants: wants, Epoch: "epoch-1", Generation: uint64(i)})
		if err != nil || said.Writes != 0 {
			t.Fatalf("dry run: %v, %d writes", err, said.Writes)
		}
		before := c.Sets(region, awswaf.Regional)
		c.Forget()
		did := c.mustRun(t, c.open(t), uint64(i), wants)
		if diff := cmp.Diff(strings.Join(said.Plan, "\n"), strings.Join(did.Plan, "\n")); diff != "" {
			t.Errorf("run %d: dry and real plan differ:\n%s", i, diff)
		}
		var calls []string
		for _, call := range c.Calls() {
			if call.Write() && call.Changed { // a probe changes nothing
				calls = append(calls, call.Op+" "+call.Name)
			}
		}
		var lines []string
		after := c.Sets(region, awswaf.Regional)
		for _, line := range did.Plan {
			word := strings.Fields(line)
			switch word[0] {
			case "create":
				lines = append(lines, "CreateIPSet "+word[1])
			case "fill", "trim", "retire":
				lines = append(lines, "UpdateIPSet "+word[1])
			case "reference", "unreference":
				lines = append(lines, "UpdateWebACL "+acl)
			case "delete":
				lines = append(lines, "DeleteIPSet "+word[1])
			}
			if word[0] == "fill" || word[0] == "trim" {
				var plus, minus, total int
				if _, err := fmt.Sscanf(strings.Join(word[2:], " "), "+%d -%d = %d", &plus, &minus, &total); err != nil || before[word[1]]+plus-minus != total {
					t.Errorf("%q: the set had %d", line, before[word[1]])
				}
				if total != after[word[1]] {
					t.Errorf("%q: the set has %d", line, after[word[1]])
				}
			}
		}
		if diff := cmp.Diff(lines, calls); diff != "" {
			t.Errorf("run %d: plan and calls differ (-plan +calls):\n%s", i, diff)
		}
	}
}

func TestTakenNames(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	theirs := func(name string) string {
		out, err := c.sdk().CreateIPSet(t.Context(), &wafv2.CreateIPSetInput{
			Name: &name, Scope: types.ScopeRegional, IPAddressVersion: types.IPAddressVersionIpv4, Addresses: []string{"192.0.2.0/24"},
		})
		if err != nil {
			t.Fatal(err)
		}
		return *out.Summary.ARN
	}
	theirs("tracewall-edge-v4-001")
	theirs("tracewall-edge-v4-002-old")
	c.mustRun(t, c.open(t), 1, hosts(0, 5))
	c.mustRun(t, c.open(t), 2, hosts(3, 9))
	want := map[string]int{"shop-office": 1, "tracewall-edge-v4-001": 1, "tracewall-edge-v4-002": 9, "tracewall-edge-v4-002-old": 1}
	if diff := cmp.Diff(want, c.Sets(region, awswaf.Regional)); diff != "" {
		t.Error(diff)
	}
}

func TestARuleWithOurNameThatIsNotOursIsLeftAlone(t *testing.T) {
	for name, statement := range map[string]string{
		"it refers to somebody's set": `{"IPSetReferenceStatement":{"ARN":"OFFICE"}}`,
		"ours and somebody's":         `{"OrStatement":{"Statements":[{"IPSetReferenceStatement":{"ARN":"OURS"}},{"IPSetReferenceStatement":{"ARN":"OFFICE"}}]}}`,
		"it refers to no set":         `{"GeoMatchStatement":{"CountryCodes":["DE"]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, waftest.AWSOptions{})
			c.mustRun(t, c.open(t), 1, hosts(0, 5))
			client := c.sdk()
			arns := map[string]string{}
			list, err := client.ListIPSets(t.Context(), &wafv2.ListIPSetsInput{Scope: types.ScopeRegional})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range list.IPSets {
				arns[*s.Name] = *s.ARN
			}
			text := strings.NewReplacer("OFFICE", arns["shop-office"], "OURS", arns["tracewall-edge-v4-001"]).Replace(statement)
			c.setRule(t, func(rule map[string]json.RawMessage) { rule["Statement"] = json.RawMessage(text) })
			c.Forget()
			_, err = c.run(t, c.open(t), 2, hosts(0, 6))
			if !errors.Is(err, waf.ErrForeign) || slices.ContainsFunc(c.Calls(), waftest.Call.Write) {
				t.Errorf("error %v, want ErrForeign and no write", err)
			}
		})
	}
}

// setRule edits our rule as somebody else would, at the service itself.
func (c *cloud) setRule(t *testing.T, edit func(map[string]json.RawMessage)) {
	t.Helper()
	client := c.sdk()
	list, err := client.ListWebACLs(t.Context(), &wafv2.ListWebACLsInput{Scope: types.ScopeRegional})
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.GetWebACL(t.Context(), &wafv2.GetWebACLInput{Name: list.WebACLs[0].Name, Id: list.WebACLs[0].Id, Scope: types.ScopeRegional})
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := c.Snapshot(region, awswaf.Regional, acl)
	if err != nil {
		t.Fatal(err)
	}
	var rules []map[string]json.RawMessage
	if err := json.Unmarshal(snapshot["Rules"], &rules); err != nil {
		t.Fatal(err)
	}
	body := map[string]any{"Name": acl, "Scope": awswaf.Regional, "Id": *list.WebACLs[0].Id, "LockToken": *got.LockToken}
	for _, key := range []string{"DefaultAction", "VisibilityConfig", "CustomResponseBodies"} {
		body[key] = snapshot[key]
	}
	kept := rules[:0]
	for _, rule := range rules {
		if string(rule["Name"]) == `"tracewall-edge"` {
			edit(rule)
		}
		if rule["Name"] != nil {
			kept = append(kept, rule)
		}
	}
	body["Rules"] = kept
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.UpdateWebACL(t.Context(), &wafv2.UpdateWebACLInput{
		Name: list.WebACLs[0].Name, Scope: types.ScopeRegional, Id: list.WebACLs[0].Id, LockToken: got.LockToken,
		DefaultAction: &types.DefaultAction{}, VisibilityConfig: &types.VisibilityConfig{MetricName: aws.String("m")},
	}, awswaf.SendBody(raw))
	if err != nil {
		t.Fatal(err)
	}
}

func TestDriftIsRepaired(t *testing.T) {
	for name, edit := range map[string]func(map[string]json.RawMessage){
		"the action was changed":   func(r map[string]json.RawMessage) { r["Action"] = json.RawMessage(`{"Count":{}}`) },
		"the priority was changed": func(r map[string]json.RawMessage) { r["Priority"] = json.RawMessage(`900`) },
		"the metric was switched": func(r map[string]json.RawMessage) {
			r["VisibilityConfig"] = json.RawMessage(`{"SampledRequestsEnabled":false,"CloudWatchMetricsEnabled":true,"MetricName":"x"}`)
		},
		"the rule was deleted": func(r map[string]json.RawMessage) { delete(r, "Name") },
		"a condition was put around": func(r map[string]json.RawMessage) {
			r["Statement"] = json.RawMessage(`{"AndStatement":{"Statements":[` + string(r["Statement"]) + `,{"GeoMatchStatement":{"CountryCodes":["DE"]}}]}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, waftest.AWSOptions{})
			f := c.open(t)
			c.mustRun(t, f, 1, hosts(0, 15))
			c.setRule(t, edit)
			if report := c.mustRun(t, f, 1, hosts(0, 15)); report.Writes != 1 {
				t.Errorf("plan %q, want one write", report.Plan)
			}
			if report := c.mustRun(t, f, 1, hosts(0, 15)); report.Writes != 0 {
				t.Errorf("again: %q", report.Plan)
			}
		})
	}
}

func TestASetThatSomebodyEdited(t *testing.T) {
	for _, keep := range []bool{true, false} {
		t.Run(fmt.Sprintf("description kept %t", keep), func(t *testing.T) {
			c := newCloud(t, waftest.AWSOptions{})
			warm := c.open(t)
			c.mustRun(t, warm, 1, hosts(0, 15))
			client := c.sdk()
			list, err := client.ListIPSets(t.Context(), &wafv2.ListIPSetsInput{Scope: types.ScopeRegional})
			if err != nil {
				t.Fatal(err)
			}
			s := list.IPSets[slices.IndexFunc(list.IPSets, func(s types.IPSetSummary) bool { return *s.Name == "tracewall-edge-v4-001" })]
			in := &wafv2.UpdateIPSetInput{Name: s.Name, Id: s.Id, Scope: types.ScopeRegional, LockToken: s.LockToken, Addresses: []string{"192.0.2.99/32"}}
			if keep {
				in.Description = s.Description
			}
			if _, err := client.UpdateIPSet(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			f := warm // remembers the lock token and so sees the edit in any case
			if !keep {
				f = c.open(t) // a new process sees that the description is gone, and knows the set by its tag
			}
			c.mustRun(t, f, 1, hosts(0, 15))
			if slices.Contains(c.enforced(), netip.MustParsePrefix("192.0.2.99/32")) {
				t.Error("the outsider's address is still blocked")
			}
			if r := c.mustRun(t, c.open(t), 1, hosts(0, 15)); r.Writes != 0 {
				t.Errorf("again: %q", r.Plan)
			}
		})
	}
}

func TestReferencesOfTheUserCount(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{}) // the user's own: 1 of 50
	report, err := on(c.open(t), 1).Reconcile(t.Context(), waf.Desired{Wants: hosts(0, 60), Epoch: "e", Generation: 1})
	if err != nil {
		t.Fatal(err)
	}
	if report.Desired != 60 || report.Enforced != 49 || report.Overflow != 11 || len(c.enforced()) != 49 {
		t.Errorf("desired %d, enforced %d, overflow %d", report.Desired, report.Enforced, report.Overflow)
	}
	if r, err := on(c.open(t), 1).Reconcile(t.Context(), waf.Desired{Wants: hosts(0, 60), Epoch: "e", Generation: 1}); err != nil || r.Writes != 0 || r.Overflow != 11 || r.Enforced != 49 {
		t.Errorf("again: %v, %+v", err, r)
	}
}

func TestManySetsInTheAccount(t *testing.T) {
	for name, opts := range map[string]waftest.AWSOptions{"full pages": {MaxSets: 500}, "short pages": {MaxSets: 500, Page: 7, AlwaysMarker: true}} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, opts)
			client := c.sdk()
			for i := range 130 {
				_, err := client.CreateIPSet(t.Context(), &wafv2.CreateIPSetInput{
					Name: aws.String(fmt.Sprintf("other-%03d", i)), Scope: types.ScopeRegional, IPAddressVersion: types.IPAddressVersionIpv4, Addresses: []string{},
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			c.mustRun(t, c.open(t), 1, hosts(0, 45))
			c.mustRun(t, c.open(t), 2, hosts(10, 45))
			c.mustRun(t, c.open(t), 2, hosts(10, 5))
		})
	}
}

func TestCloudFrontIsInVirginia(t *testing.T) {
	c := emptyCloud(t, waftest.AWSOptions{})
	c.target.Scope, c.target.Region = awswaf.CloudFront, ""
	if _, err := c.run(t, c.open(t), 1, hosts(0, 12)); err != nil {
		t.Fatal(err)
	}
	if got := c.Enforced("us-east-1", awswaf.CloudFront, acl); len(got) != 12 {
		t.Errorf("%d enforced, want 12", len(got))
	}
	for _, call := range c.Calls() {
		if call.Region != "us-east-1" {
			t.Errorf("%s went to %s", call.Op, call.Region)
		}
	}
}

func TestPaceIsPerActionAndRegion(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	const every = 20 * time.Millisecond
	began := time.Now()
	c.mustRun(t, c.open(t, awswaf.WithPace(awswaf.NewPace(every, 0))), 1, hosts(0, 45))
	if took := time.Since(began); took < 4*every {
		t.Errorf("five creates took %s, want at least %s", took, 4*every)
	}
	// An hour between two calls of the same action: three targets in three Regions share
	// the Pace and do not wait for one another, nor do the three actions of a run.
	pace := awswaf.NewPace(time.Hour, time.Hour)
	for _, r := range []string{"eu-west-1", "us-east-1", "us-west-2"} {
		c := emptyCloud(t, waftest.AWSOptions{})
		c.target.Region = r
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err := on(c.open(t, awswaf.WithPace(pace)), 10).Reconcile(ctx, waf.Desired{Wants: hosts(0, 3), Epoch: "e"})
		cancel()
		if err != nil || len(c.Enforced(r, awswaf.Regional, acl)) != 3 {
			t.Errorf("%s: %v", r, err)
		}
	}
}

func TestThePaceStopsARunBeforeItsDeadline(t *testing.T) {
	c := emptyCloud(t, waftest.AWSOptions{})
	f := c.open(t, awswaf.WithPace(awswaf.NewPace(time.Hour, 0)))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	began := time.Now()
	report, err := on(f, 10).Reconcile(ctx, waf.Desired{Wants: hosts(0, 45), Epoch: "e", Generation: 1})
	if !errors.Is(err, waf.ErrOutOfTime) || time.Since(began) > 5*time.Second {
		t.Errorf("error %v after %s, want ErrOutOfTime at once", err, time.Since(began))
	}
	if report.Enforced != 10 || len(report.Remaining) != 5 {
		t.Errorf("enforced %d, remaining %q; want the one set that there was time for, in force", report.Enforced, report.Remaining)
	}
}
