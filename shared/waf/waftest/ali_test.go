package waftest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	openapiutil "github.com/alibabacloud-go/darabonba-openapi/v2/utils"
	"github.com/alibabacloud-go/tea/dara"
	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// ali is a running stand-in and the vendor's own client that speaks to it.
type ali struct {
	*waftest.Alibaba
	t     *testing.T
	host  string
	key   waftest.AlibabaKey
	query bool // parameters go into the query and not into the form
	spoil func(*http.Request)
}

func startAli(t *testing.T, opts waftest.AlibabaOptions) *ali {
	t.Helper()
	a := &ali{Alibaba: waftest.NewAlibaba(opts), t: t, key: waftest.AlibabaKey{ID: waftest.AlibabaKeyID, Secret: waftest.AlibabaKeySecret, Token: waftest.AlibabaToken}}
	endpoint, err := a.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	a.host = strings.TrimPrefix(endpoint, "http://")
	return a
}

// Call carries the client's requests, changed if the test asks for it.
func (a *ali) Call(r *http.Request, _ *http.Transport) (*http.Response, error) {
	if a.spoil != nil {
		a.spoil(r)
	}
	return (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
}

// call makes one call and returns the answer, or the error's code: "cut" if there was no answer.
func (a *ali) call(action string, params map[string]any) (answer map[string]any, code string) {
	a.t.Helper()
	version := "2021-10-01"
	if strings.Contains(action, "Book") || strings.Contains(action, "Policy") {
		version = "2017-12-07"
	}
	config := &openapiutil.Config{
		AccessKeyId: dara.String(a.key.ID), AccessKeySecret: dara.String(a.key.Secret),
		Endpoint: dara.String(a.host), Protocol: dara.String("HTTP"), HttpClient: a,
	}
	if a.key.Token != "" {
		config.SecurityToken = dara.String(a.key.Token)
	}
	client, err := openapi.NewClient(config)
	if err != nil {
		a.t.Fatal(err)
	}
	client.DisableSDKError = dara.Bool(true) // errors in the client's own type, which tells the code
	request := &openapiutil.OpenApiRequest{}
	if a.query {
		request.Query = openapiutil.Query(params)
	} else {
		request.Body = openapiutil.ParseToMap(params)
	}
	answer, err = client.CallApi(&openapiutil.Params{
		Action: dara.String(action), Version: dara.String(version), Protocol: dara.String("HTTP"), Pathname: dara.String("/"),
		Method: dara.String("POST"), AuthType: dara.String("AK"), Style: dara.String("RPC"), ReqBodyType: dara.String("formData"), BodyType: dara.String("json"),
	}, request, &dara.RuntimeOptions{})
	if err != nil {
		var coded interface{ GetCode() *string }
		if errors.As(err, &coded) && coded.GetCode() != nil {
			return nil, *coded.GetCode()
		}
		return nil, "cut"
	}
	body, ok := answer["body"].(map[string]any)
	if !ok {
		a.t.Fatalf("%s: the answer has no body: %v", action, answer)
	}
	return body, ""
}

// must is call for the test's own instance, and succeeds.
func (a *ali) must(action string, params map[string]any) map[string]any {
	a.t.Helper()
	answer, code := a.waf(action, params)
	if code != "" {
		a.t.Fatalf("%s %v: %s", action, params, code)
	}
	return answer
}

// waf is call with the instance's id, if the action is one of WAF's.
func (a *ali) waf(action string, params map[string]any) (map[string]any, string) {
	a.t.Helper()
	all := map[string]any{}
	for name, value := range params {
		all[name] = value
	}
	if _, there := all["InstanceId"]; !there && action != "DescribeInstance" && !strings.Contains(action, "Book") && !strings.Contains(action, "Policy") {
		all["InstanceId"] = waftest.AlibabaInstance
	}
	return a.call(action, all)
}

func text(v any) string { return fmt.Sprint(v) }

func rules(t *testing.T, list ...map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// book makes an address book, a template and a rule that blocks what is in the book.
func (a *ali) book(name string) (book, template, rule string) {
	a.t.Helper()
	book = text(a.must("CreateDefenseRule", map[string]any{
		"DefenseScene": "address_book", "DefenseType": "global", "RegionId": "cn-hangzhou",
		"Rules": rules(a.t, map[string]any{"name": name, "description": "tracewall " + name, "valueType": "ip"}),
	})["RuleIds"])
	template = a.template("custom_acl", name, "user_default")
	rule = text(a.must("CreateDefenseRule", map[string]any{
		"DefenseScene": "custom_acl", "DefenseType": "template", "TemplateId": template,
		"Rules": rules(a.t, map[string]any{
			"name": name, "origin": "custom", "action": "block", "status": 1, "ccStatus": 0,
			"conditions": []map[string]any{{"key": "IP", "opValue": "in-list", "values": book}},
		}),
	})["RuleIds"])
	return book, template, rule
}

func (a *ali) template(scene, name, kind string) string {
	a.t.Helper()
	return text(a.must("CreateDefenseTemplate", map[string]any{
		"DefenseScene": scene, "TemplateName": name, "Description": "tracewall " + name,
		"TemplateType": kind, "TemplateOrigin": "custom", "TemplateStatus": 1,
	})["TemplateId"])
}

func spelling(list []netip.Prefix) string {
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = p.String()
	}
	return strings.Join(texts, " ")
}

func (a *ali) enforces(want string, by ...string) {
	a.t.Helper()
	if got := spelling(a.Enforced(by...)); got != want {
		a.t.Errorf("enforced %q, want %q", got, want)
	}
}

// aliClock is a clock that tests move.
type aliClock struct {
	mu sync.Mutex
	at time.Time
}

func (c *aliClock) now() time.Time        { c.mu.Lock(); defer c.mu.Unlock(); return c.at }
func (c *aliClock) move(by time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.at = c.at.Add(by) }
func newAliClock() *aliClock              { return &aliClock{at: time.Now()} }

func TestAlibabaTakesParametersFromQueryAndForm(t *testing.T) {
	for _, query := range []bool{true, false} {
		t.Run(fmt.Sprintf("query %t", query), func(t *testing.T) {
			a := startAli(t, waftest.AlibabaOptions{})
			a.query = query
			a.SeedObjects("shop")
			instance := a.must("DescribeInstance", map[string]any{"RegionId": "cn-hangzhou"})
			if got := text(instance["InstanceId"]); got != waftest.AlibabaInstance {
				t.Errorf("instance %q", got)
			}
			book, _, _ := a.book("tracewall-a")
			a.must("AddAddress", map[string]any{"RuleId": book, "AddressList": []string{"192.0.2.1", "2001:db8::/64"}})
			a.enforces("192.0.2.1/32 2001:db8::/64")
		})
	}
}

func TestAlibabaChecksWhoCalls(t *testing.T) {
	key := waftest.AlibabaKey{ID: waftest.AlibabaKeyID, Secret: waftest.AlibabaKeySecret, Token: waftest.AlibabaToken}
	for _, tc := range []struct {
		name  string
		edit  func(*ali)
		opts  waftest.AlibabaOptions
		want  string
		query bool
	}{
		{"another secret", func(a *ali) { a.key.Secret = "guess" }, waftest.AlibabaOptions{}, "SignatureDoesNotMatch", false},
		{"an unknown key", func(a *ali) { a.key.ID = "LTAI" }, waftest.AlibabaOptions{}, "InvalidAccessKeyId.NotFound", false},
		{"no token", func(a *ali) { a.key.Token = "" }, waftest.AlibabaOptions{}, "MissingSecurityToken", false},
		{"another token", func(a *ali) { a.key.Token = "x" }, waftest.AlibabaOptions{}, "InvalidSecurityToken.Malformed", false},
		{"a token whose time is over", nil, waftest.AlibabaOptions{Keys: []waftest.AlibabaKey{{ID: key.ID, Secret: key.Secret, Token: key.Token, Expired: true}}}, "InvalidSecurityToken.Expired", false},
		{"a clock that is slow", nil, waftest.AlibabaOptions{Now: func() time.Time { return time.Now().Add(16 * time.Minute) }}, "InvalidTimeStamp.Expired", false},
		{"a parameter that was changed on the way", func(a *ali) {
			a.spoil = func(r *http.Request) { r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "hangzhou", "shanghai", 1) }
		}, waftest.AlibabaOptions{}, "SignatureDoesNotMatch", true},
		{"a date that was left out", func(a *ali) {
			a.spoil = func(r *http.Request) { delete(r.Header, "x-acs-date"); r.Header.Del("x-acs-date") }
		}, waftest.AlibabaOptions{}, "MissingDate", false},
		{"an unsigned call", func(a *ali) { a.spoil = func(r *http.Request) { r.Header.Del("Authorization") } }, waftest.AlibabaOptions{}, "MissingAuthorization", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := startAli(t, tc.opts)
			a.query = tc.query
			if tc.edit != nil {
				tc.edit(a)
			}
			if _, code := a.call("DescribeInstance", map[string]any{"RegionId": "cn-hangzhou"}); code != tc.want {
				t.Errorf("code %q, want %q", code, tc.want)
			}
		})
	}
}

