package awswaf_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func hosts(first, n int) []waf.Want {
	list := make([]waf.Want, n)
	for i := range list {
		k := first + i
		addr := netip.AddrFrom4([4]byte{203, 0, byte(k >> 7), byte(k << 1)})
		list[i] = waf.Want{Prefix: netip.PrefixFrom(addr, 32), ExpiresAt: time.Unix(int64(k), 0)}
	}
	return list
}

func on(f waf.Firewall, size int) *waf.Reconciler {
	return &waf.Reconciler{
		Firewall: f, Name: "edge", Limits: waf.Limits{SetSize: size}, Guard: waf.Guard{Ended: waftest.AllEnded},
		Pause: func(context.Context, int) error { return nil },
	}
}

func (c *cloud) run(t *testing.T, f waf.Firewall, generation uint64, wants []waf.Want) (waf.Report, error) {
	t.Helper()
	return on(f, 10).Reconcile(t.Context(), waf.Desired{Wants: wants, Epoch: "epoch-1", Generation: generation})
}

func (c *cloud) mustRun(t *testing.T, f waf.Firewall, generation uint64, wants []waf.Want) waf.Report {
	t.Helper()
	report, err := c.run(t, f, generation, wants)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(c.enforced()), len(wants)-report.Overflow; got != want {
		t.Fatalf("the wall enforces %d, want %d", got, want)
	}
	return report
}

func contains(list []waf.Want, p netip.Prefix) bool {
	return slices.ContainsFunc(list, func(w waf.Want) bool { return w.Prefix == p })
}

