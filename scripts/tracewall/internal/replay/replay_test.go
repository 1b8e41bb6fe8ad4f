//go:build cgo

package replay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/sls/slstest"
	"github.com/tracewall/tracewall/shared/threat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Lines of these tests: seconds, address, account, path, with tabs between them.
var testFields = []string{"ip", "account", "path"}

func parseTest(line []byte, values [][]byte) (int64, bool) {
	cells := bytes.Split(line, []byte("\t"))
	if len(cells) != 4 {
		return 0, false
	}
	copy(values, cells[1:])
	if len(cells[0]) == 0 {
		return 0, true
	}
	n, err := strconv.ParseInt(string(cells[0]), 10, 64)
	return n, err == nil
}

type testLine struct {
	at            int64
	ip, acct, pth string
}

func (l testLine) String() string { return fmt.Sprintf("%d\t%s\t%s\t%s\n", l.at, l.ip, l.acct, l.pth) }

func input(name string, start int64, text io.Reader) Input {
	return Input{Name: name, Fields: testFields, Start: start, Text: text, Parse: parseTest}
}

func ruleAddress(id string, window, over time.Duration, threshold int64) detect.Rule {
	r := detect.Rule{
		ID: id, Version: 1, Class: "flood", Counted: "requests", Action: threat.Block, Term: time.Hour, Severity: threat.High,
		Window: window, Over: over, Threshold: threshold, Subject: detect.Subject{Kind: threat.KindAddress, Column: "ip"},
		Columns: detect.Columns{Count: "cnt", Window: "w", FirstSeen: "first", LastSeen: "last"},
		Query:   `* | select ip, {{window_start}} as w, count(1) as cnt, min({{time}}) as first, max({{time}}) as last {{log}} group by ip, {{window_start}} having count(1) > {{threshold}} order by 1, 2 {{limit}}`,
	}
	if over > 0 {
		r.Query = strings.Replace(r.Query, "having count(1) > {{threshold}} ", "", 1)
	}
	return r
}

// rulesForTests are of each kind that a replay treats in its own way.
func rulesForTests() []detect.Rule {
	campaign := ruleAddress("campaign", 2*time.Minute, 0, 3)
	campaign.Subject, campaign.Action = detect.Subject{Campaign: "path", Column: "path"}, threat.Challenge
	campaign.Columns.Clients = "clients"
	campaign.Query = `* | select path, {{window_start}} as w, count(1) as cnt, count(distinct ip) as clients, min({{time}}) as first, max({{time}}) as last {{log}} group by path, {{window_start}} having count(distinct ip) > {{threshold}} order by 1, 2 {{limit}}`
	join := ruleAddress("join", time.Minute, 0, 2) // lines of an account that was seen in the minute before
	join.Margin = 10 * time.Minute
	join.Query = `* | select l.ip as ip, l.w as w, count(1) as cnt, min(l.t) as first, max(l.t) as last
		from (select ip, account, {{time}} as t, {{window_start}} as w {{log}} where account <> '') l
		join (select distinct account, {{window_start}} as w {{log}} where account <> '') r on l.account = r.account and r.w = l.w - 60
		group by l.ip, l.w having count(1) > {{threshold}} order by 1, 2 {{limit}}`
	facts := ruleAddress("facts", 10*time.Minute, 0, 0)
	facts.Class, facts.Action = detect.ClassContext, threat.Observe
	facts.Columns.Users, facts.Columns.Successes = "users", "good"
	facts.Query = `* | select ip, {{window_start}} as w, count(1) as cnt, min({{time}}) as first, max({{time}}) as last, count(distinct account) as users, sum(case when path = '/order' then 1 else 0 end) as good {{log}} group by ip, {{window_start}} order by 1, 2 {{limit}}`
	return []detect.Rule{ruleAddress("burst", 2*time.Minute, 0, 3), ruleAddress("slow", 10*time.Minute, time.Hour, 8), campaign, join, facts}
}

