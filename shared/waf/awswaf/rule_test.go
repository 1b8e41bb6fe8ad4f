package awswaf_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func setARN(name string) string {
	return "arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/" + name + "/" + setID
}

var (
	block1 = setARN("tracewall-edge-v4-001")
	block2 = setARN("tracewall-edge-v6-001")
	spare1 = setARN("tracewall-edge-v4-except-001")
	spare2 = setARN("tracewall-edge-v6-except-001")
)

func newFirewall(t *testing.T, edit func(*awswaf.Target)) *awswaf.Firewall {
	t.Helper()
	target := awswaf.Target{Name: "edge", Region: region, WebACL: acl, Priority: 101}
	if edit != nil {
		edit(&target)
	}
	f, err := awswaf.New(aws.Config{}, target)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTheRuleBlocksTheSetsAndNotTheExceptions(t *testing.T) {
	names := func(raw json.RawMessage) string {
		s := strings.NewReplacer(block1, "B1", block2, "B2", spare1, "S1", spare2, "S2").Replace(string(raw))
		var rule struct{ Statement json.RawMessage }
		if raw == nil {
			return ""
		}
		if err := json.Unmarshal([]byte(s), &rule); err != nil {
			t.Fatal(err)
		}
		return string(rule.Statement)
	}
	ref := func(arn string) string { return `{"IPSetReferenceStatement":{"ARN":"` + arn + `"}}` }
	or := func(arns ...string) string {
		var list []string
		for _, arn := range arns {
			list = append(list, ref(arn))
		}
		return `{"OrStatement":{"Statements":[` + strings.Join(list, ",") + `]}}`
	}
	and := func(a, b string) string {
		return `{"AndStatement":{"Statements":[` + a + `,{"NotStatement":{"Statement":` + b + `}}]}}`
	}
	f := newFirewall(t, nil)
	for want, arns := range map[string][]string{
		ref("B1"):                           {block1},
		or("B1", "B2"):                      {block1, block2},
		and(ref("B1"), ref("S1")):           {spare1, block1},
		and(or("B1", "B2"), ref("S1")):      {block1, spare1, block2},
		and(or("B1", "B2"), or("S1", "S2")): {block1, block2, spare1, spare2},
	} {
		if got := names(awswaf.OurRule(f, arns, 7)); got != want {
			t.Errorf("%q:\n got %s\nwant %s", arns, got, want)
		}
	}
	for _, arns := range [][]string{nil, {spare1}, {spare1, spare2}} {
		if got := awswaf.OurRule(f, arns, 7); got != nil {
			t.Errorf("a rule that blocks all but the exceptions: %s", got)
		}
	}
}

func TestTheRuleAsConfigured(t *testing.T) {
	const head, tail = `{"Name":"tracewall-edge","Priority":7,"Statement":`, `,"VisibilityConfig":{"SampledRequestsEnabled":true,"CloudWatchMetricsEnabled":true,"MetricName":"tracewall-edge_Metric"}}`
	plain := `{"IPSetReferenceStatement":{"ARN":"` + block1 + `"}}`
	forwarded := `{"IPSetReferenceStatement":{"ARN":"ARN","IPSetForwardedIPConfig":{"HeaderName":"X-Forwarded-For","FallbackBehavior":"NO_MATCH","Position":"LAST"}}}`
	for name, c := range map[string]struct {
		edit         func(*awswaf.Target)
		arns         []string
		want, bodies string
	}{
		"challenge": {func(t *awswaf.Target) { t.Action = awswaf.ActionChallenge }, []string{block1}, head + plain + `,"Action":{"Challenge":{}}` + tail, ""},
		"captcha":   {func(t *awswaf.Target) { t.Action = awswaf.ActionCaptcha }, []string{block1}, head + plain + `,"Action":{"Captcha":{}}` + tail, ""},
		"a custom response with everything": {
			func(t *awswaf.Target) {
				t.Response = &awswaf.Response{Code: 429, Body: "<p>slow & \"down\"</p>\n", ContentType: "TEXT_HTML", Headers: map[string]string{"x-b": "2", "x-a": "1"}}
			},
			[]string{block1},
			head + plain + `,"Action":{"Block":{"CustomResponse":{"CustomResponseBodyKey":"tracewall-edge","ResponseCode":429,"ResponseHeaders":[{"Name":"x-a","Value":"1"},{"Name":"x-b","Value":"2"}]}}}` + tail,
			`{"tracewall-edge":{"Content":"\u003cp\u003eslow \u0026 \"down\"\u003c/p\u003e\n","ContentType":"TEXT_HTML"}}`,
		},
		"a custom response with a code only": {
			func(t *awswaf.Target) { t.Response = &awswaf.Response{Code: 404} },
			[]string{block1},
			head + plain + `,"Action":{"Block":{"CustomResponse":{"ResponseCode":404}}}` + tail, "",
		},
		"an address in a header, for every set": {
			func(t *awswaf.Target) {
				t.Forwarded = &awswaf.Forwarded{Header: "X-Forwarded-For", Position: "LAST", Fallback: "NO_MATCH"}
			},
			[]string{block1, spare1},
			head + `{"AndStatement":{"Statements":[` + strings.Replace(forwarded, `"ARN":"ARN"`, `"ARN":"`+block1+`"`, 1) +
				`,{"NotStatement":{"Statement":` + strings.Replace(forwarded, `"ARN":"ARN"`, `"ARN":"`+spare1+`"`, 1) + `}}]}},"Action":{"Block":{}}` + tail, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFirewall(t, c.edit)
			raw := awswaf.OurRule(f, c.arns, 7)
			if diff := cmp.Diff(c.want, string(raw)); diff != "" {
				t.Error(diff)
			}
			if got := string(awswaf.Bodies(f)); got != c.bodies {
				t.Errorf("bodies %s, want %s", got, c.bodies)
			}
			if !awswaf.RuleStands(f, raw) || !awswaf.BodiesStand(f, awswaf.Bodies(f)) {
				t.Error("what was just made is not recognised")
			}
			if f2 := newFirewall(t, func(t *awswaf.Target) { t.Action = awswaf.ActionCount }); awswaf.RuleStands(f2, raw) {
				t.Error("also taken for that of a target which only counts")
			}
		})
	}
}