// watch fails the test as soon as an address that was blocked and is wanted is not blocked any more.
func (c *cloud) watch(t *testing.T, where string, wanted []waf.Want) {
	var mu sync.Mutex
	before := c.enforced()
	c.After(func(call waftest.Call) {
		if !call.Changed {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		now := c.enforced()
		for _, p := range before {
			if contains(wanted, p) && !slices.Contains(now, p) {
				t.Errorf("%s: %s is wanted and no longer blocked after call %d (%s %s)", where, p, call.Index, call.Op, call.Name)
			}
		}
		before = now
	})
}

// TestFaultAtEveryCall lets every single call, reads too, of growing from nothing,
// growing, churning and shrinking fail in every way.
func TestFaultAtEveryCall(t *testing.T) {
	kinds := map[string]waftest.Fault{
		"throttled":           {Code: "ThrottlingException"},
		"internal error":      {Code: "WAFInternalErrorException"},
		"done, then an error": {Code: "WAFInternalErrorException", AfterChange: true},
		"connection broken":   {Code: "dropped", Drop: true},
		"answer lost":         {Code: "dropped", Drop: true, AfterChange: true},
		"conflict":            {Code: "WAFOptimisticLockException"},
		"not ready":           {Code: "WAFUnavailableEntityException"},
		"gone":                {Code: "WAFNonexistentItemException"},
		"denied":              {Code: "AccessDeniedException"},
		"quota":               {Code: "WAFLimitsExceededException"},
	}
	steps := []struct {
		name     string
		from, to []waf.Want
	}{
		{"create", nil, hosts(0, 25)},
		{"grow", hosts(0, 15), hosts(0, 38)},
		{"churn", hosts(0, 28), hosts(9, 31)},
		{"shrink", hosts(0, 38), hosts(3, 6)},
	}
	for kind, fault := range kinds {
		for i, step := range steps {
			// The kinds that leave a doubt are tried everywhere, the plain ones on the first and the hardest.
			if i%2 == 1 && !fault.AfterChange && fault.Code != "WAFOptimisticLockException" && fault.Code != "AccessDeniedException" {
				continue
			}
			t.Run(kind+" while it has to "+step.name, func(t *testing.T) {
				t.Parallel()
				for n := 0; ; n++ {
					c := newCloud(t, waftest.AWSOptions{})
					if step.from != nil {
						c.mustRun(t, c.open(t), 1, step.from)
					}
					foreign := c.foreign(t)
					c.Forget()
					where := fmt.Sprintf("%s at call %d", kind, n)
					c.watch(t, where, step.to)
					c.Before(func(call waftest.Call) *waftest.Fault {
						if call.Index == n {
							return &fault
						}
						return nil
					})
					report, err := c.run(t, c.open(t), 2, step.to)
					done := len(c.Calls()) <= n
					if err == nil && len(c.enforced()) != len(step.to) {
						t.Errorf("%s: no error, and %d of %d enforced", where, len(c.enforced()), len(step.to))
					}
					if report.Enforced > len(c.enforced()) {
						t.Errorf("%s: report says %d enforced, the wall has %d", where, report.Enforced, len(c.enforced()))
					}
					c.Before(nil)
					c.mustRun(t, c.open(t), 2, step.to)
					c.After(nil)
					if now := c.foreign(t); now != foreign {
						t.Errorf("%s: what is not ours changed:\n%s\n%s", where, foreign, now)
					}
					if done {
						if n < 4 {
							t.Errorf("only %d calls: the scenario tests nothing", n)
						}
						return
					}
				}
			})
		}
	}
}

// TestLostAnswersAreNoFailures loses the answer to the first call of a kind, or to
// all resends of it as well.
func TestLostAnswersAreNoFailures(t *testing.T) {
	for _, op := range []string{"CreateIPSet", "UpdateIPSet", "UpdateWebACL", "DeleteIPSet"} {
		for _, resends := range []int{0, 4} {
			if op == "DeleteIPSet" && resends > 0 {
				continue // nothing to read back: the next run finds it gone
			}
			t.Run(fmt.Sprintf("%s and %d resends", op, resends), func(t *testing.T) {
				c := newCloud(t, waftest.AWSOptions{})
				c.mustRun(t, c.open(t), 1, hosts(0, 30))
				lost := 0
				c.Before(func(call waftest.Call) *waftest.Fault {
					if call.Op != op || lost > resends {
						return nil
					}
					lost++
					return &waftest.Fault{Code: "dropped", Drop: true, AfterChange: true}
				})
				c.Forget()
				// Updates, creates, retires and deletes, in three runs.
				c.mustRun(t, c.open(t), 2, hosts(5, 45))
				c.mustRun(t, c.open(t), 3, hosts(5, 1))
				c.mustRun(t, c.open(t), 4, hosts(5, 1))
				if lost == 0 {
					t.Error("the scenario made no such call")
				}
			})
		}
	}
}

func TestAHangingCallIsNotTheEndOfTime(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	release := make(chan struct{})
	defer close(release)
	hung := false
	c.Before(func(call waftest.Call) *waftest.Fault {
		if call.Name == "tracewall-edge-v4-002" && !hung {
			hung = true
			<-release
		}
		return nil
	})
	f := c.open(t)
	awswaf.SetCallTimeout(f, 50*time.Millisecond)
	report, err := c.run(t, f, 1, hosts(0, 45))
	if !errors.Is(err, waf.ErrUnavailable) || errors.Is(err, waf.ErrOutOfTime) {
		t.Errorf("error = %v, want ErrUnavailable", err)
	}
	if report.Enforced != 35 {
		t.Errorf("enforced %d, want all but the set that hung", report.Enforced)
	}
}

// TestSecondWriterOfTheWebACL: a user's change between our read and our write is merged, never lost.
func TestSecondWriterOfTheWebACL(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	other := c.target
	other.Name = "other"
	second := openAt(t, c.url, other)
	raced := 0
	var busy bool
	c.Before(func(call waftest.Call) *waftest.Fault {
		if call.Op != "UpdateWebACL" || busy || raced == 3 {
			return nil
		}
		busy = true
		raced++
		r := on(second, 10)
		if _, err := r.Reconcile(t.Context(), waf.Desired{Wants: hosts(1000, raced*10), Epoch: "epoch-1", Generation: uint64(raced)}); err != nil {
			t.Errorf("second writer: %v", err)
		}
		busy = false
		return nil
	})
	if _, err := c.run(t, c.open(t), 1, hosts(0, 25)); err != nil {
		t.Fatal(err)
	}
	if got := len(c.enforced()); got != 25+30 || raced != 3 {
		t.Errorf("%d enforced after %d races, want both writers' 55", got, raced)
	}
	rules, err := c.Rules(region, awswaf.Regional, acl)
	if err != nil || len(rules) != 5 {
		t.Errorf("rules %v, %v; want the user's three and two of ours", rules, err)
	}
}

// TestTwoRunsInterleaved starts a whole second run before each call of a first one.
func TestTwoRunsInterleaved(t *testing.T) {
	for _, step := range []struct {
		name     string
		from, to []waf.Want
	}{
		{"from nothing", nil, hosts(0, 25)},
		{"growing", hosts(0, 15), hosts(0, 38)},
		{"churning", hosts(0, 28), hosts(9, 31)},
		{"shrinking", hosts(0, 38), hosts(3, 6)},
	} {
		t.Run(step.name, func(t *testing.T) {
			t.Parallel()
			for n := 0; ; n++ {
				c := newCloud(t, waftest.AWSOptions{})
				if step.from != nil {
					c.mustRun(t, c.open(t), 1, step.from)
				}
				foreign := c.foreign(t)
				c.Forget()
				c.watch(t, fmt.Sprintf("second run before call %d", n), step.to)
				started := false
				c.Before(func(call waftest.Call) *waftest.Fault {
					if started || call.Index != n {
						return nil
					}
					started = true
					if _, err := c.run(t, c.open(t), 2, step.to); err != nil {
						t.Errorf("second run before call %d: %v", n, err)
					}
					return nil
				})
				c.mustRun(t, c.open(t), 2, step.to)
				c.Before(nil)
				c.mustRun(t, c.open(t), 2, step.to)
				if now := c.foreign(t); now != foreign {
					t.Errorf("before call %d: what is not ours changed", n)
				}
				if !started {
					return
				}
			}
		})
	}
}

// TestAnOverrunRunLeavesTheNewerOneAlone: while a run is about to write the rule, a
// whole run of a newer list refers to more sets.
func TestAnOverrunRunLeavesTheNewerOneAlone(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	c.mustRun(t, c.open(t), 1, hosts(0, 5))
	c.watch(t, "overrun", hosts(0, 45))
	started := false
	c.Before(func(call waftest.Call) *waftest.Fault {
		if call.Op == "UpdateWebACL" && !started {
			started = true
			c.mustRun(t, c.open(t), 3, hosts(0, 45))
		}
		return nil
	})
	if _, err := c.run(t, c.open(t), 2, hosts(0, 15)); !errors.Is(err, waf.ErrStale) {
		t.Errorf("error = %v, want ErrStale", err)
	}
	if got := len(c.enforced()); got != 45 {
		t.Errorf("%d enforced, want the newer run's 45", got)
	}
}

// TestANameTakenMeanwhile: between our look and our create somebody makes a set of that name.
func TestANameTakenMeanwhile(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	client := c.sdk()
	c.Before(func(call waftest.Call) *waftest.Fault {
		if call.Op != "CreateIPSet" || call.Name != "tracewall-edge-v4-001" || call.Index > 5 {
			return nil
		}
		c.Before(nil)
		_, err := client.CreateIPSet(t.Context(), &wafv2.CreateIPSetInput{
			Name: aws.String(call.Name), Scope: types.ScopeRegional, IPAddressVersion: types.IPAddressVersionIpv4,
			Addresses: []string{"192.0.2.0/24"}, Description: aws.String("theirs"),
		})
		if err != nil {
			t.Error(err)
		}
		return nil
	})
	c.mustRun(t, c.open(t), 1, hosts(0, 5))
	if got := c.Sets(region, awswaf.Regional); got["tracewall-edge-v4-001"] != 1 || got["tracewall-edge-v4-002"] != 5 {
		t.Errorf("sets %v", got)
	}
}

// TestSetsBeyondAShortPage: should a page that is not full not be the last after all, the run notices and reads on.
func TestSetsBeyondAShortPage(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{Page: 2, AlwaysMarker: true})
	made := 0
	c.Before(func(call waftest.Call) *waftest.Fault {
		if call.Op == "CreateIPSet" {
			made++
		}
		if call.Op == "UpdateWebACL" && made > 0 { // not the preflight's
			return &waftest.Fault{Code: "AccessDeniedException"}
		}
		return nil
	})
	if _, err := c.run(t, c.open(t), 1, hosts(0, 45)); !errors.Is(err, waf.ErrDenied) {
		t.Fatal(err)
	}
	c.Before(nil)
	c.mustRun(t, c.open(t), 2, hosts(3, 45))
	if got := c.Sets(region, awswaf.Regional); len(got) != 6 {
		t.Errorf("sets %v", got)
	}
}

