package main

import (
	"context"
	"errors"

	"github.com/aliyun/fc-runtime-go-sdk/fccontext"

	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/sls"
)

// keys are an Alibaba Cloud access key, or temporary credentials when Token is set.
type keys struct {
	ID            string
	Secret, Token secret.Secret
}

// errNoCredentials means that the function has no role, and no key in its environment either.
var errNoCredentials = errors.New("no credentials: give the function a role, or set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET")

type callKey struct{}

// withCallKeys keeps the keys that FC handed over with this very call where
// credentials finds them. It is done once a call: the SDK's FromContext writes to
// what it returns, and a run asks for credentials from several goroutines.
func withCallKeys(ctx context.Context) context.Context {
	fctx, ok := fccontext.FromContext(ctx)
	if !ok || fctx.Credentials.AccessKeyId == "" {
		return ctx
	}
	c := fctx.Credentials
	return context.WithValue(ctx, callKey{}, keys{
		ID: c.AccessKeyId, Secret: secret.Secret(c.AccessKeySecret), Token: secret.Secret(c.SecurityToken),
	})
}

// credentials returns the keys of this call. They last 36 hours while an instance
// may live longer, so the environment, fixed when the process started, comes
// second: it is for a laptop.
func (k keys) credentials(ctx context.Context) (sls.Credentials, error) {
	if call, ok := ctx.Value(callKey{}).(keys); ok {
		k = call
	}
	if k.ID == "" {
		return sls.Credentials{}, errNoCredentials
	}
	return sls.Credentials{AccessKeyID: k.ID, AccessKeySecret: k.Secret.Reveal(), SecurityToken: k.Token.Reveal()}, nil
}
