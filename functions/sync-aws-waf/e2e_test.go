package main

// These tests run the function as it is deployed: its static binary, called
// through the Lambda Runtime API, against a strict local WAFv2 and an embedded Redis.

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/functiontest"
	"github.com/tracewall/tracewall/shared/syncrun"
	"github.com/tracewall/tracewall/shared/syncrun/syncruntest"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// clock is the time of the scheduled events in events/.
var clock = syncruntest.SampleTime()

// maxBinary is what the deployed function may weigh.
const maxBinary = 15 << 20

// built is the function as it is deployed, built once for all tests.
var built = functiontest.Binary{Root: filepath.Join("..", ".."), Package: "./functions/sync-aws-waf", Tags: []string{"lambda.norpc"}}

func TestMain(m *testing.M) { built.Main(m) }

// world is everything around the function.
type world struct {
	*syncruntest.World
	aws *waftest.AWS
}

// newWorld makes a Redis with an allowlist and a list of four addresses and an
// account, and a WAFv2 with a Web ACL "edge" of the user's own and none called "new".
func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldAt(t, clock, waftest.AWSOptions{})
}

func newWorldAt(t *testing.T, at time.Time, opts waftest.AWSOptions) *world {
	t.Helper()
	w := &world{World: syncruntest.NewWorld(t, at), aws: waftest.NewAWS(opts)}
	if err := w.aws.SeedWebACL("eu-west-1", "REGIONAL", "edge"); err != nil {
		t.Fatal(err)
	}
	endpoint, err := w.aws.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.aws.Close() })
	w.Env["AWS_ENDPOINT_URL"] = endpoint
	w.Env["WAF_TARGETS"] = `[{"name":"edge","region":"eu-west-1","web_acl":"edge"},{"name":"cdn","scope":"CLOUDFRONT","web_acl":"new"}]`
	return w
}

func (w *world) start(t *testing.T, changes map[string]string) *functiontest.Function {
	t.Helper()
	return w.Start(t, functiontest.StartLambda, functiontest.Config{
		Name: "sync-aws-waf", Binary: built.Path(t), Env: changes, Region: "eu-west-1",
		Credentials: functiontest.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE"},
	})
}

// enforced returns what the two Web ACLs block.
func (w *world) enforced() map[string][]string {
	all := map[string][]string{}
	for name, list := range map[string][]netip.Prefix{
		"edge": w.aws.Enforced("eu-west-1", "REGIONAL", "edge"), "cdn": w.aws.Enforced("us-east-1", "CLOUDFRONT", "new"),
	} {
		for _, p := range list {
			all[name] = append(all[name], p.String())
		}
	}
	return all
}

func (w *world) writes() (n int) {
	for _, c := range w.aws.Calls() {
		if c.Write() {
			n++
		}
	}
	return n
}

func TestBinaryMakesTheWallsEqualToTheList(t *testing.T) {
	t.Parallel() // AWS WAF\'s pace is a write a second: these tests mostly wait
	w := newWorld(t)
	before, err := w.aws.Rules("eu-west-1", "REGIONAL", "edge")
	if err != nil {
		t.Fatal(err)
	}
	f := w.start(t, nil)
	got, err := w.Invoke(t, f, syncruntest.Sample(t, "sync-aws-waf.schedule.json"))
	if err != nil {
		t.Fatalf("%v\n%s", err, w.Out)
	}
	if !got.AsOf.Equal(clock) || got.Mode != syncrun.ModeSync || len(got.Targets) != 2 || got.Targets[0].Name != "cdn" || got.Generation == 0 {
		t.Errorf("result = %+v", got)
	}
	for _, target := range got.Targets {
		if target.Desired != 3 || target.Enforced != 3 || target.Spared != 1 || target.Writes == 0 {
			t.Errorf("target = %+v, want 3 of 3 enforced and 1 spared", target)
		}
	}
	blocked := []string{"192.0.2.44/32", "203.0.113.7/32", "2001:db8:1:2::/64"}
	if diff := cmp.Diff(map[string][]string{"edge": blocked, "cdn": blocked}, w.enforced()); diff != "" {
		t.Errorf("enforced (-want +got):\n%s", diff)
	}
	after, err := w.aws.Rules("eu-west-1", "REGIONAL", "edge")
	if err != nil {
		t.Fatal(err)
	}
	for name, rule := range before {
		if after[name] != rule {
			t.Errorf("the user's rule %s changed from %s to %s", name, rule, after[name])
		}
	}

	// Every shape of the schedule's event, again and again: nothing changed, nothing is written.
	w.aws.Forget()
	for _, event := range []string{"sync-aws-waf.schedule.json", "sync-aws-waf.rule.json", "sync-aws-waf.input.json"} {
		if _, err := w.Invoke(t, f, syncruntest.Sample(t, event)); err != nil {
			t.Errorf("%s: %v", event, err)
		}
	}
	if n := w.writes(); n != 0 {
		t.Errorf("%d writes though nothing had changed: %v", n, w.aws.Calls())
	}
	for _, name := range []string{"edge", "cdn"} {
		pending, err := w.Store.Receive(t.Context(), "aws-waf:"+name, "test", 0)
		if err != nil || len(pending) != 0 {
			t.Errorf("target %s has not acknowledged %v (%v)", name, pending, err)
		}
		text, err := w.Store.Status(t.Context(), enforce.Key(kind, name))
		var s enforce.Status
		if err := errors.Join(err, json.Unmarshal(text, &s)); err != nil || s.Generation != got.Generation || s.Report.Enforced != 3 {
			t.Errorf("status of %s = %s, %v", name, text, err)
		}
	}

	// An address that is allowlisted later leaves the walls, one whose block ends too.
	w.Allow(t, "192.0.2.0/24 owner=partner\n198.51.100.0/24 owner=office\n")
	w.Unblock(t, "ip:2001:db8:1:2::/64")
	if _, err := w.Invoke(t, f, []byte(`{"targets":["edge"],"as_of":"2026-05-28T20:26:00Z"}`)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{"edge": {"203.0.113.7/32"}, "cdn": blocked}, w.enforced()); diff != "" {
		t.Errorf("enforced by edge alone after a change (-want +got):\n%s", diff)
	}
	w.Keeps(t)
}

