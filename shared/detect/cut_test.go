//go:build cgo

package detect_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/detect/detecttest"
)

// accused runs a rule with the threshold 0 over lines of one window and returns whom it finds.
func accused(t *testing.T, ask detecttest.Service, id string, lines []string) map[string]int64 {
	t.Helper()
	all := make([]detecttest.Line, len(lines))
	for i, msg := range lines {
		all[i] = detecttest.Line{Time: storyStart, Fields: map[string]string{"msg": msg}}
	}
	rule := shippedRule(t, id)
	rule.Threshold = 0
	span := detect.Outward(storyStart, storyStart.Add(time.Second), rule.Window)
	rows, err := ask(t.Context(), all, rule.SQL(), span.From, span.To)
	if err != nil {
		t.Fatal(err)
	}
	ds, _ := rule.Detections(rows, span)
	return subjects(ds)
}

// sshd cuts a message at 1,023 bytes, after escapes: a name of control characters, each written as four, must not make
// the cut fall right behind an address of the client's own.
func TestAnSSHLineThatWasCutAccusesNobody(t *testing.T) {
	t.Parallel()
	ask := service(laptop(t))
	var lines []string
	for _, text := range []string{
		`Failed password for invalid user %s from 192.0.2.9 port 1 ssh2`,
		`Invalid user %s from 192.0.2.9`,
		`error: maximum authentication attempts exceeded for invalid user %s from 192.0.2.9 port 1 ssh2 [preauth]`,
		`Connection closed by invalid user %s 192.0.2.9 port 1 [preauth]`,
	} {
		whole := fmt.Sprintf(text, "")
		lines = append(lines, "sshd[1]: "+fmt.Sprintf(text, strings.Repeat("x", 1023-len(whole))))
	}
	for _, id := range []string{"ssh-failures-address", "ssh-failures-slow", "ssh-stuffing-address"} {
		if got := accused(t, ask, id, lines); len(got) > 0 {
			t.Errorf("%s: %v", id, got)
		}
		short := []string{"sshd[1]: Failed password for invalid user " + strings.Repeat("x", 100) + " from 203.0.113.7 port 1 ssh2"}
		if got := accused(t, ask, id, short); len(got) != 1 {
			t.Errorf("%s: a name of 100 bytes, which is all that sshd writes: %v", id, got)
		}
	}
}

// nginx cuts a line at 2,048 bytes: the path that it quotes must not be so long that the
// address behind it is lost and one within it is left.
func TestAnErrorLineThatWasCutAccusesNobody(t *testing.T) {
	t.Parallel()
	ask := service(laptop(t))
	for id, text := range map[string]string{
		"errorlog-scan-address": `2024/01/15 03:42:17 [error] 1#1: *1 open() "/srv/%s" failed (2: No such file or directory), client: 192.0.2.9, server: _, request: "GET / HTTP/1.1"`,
		"errorlog-auth-address": `2024/01/15 03:42:17 [error] 1#1: *1 user "%s": password mismatch, client: 192.0.2.9, server: _, request: "GET / HTTP/1.1"`,
	} {
		var lines []string
		for _, filler := range []string{"a", "é", "地", "😀"} {
			for bytes := 2040; bytes <= 2052; bytes++ {
				n := (bytes - len(text)) / len(filler)
				lines = append(lines, fmt.Sprintf(text, strings.Repeat(filler, n)+strings.Repeat("x", bytes-len(text)-n*len(filler))))
			}
		}
		if got := accused(t, ask, id, lines); len(got) > 0 {
			t.Errorf("%s: %v", id, got)
		}
		whole := []string{fmt.Sprintf(text, strings.Repeat("a", 1200)), fmt.Sprintf(text, strings.Repeat("é", 200))}
		if got := accused(t, ask, id, whole); got["192.0.2.9"] != 2 {
			t.Errorf("%s: lines that are whole: %v, want 2", id, got)
		}
	}
}

