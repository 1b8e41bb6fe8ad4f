package waftest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type fields map[string]any

// client speaks the wire protocol by hand.
type client struct {
	t      testing.TB
	aws    *waftest.AWS
	region string
	auth   string
	token  string // of a session
	told   func(op string, answer []byte)
}

func newClient(t testing.TB, opts waftest.AWSOptions) *client {
	return &client{t: t, aws: waftest.NewAWS(opts), region: "eu-west-1"}
}

// call returns the answer and AWS's error code.
func (c *client) call(op string, in fields) (out fields, code string) {
	c.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		c.t.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	req.Header.Set("X-Amz-Target", "AWSWAF_20190729."+op)
	auth := c.auth
	if auth == "" {
		auth = "AWS4-HMAC-SHA256 Credential=A/20261121/" + c.region + "/wafv2/aws4_request, SignedHeaders=host, Signature=0"
	}
	req.Header.Set("Authorization", auth)
	if c.token != "" {
		req.Header.Set("X-Amz-Security-Token", c.token)
	}
	rec := httptest.NewRecorder()
	c.aws.ServeHTTP(rec, req)
	if err := json.Unmarshal(rec.Body.Bytes(), &out); err != nil {
		c.t.Fatalf("%s: %v in %s", op, err, rec.Body)
	}
	if c.told != nil && rec.Code == http.StatusOK {
		c.told(op, rec.Body.Bytes())
	}
	if rec.Code != http.StatusOK {
		code, _ = out["__type"].(string)
	}
	return out, code
}

func (c *client) must(op string, in fields) fields {
	c.t.Helper()
	out, code := c.call(op, in)
	if code != "" {
		c.t.Fatalf("%s %v: %s: %v", op, in["Name"], code, out["Message"])
	}
	return out
}

func with(in fields, more fields) fields {
	out := fields{}
	for _, m := range []fields{in, more} {
		for key, v := range m {
			if v == nil {
				delete(out, key)
			} else {
				out[key] = v
			}
		}
	}
	return out
}

func set(name string, addresses ...string) fields {
	if addresses == nil {
		addresses = []string{}
	}
	return fields{"Name": name, "Scope": "REGIONAL", "IPAddressVersion": "IPV4", "Addresses": addresses}
}

func many(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("203.%d.%d.%d/32", i>>16, i>>8&255, i&255))
	}
	return list
}

func TestIPSetsAreJudged(t *testing.T) {
	for _, c := range []struct {
		name string
		in   fields
		want string
	}{
		{"a good one", set("s", "192.0.2.0/24", "192.0.2.7/32"), ""},
		{"an empty one", set("s"), ""},
		{"no list at all", with(set("s"), fields{"Addresses": nil}), "ValidationException"},
		{"a bare address", set("s", "192.0.2.7"), "WAFInvalidParameterException"},
		{"host bits", set("s", "192.0.2.66/29"), "WAFInvalidParameterException"},
		{"everything", set("s", "0.0.0.0/0"), "WAFInvalidParameterException"},
		{"the other family", set("s", "2001:db8::/32"), "WAFInvalidParameterException"},
		{"no address", set("s", "banana"), "WAFInvalidParameterException"},
		{"10,000", set("s", many(10_000)...), ""},
		{"10,001", set("s", many(10_001)...), "WAFLimitsExceededException"},
		{"a name with a dot", set("a.b"), "ValidationException"},
		{"a name too long", set(strings.Repeat("n", 129)), "ValidationException"},
		{"a description of two characters", with(set("s"), fields{"Description": "ab"}), "ValidationException"},
		{"a description with parentheses", with(set("s"), fields{"Description": "mine (all)"}), "ValidationException"},
		{"an unknown scope", with(set("s"), fields{"Scope": "GLOBAL"}), "ValidationException"},
		{"CLOUDFRONT anywhere but in Virginia", with(set("s"), fields{"Scope": "CLOUDFRONT"}), "WAFInvalidParameterException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, code := newClient(t, waftest.AWSOptions{}).call("CreateIPSet", c.in); code != c.want {
				t.Errorf("code = %q, want %q", code, c.want)
			}
		})
	}
}

