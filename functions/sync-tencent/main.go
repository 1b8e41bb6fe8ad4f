// Command sync-tencent makes Tencent Cloud's firewalls equal to the blocklist: for each
// target one rule on top of security groups that drops whom an address template group lists, or
// the blocklist of Tencent Cloud WAF, whose entries end by themselves.
//
// It runs on Alibaba Cloud Function Compute (runtime go1), on a timer, beside the list: it
// signs its calls with a key of Tencent Cloud's. It reads the blocklist and the allowlist in
// Redis and the targets as they stand, and writes the firewall, its receipts on the
// handoff stream, and a status for each target. Between two ticks of its timer it stays on the
// handoff stream, so that what an alert finds is enforced at once. Running it twice, or twice at
// once, does no harm.
package main

import (
	"context"
	"io"
	"os"

	"github.com/aliyun/fc-runtime-go-sdk/fc"

	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/syncrun"
	"github.com/tracewall/tracewall/shared/telemetry"
	"github.com/tracewall/tracewall/shared/waf/tencentfw"
)

const (
	// function is this function's name in log lines and metrics.
	function = "sync-tencent"
	// kind names the kind of firewall in leases and consumer groups.
	kind = "tencent"
)

// inputs reads what an operator, or a timer's payload, asks for.
var inputs = syncrun.Inputs{Setting: "TENCENT_TARGETS", Trigger: "a timer trigger's event"}

func main() {
	syncrun.Main(function, os.LookupEnv, wire, func(f *syncrun.Function) { fc.Start(f.Handle) })
}

// wire makes the function and its clients. It makes no call. All targets are in the account of the one
// key, so they share one pace: Tencent Cloud counts calls for each account.
func wire(ctx context.Context, env syncrun.Environment, out io.Writer) (*syncrun.Function, error) {
	cfg, err := loadConfig(env)
	if err != nil {
		return nil, err
	}
	account := tencentfw.Config{Credentials: cfg.credentials, Endpoint: cfg.Endpoint, Pace: tencentfw.NewPace()}
	walls, err := syncrun.Walls(cfg.Targets, func(t tencentfw.Target) (enforce.Wall, error) {
		firewall, err := tencentfw.New(account, t)
		return enforce.Wall{Name: t.Name, Firewall: firewall, Limits: t.Limits(), Policy: t.Policy()}, err
	})
	if err != nil {
		return nil, err
	}
	f := syncrun.Function{Name: function, Kind: kind, Cloud: "tencent", Inputs: inputs, Decode: inputs.Timer, Walls: walls}
	return syncrun.Open(ctx, f, cfg.Settings, out, telemetry.Plain)
}
