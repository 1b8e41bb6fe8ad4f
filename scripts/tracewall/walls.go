package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
)

// wallKind names AWS WAF in leases and consumer groups, as the function sync-aws-waf does.
const wallKind = "aws-waf"

// targets reads WAF_TARGETS, with all that is wrong with it at once, in order of name.
func (a *app) targets() ([]awswaf.Target, error) {
	text, _ := a.lookup("WAF_TARGETS")
	if strings.TrimSpace(text) == "" {
		return nil, usagef(`WAF_TARGETS is not set: want a JSON array of targets, e.g. [{"name":"edge","region":"eu-west-1","scope":"REGIONAL","mode":"web-acl","web_acl":"edge","action":"block","priority":101}]`)
	}
	targets, err := awswaf.ParseTargets(text)
	if err != nil {
		return nil, usageError{fmt.Errorf("WAF_TARGETS: %w", err)}
	}
	slices.SortFunc(targets, func(a, b awswaf.Target) int { return strings.Compare(a.Name, b.Name) })
	return targets, nil
}

// names is a flag that may be given several times.
type names []string

func (n *names) String() string { return strings.Join(*n, ",") }

// Set implements flag.Value.
func (n *names) Set(text string) error {
	if text == "" {
		return fmt.Errorf("want a name from WAF_TARGETS")
	}
	*n = append(*n, text)
	return nil
}

var _ flag.Value = (*names)(nil)

// chosen returns the targets of these names, or all of them for none.
func chosen(targets []awswaf.Target, wanted names) ([]awswaf.Target, error) {
	if len(wanted) == 0 {
		return targets, nil
	}
	var some []awswaf.Target
	for _, t := range targets {
		if slices.Contains(wanted, t.Name) {
			some = append(some, t)
		}
	}
	for _, name := range wanted {
		if !slices.ContainsFunc(targets, func(t awswaf.Target) bool { return t.Name == name }) {
			known := make([]string, len(targets))
			for i, t := range targets {
				known[i] = t.Name
			}
			return nil, usagef("--target %q: want a name from WAF_TARGETS: %s", name, strings.Join(known, ", "))
		}
	}
	return some, nil
}

// awsSettings reads what the AWS SDK reads: credentials, profile, endpoints. It makes no call.
func awsSettings(ctx context.Context) (aws.Config, error) {
	sdk, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return aws.Config{}, usageError{fmt.Errorf("load aws configuration: %w", err)}
	}
	return sdk, nil
}

// makeWalls makes one wall for each target. All of them share one pace: AWS WAF's
// rates hold for the account.
func makeWalls(sdk aws.Config, targets []awswaf.Target) ([]enforce.Wall, error) {
	pace := awswaf.NewPace(awswaf.WriteEvery, awswaf.ReadEvery)
	walls := make([]enforce.Wall, len(targets))
	for i, t := range targets {
		firewall, err := awswaf.New(sdk, t, awswaf.WithPace(pace))
		if err != nil {
			return nil, usageError{fmt.Errorf("target %s: %w", t.Name, err)}
		}
		walls[i] = enforce.Wall{
			Name: t.Name, Firewall: firewall, Limits: waf.Limits{SetSize: firewall.Target().SetSize}, Policy: t.Policy(),
		}
	}
	return walls, nil
}
