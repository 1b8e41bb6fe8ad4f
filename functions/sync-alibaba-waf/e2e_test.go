package main

// These tests run the function as it is deployed: its static binary, called through
// FC's runtime API, against a strict local WAF 3.0 and Cloud Firewall and an embedded Redis.

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/functiontest"
	"github.com/tracewall/tracewall/shared/syncrun/syncruntest"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// built is the function as it is deployed, built once for all tests.
var built = functiontest.Binary{Root: filepath.Join("..", ".."), Package: "./functions/sync-alibaba-waf"}

func TestMain(m *testing.M) { built.Main(m) }

const keyID = "STS.call-id"

func TestBinary(t *testing.T) {
	syncruntest.TestFunction(t, syncruntest.Harness{
		Function: function, Kind: kind, Setting: inputs.Setting, Binary: &built, KeyID: keyID, Every: aliwaf.WAFEvery,
		Targets: map[string]string{
			"book":  `{"name":"book","region":"cn-hangzhou"}`, // mode auto
			"rules": `{"name":"rules","region":"cn-hangzhou","mode":"ip-blacklist"}`,
			"cloud": `{"name":"cloud","region":"cn-hangzhou","mode":"cloud-firewall","manage":true}`,
		},
		Denied: "cloud", Tampered: "book",
		Broken: `[{"name":"Shop","region":"eu-west-1"}]`, Complaint: "eu-west-1",
		Open: func(t *testing.T) (syncruntest.Cloud, map[string]string) {
			// Half of what the function keeps: on a loaded machine one call takes longer than the next.
			a := newAccount(t, waftest.AlibabaOptions{Rates: true, Every: 100 * time.Millisecond})
			return a, map[string]string{"ALIBABA_ENDPOINT_URL": a.endpoint}
		},
	})
}

// account is somebody's account with rules of his own.
type account struct {
	*waftest.Alibaba
	endpoint string
}

func newAccount(t *testing.T, opts waftest.AlibabaOptions) *account {
	t.Helper()
	opts.Keys = []waftest.AlibabaKey{{ID: keyID, Secret: syncruntest.KeySecret, Token: syncruntest.KeyToken}}
	a := &account{Alibaba: waftest.NewAlibaba(opts)}
	a.SeedObjects("shop.example.com-waf")
	template := a.SeedTemplate(waftest.AlibabaTemplate{Scene: "custom_acl", Name: "ours-since-2019", Objects: []string{"shop.example.com-waf"}})
	if _, err := a.SeedRule(waftest.AlibabaRule{
		Template: template, Scene: "custom_acl", Name: "partner",
		Config: `{"action":"monitor","ccStatus":0,"conditions":[{"key":"URL","opValue":"contain","values":"/partner"}]}`,
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.SeedBook(waftest.AlibabaBook{Name: "offices", Description: "by hand", Addresses: []string{"198.51.100.0/24"}}); err != nil {
		t.Fatal(err)
	}
	var err error
	if a.endpoint, err = a.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func (a *account) Enforced(target string) []netip.Prefix {
	return a.Alibaba.Enforced(map[string]string{"book": waftest.ByAddressBook, "rules": waftest.ByBlacklist, "cloud": waftest.ByCloudFirewall}[target])
}

// Made counts the calls to WAF, which two of the targets share; Cloud Firewall has a pace of its own.
func (a *account) Made() (n int) {
	for _, c := range a.Calls() {
		if c.Product == "waf" {
			n++
		}
	}
	return n
}

// Deny refuses what target "cloud" calls; the other two share their service.
func (a *account) Deny(string) {
	a.Before(func(c waftest.AlibabaCall) *waftest.Fault {
		if c.Product == "cloudfw" {
			return &waftest.Fault{Code: "NoPermission"}
		}
		return nil
	})
}

// Tamper strikes an address out of target "book"'s address book.
func (a *account) Tamper(t *testing.T, target, _ string) {
	t.Helper()
	for _, b := range a.Books() {
		if strings.HasPrefix(b.Name, "tracewall-"+target) {
			gone := b.Addresses[slices.IndexFunc(b.Addresses, func(s string) bool { return strings.HasPrefix(s, "203.0.113.7") })]
			if err := a.EditBook(b.ID, nil, []string{gone}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