func TestAnIPSetsLife(t *testing.T) {
	c := newClient(t, waftest.AWSOptions{MaxSets: 2})
	made := c.must("CreateIPSet", with(set("s", "192.0.2.1/32"), fields{"Description": "of mine", "Tags": []fields{{"Key": "k", "Value": "v"}}}))["Summary"].(map[string]any)
	if _, code := c.call("CreateIPSet", set("s")); code != "WAFDuplicateItemException" {
		t.Errorf("a second one: %q", code)
	}
	id := fields{"Name": "s", "Scope": "REGIONAL", "Id": made["Id"]}
	update := with(id, fields{"LockToken": made["LockToken"], "Addresses": many(50)})
	next := c.must("UpdateIPSet", update)["NextLockToken"]
	if _, code := c.call("UpdateIPSet", update); code != "WAFOptimisticLockException" {
		t.Errorf("with a stale token: %q", code)
	}
	got := c.must("GetIPSet", id)
	inside := got["IPSet"].(map[string]any)
	if inside["Description"] != "" || got["LockToken"] != next {
		t.Errorf("an update without a description leaves %q", inside["Description"])
	}
	var list []string
	for _, a := range inside["Addresses"].([]any) {
		list = append(list, a.(string))
	}
	if len(list) != 50 || slices.IsSorted(list) {
		t.Errorf("read back %d, in order %t", len(list), slices.IsSorted(list))
	}
	v6 := c.must("CreateIPSet", with(set("six", "2001:db8::/32"), fields{"IPAddressVersion": "IPV6"}))["Summary"].(map[string]any)
	back := c.must("GetIPSet", fields{"Name": "six", "Scope": "REGIONAL", "Id": v6["Id"]})["IPSet"].(map[string]any)["Addresses"].([]any)
	if back[0] != "2001:0db8:0000:0000:0000:0000:0000:0000/32" {
		t.Errorf("IPv6 comes back as %s", back[0])
	}
	if _, code := c.call("CreateIPSet", set("third")); code != "WAFLimitsExceededException" {
		t.Errorf("over the account's quota: %q", code)
	}
	c.region = "us-east-1"
	c.must("CreateIPSet", set("s")) // another Region knows nothing of the first
	c.must("CreateIPSet", with(set("s"), fields{"Scope": "CLOUDFRONT"}))
	c.region = "eu-west-1"
	c.must("TagResource", fields{"ResourceARN": made["ARN"], "Tags": []fields{{"Key": "l", "Value": "w"}}})
	c.must("UntagResource", fields{"ResourceARN": made["ARN"], "TagKeys": []string{"k"}})
	tags := c.must("ListTagsForResource", fields{"ResourceARN": made["ARN"]})["TagInfoForResource"].(map[string]any)["TagList"]
	if diff := cmp.Diff([]any{map[string]any{"Key": "l", "Value": "w"}}, tags); diff != "" {
		t.Error(diff)
	}
	c.must("DeleteIPSet", with(id, fields{"LockToken": next}))
	if _, code := c.call("GetIPSet", id); code != "WAFNonexistentItemException" {
		t.Errorf("after its deletion: %q", code)
	}
}

var visible = fields{"SampledRequestsEnabled": true, "CloudWatchMetricsEnabled": true, "MetricName": "m"}

func rule(name string, priority int, statement fields) fields {
	return fields{"Name": name, "Priority": priority, "Action": fields{"Block": fields{}}, "VisibilityConfig": visible, "Statement": statement}
}

func ref(arn any) fields { return fields{"IPSetReferenceStatement": fields{"ARN": arn}} }

