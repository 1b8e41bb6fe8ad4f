package waftest_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
	tcerrors "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/errors"
	tchttp "github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/http"
	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common/profile"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// clock is a time that a test moves.
type clock struct{ at time.Time }

func newClock() *clock                   { return &clock{time.Now()} } // the SDK signs with the machine's
func (c *clock) now() time.Time          { return c.at }
func (c *clock) advance(d time.Duration) { c.at = c.at.Add(d) }

// tcloud is a Tencent and the real SDK's client, which calls it.
type tcloud struct {
	*waftest.Tencent
	t         testing.TB
	endpoint  string
	region    string
	cred      *common.Credential
	transport http.RoundTripper
	version   string // of the service; "": the right one
	unsigned  bool   // the body is not part of the signature
}

const tcRegion = "ap-guangzhou"

func newTencent(t testing.TB, opts waftest.TencentOptions) *tcloud {
	t.Helper()
	c := &tcloud{Tencent: waftest.NewTencent(opts), t: t, region: tcRegion, cred: common.NewCredential(waftest.TencentSecretID, waftest.TencentSecretKey)}
	url, err := c.Start()
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	c.endpoint, c.transport = strings.TrimPrefix(url, "http://"), transport
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

var tcVersions = map[string]string{"vpc": "2017-03-12", "clb": "2018-03-17", "waf": "2018-01-25"}

// call makes one call and returns the answer's Response, or the code of its error; what did not come through is "broken".
func (c *tcloud) call(service, action string, in fields) (out fields, code string) {
	c.t.Helper()
	prof := profile.NewClientProfile()
	prof.UnsignedPayload = c.unsigned
	prof.HttpProfile.Endpoint, prof.HttpProfile.Scheme = c.endpoint, "HTTP"
	client := common.NewCommonClient(c.cred, c.region, prof).WithHttpTransport(c.transport)
	version := c.version
	if version == "" {
		version = tcVersions[service]
	}
	request := tchttp.NewCommonRequest(service, version, action)
	if in == nil {
		in = fields{}
	}
	if err := request.SetActionParameters(map[string]any(in)); err != nil {
		c.t.Fatal(err)
	}
	response := tchttp.NewCommonResponse()
	if err := client.Send(request, response); err != nil {
		var wrong *tcerrors.TencentCloudSDKError
		if !errors.As(err, &wrong) {
			c.t.Fatalf("%s: %v", action, err)
		}
		if wrong.Code == "ClientError.NetworkError" {
			return nil, "broken"
		}
		return nil, wrong.Code
	}
	var answer struct{ Response fields }
	if err := json.Unmarshal(response.GetBody(), &answer); err != nil {
		c.t.Fatal(err)
	}
	return answer.Response, ""
}

func (c *tcloud) must(service, action string, in fields) fields {
	c.t.Helper()
	out, code := c.call(service, action, in)
	if code != "" {
		c.t.Fatalf("%s %v: %s", action, in, code)
	}
	return out
}

func (c *tcloud) want(code, service, action string, in fields) {
	c.t.Helper()
	if _, got := c.call(service, action, in); got != code {
		c.t.Errorf("%s %v: %q, want %q", action, in, got, code)
	}
}

// get returns what is at a path in an answer.
func get[T any](t testing.TB, out fields, path ...any) T {
	t.Helper()
	var at any = map[string]any(out)
	for _, step := range path {
		switch s := step.(type) {
		case string:
			at = at.(map[string]any)[s]
		case int:
			at = at.([]any)[s]
		}
	}
	v, ok := at.(T)
	if !ok {
		t.Fatalf("%v in %v is %T", path, out, at)
	}
	return v
}

func prefixes(texts ...string) []netip.Prefix {
	list := []netip.Prefix{}
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestTheSDKsErrorsAreTheClouds(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{})
	for name, try := range map[string]struct {
		service, action, want string
		in                    fields
		change                func()
	}{
		"another secret":           {"vpc", "DescribeTemplateLimits", "AuthFailure.SignatureFailure", nil, func() { c.cred = common.NewCredential(waftest.TencentSecretID, "other") }},
		"nobody":                   {"vpc", "DescribeTemplateLimits", "AuthFailure.SecretIdNotFound", nil, func() { c.cred = common.NewCredential("AKIDnobody", "other") }},
		"a token":                  {"vpc", "DescribeTemplateLimits", "AuthFailure.TokenFailure", nil, func() { c.cred.Token = "t" }},
		"an action that is none":   {"vpc", "DescribeEverything", "InvalidAction", nil, nil},
		"another service's action": {"clb", "CreateAddressTemplate", "InvalidAction", nil, nil},
		"another service":          {"cvm", "DescribeInstances", "NoSuchProduct", nil, nil},
		"no action":                {"vpc", "", "MissingParameter", nil, nil},
		"another version":          {"vpc", "DescribeTemplateLimits", "NoSuchVersion", nil, func() { c.version = "2017-03-13" }},
		"a hundred and one ids":    {"vpc", "DescribeSecurityGroups", "InvalidParameterValue.LimitExceeded", fields{"SecurityGroupIds": make([]string, 101)}, nil},
		"no id":                    {"vpc", "DescribeSecurityGroupPolicies", "MissingParameter", nil, nil},
		"too large a page of WAF":  {"waf", "DescribeInstances", "InvalidParameterValue", fields{"Limit": 101}, nil},
		"no region":                {"vpc", "DescribeTemplateLimits", "MissingParameter", nil, func() { c.region = "" }},
		"a region without WAF":     {"waf", "DescribeInstances", "UnsupportedRegion", nil, func() { c.region = "ap-shanghai" }},
		"an unknown parameter":     {"vpc", "DescribeTemplateLimits", "UnknownParameter", fields{"Depth": 1}, nil},
		"another letter case":      {"vpc", "DescribeSecurityGroups", "UnknownParameter", fields{"limit": "20"}, nil},
		"a number for a string":    {"vpc", "DescribeSecurityGroups", "InvalidParameter", fields{"Limit": 20}, nil},
		"a string for a number":    {"clb", "DescribeLoadBalancers", "InvalidParameter", fields{"Limit": "20"}, nil},
		"a string for a list":      {"vpc", "DescribeSecurityGroups", "InvalidParameter", fields{"SecurityGroupIds": "sg-a"}, nil},
		"a string for an object":   {"vpc", "CreateSecurityGroupPolicies", "InvalidParameter", fields{"SecurityGroupPolicySet": "all"}, nil},
		"a number for a boolean":   {"vpc", "DescribeAddressTemplates", "InvalidParameter", fields{"NeedMemberInfo": 1}, nil},
		"half a number":            {"waf", "DescribeInstances", "InvalidParameter", fields{"Limit": 0.5}, nil},
		"an unknown filter":        {"vpc", "DescribeAddressTemplates", "InvalidParameter.FilterInvalidKey", fields{"Filters": []any{fields{"Name": "name", "Values": []string{"a"}}}}, nil},
		"a filter for nothing":     {"vpc", "DescribeAddressTemplates", "InvalidParameterValue.LimitExceeded", fields{"Filters": []any{fields{"Name": "address-template-id"}}}, nil},
		"a page that is none":      {"vpc", "DescribeAddressTemplates", "InvalidParameterValue.Malformed", fields{"Offset": "first"}, nil},
		"too large a page":         {"vpc", "DescribeAddressTemplates", "InvalidParameterValue.Range", fields{"Limit": "101"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c.t, c.region, c.version, c.cred = t, tcRegion, "", common.NewCredential(waftest.TencentSecretID, waftest.TencentSecretKey)
			if try.change != nil {
				try.change()
			}
			c.want(try.want, try.service, try.action, try.in)
		})
	}
}

// rewrite replaces the bodies of requests, which then must not be signed.
type rewrite struct {
	http.RoundTripper
	body string
}

func (r rewrite) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader(r.body)), int64(len(r.body))
	return r.RoundTripper.RoundTrip(req)
}

