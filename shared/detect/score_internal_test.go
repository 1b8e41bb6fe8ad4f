package detect

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/threat"
)

// by is a detection of a rule that asks for an action.
func by(rule, class string, action threat.Action, count, threshold int64) threat.Detection {
	ind, _ := threat.ParseAddress("192.0.2.7")
	return threat.Detection{Rule: rule, Class: class, Indicator: ind, Action: action, Count: count, Threshold: threshold, Windows: 1, Reason: rule + " says so"}
}

func feeds(names ...string) []threatintel.Hit {
	var all []threatintel.Hit
	for _, n := range names {
		all = append(all, threatintel.Hit{Source: n, Confidence: 60, Category: "scanner"})
	}
	return all
}

func TestScores(t *testing.T) {
	block := by("ssh", "brute force", threat.Block, 20, 15)
	watch := by("errors", "scan", threat.Observe, 101, 100)
	challenge := by("probe", "scan", threat.Challenge, 101, 100)
	for _, c := range []struct {
		name   string
		in     evidence
		score  int
		action threat.Action
		parts  string
	}{
		{"a rule that blocks, and nothing else known", evidence{detections: []threat.Detection{block}}, 80, threat.Block, "rule+80"},
		{"a rule that challenges", evidence{detections: []threat.Detection{challenge}}, 50, threat.Challenge, "rule+50"},
		{"a rule that observes", evidence{detections: []threat.Detection{watch}}, 20, threat.Observe, "rule+20"},
		{"the strongest rule speaks, other classes add to it", evidence{detections: []threat.Detection{watch, block}}, 90, threat.Block, "rule+80 classes+10"},
		{"rules of one class do not", evidence{detections: []threat.Detection{watch, challenge}}, 50, threat.Challenge, "rule+50"},
		{"three times the threshold is loud", evidence{detections: []threat.Detection{by("r", "flood", threat.Block, 45, 15)}}, 85, threat.Block, "rule+80 loud+5"},
		{"ten times is very loud", evidence{detections: []threat.Detection{by("r", "flood", threat.Block, 150, 15)}}, 90, threat.Block, "rule+80 loud+10"},
		{"loudness is of a window, not of all", evidence{detections: []threat.Detection{func() threat.Detection { d := by("r", "flood", threat.Block, 150, 15); d.Windows = 10; return d }()}}, 80, threat.Block, "rule+80"},

		{"one feed alone changes nothing", evidence{detections: []threat.Detection{by("probe", "scan", threat.Challenge, 300, 100), by("e", "bot", threat.Observe, 1, 1), by("f", "flood", threat.Observe, 1, 1)}, hits: feeds("a")}, 79, threat.Challenge, "rule+50 loud+5 classes+20 intelligence+5 capped-1"},
		{"two feeds and a past lift a challenge to a block", evidence{detections: []threat.Detection{challenge}, hits: feeds("a", "b"), history: blocklist.History{Strikes: 2}}, 85, threat.Block, "rule+50 intelligence+15 history+20"},
		{"but an observation to a challenge at most", evidence{detections: []threat.Detection{watch, by("e", "bot", threat.Observe, 1, 1), by("f", "flood", threat.Observe, 1, 1)}, hits: feeds("a", "b", "c"), history: blocklist.History{Strikes: 5}}, 79, threat.Challenge, "rule+20 classes+20 intelligence+25 history+20 capped-6"},
		{"two words of one feed are one", evidence{detections: []threat.Detection{watch}, hits: feeds("a", "a")}, 25, threat.Observe, "rule+20 intelligence+5"},
		{"a feed that is not sure does not count", evidence{detections: []threat.Detection{watch}, hits: []threatintel.Hit{{Source: "a", Confidence: 29}, {Source: "b", Confidence: 30}}}, 25, threat.Observe, "rule+20 intelligence+5"},
		{"a rule that repeats a feed is a feed and no attack", evidence{detections: []threat.Detection{by("unsafe", "intel", threat.Observe, 9, 1), block}, hits: feeds("a")}, 95, threat.Block, "rule+80 intelligence+15"},
		{"many feeds alone block nobody", evidence{detections: []threat.Detection{by("unsafe", "intel", threat.Observe, 9, 1)}, hits: feeds("a", "b", "c", "d"), history: blocklist.History{Strikes: 1}}, 49, threat.Observe, "rule+20 intelligence+25 history+10 capped-6"},

		{"the block that lasts is no earlier one", evidence{detections: []threat.Detection{block}, history: blocklist.History{Listed: true, Strikes: 1}}, 80, threat.Block, "rule+80"},
		{"strikes count ten each, twenty at most", evidence{detections: []threat.Detection{block}, history: blocklist.History{Strikes: 9}}, 100, threat.Block, "rule+80 history+20"},

		{"157 failures and 47 logins are watched", evidence{detections: []threat.Detection{by("ssh", "brute force", threat.Block, 157, 15)}, known: true, facts: Facts{Ordinary: 47, Users: 1, Successes: 47}}, 40, threat.Observe, "rule+80 loud+10 successes-50"},
		{"a few hits among very many failures excuse nothing", evidence{detections: []threat.Detection{by("ssh", "brute force", threat.Block, 1570, 1000)}, known: true, facts: Facts{Successes: 47}}, 80, threat.Block, "rule+80"},
		{"two logins excuse nothing", evidence{detections: []threat.Detection{block}, known: true, facts: Facts{Successes: 2}}, 80, threat.Block, "rule+80"},
		{"an order does not excuse an injection", evidence{detections: []threat.Detection{by("sqli", "web attack", threat.Block, 5, 3)}, known: true, facts: Facts{Successes: 9}}, 80, threat.Block, "rule+80"},
		{"an office is not blocked for one of its own", evidence{detections: []threat.Detection{by("r", "flood", threat.Block, 30, 20)}, known: true, facts: Facts{Ordinary: 60, Users: 5}}, 30, threat.Observe, "rule+80 shared-50"},
		{"nor for a long record, which may be anybody's", evidence{detections: []threat.Detection{by("r", "flood", threat.Block, 300, 20), watch}, known: true, facts: Facts{Ordinary: 600, Users: 5}, hits: feeds("a", "b", "c"), history: blocklist.History{Strikes: 4}}, 79, threat.Challenge, "rule+80 loud+10 classes+10 shared-50 intelligence+25 history+20 capped-16"},
		{"four accounts are no office", evidence{detections: []threat.Detection{by("r", "flood", threat.Block, 30, 20)}, known: true, facts: Facts{Ordinary: 600, Users: 4}}, 80, threat.Block, "rule+80"},
		{"nor are five who hardly behave", evidence{detections: []threat.Detection{by("r", "flood", threat.Block, 30, 20)}, known: true, facts: Facts{Ordinary: 59, Users: 5}}, 80, threat.Block, "rule+80"},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := score(c.in)
			var parts []string
			sum := 0
			for _, p := range j.Parts {
				parts = append(parts, p.Name+map[bool]string{true: "+", false: ""}[p.Points >= 0]+strings.TrimSpace(strings.Join([]string{itoa(p.Points)}, "")))
				sum += p.Points
				if p.Text == "" {
					t.Errorf("part %s has no words", p.Name)
				}
			}
			if got := strings.Join(parts, " "); got != c.parts || j.Score != c.score || j.Action != c.action || sum != j.Score {
				t.Errorf("score = %d, %s: %s (sum %d)\nwant    %d, %s: %s", j.Score, j.Action, got, sum, c.score, c.action, c.parts)
			}
		})
	}
}