func TestRulesAreJudged(t *testing.T) {
	geo := fields{"GeoMatchStatement": fields{"CountryCodes": []string{"DE"}}}
	group := fields{"ManagedRuleGroupStatement": fields{"VendorName": "AWS", "Name": "X"}}
	for _, c := range []struct {
		name  string
		rules []fields
		want  string
	}{
		{"good ones", []fields{rule("a", 0, geo), rule("b", 1, ref("ARN"))}, ""},
		{"the same name twice", []fields{rule("a", 0, geo), rule("a", 1, geo)}, "WAFDuplicateItemException"},
		{"the same priority twice", []fields{rule("a", 0, geo), rule("b", 0, geo)}, "WAFDuplicateItemException"},
		{"a set that does not exist", []fields{rule("a", 0, ref("arn:none"))}, "WAFNonexistentItemException"},
		{"an OR of one", []fields{rule("a", 0, fields{"OrStatement": fields{"Statements": []fields{ref("ARN")}}})}, "WAFInvalidParameterException"},
		{"an OR of two", []fields{rule("a", 0, fields{"OrStatement": fields{"Statements": []fields{ref("ARN"), geo}}})}, ""},
		{"50 references", []fields{rule("a", 0, fields{"OrStatement": fields{"Statements": slices.Repeat([]fields{ref("ARN")}, 50)}})}, ""},
		{"51 references", []fields{rule("a", 0, fields{"OrStatement": fields{"Statements": slices.Repeat([]fields{ref("ARN")}, 51)}})}, "WAFLimitsExceededException"},
		{"an action on a rule group", []fields{rule("a", 0, group)}, "WAFInvalidParameterException"},
		{"both kinds of action", []fields{with(rule("a", 0, geo), fields{"OverrideAction": fields{"None": fields{}}})}, "WAFInvalidParameterException"},
		{"neither", []fields{with(rule("a", 0, geo), fields{"Action": nil})}, "WAFInvalidParameterException"},
		{"no metric", []fields{with(rule("a", 0, geo), fields{"VisibilityConfig": nil})}, "ValidationException"},
		{"a body that is not there", []fields{with(rule("a", 0, geo), fields{"Action": fields{"Block": fields{"CustomResponse": fields{"CustomResponseBodyKey": "gone"}}}})}, "WAFInvalidParameterException"},
		{"more capacity than there is", slices.Collect(func(yield func(fields) bool) {
			for i := range 8 {
				r := with(rule(fmt.Sprint("r", i), i, group), fields{"Action": nil, "OverrideAction": fields{"None": fields{}}})
				if !yield(r) {
					return
				}
			}
		}), "WAFInvalidParameterException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl := newClient(t, waftest.AWSOptions{})
			arn := cl.must("CreateIPSet", set("s"))["Summary"].(map[string]any)["ARN"].(string)
			text, _ := json.Marshal(c.rules)
			_, code := cl.call("CreateWebACL", fields{
				"Name": "w", "Scope": "REGIONAL", "DefaultAction": fields{"Allow": fields{}}, "VisibilityConfig": visible,
				"Rules": json.RawMessage(strings.ReplaceAll(string(text), `"ARN":"ARN"`, `"ARN":"`+arn+`"`)),
			})
			if code != c.want {
				t.Errorf("code = %q, want %q", code, c.want)
			}
		})
	}
}

