//go:build cgo

package detect_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/detect/detecttest"
)

// The story's lines: one account behind 60 addresses, in both shapes, each request
// with its SMS line; 40 addresses whose requests belong to nobody.
var storyStart = time.Date(2025, 5, 10, 4, 56, 0, 0, time.UTC) // starts a window of two minutes

func storyLines() []detecttest.Line {
	var lines []detecttest.Line
	add := func(at int, trace, format string, args ...any) {
		lines = append(lines, detecttest.Line{Time: storyStart.Add(time.Duration(at) * time.Second), Fields: map[string]string{"msg": fmt.Sprintf(format, args...), "trace_id": trace}})
	}
	for i := range 120 {
		trace := fmt.Sprint("t", i)
		ip := fmt.Sprintf("198.51.100.%d", i%60)
		// The sample's uid stands without quotes; a second collector logs it again, with them.
		add(10, trace, `[10/May/2025:12:55:31 +0800] player.getSMScode Received "uid":nbNgQ01wRWiOSVcI2Y/hUw== "trace_id":%s`, trace)
		add(10, trace, `[10/May/2025:12:55:31 +0800] player.getSMScode Received "uid":"nbNgQ01wRWiOSVcI2Y/hUw==" "trace_id":%s`, trace)
		if i%2 == 0 {
			add(20, trace, `rate limit for true-client-ip: %s trace_id: %s`, ip, trace)
		} else {
			add(20, trace, `[10/May/2025:13:55:36 +0800] "GET /index.html HTTP/1.1" 200 432 "-" "Mozilla/5.0 (...)" "rate limit for true-client-ip": %s "trace_id": %s`, ip, trace)
		}
	}
	for i := range 150 {
		trace := fmt.Sprint("u", i)
		add(30, trace, `"GET / HTTP/1.1" 200 1 "-" "curl" "rate limit for true-client-ip": 203.0.113.%d "trace_id": %s`, i%40, trace)
	}
	// One loud address, at the same second of two windows.
	for i := range 30 {
		trace := fmt.Sprint("v", i)
		add(50, trace, `rate limit for true-client-ip: 192.0.2.99 trace_id: %s`, trace)
		add(50+120, trace+"b", `rate limit for true-client-ip: 192.0.2.99 trace_id: %s`, trace+"b")
	}
	return lines
}

