package waftest_test

import (
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

const (
	role     = "arn:aws:iam::222222222222:role/waf/tracewall"
	loadBal  = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shop/50dc6c495c0c9188"
	gateway  = "arn:aws:apigateway:eu-west-1::/restapis/a1b2c3/stages/prod"
	cookedIn = "AWS4-HMAC-SHA256 Credential="
)

func signed(key, region, service string) string {
	return cookedIn + key + "/20261121/" + region + "/" + service + "/aws4_request, SignedHeaders=host, Signature=0"
}

type xmlAnswer struct {
	Status int
	Code   string `xml:"Error>Code"`
	Text   string `xml:"Error>Message"`

	Key        string `xml:"AssumeRoleResult>Credentials>AccessKeyId"`
	Token      string `xml:"AssumeRoleResult>Credentials>SessionToken"`
	Expiration string `xml:"AssumeRoleResult>Credentials>Expiration"`
	ARN        string `xml:"AssumeRoleResult>AssumedRoleUser>Arn"`

	Quantity    int
	IsTruncated bool
	NextMarker  string
	Items       []struct {
		ID              string `xml:"Id"`
		ARN, DomainName string
		Enabled         bool
	} `xml:"Items>DistributionSummary"`
}

// ask makes a call of a service that speaks XML.
func (c *client) ask(method, path, auth, body string) (out xmlAnswer) {
	c.t.Helper()
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("Authorization", auth)
	rec := httptest.NewRecorder()
	c.aws.ServeHTTP(rec, req)
	if err := xml.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		c.t.Fatalf("%s %s: %v in %s", method, path, err, rec.Body)
	}
	out.Status = rec.Code
	return out
}

func (c *client) assume(in map[string]string) xmlAnswer {
	c.t.Helper()
	form := url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {role}, "RoleSessionName": {"tracewall"}, "ExternalId": {"sesame"}}
	for key, v := range in {
		form.Set(key, v)
	}
	return c.ask(http.MethodPost, "/", signed("AKIDEXAMPLE", "eu-west-1", "sts"), form.Encode())
}