func itoa(n int) string {
	text := ""
	if n < 0 {
		text, n = "-", -n
	}
	if n >= 10 {
		text += itoa(n / 10)
	}
	return text + string(rune('0'+n%10))
}

// Whatever is known: the parts add up to the score, the score says the action, one
// feed changes no action, intelligence and history lift by a step at most, and
// whoever people share is not blocked.
func TestGuardsOfTheScoreHoldForAnyEvidence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		classes := rapid.SampledFrom([]string{"flood", "brute force", "scan", "bot", "web attack", "exploit"})
		actions := rapid.SampledFrom([]threat.Action{threat.Observe, threat.Challenge, threat.Block})
		var e evidence
		for i := range rapid.IntRange(1, 4).Draw(t, "rules") {
			d := by("r"+itoa(i), classes.Draw(t, "class"), actions.Draw(t, "action"), rapid.Int64Range(1, 1e6).Draw(t, "count"), rapid.Int64Range(0, 1000).Draw(t, "threshold"))
			d.Windows = rapid.IntRange(1, 50).Draw(t, "windows")
			e.detections = append(e.detections, d)
		}
		plain := score(e)
		e.known, e.facts = true, Facts{Ordinary: rapid.Int64Range(0, math.MaxInt64).Draw(t, "ordinary"), Users: rapid.IntRange(0, 50).Draw(t, "users"), Successes: rapid.Int64Range(0, 1e6).Draw(t, "successes")}
		e.history = blocklist.History{Strikes: rapid.IntRange(0, 9).Draw(t, "strikes"), Listed: rapid.Bool().Draw(t, "listed")}
		without := score(e)
		e.hits = feeds([]string{"a", "b", "c", "d"}[:rapid.IntRange(0, 4).Draw(t, "feeds")]...)
		j := score(e)
		sum := 0
		excused := false
		for _, p := range j.Parts {
			sum += p.Points
			excused = excused || p.Name == "shared" || p.Name == "successes"
		}
		switch {
		case sum != j.Score || j.Score < 0 || j.Score > 100 || j.Action != actionFor(j.Score):
			t.Fatalf("score %d of parts %v says %s", j.Score, j.Parts, j.Action)
		case len(e.hits) == 1 && j.Action != without.Action:
			t.Fatalf("one feed made %s of %s: %v", j.Action, without.Action, j.Parts)
		case j.Action > plain.Action+1:
			t.Fatalf("%s of %s: more than a step: %v", j.Action, plain.Action, j.Parts)
		case excused && j.Action == threat.Block:
			t.Fatalf("blocked although people share it: %v", j.Parts)
		}
	})
}