func TestABodyIsOneObject(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{})
	c.unsigned = true
	plain := c.transport
	for body, want := range map[string]string{
		"":                                "InvalidParameter",
		"{":                               "InvalidParameter",
		"[]":                              "InvalidParameter",
		"null":                            "InvalidParameter",
		"{}{}":                            "InvalidParameter",
		`{"Offset":99999999999999999999}`: "InvalidParameter",
		`{"Offset":null}`:                 "",
		"{}":                              "",
	} {
		c.transport = rewrite{plain, body}
		c.want(want, "clb", "DescribeLoadBalancers", nil)
	}
	c.unsigned = false
	c.transport = rewrite{plain, " {}"}
	c.want("AuthFailure.SignatureFailure", "clb", "DescribeLoadBalancers", nil)
}

func TestOnlyJSONIsTaken(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{})
	for _, try := range []struct{ method, path, kind string }{
		{http.MethodGet, "/", "application/json"}, {http.MethodPost, "/v3", "application/json"}, {http.MethodPost, "/", "application/x-www-form-urlencoded"},
	} {
		req := httptest.NewRequest(try.method, try.path, strings.NewReader("{}"))
		req.Header.Set("Content-Type", try.kind)
		req.Header.Set("X-TC-Action", "DescribeTemplateLimits")
		rec := httptest.NewRecorder()
		c.ServeHTTP(rec, req)
		if got := rec.Body.String(); rec.Code != http.StatusOK || !strings.Contains(got, `"Code":"UnsupportedProtocol"`) {
			t.Errorf("%v: %d %s", try, rec.Code, got)
		}
	}
}

func TestSkewIsJudgedByTheHandedInClock(t *testing.T) {
	now := newClock()
	c := newTencent(t, waftest.TencentOptions{Now: now.now})
	c.must("vpc", "DescribeTemplateLimits", nil)
	now.advance(6 * time.Minute)
	c.want("AuthFailure.SignatureExpire", "vpc", "DescribeTemplateLimits", nil)
}