func TestBinaryOnlyPlansUntilToldToEnforce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plan, err := w.Invoke(t, w.start(t, map[string]string{"SYNC_MODE": ""}), syncruntest.Sample(t, "sync-aws-waf.schedule.json"))
	if err != nil {
		t.Fatal(err)
	}
	if n := w.writes(); n != 0 || plan.Mode != syncrun.ModePlan || plan.Targets[1].Desired != 3 || plan.Targets[1].Enforced != 0 {
		t.Errorf("result = %+v after %d writes, want a plan without any", plan, n)
	}
	// The dry report equals the real change.
	text, err := w.Store.Status(t.Context(), "aws-waf:edge")
	var planned, done enforce.Status
	if err := errors.Join(err, json.Unmarshal(text, &planned)); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Invoke(t, w.start(t, nil), syncruntest.Sample(t, "sync-aws-waf.schedule.json")); err != nil {
		t.Fatal(err)
	}
	text, err = w.Store.Status(t.Context(), "aws-waf:edge")
	if err := errors.Join(err, json.Unmarshal(text, &done)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(planned.Report.Plan, done.Report.Plan); diff != "" || len(done.Report.Plan) == 0 {
		t.Errorf("plan (-dry +real):\n%s", diff)
	}
	w.Keeps(t)
}

func TestBinaryLeavesTheWallsWhenTheListCannotBeTrusted(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		spoil  func(*testing.T, *world)
		want   string
		notice bool // the function says so in a guard metric
	}{
		{"Redis is unreachable", func(_ *testing.T, w *world) { w.Redis.Close() }, "take lease", false},
		{"Redis was flushed", func(_ *testing.T, w *world) { w.Redis.FlushAll() }, "read allowlist", false},
		{"Redis was flushed and has only an allowlist", func(t *testing.T, w *world) {
			w.Redis.FlushAll()
			w.Allow(t, "198.51.100.0/24 owner=office\n")
		}, blocklist.ErrNoEpoch.Error(), true},
		{"an entry is lost", func(_ *testing.T, w *world) { w.Redis.Del("{tracewall}:v1:entry:ip:203.0.113.7") }, blocklist.ErrDamaged.Error(), true},
		{"the allowlist is lost", func(_ *testing.T, w *world) { w.Redis.Del("{tracewall}:v1:allowlist") }, "read allowlist", false},
		{"the list was founded anew", func(t *testing.T, w *world) {
			w.Redis.FlushAll()
			w.Allow(t, "198.51.100.0/24 owner=office\n")
			w.Block(t, "ip:203.0.113.99")
		}, "epoch differs", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			f := w.start(t, nil)
			if _, err := w.Invoke(t, f, syncruntest.Sample(t, "sync-aws-waf.schedule.json")); err != nil {
				t.Fatal(err)
			}
			before := w.enforced()
			w.aws.Forget()
			tt.spoil(t, w)
			_, err := w.Invoke(t, f, syncruntest.Sample(t, "sync-aws-waf.rule.json"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want %q", err, tt.want)
			}
			if diff := cmp.Diff(before, w.enforced()); diff != "" || w.writes() != 0 {
				t.Errorf("%d writes; enforced (-before +after):\n%s", w.writes(), diff)
			}
			w.Keeps(t)
			if tt.notice && !strings.Contains(w.Out.String(), `"guard_tripped":1`) {
				t.Errorf("no guard metric in:\n%s", w.Out)
			}
		})
	}
}

