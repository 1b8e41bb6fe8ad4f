package main

import (
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/settings"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
)

// config is what the function reads from its environment, checked.
type config struct {
	// RedisURL (REDIS_URL) is where the blocklist is: redis://, or rediss:// for
	// TLS, with user and password. Required.
	RedisURL secret.Secret
	// Targets (WAF_TARGETS) are the walls to keep equal to the list: a JSON array of
	// {name, region, scope, mode, web_acl, action, priority, set_size}. Required.
	Targets []awswaf.Target
	// Enforce (SYNC_MODE) is true for "enforce". Without it, or with "observe", the
	// function plans and reports and writes nothing: whoever deploys it first looks.
	Enforce bool
}

// loadConfig reads and checks the environment. It reports every problem at once,
// and never takes a default in place of a value that is wrong. An empty value
// counts as absent: deploy files cannot leave a variable out.
//
// AWS_REGION, the credentials and AWS_ENDPOINT_URL_WAFV2 are the AWS SDK's own to read.
func loadConfig(lookup func(string) (string, bool)) (config, error) {
	r := settings.Reader{Lookup: lookup}
	cfg := config{
		RedisURL: r.Address("REDIS_URL", redisstore.AddressForm, redisstore.CheckAddress),
		Enforce:  r.Choice("SYNC_MODE", "observe", "enforce", "observe") == "enforce",
	}
	const want = `a JSON array of targets, e.g. [{"name":"edge","region":"eu-west-1","scope":"REGIONAL","mode":"web-acl","web_acl":"edge","action":"block","priority":100}]`
	if text := r.Required("WAF_TARGETS", want); text != "" {
		targets, err := awswaf.ParseTargets(text)
		r.Check("WAF_TARGETS", err)
		cfg.Targets = targets
	}
	if err := r.Err(); err != nil {
		return config{}, err
	}
	return cfg, nil
}