// told is what of a result must not depend on how it was reached. The counts of rules that
// add up over windows are lower bounds, which depend on where a batch ends.
func told(t testing.TB, g detect.Gathered) any {
	t.Helper()
	type detection struct {
		Rule, Who   string
		Count       int64
		Windows     int
		First, Last int64
		Until       int64
	}
	var all []detection
	add := func(d threat.Detection, who string) {
		one := detection{d.Rule, who, d.Count, d.Windows, d.FirstSeen.Unix(), d.LastSeen.Unix(), d.Until.Unix()}
		if d.Rule == "slow" {
			one.Count, one.Windows = 0, 0
		}
		all = append(all, one)
	}
	for _, d := range g.Detections {
		add(d, d.Indicator.String())
	}
	for _, c := range g.Campaigns {
		add(c.Detection, c.Value)
	}
	slices.SortFunc(all, func(a, b detection) int { return strings.Compare(a.Rule+"\x00"+a.Who, b.Rule+"\x00"+b.Who) })
	return all
}

// onePass asks each rule once about all lines.
func onePass(t testing.TB, s *slstest.Server, rules []detect.Rule, lines []testLine) detect.Gathered {
	t.Helper()
	index := map[string]slstest.FieldType{}
	for _, f := range testFields {
		index[f] = slstest.Text
	}
	if err := s.CreateLogstore("log", index); err != nil {
		t.Fatal(err)
	}
	rows := make([]slstest.Row, len(lines))
	first, last := lines[0].at, lines[0].at
	for i, l := range lines {
		rows[i] = slstest.Row{Time: l.at, Values: []string{l.ip, l.acct, l.pth}}
		first, last = min(first, l.at), max(last, l.at)
	}
	if _, err := s.Load(t.Context(), "log", testFields, func() ([]slstest.Row, error) { return rows, io.EOF }); err != nil {
		t.Fatal(err)
	}
	var g detect.Gathered
	for _, r := range rules {
		span := detect.Outward(time.Unix(first, 0), time.Unix(last+1, 0), r.Window)
		result, err := s.Query(t.Context(), "log", r.SQL(), span.From.Add(-r.Reach()), span.To)
		if err != nil {
			t.Fatal(err)
		}
		ds, _ := r.Detections(result.Rows, span)
		cs, _ := r.Campaigns(result.Rows, span)
		if r.Class != detect.ClassContext {
			g.Join(detect.Gathered{Detections: ds, Campaigns: cs}, rules)
		}
	}
	if err := s.DeleteLogstore("log"); err != nil {
		t.Fatal(err)
	}
	return g
}