// TestWhatAWSMayAddIsNotDrift and what somebody has edited is: an answer that is
// taken for drift though nobody changed anything costs a write in every run, for ever.
func TestWhatAWSMayAddIsNotDrift(t *testing.T) {
	f := newFirewall(t, func(t *awswaf.Target) {
		t.Response = &awswaf.Response{Code: 429, Body: "slow", Headers: map[string]string{"x-a": "1", "x-b": "2"}}
		t.Forwarded = &awswaf.Forwarded{Header: "X-Forwarded-For", Position: "LAST"}
	})
	text := string(awswaf.OurRule(f, []string{block1, block2, spare1}, 7))
	for _, c := range []struct {
		name, old, new string
		want           bool
	}{
		{"members that are null", `"Name":"tracewall-edge",`, `"Name":"tracewall-edge","OverrideAction":null,"RuleLabels":null,"CaptchaConfig":null,`, true},
		{"members that are empty", `"Name":"tracewall-edge",`, `"Name":"tracewall-edge","RuleLabels":[],"ChallengeConfig":{},`, true},
		{"a member of a rule that nobody knows", `"Name":"tracewall-edge",`, `"Name":"tracewall-edge","Since":"2027",`, true},
		{"a member of a reference that nobody knows", `"ARN":`, `"Depth":2,"ARN":`, true},
		{"a member of the metrics that nobody knows", `"MetricName":`, `"Detail":"low","MetricName":`, true},
		{"a member of the forwarded address that nobody knows", `"Position":`, `"Trust":1,"Position":`, true},
		{"the header's name in lower case", `"X-Forwarded-For"`, `"x-forwarded-for"`, true},
		{"the answer's headers in another order", `[{"Name":"x-a","Value":"1"},{"Name":"x-b","Value":"2"}]`, `[{"Value":"2","Name":"X-B"},{"Name":"x-a","Value":"1"}]`, true},

		{"another header", `"X-Forwarded-For"`, `"X-Real-IP"`, false},
		{"another position in one reference", `"LAST"`, `"ANY"`, false},
		{"another fallback in one reference", `"NO_MATCH"`, `"MATCH"`, false},
		{"no forwarded address in one reference", `,"IPSetForwardedIPConfig":{"HeaderName":"X-Forwarded-For","FallbackBehavior":"NO_MATCH","Position":"LAST"}`, ``, false},
		{"another status", `429`, `200`, false},
		{"another body", `"CustomResponseBodyKey":"tracewall-edge"`, `"CustomResponseBodyKey":"slow"`, false},
		{"no body", `"CustomResponseBodyKey":"tracewall-edge",`, ``, false},
		{"a header more", `[{"Name":"x-a","Value":"1"}`, `[{"Name":"x-c","Value":"3"},{"Name":"x-a","Value":"1"}`, false},
		{"a header's value", `"Value":"1"`, `"Value":"7"`, false},
		{"a second action", `"Action":{`, `"Action":{"Count":{},`, false},
		{"another action", `"Block"`, `"Count"`, false},
		{"an override", `"Name":"tracewall-edge",`, `"Name":"tracewall-edge","OverrideAction":{"Count":{}},`, false},
		{"labels", `"Name":"tracewall-edge",`, `"Name":"tracewall-edge","RuleLabels":[{"Name":"x"}],`, false},
		{"another immunity time", `"Name":"tracewall-edge",`, `"Name":"tracewall-edge","CaptchaConfig":{"ImmunityTimeProperty":{"ImmunityTime":60}},`, false},
		{"no metrics", `"CloudWatchMetricsEnabled":true`, `"CloudWatchMetricsEnabled":false`, false},
		{"another metric", `"tracewall-edge_Metric"`, `"x"`, false},
		{"a scope-down within the And", `,{"NotStatement"`, `,{"GeoMatchStatement":{"CountryCodes":["DE"]}},{"NotStatement"`, false},
		{"a scope-down around all", `"Statement":{"AndStatement":`, `"Statement":{"NotStatement":{},"AndStatement":`, false},
		{"a scope-down that nobody knows yet", `"AndStatement":{`, `"AndStatement":{"ScopeDownStatement":{"GeoMatchStatement":{"CountryCodes":["DE"]}},`, false},
		{"a second kind of statement in a reference", `{"IPSetReferenceStatement":`, `{"GeoMatchStatement":{"CountryCodes":["DE"]},"IPSetReferenceStatement":`, false},
		{"And made an Or", `"AndStatement"`, `"OrStatement"`, false},
		{"Or made an And", `"OrStatement"`, `"AndStatement"`, false},
		{"the exceptions blocked", `{"NotStatement":{"Statement":`, `{"OrStatement":{"Statement":`, false},
		{"custom request handling", `"Block":{`, `"Block":{"CustomRequestHandling":{"InsertHeaders":[{"Name":"x","Value":"y"}]},`, false},
	} {
		if !strings.Contains(text, c.old) {
			t.Fatalf("%s: %s is not in %s", c.name, c.old, text)
		}
		edited := strings.Replace(text, c.old, c.new, 1)
		if got := awswaf.RuleStands(f, json.RawMessage(edited)); got != c.want {
			t.Errorf("%s: taken for ours as configured %t, want %t", c.name, got, c.want)
		}
	}
	// What is not configured is drift too.
	plain := newFirewall(t, nil)
	for _, f2 := range []*awswaf.Firewall{plain, newFirewall(t, func(t *awswaf.Target) { t.Response = &awswaf.Response{Code: 429} })} {
		if awswaf.RuleStands(f2, json.RawMessage(text)) {
			t.Error("a response or a header that nobody asked for is taken for ours")
		}
	}
}

