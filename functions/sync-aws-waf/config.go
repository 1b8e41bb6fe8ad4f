package main

import (
	"fmt"
	"strconv"
	"time"

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
	// {name, region, scope, mode, web_acl, action, priority, set_size, role_arn, external_id,
	// groups, ip_sets, response, forwarded, logged_from, drift, max_release, max_add,
	// ip_set_quota}; awswaf.ParseTargets tells what each may be. Required.
	Targets []awswaf.Target
	// Enforce (SYNC_MODE) is true for "enforce". Without it, or with "observe", the
	// function plans and reports and writes nothing: whoever deploys it first looks.
	Enforce bool
	// Wait (WAIT) is how long after its start a scheduled run stays on the handoff
	// stream, to enforce at once what is announced: a Go duration or seconds, default
	// 50 s of the schedule's minute, 0 to leave at once, at most 120 s. Staying costs
	// the function's time. A run leaves earlier when its own timeout comes near.
	Wait time.Duration
}

// Bounds of WAIT.
const (
	defaultWait = 50 * time.Second
	maxWait     = 120 * time.Second
	wantWait    = "a duration such as 50s, or seconds, 0 to 120s"
)

// parseWait reads a duration, or a whole number of seconds.
func parseWait(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if n, nerr := strconv.Atoi(text); nerr == nil && n <= int(maxWait/time.Second) {
		d, err = time.Duration(n)*time.Second, nil
	}
	if err != nil || d < 0 || d > maxWait {
		return 0, fmt.Errorf("want %s", wantWait)
	}
	return d, nil
}

// loadConfig reads and checks the environment. It reports every problem at once,
// and never takes a default in place of a value that is wrong. An empty value
// counts as absent: deploy files cannot leave a variable out.
//
// AWS_REGION, the credentials, AWS_ENDPOINT_URL_WAFV2 and AWS_ENDPOINT_URL_STS are the AWS SDK's own to read.
func loadConfig(lookup func(string) (string, bool)) (config, error) {
	r := settings.Reader{Lookup: lookup}
	cfg := config{
		RedisURL: r.Address("REDIS_URL", redisstore.AddressForm, redisstore.CheckAddress),
		Enforce:  r.Choice("SYNC_MODE", "observe", "enforce", "observe") == "enforce",
		Wait:     defaultWait,
	}
	if text := r.Get("WAIT"); text != "" {
		wait, err := parseWait(text)
		if err != nil {
			r.Wrong("WAIT", text, wantWait)
		}
		cfg.Wait = wait
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
