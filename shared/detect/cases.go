package detect

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/threat"
)

// What is kept of a run for those who ask why: of everybody who is new on the list,
// and of the first so many others. Who is on the list already has a case from then, which
// nothing that he does meanwhile replaces: it is the one that says why.
const (
	maxOtherCases = 1000
	otherCaseKeep = 7 * 24 * time.Hour
	caseAfterTerm = 14 * 24 * time.Hour // complaints come later than blocks end
)

// keep saves the cases of a run, in half of the time that is left.
func (r *Runner) keep(ctx context.Context, report Report, v Verdicts, rules []Rule) error {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline.Sub(r.Clock())/2)
		defer cancel()
	}
	byID := make(map[string]Rule, len(rules))
	for _, rule := range rules {
		byID[rule.ID] = rule
	}
	if v.strangers {
		return errors.New("cases: it is not known who is on the list, and has one already")
	}
	var (
		cases    []blocklist.Case
		problems []error
	)
	add := func(verdict string, js []Judgement, most int) {
		for _, j := range js {
			if most == 0 || len(cases) == blocklist.MaxCases {
				return
			}
			if j.History.Listed && (verdict != "" || !j.upgrades()) {
				continue
			}
			c, err := r.caseOf(j, verdict, report, byID)
			if err != nil {
				problems = append(problems, err)
				continue
			}
			cases = append(cases, c)
			most--
		}
	}
	for _, part := range []struct {
		verdict string
		js      []Judgement
		most    int
	}{{"", v.Act(), blocklist.MaxCases}, {VerdictHeld, v.Held, maxOtherCases}, {VerdictSpared, v.Spared, maxOtherCases}, {threat.Observe.String(), v.Observe, maxOtherCases}} {
		add(part.verdict, part.js, part.most)
	}
	if len(cases) > 0 {
		if err := r.List.SaveCases(ctx, cases); err != nil {
			problems = append(problems, fmt.Errorf("cases of %d indicators: %w", len(cases), err))
		}
	}
	return errors.Join(problems[:min(len(problems), maxProblems)]...)
}

// maxProblems bounds how many cases that could not be written down an error names.
const maxProblems = 3

// upgrades tells whether somebody who was only challenged is to be blocked.
func (j Judgement) upgrades() bool { return j.History.Challenge && j.Action == threat.Block }

// Verdicts of a Case beside the actions' names.
const (
	VerdictSpared = "spared"
	VerdictHeld   = "held"
)

// caseOf writes down a judgement. verdict "" is what its action says.
func (r *Runner) caseOf(j Judgement, verdict string, report Report, rules map[string]Rule) (blocklist.Case, error) {
	c := Case{
		Indicator: j.Indicator.String(), Kind: j.Indicator.Kind().String(), Run: report.Run, At: report.AsOf, Verdict: verdict,
		Score: j.Score, Parts: j.Parts, Severity: j.Severity, Tags: j.Tags, Reason: j.Reason, Spared: j.Spared, Mode: report.Mode,
		Facts: j.Facts, Strikes: j.History.Strikes, Rules: []CaseRule{},
	}
	keep := otherCaseKeep
	if verdict == "" {
		c.Verdict, c.ExpiresAt = j.Action.String(), j.expires()
		keep = min(max(c.ExpiresAt.Sub(report.AsOf), 0)+caseAfterTerm, blocklist.MaxCaseKeep)
	}
	if countries := countriesOf(j.Detections); len(countries) == 1 {
		c.Country = countries[0]
	}
	if p := j.Indicator.Prefix(); r.Network != nil && p.IsValid() {
		c.Network = clip(strings.ToValidUTF8(r.Network(p.Addr()), "?"), maxNetwork)
	}
	for _, h := range j.Intelligence {
		c.Intelligence = append(c.Intelligence, CaseHit{Source: h.Source, Category: h.Category, Confidence: h.Confidence, Seen: h.Seen})
	}
	for _, d := range j.Detections {
		c.Rules = append(c.Rules, r.caseRule(d, rules[d.Rule]))
	}
	text, err := c.fit()
	return blocklist.Case{Indicator: j.Indicator, At: report.AsOf, Keep: keep, Text: text}, err
}

// caseRule is one rule's part. Its From and To are the windows whose lines it rests on.
func (r *Runner) caseRule(d threat.Detection, rule Rule) CaseRule {
	store := rule.Logstore
	if store == "" {
		store = r.Logstore
	}
	sum := sha256.Sum256([]byte(rule.SQL()))
	return CaseRule{
		ID: d.Rule, Version: d.Version, Title: rule.Title, Action: d.Action.String(), Reason: d.Reason,
		Count: d.Count, Windows: d.Windows, Threshold: d.Threshold, FirstSeen: d.FirstSeen, LastSeen: d.LastSeen,
		Logstore: store, From: AlignDown(d.FirstSeen, max(rule.Window, time.Second)), To: d.Until,
		Search: strconv.Quote(d.Indicator.String()), Query: hex.EncodeToString(sum[:]),
		Samples: d.Samples, Accounts: d.Accounts[:min(len(d.Accounts), maxJoined)], Addresses: d.Addresses,
	}
}

// maxNetwork bounds the name of a network, in bytes: it comes from a file that the user brings.
const maxNetwork = 120

// fit makes the case small enough to be stored: samples go first, they can be found again in the logs.
func (c Case) fit() ([]byte, error) {
	text, err := json.Marshal(c)
	for n := threat.MaxSamples - 1; err == nil && len(text) > blocklist.MaxCase; n-- {
		if n < 0 {
			if len(c.Rules) == 0 {
				return nil, fmt.Errorf("case of %d bytes without any rule: want at most %d", len(text), blocklist.MaxCase)
			}
			c.Rules = c.Rules[:len(c.Rules)-1]
		}
		c.Rules = slices.Clone(c.Rules)
		for i, rule := range c.Rules {
			c.Rules[i].Samples = rule.Samples[:min(len(rule.Samples), max(n, 0))]
		}
		text, err = json.Marshal(c)
	}
	return text, err
}

// expires is when a first block for this ends, before jitter.
func (j Judgement) expires() time.Time {
	var latest time.Time
	for _, o := range j.offences() {
		if end := o.At.Add(blocklist.TermFor(o.Term, 1)); end.After(latest) {
			latest = end
		}
	}
	return latest
}
