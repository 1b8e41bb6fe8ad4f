package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/tracewall/tracewall/shared/detect"
)

const rulesText = `A rule is one file: what it asks the logs, what it makes of the answer, and its own tests.

  tracewall rules list                    the rules, what they ask for, and how their trials go
  tracewall rules explain ID              what a rule finds, in words, and its query in each log service's own
  tracewall rules test [ID…]              run the tests in the rules' files on the local Log Services
  tracewall rules new ID                  write a new rule with a test that is red
  tracewall rules trial ID                show a rule's trial, or with --restart or --end change it
  tracewall rules schema                  the JSON Schema of rule files, for editors

Each explains itself with -h. --dir FOLDER works on your own rule files in place of those that are part of the program.`

// subcommands of rules.
func rulesCommands() []command {
	return []command{
		{"list", "", runRulesList},
		{"explain", "", runRulesExplain},
		{"test", "", runRulesTest},
		{"new", "", runRulesNew},
		{"trial", "", runRulesTrial},
		{"schema", "", runRulesSchema},
	}
}

func runRules(ctx context.Context, a *app, args []string) error {
	if len(args) > 0 {
		for _, c := range rulesCommands() {
			if c.name == args[0] {
				return c.run(ctx, a, args[1:])
			}
		}
	}
	fs := a.newFlags("rules list|explain|test|new|trial|schema [flags]", rulesText)
	rest, err := a.parse(fs, args)
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return usagef("no rules command %q: want list, explain, test, new, trial or schema", rest[0])
	default:
		return usagef("nothing to do: want list, explain, test, new, trial or schema; -h explains")
	}
}

// loadRules returns the rules of a folder, or those that are part of the program if dir
// is "". A folder is read whole or not at all, and every problem of every file is told.
func loadRules(dir string) ([]detect.Rule, error) {
	if dir == "" {
		return detect.Shipped()
	}
	rules, err := detect.Load(os.DirFS(dir))
	if err != nil {
		return nil, usageError{fmt.Errorf("rules in %s: %w", dir, err)}
	}
	return rules, nil
}

// chooseRules returns the rules with the given ids; none means all.
func chooseRules(dir string, ids []string) ([]detect.Rule, error) {
	rules, err := loadRules(dir)
	if err != nil || len(ids) == 0 {
		return rules, err
	}
	rules, err = detect.Select(rules, ids)
	if err != nil {
		return nil, usageError{err}
	}
	return rules, nil
}

// dialectsOf returns the log services that a rule runs on.
func dialectsOf(r detect.Rule) []string {
	var all []string
	for _, d := range detect.Dialects() {
		if _, ok := r.In(d); ok {
			all = append(all, d)
		}
	}
	return all
}

func runRulesSchema(_ context.Context, a *app, args []string) error {
	fs := a.newFlags("rules schema", `Prints the JSON Schema (draft 2020-12) of rule files. An editor with a YAML language server reads it when a file begins with
# yaml-language-server: $schema=schema.json and the schema lies beside it.`)
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := noMore(rest); err != nil {
		return err
	}
	text, err := detect.Schema()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.stdout, strings.TrimRight(string(text), "\n"))
	return err
}
