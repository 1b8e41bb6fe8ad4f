//go:build cgo

package main

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/ruletest"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/detect/detecttest"
)

func runRulesTest(ctx context.Context, a *app, args []string) (err error) {
	f, rules, err := a.rulesTestFlags(args)
	if err != nil {
		return err
	}
	began := time.Now()
	benches := map[string]*ruletest.Bench{}
	defer func() {
		for _, b := range benches {
			err = errors.Join(err, b.Close())
		}
	}()
	for _, d := range f.dialects {
		if benches[d], err = ruletest.Open(d); err != nil {
			delete(benches, d)
			return err
		}
	}
	var all tested
	for _, rule := range rules {
		for _, d := range f.dialects {
			in, ok := rule.In(d)
			if !ok {
				continue
			}
			if err := a.testRule(ctx, f, &all, in, d, benches[d]); err != nil {
				return err
			}
		}
	}
	return all.finish(a, f, time.Since(began))
}

func (a *app) testRule(ctx context.Context, f rulesTestFlags, all *tested, rule detect.Rule, dialect string, bench *ruletest.Bench) error {
	red := false
	for _, r := range detecttest.Run(ctx, rule, bench.Ask, time.Now) {
		red = red || len(r.Problems) > 0
		all.note(a, f, ruleCase{rule.ID, dialect, r.Test, r.Lines, r.Took.Milliseconds(), some(r.Problems)})
	}
	// On a red rule every mutant dies at once, which proves nothing.
	if f.mutate && !red {
		for _, fate := range tryAll(ctx, detecttest.Mutants(rule), bench.Ask) {
			all.noteMutant(a, f, ruleMutant{rule.ID, dialect, fate.Kind, fate.Change, fate.KilledBy, fate.Broken})
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return bench.Forget()
}

// tryAll tries mutants on all processors; the fates are in their order.
func tryAll(ctx context.Context, mutants []detecttest.Mutant, service detecttest.Service) []detecttest.Fate {
	fates := make([]detecttest.Fate, len(mutants))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i, m := range mutants {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			fates[i] = detecttest.Try(ctx, m, service)
		})
	}
	wg.Wait()
	return fates
}
