package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/threat"
)

var asOf = time.Date(2026, 5, 28, 20, 25, 0, 0, time.UTC)

func envOf(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
}

func shippedRule(t *testing.T, id string) detect.Rule {
	t.Helper()
	rules, err := chooseRules("", []string{id})
	if err != nil {
		t.Fatal(err)
	}
	return rules[0]
}

func hashOf(t *testing.T, r detect.Rule, dialect string, m detect.Mapping) string {
	t.Helper()
	in, ok := r.In(dialect)
	if !ok {
		t.Fatalf("%s does not run on %s", r.ID, dialect)
	}
	in, err := in.WithFields(m)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(in.SQL()))
	return hex.EncodeToString(sum[:])
}

func TestTheTextOfAQueryIsToldOnlyIfItsHashIsTheOneThatWasAsked(t *testing.T) {
	r := shippedRule(t, "requests-address")
	alb, err := detect.MappingOf("alb", nil)
	if err != nil {
		t.Fatal(err)
	}
	own := detect.Mapping{"address": "peer"}
	for name, tt := range map[string]struct {
		rule       detect.CaseRule
		env        map[string]string
		text, note string
	}{
		"as it is shipped, on SLS":                  {detect.CaseRule{ID: r.ID, Version: r.Version, Query: hashOf(t, r, detect.SLS, nil)}, nil, `"remote_addr"`, ""},
		"as it is shipped, on CLS":                  {detect.CaseRule{ID: r.ID, Version: r.Version, Query: hashOf(t, r, detect.CLS, nil)}, nil, "__TIMESTAMP__", ""},
		"with a ready-made mapping":                 {detect.CaseRule{ID: r.ID, Version: r.Version, Query: hashOf(t, r, detect.SLS, alb)}, nil, `"client_ip"`, ""},
		"with a name that the environment says":     {detect.CaseRule{ID: r.ID, Version: r.Version, Query: hashOf(t, r, detect.SLS, own)}, map[string]string{"FIELD_ADDRESS": "peer"}, `"peer"`, ""},
		"with a name that nobody says":              {detect.CaseRule{ID: r.ID, Version: r.Version, Query: hashOf(t, r, detect.SLS, own)}, nil, "", "set its FIELDS"},
		"of another version":                        {detect.CaseRule{ID: r.ID, Version: r.Version + 1, Query: hashOf(t, r, detect.SLS, nil)}, nil, "", "and version"},
		"of a rule that is not part of the program": {detect.CaseRule{ID: "mine", Version: 1}, nil, "", "not part of this program"},
	} {
		a := &app{lookup: envOf(tt.env)}
		text, note := a.queryOf(tt.rule)
		if (text == "") != (tt.text == "") || !strings.Contains(text, tt.text) || (note == "") != (tt.note == "") || !strings.Contains(note, tt.note) {
			t.Errorf("a query %s = %q, %q; want %q, %q", name, text, note, tt.text, tt.note)
		}
	}
}

func TestACaseThatCannotBeReadIsToldAndTheRestStays(t *testing.T) {
	ind, err := threat.ParseKey("ip:203.0.113.7")
	if err != nil {
		t.Fatal(err)
	}
	a := &app{lookup: envOf(nil), now: func() time.Time { return asOf }}
	x, err := a.explain(t.Context(), fakeExplained{kept: `{"score":"high"}`}, ind)
	if err != nil || x.Case != nil || !strings.Contains(x.CaseNote, "cannot be read") {
		t.Errorf("case = %+v, note %q, error %v", x.Case, x.CaseNote, err)
	}
}

func TestALineOfTheLogsIsCutOnATerminal(t *testing.T) {
	var out bytes.Buffer
	x := explained{Case: &toldCase{Rules: []toldRule{{CaseRule: detect.CaseRule{Samples: []string{strings.Repeat("é", 500)}}}}}}
	x.printCase(&out, false)
	if n := strings.Count(out.String(), "é"); n != maxShownSample || !strings.Contains(out.String(), "é…\n") {
		t.Errorf("%d characters of a line are shown, want %d and a mark", n, maxShownSample)
	}
}

// answersFor is what why-not says, as "reason: text".
func answersFor(t *testing.T, u unblocked, trials trialStates) []string {
	t.Helper()
	u.AsOf = asOf
	if u.rule == nil {
		u.rule = detect.ShippedRule
	}
	if u.ind.Kind() == 0 {
		ind, err := threat.ParseKey("ip:203.0.113.7")
		if err != nil {
			t.Fatal(err)
		}
		u.ind = ind
	}
	if u.Run == nil {
		u.Run = &lastRun{AsOf: asOf.Add(-time.Minute), Mode: detect.ModeEnforce}
	}
	var all []string
	for _, a := range u.answer(trials) {
		all = append(all, a.Reason+": "+a.Text)
	}
	return all
}