func TestOurBodyStands(t *testing.T) {
	with := newFirewall(t, func(t *awswaf.Target) { t.Response = &awswaf.Response{Code: 429, Body: "<slow>"} })
	without := newFirewall(t, nil)
	for _, c := range []struct {
		bodies              string
		withBody, otherwise bool
	}{
		{``, false, true},
		{`{}`, false, true},
		{`{"slow":{"ContentType":"TEXT_HTML","Content":"x"}}`, false, true},
		{`{"tracewall-edge":{"ContentType":"TEXT_PLAIN","Content":"<slow>"}}`, true, false},
		{`{"slow":{},"tracewall-edge":{"Content":"\u003cslow>","ContentType":"TEXT_PLAIN","Since":"2027"}}`, true, false},
		{`{"tracewall-edge":{"ContentType":"TEXT_HTML","Content":"<slow>"}}`, false, false},
		{`{"tracewall-edge":{"ContentType":"TEXT_PLAIN","Content":"fast"}}`, false, false},
		{`[]`, false, false},
	} {
		if got := awswaf.BodiesStand(with, json.RawMessage(c.bodies)); got != c.withBody {
			t.Errorf("%s with a body configured: %t", c.bodies, got)
		}
		if got := awswaf.BodiesStand(without, json.RawMessage(c.bodies)); got != c.otherwise {
			t.Errorf("%s without: %t", c.bodies, got)
		}
	}
}

