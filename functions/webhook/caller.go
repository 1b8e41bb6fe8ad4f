package main

import (
	"context"
	"errors"

	"github.com/aliyun/fc-runtime-go-sdk/fccontext"

	"github.com/tracewall/tracewall/shared/fcinvoke"
	"github.com/tracewall/tracewall/shared/secret"
)

type callerKey struct{}

// withCaller keeps who calls, and with which credentials, where callerFrom finds it.
// It is done once an event: the SDK's FromContext writes to what it returns, and one
// event may start several invocations at the same time.
func withCaller(ctx context.Context) (with context.Context, requestID string) {
	fctx, ok := fccontext.FromContext(ctx)
	if !ok {
		return ctx, ""
	}
	return context.WithValue(ctx, callerKey{}, fcinvoke.Identity{
		AccountID:     fctx.AccountId,
		Region:        fctx.Region,
		AccessKeyID:   fctx.Credentials.AccessKeyId,
		AccessKey:     secret.Secret(fctx.Credentials.AccessKeySecret),
		SecurityToken: secret.Secret(fctx.Credentials.SecurityToken),
	}), fctx.RequestID
}

// callerFrom is the fcinvoke.Config.Identity of this function: credentials come with
// each invocation, since those in the environment end after 36 hours.
func callerFrom(ctx context.Context) (fcinvoke.Identity, error) {
	id, ok := ctx.Value(callerKey{}).(fcinvoke.Identity)
	if !ok {
		return fcinvoke.Identity{}, errors.New("not called by function compute")
	}
	return id, nil
}
