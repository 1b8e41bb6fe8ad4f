//go:build cgo

package detect_test

import (
	"sync"
	"testing"
	"time"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/detect/detecttest"
)

// harmless are mutants that no test can tell from their rule, with the reason. An entry
// that is not needed any more fails the test.
var harmless = map[string]string{
	"cache-busting-address: join → left join":                                                                                    onlyWork,
	"cache-busting-address: join without lines.ip = busy.ip":                                                                     onlyWork + "; a line that comes twice is one query string",
	"cache-busting-address: join without lines.window_start = busy.window_start":                                                 onlyWork + "; a line that comes twice is one query string",
	"crawl-flood-address: join → left join":                                                                                      onlyWork,
	"distinct-paths-address: join → left join":                                                                                   onlyWork,
	"flood-path: join → left join":                                                                                               "every page that quiet addresses asked for is among all pages",
	"ssh-success-after-failures: join → left join":                                                                               "WHERE wants a failed login's time",
	"distinct-paths-address: having without (count(distinct refused) > {{threshold}} or strpos(ip, ':') > 0)":                    compared,
	"credential-stuffing-address: having without (sum(case when bad > 0 then 1 else 0 end) > {{threshold}} or strpos(ip, ':') …": compared,
}

// Reasons of more than one mutant.
const (
	onlyWork = "the join only saves work: who has so few lines has no more different ones"
	compared = "the program compares the count with the threshold again"
)

// TestMutantsOfRulesDie changes one thing at a time in every shipped rule (the
// threshold by one, the window and the sum of windows to half and to twice, what a join or a
// HAVING asks for, the numbers in the query, what is counted once, which content counts) and wants a test of the rule's own
// file to turn red each time. A survivor is something that no test holds in place: add lines
// to the rule's file on which it shows.
func TestMutantsOfRulesDie(t *testing.T) {
	t.Parallel()
	rules := shippedRules(t)
	type work struct {
		mutant detecttest.Mutant
		ask    detecttest.Service
	}
	var (
		todo    = make(chan work)
		mu      sync.Mutex
		unused  = map[string]bool{}
		wg      sync.WaitGroup
		total   int
		started = time.Now()
	)
	for name := range harmless {
		unused[name] = true
	}
	for range 4 {
		wg.Go(func() {
			for w := range todo {
				fate := detecttest.Try(t.Context(), w.mutant, w.ask)
				name := w.mutant.Rule.ID + ": " + w.mutant.Change
				mu.Lock()
				_, known := harmless[name]
				delete(unused, name)
				switch {
				case fate.Broken != "":
					t.Errorf("%s: its query is refused, so that it proves nothing: %s", name, fate.Broken)
				case fate.Survived() && !known:
					t.Errorf("%s: no test of rules/%s.yaml turns red", name, w.mutant.Rule.ID)
				case !fate.Survived() && known:
					t.Errorf("%s: is killed by %q: take it out of harmless", name, fate.KilledBy)
				}
				mu.Unlock()
			}
		})
	}
	asks := []detecttest.Service{once(laptop(t)), once(laptop(t))}
	for i, rule := range detect.ForDialect(rules, detect.SLS) {
		for _, m := range detecttest.Mutants(rule) {
			if m.Kind != detecttest.OfFilter { // many only save the engine work
				todo <- work{m, asks[i%len(asks)]}
				total++
			}
		}
	}
	close(todo)
	wg.Wait()
	for name := range unused {
		t.Errorf("harmless[%q]: there is no such mutant", name)
	}
	t.Logf("%d mutants of %d rules in %s", total, len(rules), time.Since(started).Round(time.Millisecond))
}
