//go:build cgo

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/detect"
)

func TestAnApprovalLetsExactlyOneRunThrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := w.start(t, map[string]string{"MAX_NEW": "1"})
	at := clock
	run := func(what string, approved, added int) {
		t.Helper()
		if approved > 0 { // as tracewall approve detect does
			if err := w.store.SaveApproval(t.Context(), detect.ApprovalTarget, blocklist.Approval{Add: approved, By: "somebody", At: time.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		before := len(w.listed(t, at))
		got, err := w.invoke(t, f, tickAt(at))
		if held := err != nil && strings.Contains(err.Error(), "tracewall approve detect"); held == (added > 0) {
			t.Errorf("%s: result %+v, %v", what, got, err)
		}
		if n := len(w.listed(t, at)) - before; n != added {
			t.Errorf("%s: %d were added, want %d", what, n, added)
		}
		at = at.Add(time.Minute)
	}
	run("nobody has approved", 0, 0)
	run("it is held again", 0, 0)
	run("of fewer than there are", 3, 0)
	run("of all of them", 4, 4)
	w.lines(t, at.Add(-5*time.Minute), "45.155.205.10", "", 60)
	w.lines(t, at.Add(-5*time.Minute), "45.155.205.11", "", 60)
	run("others come, the approval is used up", 0, 0)
	run("which may be approved of as well", 10, 2)
	w.keeps(t)
}

// Most of what a small site gets during a flood is the flood, and its requests go well.
func TestTheBrakeLetsASmallSiteBlockWhoeverFloodsIt(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, onMiniredis(t))
	var l log
	for i := range 60 {
		l.get(fmt.Sprintf("89.%d.%d.%d", 10+i%40, i, 1+i), clock.Add(-70*time.Minute), time.Hour, 30, func(n int, v *visit) { v.path = fmt.Sprintf("/articles/%d", n) })
	}
	l.get("45.155.205.10", clock.Add(-6*time.Minute-40*time.Second), 2*time.Minute, 2000, nil)
	w.onAccessLog(t, l)
	got, err := w.invoke(t, w.start(t, nil), tickAt(clock))
	if _, ok := w.listed(t, clock)["45.155.205.10"]; err != nil || !ok || got.Added != 1 {
		t.Errorf("result = %+v, %v", got, err)
	}
}

func TestBlocksGoOnWhenIntelligenceIsDamaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.publish(t, map[string][]string{"a-feed": {"203.0.113.7/32"}})
	damaged := 0
	for _, key := range w.redis.Keys() {
		if strings.Contains(key, ":intel:table:") {
			damaged++
			if err := w.redis.Set(key, "not a table"); err != nil {
				t.Fatal(err)
			}
		}
	}
	got, err := w.invoke(t, w.start(t, nil), tickAt(clock))
	if err != nil || got.Added != 4 || damaged != 1 {
		t.Fatalf("result = %+v, %v, %d tables damaged", got, err, damaged)
	}
	if notes := strings.Join(w.report(t).Notes, "\n"); !strings.Contains(notes, "intelligence could not be read") {
		t.Errorf("notes = %q", notes)
	}
	if c, ok := w.caseOf(t, "203.0.113.7"); !ok || len(c.Intelligence) != 0 {
		t.Errorf("case = %+v", c)
	}
	if out := w.out.String(); !strings.Contains(out, "intelligence could not be read") {
		t.Errorf("the log does not say that intelligence could not be read:\n%s", out)
	}
	w.keeps(t)
}

