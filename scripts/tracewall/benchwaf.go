package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/progress"
	"github.com/tracewall/tracewall/scripts/tracewall/internal/wafbench"
)

const benchWAFText = `Measures what it costs to keep AWS WAF equal to a blocklist, and holds it against what is promised: cold,
no change, one address, 1 % churn at random and by expiry, with faults injected; the founding story's
scheme on the same lists; how much memory the deployed function takes and how soon it makes its first call.

Everything is played through the real SDK against the strict stand-in of AWS WAF on this machine. Writes,
calls, bytes and unprotected addresses are exact and the same in every run; the output says which seconds are
computed and which were taken on the real clock.

  --simulate  instead: sets written per sync by way of placement, without network, for many kinds of change
  --million   also 1,000,000 addresses in rule groups, cold (two minutes: the quotas' own time)
  --quick     a small list and few runs, in seconds; its numbers are held against nothing

--list takes a published list (one address or range a line) in place of made-up addresses; given again, the next
edition of the same list, for its real daily change. The exit code is 1 when a promise is not kept.`

func runBenchWAF(ctx context.Context, a *app, args []string) error {
	fs := a.newFlags("bench-waf [--simulate] [--million] [--quick] [--only PART] [--list FILE]… [--json]", benchWAFText)
	var asJSON, quick, simulate, million bool
	var only string
	var lists fileList
	fs.BoolVar(&asJSON, "json", false, "print one JSON object")
	fs.BoolVar(&quick, "quick", false, "a small list and few runs")
	fs.BoolVar(&simulate, "simulate", false, "compare ways of placement")
	fs.BoolVar(&million, "million", false, "also 1,000,000 addresses in rule groups")
	fs.StringVar(&only, "only", "", "measure this `part` only: table, deployed or million")
	fs.Var(&lists, "list", "begin with the addresses in `FILE`; again: the list's next edition")
	rest, err := a.parse(fs, args)
	if err != nil {
		return err
	}
	if err := noMore(rest); err != nil {
		return err
	}
	o := wafbench.Defaults()
	if quick {
		o = wafbench.Quick()
	}
	for _, file := range lists {
		list, err := wafbench.ReadList(file)
		if err != nil {
			return usageError{err}
		}
		o.Lists = append(o.Lists, list)
	}
	if len(o.Lists) > 0 {
		o.Addresses = len(o.Lists[0])
	}
	o.Million = million
	switch only {
	case "":
	case "table", "deployed", "million":
		o.NoTable, o.NoDeployed, o.Million = only != "table", only != "deployed", only == "million"
	default:
		return usagef("--only %q: want table, deployed or million", only)
	}
	if quick {
		o.NoDeployed = true
	}
	if !o.NoDeployed || o.Million {
		if o.Root, err = moduleRoot(); err != nil {
			return err
		}
	}
	line := progress.New(a.stderr)
	defer line.Done()
	o.Say = line.Say
	measure := wafbench.Measure
	if simulate {
		measure = wafbench.Simulate
	}
	res, err := measure(ctx, o)
	if err != nil {
		return err
	}
	line.Done()
	if asJSON {
		if err := json.NewEncoder(a.stdout).Encode(res); err != nil {
			return err
		}
	} else {
		res.Print(a.stdout)
	}
	if n := res.Broken(); n > 0 && !quick {
		return fmt.Errorf("%d promises are not kept", n)
	}
	return nil
}

// fileList is a flag that may be given again and again.
type fileList []string

// String implements flag.Value.
func (l *fileList) String() string { return strings.Join(*l, ",") }

// Set implements flag.Value.
func (l *fileList) Set(file string) error { *l = append(*l, file); return nil }
