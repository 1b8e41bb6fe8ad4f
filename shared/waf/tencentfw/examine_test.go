package tencentfw_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/tencentfw"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// examine returns the checks of a Firewall, and fails if one of them wrote.
func examine(t *testing.T, cloud *waftest.Tencent, f waf.Firewall) []waf.Check {
	t.Helper()
	cloud.Forget()
	checks := f.(waf.Examiner).Examine(t.Context())
	if n := cloud.Writes(); n != 0 {
		t.Errorf("it wrote %d times", n)
	}
	return checks
}

// has tells whether a check of a name came out so and says so.
func has(checks []waf.Check, name string, state waf.CheckState, text string) bool {
	for _, c := range checks {
		if c.Name == name && c.State == state && strings.Contains(c.Text, text) {
			return true
		}
	}
	return false
}

func worst(checks []waf.Check) (list []waf.Check) {
	for _, c := range checks {
		if c.State == waf.CheckFail || c.State == waf.CheckWarn {
			list = append(list, c)
		}
	}
	return list
}

func TestExamineOfTheWAF(t *testing.T) {
	for name, tc := range map[string]struct {
		opts  waftest.TencentOptions
		spoil func(c *cloudWAF)
		want  waf.Check
	}{
		"all is as it should be":  {want: waf.Check{Name: "ends", State: waf.CheckOK, Text: "all rules of ours"}},
		"the credentials are":     {want: waf.Check{Name: "credentials", State: waf.CheckOK}},
		"the clock is right":      {want: waf.Check{Name: "clock", State: waf.CheckOK}},
		"an action is not let":    {spoil: func(c *cloudWAF) { c.Deny("DescribeModuleStatus") }, want: waf.Check{Name: "permission waf:DescribeModuleStatus", State: waf.CheckFail, Text: "CAM policy"}},
		"the list cannot be read": {spoil: func(c *cloudWAF) { c.Deny("DescribeIpAccessControl") }, want: waf.Check{Name: "permission waf:DescribeIpAccessControl", State: waf.CheckFail}},
		"nothing is let":          {spoil: func(c *cloudWAF) { c.Deny("*") }, want: waf.Check{Name: "credentials", State: waf.CheckOK}},
		"the domain is not there": {spoil: func(c *cloudWAF) { c.target.Domain = "else.example.com" }, want: waf.Check{Name: "domain", State: waf.CheckFail, Text: "does not protect"}},
		"the WAF only observes":   {spoil: func(c *cloudWAF) { c.SwitchDomain(shop, "Mode", false) }, want: waf.Check{Name: "domain", State: waf.CheckWarn, Text: "only observes"}},
		"the edition is another":  {spoil: func(c *cloudWAF) { c.target.Edition = tencentfw.EditionCLB }, want: waf.Check{Name: "edition", State: waf.CheckFail}},
		"the quota is less":       {spoil: func(c *cloudWAF) { c.target.Entries = 30_000 }, want: waf.Check{Name: "quota", State: waf.CheckWarn, Text: "takes 20000"}},
		"addresses look different": {
			opts: waftest.TencentOptions{Form: waftest.TencentForms["always a prefix"]},
			want: waf.Check{Name: "address form", State: waf.CheckOK, Text: "spelled otherwise"},
		},
		"addresses cannot be read": {
			opts: waftest.TencentOptions{Form: func(s string) string { return "ip:" + s }},
			want: waf.Check{Name: "address form", State: waf.CheckWarn, Text: "report it"},
		},
		"another region": {spoil: func(c *cloudWAF) { c.target.Region = "ap-nanjing" }, want: waf.Check{Name: "region", State: waf.CheckWarn, Text: "ap-singapore"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloudWAF(t, tc.opts)
			mustAdd(t, c.looked(t), until(dawn.Add(time.Hour), hosts(0, 3)...))
			if tc.spoil != nil {
				tc.spoil(c)
			}
			checks := examine(t, c.Tencent, c.open(t))
			if !has(checks, tc.want.Name, tc.want.State, tc.want.Text) {
				t.Errorf("want %+v in\n%+v", tc.want, checks)
			}
			if tc.want.State == waf.CheckOK && name != "nothing is let" && len(worst(checks)) > 0 {
				t.Errorf("it complains: %+v", worst(checks))
			}
		})
	}
}

