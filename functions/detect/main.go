// Command detect finds addresses and accounts that misbehave in the logs of one
// Log Service project, or of one topic of Tencent Cloud's CLS, and puts them on the blocklist.
//
// It runs on Alibaba Cloud Function Compute (runtime go1) and has three triggers:
// a timer, a log trigger (Log Service only), and a direct call by the webhook
// function, an SLS alert or a person. It reads the log service, the allowlist and its own checkpoints in
// Redis, and writes the blocklist and a report of the run to Redis. Running it
// twice over the same time, or twice at once, leaves the same list.
package main

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fc"

	"github.com/tracewall/tracewall/shared/cls"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/settings"
	"github.com/tracewall/tracewall/shared/sls"
	"github.com/tracewall/tracewall/shared/telemetry"
)

func main() {
	h, err := wire(context.Background(), os.LookupEnv, os.Stdout)
	if err != nil {
		settings.Explain(telemetry.New(os.Stdout, function), err)
		os.Exit(1)
	}
	fc.Start(h.Handle)
}

// wire makes the handler and its clients. It makes no call.
func wire(ctx context.Context, env func(string) (string, bool), out io.Writer) (*handler, error) {
	cfg, err := loadConfig(env)
	if err != nil {
		return nil, err
	}
	logs, store, err := logService(cfg)
	if err != nil {
		return nil, err
	}
	list, err := openList(ctx, cfg)
	if err != nil {
		return nil, err
	}
	runner := &detect.Runner{
		Logs: logs, List: list, Rules: cfg.Rules, Logstore: store, Source: cfg.Source, Observe: !cfg.Enforce,
		Allowlist:    func(ctx context.Context) (detect.Checker, error) { return list.Allowlist(ctx) },
		Intelligence: func(ctx context.Context) (detect.Intelligence, error) { return known(list.Ranges.Set(ctx)) },
		Lookback:     cfg.Lookback, Policy: detect.Policy{Brake: cfg.Brake, AccountsFirst: cfg.AccountsFirst}, Clock: time.Now,
	}
	if err := enrich(runner, cfg); err != nil {
		return nil, err
	}
	risk, err := notifier(cfg, list)
	if err != nil {
		return nil, err
	}
	log := telemetry.New(out, function)
	if len(cfg.LeftOut) > 0 { // once, when an instance starts: a rule that never runs must not go unnoticed
		log.Info("rules left out", "rules", cfg.LeftOut)
	}
	return &handler{
		runner: runner, locks: list, risk: risk, source: cfg.Source, project: cfg.Project, logstore: store, now: time.Now,
		log: log, metrics: telemetry.NewMetrics(out, time.Now, telemetry.Plain, function),
	}, nil
}

// logService returns the client of the log service that holds the logs, and what
// they are in there: the logstore, or the topic.
func logService(cfg config) (logs detect.Querier, store string, err error) {
	if cfg.Source == detect.CLS {
		logs, err = cls.New(cls.Config{Region: cfg.CLS.Region, Endpoint: cfg.CLS.Endpoint, Credentials: cfg.CLS.Keys.credentials})
		return logs, cfg.CLS.Topic, err
	}
	logs, err = sls.New(sls.Config{Endpoint: cfg.Endpoint, Project: cfg.Project, Region: cfg.Region, Credentials: cfg.credentials})
	return logs, cfg.Logstore, err
}
