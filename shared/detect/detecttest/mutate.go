package detecttest

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/webattack"
)

// What a Mutant changes.
const (
	OfThreshold = "threshold"
	OfWindow    = "window"
	OfOver      = "over"
	OfParameter = "parameter"
	OfContent   = "content"
	OfJoin      = "join"
	OfHaving    = "having"
	OfDistinct  = "distinct"
	OfNumber    = "number" // what is compared with a number, or with so many times something
	OfFilter    = "filter" // conditions of WHERE: some only save work, and nobody can tell
)

// Mutant is a rule with one thing changed that decides whom it finds. When no test of
// the rule turns red over it, no test holds that thing in place.
type Mutant struct {
	Kind   string // one of the above
	Change string // for people: "threshold 20 → 21"
	Rule   detect.Rule
}

// Fate is what became of a Mutant.
type Fate struct {
	Mutant
	KilledBy string // the test that turned red; "" if none did
	Broken   string // why the log service refused its query: nothing is proven then
}

// Survived tells whether no test noticed.
func (f Fate) Survived() bool { return f.KilledBy == "" && f.Broken == "" }

// Mutants returns every Mutant of a rule as it is asked on one log service, in order.
// What cannot matter is left out: a HAVING that only repeats the threshold, which the
// program compares again, and the threshold of a rule that accuses nobody.
func Mutants(rule detect.Rule) []Mutant {
	var all []Mutant
	add := func(kind, change string, mutate func(*detect.Rule)) {
		m := Mutant{Kind: kind, Change: change, Rule: rule}
		mutate(&m.Rule)
		all = append(all, m)
	}
	if n := rule.Threshold; rule.Class != detect.ClassContext {
		add(OfThreshold, fmt.Sprintf("threshold %d → %d", n, n+1), func(r *detect.Rule) { r.Threshold++ })
		if n > 0 {
			add(OfThreshold, fmt.Sprintf("threshold %d → %d", n, n-1), func(r *detect.Rule) { r.Threshold-- })
		}
	}
	for _, w := range []time.Duration{rule.Window / 2, rule.Window * 2} {
		if w%time.Second != 0 || rule.Over > 0 && (rule.Over%w != 0 || rule.Over <= w) {
			continue
		}
		add(OfWindow, fmt.Sprintf("window %s → %s", rule.Window, w), func(r *detect.Rule) { r.Window = w })
	}
	for _, o := range []time.Duration{rule.Over / 2, rule.Over * 2} {
		if rule.Over == 0 || o <= rule.Window || o%rule.Window != 0 {
			continue
		}
		add(OfOver, fmt.Sprintf("over %s → %s", rule.Over, o), func(r *detect.Rule) { r.Over = o })
	}
	all = append(all, ofContent(rule)...)
	all = append(all, ofParameters(rule)...)
	seen := map[string]int{}
	for _, e := range edits(rule.Query) {
		if seen[e.change]++; seen[e.change] > 1 {
			e.change += fmt.Sprintf(" (number %d)", seen[e.change])
		}
		add(e.kind, e.change, func(r *detect.Rule) { r.Query = r.Query[:e.from] + e.text + r.Query[e.to:] })
	}
	return all
}

func ofContent(rule detect.Rule) []Mutant {
	if rule.Content == nil {
		return nil
	}
	nothing := rule
	nothing.Content = nil
	all := []Mutant{{OfContent, "any content counts", nothing}}
	for i, class := range rule.Content.Classes {
		if len(rule.Content.Classes) == 1 {
			break
		}
		less, content := rule, *rule.Content
		content.Classes = slices.Delete(slices.Clone(content.Classes), i, i+1)
		less.Content = &content
		all = append(all, Mutant{OfContent, "without " + string(class), less})
	}
	if len(rule.Content.Classes) < len(webattack.Classes()) {
		more, content := rule, *rule.Content
		content.Classes = webattack.Classes()
		more.Content = &content
		all = append(all, Mutant{OfContent, "every class counts", more})
	}
	return all
}

// ofParameters moves what a number is compared with by one, and any other number to
// half and to twice of it.
func ofParameters(rule detect.Rule) []Mutant {
	var all []Mutant
	names := make([]string, 0, len(rule.Parameters))
	for name := range rule.Parameters {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		n := rule.Parameters[name]
		values := []int64{n / 2, n * 2}
		if regexp.MustCompile(`[<>=]\s*\{\{` + regexp.QuoteMeta(name) + `\}\}`).MatchString(rule.Query) {
			values = []int64{n - 1, n + 1}
		}
		for _, v := range values {
			if v == n {
				continue
			}
			r := rule
			r.Parameters = map[string]int64{}
			for k, other := range rule.Parameters {
				r.Parameters[k] = other
			}
			r.Parameters[name] = v
			all = append(all, Mutant{OfParameter, name + " " + strconv.FormatInt(n, 10) + " → " + strconv.FormatInt(v, 10), r})
		}
	}
	return all
}

// Try runs the rule's own tests on a Mutant until one turns red.
func Try(ctx context.Context, m Mutant, service Service) Fate {
	f := Fate{Mutant: m}
	for _, test := range m.Rule.Tests {
		problems, err := one(ctx, m.Rule, test, service)
		switch {
		case err != nil:
			f.Broken = err.Error()
			return f
		case len(problems) > 0:
			f.KilledBy = test.Name
			return f
		}
	}
	return f
}

// quiet makes of a piece of SQL what fits into a line.
func quiet(sql string) string {
	text := []rune(strings.Join(strings.Fields(sql), " "))
	if len(text) > 80 {
		return string(text[:77]) + "…"
	}
	return string(text)
}