func TestUpdateWebACLReplacesEverything(t *testing.T) {
	c := newClient(t, waftest.AWSOptions{})
	if err := c.aws.SeedWebACL("eu-west-1", "REGIONAL", "shop"); err != nil {
		t.Fatal(err)
	}
	before, err := c.aws.Snapshot("eu-west-1", "REGIONAL", "shop")
	if err != nil {
		t.Fatal(err)
	}
	summary := c.must("ListWebACLs", fields{"Scope": "REGIONAL"})["WebACLs"].([]any)[0].(map[string]any)
	bare := fields{
		"Name": "shop", "Scope": "REGIONAL", "Id": summary["Id"], "LockToken": summary["LockToken"],
		"DefaultAction": fields{"Block": fields{}}, "VisibilityConfig": visible,
	}
	if _, code := c.call("UpdateWebACL", with(bare, fields{"ApplicationConfig": fields{}})); code != "WAFInvalidOperationException" {
		t.Errorf("another ApplicationConfig: %q", code)
	}
	if _, code := c.call("UpdateWebACL", with(bare, fields{"Description": ""})); code != "ValidationException" {
		t.Errorf("an empty description: %q", code)
	}
	c.must("UpdateWebACL", bare)
	if _, code := c.call("UpdateWebACL", bare); code != "WAFOptimisticLockException" {
		t.Errorf("with a stale token: %q", code)
	}
	after, err := c.aws.Snapshot("eu-west-1", "REGIONAL", "shop")
	if err != nil {
		t.Fatal(err)
	}
	var gone []string
	for key := range before {
		if after[key] == nil {
			gone = append(gone, key)
		}
	}
	slices.Sort(gone)
	want := []string{
		"AssociationConfig", "CaptchaConfig", "ChallengeConfig", "CustomResponseBodies", "DataProtectionConfig",
		"FutureConfig", "OnSourceDDoSProtectionConfig", "TokenDomains",
	}
	if diff := cmp.Diff(want, gone); diff != "" || string(after["Rules"]) != "[]" || string(after["Description"]) != `""` {
		t.Errorf("gone (-want +got):\n%s\nrules %s, description %s", diff, after["Rules"], after["Description"])
	}
	if !bytes.Equal(before["ApplicationConfig"], after["ApplicationConfig"]) || before["ApplicationConfig"] == nil {
		t.Error("ApplicationConfig is the one setting that stays when it is left out")
	}
}

func TestASetInUseCannotBeDeleted(t *testing.T) {
	c := newClient(t, waftest.AWSOptions{NotReady: 2})
	s := c.must("CreateIPSet", set("s", "192.0.2.0/24"))["Summary"].(map[string]any)
	wall := fields{
		"Name": "w", "Scope": "REGIONAL", "DefaultAction": fields{"Allow": fields{}}, "VisibilityConfig": visible,
		"Rules": []fields{with(rule("count", 0, ref(s["ARN"])), fields{"Action": fields{"Count": fields{}}}), rule("r", 1, fields{"NotStatement": fields{"Statement": fields{"NotStatement": fields{"Statement": ref(s["ARN"])}}}})},
	}
	for i := range 3 {
		if _, code := c.call("CreateWebACL", wall); (code == "") != (i == 2) || code != "" && code != "WAFUnavailableEntityException" {
			t.Errorf("attempt %d: %q", i, code)
		}
	}
	del := fields{"Name": "s", "Scope": "REGIONAL", "Id": s["Id"], "LockToken": s["LockToken"]}
	if _, code := c.call("DeleteIPSet", del); code != "WAFAssociatedItemException" {
		t.Errorf("code = %q", code)
	}
	for addr, want := range map[string]string{"192.0.2.9": "Block r", "192.0.3.9": "Allow "} {
		action, by, err := c.aws.Evaluate("eu-west-1", "REGIONAL", "w", netip.MustParseAddr(addr))
		if got := action + " " + by; err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", addr, got, err, want)
		}
	}
	if _, _, err := c.aws.Evaluate("eu-west-1", "CLOUDFRONT", "w", netip.MustParseAddr("192.0.2.9")); err == nil {
		t.Error("a web acl of another scope was found")
	}
}

func TestPaging(t *testing.T) {
	for _, always := range []bool{false, true} {
		c := newClient(t, waftest.AWSOptions{AlwaysMarker: always})
		for i := range 7 {
			c.must("CreateIPSet", set(fmt.Sprint("s", i)))
		}
		var names []string
		var marker any
		pages := 0
		for {
			out := c.must("ListIPSets", with(fields{"Scope": "REGIONAL", "Limit": 3}, fields{"NextMarker": marker}))
			pages++
			for _, s := range out["IPSets"].([]any) {
				names = append(names, s.(map[string]any)["Name"].(string))
			}
			marker = out["NextMarker"]
			if marker == nil || len(out["IPSets"].([]any)) == 0 {
				break
			}
		}
		if want := 3 + map[bool]int{true: 1}[always]; pages != want || len(names) != 7 || !slices.IsSorted(names) {
			t.Errorf("always a marker %t: %d pages, %v; want %d pages", always, pages, names, want)
		}
		if (marker != nil) != always {
			t.Errorf("always a marker %t: the last page has %v", always, marker)
		}
		if _, code := c.call("ListIPSets", fields{"Scope": "REGIONAL", "Limit": 101}); code != "ValidationException" {
			t.Errorf("Limit 101: %q", code)
		}
	}
}