func TestAlibabaTakesARequestOnce(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{})
	var codes []string
	a.spoil = func(r *http.Request) {
		if len(codes) > 0 {
			return
		}
		codes = append(codes, "")
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r.Clone(t.Context()))
		if err != nil {
			t.Error(err)
			return
		}
		_ = resp.Body.Close()
	}
	a.query = true
	if _, code := a.call("DescribeInstance", map[string]any{"RegionId": "cn-hangzhou"}); code != "SignatureNonceUsed" {
		t.Errorf("code %q, want SignatureNonceUsed", code)
	}
}

func TestAlibabaAnswersLikeAnRPCGateway(t *testing.T) {
	a := startAli(t, waftest.AlibabaOptions{})
	var status int
	var body map[string]any
	for _, tc := range []struct {
		name, action string
		params       map[string]any
		want         string
	}{
		{"an action that there is not", "AddAddresses", nil, "InvalidAction.NotFound"},
		{"a parameter that is missing", "AddAddress", map[string]any{"AddressList": []string{"192.0.2.1"}}, "MissingRuleId"},
		{"a parameter that is none of the action's", "AddAddress", map[string]any{"RuleId": 1, "AddressType": "ip"}, "InvalidParameter.AddressType"},
		{"a number that is none", "AddAddress", map[string]any{"RuleId": "x", "AddressList": []string{"192.0.2.1"}}, "InvalidParameter.RuleId"},
		{"a list as one text", "ModifyTemplateResources", map[string]any{"TemplateId": 1, "BindResources": `["a"]`}, "InvalidBindResources"},
		{"another instance", "DescribeDefenseTemplates", map[string]any{"InstanceId": "waf-other"}, "Waf.Instance.ValidFaild"},
		{"another region", "DescribeDefenseTemplates", map[string]any{"RegionId": "ap-southeast-1"}, "Waf.Instance.ValidFaild"},
		{"a region that is none of WAF's", "DescribeInstance", map[string]any{"RegionId": "cn-shanghai"}, "InvalidParameter.RegionId"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, code := a.waf(tc.action, tc.params); code != tc.want {
				t.Errorf("code %q, want %q", code, tc.want)
			}
		})
	}
	a.spoil = func(r *http.Request) {
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r.Clone(t.Context()))
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		status = resp.StatusCode
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
			t.Error(err)
		}
	}
	a.query = true
	a.Deny("DescribeInstance")
	a.call("DescribeInstance", nil)
	if status != http.StatusForbidden || body["Code"] != "NoPermission" || body["RequestId"] == "" || body["HostId"] == "" || body["Message"] == "" || body["Recommend"] == "" {
		t.Errorf("answer %d %v, want 403 with Code, Message, RequestId, HostId and Recommend", status, body)
	}
}

