package awswaf_test

import (
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

const (
	region = "eu-west-1"
	acl    = "shop"
	// balancer is what the web ACL of the user protects.
	balancer = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shop/50dc6c495c0c9188"
)

// sharedHTTP keeps thousands of short-lived Firewalls from having a connection each.
var sharedHTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}

// cloud is one stand-in AWS with the web ACL of a user in it.
type cloud struct {
	*waftest.AWS
	url    string
	target awswaf.Target
}

func newCloud(t *testing.T, opts waftest.AWSOptions) *cloud {
	t.Helper()
	c := emptyCloud(t, opts)
	if err := c.SeedWebACL(region, awswaf.Regional, acl); err != nil {
		t.Fatal(err)
	}
	if err := c.Associate(region, acl, balancer); err != nil {
		t.Fatal(err)
	}
	return c
}

func emptyCloud(t *testing.T, opts waftest.AWSOptions) *cloud {
	t.Helper()
	c := &cloud{AWS: waftest.NewAWS(opts), target: awswaf.Target{Name: "edge", Region: region, WebACL: acl, Priority: 101, SetSize: 10}}
	url, err := c.Start()
	if err != nil {
		t.Fatal(err)
	}
	c.url = url
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// open returns a Firewall as a new process would make it, without any waiting.
func (c *cloud) open(t *testing.T, opts ...awswaf.Option) *awswaf.Firewall {
	t.Helper()
	return openAt(t, c.url, c.target, opts...)
}

func openAt(t testing.TB, url string, target awswaf.Target, opts ...awswaf.Option) *awswaf.Firewall {
	t.Helper()
	cfg := aws.Config{
		HTTPClient:   sharedHTTP,
		BaseEndpoint: aws.String(url), Region: "ap-south-1", // the target's Region must win
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	}
	opts = append([]awswaf.Option{
		awswaf.WithPace(awswaf.NewPace(0, 0)),
		awswaf.WithDelay(func(int) time.Duration { return 0 }),
	}, opts...)
	f, err := awswaf.New(cfg, target, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (c *cloud) enforced() []netip.Prefix { return c.Enforced(region, awswaf.Regional, acl) }

// foreign is everything of the web ACL that is not our rule, in the bytes that the service holds.
func (c *cloud) foreign(t *testing.T) string {
	t.Helper()
	rules, err := c.Rules(region, awswaf.Regional, acl)
	if err != nil {
		t.Fatal(err)
	}
	fields, err := c.Snapshot(region, awswaf.Regional, acl)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		if name != "tracewall-edge" {
			b.WriteString(rules[name] + "\n")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if key != "Rules" && key != "Capacity" {
			b.WriteString(key + " " + string(fields[key]) + "\n")
		}
	}
	return b.String()
}

// failWrite lets the n-th write from now fail, with its resends, for good.
func (c *cloud) failWrite(n int, after bool) {
	seen := -1
	failing := ""
	c.Before(func(call waftest.Call) *waftest.Fault {
		if n < 0 || !call.Write() {
			return nil
		}
		if key := call.Op + call.Name; key == failing {
			// A resend by the SDK. After a lost answer the service judges it by itself.
			if after {
				return nil
			}
			return &waftest.Fault{Code: "WAFInternalErrorException"}
		}
		if seen++; seen != n {
			failing = ""
			return nil
		}
		failing = call.Op + call.Name
		return &waftest.Fault{Code: "WAFInternalErrorException", AfterChange: after, Drop: after}
	})
}

func TestAdapter(t *testing.T) {
	for name, opts := range map[string]waftest.AWSOptions{
		"plain":              {},
		"always a marker":    {AlwaysMarker: true},
		"new sets not ready": {NotReady: 3},
	} {
		t.Run(name, func(t *testing.T) {
			waftest.TestFirewall(t, func(t *testing.T) waftest.Harness {
				c := newCloud(t, opts)
				return waftest.Harness{
					Open:     func(t *testing.T) waf.Firewall { return c.open(t) },
					Enforced: c.enforced,
					Foreign:  func() string { return c.foreign(t) },
					Fail:     c.failWrite,
					FailCall: c.failCall,
				}
			})
		})
	}
}

// failCall makes the n-th call from now fail for good, the SDK's own tries included; negative: none.
func (c *cloud) failCall(n int) {
	c.Heal()
	if n >= 0 {
		c.FailCall(n, 6, waftest.Fault{Code: "WAFInternalErrorException"})
	}
}
