package awswaf_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// theirs is all of a web ACL that is not ours: the rules in their order, the bodies and every other
// setting, each in the bytes that the service holds.
type theirs struct {
	Rules          []string
	Bodies, Fields map[string]string
}

func (x theirs) clone() theirs {
	return theirs{slices.Clone(x.Rules), maps.Clone(x.Bodies), maps.Clone(x.Fields)}
}

// theirsAt returns what is theirs, and our rule and body, "" if there is none.
func (c *cloud) theirsAt(t *testing.T) (x theirs, ourRule, ourBody string) {
	t.Helper()
	snapshot, err := c.Snapshot(region, awswaf.Regional, acl)
	if err != nil {
		t.Fatal(err)
	}
	var rules []json.RawMessage
	bodies := map[string]json.RawMessage{}
	if err := json.Unmarshal(snapshot["Rules"], &rules); err != nil {
		t.Fatal(err)
	}
	if raw := snapshot["CustomResponseBodies"]; raw != nil {
		if err := json.Unmarshal(raw, &bodies); err != nil {
			t.Fatal(err)
		}
	}
	x = theirs{Bodies: map[string]string{}, Fields: map[string]string{}}
	for _, raw := range rules {
		var rule struct{ Name string }
		if err := json.Unmarshal(raw, &rule); err != nil {
			t.Fatal(err)
		}
		if rule.Name == "tracewall-edge" {
			ourRule = string(raw)
		} else {
			x.Rules = append(x.Rules, string(raw))
		}
	}
	for key, raw := range bodies {
		if key == "tracewall-edge" {
			ourBody = string(raw)
		} else {
			x.Bodies[key] = string(raw)
		}
	}
	for key, raw := range snapshot {
		if key != "Rules" && key != "CustomResponseBodies" && key != "Capacity" {
			x.Fields[key] = string(raw)
		}
	}
	return x, ourRule, ourBody
}

// editor is somebody else at work on the same web ACL. It reads, and some calls of ours
// later it writes what it read with its own edit, under the lock token that it read: a well-behaved client.
type editor struct {
	t      *testing.T
	c      *cloud
	rng    *rand.Rand
	client *wafv2.Client
	busy   atomic.Bool // its own calls are not interrupted

	ours             [2]string // rule and body, as read
	read             theirs
	id, token        string // token "": nothing is read
	want             theirs // what must stand: its edits one after the other, and nothing else
	done, conflicted int
}

func newEditor(t *testing.T, c *cloud, seed uint64) *editor {
	e := &editor{t: t, c: c, rng: rand.New(rand.NewPCG(seed, 0)), client: c.sdk()}
	e.want, _, _ = c.theirsAt(t)
	list, err := e.client.ListWebACLs(t.Context(), &wafv2.ListWebACLsInput{Scope: types.ScopeRegional})
	if err != nil {
		t.Fatal(err)
	}
	e.id = *list.WebACLs[0].Id
	return e
}

// step reads, or writes what was read before.
func (e *editor) step() {
	if e.token == "" {
		got, err := e.client.GetWebACL(e.t.Context(), &wafv2.GetWebACLInput{Name: aws.String(acl), Id: &e.id, Scope: types.ScopeRegional})
		if err != nil {
			e.t.Error(err)
			return
		}
		e.read, e.ours[0], e.ours[1] = e.c.theirsAt(e.t)
		e.token = *got.LockToken
		return
	}
	next := e.read.clone()
	e.edit(&next)
	err := e.write(next)
	e.token = ""
	var conflict *types.WAFOptimisticLockException
	switch {
	case errors.As(err, &conflict):
		e.conflicted++
	case err != nil:
		e.t.Error(err)
	default:
		if diff := cmp.Diff(e.want, e.read); diff != "" {
			e.t.Errorf("before edit %d something of theirs was not as they had left it:\n%s", e.done, diff)
		}
		e.want = next
		e.done++
	}
}