func TestAssumeRole(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	c := newClient(t, waftest.AWSOptions{Roles: map[string]string{role: "sesame"}, Now: func() time.Time { return now }})
	for name, x := range map[string]struct {
		in     map[string]string
		code   string
		status int
	}{
		"the right word":            {nil, "", 200},
		"a wrong external id":       {map[string]string{"ExternalId": "parsley"}, "AccessDenied", 403},
		"no external id":            {map[string]string{"ExternalId": ""}, "AccessDenied", 403},
		"a role that is not there":  {map[string]string{"RoleArn": role + "2"}, "AccessDenied", 403},
		"a role that is none":       {map[string]string{"RoleArn": "tracewall"}, "ValidationError", 400},
		"no session name":           {map[string]string{"RoleSessionName": ""}, "ValidationError", 400},
		"a session of five minutes": {map[string]string{"DurationSeconds": "300"}, "ValidationError", 400},
		"another version":           {map[string]string{"Version": "2012-01-01"}, "MalformedQueryString", 400},
		"another action":            {map[string]string{"Action": "GetCallerIdentity"}, "UnknownOperationException", 400},
	} {
		if got := c.assume(x.in); got.Code != x.code || got.Status != x.status || (got.Key == "") == (x.code == "") {
			t.Errorf("%s: %d %s, key %q; want %d %s", name, got.Status, got.Code, got.Key, x.status, x.code)
		}
	}
	got := c.assume(map[string]string{"DurationSeconds": "900"})
	if got.ARN != "arn:aws:sts::222222222222:assumed-role/tracewall/tracewall" || got.Expiration != now.Add(15*time.Minute).UTC().Format(time.RFC3339) {
		t.Errorf("answer %+v", got)
	}
	c.set("ours")
	c.auth, c.token = signed(got.Key, "eu-west-1", "wafv2"), got.Token
	c.aws.Forget()
	arn := c.set("theirs", "192.0.2.1/32").(string)
	if !strings.HasPrefix(arn, "arn:aws:wafv2:eu-west-1:222222222222:regional/ipset/theirs/") {
		t.Errorf("made %s", arn)
	}
	if call := c.aws.Calls()[0]; call.Account != "222222222222" || call.Service != "wafv2" || call.Op != "CreateIPSet" {
		t.Errorf("call %+v", call)
	}
	theirs := c.aws.Account("222222222222")
	if ours := c.aws.Sets(region, "REGIONAL"); len(ours) != 1 || len(theirs.Sets(region, "REGIONAL")) != 1 || theirs.Sets(region, "REGIONAL")["theirs"] != 1 {
		t.Errorf("ours %v, theirs %v", ours, theirs.Sets(region, "REGIONAL"))
	}
	if err := theirs.SeedWebACL(region, "REGIONAL", "shop"); err != nil {
		t.Error(err)
	}
	ours, _ := c.aws.Snapshot(region, "REGIONAL", "shop")
	if its, err := theirs.Snapshot(region, "REGIONAL", "shop"); err != nil || ours != nil || string(its["LabelNamespace"]) != `"awswaf:222222222222:webacl:shop:"` {
		t.Errorf("seeded %v %s, and in the default account %v", err, its["LabelNamespace"], ours)
	}
	c.token = "stolen"
	if _, code := c.call("ListIPSets", fields{"Scope": "REGIONAL"}); code != "UnrecognizedClientException" {
		t.Errorf("with another session's token: %q", code)
	}
	c.token = got.Token
	now = now.Add(15 * time.Minute)
	if _, code := c.call("ListIPSets", fields{"Scope": "REGIONAL"}); code != "ExpiredTokenException" {
		t.Errorf("after its time: %q", code)
	}
	c.auth = signed("ASIANOBODY", "eu-west-1", "wafv2")
	if _, code := c.call("ListIPSets", fields{"Scope": "REGIONAL"}); code != "UnrecognizedClientException" {
		t.Errorf("with keys that nobody handed out: %q", code)
	}
}

