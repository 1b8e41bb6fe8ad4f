package awswaf_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// TestEverythingComesBackUnchanged: every kind of statement, field, action and setting there is, and some
// that no SDK knows, through a life of our rule: made, changed, moved, given a body, taken away.
func TestEverythingComesBackUnchanged(t *testing.T) {
	for _, position := range []string{"", awswaf.PositionFirst, awswaf.PositionLast} {
		c := emptyCloud(t, waftest.AWSOptions{})
		if err := c.SeedEverything(region, awswaf.Regional, acl); err != nil {
			t.Fatal(err)
		}
		want, _, _ := c.theirsAt(t)
		if len(want.Rules) < 30 {
			t.Fatalf("only %d rules", len(want.Rules))
		}
		c.target.Position = position
		for i, step := range []struct {
			wants    []waf.Want
			action   string
			response *awswaf.Response
		}{
			{hosts(0, 5), awswaf.ActionBlock, nil},
			{hosts(0, 25), awswaf.ActionBlock, &awswaf.Response{Code: 429, Body: "<p>slow & down</p>", ContentType: "TEXT_HTML"}},
			{hosts(0, 25), awswaf.ActionBlock, &awswaf.Response{Code: 403, Body: "no", Headers: map[string]string{"x-why": "listed"}}},
			{hosts(5, 10), awswaf.ActionChallenge, nil},
			{nil, awswaf.ActionCount, nil},
			{nil, awswaf.ActionCount, nil},
		} {
			c.target.Action, c.target.Response = step.action, step.response
			if _, err := c.run(t, c.open(t), uint64(i), step.wants); err != nil {
				t.Fatal(err)
			}
			got, _, body := c.theirsAt(t)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("position %q, step %d:\n%s", position, i, diff)
			}
			if (body == "") != (step.response == nil) {
				t.Errorf("step %d: body %s", i, body)
			}
		}
	}
}

// TestWhatWeDoAboutEveryFieldOfUpdateWebACL fails when the SDK gains a field: UpdateWebACL deletes what it is not
// sent, so somebody must look whether sending it back is right.
func TestWhatWeDoAboutEveryFieldOfUpdateWebACL(t *testing.T) {
	const (
		ours   = "ours to say"
		back   = "sent back as it is"
		merged = "sent back as it is but for ours"
		never  = "left out"
	)
	want := map[string]string{
		"Name": ours, "Scope": ours, "Id": ours, "LockToken": ours,
		"Rules": merged, "CustomResponseBodies": merged,
		"DefaultAction": back, "VisibilityConfig": back, "Description": back, "CaptchaConfig": back, "ChallengeConfig": back, "TokenDomains": back,
		"AssociationConfig": back, "DataProtectionConfig": back, "OnSourceDDoSProtectionConfig": back,
		"ApplicationConfig": never, // left out it stays; sent back it can only fail
	}
	c := newCloud(t, waftest.AWSOptions{})
	c.target.Response = &awswaf.Response{Code: 403, Body: "no"}
	before, err := c.Snapshot(region, awswaf.Regional, acl)
	if err != nil {
		t.Fatal(err)
	}
	sent := awswaf.Request(t, c.open(t), ipSet)
	for f := range reflect.TypeFor[wafv2.UpdateWebACLInput]().Fields() {
		if !f.IsExported() {
			continue
		}
		does, known := want[f.Name]
		delete(want, f.Name)
		raw, is := sent[f.Name]
		was := before[f.Name]
		ok := false
		switch does {
		case ours:
			ok = is
		case back:
			ok = string(raw) == string(was) && len(was) > 2
		case merged:
			ok = is && string(raw) != string(was) && strings.Contains(string(raw), "tracewall-edge") && strings.Contains(string(raw), "slow")
		case never:
			ok = !is && len(was) > 2
		}
		if !known || !ok {
			t.Errorf("%s (%s): was %s, sent %s. If it is new: GetWebACL shows it, so it is sent back as it is; look whether that is right, seed it in waftest, and list it here", f.Name, does, was, raw)
		}
	}
	if len(want) > 0 {
		t.Errorf("the SDK has no longer %v", want)
	}
	if string(sent["FutureConfig"]) != string(before["FutureConfig"]) {
		t.Errorf("a field that the SDK does not know is lost: %s", sent["FutureConfig"])
	}
	// What GetWebACL shows and UpdateWebACL has no field for must not be sent: AWS refuses what it does not know.
	in := reflect.TypeFor[wafv2.UpdateWebACLInput]()
	for f := range reflect.TypeOf(wafv2.GetWebACLOutput{}.WebACL).Elem().Fields() {
		if _, takes := in.FieldByName(f.Name); f.IsExported() && !takes && !slices.Contains(awswaf.OutputOnly, f.Name) {
			t.Errorf("%s of a web ACL is new and UpdateWebACL does not take it: add it to outputOnly", f.Name)
		}
	}
}