// The heart of it: however the lines lie in the files, as long as none is later than Late,
// however they are cut into blocks and batches and on however many threads, the same list.
func TestAReplayFindsWhatOnePassOverEverythingFinds(t *testing.T) {
	s, err := slstest.New(slstest.Config{Project: "one-pass", AccessKeyID: "a", AccessKeySecret: "b", Threads: 1, TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rapid.Check(t, func(rt *rapid.T) {
		const start = 1_746_856_440
		n := rapid.IntRange(1, 60).Draw(rt, "lines")
		var lines []testLine
		at := int64(start)
		for i := range n {
			at += int64(rapid.SampledFrom([]int{0, 1, 5, 30, 60, 200, 2000}).Draw(rt, "gap"))
			lines = append(lines, testLine{
				at: at, ip: fmt.Sprintf("198.51.100.%d", rapid.IntRange(1, 4).Draw(rt, "ip")),
				acct: rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "account"), pth: rapid.SampledFrom([]string{"/", "/order", fmt.Sprint("/", i)}).Draw(rt, "path"),
			})
		}
		rules := rulesForTests()
		want := told(t, onePass(t, s, rules, lines))

		// Each line is written up to five minutes after its time, into one of a few files.
		files := make([][]testLine, rapid.IntRange(1, 3).Draw(rt, "files"))
		arrives := map[int]int64{}
		for i, l := range lines {
			arrives[i] = l.at + int64(rapid.IntRange(0, 300).Draw(rt, "delay"))
		}
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return int(arrives[a] - arrives[b]) })
		for _, i := range order {
			f := rapid.IntRange(0, len(files)-1).Draw(rt, "file")
			files[f] = append(files[f], lines[i])
		}
		c := Config{
			Rules: rules, Batch: int64(rapid.IntRange(6, 60).Draw(rt, "batch")), Threads: rapid.IntRange(1, 3).Draw(rt, "threads"),
			Memory: int64(rapid.SampledFrom([]int{1, 1 << 20}).Draw(rt, "memory")), TempDir: t.TempDir(), block: rapid.IntRange(40, 800).Draw(rt, "block"),
		}
		for i, f := range files {
			if len(f) == 0 {
				continue
			}
			var text strings.Builder
			for _, l := range f {
				text.WriteString(l.String())
			}
			c.Inputs = append(c.Inputs, input(fmt.Sprint("file ", i), f[0].at, strings.NewReader(text.String())))
		}
		result, err := Run(t.Context(), c)
		if err != nil {
			rt.Fatal(err)
		}
		if result.Read.Count != int64(n) || result.Read.Late != 0 {
			rt.Errorf("%d lines, %d late, want %d and none", result.Read.Count, result.Read.Late, n)
		}
		if diff := cmp.Diff(want, told(t, result.Gathered)); diff != "" {
			rt.Errorf("another list than one pass over everything gives:\n%s", diff)
		}
		if n%3 > 0 { // the rest takes as long again
			return
		}
		again := c
		again.Inputs = nil
		for i, f := range files {
			if len(f) > 0 {
				var text strings.Builder
				for _, l := range f {
					text.WriteString(l.String())
				}
				again.Inputs = append(again.Inputs, input(fmt.Sprint("file ", i), f[0].at, strings.NewReader(text.String())))
			}
		}
		again.Threads = 4 - c.Threads
		twice, err := Run(t.Context(), again)
		if err != nil {
			rt.Fatal(err)
		}
		whole := cmp.Options{cmpopts.EquateComparable(threat.Indicator{}), cmpopts.IgnoreFields(detect.RuleSummary{}, "Millis")}
		if diff := cmp.Diff(result, twice, whole); diff != "" {
			rt.Errorf("the same files on other threads, another result:\n%s", diff)
		}
	})
}

func TestLinesThatAreTooLateAreCountedAndTold(t *testing.T) {
	var text strings.Builder
	for at := int64(0); at < 7200; at += 10 {
		text.WriteString(testLine{1_746_856_440 + at, "198.51.100.1", "", "/"}.String())
	}
	for range 9 { // two hours late
		text.WriteString(testLine{1_746_856_440, "198.51.100.2", "", "/"}.String())
	}
	c := Config{Rules: rulesForTests(), Batch: 50, block: 600, Threads: 2, TempDir: t.TempDir(), Inputs: []Input{input("f", 1_746_856_440, strings.NewReader(text.String()))}}
	result, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if result.Read.Late != 9 || result.Read.Count != 729 {
		t.Errorf("%d of %d lines late, want 9 of 729", result.Read.Late, result.Read.Count)
	}
	c.Late, c.Inputs = 3*time.Hour, []Input{input("f", 1_746_856_440, strings.NewReader(text.String()))}
	if result, err = Run(t.Context(), c); err != nil || result.Read.Late != 0 {
		t.Errorf("%d late, %v, want none when three hours are allowed", result.Read.Late, err)
	}
}

// A clock that was a day ahead for one line must not make all lines after it late.
func TestOneLineFromTheFutureMakesNobodyLate(t *testing.T) {
	var text strings.Builder
	for at := int64(0); at < 36000; at += 4 {
		text.WriteString(testLine{1_746_856_440 + at, "198.51.100.1", "", "/"}.String())
		if at == 4000 {
			text.WriteString(testLine{1_746_856_440 + 86_400, "198.51.100.9", "", "/"}.String())
		}
	}
	result, err := Run(t.Context(), Config{Rules: rulesForTests()[:1], Batch: 500, block: 8000, Threads: 1, TempDir: t.TempDir(), Inputs: []Input{input("f", 1_746_856_440, strings.NewReader(text.String()))}})
	if err != nil || result.Read.Late != 0 || result.Read.Count != 9001 {
		t.Errorf("%d of %d lines late, %v, want none of 9001", result.Read.Late, result.Read.Count, err)
	}
}

