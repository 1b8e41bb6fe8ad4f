// Command sync-aws-waf makes AWS WAF equal to the blocklist: for each target IP
// sets with the blocked addresses, and one generated rule in the user's Web ACL
// that refers to them.
//
// It runs on AWS Lambda, on a schedule. It reads the blocklist and the allowlist
// in Redis and the targets as they stand in AWS WAF, and writes AWS WAF, its
// receipts on the handoff stream, and a status for each target. Between two ticks
// of its schedule it stays on the handoff stream, so that what an alert finds is enforced at
// once. Running it twice, or twice at once, does no harm.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/syncrun"
	"github.com/tracewall/tracewall/shared/telemetry"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
)

const (
	// function is this function's name in log lines and metrics.
	function = "sync-aws-waf"
	// kind names the kind of firewall in leases and consumer groups.
	kind = "aws-waf"
)

func main() {
	syncrun.Main(function, os.LookupEnv, wire, func(f *syncrun.Function) { lambda.Start(f.Handle) })
}

// wire makes the function and its clients. It makes no call. All targets share one pace,
// which keeps accounts and Regions apart: AWS WAF's rates hold for each.
func wire(ctx context.Context, env syncrun.Environment, out io.Writer) (*syncrun.Function, error) {
	cfg, err := loadConfig(env)
	if err != nil {
		return nil, err
	}
	sdk, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("load aws configuration: %w", err)
	}
	pace := awswaf.NewPace(awswaf.WriteEvery, awswaf.ReadEvery)
	walls, err := syncrun.Walls(cfg.Targets, func(t awswaf.Target) (enforce.Wall, error) {
		firewall, err := awswaf.New(sdk, t, awswaf.WithPace(pace))
		if err != nil {
			return enforce.Wall{Name: t.Name}, err
		}
		return enforce.Wall{Name: t.Name, Firewall: firewall, Limits: waf.Limits{SetSize: firewall.Target().SetSize}, Policy: t.Policy()}, nil
	})
	if err != nil {
		return nil, err
	}
	f := syncrun.Function{Name: function, Kind: kind, Cloud: "aws", Inputs: inputs, Decode: decodeEvent, Walls: walls}
	return syncrun.Open(ctx, f, cfg.Settings, out, telemetry.EMF)
}