func TestBinaryAdoptsANewListOnlyWhenTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.start(t, nil)
	if _, err := w.Invoke(t, f, syncruntest.Sample(t, "sync-aws-waf.schedule.json")); err != nil {
		t.Fatal(err)
	}
	w.Redis.FlushAll()
	w.Allow(t, "198.51.100.0/24 owner=office\n")
	w.Block(t, "ip:203.0.113.99")
	if _, err := w.Invoke(t, f, []byte(`{"as_of":"2026-05-28T20:26:00Z"}`)); err == nil {
		t.Fatal("a list founded anew was taken without a word")
	}
	if _, err := w.Invoke(t, f, []byte(`{"as_of":"2026-05-28T20:26:00Z","adopt_epoch":true}`)); err != nil {
		t.Fatal(err)
	}
	if got := w.enforced()["edge"]; !slices.Equal(got, []string{"203.0.113.99/32"}) {
		t.Errorf("enforced = %v", got)
	}
}

func TestBinaryBringsTheOtherTargetUpToDate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.aws.Before(func(c waftest.Call) *waftest.Fault {
		if c.Region == "us-east-1" {
			return &waftest.Fault{Code: "AccessDeniedException"}
		}
		return nil
	})
	_, err := w.Invoke(t, w.start(t, nil), syncruntest.Sample(t, "sync-aws-waf.schedule.json"))
	if err == nil || !strings.Contains(err.Error(), "target cdn") || strings.Contains(err.Error(), "target edge") {
		t.Errorf("error = %v, want target cdn's alone", err)
	}
	if got := w.enforced(); len(got["edge"]) != 3 || len(got["cdn"]) != 0 {
		t.Errorf("enforced = %v, want edge's three", got)
	}
	if pending, err := w.Store.Receive(t.Context(), "aws-waf:cdn", "test", 0); err != nil || len(pending) == 0 {
		t.Errorf("the failing target has acknowledged its notices: %v, %v", pending, err)
	}
	w.Keeps(t)
}

func TestBinaryRefusesABadEventAndGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.start(t, nil)
	_, err := w.Invoke(t, f, syncruntest.Sample(t, "sync-aws-waf.malformed.json"))
	failure, ok := errors.AsType[*functiontest.FunctionError](err)
	if !ok || !strings.Contains(failure.Message, `mode "sink"`) {
		t.Errorf("error = %v, want one that names the field", err)
	}
	if len(w.aws.Calls()) != 0 {
		t.Errorf("a bad event caused %v", w.aws.Calls())
	}
	if _, err := w.Invoke(t, f, syncruntest.Sample(t, "sync-aws-waf.input.json")); err != nil {
		t.Errorf("the next event: %v", err)
	}
}

func TestBinaryEndsWithEveryProblemOfItsConfiguration(t *testing.T) {
	t.Parallel()
	_, err := functiontest.StartLambda(t.Context(), functiontest.Config{
		Name: "sync-aws-waf", Binary: built.Path(t), Env: map[string]string{
			"REDIS_URL": "mysql://u:" + syncruntest.RedisPassword + "@h", "SYNC_MODE": "on", "WAF_TARGETS": `[{"name":"Edge","set_size":20000}]`,
		},
	})
	exit, ok := errors.AsType[*functiontest.ExitError](err)
	if !ok {
		t.Fatalf("error = %v, want an ExitError", err)
	}
	for _, want := range []string{"REDIS_URL (value withheld", "SYNC_MODE", "name", "web_acl is missing", "region is missing", "20000"} {
		if !strings.Contains(exit.Output, want) {
			t.Errorf("output does not name %s:\n%s", want, exit.Output)
		}
	}
	if strings.Contains(exit.Output, syncruntest.RedisPassword) {
		t.Errorf("output shows a password:\n%s", exit.Output)
	}
}

func TestBinaryStaysSmall(t *testing.T) {
	t.Parallel()
	info, err := os.Stat(built.Path(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("sync-aws-waf weighs %.1f MB", float64(info.Size())/1e6)
	if info.Size() >= maxBinary {
		t.Errorf("sync-aws-waf weighs %d bytes, want less than %d", info.Size(), maxBinary)
	}
}
