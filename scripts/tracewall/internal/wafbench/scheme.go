package wafbench

import (
	"context"
	"time"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
)

// scheme is a way to keep a web ACL equal to a list.
type scheme interface {
	// sync is one run.
	sync(ctx context.Context, want waf.Desired) error
	// restart is what a new process knows: nothing.
	restart() error
}

// tracewall is the scheme that is measured.
type tracewall struct {
	stage    *stage
	target   awswaf.Target
	pace     *awswaf.Pace
	firewall waf.Firewall
}

// target is the one that the promises are about.
func target(setSize int) awswaf.Target {
	return awswaf.Target{Name: "edge", Region: region, WebACL: webACL, SetSize: setSize}
}

// newTracewall makes a process that keeps the stage's web ACL. Without a pace it does not wait for anything.
func newTracewall(s *stage, target awswaf.Target, pace *awswaf.Pace) (*tracewall, error) {
	t := &tracewall{stage: s, target: target, pace: pace}
	return t, t.restart()
}

func (t *tracewall) restart() (err error) {
	opts := []awswaf.Option{awswaf.WithPace(t.pace)}
	if t.pace == nil {
		opts = []awswaf.Option{
			awswaf.WithPace(awswaf.NewPace(0, 0)),
			awswaf.WithDelay(func(int) time.Duration { return 0 }),
		}
	}
	t.firewall, err = awswaf.New(t.stage.cfg, t.target, opts...)
	return err
}

func (t *tracewall) sync(ctx context.Context, want waf.Desired) error {
	r := waf.Reconciler{
		Firewall: t.firewall, Name: t.target.Name, Limits: waf.Limits{SetSize: t.target.SetSize},
		Pause: func(ctx context.Context, _ int) error { return ctx.Err() },
	}
	_, err := r.Reconcile(ctx, want)
	return err
}
