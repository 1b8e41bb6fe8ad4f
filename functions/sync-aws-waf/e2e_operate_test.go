package main

// What an operator sees of the deployed function: it stays to be quick, it asks
// before it does too much, it tells what others did, and one target cannot stop the others.

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"

	"github.com/tracewall/tracewall/shared/syncrun"
	"github.com/tracewall/tracewall/shared/syncrun/syncruntest"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// onlyEdge is one target, the user's own web ACL.
const onlyEdge = `[{"name":"edge","region":"eu-west-1","web_acl":"edge"}]`

// balancer is what the web ACL protects.
const balancer = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/edge/50dc6c495c0c9188"

// onWall tells whether the web ACL edge blocks an address.
func (w *world) onWall(address string) bool {
	return slices.Contains(w.aws.Enforced("eu-west-1", "REGIONAL", "edge"), netip.MustParsePrefix(address))
}

// tamper is somebody else who empties our IPv4 sets and leaves all else of them as it is.
func (w *world) tamper(t *testing.T) {
	t.Helper()
	client := wafv2.New(wafv2.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(w.Env["AWS_ENDPOINT_URL"]), Credentials: credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "x", ""),
	})
	list, err := client.ListIPSets(t.Context(), &wafv2.ListIPSetsInput{Scope: types.ScopeRegional})
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range list.IPSets {
		if !strings.HasPrefix(*set.Name, "tracewall-edge-v4") {
			continue
		}
		if _, err := client.UpdateIPSet(t.Context(), &wafv2.UpdateIPSetInput{
			Scope: types.ScopeRegional, Id: set.Id, Name: set.Name, Description: set.Description, LockToken: set.LockToken, Addresses: []string{},
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBinaryEnforcesAtOnceWhatIsAnnouncedWhileItStays(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, time.Now().UTC().Truncate(time.Second), waftest.AWSOptions{Latency: 50 * time.Millisecond})
	f := w.start(t, map[string]string{"WAF_TARGETS": onlyEdge, "WAIT": "15s"})
	tick := fmt.Appendf(nil, `{"source":"aws.scheduler","detail-type":"Scheduled Event","time":%q,"detail":"{}"}`, w.Clock.Format(time.RFC3339))
	type answer struct {
		res syncrun.Result
		err error
	}
	answered := make(chan answer, 1)
	began := time.Now()
	go func() {
		res, err := w.Invoke(t, f, tick)
		answered <- answer{res, err}
	}()
	syncruntest.Until(t, "the scheduled pass", 12*time.Second, func() bool { return len(w.enforced()["edge"]) == 3 })
	w.Clock = time.Now().UTC().Truncate(time.Second)
	w.Block(t, "ip:203.0.113.99")
	took := syncruntest.Until(t, "an announced address on the wall", 10*time.Second, func() bool { return w.onWall("203.0.113.99/32") })
	t.Logf("on the wall %s after it was announced", took)
	got := <-answered
	if got.err != nil || got.res.Passes != 2 || got.res.Targets[0].Enforced != 4 {
		t.Errorf("result = %+v, error %v; want two passes and four enforced", got.res, got.err)
	}
	if stayed := time.Since(began); stayed < 14*time.Second {
		t.Errorf("it stayed %s, want 15 s", stayed)
	}
	w.Keeps(t)
	if n := strings.Count(w.Out.String(), `"msg":"sync-aws-waf done"`); n != 1 {
		t.Errorf("%d summary lines, want one:\n%s", n, w.Out)
	}
}

func TestBinaryVerifiesWhatTheSetsHoldAndProvesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.start(t, map[string]string{"WAF_TARGETS": onlyEdge})
	if _, err := w.Invoke(t, f, syncruntest.Sample(t, "sync-aws-waf.schedule.json")); err != nil {
		t.Fatal(err)
	}
	if err := w.aws.Associate("eu-west-1", "edge", balancer); err != nil {
		t.Fatal(err)
	}
	w.tamper(t)
	got, err := w.Invoke(t, w.start(t, map[string]string{"WAF_TARGETS": onlyEdge}), []byte(`{"mode":"verify","as_of":"2026-05-28T20:30:00Z"}`))
	if err != nil {
		t.Fatal(err)
	}
	target := got.Targets[0]
	if got.Mode != syncrun.ModeVerify || len(w.enforced()["edge"]) != 3 || target.Enforced != 3 || len(target.Drift) == 0 {
		t.Errorf("result = %+v, enforced %v; want what was emptied filled again, and told", got, w.enforced())
	}
	if target.Effective == nil || !*target.Effective {
		t.Errorf("target = %+v, want it proven in force", target)
	}
	w.Keeps(t)
	for _, want := range []string{`"effective":1`, `"drift_total":1`} {
		if !strings.Contains(w.Out.String(), want) {
			t.Errorf("no metric %s in:\n%s", want, w.Out)
		}
	}
}

func TestBinaryHoldsALargeUnexplainedReleaseUntilSomebodyApproves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lost := w.Crowd(t)
	f := w.start(t, map[string]string{"WAF_TARGETS": onlyEdge})
	if _, err := w.Invoke(t, f, syncruntest.Sample(t, "sync-aws-waf.schedule.json")); err != nil {
		t.Fatal(err)
	}
	before := w.enforced()
	w.Vanish(t, lost...)
	w.aws.Forget()
	_, err := w.Invoke(t, f, syncruntest.Sample(t, "sync-aws-waf.rule.json"))
	if err == nil || !strings.Contains(err.Error(), "held: more would change") || w.writes() != 0 {
		t.Fatalf("error = %v after %d writes, want it held", err, w.writes())
	}
	if got := w.enforced(); len(got["edge"]) != len(before["edge"]) {
		t.Errorf("enforced = %v", got)
	}
	// An approval of less than what is held is none.
	approve := func(release int) { t.Helper(); w.Approve(t, kind, "edge", release) }
	approve(len(lost) - 1)
	if _, err := w.Invoke(t, f, syncruntest.Sample(t, "sync-aws-waf.rule.json")); err == nil {
		t.Error("more was released than was approved")
	}
	approve(len(lost))
	got, err := w.Invoke(t, f, syncruntest.Sample(t, "sync-aws-waf.rule.json"))
	if err != nil || got.Targets[0].Enforced != 13 || len(w.enforced()["edge"]) != 13 {
		t.Errorf("approved: result %+v, error %v", got, err)
	}
	w.Keeps(t)
	if !strings.Contains(w.Out.String(), `"held":1`) || !strings.Contains(w.Out.String(), `"guard_tripped":1`) {
		t.Errorf("no metric says that a run was held:\n%s", w.Out)
	}
}

