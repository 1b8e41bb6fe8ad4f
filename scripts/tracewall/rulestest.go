package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/detect"
)

const rulesTestText = `Runs the tests that stand in rule files on the local Log Services (DuckDB behind the services' own protocols): log lines in, exactly
those addresses, accounts and counts out. One line for each case; a red one says what came out instead, and the exit code is 1.

--mutate then changes one thing at a time in each rule (the threshold by one, the window and the sum of windows to half and to twice,
a parameter or a number in the query, what a join or a HAVING asks for, what is counted once, which content counts, what a WHERE demands) and tells which
changes no test notices. Such a survivor is something that the next editor of the rule may break unseen: add lines on which it
shows. Survivors of WHERE are told and not held against the rule, since many a condition only saves the service work.

--json prints one object: {"cases":[{"rule","dialect","test","lines","ms","problems":[]}],"mutants":[{"rule","dialect","kind","change",
"killed_by","broken"}],"red","survived","ms"}.`

// errRed is what rules test ends with when a case is red.
type errRed struct{ red, survived int }

func (e errRed) Error() string {
	var all []string
	if e.red > 0 {
		all = append(all, fmt.Sprintf("%d red", e.red))
	}
	if e.survived > 0 {
		all = append(all, fmt.Sprintf("%d changes that no test notices", e.survived))
	}
	return strings.Join(all, ", ")
}

// ruleCase is one test on one log service.
type ruleCase struct {
	Rule     string   `json:"rule"`
	Dialect  string   `json:"dialect"`
	Test     string   `json:"test"`
	Lines    int      `json:"lines"`
	Millis   int64    `json:"ms"`
	Problems []string `json:"problems"`
}

// ruleMutant is one change of a rule, and the test that noticed.
type ruleMutant struct {
	Rule     string `json:"rule"`
	Dialect  string `json:"dialect"`
	Kind     string `json:"kind"`
	Change   string `json:"change"`
	KilledBy string `json:"killed_by"`
	Broken   string `json:"broken"`
}

// gates tells whether a mutant is held against its rule.
func (m ruleMutant) gates() bool { return m.Kind != "filter" && m.KilledBy == "" }

// tested is what rules test has to say.
type tested struct {
	Cases    []ruleCase   `json:"cases"`
	Mutants  []ruleMutant `json:"mutants"`
	Red      int          `json:"red"`
	Survived int          `json:"survived"`
	Millis   int64        `json:"ms"`
}

// rulesTestFlags are the flags of rules test.
type rulesTestFlags struct {
	dir      string
	dialects []string
	mutate   bool
	json     bool
}

func (a *app) rulesTestFlags(args []string) (rulesTestFlags, []detect.Rule, error) {
	var f rulesTestFlags
	fs := a.newFlags("rules test [ID…] [--dir FOLDER] [--dialect sls|cls|both] [--mutate] [--json]", rulesTestText)
	fs.StringVar(&f.dir, "dir", "", "your own rule files, in this `FOLDER`")
	dialect := fs.String("dialect", "both", "the log service to run on: sls, cls or both")
	fs.BoolVar(&f.mutate, "mutate", false, "change one thing at a time and tell which changes no test notices")
	fs.BoolVar(&f.json, "json", false, "print one JSON object")
	ids, err := a.parse(fs, args)
	if err != nil {
		return f, nil, err
	}
	switch {
	case *dialect == "both":
		f.dialects = detect.Dialects()
	case slices.Contains(detect.Dialects(), *dialect):
		f.dialects = []string{*dialect}
	default:
		return f, nil, usagef("--dialect %.80q: want sls, cls or both", *dialect)
	}
	rules, err := chooseRules(f.dir, ids)
	return f, rules, err
}

// note prints one case, unless all is printed as JSON at the end.
func (t *tested) note(a *app, f rulesTestFlags, c ruleCase) {
	t.Cases = append(t.Cases, c)
	word := "ok "
	if len(c.Problems) > 0 {
		t.Red++
		word = "RED"
	}
	if f.json {
		return
	}
	fmt.Fprintf(a.stdout, "%s  %-3s  %-28s %s (%s lines, %d ms)\n", word, c.Dialect, report.Safe(c.Rule), report.Safe(c.Test), report.Number(c.Lines), c.Millis)
	for _, p := range c.Problems {
		fmt.Fprintf(a.stdout, "          %s\n", report.Safe(p))
	}
}

// noteMutant prints a mutant that lives; of those that were killed the count is enough.
func (t *tested) noteMutant(a *app, f rulesTestFlags, m ruleMutant) {
	t.Mutants = append(t.Mutants, m)
	if m.gates() {
		t.Survived++
	}
	if f.json || m.KilledBy != "" {
		return
	}
	word, why := "LIVES", m.Change
	switch {
	case m.Broken != "":
		word, why = "BROKEN", m.Change+": its query is refused, so that nothing is proven: "+m.Broken
	case !m.gates():
		word = "lives"
	}
	fmt.Fprintf(a.stdout, "%-6s  %-3s  %-28s %s\n", word, m.Dialect, report.Safe(m.Rule), report.Safe(why))
}

// finish prints the sum and returns the error that makes the exit code.
func (t *tested) finish(a *app, f rulesTestFlags, took time.Duration) error {
	t.Millis = took.Milliseconds()
	t.Cases, t.Mutants = some(t.Cases), some(t.Mutants)
	if f.json {
		if err := report.EncodeJSON(a.stdout, t); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(a.stdout, "%d cases, %d red", len(t.Cases), t.Red)
		if f.mutate {
			fmt.Fprintf(a.stdout, "; %d changes, %d that no test notices", len(t.Mutants), t.Survived)
		}
		fmt.Fprintf(a.stdout, "; %s\n", report.Took(took))
	}
	if t.Red > 0 || t.Survived > 0 {
		return errRed{t.Red, t.Survived}
	}
	return nil
}
