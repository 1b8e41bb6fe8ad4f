// Package wafbench measures what it costs to keep AWS WAF equal to a blocklist, holds
// it against what tracewall promises, and compares it, in the same run, with the
// scheme that the founding story describes and with other ways to spread addresses over
// IP sets.
//
// Everything is played through the real SDK and the adapter that is deployed, against
// the strict stand-in of package waftest. Calls, writes and bytes are counted there and
// are exact and the same in every run. Seconds are of two kinds, and the output says
// which: computed from the calls with AWS's quotas and 50 ms a call, and taken on the
// real clock with the stand-in throttling as AWS does.
package wafbench

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// Options say what is measured. Defaults fills in the rest.
type Options struct {
	Addresses int // on the list
	SetSize   int // addresses per IP set
	Runs      int // of each case whose mean is promised
	Faulted   int // runs with a fault in them, of each case
	StoryRuns int // of the story's scheme, of each case
	Starts    int // of the deployed function, and of an empty one
	Syncs     int // of each kind of change that is simulated

	Real       bool // also a run of each case on the real clock, with the quotas in force
	NoTable    bool // leave the table of promises out
	NoDeployed bool // leave the function as deployed out
	Million    bool // also 1,000,000 addresses in rule groups

	Root  string           // of the module, to build the functions from
	Lists [][]netip.Prefix // real lists to begin with, and their later editions

	Say func(text string) // told how far it has come, by several goroutines; nil: nobody
}

// Defaults are the options of the promised table.
func Defaults() Options {
	return Options{Addresses: 100_000, SetSize: 10_000, Runs: 200, Faulted: 12, StoryRuns: 3, Starts: 15, Real: true, Syncs: 240}
}

// Quick are options for a look that takes seconds.
func Quick() Options {
	return Options{Addresses: 2000, SetSize: 200, Runs: 20, Faulted: 10, StoryRuns: 1, Syncs: 40, NoDeployed: true}
}

func (o Options) say(format string, args ...any) {
	if o.Say != nil {
		o.Say(fmt.Sprintf(format, args...))
	}
}

// Table measures every case, and the story's scheme beside it.
func Table(ctx context.Context, o Options) ([]Case, error) {
	list := scenarios(o)
	cases := make([]Case, len(list))
	ours, theirs := make([]*Numbers, len(list)), make([]*Numbers, len(list))
	for i, sc := range list {
		cases[i] = Case{Name: sc.name, Promise: sc.promise, Story: &Numbers{}}
		ours[i], theirs[i] = &cases[i].Tracewall, cases[i].Story
	}
	// First what is timed, with the machine to itself.
	if o.Real {
		o.say("one run of each case with the quotas in force, on the real clock")
		if err := o.real(ctx, list, ours); err != nil {
			return nil, err
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, sc := range list {
		group.Go(func() error { return o.measure(ctx, sc, o.tracewall(false), sc.runs, o.faulted(sc), ours[i]) })
	}
	group.Go(func() error {
		for i, sc := range list {
			if err := o.measure(ctx, sc, o.story(nil), o.StoryRuns, min(o.StoryRuns, o.faulted(sc)), theirs[i]); err != nil {
				return fmt.Errorf("the story's program: %w", err)
			}
		}
		return o.storyAtQuotas(ctx, list, o.StoryRuns, theirs)
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i := range cases {
		cases[i].judge()
	}
	return cases, nil
}

// faulted is how many runs of a scenario have a fault in them: fewer of those that fill all sets twice.
func (o Options) faulted(sc scenario) int {
	if sc.cold {
		return (o.Faulted + 3) / 4
	}
	return o.Faulted
}
