// Command onecall is a Lambda function that does nothing but make one call to AWS WAF:
// the SDK's part of the time until a function's first call.
package main

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
)

func main() {
	lambda.Start(func(ctx context.Context, _ json.RawMessage) (string, error) {
		cfg, err := config.LoadDefaultConfig(ctx)
		if err != nil {
			return "", err
		}
		_, err = wafv2.NewFromConfig(cfg).ListIPSets(ctx, &wafv2.ListIPSetsInput{Scope: types.ScopeRegional})
		return "", err
	})
}