func caseOf(verdict string, score int, parts ...detect.Part) *toldCase {
	return &toldCase{Case: detect.Case{Verdict: verdict, Score: score, Parts: parts, At: asOf, Mode: detect.ModeEnforce}}
}

func TestWhyNotSaysWhatIsMissing(t *testing.T) {
	hour := asOf.Add(time.Hour)
	for name, tt := range map[string]struct {
		u    unblocked
		want []string // each the beginning of an answer, in order
	}{
		"nobody named it":         {unblocked{}, []string{"unnamed: no rule has named it"}},
		"a little too quiet":      {unblocked{explained: explained{Case: caseOf("observe", 45)}}, []string{"watched: its score was 45 at 2026-05-28 20:25:00Z, 5 short of a challenge and 35 short of a block"}},
		"people behind it behave": {unblocked{explained: explained{Case: caseOf("observe", 30, detect.Part{Name: "shared", Points: -50, Text: "9 accounts behave"})}}, []string{"watched: its score was 30 at 2026-05-28 20:25:00Z, 20 short of a challenge and 50 short of a block; -50 for 9 accounts behave"}},
		"challenged":              {unblocked{explained: explained{Listed: true, Entry: &listed{Challenge: true, Score: 62}, Targets: []explainedTarget{{Kind: "aws-waf", Name: "shop", State: enforce.StateEnforced}}}}, []string{"challenged: it is on the list to be challenged: a browser passes, a program does not; its score is 62, 18 short of a block", "enforced: it is blocked, on aws-waf shop"}},
		"blocked after all":       {unblocked{explained: explained{Listed: true, Entry: &listed{}, Targets: []explainedTarget{{Kind: "aws-waf", Name: "shop", State: enforce.StateEnforced}}}}, []string{"enforced: it is blocked, on aws-waf shop"}},
		"no room on the wall":     {unblocked{explained: explained{Listed: true, Entry: &listed{}, Targets: []explainedTarget{{Kind: "tencent", Name: "sg", State: enforce.StateOverflow, Reason: "100 rules"}}}}, []string{"pending: tencent sg: overflow, 100 rules"}},
		"no wall at all":          {unblocked{explained: explained{Listed: true, Entry: &listed{}}}, []string{"pending: it is on the list, and no firewall target is known"}},
		"let go, and cooling off": {unblocked{explained: explained{Past: past{UnblockedAt: &asOf, CoolOff: &hour}}}, []string{"unblocked: an operator let it go at 2026-05-28 20:25:00Z; until 2026-05-28 21:25:00Z", "unnamed"}},
		"its term is over":        {unblocked{explained: explained{Past: past{EndedAt: &asOf}, Case: caseOf("block", 90)}}, []string{"ended: its last block ended at 2026-05-28 20:25:00Z"}},
		"detect has stopped":      {unblocked{Run: &lastRun{AsOf: asOf.Add(-2 * time.Hour)}}, []string{"unnamed", "idle: the last run of detect was 2h 0m ago"}},
		"the last run failed":     {unblocked{Run: &lastRun{AsOf: asOf, Error: "logs: incomplete"}}, []string{"unnamed", "idle: the last run of detect, at 2026-05-28 20:25:00Z, failed at least in part: logs: incomplete"}},
		"forged": {
			unblocked{Run: &lastRun{AsOf: asOf, RejectedList: []detect.Rejected{{Value: "203.0.113.7", Reason: "private address", Count: 41}}}},
			[]string{"rejected: in the last run its 41 lines named nobody", "unnamed"},
		},
		"an account of that name is not the address": {unblocked{Run: &lastRun{AsOf: asOf, ObservedList: []briefFinding{{Indicator: "203.0.113.7", Kind: "account"}}}}, []string{"unnamed"}},
	} {
		got := answersFor(t, tt.u, nil)
		ok := len(got) == len(tt.want)
		for i := range tt.want {
			ok = ok && strings.HasPrefix(got[i], tt.want[i])
		}
		if !ok {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestWhyNotTellsThatARuleIsInTrial(t *testing.T) {
	rule := detect.Rule{ID: "new-rule", Version: 3, Trial: &detect.Trial{For: 72 * time.Hour, Then: threat.Block}}
	u := unblocked{explained: explained{Case: caseOf("observe", 20)}}
	u.rule = func(id string) (detect.Rule, bool, error) { return rule, id == rule.ID, nil }
	u.Case.Rules = []toldRule{{CaseRule: detect.CaseRule{ID: rule.ID, Action: "observe"}}, {CaseRule: detect.CaseRule{ID: "mine", Action: "observe"}}}
	got := answersFor(t, u, trialStates{rule.ID: {Version: 3, Since: asOf.Add(-time.Minute), Runs: 3}})
	if len(got) != 2 || !strings.HasPrefix(got[1], "trial: rule new-rule is in trial: observes until it was clean for 3d, then asks for block; clean since 2026-05-28 20:24:00Z") {
		t.Errorf("answers = %q", got)
	}
	if got := answersFor(t, u, trialStates{rule.ID: {Version: 3, Since: asOf.Add(-72 * time.Hour), Runs: 3}}); len(got) != 1 {
		t.Errorf("answers after the trial = %q", got)
	}
}

// A million entries or a case of 16 KB: one look-up is a few commands.
func BenchmarkExplain(b *testing.B) {
	benchmarkExplained(b, func(a *app, store *redisstore.Store, ind threat.Indicator) error {
		x, err := a.explain(b.Context(), store, ind)
		if err != nil || x.Case == nil || x.Entry == nil {
			return err
		}
		x.print(&bytes.Buffer{}, false)
		return nil
	})
}

func BenchmarkWhyNot(b *testing.B) {
	benchmarkExplained(b, func(a *app, store *redisstore.Store, ind threat.Indicator) error {
		x, err := a.explain(b.Context(), store, ind)
		if err != nil {
			return err
		}
		var run lastRun
		if _, err := readLastRun(b.Context(), store, &run); err != nil {
			return err
		}
		u := unblocked{explained: x, Run: &run, rule: detect.ShippedRule}
		u.Answers = u.answer(nil)
		u.print(&bytes.Buffer{}, false)
		return nil
	})
}

// benchmarkExplained seeds a list of 100,000 entries, a whole case and the longest report.
func benchmarkExplained(b *testing.B, ask func(*app, *redisstore.Store, threat.Indicator) error) {
	store, ind := seeded(b, 100_000)
	a := &app{lookup: envOf(nil), now: time.Now}
	b.ResetTimer()
	for b.Loop() {
		if err := ask(a, store, ind); err != nil {
			b.Fatal(err)
		}
	}
	if per := b.Elapsed() / time.Duration(b.N); per > time.Second {
		b.Errorf("%s: want an answer in under a second", per)
	}
}

// largestReport is as long as a stored report gets.
func largestReport(b *testing.B) []byte {
	b.Helper()
	r := detect.Report{Summary: detect.Summary{Run: "r", Mode: detect.ModeEnforce, AsOf: asOf}}
	for i := range detect.MaxListed {
		f := detect.Finding{Indicator: indicatorOf(i).String(), Kind: "ip", Rules: []string{"rate-limit-address"}, Reason: "41 requests over the rate limit in 1 window of 2m, last 13:58 UTC", Parts: []detect.Part{{Name: "rule", Points: 20, Text: "rate-limit-address asks to observe"}}}
		r.BlockedList, r.ObservedList, r.SparedList = append(r.BlockedList, f), append(r.ObservedList, f), append(r.SparedList, f)
	}
	text, err := json.Marshal(r)
	if err != nil {
		b.Fatal(err)
	}
	return text
}

func seeded(b *testing.B, n int) (*redisstore.Store, threat.Indicator) {
	b.Helper()
	store := benchStore(b)
	now := time.Now()
	for from := 0; from < n; from += 10_000 {
		batch := blocklist.Batch{Run: "bench", Now: now}
		for i := from; i < min(n, from+10_000); i++ {
			batch.Offences = append(batch.Offences, blocklist.Offence{
				Entry: blocklist.Entry{Indicator: indicatorOf(i), Source: blocklist.SourceDetect, Reason: "41 requests over the rate limit", FirstSeen: now, LastSeen: now},
				At:    now, Term: time.Hour,
			})
		}
		if _, err := store.Put(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	if err := store.SaveRun(b.Context(), "r", largestReport(b)); err != nil {
		b.Fatal(err)
	}
	c := detect.Case{Indicator: indicatorOf(7).String(), Kind: "ip", Verdict: "block", Score: 90}
	for range 15 {
		c.Rules = append(c.Rules, detect.CaseRule{ID: "requests-address", Version: 2, Query: strings.Repeat("0", 64), Samples: []string{strings.Repeat("x", 700)}})
	}
	text, err := json.Marshal(c)
	if err != nil {
		b.Fatal(err)
	}
	if err := store.SaveCases(b.Context(), []blocklist.Case{{Indicator: indicatorOf(7), At: now, Keep: time.Hour, Text: text}}); err != nil {
		b.Fatal(err)
	}
	return store, indicatorOf(7)
}
