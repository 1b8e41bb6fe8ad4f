// Command detect finds addresses and accounts that misbehave in the logs of one
// Log Service project and puts them on the blocklist.
//
// It runs on Alibaba Cloud Function Compute (runtime go1) and has three triggers:
// a timer, a log trigger, and a direct call by the webhook function, an SLS alert
// or a person. It reads Log Service, the allowlist and its own checkpoints in
// Redis, and writes the blocklist and a report of the run to Redis. Running it
// twice over the same time, or twice at once, leaves the same list.
package main

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fc"

	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
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
	logs, err := sls.New(sls.Config{Endpoint: cfg.Endpoint, Project: cfg.Project, Region: cfg.Region, Credentials: cfg.Keys.credentials})
	if err != nil {
		return nil, err
	}
	list, err := redisstore.Open(ctx, cfg.RedisURL.Reveal())
	if err != nil {
		return nil, err
	}
	return &handler{
		runner: &detect.Runner{
			Logs: logs, List: list, Rules: cfg.Rules, Logstore: cfg.Logstore, Observe: !cfg.Enforce,
			Allowlist: func(ctx context.Context) (detect.Checker, error) { return list.Allowlist(ctx) },
			Lookback:  cfg.Lookback, Brake: detect.Brake{MaxNew: cfg.MaxNew}, Clock: time.Now,
		},
		locks: list, project: cfg.Project, logstore: cfg.Logstore, now: time.Now,
		log: telemetry.New(out, function), metrics: telemetry.NewMetrics(out, time.Now, telemetry.Plain, function),
	}, nil
}