func TestAssociations(t *testing.T) {
	c := newClient(t, waftest.AWSOptions{})
	for _, name := range []string{"shop", "forum"} {
		if err := c.aws.SeedWebACL(region, "REGIONAL", name); err != nil {
			t.Fatal(err)
		}
	}
	arn, err := c.aws.ARN(region, "REGIONAL", "shop")
	if err != nil {
		t.Fatal(err)
	}
	resources := func(kind any) []any {
		t.Helper()
		return c.must("ListResourcesForWebACL", with(fields{"WebACLArn": arn}, fields{"ResourceType": kind}))["ResourceArns"].([]any)
	}
	if got := resources(nil); len(got) != 0 {
		t.Errorf("resources %v of a new one", got)
	}
	c.must("AssociateWebACL", fields{"WebACLArn": arn, "ResourceArn": loadBal})
	if err := c.aws.Associate(region, "shop", gateway); err != nil {
		t.Error(err)
	}
	if lb, gw := resources(nil), resources("API_GATEWAY"); len(lb) != 1 || lb[0] != loadBal || len(gw) != 1 || gw[0] != gateway {
		t.Errorf("load balancers %v, gateways %v", lb, gw)
	}
	for name, x := range map[string]struct {
		op   string
		in   fields
		want string
	}{
		"a kind of one's own":          {"ListResourcesForWebACL", fields{"WebACLArn": arn, "ResourceType": "TOASTER"}, "ValidationException"},
		"of a web acl that is not":     {"ListResourcesForWebACL", fields{"WebACLArn": arn + "0"}, "WAFNonexistentItemException"},
		"a resource of another Region": {"AssociateWebACL", fields{"WebACLArn": arn, "ResourceArn": strings.Replace(loadBal, "eu-west-1", "us-east-2", 1)}, "WAFInvalidParameterException"},
		"a resource of another kind":   {"AssociateWebACL", fields{"WebACLArn": arn, "ResourceArn": "arn:aws:s3:eu-west-1::bucket"}, "WAFInvalidParameterException"},
		"nothing to disassociate":      {"DisassociateWebACL", fields{"ResourceArn": "x"}, "WAFInvalidParameterException"},
	} {
		if _, code := c.call(x.op, x.in); code != x.want {
			t.Errorf("%s: %q, want %q", name, code, x.want)
		}
	}
	shop := c.must("GetWebACL", fields{"ARN": arn})
	del := fields{"Name": "shop", "Scope": "REGIONAL", "Id": shop["WebACL"].(map[string]any)["Id"], "LockToken": shop["LockToken"]}
	if _, code := c.call("DeleteWebACL", del); code != "WAFAssociatedItemException" {
		t.Errorf("deleting one in use: %q", code)
	}
	if err := c.aws.Associate(region, "forum", loadBal); err != nil { // a resource has one web acl
		t.Error(err)
	}
	c.must("DisassociateWebACL", fields{"ResourceArn": gateway})
	if lb, gw := resources(nil), resources("API_GATEWAY"); len(lb)+len(gw) != 0 {
		t.Errorf("still %v %v", lb, gw)
	}
	if _, code := c.call("DeleteWebACL", with(del, fields{"LockToken": del["Id"]})); code != "WAFOptimisticLockException" {
		t.Errorf("with a stale token: %q", code)
	}
	c.must("DeleteWebACL", del)
	if _, code := c.call("GetWebACL", fields{"ARN": arn}); code != "WAFNonexistentItemException" {
		t.Errorf("after its deletion: %q", code)
	}
	if err := c.aws.Associate(region, "shop", loadBal); err == nil {
		t.Error("associated with what is not there")
	}
	c.aws.Disassociate(loadBal)
}

func TestDistributions(t *testing.T) {
	c := newClient(t, waftest.AWSOptions{})
	if err := c.aws.SeedWebACL("us-east-1", "CLOUDFRONT", "edge"); err != nil {
		t.Fatal(err)
	}
	arn, err := c.aws.ARN("us-east-1", "CLOUDFRONT", "edge")
	if err != nil {
		t.Fatal(err)
	}
	auth, path := signed("AKIDEXAMPLE", "us-east-1", "cloudfront"), "/2020-05-31/distributionsByWebACLId/"+url.PathEscape(arn)
	if got := c.ask(http.MethodGet, path, auth, ""); got.Status != 200 || got.Quantity != 0 {
		t.Errorf("of a new one: %+v", got)
	}
	for id, enabled := range map[string]bool{"E1AAA": true, "E2BBB": false, "E3CCC": true} {
		if err := c.aws.Distribute(id, "edge", enabled); err != nil {
			t.Error(err)
		}
	}
	got := c.ask(http.MethodGet, path, auth, "")
	if got.Quantity != 3 || len(got.Items) != 3 || !got.Items[0].Enabled || got.Items[1].Enabled || got.IsTruncated {
		t.Errorf("listed %+v", got)
	}
	if one := got.Items[0]; one.ARN != "arn:aws:cloudfront::123456789012:distribution/E1AAA" || one.DomainName != "e1aaa.cloudfront.net" {
		t.Errorf("listed %+v", one)
	}
	first := c.ask(http.MethodGet, path+"?MaxItems=2", auth, "")
	rest := c.ask(http.MethodGet, path+"?MaxItems=2&Marker="+first.NextMarker, auth, "")
	if !first.IsTruncated || len(first.Items) != 2 || rest.IsTruncated || len(rest.Items) != 1 {
		t.Errorf("pages %+v and %+v", first, rest)
	}
	for name, x := range map[string]struct{ method, path, auth, want string }{
		"slashes as they are":       {http.MethodGet, "/2020-05-31/distributionsByWebACLId/" + arn, auth, "InvalidArgument"},
		"an id of a classic one":    {http.MethodGet, "/2020-05-31/distributionsByWebACLId/abc", auth, "InvalidWebACLId"},
		"signed for another Region": {http.MethodGet, path, signed("A", "eu-west-1", "cloudfront"), "InvalidArgument"},
		"no number of items":        {http.MethodGet, path + "?MaxItems=x", auth, "InvalidArgument"},
		"another operation":         {http.MethodGet, "/2020-05-31/distribution", auth, "NoSuchOperation"},
	} {
		if got := c.ask(x.method, x.path, x.auth, ""); got.Code != x.want || got.Status != 400 {
			t.Errorf("%s: %d %q, want %q", name, got.Status, got.Code, x.want)
		}
	}
	c.region = "us-east-1"
	if _, code := c.call("ListResourcesForWebACL", fields{"WebACLArn": arn}); code != "WAFInvalidParameterException" {
		t.Errorf("asked of WAF: %q", code)
	}
	w := c.must("GetWebACL", fields{"ARN": arn})
	del := fields{"Name": "edge", "Scope": "CLOUDFRONT", "Id": w["WebACL"].(map[string]any)["Id"], "LockToken": w["LockToken"]}
	if _, code := c.call("DeleteWebACL", del); code != "WAFAssociatedItemException" {
		t.Errorf("deleting one in use: %q", code)
	}
	for _, id := range []string{"E1AAA", "E2BBB", "E3CCC"} {
		if err := c.aws.Distribute(id, "", true); err != nil {
			t.Error(err)
		}
	}
	c.must("DeleteWebACL", del)
	if err := c.aws.Distribute("E4DDD", "edge", true); err == nil {
		t.Error("distributed behind what is not there")
	}
}