func TestASetThatNeverGetsReady(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{NotReady: 1000})
	report, err := c.run(t, c.open(t), 1, hosts(0, 25))
	if !errors.Is(err, waf.ErrUnavailable) || report.Enforced != 0 {
		t.Errorf("error %v, enforced %d; want ErrUnavailable in the end", err, report.Enforced)
	}
	if report.Writes > 20 {
		t.Errorf("%d writes: that is no bound", report.Writes)
	}
	if got := c.Sets(region, awswaf.Regional)["tracewall-edge-v4-003"]; got != 5 {
		t.Errorf("the third set holds %d, want the 5 that the next run will find", got)
	}
}

func TestADeleteThatAWSRefusesIsLeftToTheNextRun(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	f := c.open(t)
	c.mustRun(t, f, 1, hosts(0, 30))
	c.mustRun(t, f, 2, hosts(0, 1))
	refused := 0
	c.Before(func(call waftest.Call) *waftest.Fault {
		if call.Op != "DeleteIPSet" {
			return nil
		}
		refused++
		return &waftest.Fault{Code: "WAFAssociatedItemException"}
	})
	report := c.mustRun(t, f, 3, hosts(0, 1))
	if refused == 0 || len(report.Remaining) != refused {
		t.Errorf("%d refused, remaining %q", refused, report.Remaining)
	}
	c.Before(nil)
	c.mustRun(t, f, 3, hosts(0, 1))
	if left := c.Sets(region, awswaf.Regional); len(left) != 3 {
		t.Errorf("sets left: %v; want the office's, the full one and one to spare", left)
	}
}

