//go:build cgo

package detect_test

import (
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/detect/detecttest"
	"github.com/tracewall/tracewall/shared/threat"
)

// authLines are a real server's auth.log: three weeks, several programs, one port open to the world.
func authLines(t *testing.T) []detecttest.Line {
	stamp := regexp.MustCompile(`^\w{3} +\d+ \d\d:\d\d:\d\d`)
	return realLines(t, "auth.log", func(line string) (detecttest.Line, bool) {
		at, err := time.Parse("2006 Jan _2 15:04:05", "2017 "+stamp.FindString(line))
		return detecttest.Line{Time: at, Fields: map[string]string{"msg": line}}, err == nil
	})
}

// found runs a rule over all of the lines.
func found(t *testing.T, ask detecttest.Service, id string, lines []detecttest.Line) []threat.Detection {
	t.Helper()
	rule := shippedRule(t, id)
	first, last := lines[0].Time, lines[len(lines)-1].Time
	span := detect.Outward(first, last.Add(time.Second), rule.Window)
	rows, err := ask(t.Context(), lines, rule.SQL(), span.From.Add(-rule.Reach()), span.To)
	if err != nil {
		t.Fatal(err)
	}
	ds, rejected := rule.Detections(rows, span)
	for _, r := range rejected {
		t.Logf("%s: rejected %s: %s, %d", id, r.Value, r.Reason, r.Count)
	}
	return ds
}

func subjects(ds []threat.Detection) map[string]int64 {
	all := map[string]int64{}
	for _, d := range ds {
		all[d.Indicator.String()] = d.Count
	}
	return all
}

// trap fails 157 times, 147 of them for one account within an hour, and logs in 47 times in two days.
const trap = "24.151.103.17"

// Who has an account on this server logs in from these.
var residents = []string{trap, "85.245.107.41", "95.93.96.191"}

func TestTheGuessersOfARealServerAreFound(t *testing.T) {
	t.Parallel()
	lines, ask := authLines(t), once(laptop(t))
	fast := subjects(found(t, ask, "ssh-failures-address", lines))
	// Counted apart from the rule: everybody with 6 or more failures, or unknown users, in one
	// of its windows. 89 of them made one connection of 6 attempts and never came back.
	hasty := 0
	for address, n := range fast {
		t.Logf("ssh-failures-address: %s %d", address, n)
		if n == 6 {
			hasty++
		}
	}
	if len(fast) != 102 || hasty != 89 {
		t.Errorf("%d addresses, %d of them once, want 102 and 89", len(fast), hasty)
	}
	for address, want := range map[string]int64{
		trap: 147, "49.4.143.105": 120, "34.204.227.175": 43, "91.197.232.109": 58, "201.178.81.113": 36, "218.60.136.106": 6,
	} {
		if fast[address] != want {
			t.Errorf("%s: %d failures, want %d", address, fast[address], want)
		}
	}
	for _, address := range residents[1:] {
		if fast[address] != 0 {
			t.Errorf("%s: %d failures, but people log in from it and fail at most 2 times in ten minutes", address, fast[address])
		}
	}
	for id, want := range map[string]map[string]int64{
		// All of these were in a hurry as well: nobody here is slow on purpose.
		"ssh-failures-slow": {
			trap: 157, "49.4.143.105": 120, "34.204.227.175": 43, "91.197.232.109": 58, "201.178.81.113": 36, "181.26.186.35": 30, "122.163.61.218": 30,
		},
		"ssh-failures-account": {},                     // root is tried by 2 addresses at once, by chance
		"ssh-stuffing-address": {"91.197.232.109": 48}, // pi, git, ubnt, dbadmin, …: 24 names, and again twelve hours later
	} {
		if diff := cmp.Diff(want, subjects(found(t, ask, id, lines))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", id, diff)
		}
	}
}

// The trap is found, and what speaks for it as well: who judges has both.
func TestAnAddressThatFailsAndLogsInIsToldApart(t *testing.T) {
	t.Parallel()
	lines, ask := authLines(t), once(laptop(t))
	got := map[string]string{}
	for _, d := range found(t, ask, "context-sshd", lines) {
		got[d.Indicator.String()] = fmt.Sprintf("%d logins, at most %d accounts in an hour, %d accounts", d.Successes, d.Users, len(d.Accounts))
	}
	if diff := cmp.Diff(map[string]string{
		trap:            "47 logins, at most 4 accounts in an hour, 10 accounts",
		"85.245.107.41": "174 logins, at most 6 accounts in an hour, 11 accounts",
		"95.93.96.191":  "4 logins, at most 2 accounts in an hour, 4 accounts",
	}, got); diff != "" {
		t.Errorf("who logs in (-want +got):\n%s", diff)
	}
	suspected := found(t, ask, "ssh-success-after-failures", lines)
	if len(suspected) != 1 {
		t.Errorf("%d intrusions suspected, want the one", len(suspected))
	}
	for _, d := range suspected {
		if d.Indicator.String() != trap || d.Count != 148 || !slices.Equal(d.Accounts, []string{"elastic_user_0"}) {
			t.Errorf("%s got in after %d failures as %q; want only %s, after 147 for one account", d.Indicator, d.Count-1, d.Accounts, trap)
		}
	}
}
