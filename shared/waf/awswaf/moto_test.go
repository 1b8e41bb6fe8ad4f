package awswaf_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	neturl "net/url"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
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
	step("create", "", 1, hosts(0, 12), 4) // one of them tries what is allowed
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

// TestMotoRuleGroups is the same for rule groups, whose capacity moto cannot check.
func TestMotoRuleGroups(t *testing.T) {
	url := withCapacity(t, startMoto(t))
	target := awswaf.Target{Name: "edge", Region: region, Mode: awswaf.ModeRuleGroup, Groups: 2, SetSize: 10}
	open := func() *awswaf.Firewall { return openAt(t, url, target) }
	cloud := &cloud{AWS: waftest.NewAWS(waftest.AWSOptions{}), url: url, target: target}
	both := append(hosts(0, 12), waf.Want{Prefix: v6("2001:db8::/64")})
	for _, step := range []struct {
		name, leftOut string
		wants         []waf.Want
		writes        int
		refs          int // of the first group
	}{
		{"create two sets and two groups", "", hosts(0, 12), 6, 2},
		{"nothing changed", "", hosts(0, 12), 0, 2},
		{"one come", "", hosts(0, 13), 1, 2},
		{"a second family", "", both, 3, 3},
		{"nothing changed again", "", both, 0, 3},
		{"empty again", "UpdateRuleGroup with no rules keeps the old ones", nil, -1, 0},
		{"more than the capacity", "accepted", nil, -1, 0},
		{"a name that is taken", "another error code", nil, -1, 0},
	} {
		t.Run(step.name, func(t *testing.T) {
			if step.leftOut != "" {
				t.Skip("moto: " + step.leftOut)
			}
			report, err := on(open(), 10).Reconcile(t.Context(), waf.Desired{Wants: step.wants, Epoch: "e", Generation: 1})
			if err != nil {
				t.Fatal(err)
			}
			if report.Writes != step.writes || report.Enforced != len(step.wants) {
				t.Errorf("%d writes (%q), %d enforced; want %d, %d", report.Writes, report.Plan, report.Enforced, step.writes, len(step.wants))
			}
			if got := motoHolds(t, cloud.sdk()); !slices.Equal(got, sorted(step.wants)) {
				t.Errorf("moto holds %d, want %d", len(got), len(step.wants))
			}
			list, err := cloud.sdk().ListRuleGroups(t.Context(), &wafv2.ListRuleGroupsInput{Scope: types.ScopeRegional})
			if err != nil || len(list.RuleGroups) != 2 {
				t.Fatalf("%v, %d groups", err, len(list.RuleGroups))
			}
			g, err := cloud.sdk().GetRuleGroup(t.Context(), &wafv2.GetRuleGroupInput{Name: aws.String("tracewall-edge-001"), Id: groupID(list.RuleGroups, "tracewall-edge-001"), Scope: types.ScopeRegional})
			if err != nil || len(g.RuleGroup.Rules) != 1 {
				t.Fatalf("%v, want one rule", err)
			}
			if or := g.RuleGroup.Rules[0].Statement.OrStatement; or == nil || len(or.Statements) != step.refs {
				t.Errorf("the SDK reads the rule as %+v, want %d references", g.RuleGroup.Rules[0].Statement, step.refs)
			}
			if aws.ToInt64(g.RuleGroup.Capacity) != 50 {
				t.Errorf("capacity %d, want 50", aws.ToInt64(g.RuleGroup.Capacity))
			}
		})
	}
}

func groupID(groups []types.RuleGroupSummary, name string) *string {
	for _, g := range groups {
		if *g.Name == name {
			return g.Id
		}
	}
	return nil
}

// withCapacity answers CheckCapacity, which moto does not know (it answers with HTTP
// 500 and a page of HTML), with one WCU for each reference; all else is moto's.
func withCapacity(t *testing.T, moto string) (url string) {
	t.Helper()
	to, err := neturl.Parse(moto)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Target") != "AWSWAF_20190729.CheckCapacity" {
			proxy.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		_, _ = fmt.Fprintf(w, `{"Capacity":%d}`, bytes.Count(body, []byte("IPSetReferenceStatement")))
	}))
	t.Cleanup(func() {
		sharedHTTP.CloseIdleConnections()
		server.Close()
	})
	return server.URL
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