func TestFactsAreToldOfThoseWhoAreNamed(t *testing.T) {
	var text strings.Builder
	at := int64(1_746_856_440)
	for i := range 40 { // an hour of an office before it is loud
		text.WriteString(testLine{at + int64(i)*90, "198.51.100.1", fmt.Sprint("u", i%7), "/order"}.String())
	}
	for range 6 {
		text.WriteString(testLine{at + 3700, "198.51.100.1", "x", "/"}.String())
		text.WriteString(testLine{at + 3700, "198.51.100.2", "", "/"}.String())
	}
	text.WriteString(testLine{at + 3700, "198.51.100.3", "y", "/order"}.String())
	result, err := Run(t.Context(), Config{Rules: rulesForTests(), Batch: 5, block: 100, Threads: 2, TempDir: t.TempDir(), Inputs: []Input{input("f", at, strings.NewReader(text.String()))}})
	if err != nil {
		t.Fatal(err)
	}
	office, _ := threat.ParseAddress("198.51.100.1")
	quiet, _ := threat.ParseAddress("198.51.100.3")
	if f := result.Gathered.Facts[office]; f.Successes != 40 || f.Ordinary != 46 || f.Users != 7 {
		t.Errorf("facts of the office: %+v, want 40 orders, 46 requests and 7 accounts, those from before it was named included", f)
	}
	if _, ok := result.Gathered.Facts[quiet]; ok {
		t.Error("facts are told of somebody whom nobody named")
	}
}

// What a rule joins may stand in lines that were read many batches ago: they are kept as long
// as its margin says, also when no other rule needs them.
func TestLinesOfAMarginAreKept(t *testing.T) {
	const at = 1_746_856_440
	var text strings.Builder
	text.WriteString(testLine{at, "198.51.100.9", "a", "/"}.String())
	for i := range int64(240) { // the account's next minute comes after many parts
		text.WriteString(testLine{at + i/4, fmt.Sprintf("192.0.2.%d", i), "", "/"}.String())
	}
	for i := range int64(3) {
		text.WriteString(testLine{at + 60 + i, "198.51.100.1", "a", "/"}.String())
	}
	for i := range int64(240) {
		text.WriteString(testLine{at + 70 + i*5, "192.0.2.1", "", "/"}.String())
	}
	var join []detect.Rule
	for _, r := range rulesForTests() {
		if r.ID == "join" {
			join = append(join, r)
		}
	}
	c := Config{Rules: join, Batch: 4, block: 100, Threads: 1, Late: time.Second, TempDir: t.TempDir(), Inputs: []Input{input("f", at, strings.NewReader(text.String()))}}
	result, err := Run(t.Context(), c)
	if err != nil || len(result.Gathered.Detections) != 1 || result.Gathered.Detections[0].Count != 3 {
		t.Errorf("%+v, %v, want the address of the account that was there a minute before", result.Gathered.Detections, err)
	}
	if asked := result.Rules[0].Queries; asked < 3 {
		t.Errorf("asked %d times: the test is about one batch", asked)
	}
}

