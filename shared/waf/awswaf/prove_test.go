package awswaf_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// prove looks and proves as a new process would that has written nothing.
func (c *cloud) prove(t *testing.T) waf.Proof {
	t.Helper()
	f := c.open(t, awswaf.WithClock(func() time.Time { return time.Unix(1_800_000_000, 0) }))
	if _, err := f.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Forget()
	before := len(c.Sets(region, awswaf.Regional))
	proof, err := f.Prove(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range c.Calls() {
		if call.Write() {
			t.Errorf("the proof made a write call, %s", call.Op)
		}
	}
	if after := len(c.Sets(region, awswaf.Regional)); after != before {
		t.Errorf("%d sets, there were %d", after, before)
	}
	return proof
}

// mentions tells whether one of the reasons holds all of the words.
func mentions(reasons []string, words ...string) bool {
	return slices.ContainsFunc(reasons, func(r string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(r, w) })
	})
}

func userRule(name string, priority int, action, statement string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"Name":%q,"Priority":%d,%s,"Statement":%s,`+
		`"VisibilityConfig":{"SampledRequestsEnabled":true,"CloudWatchMetricsEnabled":true,"MetricName":"m"}}`, name, priority, action, statement))
}

const (
	allow   = `"Action":{"Allow":{}}`
	healthy = `{"ByteMatchStatement":{"FieldToMatch":{"UriPath":{}},"PositionalConstraint":"EXACTLY","SearchString":"L2hlYWx0aHo=","TextTransformations":[{"Priority":0,"Type":"NONE"}]}}`
	german  = `{"GeoMatchStatement":{"CountryCodes":["DE"]}}`
)

func TestAWallInForce(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	gateway := "arn:aws:apigateway:eu-west-1::/restapis/a1b2c3/stages/live"
	if err := c.Associate(region, acl, gateway); err != nil {
		t.Fatal(err)
	}
	c.mustRun(t, c.open(t), 1, hosts(0, 15))
	c.editACL(t, func(rules []json.RawMessage) []json.RawMessage {
		return append(rules, userRule("later", 900, allow, german))
	})
	want := waf.Proof{
		AsOf: time.Unix(1_800_000_000, 0).UTC(), Effective: true,
		Reasons: []string{"rule office-allow (priority 0) of web acl shop allows the addresses of its IP sets before our rule sees them"},
		WebACLs: []waf.ACLUse{{
			Name: acl, Rule: "tracewall-edge", Priority: 102, Action: "Block", DefaultAction: "Allow",
			Behind: []string{"office-allow"}, Ahead: []string{"later"}, Resources: []string{gateway, balancer}, ResourceCount: 2,
		}},
	}
	if diff := cmp.Diff(want, c.prove(t)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := strings.Join(c.ops(), " "); got != strings.Repeat("ListResourcesForWebACL ", 6)+"ListResourcesForWebACL" {
		t.Errorf("calls %s, want one for each kind of resource and no second GetWebACL", got)
	}
}

func TestWhatKeepsAWallFromBeingInForce(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(t *testing.T, c *cloud)
		words   []string
	}{
		"nothing protected": {func(_ *testing.T, c *cloud) { c.Disassociate(balancer) }, []string{"web acl shop protects nothing", "associate"}},
		"a rule that only counts": {func(t *testing.T, c *cloud) {
			c.target.Action = awswaf.ActionCount
			if _, err := c.run(t, c.open(t), 2, hosts(0, 15)); err != nil {
				t.Fatal(err)
			}
		}, []string{"rule tracewall-edge", "only counts", `"action"`}},
		"a rule that somebody made count": {func(t *testing.T, c *cloud) {
			c.setRule(t, func(rule map[string]json.RawMessage) { rule["Action"] = json.RawMessage(`{"Count":{}}`) })
		}, []string{"only counts"}},
		"a rule that somebody made allow": {func(t *testing.T, c *cloud) {
			c.setRule(t, func(rule map[string]json.RawMessage) { rule["Action"] = json.RawMessage(`{"Allow":{}}`) })
		}, []string{"action Allow", "repairs"}},
		"a rule that somebody narrowed": {func(t *testing.T, c *cloud) {
			c.setRule(t, func(rule map[string]json.RawMessage) {
				rule["Statement"] = json.RawMessage(`{"AndStatement":{"Statements":[` + string(rule["Statement"]) + `,` + german + `]}}`)
			})
		}, []string{"not as it is configured", "repairs"}},
		"an Allow rule by path first": {func(t *testing.T, c *cloud) {
			c.editACL(t, func(rules []json.RawMessage) []json.RawMessage {
				return append(rules, userRule("health", 7, allow, healthy))
			})
		}, []string{"rule health (priority 7)", `"priority": "first"`}},
		"an Allow rule by address or path first": {func(t *testing.T, c *cloud) {
			c.editACL(t, func(rules []json.RawMessage) []json.RawMessage {
				return append(rules, userRule("either", 7, allow, `{"OrStatement":{"Statements":[`+c.office(t)+`,`+healthy+`]}}`))
			})
		}, []string{"rule either"}},
		"an Allow rule for all but the office first": {func(t *testing.T, c *cloud) {
			c.editACL(t, func(rules []json.RawMessage) []json.RawMessage {
				return append(rules, userRule("others", 7, allow, `{"NotStatement":{"Statement":`+c.office(t)+`}}`))
			})
		}, []string{"rule others"}},
		"an Allow rule by an address that the client writes": {func(t *testing.T, c *cloud) {
			c.editACL(t, func(rules []json.RawMessage) []json.RawMessage {
				ref := strings.TrimSuffix(c.office(t), "}}") + `,"IPSetForwardedIPConfig":{"HeaderName":"X-Forwarded-For","FallbackBehavior":"NO_MATCH","Position":"FIRST"}}}`
				return append(rules, userRule("forged", 7, allow, ref))
			})
		}, []string{"rule forged"}},
		"denied": {
			func(_ *testing.T, c *cloud) { c.Deny("ListResourcesForWebACL") },
			[]string{"AMPLIFY", "allow wafv2:ListResourcesForWebACL and amplify:ListResourcesForWebACL"},
		},
		"no rule yet": {func(t *testing.T, c *cloud) {
			c.editACL(t, func(rules []json.RawMessage) []json.RawMessage {
				return slices.DeleteFunc(rules, func(r json.RawMessage) bool { return strings.Contains(string(r), `"tracewall-edge"`) })
			})
		}, []string{"has no rule tracewall-edge yet"}},
		"no web acl yet": {func(_ *testing.T, c *cloud) { c.target.WebACL = "forum" }, []string{"there is no web acl forum"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, waftest.AWSOptions{})
			c.mustRun(t, c.open(t), 1, hosts(0, 15))
			tc.prepare(t, c)
			if proof := c.prove(t); proof.Effective || !mentions(proof.Reasons, tc.words...) {
				t.Errorf("effective %v, reasons %q; want not, and %q", proof.Effective, proof.Reasons, tc.words)
			}
		})
	}
}

// office is the user's own statement about the office's addresses.
func (c *cloud) office(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf(`{"IPSetReferenceStatement":{"ARN":%q}}`, c.setARN(t, acl+"-office"))
}

func TestWhatDoesNotKeepAWallFromBeingInForce(t *testing.T) {
	for name, tc := range map[string]struct {
		rule  func(c *cloud, t *testing.T) json.RawMessage
		words []string // of a reason; nil: none but the seed's
	}{
		"an Allow rule for an address and a path": {func(c *cloud, t *testing.T) json.RawMessage {
			return userRule("both", 7, allow, `{"AndStatement":{"Statements":[`+c.office(t)+`,`+healthy+`]}}`)
		}, []string{"rule both", "addresses"}},
		"a Block rule": {func(*cloud, *testing.T) json.RawMessage {
			return userRule("block", 7, `"Action":{"Block":{}}`, german)
		}, nil},
		"a managed rule group of AWS": {func(*cloud, *testing.T) json.RawMessage {
			return userRule("known", 7, `"OverrideAction":{"None":{}}`, `{"ManagedRuleGroupStatement":{"VendorName":"AWS","Name":"AWSManagedRulesAmazonIpReputationList"}}`)
		}, nil},
		"a managed rule group of another vendor": {func(*cloud, *testing.T) json.RawMessage {
			return userRule("vendor", 7, `"OverrideAction":{"None":{}}`, `{"ManagedRuleGroupStatement":{"VendorName":"Acme","Name":"Bots"}}`)
		}, []string{"rule vendor", "Bots of Acme"}},
		"one that only counts": {func(*cloud, *testing.T) json.RawMessage {
			return userRule("vendor", 7, `"OverrideAction":{"Count":{}}`, `{"ManagedRuleGroupStatement":{"VendorName":"Acme","Name":"Bots"}}`)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, waftest.AWSOptions{})
			c.mustRun(t, c.open(t), 1, hosts(0, 15))
			c.editACL(t, func(rules []json.RawMessage) []json.RawMessage { return append(rules, tc.rule(c, t)) })
			proof := c.prove(t)
			if !proof.Effective || (tc.words == nil) != (len(proof.Reasons) == 1) || !mentions(proof.Reasons, tc.words...) {
				t.Errorf("effective %v, reasons %q; want in force, and %q", proof.Effective, proof.Reasons, tc.words)
			}
		})
	}
}

func TestAnUnknownKindIsAReasonAndNoMoreOnceSomethingIsProtected(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	c.mustRun(t, c.open(t), 1, hosts(0, 15))
	c.Before(func(call waftest.Call) *waftest.Fault {
		if call.Op == "ListResourcesForWebACL" && len(c.Calls())%7 == 5 { // one of the seven kinds
			return &waftest.Fault{Code: "AccessDeniedException"}
		}
		return nil
	})
	proof := c.prove(t)
	if !proof.Effective || !proof.WebACLs[0].Partial || !mentions(proof.Reasons, "apprunner:ListAssociatedServicesForWebAcl") {
		t.Errorf("%+v; want in force, partial, and what to allow", proof)
	}
}

func TestAProofThatGetsNoAnswerIsAnError(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	c.mustRun(t, c.open(t), 1, hosts(0, 15))
	c.Disassociate(balancer)
	c.Before(func(call waftest.Call) *waftest.Fault {
		if call.Op == "ListResourcesForWebACL" {
			return &waftest.Fault{Code: "ThrottlingException"}
		}
		return nil
	})
	f := c.open(t)
	if _, err := f.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if proof, err := f.Prove(t.Context()); err == nil || proof.Effective {
		t.Errorf("%+v, %v; want an error: the last proof stands until there is an answer", proof, err)
	}
}

// TestABusyRunAsksLess: after a write the first kind that is protected is enough.
func TestABusyRunAsksLess(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	gateway := "arn:aws:apigateway:eu-west-1::/restapis/a1b2c3/stages/live"
	c.Disassociate(balancer)
	if err := c.Associate(region, acl, gateway); err != nil {
		t.Fatal(err)
	}
	f := c.open(t)
	for i, want := range []int{2, 1} { // the second time the kind that was found is asked for first
		c.Forget()
		report := c.mustRun(t, f, uint64(i+1), hosts(0, 15*(i+1)))
		asked := 0
		for _, op := range c.ops() {
			if op == "ListResourcesForWebACL" {
				asked++
			}
		}
		if p := report.Proof; p == nil || !p.Effective || !p.WebACLs[0].Partial || asked != want {
			t.Errorf("run %d asked %d times, want %d; proof %+v", i, asked, want, p)
		}
	}
}

func TestAWebACLMadeByTheRunProtectsNothing(t *testing.T) {
	c := emptyCloud(t, waftest.AWSOptions{})
	report := c.mustRun(t, c.open(t), 1, hosts(0, 3))
	if report.Proof == nil || report.Proof.Effective || !mentions(report.Proof.Reasons, "web acl shop protects nothing") {
		t.Errorf("proof %+v", report.Proof)
	}
}

func TestListsOfAProofAreBounded(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	c.mustRun(t, c.open(t), 1, hosts(0, 15))
	for i := range 120 {
		if err := c.Associate(region, acl, fmt.Sprintf("arn:aws:apigateway:eu-west-1::/restapis/api%03d/stages/live", i)); err != nil {
			t.Fatal(err)
		}
	}
	c.editACL(t, func(rules []json.RawMessage) []json.RawMessage {
		for i := range 30 {
			rules = append(rules, userRule(fmt.Sprintf("a%02d", i), 10+i, allow, german))
		}
		return rules
	})
	proof := c.prove(t)
	use := proof.WebACLs[0]
	if len(use.Resources) != 100 || use.ResourceCount != 121 || len(use.Behind) != 21 || len(proof.Reasons) != 21 {
		t.Errorf("%d of %d resources, %d before us, %d reasons", len(use.Resources), use.ResourceCount, len(use.Behind), len(proof.Reasons))
	}
	if last := proof.Reasons[20]; last != "and 11 more" {
		t.Errorf("last reason %q", last)
	}
}

func TestProofOfCloudFront(t *testing.T) {
	c := emptyCloud(t, waftest.AWSOptions{Page: 2})
	c.target.Scope, c.target.Region = awswaf.CloudFront, ""
	if err := c.SeedWebACL("us-east-1", awswaf.CloudFront, acl); err != nil {
		t.Fatal(err)
	}
	if _, err := c.run(t, c.open(t), 1, hosts(0, 5)); err != nil {
		t.Fatal(err)
	}
	if proof := c.prove(t); proof.Effective || !mentions(proof.Reasons, "associate it with a CloudFront distribution") {
		t.Errorf("%+v; want not in force", proof)
	}
	distribute := func(id string, enabled bool) {
		if err := c.Distribute(id, acl, enabled); err != nil {
			t.Fatal(err)
		}
	}
	distribute("EOFF", false)
	if proof := c.prove(t); proof.Effective || !mentions(proof.Reasons, "only CloudFront distributions that are disabled (1)") {
		t.Errorf("%+v; want not in force", proof)
	}
	for i := range 5 {
		distribute(fmt.Sprintf("E%d", i), true)
	}
	proof := c.prove(t)
	if !proof.Effective || proof.WebACLs[0].ResourceCount != 5 || proof.WebACLs[0].Resources[0] != "arn:aws:cloudfront::123456789012:distribution/E0" {
		t.Errorf("%+v; want five distributions", proof)
	}
	c.Deny("cloudfront:ListDistributionsByWebACLId")
	if proof := c.prove(t); proof.Effective || !mentions(proof.Reasons, "allow cloudfront:ListDistributionsByWebACLId") {
		t.Errorf("%+v; want what to allow", proof)
	}
	c.Deny()
	c.Before(func(call waftest.Call) *waftest.Fault {
		if call.Service == "cloudfront" {
			return &waftest.Fault{Code: "Throttling"}
		}
		return nil
	})
	f := c.open(t)
	if _, err := f.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, _ := f.Calls()
	if _, err := f.Prove(t.Context()); err == nil {
		t.Error("no error although CloudFront gave no answer")
	}
	if after, writes := f.Calls(); after-before != 6 || writes != 0 { // five attempts, and Amplify
		t.Errorf("%d calls and %d writes are counted, want 6 and 0", after-before, writes)
	}
}

// TestTheRequestToCloudFront compares the path and the signature's Region with what the SDK's own client sends.
func TestTheRequestToCloudFront(t *testing.T) {
	for _, tc := range []struct{ partition, host, region string }{
		{"aws", "cloudfront.amazonaws.com", "us-east-1"},
		{"aws-cn", "cloudfront.cn-northwest-1.amazonaws.com.cn", "cn-northwest-1"},
	} {
		arn := "arn:" + tc.partition + ":wafv2:us-east-1:123456789012:global/webacl/shop/0a1b2c3d-0000-4000-8000-000000000000"
		req, err := awswaf.CloudFrontRequest(t.Context(), arn, "m&1", time.Unix(1_800_000_000, 0))
		if err != nil {
			t.Fatal(err)
		}
		path := "/2020-05-31/distributionsByWebACLId/arn%3A" + tc.partition + "%3Awafv2%3Aus-east-1%3A123456789012%3Aglobal%2Fwebacl%2Fshop%2F0a1b2c3d-0000-4000-8000-000000000000"
		if req.Method != http.MethodGet || req.URL.Host != tc.host || req.URL.EscapedPath() != path || req.URL.RawQuery != "Marker=m%261&MaxItems=100" {
			t.Errorf("%s %s, want %s%s", req.Method, req.URL, tc.host, path)
		}
		if auth := req.Header.Get("Authorization"); !strings.Contains(auth, "/20270115/"+tc.region+"/cloudfront/aws4_request") {
			t.Errorf("Authorization %q", auth)
		}
	}
}
