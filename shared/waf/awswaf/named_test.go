package awswaf_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// The user's own words, with all that AWS takes in a description.
const describedByUser = "Bad ones, see https://wiki/waf#bad-ones: kept by tracewall, +=@."

// newNamedCloud is a cloud with IP sets of the user's, a name and a family each, to
// which a rule in their web ACL refers.
func newNamedCloud(t *testing.T, opts waftest.AWSOptions, names ...string) *cloud {
	t.Helper()
	c := newCloud(t, opts)
	c.target = awswaf.Target{Name: "edge", Region: region, Mode: awswaf.ModeIPSet}
	var refs []string
	for _, name := range names {
		version := types.IPAddressVersionIpv4
		if strings.HasSuffix(name, "v6") {
			version = types.IPAddressVersionIpv6
		}
		out, err := c.sdk().CreateIPSet(t.Context(), &wafv2.CreateIPSetInput{
			Name: &name, Scope: types.ScopeRegional, IPAddressVersion: version, Addresses: []string{}, Description: aws.String(describedByUser),
		})
		if err != nil {
			t.Fatal(err)
		}
		c.target.IPSets = append(c.target.IPSets, *out.Summary.ARN)
		refs = append(refs, fmt.Sprintf(`{"IPSetReferenceStatement":{"ARN":%q}}`, *out.Summary.ARN))
	}
	c.editACL(t, func(rules []json.RawMessage) []json.RawMessage {
		for i, ref := range refs {
			rules = append(rules, rule("bad-ones-"+fmt.Sprint(i), 300+i, ref))
		}
		return rules
	})
	c.Forget()
	return c
}

// onlyTwoActions fails if any call but GetIPSet and UpdateIPSet was made.
func (c *cloud) onlyTwoActions(t *testing.T) {
	t.Helper()
	for _, call := range c.Calls() {
		if call.Op != "GetIPSet" && call.Op != "UpdateIPSet" {
			t.Errorf("%s was called", call.Op)
		}
	}
}

func (c *cloud) description(t *testing.T, name string) string {
	t.Helper()
	return aws.ToString(c.standingSet(t, name).Description)
}

var sevenSets = []string{"bad-1", "bad-2", "bad-3", "bad-4", "bad-5", "bad-6", "bad-v6"}

// TestNamedSets runs what of the contract of every firewall applies to sets that are the user's.
func TestNamedSets(t *testing.T) {
	leftOut := map[string]string{
		"another_epoch": "the description is the user's: no set says from which list it was made",
		"older_state":   "the description is the user's: no set says from which state of the list it was made",
		"go_away":       "the sets are the user's: they stay",
	}
	waftest.TestFirewall(t, func(t *testing.T) waftest.Harness {
		for part, why := range leftOut {
			if strings.Contains(t.Name(), part) {
				t.Skip(why)
			}
		}
		c := newNamedCloud(t, waftest.AWSOptions{}, sevenSets...)
		t.Cleanup(func() {
			c.onlyTwoActions(t)
			if got := c.description(t, "bad-1"); got != describedByUser {
				t.Errorf("description %q, want the user's, byte for byte: %q", got, describedByUser)
			}
		})
		return waftest.Harness{
			Open:        func(t *testing.T) waf.Firewall { return c.open(t) },
			Enforced:    c.enforced,
			Foreign:     func() string { return c.foreign(t) },
			Fail:        c.failWrite,
			CannotProve: true,
		}
	})
}

