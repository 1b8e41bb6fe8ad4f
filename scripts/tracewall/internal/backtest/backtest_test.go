package backtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/threat"
)

var begins = time.Date(2026, 3, 1, 7, 30, 0, 0, time.UTC)

func address(t *testing.T, text string) threat.Indicator {
	t.Helper()
	ind, err := threat.ParseLogAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return ind.Unit()
}

func judged(t *testing.T, who string, action threat.Action, change ...func(*detect.Judgement)) detect.Judgement {
	t.Helper()
	j := detect.Judgement{
		Indicator: address(t, who), Action: action, Score: 80, Parts: []detect.Part{{Name: "rule", Points: 80, Text: "r asks to block"}}, Reason: "12 requests",
		Detections: []threat.Detection{{Rule: "r", Class: "scan", Action: threat.Block, Count: 12, Windows: 2, FirstSeen: begins, LastSeen: begins.Add(time.Minute), Countries: []string{"CN"}}},
	}
	for _, c := range change {
		c(&j)
	}
	return j
}

func in(t *testing.T, change func(*In)) In {
	t.Helper()
	rule := detect.Rule{ID: "r", Version: 3, Title: "A rule", Class: "scan", Action: threat.Block}
	i := In{
		Source: Source{Kind: "file", Names: []string{"access.log"}, Format: "combined", From: begins, To: begins.Add(80 * time.Hour), Lines: 1000},
		Rules:  []detect.Rule{rule}, Files: []detect.Rule{rule}, Asked: []detect.RuleSummary{{ID: "r", Rows: 4}},
	}
	change(&i)
	return i
}

func TestCollateralIsWhomRulesWouldHitAndShouldNot(t *testing.T) {
	ranges, err := ReadRanges(strings.NewReader("66.249.64.0/19 googlebot # of theirs\n2001:db8:7::1 single\n\n"))
	if err != nil {
		t.Fatal(err)
	}
	facts := func(f detect.Facts) func(*detect.Judgement) { return func(j *detect.Judgement) { j.Facts = &f } }
	observing := func(j *detect.Judgement) { j.Detections[0].Action = threat.Observe }
	for _, c := range []struct {
		name   string
		j      detect.Judgement
		claims []string
		want   string
	}{
		{"an attacker is none", judged(t, "203.0.113.1", threat.Block), nil, ""},
		{"one login that worked", judged(t, "203.0.113.1", threat.Block, facts(detect.Facts{Successes: 1})), nil, "successes"},
		{"a success that a detection saw", judged(t, "203.0.113.1", threat.Block, func(j *detect.Judgement) { j.Detections[0].Successes = 2 }), nil, "successes"},
		{"five accounts that behave", judged(t, "203.0.113.1", threat.Block, facts(detect.Facts{Users: 5})), nil, "shared"},
		{"four are a family", judged(t, "203.0.113.1", threat.Block, facts(detect.Facts{Users: 4})), nil, ""},
		{"what the score has found", judged(t, "203.0.113.1", threat.Challenge, func(j *detect.Judgement) {
			j.Parts = append(j.Parts, detect.Part{Name: "shared", Points: -50, Text: "shared"})
		}), nil, "shared"},
		{"in a published range", judged(t, "66.249.66.1", threat.Block), nil, "crawler"},
		{"a /64 around a published address", judged(t, "2001:db8:7::2", threat.Block), nil, "crawler"},
		{"on the allowlist", judged(t, "203.0.113.1", threat.Block, func(j *detect.Judgement) { j.Spared = "partner" }), nil, "allowlisted"},
		{"a claim proves nothing", judged(t, "203.0.113.1", threat.Block), []string{"Googlebot"}, "claims?"},
		{"all at once, the surest first", judged(t, "66.249.66.1", threat.Block, facts(detect.Facts{Successes: 9, Users: 9})), []string{"Googlebot"}, "crawler successes shared claims"},
		{"rules that only observe hurt nobody", judged(t, "66.249.66.1", threat.Observe, observing), nil, ""},
	} {
		i := in(t, func(i *In) {
			i.Ranges, i.Claims = ranges, map[threat.Indicator][]string{c.j.Indicator: c.claims}
			switch {
			case c.j.Spared != "":
				i.Verdicts.Spared = []detect.Judgement{c.j}
			case c.j.Action == threat.Block:
				i.Verdicts.Block = []detect.Judgement{c.j}
			case c.j.Action == threat.Challenge:
				i.Verdicts.Challenge = []detect.Judgement{c.j}
			default:
				i.Verdicts.Observe = []detect.Judgement{c.j}
			}
		})
		r := New(i)
		var got []string
		for _, x := range r.Collateral {
			for _, w := range x.Why {
				got = append(got, w.Kind)
			}
			if !x.Proven {
				got = append(got, "?")
			}
			if harmed := c.j.Spared == "" && c.j.Action >= threat.Challenge; x.Harmed != harmed {
				t.Errorf("%s: harmed %v, want %v", c.name, x.Harmed, harmed)
			}
		}
		if text := strings.ReplaceAll(strings.Join(got, " "), " ?", "?"); text != c.want {
			t.Errorf("%s: %q, want %q", c.name, text, c.want)
		}
	}
}

