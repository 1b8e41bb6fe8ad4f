package main

import (
	"github.com/tracewall/tracewall/shared/settings"
	"github.com/tracewall/tracewall/shared/syncrun"
	"github.com/tracewall/tracewall/shared/waf/awswaf"
)

// config is what the function reads from its environment, checked.
type config struct {
	syncrun.Settings // what all sync functions read: REDIS_URL, SYNC_MODE, WAIT
	// Targets (WAF_TARGETS) are the walls to keep equal to the list: a JSON array of
	// {name, region, scope, mode, web_acl, action, priority, set_size, role_arn, external_id,
	// groups, ip_sets, response, forwarded, logged_from, drift, max_release, max_add,
	// ip_set_quota}; awswaf.ParseTargets tells what each may be. Required.
	Targets []awswaf.Target
}

// loadConfig reads and checks the environment. It reports every problem at once,
// and never takes a default in place of a value that is wrong. An empty value
// counts as absent: deploy files cannot leave a variable out.
//
// AWS_REGION, the credentials, AWS_ENDPOINT_URL_WAFV2 and AWS_ENDPOINT_URL_STS are the AWS SDK's own to read.
func loadConfig(lookup syncrun.Environment) (config, error) {
	r := settings.Reader{Lookup: lookup}
	cfg := config{
		Settings: syncrun.ReadSettings(&r),
		Targets:  syncrun.ReadTargets(&r, "WAF_TARGETS", wantTargets, awswaf.ParseTargets),
	}
	return cfg, r.Err()
}

const wantTargets = `a JSON array of targets, e.g. [{"name":"edge","region":"eu-west-1","scope":"REGIONAL","mode":"web-acl","web_acl":"edge","action":"block","priority":100}]`