func TestBinaryOnlyReportsDriftWhereItIsToldTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.start(t, map[string]string{"WAF_TARGETS": strings.Replace(onlyEdge, `"web_acl"`, `"drift":"report","web_acl"`, 1)})
	if _, err := w.Invoke(t, f, syncruntest.Sample(t, "sync-aws-waf.schedule.json")); err != nil {
		t.Fatal(err)
	}
	w.tamper(t)
	w.aws.Forget()
	_, err := w.Invoke(t, f, syncruntest.Sample(t, "sync-aws-waf.verify.json"))
	if err == nil || !strings.Contains(err.Error(), "drift is only reported") {
		t.Errorf("error = %v, want the drift", err)
	}
	if n := w.writes(); n != 0 || len(w.enforced()["edge"]) != 1 {
		t.Errorf("%d writes, enforced %v; want what somebody else left", n, w.enforced())
	}
	w.Keeps(t)
	if !strings.Contains(w.Out.String(), `"drift_total":1`) {
		t.Errorf("no metric tells of the drift:\n%s", w.Out)
	}
}

func TestBinaryIsNotDelayedByATargetThatHangs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Limit = 15 * time.Second
	hung := make(chan struct{})
	t.Cleanup(func() { close(hung) })
	w.aws.Before(func(c waftest.Call) *waftest.Fault {
		if c.Region == "us-east-1" {
			<-hung
		}
		return nil
	})
	done := make(chan error, 1)
	f := w.start(t, nil)
	go func() {
		_, err := w.Invoke(t, f, syncruntest.Sample(t, "sync-aws-waf.schedule.json"))
		done <- err
	}()
	took := syncruntest.Until(t, "the other target", 10*time.Second, func() bool { return len(w.enforced()["edge"]) == 3 })
	t.Logf("the other target was up to date after %s", took)
	select {
	case err := <-done:
		t.Errorf("the run ended although a target hangs: %v", err)
	default:
	}
	if err := <-done; err == nil || !strings.Contains(err.Error(), "target cdn") || strings.Contains(err.Error(), "target edge") {
		t.Errorf("error = %v, want target cdn's alone", err)
	}
}

func TestBinaryWorksInAnotherAccount(t *testing.T) {
	t.Parallel()
	const role, account = "arn:aws:iam::210987654321:role/tracewall", "210987654321"
	w := newWorldAt(t, clock, waftest.AWSOptions{Roles: map[string]string{role: "shop-7"}})
	if err := w.aws.Account(account).SeedWebACL("eu-west-1", "REGIONAL", "edge"); err != nil {
		t.Fatal(err)
	}
	// Each target has its own account; the same web ACL's name in both means two walls.
	f := w.start(t, map[string]string{"WAF_TARGETS": `[{"name":"edge","region":"eu-west-1","web_acl":"edge"},
		{"name":"theirs","region":"eu-west-1","web_acl":"edge","role_arn":"` + role + `","external_id":"shop-7"}]`})
	if _, err := w.Invoke(t, f, syncruntest.Sample(t, "sync-aws-waf.schedule.json")); err != nil {
		t.Fatal(err)
	}
	theirs := w.aws.Account(account).Enforced("eu-west-1", "REGIONAL", "edge")
	if len(theirs) != 3 || len(w.enforced()["edge"]) != 3 {
		t.Errorf("theirs enforces %v, ours %v; want three each", theirs, w.enforced())
	}
	wrong := w.start(t, map[string]string{"WAF_TARGETS": `[{"name":"theirs","region":"eu-west-1","web_acl":"edge","role_arn":"` + role + `","external_id":"shop-8"}]`})
	if _, err := w.Invoke(t, wrong, syncruntest.Sample(t, "sync-aws-waf.rule.json")); err == nil || !strings.Contains(err.Error(), role) {
		t.Errorf("with a wrong external id: %v, want an error that names the role", err)
	}
	w.Keeps(t)
}
