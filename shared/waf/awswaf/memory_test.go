package awswaf_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

var _ waf.Rememberer = (*awswaf.Firewall)(nil)

func TestAMemoryThatCannotBeReadCountsAsNone(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	f := c.open(t)
	if f.Memory() != nil {
		t.Errorf("before the first look: %s", f.Memory())
	}
	c.mustRun(t, f, 1, hosts(0, 25))
	good := f.Memory()
	other := c.target
	other.Region = "eu-west-2"
	elsewhere := openAt(t, c.url, other)
	elsewhere.Recall(good)
	if elsewhere.Memory() != nil {
		t.Error("the memory of another Region's target was taken")
	}
	for name, bad := range map[string][]byte{
		"nothing":         nil,
		"empty":           {},
		"no JSON":         []byte("\x00\xff"),
		"cut off":         good[:len(good)/2],
		"another shape":   []byte(`[1,2]`),
		"wrong types":     bytes.Replace(good, []byte(`"sets":{`), []byte(`"sets":{"x":7,`), 1),
		"a later version": bytes.Replace(good, []byte(`"v":1`), []byte(`"v":2`), 1),
		"too long":        append(bytes.Clone(good), bytes.Repeat([]byte(" "), 1<<20)...),
	} {
		f := c.open(t)
		f.Recall(bad)
		if f.Memory() != nil {
			t.Errorf("%s: taken", name)
		}
		if report := c.mustRun(t, f, 1, hosts(0, 25)); report.Writes != 0 || report.Calls != 2 {
			t.Errorf("%s: %d calls, %q", name, report.Calls, report.Plan)
		}
		f.Recall(bad) // does not take away what the process knows itself
		if f.Memory() == nil {
			t.Errorf("%s: the process has forgotten all", name)
		}
	}
	// A place's part that cannot be read is none either, the rest counts.
	f = c.open(t)
	f.Recall(bytes.Replace(good, []byte(`"rule":{`), []byte(`"rule":{"priority":"x","a":{},`), 1))
	if state, err := f.Look(t.Context()); err != nil || len(state.Drift) > 0 {
		t.Errorf("%v, drift %q", err, state.Drift)
	}
}

func FuzzRecall(f *testing.F) {
	f.Add([]byte(`{"v":1,"at":" REGIONAL eu-west-1","place":"web-acl shop","sets":{"a":{"id":"x"}},"rule":{"acl":"y","parts":{}},"busy":{"GetIPSet":9223372036854775807}}`))
	f.Add([]byte(`{"v":1,"at":" REGIONAL eu-west-1","place":"rule-group","rule":[{"name":"a","refs":["b"]}]}`))
	f.Add([]byte(`{"v":1,"at":" REGIONAL eu-west-1","sets":null,"rule":null,"busy":{"UpdateIPSet":-9223372036854775808}}`))
	c := &cloud{target: awswaf.Target{Name: "edge", Region: region, WebACL: acl}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, target := range []awswaf.Target{c.target, {Name: "edge", Region: region, Mode: awswaf.ModeRuleGroup}} {
			fw := openAt(t, "http://127.0.0.1:1", target)
			fw.Recall(raw)
			if m := fw.Memory(); m != nil && !json.Valid(m) {
				t.Errorf("memory %s", m)
			}
		}
	})
}

// TestALeftWallIsNotRemembered: after a detach that all is gone is nobody's doing, also for a process that starts anew.
func TestALeftWallIsNotRemembered(t *testing.T) {
	for _, mode := range []string{awswaf.ModeWebACL, awswaf.ModeRuleGroup} {
		c := newCloud(t, waftest.AWSOptions{})
		if mode == awswaf.ModeRuleGroup {
			c = newGroupCloud(t, waftest.AWSOptions{}, 1)
		}
		f := c.open(t)
		if _, err := c.run(t, f, 1, hosts(0, 15)); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Detach(t.Context(), true); err != nil || f.Memory() == nil {
			t.Errorf("%s: after a dry run: %v, memory %s", mode, err, f.Memory())
		}
		if _, err := f.Detach(t.Context(), false); err != nil || f.Memory() != nil {
			t.Errorf("%s: %v, memory %s", mode, err, f.Memory())
		}
		if state, err := f.Look(t.Context()); err != nil || len(state.Drift) > 0 {
			t.Errorf("%s: %v, drift %q", mode, err, state.Drift)
		}
	}
}

func TestTheMemoryIsSmallAndHoldsNoAddresses(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	f := c.open(t)
	c.mustRun(t, f, 1, hosts(0, 490))
	memory := f.Memory()
	if len(memory) > 49*160+600 {
		t.Errorf("%d bytes for 49 sets", len(memory))
	}
	if strings.Contains(string(memory), "203.0.") || strings.Contains(string(memory), "epoch") {
		t.Errorf("memory %s", memory)
	}
	if again := c.after(t, f).Memory(); !bytes.Equal(memory, again) {
		t.Errorf("given on, it changes:\n%s\n%s", memory, again)
	}
}

