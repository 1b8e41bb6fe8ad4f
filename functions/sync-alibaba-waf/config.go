package main

import (
	"context"

	"github.com/tracewall/tracewall/shared/fccall"
	"github.com/tracewall/tracewall/shared/settings"
	"github.com/tracewall/tracewall/shared/syncrun"
	"github.com/tracewall/tracewall/shared/waf/aliwaf"
)

// config is what the function reads from its environment, checked.
type config struct {
	syncrun.Settings // what all sync functions read: REDIS_URL, SYNC_MODE, WAIT
	// Targets (ALIBABA_TARGETS) are the walls to keep equal to the list: a JSON array
	// of {name, region, mode, …}; aliwaf.ParseTargets tells what each may be. Required.
	Targets []aliwaf.Target
	// Endpoint (ALIBABA_ENDPOINT_URL) replaces the public endpoints of all services, for
	// a stand-in on a laptop. Empty when deployed.
	Endpoint string
	// Keys are the environment's credentials, for a laptop. FC hands fresh ones with each call, and those win.
	Keys fccall.Keys
}

// loadConfig reads and checks the environment. It reports every problem at once,
// and never takes a default in place of a value that is wrong. An empty value
// counts as absent: deploy files cannot leave a variable out.
func loadConfig(lookup syncrun.Environment) (config, error) {
	r := settings.Reader{Lookup: lookup}
	cfg := config{
		Settings: syncrun.ReadSettings(&r),
		Targets:  syncrun.ReadTargets(&r, "ALIBABA_TARGETS", wantTargets, aliwaf.ParseTargets),
		Endpoint: syncrun.ReadEndpoint(&r, "ALIBABA_ENDPOINT_URL", aliwaf.CheckEndpoint),
		Keys:     fccall.ReadKeys(&r),
	}
	return cfg, r.Err()
}

const wantTargets = `a JSON array of targets, e.g. [{"name":"shop","region":"cn-hangzhou","mode":"auto","action":"block"}]`

// credentials is the aliwaf.Config.Credentials of this function: those of the call. Where there are
// none, aliwaf says what to do.
func (c config) credentials(ctx context.Context) (aliwaf.Credentials, error) {
	k := c.Keys.Of(ctx)
	return aliwaf.Credentials{AccessKeyID: k.ID, AccessKeySecret: k.Secret, SecurityToken: k.Token}, nil
}
