// Command sync-alibaba-waf makes Alibaba Cloud's firewalls equal to the blocklist: for each
// target an address book of WAF 3.0 and one rule that blocks whom it lists, or rules of the
// IP blacklist where an instance has no address books, or address books of Cloud Firewall.
//
// It runs on Alibaba Cloud Function Compute (runtime go1), on a timer. It reads the
// blocklist and the allowlist in Redis and the targets as they stand, and writes the firewall, its
// receipts on the handoff stream, and a status for each target. Between two ticks of its
// timer it stays on the handoff stream, so that what an alert finds is enforced at once. Running it
// twice, or twice at once, does no harm.
package main

import (
	"context"
	"io"
	"os"

	"github.com/aliyun/fc-runtime-go-sdk/fc"

	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/fccall"
	"github.com/tracewall/tracewall/shared/syncrun"
	"github.com/tracewall/tracewall/shared/telemetry"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
)

const (
	// function is this function's name in log lines and metrics.
	function = "sync-alibaba-waf"
	// kind names the kind of firewall in leases and consumer groups.
	kind = "alibaba-waf"
)

// inputs reads what an operator, or a timer's payload, asks for.
var inputs = syncrun.Inputs{Setting: "ALIBABA_TARGETS", Trigger: "a timer trigger's event"}

func main() {
	syncrun.Main(function, os.LookupEnv, wire, func(f *syncrun.Function) { fc.Start(f.Handle) })
}

// wire makes the function and its clients. It makes no call. All targets are in the account of the
// function's role, so they share one pace: Alibaba Cloud counts calls for each account and service.
func wire(ctx context.Context, env syncrun.Environment, out io.Writer) (*syncrun.Function, error) {
	cfg, err := loadConfig(env)
	if err != nil {
		return nil, err
	}
	account := aliwaf.Config{Credentials: cfg.credentials, Endpoint: cfg.Endpoint, Pace: aliwaf.NewPace()}
	walls, err := syncrun.Walls(cfg.Targets, func(t aliwaf.Target) (enforce.Wall, error) {
		firewall, err := aliwaf.New(account, t)
		return enforce.Wall{Name: t.Name, Firewall: firewall, Limits: t.Limits(), Policy: t.Policy()}, err
	})
	if err != nil {
		return nil, err
	}
	f := syncrun.Function{Name: function, Kind: kind, Cloud: "alibaba", Inputs: inputs, Decode: inputs.Timer, Call: fccall.WithKeys, Walls: walls}
	return syncrun.Open(ctx, f, cfg.Settings, out, telemetry.Plain)
}