func storyRows(t *testing.T, ask detecttest.Service, query string) []map[string]string {
	t.Helper()
	rows, err := ask(t.Context(), storyLines(), query, storyStart, storyStart.Add(4*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func storyQuery(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/story/" + name + ".sql")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// The story's first query: the quoted shape gives no address, and two windows that
// have the same phase become one.
func TestTheStorysAddressQueryAndTheRuleMadeOfIt(t *testing.T) {
	t.Parallel()
	ask := once(laptop(t))
	var none, loud int
	for _, row := range storyRows(t, ask, storyQuery(t, "addresses")) {
		switch row["ip"] {
		case "null":
			none++
		case "192.0.2.99":
			loud++
			if row["pv"] != "60" || row["t"] != "50" {
				t.Errorf("original: the loud address = %v, want both windows in one row, named by their phase", row)
			}
		}
	}
	if none == 0 || loud != 1 {
		t.Errorf("original: %d rows without an address, %d of the loud one; the traps are gone", none, loud)
	}

	rule := shippedRule(t, "rate-limit-address")
	in := detect.Span{From: storyStart, To: storyStart.Add(4 * time.Minute)}
	got, rejected := rule.Detections(storyRows(t, ask, rule.SQL()), in)
	if len(rejected) > 0 {
		t.Errorf("rejected %v", rejected)
	}
	if len(got) != 1 || got[0].Indicator.String() != "192.0.2.99" || got[0].Count != 60 || got[0].Windows != 2 {
		t.Errorf("detections = %+v, want the loud address, 60 lines in 2 windows", got)
	}
	rule.Threshold = 0
	all, _ := rule.Detections(storyRows(t, ask, rule.SQL()), in)
	if len(all) != 101 {
		t.Errorf("%d addresses at threshold 0, want 60 + 40 + 1 in both shapes", len(all))
	}
}

// The story's second query: no address at all, the quoted uid only, requests
// without an account as the loudest "account", and lines counted once for each SMS line.
func TestTheStorysAccountQueryAndTheRuleMadeOfIt(t *testing.T) {
	t.Parallel()
	ask := once(laptop(t))
	rows := storyRows(t, ask, storyQuery(t, "accounts"))
	if len(rows) == 0 {
		t.Fatal("original: no rows")
	}
	for _, row := range rows {
		if row["uuid"] != "null" || strings.Trim(row["ip"], "[]") != "null" {
			t.Errorf("original: row %v, want NULL as the account, [null] as its addresses", row)
		}
	}

	// With its patterns mended and nothing else, it still counts each request twice.
	mended := strings.NewReplacer(
		`'"true-client-ip": (\d+.\d+.\d+.\d+)'`, `'true-client-ip"?: (\d+\.\d+\.\d+\.\d+)'`,
		`'"uid":"([^"]*)"'`, `'"uid":"?([^"\s]+)'`,
		`'"rate limit for true-client-ip": '`, `'rate limit for true-client-ip'`,
	).Replace(storyQuery(t, "accounts"))
	counts := map[string]string{}
	for _, row := range storyRows(t, ask, mended) {
		counts[row["uuid"]] = row["cnt"]
	}
	if diff := cmp.Diff(map[string]string{"nbNgQ01wRWiOSVcI2Y/hUw==": "240", "null": "180"}, counts); diff != "" {
		t.Errorf("original with mended patterns: %s", diff)
	}

	rule := shippedRule(t, "sms-account")
	got, rejected := rule.Detections(storyRows(t, ask, rule.SQL()), detect.Span{From: storyStart, To: storyStart.Add(4 * time.Minute)})
	if len(got) != 1 || len(rejected) > 0 {
		t.Fatalf("detections = %+v, rejected = %v, want one account", got, rejected)
	}
	d := got[0]
	if d.Indicator.Account() != "nbNgQ01wRWiOSVcI2Y/hUw==" || d.Count != 120 || d.Addresses != 60 || len(d.Evidence) != 60 {
		t.Errorf("account %s: count %d, %d addresses, want 120 and 60", d.Indicator.Masked(), d.Count, d.Addresses)
	}
}

func TestTheStorysCountryQueryRunsAsWritten(t *testing.T) {
	t.Parallel()
	ask := once(laptop(t))
	for _, row := range storyRows(t, ask, storyQuery(t, "countries")) {
		if strings.Trim(row["ip"], "[]") != "null" {
			t.Errorf("original: countries %v, want [null], for it finds no address", row)
		}
	}
}

// 5,000 addresses are 70 KB of array text: nothing between the query and the
// evidence may cut it.
func TestAnAccountsAddressesSurviveBeyondTwoKilobytes(t *testing.T) {
	t.Parallel()
	var lines []detecttest.Line
	for i := range 5000 {
		trace := fmt.Sprint("t", i)
		lines = append(lines,
			detecttest.Line{Time: storyStart, Fields: map[string]string{"trace_id": trace, "msg": `player.getSMScode Received "uid":abc "trace_id":` + trace}},
			detecttest.Line{Time: storyStart, Fields: map[string]string{"trace_id": trace, "msg": fmt.Sprintf("rate limit for true-client-ip: 198.%d.%d.7 trace_id: %s", 20+i/250, i%250, trace)}})
	}
	rule := shippedRule(t, "sms-account")
	rows, err := service(laptop(t))(t.Context(), lines, rule.SQL(), storyStart, storyStart.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	got, rejected := rule.Detections(rows, detect.Span{From: storyStart, To: storyStart.Add(time.Minute)})
	if len(got) != 1 || got[0].Addresses != 5000 || len(got[0].Evidence) != 5000 || len(rejected) > 0 {
		t.Errorf("%d detections, rejected %v", len(got), rejected)
	}
}

// The service cuts values at 2 KB: a client with a very long user agent must not
// be able to make the cut take away the quote behind it.
func TestACutLineProvesNothing(t *testing.T) {
	t.Parallel()
	forged := "rate limit for true-client-ip: 203.0.113.9 trace_id: x"
	var lines []detecttest.Line
	for _, filler := range []string{"a", "地", "😀"} {
		for pad := 1800 / len(filler); pad < 2100/len(filler); pad++ {
			msg := `"GET / HTTP/1.1" 200 1 "-" "` + strings.Repeat(filler, pad) + " " + forged + `" "trace_id": y`
			lines = append(lines, detecttest.Line{Time: storyStart, Fields: map[string]string{"msg": msg}})
		}
	}
	rule := shippedRule(t, "rate-limit-address")
	rule.Threshold = 0
	rows, err := service(laptop(t))(t.Context(), lines, rule.SQL(), storyStart, storyStart.Add(2*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := rule.Detections(rows, detect.Span{From: storyStart, To: storyStart.Add(2 * time.Minute)}); len(got) > 0 {
		t.Errorf("somebody else would be blocked: %s, %d lines", got[0].Indicator, got[0].Count)
	}
}
