package awswaf_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// TestMoto runs the adapter against a WAFv2 that is not our code. moto is wrong
// about much of what matters most, so only what it gets right is tried; the rows
// below that name a reason are left out. It needs moto_server (the Python package
// moto[server]) on the PATH.
func TestMoto(t *testing.T) {
	url := startMoto(t)
	target := awswaf.Target{Name: "edge", Region: region, WebACL: acl, SetSize: 10}
	open := func() *awswaf.Firewall { return openAt(t, url, target) }
	cloud := &cloud{AWS: waftest.NewAWS(waftest.AWSOptions{}), url: url, target: target}

	step := func(name, leftOut string, generation uint64, wants []waf.Want, writes int) {
		t.Run(name, func(t *testing.T) {
			if leftOut != "" {
				t.Skip("moto: " + leftOut)
			}
			report, err := on(open(), 10).Reconcile(t.Context(), waf.Desired{Wants: wants, Epoch: "e", Generation: generation})
			if err != nil {
				t.Fatal(err)
			}
			if writes >= 0 && report.Writes != writes || report.Enforced != len(wants) {
				t.Errorf("%d writes (%q), %d enforced; want %d, %d", report.Writes, report.Plan, report.Enforced, writes, len(wants))
			}
			if got := motoHolds(t, cloud.sdk()); !slices.Equal(got, sorted(wants)) {
				t.Errorf("moto holds %d, want %d", len(got), len(wants))
			}
		})
	}
	both := append(hosts(0, 12), waf.Want{Prefix: v6("2001:db8::/64")})
	step("create", "", 1, hosts(0, 12), 3)
	step("nothing changed", "", 1, hosts(0, 12), 0)
	step("one come", "", 2, hosts(0, 13), 1)
	step("one gone", "", 3, hosts(0, 12), 1)
	step("a second family", "", 4, both, 2)
	step("empty again", "UpdateWebACL and UpdateRuleGroup with no rules keep the old ones", 5, nil, -1)
	step("addresses with host bits", "accepted", 6, nil, -1)
	step("a set in use is deleted", "succeeds", 7, nil, -1)
	t.Run("a stale token is a conflict", func(t *testing.T) {
		a, b := open(), open()
		for _, f := range []waf.Firewall{a, b} {
			if _, err := f.Look(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		set := waf.Set{Name: "tracewall-edge-v4-001", Family: waf.IPv4, Mark: waf.Mark{Epoch: "e", Generation: 9}}
		if err := a.Put(t.Context(), set); err != nil {
			t.Fatal(err)
		}
		set.Mark.Generation = 10
		if err := b.Put(t.Context(), set); err == nil {
			t.Error("the second write with the same token went through")
		}
	})
}

func startMoto(t *testing.T) (url string) {
	t.Helper()
	path, err := exec.LookPath("moto_server")
	if err != nil {
		t.Skip("moto_server is not on the PATH (pip install 'moto[server]')")
	}
	if testing.Short() {
		t.Skip("starts a Python server")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path, "-H", "127.0.0.1", "-p", fmt.Sprint(port))
	if err := cmd.Start(); err != nil {
		cancel()
		t.Skipf("moto_server does not start: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // killed
	})
	url = fmt.Sprintf("http://127.0.0.1:%d", port)
	for range 400 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/moto-api/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			return url
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Skip("moto_server did not answer within 20 s")
	return ""
}

func motoHolds(t *testing.T, client *wafv2.Client) (list []string) {
	t.Helper()
	out, err := client.ListIPSets(t.Context(), &wafv2.ListIPSetsInput{Scope: types.ScopeRegional})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range out.IPSets {
		set, err := client.GetIPSet(t.Context(), &wafv2.GetIPSetInput{Name: s.Name, Id: s.Id, Scope: types.ScopeRegional})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, set.IPSet.Addresses...)
	}
	slices.Sort(list)
	return list
}

func sorted(wants []waf.Want) (list []string) {
	for _, w := range wants {
		list = append(list, w.Prefix.String())
	}
	slices.Sort(list)
	return list
}

func v6(text string) netip.Prefix { return netip.MustParsePrefix(text) }