func TestTemporaryKeysNeedTheirToken(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{Keys: map[string]waftest.TencentKey{"AKIDrole": {Secret: "s", Token: "t"}}})
	c.want("AuthFailure.SecretIdNotFound", "vpc", "DescribeTemplateLimits", nil)
	c.cred = common.NewTokenCredential("AKIDrole", "s", "t")
	c.must("vpc", "DescribeTemplateLimits", nil)
	c.cred = common.NewTokenCredential("AKIDrole", "s", "old")
	c.want("AuthFailure.TokenFailure", "vpc", "DescribeTemplateLimits", nil)
}

func TestFaultsComeBeforeOrAfterTheChange(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{})
	create := func(name string) string {
		_, code := c.call("vpc", "CreateAddressTemplate", fields{"AddressTemplateName": name, "Addresses": []string{"192.0.2.1"}})
		return code
	}
	made := func(name string) bool { return c.Templates(tcRegion)[name] != nil }

	c.FailWrite(1, 1, waftest.Fault{Code: "InternalError"})
	c.must("vpc", "DescribeTemplateLimits", nil) // not a write
	if code := create("first"); code != "" || !made("first") {
		t.Errorf("first: %q", code)
	}
	if code := create("second"); code != "InternalError" || made("second") {
		t.Errorf("second: %q, made %t", code, made("second"))
	}
	c.FailCall(0, 1, waftest.Fault{Drop: true, AfterChange: true})
	if code := create("third"); code != "broken" || !made("third") {
		t.Errorf("third: %q, made %t", code, made("third"))
	}
	c.Fail("CreateAddressTemplate", 0, -1, waftest.Fault{Drop: true})
	for range 2 {
		if code := create("fourth"); code != "broken" || made("fourth") {
			t.Errorf("fourth: %q, made %t", code, made("fourth"))
		}
	}
	c.Heal()
	if code := create("fourth"); code != "" {
		t.Errorf("healed: %q", code)
	}
	c.Before(func(call waftest.TencentCall) *waftest.Fault {
		if call.Object == "fifth" {
			return &waftest.Fault{Code: "InternalError", AfterChange: true}
		}
		return nil
	})
	var told []waftest.TencentCall
	c.After(func(call waftest.TencentCall) { told = append(told, call) })
	if code := create("fifth"); code != "InternalError" || !made("fifth") {
		t.Errorf("fifth: %q, made %t", code, made("fifth"))
	}
	if len(told) != 1 || told[0].Code != "InternalError" || !told[0].Changed || told[0].Service != "vpc" || told[0].Region != tcRegion {
		t.Errorf("told %+v", told)
	}
	if calls, all := c.Calls("CreateAddressTemplate"), c.Calls(); len(calls) != 7 || len(all) != 8 || c.Writes() != 7 {
		t.Errorf("%d creations of %d calls, %d writes", len(calls), len(all), c.Writes())
	}
	c.Forget()
	if c.Calls() != nil {
		t.Error("calls are not forgotten")
	}
}

func TestWhatIsDeniedIsRefusedWithoutAChange(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{})
	template := fields{"AddressTemplateName": "a", "Addresses": []string{"192.0.2.1"}}
	for _, denied := range []string{"CreateAddressTemplate", "vpc:CreateAddressTemplate", "vpc:*", "*"} {
		c.Deny("DescribeInstances", denied)
		c.want("UnauthorizedOperation", "vpc", "CreateAddressTemplate", template)
		c.want("AuthFailure.UnauthorizedOperation", "waf", "DescribeInstances", nil)
	}
	if len(c.Templates(tcRegion)) != 0 {
		t.Error("a denied call made a template")
	}
	c.Deny("clb:CreateAddressTemplate")
	c.must("vpc", "CreateAddressTemplate", template)
}

func TestCallsAreThrottledByActionAndSecond(t *testing.T) {
	now := newClock()
	c := newTencent(t, waftest.TencentOptions{Rate: 3, Now: now.now})
	for range 3 {
		c.must("vpc", "DescribeTemplateLimits", nil)
	}
	c.want("RequestLimitExceeded", "vpc", "DescribeTemplateLimits", nil)
	c.must("vpc", "DescribeSecurityGroups", nil) // another action
	c.region = "ap-singapore"
	c.must("vpc", "DescribeTemplateLimits", nil) // another Region
	c.region = tcRegion
	now.advance(time.Second)
	c.must("vpc", "DescribeTemplateLimits", nil)
	if c.Throttled() != 1 {
		t.Errorf("%d throttled", c.Throttled())
	}
}

func TestEveryCallTakesItsTime(t *testing.T) {
	c := newTencent(t, waftest.TencentOptions{Latency: 30 * time.Millisecond})
	began := time.Now()
	c.must("vpc", "DescribeTemplateLimits", nil)
	if took := time.Since(began); took < 30*time.Millisecond {
		t.Errorf("took %s", took)
	}
}