func (e *editor) edit(x *theirs) {
	n := e.rng.IntN(1000)
	rule := fmt.Sprintf(`{"Name":"theirs-%d","Priority":%d,"Action":{"Count":{}},"Future":[1.50,"\u00e9<&>"],`+
		`"Statement":{"GeoMatchStatement":{"CountryCodes":["DE"]}},"VisibilityConfig":{"SampledRequestsEnabled":true,"CloudWatchMetricsEnabled":true,"MetricName":"m%d"}}`, n, 1000+n, e.rng.IntN(9))
	at := slices.IndexFunc(x.Rules, func(r string) bool { return strings.Contains(r, `"Name":"theirs-`) })
	switch k := e.rng.IntN(5); {
	case k == 0 && at >= 0:
		x.Rules = slices.Delete(x.Rules, at, at+1)
	case k == 1 && at >= 0:
		x.Rules[at] = strings.Replace(x.Rules[at], `"DE"`, fmt.Sprintf(`"FR","X%c"`, 'A'+rune(n%26)), 1)
	case k == 2:
		x.Bodies[fmt.Sprintf("page-%d", n%4)] = fmt.Sprintf(`{"Content":"<p>%d & \u00e9</p>","ContentType":"TEXT_HTML"}`, n)
	case k == 3:
		x.Fields["Description"] = fmt.Sprintf(`"edit %d"`, n)
	default:
		if !slices.ContainsFunc(x.Rules, func(r string) bool { return strings.Contains(r, fmt.Sprintf(`"Priority":%d,`, 1000+n)) }) {
			x.Rules = append(x.Rules, rule)
		}
	}
}

func (e *editor) write(x theirs) error {
	rules := slices.Clone(x.Rules)
	if e.ours[0] != "" {
		rules = append(rules, e.ours[0])
	}
	var bodies []string
	for key, raw := range x.Bodies {
		bodies = append(bodies, fmt.Sprintf("%q:%s", key, raw))
	}
	if e.ours[1] != "" {
		bodies = append(bodies, `"tracewall-edge":`+e.ours[1])
	}
	members := []string{
		fmt.Sprintf(`"Name":%q,"Scope":"REGIONAL","Id":%q,"LockToken":%q`, acl, e.id, e.token),
		`"Rules":[` + strings.Join(rules, ",") + `]`, `"CustomResponseBodies":{` + strings.Join(bodies, ",") + `}`,
	}
	for key, raw := range x.Fields {
		if key != "Name" && key != "Id" && !slices.Contains(awswaf.OutputOnly, key) {
			members = append(members, fmt.Sprintf("%q:%s", key, raw))
		}
	}
	_, err := e.client.UpdateWebACL(e.t.Context(), &wafv2.UpdateWebACLInput{
		Name: aws.String(acl), Scope: types.ScopeRegional, Id: &e.id, LockToken: &e.token,
		DefaultAction: &types.DefaultAction{}, VisibilityConfig: &types.VisibilityConfig{MetricName: aws.String("m")},
	}, awswaf.SendBody([]byte("{"+strings.Join(members, ",")+"}")))
	return err
}

// interrupt lets the editor do a step before every call for which when says so.
func (e *editor) interrupt(when func(waftest.Call) bool) {
	e.c.Before(func(call waftest.Call) *waftest.Fault {
		if e.busy.CompareAndSwap(false, true) {
			defer e.busy.Store(false)
			if when(call) {
				e.step()
			}
		}
		return nil
	})
}

func (e *editor) check() {
	e.t.Helper()
	stands, _, _ := e.c.theirsAt(e.t)
	if diff := cmp.Diff(e.want, stands); diff != "" {
		e.t.Errorf("after %d edits of theirs something of them is lost or changed:\n%s", e.done, diff)
	}
}

// TestNoUpdateIsLost: a second writer edits the web ACL between any two calls of ours, in
// 100 orders. Both write all of it each time; neither may undo what the other has done.
func TestNoUpdateIsLost(t *testing.T) {
	edits, conflicts, ours, failed := 0, 0, 0, 0
	for seed := range uint64(100) {
		c := newCloud(t, waftest.AWSOptions{})
		e := newEditor(t, c, seed)
		e.interrupt(func(waftest.Call) bool { return e.rng.IntN(3) > 0 })
		f := c.open(t)
		var wants []waf.Want
		const runs = 4
		for i := range uint64(runs) {
			wants = hosts(e.rng.IntN(20), 5+e.rng.IntN(40))
			c.watch(t, fmt.Sprintf("seed %d, run %d", seed, i), wants)
			c.target.Response = nil
			if e.rng.IntN(2) > 0 {
				c.target.Response = &awswaf.Response{Code: 429, Body: fmt.Sprint("slow down ", i%2)}
			}
			if c.target.Response != nil || f.Target().Response != nil || e.rng.IntN(2) > 0 {
				f = c.open(t)
			}
			report, err := c.run(t, f, i, wants)
			switch {
			case errors.Is(err, waf.ErrConflict):
				failed++
			case err != nil:
				t.Errorf("seed %d, run %d: %v", seed, i, err)
			}
			if report.Calls > 80 {
				t.Errorf("seed %d, run %d: %d calls", seed, i, report.Calls)
			}
		}
		e.interrupt(func(waftest.Call) bool { return false })
		c.After(nil)
		c.mustRun(t, c.open(t), runs, wants)
		e.check()
		_, rule, body := c.theirsAt(t)
		if rule == "" || (body == "") != (c.target.Response == nil) {
			t.Errorf("seed %d: rule %s, body %s", seed, rule, body)
		}
		if r := c.mustRun(t, c.open(t), runs, wants); r.Writes != 0 {
			t.Errorf("seed %d: not at rest: %q", seed, r.Plan)
		}
		for _, call := range c.Calls() {
			if call.Op == "UpdateWebACL" && call.Code == "WAFOptimisticLockException" {
				ours++
			}
		}
		edits, conflicts, ours = edits+e.done, conflicts+e.conflicted, ours-e.conflicted
		if t.Failed() {
			return
		}
	}
	t.Logf("%d edits of theirs, conflicts: %d at theirs, %d at ours; %d runs of ours gave up", edits, conflicts, ours, failed)
	if edits < 500 || conflicts < 100 || ours < 100 {
		t.Error("too few to prove anything")
	}
}

