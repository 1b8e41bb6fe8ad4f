package main

import (
	"context"

	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/settings"
	"github.com/tracewall/tracewall/shared/syncrun"
	"github.com/tracewall/tracewall/shared/waf/tencentfw"
)

// config is what the function reads from its environment, checked.
type config struct {
	syncrun.Settings // what all sync functions read: REDIS_URL, SYNC_MODE, WAIT
	// Targets (TENCENT_TARGETS) are the walls to keep equal to the list: a JSON array
	// of {name, region, mode, …}; tencentfw.ParseTargets tells what each may be. Required.
	Targets []tencentfw.Target
	// Endpoint (TENCENT_ENDPOINT_URL) replaces the public endpoints of all services, for
	// a stand-in on a laptop. Empty when deployed.
	Endpoint string
	// SecretID and SecretKey (TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY) are the key of a sub-user
	// with infra/tencent/sync-tencent-policy.json and nothing else. Required. Token
	// (TENCENTCLOUD_TOKEN) belongs to a temporary key.
	SecretID         string
	SecretKey, Token secret.Secret
}

// loadConfig reads and checks the environment. It reports every problem at once,
// and never takes a default in place of a value that is wrong. An empty value
// counts as absent: deploy files cannot leave a variable out.
func loadConfig(lookup syncrun.Environment) (config, error) {
	r := settings.Reader{Lookup: lookup}
	cfg := config{
		Settings:  syncrun.ReadSettings(&r),
		Targets:   syncrun.ReadTargets(&r, "TENCENT_TARGETS", wantTargets, tencentfw.ParseTargets),
		Endpoint:  syncrun.ReadEndpoint(&r, "TENCENT_ENDPOINT_URL", tencentfw.CheckEndpoint),
		SecretID:  r.Required("TENCENTCLOUD_SECRET_ID", "the id of a Tencent Cloud API key"),
		SecretKey: secret.Secret(r.Required("TENCENTCLOUD_SECRET_KEY", "the secret of that key")),
		Token:     secret.Secret(r.Get("TENCENTCLOUD_TOKEN")),
	}
	return cfg, r.Err()
}

const wantTargets = `a JSON array of targets, e.g. [{"name":"edge","region":"ap-guangzhou","mode":"security-group","security_groups":["sg-33ocnj9n"]}]`

// credentials is the tencentfw.Config.Credentials of this function. Function Compute knows
// no key of Tencent Cloud, so they are the environment's.
func (c config) credentials(context.Context) (tencentfw.Credentials, error) {
	return tencentfw.Credentials{SecretID: c.SecretID, SecretKey: c.SecretKey, Token: c.Token}, nil
}