func TestNobodyNewIsBlockedWhenPublishedRangesAreLost(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(t *testing.T, w *world){
		"the catalog has gone": func(_ *testing.T, w *world) { w.redis.Del("{tracewall}:v1:intel:catalog") },
		"a table has gone": func(_ *testing.T, w *world) {
			for _, key := range w.redis.Keys() {
				if strings.Contains(key, ":intel:table:") {
					w.redis.Del(key)
				}
			}
		},
		"a table is damaged": func(t *testing.T, w *world) {
			for _, key := range w.redis.Keys() {
				if strings.Contains(key, ":intel:table:") {
					if err := w.redis.Set(key, "not a table"); err != nil {
						t.Fatal(err)
					}
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.publish(t, nil, "66.249.64.0/19")
			harm(t, w)
			got, err := w.invoke(t, w.start(t, nil), tickAt(clock))
			if err == nil || !strings.Contains(err.Error(), "allowlist unreadable") || !strings.Contains(err.Error(), "refresh-intel") {
				t.Errorf("result = %+v, error = %v, want one that says what to do", got, err)
			}
			if n := len(w.listed(t, clock)); n != 0 {
				t.Errorf("%d on the list", n)
			}
			if _, ok, err := w.store.Checkpoint(t.Context(), "rate-limit-address"); ok || err != nil {
				t.Errorf("checkpoint moved: %t, %v", ok, err)
			}
			w.keeps(t)
		})
	}
}

func TestNobodyIsBlockedWhenWhatSpeaksForAddressesCannotBeAsked(t *testing.T) {
	t.Parallel()
	w := newWorldAt(t, onMiniredis(t))
	var l log
	l.get(scanner, clock.Add(-10*time.Minute), 90*time.Second, 8, func(n int, v *visit) {
		v.status, v.path = 404, []string{"/.env", "/.git/config", "/wp-login.php", "/phpmyadmin/", "/backup.sql", "/server-status", "/id_rsa", "/web.config"}[n]
	})
	w.onAccessLog(t, l)
	w.env["FIELD_ACCOUNT"] = "no_such_field"
	// An approval that was given must not be used up by a run that can act on nobody.
	if err := w.store.SaveApproval(t.Context(), detect.ApprovalTarget, blocklist.Approval{Add: 10, At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	got, err := w.invoke(t, w.start(t, nil), tickAt(clock))
	if err == nil || !strings.Contains(err.Error(), "no_such_field") || !strings.Contains(err.Error(), "context-accounts") || got.Held != 0 {
		t.Errorf("result = %+v, error = %v, want one that names the field", got, err)
	}
	if n := len(w.listed(t, clock)); n != 0 {
		t.Errorf("%d on the list", n)
	}
	if report := w.report(t); len(report.HeldList) != 1 || report.HeldList[0].Indicator != scanner {
		t.Errorf("held = %+v, want the scanner", report.HeldList)
	}
	if _, ok, err := w.store.Checkpoint(t.Context(), "sensitive-paths-address"); ok || err != nil {
		t.Errorf("checkpoint moved: %t, %v", ok, err)
	}
	w.keeps(t)
}

func TestAddressesOfABlockedAccountAreWatchedAndOthersBlocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.lines(t, clock.Add(-6*time.Minute-40*time.Second), "45.155.205.10", "", 60) // loud, and of no account
	got, err := w.invoke(t, w.start(t, map[string]string{"ADDRESSES": "needed"}), tickAt(clock))
	if err != nil {
		t.Fatal(err)
	}
	list := w.listed(t, clock)
	for _, who := range []string{attacker, "45.155.205.10", "2001:db8:1:2::/64"} {
		if e, ok := list[who]; !ok || e.Challenge {
			t.Errorf("%s is not blocked", who)
		}
	}
	for _, who := range []string{"203.0.113.7", "192.0.2.44"} {
		if _, ok := list[who]; ok {
			t.Errorf("%s is on the list", who)
		}
		c, ok := w.caseOf(t, who)
		if !ok || c.Verdict != "observe" || !strings.Contains(c.Parts[len(c.Parts)-1].Text, "accounts that are blocked") {
			t.Errorf("case of %s = %+v", who, c)
		}
	}
	if len(list) != 3 || got.Observed != 2 {
		t.Errorf("result = %+v with %d on the list", got, len(list))
	}
	w.keeps(t)
}
