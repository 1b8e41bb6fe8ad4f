package report_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

func indicator(t *testing.T, key string) threat.Indicator {
	t.Helper()
	ind, err := threat.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return ind
}

var at = time.Date(2026, 5, 28, 20, 26, 40, 0, time.UTC)

func TestTheJSONFormIsStable(t *testing.T) {
	r := report.New()
	r.AddRun(detect.Report{
		Summary:      detect.Summary{Rules: []detect.RuleSummary{{ID: "b", Rows: 3, Detections: 2}, {ID: "a", Rows: 1}}},
		ObservedList: []detect.Finding{{Indicator: "192.0.2.9", Kind: "ip", Rules: []string{"b"}, Count: 21, FirstSeen: at, LastSeen: at, ExpiresAt: at}},
		SparedList:   []detect.Finding{{Indicator: "203.0.113.10", Kind: "ip", Count: 7, Reason: "office"}},
		RejectedList: []detect.Rejected{{Rule: "b", Value: "999.1.1.1", Reason: "not an address", Count: 25}},
	})
	r.AddRun(detect.Report{Summary: detect.Summary{Rules: []detect.RuleSummary{{ID: "b", Rows: 2, Detections: 1}}}})
	r.SetListed([]blocklist.Entry{
		{Indicator: indicator(t, "account:mallory"), Rules: []string{"a"}, Addresses: 2, FirstSeen: at, LastSeen: at, ExpiresAt: at.In(time.FixedZone("", 3600))},
		{Indicator: indicator(t, "ip:192.0.2.10"), Count: 30, Countries: []string{"ID"}, FirstSeen: at, LastSeen: at, ExpiresAt: at},
		{Indicator: indicator(t, "ip:192.0.2.9"), FirstSeen: at, LastSeen: at, ExpiresAt: at},
		{Indicator: indicator(t, "ip:192.0.2.11"), Challenge: true, Score: 55, Tags: []string{"bot"}, Rules: []string{"c"}, FirstSeen: at, LastSeen: at, ExpiresAt: at},
	})
	for range 2 {
		r.AddRun(detect.Report{Summary: detect.Summary{Notes: []string{"DNS is silent"}}, CampaignList: []detect.CampaignFinding{{Kind: "path", Value: "/works", Rule: "flood-path", Action: "challenge", Clients: 900, Count: 1000, FirstSeen: at, LastSeen: at}}})
	}
	r.SetTarget(report.Target{Kind: "aws-waf", Name: "shop", Title: "AWS WAF", Desired: 1, Enforced: 1, Writes: 3, Calls: 7})
	r.SetTarget(report.Target{Kind: "aws-waf", Name: "shop", Title: "AWS WAF", Desired: 2, Enforced: 2, Writes: 1, Calls: 4})
	r.Took("detect", 1500*time.Millisecond)
	r.AsOf = at
	var b bytes.Buffer
	if err := r.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	const want = `{"rules":[{"id":"a","rows":1,"detections":0},{"id":"b","rows":5,"detections":3}],` +
		`"blocked":[` +
		`{"indicator":"192.0.2.9","kind":"ip","rules":[],"count":0,"first_seen":"2026-05-28T20:26:40Z","last_seen":"2026-05-28T20:26:40Z","countries":[],"accounts":[],"addresses":0,"expires_at":"2026-05-28T20:26:40Z","score":0,"tags":[]},` +
		`{"indicator":"192.0.2.10","kind":"ip","rules":[],"count":30,"first_seen":"2026-05-28T20:26:40Z","last_seen":"2026-05-28T20:26:40Z","countries":["ID"],"accounts":[],"addresses":0,"expires_at":"2026-05-28T20:26:40Z","score":0,"tags":[]},` +
		`{"indicator":"mallory","kind":"account","rules":["a"],"count":0,"first_seen":"2026-05-28T20:26:40Z","last_seen":"2026-05-28T20:26:40Z","countries":[],"accounts":[],"addresses":2,"expires_at":"2026-05-28T20:26:40Z","score":0,"tags":[]}],` +
		`"observed":[{"indicator":"192.0.2.9","kind":"ip","rules":["b"],"count":21,"first_seen":"2026-05-28T20:26:40Z","last_seen":"2026-05-28T20:26:40Z","countries":[],"accounts":[],"addresses":0,"expires_at":"2026-05-28T20:26:40Z","score":0,"tags":[]}],` +
		`"spared":[{"indicator":"203.0.113.10","reason":"office","kind":"ip","count":7}],` +
		`"rejected":[{"value":"999.1.1.1","reason":"not an address","count":25}],` +
		`"targets":[{"kind":"aws-waf","name":"shop","title":"AWS WAF","desired":2,"enforced":2,"overflow":0,"writes":4,"calls":11}],` +
		`"timings_ms":{"detect":1500},"as_of":"2026-05-28T20:26:40Z",` +
		`"input":{"source":"","format":"","lines":0,"left_out":0,"first":"0001-01-01T00:00:00Z","last":"0001-01-01T00:00:00Z"},` +
		`"challenged":[{"indicator":"192.0.2.11","kind":"ip","rules":["c"],"count":0,"first_seen":"2026-05-28T20:26:40Z","last_seen":"2026-05-28T20:26:40Z","countries":[],"accounts":[],"addresses":0,"expires_at":"2026-05-28T20:26:40Z","score":55,"tags":["bot"]}],` +
		`"campaigns":[{"kind":"path","value":"/works","rule":"flood-path","action":"challenge","clients":900,"count":1000,"first_seen":"2026-05-28T20:26:40Z","last_seen":"2026-05-28T20:26:40Z","reason":""}],"notes":["DNS is silent"]}` + "\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestAnEmptyReportHasNoNull(t *testing.T) {
	var b bytes.Buffer
	if err := report.New().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "null") || !json.Valid(b.Bytes()) {
		t.Error(b.String())
	}
}