func TestRulesThatTheLogsCannotAnswerAreLeftOut(t *testing.T) {
	r := ruleAddress("other-field", time.Minute, 0, 1)
	r.Fields = map[string]string{"agent": "user_agent"}
	r.Query = strings.Replace(r.Query, "{{log}}", "{{log}} where {{field.agent}} <> ''", 1)
	in := func() []Input { return []Input{input("f", 1, strings.NewReader("1\t198.51.100.1\t\t/\n"))} }
	result, err := Run(t.Context(), Config{Rules: []detect.Rule{r, ruleAddress("burst", time.Minute, 0, 0)}, Inputs: in(), TempDir: t.TempDir()})
	if err != nil || len(result.Left) != 1 || result.Left[0].ID != "other-field" || !strings.Contains(result.Left[0].Reason, "user_agent") {
		t.Errorf("left out %v, %v, want the one rule and its field", result.Left, err)
	}
	if len(result.Gathered.Detections) != 1 {
		t.Errorf("%d detections, want the other rule's", len(result.Gathered.Detections))
	}
	if _, err = Run(t.Context(), Config{Rules: []detect.Rule{r}, Inputs: in(), TempDir: t.TempDir()}); !errors.Is(err, ErrNoRules) {
		t.Errorf("%v, want ErrNoRules", err)
	}
}

// What cannot be read whole judges nobody.
func TestABrokenInputIsAnErrorAndNoResult(t *testing.T) {
	broken := errors.New("the disk is gone")
	text := io.MultiReader(strings.NewReader(strings.Repeat("1746856440\t198.51.100.1\t\t/\n", 100)), iotestErr{broken})
	result, err := Run(t.Context(), Config{Rules: rulesForTests(), Inputs: []Input{input("f", 1_746_856_440, text)}, TempDir: t.TempDir(), block: 300, Batch: 10})
	if !errors.Is(err, broken) || result.Read.Count != 0 || len(result.Gathered.Detections) != 0 {
		t.Errorf("%d lines, %v, want the error and nothing else", result.Read.Count, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Config{Rules: rulesForTests(), Inputs: []Input{input("f", 1, strings.NewReader("1\t198.51.100.1\t\t/\n"))}, TempDir: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v after it was interrupted", err)
	}
}

type iotestErr struct{ err error }

func (e iotestErr) Read([]byte) (int, error) { return 0, e.err }

func TestInputsWithDifferentFieldsAreOneLog(t *testing.T) {
	at := int64(1_746_856_440)
	a := input("a", at, strings.NewReader(strings.Repeat(testLine{at, "198.51.100.1", "", "/"}.String(), 2)))
	b := Input{Name: "b", Start: at, Fields: []string{"path", "ip"}, Text: strings.NewReader("x\nx\n"), Parse: func(_ []byte, values [][]byte) (int64, bool) {
		values[0], values[1] = []byte("/"), []byte("198.51.100.1")
		return at, true
	}}
	result, err := Run(t.Context(), Config{Rules: []detect.Rule{ruleAddress("burst", time.Minute, 0, 3)}, Inputs: []Input{a, b}, TempDir: t.TempDir()})
	if err != nil || len(result.Gathered.Detections) != 1 || result.Gathered.Detections[0].Count != 4 {
		t.Errorf("%+v, %v, want one address with the 4 lines of both", result.Gathered.Detections, err)
	}
}

func TestWitnessesAreHeardAboutThoseWhoAreNamed(t *testing.T) {
	w := ruleAddress("agents", time.Minute, 0, 0)
	w.Class, w.Action, w.Columns.Sample = detect.ClassContext, threat.Observe, "path"
	w.Query = `* | select ip, {{window_start}} as w, count(1) as cnt, min({{time}}) as first, max({{time}}) as last, min(path) as path {{log}} group by ip, {{window_start}} order by 1, 2 {{limit}}`
	text := strings.Repeat("1746856440\t198.51.100.1\t\t/bot\n", 5) + "1746856440\t198.51.100.2\t\t/bot\n"
	result, err := Run(t.Context(), Config{Rules: rulesForTests()[:1], Witness: []detect.Rule{w}, Inputs: []Input{input("f", 1_746_856_440, strings.NewReader(text))}, TempDir: t.TempDir()})
	if err != nil || len(result.Samples) != 1 || len(result.Rules) != 1 {
		t.Fatalf("samples %v, rules %v, %v, want those of the one address and no word of the witness", result.Samples, result.Rules, err)
	}
	for _, samples := range result.Samples {
		if !slices.Equal(samples, []string{"/bot"}) {
			t.Errorf("samples %v", samples)
		}
	}
}
