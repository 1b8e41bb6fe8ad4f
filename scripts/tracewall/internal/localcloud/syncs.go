//go:build cgo

package localcloud

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/tracewall/tracewall/shared/functiontest"
)

// syncer is one deployed sync function.
type syncer struct {
	kind   string
	folder string // under functions/
	event  string // of its schedule, under events/
	clock  string // the event's field with its time
	start  func(ctx context.Context, cfg functiontest.Config) (*functiontest.Function, error)
	env    func() map[string]string
	region string

	function *functiontest.Function
}

// syncers are the functions that keep the walls of this cloud.
func (c *Cloud) syncers() []*syncer {
	all := []*syncer{{
		kind: "aws-waf", folder: "sync-aws-waf", event: "sync-aws-waf.schedule.json", clock: "time",
		start: functiontest.StartLambda, env: c.awsEnv, region: awsRegion,
	}}
	if c.cfg.OnlyAWS {
		return all
	}
	return append(all,
		&syncer{
			kind: "alibaba-waf", folder: "sync-alibaba-waf", event: "sync-alibaba-waf.timer.json", clock: "triggerTime",
			start: functiontest.StartFC, env: c.alibabaEnv,
		},
		&syncer{
			kind: "tencent", folder: "sync-tencent", event: "sync-tencent.timer.json", clock: "triggerTime",
			start: functiontest.StartFC, env: c.tencentEnv,
		})
}

// startSync starts a sync function, cold.
func (c *Cloud) startSync(ctx context.Context, s *syncer, binary string) (err error) {
	// Sync answers at once; who wants to see it stay calls Stay.
	env := map[string]string{"REDIS_URL": c.redis.url(), "SYNC_MODE": "enforce", "WAIT": "0"}
	maps.Copy(env, s.env())
	cfg := c.function(s.folder, binary, 5*time.Minute, env)
	cfg.Region = s.region
	s.function, err = s.start(ctx, cfg)
	return err
}

// Target is what a sync function says about one firewall.
type Target struct {
	Kind     string `json:"-"` // of the function
	Name     string `json:"name"`
	Desired  int    `json:"desired"`
	Enforced int    `json:"enforced"`
	Overflow int    `json:"overflow"`
	Writes   int    `json:"writes"`
	Calls    int    `json:"calls"`
	Skipped  string `json:"skipped"`
	Error    string `json:"error"`
}

// Sync hands each sync function its schedule's event, as of now. They work side by side.
func (c *Cloud) Sync(ctx context.Context, now time.Time) ([]Target, error) {
	return c.each(func(s *syncer) ([]Target, error) {
		event, err := c.event(s.event)
		if err != nil {
			return nil, err
		}
		event[s.clock] = now.UTC().Format(time.RFC3339)
		return s.run(ctx, event)
	})
}

// Stay calls the sync functions and lets them stay on the handoff stream for so long
// after their start, as their schedules do in the cloud. It returns when all have answered.
func (c *Cloud) Stay(ctx context.Context, wait time.Duration) ([]Target, error) {
	return c.each(func(s *syncer) ([]Target, error) {
		return s.run(ctx, map[string]any{"mode": "sync", "wait": wait.String()})
	})
}

func (c *Cloud) each(run func(*syncer) ([]Target, error)) ([]Target, error) {
	results, errs := make([][]Target, len(c.syncs)), make([]error, len(c.syncs))
	var group sync.WaitGroup
	for i, s := range c.syncs {
		group.Go(func() { results[i], errs[i] = run(s) })
	}
	group.Wait()
	var all []Target
	for _, r := range results {
		all = append(all, r...)
	}
	return all, errors.Join(errs...)
}

func (s *syncer) run(ctx context.Context, event map[string]any) ([]Target, error) {
	payload, err := json.Marshal(event)
	if err != nil {
		return nil, err
	}
	answer, err := s.function.Invoke(ctx, payload)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.folder, err)
	}
	var result struct {
		Targets []Target `json:"targets"`
	}
	if err := json.Unmarshal(answer, &result); err != nil {
		return nil, fmt.Errorf("answer of %s: %w", s.folder, err)
	}
	for i := range result.Targets {
		result.Targets[i].Kind = s.kind
	}
	return result.Targets, nil
}