func TestExamineOfSecurityGroups(t *testing.T) {
	for name, tc := range map[string]struct {
		opts  waftest.TencentOptions
		spoil func(c *groupCloud)
		want  waf.Check
	}{
		"the quota is read":          {want: waf.Check{Name: "quota", State: waf.CheckOK, Text: "400 in all"}},
		"addresses are as written":   {want: waf.Check{Name: "address form", State: waf.CheckOK}},
		"the security group is":      {want: waf.Check{Name: "security group", State: waf.CheckOK, Text: "is there"}},
		"a quota is higher":          {opts: waftest.TencentOptions{TemplateMembers: 50}, want: waf.Check{Name: "quota", State: waf.CheckWarn, Text: "raise it"}},
		"a security group is not":    {spoil: func(c *groupCloud) { c.target.SecurityGroups = []string{"sg-notthere1"} }, want: waf.Check{Name: "security group", State: waf.CheckFail, Text: "correct security_groups"}},
		"a load balancer is not":     {spoil: func(c *groupCloud) { c.target.LoadBalancers = []string{"lb-notthere1"} }, want: waf.Check{Name: "load balancer", State: waf.CheckFail, Text: "correct load_balancers"}},
		"an action is not let":       {spoil: func(c *groupCloud) { c.Deny("DescribeTemplateLimits") }, want: waf.Check{Name: "permission vpc:DescribeTemplateLimits", State: waf.CheckFail, Text: "CAM policy"}},
		"templates are not let":      {spoil: func(c *groupCloud) { c.Deny("DescribeAddressTemplates") }, want: waf.Check{Name: "permission vpc:DescribeAddressTemplates", State: waf.CheckFail}},
		"writes cannot be tried out": {want: waf.Check{Name: "permissions to write", State: waf.CheckUnknown}},
	} {
		t.Run(name, func(t *testing.T) {
			c := newGroupCloud(t, tc.opts)
			c.target.SetSize = 20
			c.mustRun(t, c.open(t), 1, groupHosts(0, 5))
			if tc.spoil != nil {
				tc.spoil(c)
			}
			checks := examine(t, c.Tencent, c.open(t))
			if !has(checks, tc.want.Name, tc.want.State, tc.want.Text) {
				t.Errorf("want %+v in\n%+v", tc.want, checks)
			}
		})
	}
}

func TestExamineTellsWrongKeysAWrongClockAndASilentCloudApart(t *testing.T) {
	c := newCloudWAF(t, waftest.TencentOptions{})
	good := c.config()
	with := func(change func(*tencentfw.Config)) []waf.Check {
		cfg := good
		cfg.Pace = rate.NewLimiter(rate.Inf, 1)
		change(&cfg)
		f, err := tencentfw.New(cfg, c.target)
		if err != nil {
			t.Fatal(err)
		}
		return examine(t, c.Tencent, f)
	}
	keys := func(id, key string) func(*tencentfw.Config) {
		return func(cfg *tencentfw.Config) {
			cfg.Credentials = func(context.Context) (tencentfw.Credentials, error) {
				return tencentfw.Credentials{SecretID: id, SecretKey: secret.Secret(key)}, nil
			}
		}
	}
	clock := func(d time.Duration) func(*tencentfw.Config) {
		return func(cfg *tencentfw.Config) { cfg.Now = func() time.Time { return c.now.Add(d) } }
	}
	for name, tc := range map[string]struct {
		change func(*tencentfw.Config)
		want   waf.Check
	}{
		"no such id":          {keys("AKIDnobody", waftest.TencentSecretKey), waf.Check{Name: "credentials", State: waf.CheckFail, Text: "secret id"}},
		"a wrong key":         {keys(waftest.TencentSecretID, "wrong"), waf.Check{Name: "credentials", State: waf.CheckFail, Text: "secret key"}},
		"no keys":             {keys("", ""), waf.Check{Name: "credentials", State: waf.CheckFail, Text: "TENCENTCLOUD_SECRET_ID"}},
		"two minutes fast":    {clock(2 * time.Minute), waf.Check{Name: "clock", State: waf.CheckWarn, Text: "2m"}},
		"an hour fast":        {clock(time.Hour), waf.Check{Name: "clock", State: waf.CheckFail, Text: "1h0m0s"}},
		"an hour slow":        {clock(-time.Hour), waf.Check{Name: "clock", State: waf.CheckFail, Text: "1h0m0s"}},
		"nobody is there":     {func(cfg *tencentfw.Config) { cfg.Endpoint = "http://127.0.0.1:1" }, waf.Check{Name: "endpoint", State: waf.CheckFail, Text: "TENCENT_ENDPOINT_URL"}},
		"something else is":   {func(cfg *tencentfw.Config) { cfg.Transport = teapot{} }, waf.Check{Name: "endpoint", State: waf.CheckFail}},
		"and a clock nowhere": {func(cfg *tencentfw.Config) { cfg.Endpoint = "http://127.0.0.1:1" }, waf.Check{Name: "clock", State: waf.CheckUnknown}},
	} {
		t.Run(name, func(t *testing.T) {
			checks := with(tc.change)
			if !has(checks, tc.want.Name, tc.want.State, tc.want.Text) {
				t.Errorf("want %+v in\n%+v", tc.want, checks)
			}
			for _, c := range checks {
				if strings.Contains(c.Text, waftest.TencentSecretKey) {
					t.Errorf("it shows the secret key: %+v", c)
				}
			}
		})
	}
}

// teapot answers what no API does.
type teapot struct{}

func (teapot) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusTeapot, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}
