package waftest

import (
	"encoding/json"
	"fmt"
	"strings"
)

// SeedWebACL makes a web ACL as a user might have it: three rules of their own (a
// rate limit, one of AWS's managed rule groups, and an IP set of the office that is always
// allowed) and every top-level setting there is, one of them of a time after this SDK.
func (v *View) SeedWebACL(region, scope, name string) error {
	a := v.aws
	a.mu.Lock()
	defer a.mu.Unlock()
	where := space{v.account, region, scope}
	office, err := a.seedSet(where, name+"-office", "198.51.100.0/24")
	if err != nil {
		return err
	}
	return a.seedACL(where, name, []byte("["+strings.Join([]string{
		strings.ReplaceAll(seedOffice, "OFFICE", office), seedManaged, seedRate,
	}, ",")+"]"))
}

// seedSet makes an IP set that has spread already, and returns its ARN.
func (a *AWS) seedSet(s space, name string, addresses ...string) (string, error) {
	set, refused := a.createIPSet(s.request().with("Name", name).with("IPAddressVersion", "IPV4").with("Addresses", addresses))
	if refused != nil {
		return "", fmt.Errorf("seed ip set %s: %w", name, refused)
	}
	a.in(s).sets[name].notReady = 0
	return set.(map[string]any)["Summary"].(map[string]string)["ARN"], nil
}

// seedACL makes a web ACL with every top-level setting and the rules.
func (a *AWS) seedACL(s space, name string, rules json.RawMessage) error {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal([]byte(seedSettings), &fields); err != nil {
		return fmt.Errorf("seed web acl %s: %w", name, err)
	}
	r := s.request().with("Name", name).with("Rules", rules)
	for key, raw := range fields {
		r = r.with(key, raw)
	}
	if _, refused := a.createWebACL(r); refused != nil {
		return fmt.Errorf("seed web acl %s: %w", name, refused)
	}
	a.record(s)
	return nil
}

// The rules are not quite as any encoder of ours would write them, and have members
// that the SDK does not know: both must survive.
const (
	seedOffice = `{"Name":"office-allow","Priority":0,"Action":{"Allow":{"CustomRequestHandling":{"InsertHeaders":[{"Name":"x-from","Value":"office <&>"}]}}},` +
		`"Statement":{"IPSetReferenceStatement":{"ARN":"OFFICE","FutureOption":{"Depth":2}}},` +
		`"VisibilityConfig":{"SampledRequestsEnabled":true,"CloudWatchMetricsEnabled":true,"MetricName":"office"}}`

	seedManaged = `{"Priority":50,"Name":"aws-common","OverrideAction":{"None":{}},` +
		`"Statement":{"ManagedRuleGroupStatement":{"VendorName":"AWS","Name":"AWSManagedRulesCommonRuleSet","Version":"Version_1.12",` +
		`"RuleActionOverrides":[{"Name":"SizeRestrictions_BODY","ActionToUse":{"Count":{}}}]}},` +
		`"VisibilityConfig":{"CloudWatchMetricsEnabled":true,"MetricName":"aws-common","SampledRequestsEnabled":false}}`

	seedRate = `{"Name":"rate-limit","Priority":101,"Action":{"Block":{"CustomResponse":{"ResponseCode":429,"CustomResponseBodyKey":"slow"}}},` +
		`"RuleLabels":[{"Name":"user:rate"}],"FutureRuleMember":[1,2.50,"\u00e9"],` +
		`"Statement":{"RateBasedStatement":{"Limit":2000,"EvaluationWindowSec":120,"AggregateKeyType":"IP",` +
		`"ScopeDownStatement":{"NotStatement":{"Statement":{"GeoMatchStatement":{"CountryCodes":["DE","FR"]}}}}}},` +
		`"VisibilityConfig":{"SampledRequestsEnabled":true,"CloudWatchMetricsEnabled":true,"MetricName":"rate"}}`

	seedSettings = `{
		"DefaultAction": {"Allow":{"CustomRequestHandling":{"InsertHeaders":[{"Name":"x-waf","Value":"passed"}]}}},
		"Description": "the front door of the shop: all of it",
		"VisibilityConfig": {"SampledRequestsEnabled":true,"CloudWatchMetricsEnabled":true,"MetricName":"shopACLMetric"},
		"CustomResponseBodies": {"slow":{"ContentType":"TEXT_HTML","Content":"<p>Too fast & furious</p>"}},
		"CaptchaConfig": {"ImmunityTimeProperty":{"ImmunityTime":300}},
		"ChallengeConfig": {"ImmunityTimeProperty":{"ImmunityTime":600}},
		"TokenDomains": ["shop.example.com"],
		"AssociationConfig": {"RequestBody":{"CLOUDFRONT":{"DefaultSizeInspectionLimit":"KB_64"}}},
		"DataProtectionConfig": {"DataProtections":[{"Field":{"FieldType":"SINGLE_HEADER","FieldKeys":["authorization"]},"Action":"HASH"}]},
		"OnSourceDDoSProtectionConfig": {"ALBLowReputationMode":"ACTIVE_UNDER_DDOS"},
		"ApplicationConfig": {"Attributes":[{"Name":"kind","Values":["shop"]}]},
		"FutureConfig": {"Since":"2027","Level":1.50}
	}`
)
