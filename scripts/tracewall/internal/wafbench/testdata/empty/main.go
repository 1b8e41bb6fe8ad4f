// Command empty is a Lambda function that does nothing: what is left of the time until
// it answers is the runtime's, and no function takes less.
package main

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	lambda.Start(func(context.Context, json.RawMessage) (string, error) { return "", nil })
}
