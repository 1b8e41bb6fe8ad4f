// Package fccall gives a function on Alibaba Cloud Function Compute the access key of each call.
//
// FC hands a function with a role fresh keys with every call. They last 36 hours, while an
// instance may live longer, so those that the environment was given when the process
// started come second: they are for a laptop. A handler wraps its context with WithKeys,
// and its clients ask Keys.Of where they sign.
package fccall

import (
	"context"

	"github.com/aliyun/fc-runtime-go-sdk/fccontext"

	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/settings"
)

// Keys are an Alibaba Cloud access key, or temporary credentials when Token is set. The zero value is none.
type Keys struct {
	ID            string
	Secret, Token secret.Secret
}

// ReadKeys reads the environment's keys: ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and, of
// temporary ones, ALIBABA_CLOUD_SECURITY_TOKEN. None at all is no problem, half of them is.
func ReadKeys(r *settings.Reader) Keys {
	keys := Keys{
		ID:     r.Get("ALIBABA_CLOUD_ACCESS_KEY_ID"),
		Secret: secret.Secret(r.Get("ALIBABA_CLOUD_ACCESS_KEY_SECRET")),
		Token:  secret.Secret(r.Get("ALIBABA_CLOUD_SECURITY_TOKEN")),
	}
	if (keys.ID == "") != (keys.Secret == "") {
		r.Problem("ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET: want both or neither")
	}
	return keys
}

type callKey struct{}

// WithKeys keeps the keys that FC handed over with this very call where Keys.Of finds
// them. It is done once a call: the SDK's FromContext writes to what it returns, and
// clients ask for credentials from several goroutines.
func WithKeys(ctx context.Context) context.Context {
	fctx, ok := fccontext.FromContext(ctx)
	if !ok || fctx.Credentials.AccessKeyId == "" {
		return ctx
	}
	c := fctx.Credentials
	return context.WithValue(ctx, callKey{}, Keys{
		ID: c.AccessKeyId, Secret: secret.Secret(c.AccessKeySecret), Token: secret.Secret(c.SecurityToken),
	})
}

// Of returns the keys of the call that ctx belongs to, and k where it came with none. Safe for concurrent use.
func (k Keys) Of(ctx context.Context) Keys {
	if call, ok := ctx.Value(callKey{}).(Keys); ok {
		return call
	}
	return k
}
