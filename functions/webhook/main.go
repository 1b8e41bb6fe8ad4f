// Command webhook takes alerts from Log Service (SLS) and starts the detect function
// for them at once, so that nobody waits for the timer.
//
// It runs on Alibaba Cloud Function Compute (runtime go1) behind an HTTP trigger that
// lets anyone in, since Log Service cannot sign a request. It therefore believes
// nothing: the caller must come from a known address and know a token, and all that is
// taken from an alert is which of our own rules to run and over which time. It writes
// marks of handled alerts to Redis, and calls Function Compute. Calling it twice with
// the same alert starts detect once; if in doubt it starts detect again, which does no harm.
package main

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fc"

	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/fcinvoke"
	"github.com/tracewall/tracewall/shared/settings"
	"github.com/tracewall/tracewall/shared/telemetry"
)

// function names this function in logs and metrics.
const function = "webhook"

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
	store, err := redisstore.Open(ctx, cfg.RedisURL.Reveal())
	if err != nil {
		return nil, err
	}
	invoker, err := fcinvoke.New(fcinvoke.Config{Endpoint: cfg.Endpoint, Identity: callerFrom})
	if err != nil {
		return nil, err
	}
	return &handler{
		door:    door{token: cfg.Token, sources: cfg.Sources, anySource: cfg.AnySource},
		rules:   cfg.Rules,
		detect:  cfg.Detect,
		marks:   marks{store},
		invoker: invoker,
		now:     time.Now,
		log:     telemetry.New(out, function),
		metrics: telemetry.NewMetrics(out, time.Now, telemetry.Plain, function),
	}, nil
}