// TestNothingChangedCostsTwoCallsAtAnySize: a ListIPSets answer has at most 100 sets by
// the model, so an account with 100 or more costs one call for each further page. The same for a
// process that knows nothing, one with a memory, and one that is warm.
func TestNothingChangedCostsTwoCallsAtAnySize(t *testing.T) {
	for _, x := range []struct {
		sets   int
		marker bool
		want   string
	}{
		{99, false, "ListIPSets GetWebACL"},
		{99, true, "ListIPSets GetWebACL"}, // AWS is said to return a marker always: a page that is not full ends the list
		{100, false, "ListIPSets GetWebACL"},
		{100, true, "ListIPSets ListIPSets GetWebACL"}, // a full page may not be the last
		{101, false, "ListIPSets ListIPSets GetWebACL"},
		{101, true, "ListIPSets ListIPSets GetWebACL"},
	} {
		t.Run(fmt.Sprintf("%d sets, always a marker %t", x.sets, x.marker), func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, waftest.AWSOptions{MaxSets: 200, AlwaysMarker: x.marker})
			f := c.open(t)
			c.mustRun(t, f, 1, hosts(0, 480))
			have := len(c.Sets(region, awswaf.Regional))
			for i := have; i < x.sets; i++ {
				c.makeSet(t, fmt.Sprintf("zz-%03d", i), "", false, "192.0.2.0/24")
			}
			for name, f := range map[string]*awswaf.Firewall{"warm": f, "with a memory": c.after(t, f), "with nothing": c.open(t)} {
				c.Forget()
				if report := c.mustRun(t, f, 1, hosts(0, 480)); report.Writes != 0 {
					t.Errorf("%s: %q", name, report.Plan)
				}
				var ops []string
				for _, call := range c.Calls() {
					ops = append(ops, call.Op)
				}
				if got := strings.Join(ops, " "); got != x.want {
					t.Errorf("%s: %s, want %s", name, got, x.want)
				}
			}
		})
	}
}

// TestAnEditThatKeepsTheDescriptionIsRepairedByAFreshProcess: also if the first one that saw it could not write.
func TestAnEditThatKeepsTheDescriptionIsRepairedByAFreshProcess(t *testing.T) {
	for name, again := range map[string]func(*testing.T, *cloud, *awswaf.Firewall) *awswaf.Firewall{
		"a fresh process each time": func(t *testing.T, c *cloud, f *awswaf.Firewall) *awswaf.Firewall { return c.after(t, f) },
		"one warm process":          func(_ *testing.T, _ *cloud, f *awswaf.Firewall) *awswaf.Firewall { return f },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, waftest.AWSOptions{})
			f := c.open(t)
			c.mustRun(t, f, 1, hosts(0, 25))
			c.edit(t, "tracewall-edge-v4-002", nil, "192.0.2.99/32")
			c.Before(func(call waftest.Call) *waftest.Fault {
				if call.Write() {
					return &waftest.Fault{Code: "AccessDeniedException"}
				}
				return nil
			})
			for range 2 {
				f = again(t, c, f)
				if _, err := c.run(t, f, 1, hosts(0, 25)); err == nil {
					t.Fatal("no error, although nothing can be written and a set is not as it shall be")
				}
			}
			c.Before(nil)
			f = again(t, c, f)
			if report := c.mustRun(t, f, 1, hosts(0, 25)); report.Writes != 1 {
				t.Errorf("%q", report.Plan)
			}
			c.quiet(t, c.after(t, f), 1, hosts(0, 25))
		})
	}
}

// TestASetThatAWSGaveANewTokenIsReadOnce: whether AWS changes tokens by itself is not known. If it does, it costs a read.
func TestASetThatAWSGaveANewTokenIsReadOnce(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	f := c.open(t)
	c.mustRun(t, f, 1, hosts(0, 5))
	s := c.summary(t, "tracewall-edge-v4-001")
	got, err := c.sdk().GetIPSet(t.Context(), &wafv2.GetIPSetInput{Name: s.Name, Id: s.Id, Scope: types.ScopeRegional})
	if err != nil {
		t.Fatal(err)
	}
	c.edit(t, *s.Name, nil, got.IPSet.Addresses...)
	if aws.ToString(c.summary(t, *s.Name).LockToken) == aws.ToString(s.LockToken) {
		t.Fatal("the token is the same")
	}
	f = c.after(t, f)
	if report := c.mustRun(t, f, 1, hosts(0, 5)); report.Calls != 3 || report.Writes != 0 {
		t.Errorf("%d calls, %q; want one read more", report.Calls, report.Plan)
	}
	c.quiet(t, c.after(t, f), 1, hosts(0, 5))
}

// TestASetBeyondAShortPageIsNotGone: a page that is not full ends the list unless a set that we left is missing on it.
func TestASetBeyondAShortPageIsNotGone(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{Page: 2, AlwaysMarker: true})
	f := c.open(t)
	c.mustRun(t, f, 1, hosts(0, 45))
	c.dropRule(t)
	f = c.after(t, f)
	state, err := f.Look(t.Context())
	if err != nil || len(state.Sets) != 5 || len(state.Drift) != 1 {
		t.Errorf("%v, %d sets, drift %q; want all five and the rule gone", err, len(state.Sets), state.Drift)
	}
}

