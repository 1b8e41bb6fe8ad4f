package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/detect"
)

const rulesListText = `Shows the rules: what they find, what they ask for, which log formats they read and on which log services they run. A rule in
trial only observes, and asks for more when its trial was clean; how far each is stands there when REDIS_URL is set.

--json prints one object: {"rules":[{"id","version","title","class","severity","subject","action","formats":[],"dialects":[],
"window","over","every","threshold","term","tests","trial":{"for","then","state":"not begun|running|over","since","ends","runs","would",
"collateral","last"}}]}. Times are RFC 3339, durations are Go's ("2m0s").`

// listedRule is a rule as --json shows it.
type listedRule struct {
	ID        string     `json:"id"`
	Version   int        `json:"version"`
	Title     string     `json:"title"`
	Class     string     `json:"class"`
	Severity  string     `json:"severity"`
	Subject   string     `json:"subject"`
	Action    string     `json:"action"`
	Formats   []string   `json:"formats"`
	Dialects  []string   `json:"dialects"`
	Window    string     `json:"window"`
	Over      string     `json:"over,omitempty"`
	Every     string     `json:"every,omitempty"`
	Threshold int64      `json:"threshold"`
	Term      string     `json:"term"`
	Tests     int        `json:"tests"`
	Trial     *trialTold `json:"trial,omitempty"`
}

func listedRuleOf(r detect.Rule) listedRule {
	l := listedRule{
		ID: r.ID, Version: r.Version, Title: r.Title, Class: r.Class, Severity: r.Severity.String(), Subject: r.Subject.String(),
		Action: r.Action.String(), Formats: r.Formats, Dialects: dialectsOf(r), Window: r.Window.String(), Threshold: r.Threshold,
		Term: r.Term.String(), Tests: len(r.Tests),
	}
	if r.Over > 0 {
		l.Over = r.Over.String()
	}
	if r.Every > 0 {
		l.Every = r.Every.String()
	}
	return l
}

func runRulesList(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("rules list [--dir FOLDER] [--json]", rulesListText)
	dir := fs.String("dir", "", "your own rule files, in this `FOLDER`")
	asJSON := fs.Bool("json", false, "print one JSON object")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := noMore(rest); err != nil {
		return err
	}
	rules, err := loadRules(*dir)
	if err != nil {
		return err
	}
	trials, err := a.trials(ctx)
	if err != nil {
		return err
	}
	all := make([]listedRule, len(rules))
	for i, r := range rules {
		all[i] = listedRuleOf(r)
		all[i].Trial = trials.of(r, a.now())
	}
	if *asJSON {
		return report.EncodeJSON(a.stdout, map[string]any{"rules": all})
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tCLASS\tWHO\tASKS FOR\tFORMATS\tON\tTESTS\tTRIAL")
	for _, l := range all {
		trial := "-"
		if l.Trial != nil {
			trial = l.Trial.short()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", report.Safe(l.ID), l.Class, l.Subject, l.Action,
			strings.Join(l.Formats, " "), strings.Join(l.Dialects, " "), l.Tests, report.Safe(trial))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%d rules; tracewall rules explain RULE tells what one finds\n", len(all))
	return nil
}