// What a rule joins may stand before the windows that are asked about, as far as its margin says.
func TestWhatARuleJoinsMayLieBeforeTheWindow(t *testing.T) {
	t.Parallel()
	ask := service(laptop(t))
	at := func(before time.Duration, trace, format string, args ...any) detecttest.Line {
		return detecttest.Line{Time: storyStart.Add(-before), Fields: map[string]string{"msg": fmt.Sprintf(format, args...), "trace_id": trace}}
	}
	for id, c := range map[string]struct {
		before time.Duration
		want   string
	}{
		"sms-account":                {10 * time.Minute, "abc"},
		"flood-account":              {10 * time.Minute, "abc"},
		"context-story":              {10 * time.Minute, "198.51.100.7"},
		"ssh-success-after-failures": {59 * time.Minute, "203.0.113.7"},
	} {
		var lines []detecttest.Line
		for i := range 200 {
			trace, uid := fmt.Sprint("t", i), "abc"
			if i%100 == 7 {
				uid = "shy" // two requests from 198.51.100.7: one who behaves
			}
			lines = append(lines,
				at(c.before, trace, `player.getSMScode Received "uid":%s "trace_id":%s`, uid, trace),
				at(0, trace, `"rate limit for true-client-ip": 198.51.100.%d "trace_id": %s`, i%100, trace),
				at(c.before, "", "sshd[1]: Failed password for root from 203.0.113.7 port %d ssh2", i+1))
		}
		lines = append(lines, at(0, "", "sshd[1]: Accepted password for root from 203.0.113.7 port 7 ssh2"))
		rule := shippedRule(t, id)
		span := detect.Outward(storyStart, storyStart.Add(time.Second), rule.Window)
		rows, err := ask(t.Context(), lines, rule.SQL(), span.From.Add(-rule.Reach()), span.To)
		if err != nil {
			t.Fatal(err)
		}
		ds, _ := rule.Detections(rows, span)
		if _, ok := subjects(ds)[c.want]; !ok {
			t.Errorf("%s: %v, want %s", id, subjects(ds), c.want)
		}
	}
}

// The attack that flood-account was made for: 10,372 addresses in seven minutes, one request each, all behind one account.
func TestTenThousandQuietAddressesAreOneAccount(t *testing.T) {
	t.Parallel()
	const addresses = 10_372
	var lines []detecttest.Line
	for i := range addresses {
		trace := fmt.Sprint("t", i)
		when := storyStart.Add(time.Duration(i) * 7 * time.Minute / addresses).Truncate(time.Second)
		lines = append(lines,
			detecttest.Line{Time: when, Fields: map[string]string{"trace_id": trace, "msg": `player.getSMScode Received "uid":nbNgQ01wRWiOSVcI2Y/hUw== "trace_id":` + trace}},
			detecttest.Line{Time: when, Fields: map[string]string{"trace_id": trace, "msg": fmt.Sprintf(`"GET / HTTP/1.1" 200 1 "-" "agent-%d" "true-client-ip": 198.%d.%d.7 "trace_id": %s`, i%700, 20+i/250, i%250, trace)}})
	}
	service := once(laptop(t))
	ask := func(id string, to time.Time) map[string]int64 {
		rule := shippedRule(t, id)
		span := detect.Span{From: storyStart, To: to}
		rows, err := service(t.Context(), lines, rule.SQL(), span.From.Add(-rule.Reach()), span.To)
		if err != nil {
			t.Fatal(err)
		}
		ds, _ := rule.Detections(rows, span)
		for _, d := range ds {
			t.Logf("%s until %s: %d addresses → %s", id, to.Sub(storyStart), d.Addresses, d.Indicator.Masked())
		}
		return subjects(ds)
	}
	if got := ask("flood-account", storyStart.Add(2*time.Minute)); len(got) != 1 || got["nbNgQ01wRWiOSVcI2Y/hUw=="] < 2900 {
		t.Errorf("after one window: %v", got)
	}
	if got := ask("flood-account", storyStart.Add(8*time.Minute)); got["nbNgQ01wRWiOSVcI2Y/hUw=="] != addresses {
		t.Errorf("in all: %v, want %d", got, addresses)
	}
	if got := ask("rate-limit-address", storyStart.Add(8*time.Minute)); len(got) > 0 {
		t.Errorf("%d addresses are loud, want none", len(got))
	}
}
