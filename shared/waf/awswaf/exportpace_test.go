package awswaf

import (
	"context"

	"github.com/aws/smithy-go"
)

// BadEntry finds the address that an error names.
var BadEntry = badEntry

// Begin waits for a turn.
func Begin(p *Pace, ctx context.Context, account, region, action string) (done func(error), err error) {
	return p.begin(ctx, account, region, action)
}

// APIError is an error of AWS that the SDK has no type for.
func APIError(code, message string) error {
	return &smithy.GenericAPIError{Code: code, Message: message}
}