func TestAlibabaInstances(t *testing.T) {
	for _, tc := range []struct {
		name   string
		opts   waftest.AlibabaOptions
		region string
		want   map[string]string // of the instance and its details
	}{
		{
			"quotas are told",
			waftest.AlibabaOptions{Quotas: waftest.AlibabaQuotas{BlacklistAddresses: 50}},
			"cn-hangzhou",
			map[string]string{
				"InstanceId": waftest.AlibabaInstance, "Status": "1", "IpBlacklist": "true",
				"IpBlacklistIpInRuleMaxCount": "50", "IpBlacklistRuleInTemplateMaxCount": "100", "IpBlacklistTemplateMaxCount": "20",
			},
		},
		{"an edition without the blacklist", waftest.AlibabaOptions{NoBlacklist: true, Details: map[string]any{"Ipv6": nil}}, "cn-hangzhou", map[string]string{"IpBlacklist": "false", "Ipv6": "<nil>"}},
		{"an expired one says so", waftest.AlibabaOptions{Expired: true}, "cn-hangzhou", map[string]string{"Status": "2"}},
		{"no instance in the other region", waftest.AlibabaOptions{}, "ap-southeast-1", map[string]string{"InstanceId": "<nil>"}},
		{"no instance at all", waftest.AlibabaOptions{NoInstance: true}, "cn-hangzhou", map[string]string{"InstanceId": "<nil>"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := startAli(t, tc.opts)
			answer := a.must("DescribeInstance", map[string]any{"RegionId": tc.region})
			details, _ := answer["Details"].(map[string]any)
			got := map[string]string{}
			for field := range tc.want {
				value, ok := answer[field]
				if !ok {
					value = details[field]
				}
				got[field] = text(value)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
			if tc.opts.Expired || tc.opts.NoInstance {
				if _, code := a.waf("DescribeDefenseTemplates", nil); code != "Waf.Instance.ValidFaild" {
					t.Errorf("code %q, want Waf.Instance.ValidFaild", code)
				}
			}
		})
	}
}
