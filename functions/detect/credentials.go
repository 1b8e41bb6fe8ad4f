package main

import (
	"context"
	"errors"

	"github.com/tracewall/tracewall/shared/cls"
	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/sls"
)

// errNoCredentials means that the function has no role, and no key in its environment either.
var errNoCredentials = errors.New("no credentials: give the function a role, or set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET")

// credentials is the sls.Config.Credentials of this function: those of the call.
func (c config) credentials(ctx context.Context) (sls.Credentials, error) {
	k := c.Keys.Of(ctx)
	if k.ID == "" {
		return sls.Credentials{}, errNoCredentials
	}
	return sls.Credentials{AccessKeyID: k.ID, AccessKeySecret: k.Secret.Reveal(), SecurityToken: k.Token.Reveal()}, nil
}

// tencentKeys are a Tencent Cloud API key, or temporary credentials when Token is set.
type tencentKeys struct {
	ID         string
	Key, Token secret.Secret
}

// credentials returns the keys of the environment, the only ones there are.
func (k tencentKeys) credentials(context.Context) (cls.Credentials, error) {
	return cls.Credentials{SecretID: k.ID, SecretKey: k.Key, Token: k.Token}, nil
}