func TestOurCustomResponseIsKept(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	plain, _, _ := c.theirsAt(t)
	c.target.Response = &awswaf.Response{Code: 429, Body: "<p>slow</p>", ContentType: "TEXT_HTML", Headers: map[string]string{"retry-after": "60"}}
	c.mustRun(t, c.open(t), 1, hosts(0, 5))
	const body = `{"Content":"\u003cp\u003eslow\u003c/p\u003e","ContentType":"TEXT_HTML"}`
	check := func(when string, writes int, report waf.Report, want string) {
		t.Helper()
		theirs, rule, got := c.theirsAt(t)
		if report.Writes != writes || got != want {
			t.Errorf("%s: %d writes, want %d (%q); body %s, want %s", when, report.Writes, writes, report.Plan, got, want)
		}
		if rule != "" && strings.Contains(rule, `"CustomResponseBodyKey":"tracewall-edge"`) != (want != "") {
			t.Errorf("%s: rule %s", when, rule)
		}
		if diff := cmp.Diff(plain, theirs); diff != "" {
			t.Errorf("%s: %s", when, diff)
		}
	}
	check("again", 0, c.mustRun(t, c.open(t), 1, hosts(0, 5)), body)

	e := newEditor(t, c, 1)
	somebody := func(edit func()) {
		t.Helper()
		e.token = ""
		e.step() // reads
		edit()
		if err := e.write(e.read); err != nil {
			t.Fatal(err)
		}
	}
	somebody(func() { e.ours[1] = strings.Replace(e.ours[1], "slow", "SLOW", 1) })
	check("the body was edited", 1, c.mustRun(t, c.open(t), 1, hosts(0, 5)), body)
	somebody(func() { e.ours[1] = strings.Replace(e.ours[1], "TEXT_HTML", "TEXT_PLAIN", 1) })
	check("its type was edited", 1, c.mustRun(t, c.open(t), 1, hosts(0, 5)), body)
	somebody(func() {
		e.ours[0] = strings.Replace(e.ours[0], `"CustomResponseBodyKey":"tracewall-edge",`, "", 1)
		e.ours[1] = ""
	})
	check("the body was removed", 1, c.mustRun(t, c.open(t), 1, hosts(0, 5)), body)

	response := c.target.Response
	c.target.Response = nil
	check("it is not configured any more", 1, c.mustRun(t, c.open(t), 1, hosts(0, 5)), "")
	check("and again", 0, c.mustRun(t, c.open(t), 1, hosts(0, 5)), "")

	// One that is there while there is no rule of ours, and no need for one, goes again.
	c.mustRun(t, c.open(t), 2, nil)
	somebody(func() { e.ours = [2]string{"", `{"Content":"x","ContentType":"TEXT_HTML"}`} })
	c.target.Response = response
	check("it came back without a rule, whose set is deleted", 2, c.mustRun(t, c.open(t), 2, nil), "")
	check("and again", 0, c.mustRun(t, c.open(t), 2, nil), "")

	// A body that a rule of the user's has come to use stays: AWS would refuse the whole update.
	c.mustRun(t, c.open(t), 3, hosts(0, 5))
	somebody(func() {
		e.read.Rules[2] = strings.Replace(e.read.Rules[2], `"CustomResponseBodyKey":"slow"`, `"CustomResponseBodyKey":"tracewall-edge"`, 1)
	})
	if !strings.Contains(e.read.Rules[2], "tracewall-edge") {
		t.Fatal(e.read.Rules[2])
	}
	c.target.Response = nil
	for range 2 {
		if _, err := c.run(t, c.open(t), 3, hosts(0, 5)); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, got := c.theirsAt(t); got == "" {
		t.Error("a body that the user's rule needs is gone")
	}
	if r := c.mustRun(t, c.open(t), 3, hosts(0, 5)); r.Writes != 0 {
		t.Errorf("not at rest: %q", r.Plan)
	}
}

func TestFirewallManagersWebACLIsLeftAlone(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	if err := c.Manage(region, awswaf.Regional, acl, waftest.FirewallManager{}); err != nil {
		t.Fatal(err)
	}
	report, err := c.run(t, c.open(t), 1, hosts(0, 5))
	if !errors.Is(err, waf.ErrManaged) || !strings.Contains(err.Error(), `set "mode" to "rule-group"`) || report.Writes != 0 || slices.ContainsFunc(c.Calls(), waftest.Call.Write) {
		t.Errorf("%v, %d writes", err, report.Writes)
	}
}

// TestFirewallManagerComesMeanwhile: it takes the web ACL over between our look and our write.
func TestFirewallManagerComesMeanwhile(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	done := false
	c.Before(func(call waftest.Call) *waftest.Fault {
		if call.Op == "UpdateWebACL" && !done {
			done = true
			if err := c.Manage(region, awswaf.Regional, acl, waftest.FirewallManager{}); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
	_, err := c.run(t, c.open(t), 1, hosts(0, 5))
	if _, rule, _ := c.theirsAt(t); !errors.Is(err, waf.ErrManaged) || rule != "" {
		t.Errorf("%v, rule %s", err, rule)
	}
}

func TestRetrofittedAndShielded(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	if err := c.Manage(region, awswaf.Regional, acl, waftest.FirewallManager{Retrofitted: true, First: []string{"AWSManagedRulesCommonRuleSet"}}); err != nil {
		t.Fatal(err)
	}
	shield, err := c.Shield(region, awswaf.Regional, acl)
	if err != nil {
		t.Fatal(err)
	}
	want, _, _ := c.theirsAt(t)
	c.target.Position = awswaf.PositionLast
	report := c.mustRun(t, c.open(t), 1, hosts(0, 5))
	got, rule, _ := c.theirsAt(t)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var ours struct{ Priority int64 }
	if err := json.Unmarshal([]byte(rule), &ours); err != nil || ours.Priority != 10_000_001 {
		t.Errorf("priority %d, %v", ours.Priority, err)
	}
	count := func(part string) (n int) {
		for _, note := range report.Notes {
			if strings.Contains(note, part) {
				n++
			}
		}
		return n
	}
	if count("rule "+shield+" (priority 10000000) is Shield Advanced's own: it stays as it is") != 1 || count("Firewall Manager has put rule groups of its own around") != 1 {
		t.Errorf("notes %q", report.Notes)
	}
}

// TestFirewallManagersReferencesCount: the 50 references of a web ACL are also those of the groups that
// Firewall Manager put around, which are not among its rules.
func TestFirewallManagersReferencesCount(t *testing.T) {
	c := emptyCloud(t, waftest.AWSOptions{})
	if err := c.SeedEverything(region, awswaf.Regional, acl); err != nil {
		t.Fatal(err)
	}
	before, err := c.open(t).Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	by := waftest.FirewallManager{Retrofitted: true, First: []string{acl + "-group", "AWSManagedRulesCommonRuleSet"}, Last: []string{acl + "-group"}}
	if err := c.Manage(region, awswaf.Regional, acl, by); err != nil {
		t.Fatal(err)
	}
	if after, err := c.open(t).Look(t.Context()); err != nil || after.RoomSets != before.RoomSets-2 {
		t.Errorf("room for %d, then %d, %v; want two less", before.RoomSets, after.RoomSets, err)
	}
}