func TestPromotion(t *testing.T) {
	trial := func(i *In) {
		i.Files[0].Action, i.Files[0].Trial = threat.Observe, &detect.Trial{For: 72 * time.Hour, Then: threat.Block}
	}
	hit := func(i *In) { i.Verdicts.Block = []detect.Judgement{judged(t, "203.0.113.1", threat.Block)} }
	for _, c := range []struct {
		name     string
		change   func(*In)
		possible bool
		want     string
	}{
		{"clean over the trial's time", func(i *In) { trial(i); hit(i) }, true, "clean over 3.3 days, in which it would have acted on 1"},
		{"clean, and nobody to act on", trial, true, "acted on nobody"},
		{"too short a log", func(i *In) { trial(i); hit(i); i.Source.To = begins.Add(71 * time.Hour) }, false, "over 3.0 days of the 3.0 days"},
		{"collateral", func(i *In) {
			trial(i)
			i.Verdicts.Spared = []detect.Judgement{judged(t, "203.0.113.1", threat.Block, func(j *detect.Judgement) { j.Spared = "partner" })}
		}, false, "1 of those"},
		{"a claim is no collateral", func(i *In) {
			trial(i)
			hit(i)
			i.Claims = map[threat.Indicator][]string{address(t, "203.0.113.1"): {"Googlebot"}}
		}, true, "clean"},
		{"lines that were not counted", func(i *In) { trial(i); i.Source.Late = 1 }, false, "came too late"},
		{"it blocks already", hit, false, "blocks already"},
		{"judged as it stands", func(i *In) { trial(i); i.Rules[0].Action = threat.Observe }, false, "--rule r"},
		{"no trial", func(i *In) { i.Files[0].Action, i.Rules[0].Action = threat.Challenge, threat.Challenge }, false, "--as block"},
		{"no trial, but judged as more", func(i *In) { i.Files[0].Action = threat.Challenge }, true, "clean"},
	} {
		i := in(t, func(*In) {})
		i.Files = []detect.Rule{i.Files[0]}
		i.Rules = []detect.Rule{i.Rules[0]}
		c.change(&i)
		p := New(i).Rules[0].Promotion
		if p.Possible != c.possible || !strings.Contains(p.Reason, c.want) {
			t.Errorf("%s: %+v, want %v, %q", c.name, p, c.possible, c.want)
		}
	}
}

