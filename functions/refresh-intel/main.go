// Command refresh-intel keeps threat intelligence up to date: it fetches the feeds that its settings name, believes those
// that look whole, and puts them into Redis, where detect reads them: who was seen attacking others, and
// which published ranges are spared.
//
// It runs on Alibaba Cloud Function Compute (runtime go1), on a timer. A feed that fails, is cut, turns into a page,
// shrinks or grows suddenly keeps its last good state, and an alarm rings; the others go on. Running it twice, or twice
// at once, does no harm.
package main

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fc"

	"github.com/tracewall/tracewall/shared/enrich/threatintel/feeds"
	"github.com/tracewall/tracewall/shared/enrich/threatintel/intelstore"
	"github.com/tracewall/tracewall/shared/settings"
	"github.com/tracewall/tracewall/shared/telemetry"
)

// function names this function in logs and metrics.
const function = "refresh-intel"

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
	store, err := intelstore.Open(ctx, cfg.RedisURL.Reveal(), time.Now)
	if err != nil {
		return nil, err
	}
	return &handler{
		feeds:   cfg.Feeds,
		enforce: cfg.Mode == enforce,
		fetcher: feeds.New(cfg.Secrets, feeds.Limits{}, time.Now),
		store:   store,
		now:     time.Now,
		log:     telemetry.New(out, function),
		metrics: telemetry.NewMetrics(out, time.Now, telemetry.Plain, function),
	}, nil
}