func TestASetThatTheUserRefersToIsNeverDeleted(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	f := c.open(t)
	c.mustRun(t, f, 1, hosts(0, 30))
	c.setRule(t, func(rule map[string]json.RawMessage) { // the user turns our rule into theirs
		rule["Name"] = json.RawMessage(`"theirs"`)
		rule["Action"] = json.RawMessage(`{"Count":{}}`)
	})
	c.mustRun(t, f, 2, hosts(0, 30))
	c.mustRun(t, f, 3, hosts(0, 1))
	c.Forget()
	report := c.mustRun(t, f, 4, hosts(0, 1))
	if len(report.Remaining) != 1 || !strings.HasPrefix(report.Remaining[0], "delete ") {
		t.Errorf("remaining %q, want one delete", report.Remaining)
	}
	for _, call := range c.Calls() {
		if call.Op == "DeleteIPSet" {
			t.Error("AWS was asked to delete a set in use: it cannot always tell")
		}
	}
}

func TestAnAddressThatAWSRefusesCostsOnlyItself(t *testing.T) {
	bad := hosts(7, 1)[0].Prefix
	c := newCloud(t, waftest.AWSOptions{Refuse: []netip.Prefix{bad}})
	report, err := c.run(t, c.open(t), 1, hosts(0, 25))
	if err != nil || report.Enforced != 24 || len(c.enforced()) != 24 {
		t.Fatalf("error %v, enforced %d", err, report.Enforced)
	}
	if len(report.Rejected) != 1 || report.Rejected[0].Value != bad.String() || !strings.Contains(report.Rejected[0].Reason, "WAFInvalidParameterException") {
		t.Errorf("rejected %+v", report.Rejected)
	}
	// And again when the set is there already.
	report, err = c.run(t, c.open(t), 2, hosts(0, 26))
	if err != nil || report.Enforced != 25 {
		t.Errorf("error %v, enforced %d", err, report.Enforced)
	}
}

func TestTheUsersOwnRulesRefusedDoNotStopTheSets(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	c.mustRun(t, c.open(t), 1, hosts(0, 18))
	c.Before(func(call waftest.Call) *waftest.Fault {
		if call.Op == "UpdateWebACL" {
			return &waftest.Fault{Code: "WAFExpiredManagedRuleGroupVersionException"}
		}
		return nil
	})
	c.Forget()
	report, err := c.run(t, c.open(t), 2, hosts(10, 28))
	for _, call := range c.Calls() {
		if call.Op == "DeleteIPSet" {
			t.Errorf("%s was deleted: the next run will want it", call.Name)
		}
	}
	if !errors.Is(err, waf.ErrTheirRules) {
		t.Errorf("error = %v, want ErrTheirRules", err)
	}
	// 10 went, 20 came, no new set can be referred to: the two there are full, the rest is overflow.
	if report.Enforced != 20 || report.Overflow != 8 || contains(hosts(0, 10), c.enforced()[0]) {
		t.Errorf("enforced %d, overflow %d, first %s", report.Enforced, report.Overflow, c.enforced()[0])
	}
}