func TestTotalsCountEachIndicatorOnce(t *testing.T) {
	r := New(in(t, func(i *In) {
		two := func(j *detect.Judgement) {
			j.Detections = append(j.Detections, threat.Detection{Rule: "s", Class: "flood", Action: threat.Challenge, Count: 99, FirstSeen: begins.Add(-2 * time.Hour), LastSeen: begins})
		}
		i.Rules = append(i.Rules, detect.Rule{ID: "s", Class: "flood", Action: threat.Challenge}, detect.Rule{ID: "facts", Class: detect.ClassContext})
		i.Files = i.Rules
		i.Verdicts = detect.Verdicts{
			Block: []detect.Judgement{judged(t, "203.0.113.1", threat.Block, two)}, Challenge: []detect.Judgement{judged(t, "203.0.113.2", threat.Challenge)},
			Observe: []detect.Judgement{judged(t, "203.0.113.3", threat.Observe, func(j *detect.Judgement) { j.Detections[0].Countries = nil })},
		}
		i.Listed = map[threat.Indicator]string{address(t, "203.0.113.1"): Block}
	}))
	tt := r.Totals
	if tt.Block != 1 || tt.Challenge != 1 || tt.Observe != 1 || *tt.Already != 1 || *tt.New != 1 {
		t.Errorf("totals %+v", tt)
	}
	if got := fmt.Sprint(tt.ByRule, tt.ByClass, tt.ByCountry); got != "[{r 1 1 1} {s 1 0 0}] [{scan 1 1 1} {flood 1 0 0}] [{CN 1 1 0} {unknown 0 0 1}]" {
		t.Error(got)
	}
	if len(tt.ByTime) != 3 || tt.ByTime[0].Block != 1 || tt.ByTime[1].Sum() != 0 || tt.ByTime[2].Sum() != 2 || tt.BucketSize != "1h" {
		t.Errorf("by time %+v, want hours, the empty one between included", tt.ByTime)
	}
	if len(r.Rules) != 2 || r.Rules[0].Rows != 4 || r.Rules[1].Block != 1 {
		t.Errorf("rules %+v, want the two that accuse", r.Rules)
	}
	long := New(in(t, func(i *In) { i.Source.To = begins.Add(400 * 24 * time.Hour) }))
	if long.Totals.BucketSize != "7d" {
		t.Errorf("over 400 days a bucket is %s", long.Totals.BucketSize)
	}
}

func TestRangesThatAreNoneAreRefusedByLine(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8 x\nnonsense y\n":               "line 2: nonsense",
		"0.0.0.0/0 everybody\n":                    "line 1",
		"\x1b[31m x\n":                             `line 1: \x1b[31m`,
		strings.Repeat("x", maxRangeLine+1) + "\n": "too long",
	} {
		if _, err := ReadRanges(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v, want %q", text, err, want)
		}
	}
}

// A file is there whole or as it was before.
func TestWriteFileIsAllOrNothing(t *testing.T) {
	name := filepath.Join(t.TempDir(), "page.html")
	write := func(text string, err error) error {
		return WriteFile(name, func(w io.Writer) error {
			_, _ = io.WriteString(w, text)
			return err
		})
	}
	if err := write("first", nil); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := write("half of the sec", broken); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(name); err != nil || string(text) != "first" {
		t.Errorf("%q, %v", text, err)
	}
	if all, err := os.ReadDir(filepath.Dir(name)); err != nil || len(all) != 1 {
		t.Errorf("%v, %v: something was left behind", all, err)
	}
	if err := WriteFile(filepath.Join(t.TempDir(), "none", "page.html"), func(io.Writer) error { return nil }); err == nil {
		t.Error("written into a folder that is not there")
	}
}

func TestAnEmptyResultIsAWholeOne(t *testing.T) {
	r := New(In{})
	var b bytes.Buffer
	if err := errors.Join(r.WriteJSON(&b), r.WriteTable(io.Discard), r.WritePage(io.Discard)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "null") {
		t.Errorf("a list is null: %s", b.String())
	}
}
