package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/report"
	"github.com/tracewall/tracewall/shared/detect"
)

const rulesExplainText = `Says what a rule finds and why, which fields of the logs it needs, what its tests show, who is spared whatever it says, and the query
that it asks each log service, as it can be pasted into that service's console.

The query is the one with the fields' own names; a deployment may give them others (FIELDS).

--json prints one object: those of rules list, and "finds","asks_for","asked","description","fields":{name: column},"parameters":{},
"tags":[],"spares":[],"fires":[names of tests],"quiet":[names of tests],"queries":{"sls","cls"}.`

// explainedRule is a rule in words and in full.
type explainedRule struct {
	listedRule
	Finds       string            `json:"finds"`
	AsksFor     string            `json:"asks_for"`
	Asked       string            `json:"asked"`
	Description string            `json:"description"`
	Fields      map[string]string `json:"fields"`
	Parameters  map[string]int64  `json:"parameters"`
	Tags        []string          `json:"tags"`
	Spares      []string          `json:"spares"`
	Fires       []string          `json:"fires"`
	Quiet       []string          `json:"quiet"`
	Queries     map[string]string `json:"queries"`
}

func explainRule(r detect.Rule) explainedRule {
	x := explainedRule{
		listedRule: listedRuleOf(r), Finds: finds(r), AsksFor: asksFor(r), Asked: asked(r), Description: strings.TrimSpace(r.Description),
		Fields: map[string]string{}, Parameters: map[string]int64{}, Tags: some(r.Tags), Spares: some(spares(r)),
		Fires: []string{}, Quiet: []string{}, Queries: map[string]string{},
	}
	maps.Copy(x.Fields, r.Fields)
	maps.Copy(x.Parameters, r.Parameters)
	for _, t := range r.Tests {
		if len(t.Want) > 0 {
			x.Fires = append(x.Fires, t.Name)
		} else {
			x.Quiet = append(x.Quiet, t.Name)
		}
	}
	for _, d := range detect.Dialects() {
		if in, ok := r.In(d); ok {
			x.Queries[d] = strings.TrimSpace(in.SQL())
		}
	}
	return x
}

func runRulesExplain(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("rules explain ID [--dir FOLDER] [--json]", rulesExplainText)
	dir := fs.String("dir", "", "your own rule files, in this `FOLDER`")
	asJSON := fs.Bool("json", false, "print one JSON object")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return usagef("want one rule's id; tracewall rules list shows them")
	}
	rules, err := chooseRules(*dir, rest)
	if err != nil {
		return err
	}
	trials, err := a.trials(ctx)
	if err != nil {
		return err
	}
	x := explainRule(rules[0])
	x.Trial = trials.of(rules[0], a.now())
	if *asJSON {
		return report.EncodeJSON(a.stdout, x)
	}
	x.print(a.stdout)
	return nil
}

func (x explainedRule) print(w io.Writer) {
	const width = 108
	put := func(what, text string) {
		for _, line := range wrap(text, width) {
			fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("  %-12s %s", what, report.Safe(line)), " "))
			what = ""
		}
	}
	list := func(what string, all []string) {
		for _, text := range all {
			put(what, "· "+text)
			what = ""
		}
	}
	fmt.Fprintln(w, report.Safe(fmt.Sprintf("%s, version %d: %s", x.ID, x.Version, x.Title)))
	put("finds", x.Finds)
	put("asks for", x.AsksFor)
	if x.Trial != nil {
		put("trial", x.Trial.long())
	}
	kind := x.Class + ", severity " + x.Severity
	if len(x.Tags) > 0 {
		kind += ", tags " + strings.Join(x.Tags, ", ")
	}
	put("class", kind)
	put("reads", strings.Join(x.Formats, ", ")+fieldsTold(x.Fields))
	put("asked", x.Asked)
	if x.Description != "" {
		put("why", x.Description)
	}
	list("fires on", x.Fires)
	list("is quiet on", x.Quiet)
	list("spares", x.Spares)
	for _, d := range slices.Sorted(maps.Keys(x.Queries)) {
		fmt.Fprintf(w, "  query on %s:\n", d)
		for line := range strings.Lines(x.Queries[d]) {
			fmt.Fprintf(w, "    %s\n", report.Safe(strings.TrimRight(line, "\n")))
		}
	}
}

func fieldsTold(fields map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		column := fields[name]
		if column == detect.NoField {
			column = "none unless you name one"
		}
		all = append(all, name+" = "+column)
	}
	if all == nil {
		return ""
	}
	return "; fields: " + strings.Join(all, ", ")
}
