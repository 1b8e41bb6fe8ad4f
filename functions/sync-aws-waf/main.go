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
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/settings"
	"github.com/tracewall/tracewall/shared/telemetry"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
)

// gcPercent trades a little time for memory: what a run holds of a large list is
// needed until its end, and a heap that grows to twice that is paid for by the second.
const gcPercent = 20

func main() {
	debug.SetGCPercent(gcPercent)
	h, err := wire(context.Background(), os.LookupEnv, os.Stdout)
	if err != nil {
		settings.Explain(telemetry.New(os.Stdout, function), err)
		os.Exit(1)
	}
	lambda.Start(h.Handle)
}

// wire makes the handler and its clients. It makes no call.
func wire(ctx context.Context, env func(string) (string, bool), out io.Writer) (*handler, error) {
	cfg, err := loadConfig(env)
	if err != nil {
		return nil, err
	}
	list, err := redisstore.Open(ctx, cfg.RedisURL.Reveal(), redisstore.Dialling())
	if err != nil {
		return nil, err
	}
	sdk, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("load aws configuration: %w", err)
	}
	walls, err := makeWalls(sdk, cfg.Targets)
	if err != nil {
		return nil, err
	}
	return &handler{
		list: list, walls: walls, enforce: cfg.Enforce, wait: cfg.Wait, now: time.Now,
		log: telemetry.New(out, function), metrics: telemetry.NewMetrics(out, time.Now, telemetry.EMF, function),
	}, nil
}

// makeWalls makes one wall for each target, in order of name. All of them share one
// pace, which keeps accounts and Regions apart: AWS WAF's rates hold for each.
func makeWalls(sdk aws.Config, targets []awswaf.Target) ([]enforce.Wall, error) {
	pace := awswaf.NewPace(awswaf.WriteEvery, awswaf.ReadEvery)
	walls := make([]enforce.Wall, len(targets))
	for i, t := range targets {
		firewall, err := awswaf.New(sdk, t, awswaf.WithPace(pace))
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", t.Name, err)
		}
		walls[i] = enforce.Wall{
			Name: t.Name, Firewall: firewall, Limits: waf.Limits{SetSize: firewall.Target().SetSize}, Policy: t.Policy(),
		}
	}
	slices.SortFunc(walls, func(a, b enforce.Wall) int { return strings.Compare(a.Name, b.Name) })
	return walls, nil
}