func TestNothingFromALogReachesTheTerminalRaw(t *testing.T) {
	const evil = "\x1b[2J\u202egpj.exe\r\n\u200b"
	r := report.New()
	r.AddRun(detect.Report{
		Summary:      detect.Summary{Rules: []detect.RuleSummary{{ID: evil}}},
		ObservedList: []detect.Finding{{Indicator: evil, Kind: "account", Rules: []string{evil}}},
		SparedList:   []detect.Finding{{Indicator: evil, Kind: "account", Reason: evil}},
		RejectedList: []detect.Rejected{{Value: evil, Reason: evil}},
	})
	r.SetListed([]blocklist.Entry{{Indicator: indicator(t, "ip:192.0.2.9"), Rules: []string{evil}, Countries: []string{evil}}})
	r.SetTarget(report.Target{Name: evil, Title: evil})
	var b bytes.Buffer
	r.PrintRules(&b)
	r.PrintAccounts(&b, 5)
	r.PrintCountries(&b)
	r.PrintBlocked(&b)
	r.PrintObserved(&b)
	r.PrintSpared(&b)
	r.PrintRejected(&b)
	r.PrintTargets(&b)
	if strings.ContainsAny(b.String(), "\x1b\r\u202e\u200b") {
		t.Errorf("%q", b.String())
	}
}

func TestAccountsAreShortenedOnTheTerminal(t *testing.T) {
	r := report.New()
	r.SetListed([]blocklist.Entry{{Indicator: indicator(t, "account:nbNgQ01wRWiOSVcI2Y/hUw=="), Addresses: 4112, Rules: []string{"sms-account"}}})
	var b bytes.Buffer
	r.PrintAccounts(&b, 4300)
	r.PrintBlocked(&b)
	if strings.Contains(b.String(), "nbNgQ") || !strings.Contains(b.String(), "4,112 addresses → 1 account (nbN…(24)), 96 % of the 4,300 addresses over the limit") {
		t.Error(b.String())
	}
}

func TestWords(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := report.Number(n); got != want {
			t.Errorf("Number(%d) = %q, want %q", n, got, want)
		}
	}
	for text, want := range map[string]string{
		`plain "quoted" back\slash`: `plain "quoted" back\slash`, "tab\there": `tab\there`, "活动": "活动", "\xff": `\xff`, "a\u202eb": `a\u202eb`,
	} {
		if got := report.Safe(text); got != want {
			t.Errorf("Safe(%q) = %q, want %q", text, got, want)
		}
	}
}
