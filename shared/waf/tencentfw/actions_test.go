package tencentfw_test

import (
	"flag"
	"testing"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/tencentfw"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

var update = flag.Bool("update", false, "rewrite testdata/actions.json")

// take adds what the cloud was asked since the last time.
func take(into waftest.Actions, cloud *waftest.Tencent) {
	for _, call := range cloud.Calls() {
		into[call.Service+":"+call.Action] = true
	}
	cloud.Forget()
}

// TestActions records every action that each mode makes, and what each mode's detach and examination make, and
// compares them with testdata/actions.json, against which the policies of infra are checked. A mode's list is what the
// function needs: sync, verify, preflight, proof. "MODE detach" is what the operator needs who leaves it, "MODE examine" what
// tracewall doctor asks.
func TestActions(t *testing.T) {
	got := map[string]waftest.Actions{}
	for mode, record := range map[string]func(t *testing.T, sync, detach, examine waftest.Actions){
		tencentfw.ModeSecurityGroup: recordGroup,
		tencentfw.ModeWAF:           recordAccess,
	} {
		sync, detach, examine := waftest.Actions{}, waftest.Actions{}, waftest.Actions{}
		record(t, sync, detach, examine)
		got[mode], got[mode+" detach"], got[mode+" examine"] = sync, detach, examine
	}
	waftest.CompareActions(t, *update, got)
}

// recordGroup runs everything that a target of mode security-group ever does.
func recordGroup(t *testing.T, sync, detach, examine waftest.Actions) {
	t.Helper()
	c := newGroupCloud(t, waftest.TencentOptions{})
	run := func(generation uint64, wants []waf.Want) {
		r := waf.Reconciler{
			Firewall: c.open(t), Name: "edge", Limits: c.target.Limits(), Guard: waf.Guard{Ended: waftest.AllEnded}, Prove: true, Verify: true,
		}
		if _, err := r.Reconcile(t.Context(), waf.Desired{Wants: wants, Epoch: "epoch-1", Generation: generation}); err != nil {
			t.Fatal(err)
		}
		take(sync, c.Tencent)
	}
	run(1, groupHosts(0, 25)) // makes all, binds a load balancer
	run(2, groupHosts(5, 40)) // grows
	run(3, groupHosts(40, 5)) // shrinks
	run(4, groupHosts(40, 5)) // deletes
	c.accepted(t)
	run(5, groupHosts(40, 5)) // moves to the top
	run(6, nil)               // takes everything out
	run(7, groupHosts(0, 5))
	c.open(t).(waf.Examiner).Examine(t.Context())
	take(examine, c.Tencent)
	if _, err := c.open(t).(waf.Detacher).Detach(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	take(detach, c.Tencent)
}

// recordAccess runs everything that a target of mode waf ever does.
func recordAccess(t *testing.T, sync, detach, examine waftest.Actions) {
	t.Helper()
	for _, domain := range []string{shop, tencentfw.Global} {
		c := newCloudWAF(t, waftest.TencentOptions{})
		c.target.Domain = domain
		run := func(generation uint64, first, n int) {
			wants := groupHosts(first, n)
			for i := range wants {
				wants[i].ExpiresAt = dawn.AddDate(0, 0, 1+first%3)
			}
			r := waf.Reconciler{
				Firewall: c.open(t), Name: "edge", Limits: c.target.Limits(), Guard: waf.Guard{Ended: waftest.AllEnded}, Prove: true, Verify: true, Now: dawn,
			}
			if _, err := r.Reconcile(t.Context(), waf.Desired{Wants: wants, Epoch: "epoch-1", Generation: generation}); err != nil {
				t.Fatal(err)
			}
			take(sync, c.Tencent)
		}
		run(1, 0, 250)
		run(2, 1, 250) // with later ends
		run(3, 40, 5)  // most go
		c.open(t).(waf.Examiner).Examine(t.Context())
		take(examine, c.Tencent)
		if _, err := c.open(t).(waf.Detacher).Detach(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		take(detach, c.Tencent)
	}
}