func TestRates(t *testing.T) {
	now := time.Unix(0, 0)
	c := newClient(t, waftest.AWSOptions{RateLimits: true, Now: func() time.Time { return now }})
	try := func(op string, in fields, after time.Duration, want string) {
		t.Helper()
		now = now.Add(after)
		if _, code := c.call(op, in); code != want {
			t.Errorf("%s %s later: %q, want %q", op, after, code, want)
		}
	}
	list := fields{"Scope": "REGIONAL"}
	try("CreateIPSet", set("a"), 0, "")
	try("CreateIPSet", set("b"), 999*time.Millisecond, "ThrottlingException")
	try("ListIPSets", list, 0, "") // other actions have rates of their own
	try("CreateIPSet", set("b"), time.Millisecond, "")
	try("ListIPSets", list, 198*time.Millisecond, "ThrottlingException")
	try("ListIPSets", list, time.Millisecond, "")
	c.region = "us-east-1"
	try("CreateIPSet", set("a"), 0, "")
}

func TestRequestsMustBeSigned(t *testing.T) {
	c := newClient(t, waftest.AWSOptions{})
	for auth, want := range map[string]string{
		"Bearer x": "MissingAuthenticationToken",
		"AWS4-HMAC-SHA256 Credential=A/20261121/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=0": "InvalidSignatureException",
		"AWS4-HMAC-SHA256 Credential=A/20261121, Signature=0":                                               "InvalidSignatureException",
	} {
		c.auth = auth
		if _, code := c.call("ListIPSets", fields{"Scope": "REGIONAL"}); code != want {
			t.Errorf("%s: %q, want %q", auth, code, want)
		}
	}
	c.auth = ""
	if _, code := c.call("NoSuchOperation", fields{}); code != "UnknownOperationException" {
		t.Errorf("an operation that is not there: %q", code)
	}
}

func TestFaultsAndTheCallLog(t *testing.T) {
	c := newClient(t, waftest.AWSOptions{Latency: time.Millisecond})
	var told []waftest.Call
	c.aws.After(func(call waftest.Call) { told = append(told, call) })
	c.aws.Before(func(call waftest.Call) *waftest.Fault {
		switch call.Index {
		case 0:
			return &waftest.Fault{Code: "ThrottlingException"}
		case 1:
			return &waftest.Fault{Code: "WAFInternalErrorException", AfterChange: true}
		}
		return nil
	})
	for i, want := range []string{"ThrottlingException", "WAFInternalErrorException", "WAFDuplicateItemException"} {
		if _, code := c.call("CreateIPSet", set("s", "192.0.2.1/32")); code != want {
			t.Errorf("call %d: %q, want %q", i, code, want)
		}
	}
	c.aws.Before(nil)
	if got := c.aws.Sets("eu-west-1", "REGIONAL"); got["s"] != 1 {
		t.Errorf("sets %v: the second call took effect", got)
	}
	log := c.aws.Calls()
	if diff := cmp.Diff(log, told); diff != "" || len(log) != 3 || log[0].Changed || !log[1].Changed || log[2].Changed || log[1].Sent == 0 || log[1].Answered == 0 {
		t.Errorf("log %+v\n%s", log, diff)
	}
	c.aws.Forget()
	if len(c.aws.Calls()) != 0 {
		t.Error("Forget forgot nothing")
	}
}

func TestStartAndClose(t *testing.T) {
	a := waftest.NewAWS(waftest.AWSOptions{})
	url, err := a.Start()
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d, %v", resp.StatusCode, err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}