func TestWhereExceptionsWork(t *testing.T) {
	for name, c := range map[string]struct {
		target awswaf.Target
		want   bool
	}{
		"the connection's address": {awswaf.Target{}, true},
		"the last of a header":     {awswaf.Target{Forwarded: &awswaf.Forwarded{Position: "LAST", Fallback: "NO_MATCH"}}, true},
		"the first of a header":    {awswaf.Target{Forwarded: &awswaf.Forwarded{Position: "FIRST", Fallback: "NO_MATCH"}}, true},
		"any of a header":          {awswaf.Target{Forwarded: &awswaf.Forwarded{Position: "ANY", Fallback: "NO_MATCH"}}, false},
		"a match without address":  {awswaf.Target{Forwarded: &awswaf.Forwarded{Position: "LAST", Fallback: "MATCH"}}, false},
		"in groups":                {awswaf.Target{Mode: awswaf.ModeRuleGroup}, true},
		"in the user's own sets":   {awswaf.Target{Mode: awswaf.ModeIPSet}, false},
	} {
		if got := c.target.CanExcept(); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
	c := newCloud(t, waftest.AWSOptions{})
	for _, position := range []string{"LAST", "ANY"} {
		c.target.Forwarded = &awswaf.Forwarded{Header: "X-Forwarded-For", Position: position}
		state, err := c.open(t).Look(t.Context())
		if want := position == "LAST"; err != nil || state.CanExcept != want {
			t.Errorf("%s: CanExcept %t, %v; want %t", position, state.CanExcept, err, want)
		}
	}
}

// putAll makes sets of one address each and lets our rule refer to them.
func putAll(t *testing.T, f *awswaf.Firewall, sets map[string]string) {
	t.Helper()
	if _, err := f.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, text := range sets {
		names = append(names, name)
		list := []netip.Prefix{netip.MustParsePrefix(text)}
		set := waf.Set{Name: name, Family: waf.FamilyOf(list[0]), Prefixes: list, Mark: waf.Mark{Epoch: "e", Generation: 1, Count: 1, Sum: waf.SumOf("e", list)}}
		if err := f.Put(t.Context(), set); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(names)
	if err := f.Reference(t.Context(), names, nil); err != nil {
		t.Fatal(err)
	}
}

func TestExceptionsAreSpared(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	f := c.open(t)
	putAll(t, f, map[string]string{
		"tracewall-edge-v4-001": "203.0.113.0/24", "tracewall-edge-v4-002": "192.0.2.7/32", "tracewall-edge-v6-001": "2001:db8::/64",
		"tracewall-edge-v4-except-001": "203.0.113.9/32", "tracewall-edge-v6-except-001": "2001:db8::1/128",
	})
	for addr, want := range map[string]string{
		"203.0.113.8": "Block", "203.0.113.9": "Allow", "192.0.2.7": "Block", "192.0.2.8": "Allow", "2001:db8::2": "Block", "2001:db8::1": "Allow",
	} {
		if action, _, err := c.Evaluate(region, awswaf.Regional, acl, netip.MustParseAddr(addr)); err != nil || action != want {
			t.Errorf("%s: %s, %v; want %s", addr, action, err, want)
		}
	}
	state, err := c.open(t).Look(t.Context()) // a new process
	if err != nil || !state.RuleOK || !state.CanExcept || len(state.Sets) != 5 || state.RoomSets != 49 {
		t.Fatalf("%+v, %v", state, err)
	}
	for _, s := range state.Sets {
		if !s.Referenced || !s.Marked || s.Except != strings.Contains(s.Name, "except") {
			t.Errorf("%+v", s)
		}
	}
	// Without anything to block there is no rule: one that only excepts would block everybody else.
	if err := f.Reference(t.Context(), nil, []string{"tracewall-edge-v4-001", "tracewall-edge-v4-002", "tracewall-edge-v6-001"}); err != nil {
		t.Fatal(err)
	}
	if rules, err := c.Rules(region, awswaf.Regional, acl); err != nil || rules["tracewall-edge"] != "" {
		t.Errorf("%v, rule %s", err, rules["tracewall-edge"])
	}
	if state, err := c.open(t).Look(t.Context()); err != nil || !state.RuleOK || state.Sets[1].Referenced {
		t.Errorf("%+v, %v", state, err)
	}
}