func TestNamedSetCallsPerRun(t *testing.T) {
	c := newNamedCloud(t, waftest.AWSOptions{}, "bad-1", "bad-2", "bad-v6")
	f := c.open(t)
	for _, step := range []struct {
		name  string
		wants []waf.Want
		want  string
	}{
		{"filled", hosts(0, 15), "GetIPSet GetIPSet GetIPSet UpdateIPSet UpdateIPSet"},
		{"nothing changed", hosts(0, 15), "GetIPSet GetIPSet GetIPSet"},
		{"one gone and one come", hosts(1, 15), "GetIPSet GetIPSet GetIPSet UpdateIPSet"},
	} {
		c.Forget()
		c.mustRun(t, f, 1, step.wants)
		if got := strings.Join(c.ops(), " "); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
	c.Forget()
	report, err := c.run(t, f, 1, hosts(0, 27))
	if err != nil || report.Enforced != 20 || report.Overflow != 7 {
		t.Errorf("%v, %d enforced, overflow %d; want 20 and 7: no set can be made", err, report.Enforced, report.Overflow)
	}
	c.onlyTwoActions(t)
}

func TestANamedSetWithoutADescriptionKeepsNone(t *testing.T) {
	c := newNamedCloud(t, waftest.AWSOptions{}, "bad-1")
	s := c.standingSet(t, "bad-1")
	if _, err := c.sdk().UpdateIPSet(t.Context(), &wafv2.UpdateIPSetInput{Name: s.Name, Id: s.Id, Scope: types.ScopeRegional, LockToken: s.LockToken, Addresses: []string{}}); err != nil {
		t.Fatal(err)
	}
	c.mustRun(t, c.open(t), 1, hosts(0, 5))
	if got := c.description(t, "bad-1"); got != "" {
		t.Errorf("description %q, want none", got)
	}
}

// standingSet returns the summary of an IP set.
func (c *cloud) standingSet(t *testing.T, name string) types.IPSetSummary {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // it is asked for in clean-ups too
	out, err := c.sdk().ListIPSets(ctx, &wafv2.ListIPSetsInput{Scope: types.Scope(c.scope())})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(out.IPSets, func(s types.IPSetSummary) bool { return *s.Name == name })
	if i < 0 {
		t.Fatalf("there is no ip set %s", name)
	}
	return out.IPSets[i]
}

func TestANamedSetThatIsNotThere(t *testing.T) {
	c := newNamedCloud(t, waftest.AWSOptions{}, "bad-1")
	gone := "arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/bad-2/0b5e1c2d-0000-4000-8000-0123456789ab"
	c.target.IPSets = append(c.target.IPSets, gone)
	_, err := c.run(t, c.open(t), 1, hosts(0, 5))
	if !errors.Is(err, waf.ErrInvalid) || !strings.Contains(err.Error(), "get ip set bad-2: ") || !strings.Contains(err.Error(), "make it, or take "+gone+" out of ip_sets of target edge") {
		t.Errorf("error %v, want ErrInvalid that says what to do", err)
	}
	if got := strings.Join(c.ops(), " "); got != "GetIPSet GetIPSet" {
		t.Errorf("calls %s: looking again does not bring it back", got)
	}
}

func TestNamedSetsThatCannotBe(t *testing.T) {
	const id = "/0b5e1c2d-0000-4000-8000-0123456789ab"
	for name, arns := range map[string][]string{
		"none":           nil,
		"another region": {"arn:aws:wafv2:eu-west-2:123456789012:regional/ipset/bad" + id},
		"another scope":  {"arn:aws:wafv2:us-east-1:123456789012:global/ipset/bad" + id},
		"not an ip set":  {"arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/bad" + id},
		"one name, two ids": {
			"arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/bad" + id,
			"arn:aws:wafv2:eu-west-1:123456789012:regional/ipset/bad/1b5e1c2d-0000-4000-8000-0123456789ab",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := awswaf.New(aws.Config{}, awswaf.Target{Name: "edge", Region: region, Mode: awswaf.ModeIPSet, IPSets: arns})
			if err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestNamedSetsAreTheUsersToMakeAndDelete(t *testing.T) {
	c := newNamedCloud(t, waftest.AWSOptions{}, "bad-1")
	f := c.open(t)
	if _, err := f.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Forget()
	for what, err := range map[string]error{
		"put a set that is not named": f.Put(t.Context(), waf.Set{Name: "tracewall-edge-v4-001", Family: waf.IPv4}),
		"delete":                      f.Delete(t.Context(), "bad-1"),
		"unreference":                 f.Reference(t.Context(), nil, []string{"bad-1"}),
	} {
		if !errors.Is(err, waf.ErrInvalid) {
			t.Errorf("%s: error %v, want ErrInvalid", what, err)
		}
	}
	if err := f.Reference(t.Context(), []string{"bad-1"}, nil); err != nil {
		t.Errorf("to refer to what is referred to: %v", err)
	}
	if len(c.Calls()) > 0 {
		t.Errorf("calls %q", c.ops())
	}
}

func TestFaultAtEveryCallOnNamedSets(t *testing.T) {
	for kind, fault := range faultKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for n := 0; ; n++ {
				c := newNamedCloud(t, waftest.AWSOptions{}, sevenSets...)
				c.mustRun(t, c.open(t), 1, hosts(0, 28))
				foreign := c.foreign(t)
				c.Forget()
				to := hosts(9, 40)
				c.guardOf(t, fmt.Sprintf("%s at call %d", kind, n), to, c.enforced)
				c.Before(func(call waftest.Call) *waftest.Fault {
					if call.Index == n {
						return &fault
					}
					return nil
				})
				_, err := c.run(t, c.open(t), 2, to)
				done := len(c.Calls()) <= n
				if err == nil && len(c.enforced()) != len(to) {
					t.Errorf("at call %d: no error, and %d of %d enforced", n, len(c.enforced()), len(to))
				}
				c.Before(nil)
				c.mustRun(t, c.open(t), 2, to)
				c.onlyTwoActions(t)
				if now := c.foreign(t); now != foreign {
					t.Errorf("at call %d: what is not ours changed", n)
				}
				if done {
					if n < 8 {
						t.Errorf("only %d calls: the scenario tests nothing", n)
					}
					return
				}
			}
		})
	}
}

// TestASecondWriterOfANamedSet: what the user adds between our read and our write is
// seen, and the description that they give it meanwhile is theirs.
func TestASecondWriterOfANamedSet(t *testing.T) {
	c := newNamedCloud(t, waftest.AWSOptions{}, "bad-1")
	raced := false
	c.Before(func(call waftest.Call) *waftest.Fault {
		if call.Op != "UpdateIPSet" || raced {
			return nil
		}
		raced = true
		s := c.standingSet(t, "bad-1")
		if _, err := c.sdk().UpdateIPSet(t.Context(), &wafv2.UpdateIPSetInput{
			Name: s.Name, Id: s.Id, Scope: types.ScopeRegional, LockToken: s.LockToken, Addresses: []string{"192.0.2.9/32"}, Description: aws.String("another text"),
		}); err != nil {
			t.Error(err)
		}
		return nil
	})
	c.mustRun(t, c.open(t), 1, hosts(0, 5))
	if got := c.description(t, "bad-1"); got != "another text" {
		t.Errorf("description %q, want the newest of the user's", got)
	}
}

func TestDriftOfANamedSet(t *testing.T) {
	c := newNamedCloud(t, waftest.AWSOptions{}, "bad-1", "bad-2")
	f := c.open(t)
	c.mustRun(t, f, 1, hosts(0, 5))
	if r := c.mustRun(t, f, 1, hosts(0, 5)); len(r.Drift) > 0 {
		t.Errorf("drift %q, and nobody did anything", r.Drift)
	}
	s := c.standingSet(t, "bad-1")
	update := func(addresses ...string) {
		t.Helper()
		s = c.standingSet(t, "bad-1")
		if _, err := c.sdk().UpdateIPSet(t.Context(), &wafv2.UpdateIPSetInput{
			Name: s.Name, Id: s.Id, Scope: types.ScopeRegional, LockToken: s.LockToken, Addresses: addresses, Description: s.Description,
		}); err != nil {
			t.Fatal(err)
		}
	}
	update("192.0.2.9/32")
	r := c.mustRun(t, f, 1, hosts(0, 5))
	want := []string{"ip set bad-1: somebody else changed its addresses, of which there were 5 and are 1"}
	if diff := cmp.Diff(want, r.Drift); diff != "" {
		t.Error(diff)
	}
}

func TestNamedSetsOfCloudFrontAreInVirginia(t *testing.T) {
	c := emptyCloud(t, waftest.AWSOptions{})
	c.target = awswaf.Target{Name: "edge", Scope: awswaf.CloudFront, Mode: awswaf.ModeIPSet}
	client := wafv2.New(c.sdk().Options(), func(o *wafv2.Options) { o.Region = "us-east-1" })
	for _, version := range []types.IPAddressVersion{types.IPAddressVersionIpv4, types.IPAddressVersionIpv6} {
		out, err := client.CreateIPSet(t.Context(), &wafv2.CreateIPSetInput{
			Name: aws.String("bad-" + string(version)), Scope: types.ScopeCloudfront, IPAddressVersion: version, Addresses: []string{},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.target.IPSets = append(c.target.IPSets, *out.Summary.ARN)
	}
	c.Forget()
	wants := append(hosts(0, 9), waf.Want{Prefix: netip.MustParsePrefix("2001:db8::/64")})
	report, err := c.run(t, c.open(t), 1, wants)
	if err != nil || report.Enforced != 10 {
		t.Fatalf("%v, %d enforced", err, report.Enforced)
	}
	if diff := cmp.Diff(map[string]int{"bad-IPV4": 9, "bad-IPV6": 1}, c.Sets("us-east-1", awswaf.CloudFront)); diff != "" {
		t.Error(diff)
	}
	for _, call := range c.Calls() {
		if call.Region != "us-east-1" {
			t.Errorf("%s went to %s", call.Op, call.Region)
		}
	}
}
