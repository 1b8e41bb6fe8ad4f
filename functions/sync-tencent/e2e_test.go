package main

// These tests run the function as it is deployed: its static binary, called through
// FC's runtime API, against a strict local Tencent Cloud and an embedded Redis.

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/functiontest"
	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/syncrun/syncruntest"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/tencentfw"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// built is the function as it is deployed, built once for all tests.
var built = functiontest.Binary{Root: filepath.Join("..", ".."), Package: "./functions/sync-tencent"}

func TestMain(m *testing.M) { built.Main(m) }

const (
	region = "ap-guangzhou"
	guest  = "203.0.113.66/32" // whom the user's own security group keeps out

	site = `{"name":"site","region":"ap-guangzhou","mode":"waf","edition":"sparta-waf","entries":20000}`
)

func TestBinary(t *testing.T) {
	group := newAccount(t).group // the same in every account
	syncruntest.TestFunction(t, syncruntest.Harness{
		Function: function, Kind: kind, Setting: inputs.Setting, Binary: &built, KeyID: "of Function Compute and of no use here", Every: time.Second / tencentfw.DefaultPace,
		Targets: map[string]string{
			"group": fmt.Sprintf(`{"name":"group","region":%q,"mode":"security-group","security_groups":[%q]}`, region, group),
			"site":  site,
		},
		Denied: "group", Tampered: "site",
		Broken: `[{"name":"site","region":"ap-guangzhou","mode":"waf"}]`, Complaint: "edition is missing",
		Open: func(t *testing.T) (syncruntest.Cloud, map[string]string) {
			a := newAccount(t)
			return a, map[string]string{
				"TENCENT_ENDPOINT_URL": a.endpoint, "TENCENTCLOUD_SECRET_ID": waftest.TencentSecretID,
				"TENCENTCLOUD_SECRET_KEY": syncruntest.KeySecret, "TENCENTCLOUD_TOKEN": syncruntest.KeyToken,
			}
		},
	})
}

// account is somebody's account: a security group before a load balancer, and a WAF.
type account struct {
	*waftest.Tencent
	endpoint, group string
}

func newAccount(t *testing.T) *account {
	t.Helper()
	a := &account{Tencent: waftest.NewTencent(waftest.TencentOptions{
		Rate: 20, Keys: map[string]waftest.TencentKey{waftest.TencentSecretID: {Secret: syncruntest.KeySecret, Token: syncruntest.KeyToken}},
	})}
	a.group = a.SeedSecurityGroup(region, "shop")
	a.SeedLoadBalancer(region, "front", a.group)
	a.SeedDomain("shop.example.com", "", true)
	if _, err := a.SeedAccess("global", waftest.TencentBlock, "by hand", time.Time{}, "203.0.113.240"); err != nil {
		t.Fatal(err)
	}
	var err error
	if a.endpoint, err = a.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// Enforced leaves out whom the user keeps out by himself.
func (a *account) Enforced(target string) []netip.Prefix {
	own, list := []string{guest}, a.EnforcedGroup(a.group)
	if target == "site" {
		own, list = []string{"203.0.113.240/32"}, a.EnforcedAccess("global")
	}
	return slices.DeleteFunc(list, func(p netip.Prefix) bool { return slices.Contains(own, p.String()) })
}

func (a *account) Made() int { return len(a.Calls()) }

// Deny refuses what target "group" calls.
func (a *account) Deny(string) {
	a.Before(func(c waftest.TencentCall) *waftest.Fault {
		if c.Service != "waf" {
			return &waftest.Fault{Code: "AuthFailure.UnauthorizedOperation"}
		}
		return nil
	})
}

// Tamper strikes an address out of our entries in WAF's list.
func (a *account) Tamper(t *testing.T, _, epoch string) {
	t.Helper()
	targets, err := tencentfw.ParseTargets("[" + site + "]")
	if err != nil {
		t.Fatal(err)
	}
	firewall, err := tencentfw.New(tencentfw.Config{
		Endpoint: a.endpoint,
		Credentials: func(context.Context) (tencentfw.Credentials, error) {
			return tencentfw.Credentials{SecretID: waftest.TencentSecretID, SecretKey: secret.Secret(syncruntest.KeySecret), Token: secret.Secret(syncruntest.KeyToken)}, nil
		},
	}, targets[0])
	if err != nil {
		t.Fatal(err)
	}
	state, err := firewall.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	book, ok := firewall.(waf.BookFirewall)
	if !ok || state.Stamp == nil {
		t.Fatalf("state = %+v, want a book with a stamp", state)
	}
	if err := book.Remove(t.Context(), []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32")}, waf.Stamp{Epoch: epoch, Generation: state.Stamp.Generation}); err != nil {
		t.Fatal(err)
	}
}
