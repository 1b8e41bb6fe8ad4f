package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/threat"
	"github.com/tracewall/tracewall/shared/waf"
)

// nasty is what an attacker, or a cloud, may write anywhere.
const nasty = "x\x1b[31m\u202e\r\ny"

func TestNothingThatExplainPrintsIsRaw(t *testing.T) {
	now := time.Date(2026, 5, 28, 20, 25, 0, 0, time.UTC)
	ind, err := threat.ParseKey("ip:203.0.113.7")
	if err != nil {
		t.Fatal(err)
	}
	e := listed{Indicator: nasty, Source: nasty, Rules: []string{nasty}, Reason: nasty, FirstSeen: now, Countries: []string{nasty}, Accounts: []string{"mallory-the-great", nasty}, Addresses: 3}
	x := explained{
		Asked: "203.0.113.7", Indicator: "203.0.113.7", AsOf: now, Listed: true, ind: ind,
		Entry: &e, Around: []listed{e}, Inside: []string{nasty}, InsideTotal: 2, Allowlisted: nasty,
		Targets: []explainedTarget{{
			Name: nasty, Wall: nasty, State: nasty, Reason: nasty, By: nasty, AsOf: now, Mode: nasty, Behind: true, Error: nasty,
			Held: &waf.Held{Reason: nasty}, Drift: []string{nasty},
			Proof: &waf.Proof{AsOf: now, Reasons: []string{nasty}, WebACLs: []waf.ACLUse{{
				Name: nasty, Rule: nasty, Action: nasty, Behind: []string{nasty}, Ahead: []string{nasty}, Resources: []string{nasty}, ResourceCount: 2,
			}}},
		}},
	}
	x.Case = &toldCase{
		Case: detect.Case{
			Indicator: nasty, Kind: "ip", Verdict: nasty, Mode: nasty, Parts: []detect.Part{{Name: nasty, Text: nasty}}, Reason: nasty, Spared: nasty, Tags: []string{nasty},
			Intelligence: []detect.CaseHit{{Source: nasty, Category: nasty}}, Country: nasty, Network: nasty, Facts: &detect.Facts{},
		},
		Rules: []toldRule{{detect.CaseRule{ID: nasty, Title: nasty, Action: nasty, Reason: nasty, Logstore: nasty, Search: nasty, Query: nasty, Samples: []string{nasty + " mallory-the-great"}, Accounts: []string{"mallory-the-great", nasty}, Addresses: 2}, nasty, ""}, {Note: nasty}},
	}
	var out bytes.Buffer
	x.print(&out, false)
	unblocked{explained: x, Answers: []answer{{"held", nasty, nasty}}, Run: &lastRun{Mode: nasty}}.print(&out, false)
	for i, line := range strings.Split(out.String(), "\n") {
		if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("line %d is raw: %q", i+1, line)
		}
	}
	if strings.Contains(out.String(), "great") || !strings.Contains(out.String(), "mal…(17)") {
		t.Errorf("an account is shown whole:\n%s", &out)
	}
	out.Reset()
	x.print(&out, true)
	if !strings.Contains(out.String(), "mallory-the-great") {
		t.Errorf("--accounts does not show accounts:\n%s", &out)
	}
}

func TestNothingThatSyncAndDetachPrintIsRaw(t *testing.T) {
	var out bytes.Buffer
	syncTarget{
		Result: enforce.Result{Name: "edge", Spared: 1, Pending: 1}, Plan: []string{nasty}, Held: &waf.Held{Reason: nasty}, Drift: []string{nasty},
		Findings: []waf.Finding{{Text: nasty, Fatal: true}}, Notes: []string{nasty}, Rejected: []waf.Rejection{{Value: nasty, Reason: nasty}},
		Proof: &waf.Proof{Reasons: []string{nasty}},
	}.print(&out, "sync")
	syncTarget{Result: enforce.Result{Name: "edge", Skipped: nasty}}.print(&out, "sync")
	detached{Name: nasty, Mode: nasty, Done: []string{nasty}}.print(&out, false)
	for i, line := range strings.Split(out.String(), "\n") {
		if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("line %d is raw: %q", i+1, line)
		}
	}
}

// fakeExplained is a store that knows one Indicator.
type fakeExplained struct {
	about  redisstore.About
	allow  string
	groups []string
	status map[string]string
	kept   string // the case's JSON
}

func (f fakeExplained) About(context.Context, time.Time, threat.Indicator) (redisstore.About, error) {
	return f.about, nil
}

func (f fakeExplained) Allowlist(context.Context) (allowlist.List, error) {
	return allowlist.Parse(strings.NewReader(f.allow))
}

func (f fakeExplained) Groups(context.Context) ([]string, error) { return f.groups, nil }

func (f fakeExplained) Status(_ context.Context, target string) ([]byte, error) {
	if text, ok := f.status[target]; ok {
		return []byte(text), nil
	}
	return nil, blocklist.ErrNoReport
}

func (f fakeExplained) Case(context.Context, threat.Indicator) (blocklist.Case, bool, error) {
	return blocklist.Case{Text: []byte(f.kept)}, f.kept != "", nil
}

func TestEveryTargetHasItsOwnAnswer(t *testing.T) {
	now := time.Date(2026, 5, 28, 20, 25, 0, 0, time.UTC)
	ind, err := threat.ParseKey("ip:203.0.113.7")
	if err != nil {
		t.Fatal(err)
	}
	entry := blocklist.Entry{Indicator: ind, Source: blocklist.SourceDetect, ExpiresAt: now.Add(time.Hour)}
	store := fakeExplained{
		about:  redisstore.About{Generation: 8, Entry: &entry},
		groups: []string{"other-waf:shop", "tencent:old", "aws-waf:broken", "aws-waf:left", "aws-waf:never", "aws-waf:old"},
		status: map[string]string{
			"aws-waf:broken": `{"as_of":`,
			"aws-waf:left":   `{"as_of":"2026-05-28T20:24:00Z","mode":"detached","result":{},"report":{"plan":[],"sets":[]},"entries":{}}`,
			"aws-waf:old":    `{"as_of":"2026-05-28T20:24:00Z","mode":"sync","generation":7,"result":{},"report":{"plan":[],"sets":[]},"entries":{"default":"enforced"}}`,
		},
	}
	a := &app{lookup: func(string) (string, bool) { return "", false }, now: func() time.Time { return now }}
	for _, allowed := range []bool{false, true} {
		if store.allow = ""; allowed {
			store.allow = "203.0.113.0/24 owner=office\n"
		}
		x, err := a.explain(t.Context(), store, ind)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]explainedTarget{}
		for _, target := range x.Targets {
			got[enforce.Key(target.Kind, target.Name)] = target
		}
		want := map[string]enforce.State{
			"aws-waf:broken": stateUnknown, "aws-waf:left": enforce.StatePending, "aws-waf:never": stateUnknown, "aws-waf:old": enforce.StatePending,
			"tencent:old": stateUnknown, // of the same name, and nothing to do with the other
		}
		if len(got) != len(want) {
			t.Errorf("targets = %+v, want those of all clouds", x.Targets)
		}
		for name, state := range want {
			if allowed {
				state = stateSpared
			}
			if got[name].State != state || got[name].Reason == "" {
				t.Errorf("%s (allowlisted: %t) = %+v, want %s and why", name, allowed, got[name], state)
			}
		}
		if !got["aws-waf:old"].Behind || got["aws-waf:left"].Behind {
			t.Errorf("old behind: %t, left behind: %t; want the list's changes told of the one that follows it", got["aws-waf:old"].Behind, got["aws-waf:left"].Behind)
		}
	}
}