func TestDeniedActions(t *testing.T) {
	c := newClient(t, waftest.AWSOptions{Roles: map[string]string{role: ""}, RateLimits: true})
	c.aws.Deny("CreateIPSet", "sts:AssumeRole", "cloudfront:ListDistributionsByWebACLId")
	for range 2 { // nothing else is judged, neither the rate nor the parameters
		out, code := c.call("CreateIPSet", fields{"Name": "s", "Scope": "NOWHERE"})
		if want := "User: arn:aws:iam::123456789012:user/tracewall is not authorized to perform: wafv2:CreateIPSet on resource: " +
			"arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/s/* because no identity-based policy allows the wafv2:CreateIPSet action"; code != "AccessDeniedException" || out["Message"] != want {
			t.Errorf("%q: %v", code, out["Message"])
		}
	}
	if got := c.assume(map[string]string{"ExternalId": ""}); got.Status != 403 || got.Code != "AccessDenied" || !strings.Contains(got.Text, "sts:AssumeRole on resource: "+role) {
		t.Errorf("assume role: %+v", got)
	}
	path := "/2020-05-31/distributionsByWebACLId/" + url.PathEscape("arn:aws:wafv2:us-east-1:123456789012:global/webacl/a/b")
	if got := c.ask(http.MethodGet, path, signed("A", "us-east-1", "cloudfront"), ""); got.Status != 403 || got.Code != "AccessDenied" {
		t.Errorf("distributions: %+v", got)
	}
	c.aws.Account("222222222222").Deny("*")
	c.must("ListIPSets", fields{"Scope": "REGIONAL"})
	c.aws.Deny()
	c.must("CreateIPSet", set("s"))
	got := c.assume(map[string]string{"ExternalId": ""})
	c.auth, c.token = signed(got.Key, "eu-west-1", "wafv2"), got.Token
	if out, code := c.call("ListIPSets", fields{"Scope": "REGIONAL"}); code != "AccessDeniedException" || !strings.Contains(out["Message"].(string), "assumed-role/tracewall/tracewall is not authorized to perform: wafv2:ListIPSets on resource: *") {
		t.Errorf("denied all: %q %v", code, out["Message"])
	}
}
