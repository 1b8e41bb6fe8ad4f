package main

import (
	"context"
	"fmt"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
)

// awsCloud is AWS WAF, which sync-aws-waf keeps.
func awsCloud() cloud {
	return cloud{
		kind: "aws-waf", title: "AWS WAF", setting: "WAF_TARGETS",
		example: `[{"name":"edge","region":"eu-west-1","scope":"REGIONAL","mode":"web-acl","web_acl":"edge","action":"block","priority":101}]`,
		modes:   []string{awswaf.ModeWebACL, awswaf.ModeRuleGroup, awswaf.ModeIPSet},
		parse: func(text string) ([]target, error) {
			specs, err := awswaf.ParseTargets(text)
			targets := make([]target, len(specs))
			for i, s := range specs {
				targets[i] = target{kind: "aws-waf", name: s.Name, mode: s.Mode, limits: waf.Limits{SetSize: s.SetSize}, policy: s.Policy(), spec: s}
			}
			return targets, err
		},
		connect: func(ctx context.Context, _ *app) (opener, error) {
			sdk, err := awsconfig.LoadDefaultConfig(ctx)
			if err != nil {
				return nil, usageError{fmt.Errorf("load aws configuration: %w", err)}
			}
			pace := awswaf.NewPace(awswaf.WriteEvery, awswaf.ReadEvery) // AWS WAF's rates hold for the account
			return func(t target) (waf.Firewall, error) {
				return awswaf.New(sdk, t.spec.(awswaf.Target), awswaf.WithPace(pace))
			}, nil
		},
	}
}