func TestReasonsNameTheStrongestRuleAndStayShort(t *testing.T) {
	e := evidence{detections: []threat.Detection{by("errors", "scan", threat.Observe, 1, 1), by("ssh", "brute force", threat.Block, 1, 1)}, hits: feeds("a", "b")}
	if got := score(e).Reason; got != "ssh says so; also errors; named by 2 feeds" {
		t.Errorf("reason = %q", got)
	}
	e.detections[1].Reason = strings.Repeat("很", 100)
	if got := score(e).Reason; len(got) > maxReason {
		t.Errorf("reason has %d bytes", len(got))
	}
	if diff := cmp.Diff([]string{"brute force", "scan", "scanner"}, score(e).Tags); diff != "" {
		t.Error(diff)
	}
}

func TestTheBrakeSaysWhyItHolds(t *testing.T) {
	many := func(n int, prefix, country string, ordinary int64) []Judgement {
		var all []Judgement
		for i := range n {
			ind, err := threat.ParseAddress(prefix + itoa(i/250) + "." + itoa(i%250))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, Judgement{Indicator: ind, Facts: &Facts{Ordinary: ordinary}, Detections: []threat.Detection{{Countries: []string{country}}}})
		}
		return all
	}
	account, _ := threat.Account("a")
	for _, c := range []struct {
		name  string
		brake Brake
		load  load
		want  string
	}{
		{"no limit is set", Brake{}, load{fresh: many(500, "20.0.", "ID", 100), size: 1000, ordinary: 1000}, ""},
		{"as many as allowed", Brake{MaxNew: 10}, load{fresh: many(10, "20.0.", "ID", 0)}, ""},
		{"one more", Brake{MaxNew: 10}, load{fresh: many(11, "20.0.", "ID", 0)}, "11 indicators would be new"},
		{"a list that doubles", Brake{MaxGrowth: 99}, load{fresh: many(1000, "20.0.", "ID", 0), size: 1000}, "would grow by 100 %"},
		{"just as much as allowed", Brake{MaxGrowth: 100}, load{fresh: many(1000, "20.0.", "ID", 0), size: 1000}, ""},
		{"a short list may double", Brake{MaxGrowth: 99}, load{fresh: many(999, "20.0.", "ID", 0), size: 999}, ""},
		{"an empty list may begin", Brake{MaxGrowth: 1}, load{fresh: many(999, "20.0.", "ID", 0)}, ""},
		{"one country", Brake{MaxCountry: 9}, load{fresh: many(10, "20.0.", "ID", 0)}, "10 new indicators are of one country, ID"},
		{"no country", Brake{MaxCountry: 9}, load{fresh: []Judgement{{Indicator: account, Detections: []threat.Detection{{Countries: []string{"ID"}}}}}}, ""},
		{"one network", Brake{MaxNetwork: 9}, load{fresh: many(10, "20.1.", "ID", 0)}, "10 new indicators are of one network, 20.1.0.0/16"},
		{"two networks", Brake{MaxNetwork: 9}, load{fresh: append(many(9, "20.1.", "ID", 0), many(9, "20.2.", "ID", 0)...)}, ""},
		{"half of everybody's requests", Brake{MaxShare: 5}, load{fresh: many(10, "20.1.", "ID", 50), ordinary: 1000}, "50 % of the ordinary requests"},
		{"a twentieth", Brake{MaxShare: 5}, load{fresh: many(10, "20.1.", "ID", 5), ordinary: 1000}, ""},
		{"half of hardly any", Brake{MaxShare: 5}, load{fresh: many(10, "20.1.", "ID", 49), ordinary: 999}, ""},
	} {
		if got := c.brake.holds(c.load); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestATrialIsOverWhenItWasCleanForLongEnough(t *testing.T) {
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	rule := Rule{ID: "new", Version: 2, Action: threat.Observe, Trial: &Trial{For: 72 * time.Hour, Then: threat.Block}}
	j := Judgement{Indicator: by("new", "scan", threat.Observe, 1, 1).Indicator, Detections: []threat.Detection{by("new", "scan", threat.Observe, 1, 1)}}
	shared := j
	shared.Parts = []Part{{Name: "shared", Text: "an office"}}
	m := memory{trials: map[string]TrialState{"new": {Version: 1, Since: start.Add(-time.Hour * 1000), Runs: 9}}, asked: map[string]time.Time{}}
	action := func(at time.Time) threat.Action { return m.promoted([]Rule{rule}, at)[0].Action }
	if action(start) != threat.Observe {
		t.Fatal("another version's trial counts")
	}
	m.watch([]outcome{{rule: rule}}, []Judgement{j}, start)
	if s := m.trials["new"]; s != (TrialState{Version: 2, Since: start, Runs: 1, Would: 1}) {
		t.Errorf("state = %+v", s)
	}
	if action(start.Add(72*time.Hour-time.Second)) != threat.Observe || action(start.Add(72*time.Hour)) != threat.Block {
		t.Error("a clean trial is not over after 72 h, or is before")
	}
	later := start.Add(10 * time.Hour)
	m.watch([]outcome{{rule: rule}}, []Judgement{j, shared}, later)
	if s := m.trials["new"]; s.Collateral != 1 || !s.Since.Equal(later) || !strings.Contains(s.Last, "an office") {
		t.Errorf("state = %+v, want a trial that begins anew", s)
	}
	if action(start.Add(72*time.Hour)) != threat.Observe {
		t.Error("promoted in spite of collateral")
	}
	m.watch([]outcome{{rule: rule, err: ErrRequest}}, []Judgement{j}, later)
	if m.trials["new"].Runs != 2 {
		t.Error("a run that failed counts")
	}
	if (TrialState{Version: 2, Since: start}).Over(rule, start.Add(1000*time.Hour)) {
		t.Error("a trial that never ran is over")
	}
}

func TestRulesThatAreAskedSeldomWaitForTheirSlot(t *testing.T) {
	rule := Rule{ID: "slow", Every: 10 * time.Minute}
	m := memory{trials: map[string]TrialState{}, asked: map[string]time.Time{}}
	start := time.Date(2026, 11, 1, 0, 3, 0, 0, time.UTC)
	var asked []string
	for i := range 25 {
		now := start.Add(time.Duration(i) * time.Minute)
		if due := m.due([]Rule{rule}, now); len(due) == 1 {
			asked = append(asked, now.Format("15:04"))
			m.watch([]outcome{{rule: rule}}, nil, now)
		}
	}
	if got := strings.Join(asked, " "); got != "00:03 00:10 00:20" {
		t.Errorf("asked at %s", got)
	}
}