// TestAWriterThatNeverRests: when every write of ours comes too late the run gives up after a bounded
// number of attempts, says so, and has undone nothing of theirs.
func TestAWriterThatNeverRests(t *testing.T) {
	c := newCloud(t, waftest.AWSOptions{})
	e := newEditor(t, c, 1)
	attempts := 0
	e.interrupt(func(call waftest.Call) bool {
		if call.Op != "UpdateWebACL" {
			return false
		}
		attempts++
		e.step() // reads; the second step writes
		return true
	})
	report, err := c.run(t, c.open(t), 1, hosts(0, 15))
	if !errors.Is(err, waf.ErrConflict) {
		t.Errorf("error %v, want ErrConflict", err)
	}
	if attempts < 2 || attempts > 40 || e.done != attempts || report.Enforced != 0 {
		t.Errorf("%d attempts, %d edits, %d enforced", attempts, e.done, report.Enforced)
	}
	e.check()
	c.Before(nil)
	c.mustRun(t, c.open(t), 1, hosts(0, 15))
	e.check()
}

// TestNothingOfASecondWriterIsLost: another kind of second writer, who adds, removes, renames and moves
// rules at any moment and now and then puts back all that they know of ("terraform apply"), our rule not being part of it.
func TestNothingOfASecondWriterIsLost(t *testing.T) {
	edits := 0
	for seed := range uint64(100) {
		c := newCloud(t, waftest.AWSOptions{})
		c.target.Position = []string{"", awswaf.PositionFirst, awswaf.PositionLast}[seed%3]
		w, err := c.SecondWriter(seed, region, awswaf.Regional, acl)
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(seed, 7))
		c.Before(func(waftest.Call) *waftest.Fault {
			switch n := rng.IntN(24); {
			case n == 0:
				err = w.Apply()
			case n < 12:
				_, err = w.Edit()
			}
			if err != nil {
				t.Error(err)
			}
			return nil
		})
		f := c.open(t)
		var wants []waf.Want
		const runs = 3
		for i := range uint64(runs) {
			wants = hosts(rng.IntN(20), 5+rng.IntN(40))
			report, err := c.run(t, f, i, wants)
			if err != nil && !errors.Is(err, waf.ErrConflict) || report.Calls > 80 {
				t.Errorf("seed %d, run %d: %d calls, %v", seed, i, report.Calls, err)
			}
		}
		c.Before(nil)
		for i := range 2 {
			r, err := c.run(t, c.open(t), runs, wants)
			if err != nil || i > 0 && r.Writes > 0 {
				t.Errorf("seed %d: at rest: %v, %q", seed, err, r.Plan)
			}
		}
		held := c.enforced()
		for _, w := range wants {
			if !slices.Contains(held, w.Prefix) { // and maybe more, by rules of theirs
				t.Errorf("seed %d: %s is not blocked", seed, w.Prefix)
			}
		}
		if lost := w.Lost(); len(lost) > 0 {
			t.Errorf("seed %d: after %q:\n%s", seed, w.Did(), strings.Join(lost, "\n"))
		}
		edits += len(w.Did())
		if t.Failed() {
			return
		}
	}
	if edits < 300 {
		t.Errorf("%d edits: too few to prove anything", edits)
	}
}