// TestFaultsAndTheMemory lets every call go wrong, the process end there or go on, and its
// memory be saved or be lost. The next process has whatever memory there is: it takes nothing that we did for
// somebody else's doing, converges in one run, and no address that is wanted is ever let go.
func TestFaultsAndTheMemory(t *testing.T) {
	answerLost := waftest.Fault{Code: "dropped", Drop: true, AfterChange: true}
	kinds := map[string]faultAndMemory{
		"an answer is lost":                         {fault: answerLost, saved: true},
		"a conflict":                                {fault: waftest.Fault{Code: "WAFOptimisticLockException"}, saved: true},
		"a conflict, and then Redis is away":        {fault: waftest.Fault{Code: "WAFOptimisticLockException"}},
		"no more time after a call":                 {killed: true, saved: true},
		"killed before the change":                  {fault: waftest.Fault{Code: "dropped", Drop: true}, killed: true},
		"killed after the change":                   {fault: answerLost, killed: true},
		"killed after the change, with a last word": {fault: answerLost, killed: true, saved: true},
	}
	steps := map[string]struct{ from, to []waf.Want }{
		"create": {nil, hosts(0, 25)},
		"churn":  {hosts(0, 28), hosts(9, 31)},
		"shrink": {hosts(0, 38), hosts(3, 6)},
	}
	for kindName, k := range kinds {
		for stepName, step := range steps {
			for _, mode := range []string{awswaf.ModeWebACL, awswaf.ModeRuleGroup} {
				if mode == awswaf.ModeRuleGroup && !k.killed {
					continue // the rest is the same code
				}
				t.Run(fmt.Sprintf("%s while it has to %s in mode %s", kindName, stepName, mode), func(t *testing.T) {
					t.Parallel()
					for n := 0; !k.at(t, mode, n, step.from, step.to); n++ {
					}
				})
			}
		}
	}
}

type faultAndMemory struct {
	fault  waftest.Fault
	killed bool // nothing more is done after that call
	saved  bool // the memory of the process that met it
}

// at lets the n-th call of the second of three processes go wrong; done tells that it made fewer.
func (k faultAndMemory) at(t *testing.T, mode string, n int, from, to []waf.Want) (done bool) {
	t.Helper()
	var c *cloud
	if mode == awswaf.ModeRuleGroup {
		c = referred(t, waftest.AWSOptions{}, 2)
	} else {
		c = newCloud(t, waftest.AWSOptions{})
	}
	f := c.open(t)
	c.mustRun(t, f, 1, from)
	second := c.after(t, f)
	where := fmt.Sprintf("call %d", n)
	c.watch(t, where, to)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c.Forget()
	c.Before(func(call waftest.Call) *waftest.Fault {
		switch {
		case call.Index < n || call.Index > n && !k.killed:
			return nil
		case call.Index > n:
			return &waftest.Fault{Code: "dropped", Drop: true}
		case k.killed:
			cancel()
		}
		if k.fault.Code == "" {
			return nil
		}
		return &k.fault
	})
	_, err := on(second, 10).Reconcile(ctx, waf.Desired{Wants: to, Epoch: "epoch-1", Generation: 1})
	done = len(c.Calls()) <= n
	if err == nil && len(c.enforced()) != len(to) {
		t.Errorf("%s: no error, and %d of %d enforced", where, len(c.enforced()), len(to))
	}
	c.Before(nil)
	third := c.open(t)
	third.Recall(f.Memory())
	if k.saved {
		third.Recall(second.Memory())
	}
	state, err := third.Look(t.Context())
	if err != nil || len(state.Drift) > 0 {
		t.Errorf("%s: %v, drift %q", where, err, state.Drift)
	}
	c.mustRun(t, third, 1, to)
	// What was retired goes in the run after; then nothing is left to do or to read.
	c.mustRun(t, third, 1, to)
	c.mustRun(t, third, 1, to)
	c.After(nil)
	c.quiet(t, c.after(t, third), 1, to)
	return done
}

// TestASecondProcessThatChangedTheWallMeanwhileIsNobodyElse: a warm process that is given the newest memory
// sees no drift in what another process of ours did.
func TestASecondProcessThatChangedTheWallMeanwhileIsNobodyElse(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	a, b := c.open(t), c.open(t)
	c.mustRun(t, a, 1, hosts(0, 35))
	for i := range 4 {
		b.Recall(a.Memory())
		c.mustRun(t, b, 2, hosts(i, 3))
		a, b = b, a
	}
	a.Recall(b.Memory())
	state, err := a.Look(t.Context())
	if err != nil || len(state.Drift) > 0 {
		t.Errorf("%v, drift %q", err, state.Drift)
	}
	if len(c.enforced()) != 3 || c.enforced()[0] != hosts(3, 1)[0].Prefix {
		t.Errorf("enforced %v", c.enforced())
	}
}
