//go:build cgo

package localcloud

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/functiontest"
	"github.com/tracewall/tracewall/shared/sls"
	"github.com/tracewall/tracewall/shared/sls/slstest"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// What things are called here.
const (
	Project      = "tracewall-local"
	AccessKeyID  = "tracewall-local"
	AccessSecret = "for-this-laptop-only"
	wafRegion    = "eu-west-1"
	wafScope     = "REGIONAL"
	wafACL       = "shop"
	TargetName   = "shop"
	webhookToken = "local-webhook-token-for-this-laptop-only" // as events/webhook.alert.json has it
	detectName   = "sls-ops-tracewall-detect"
)

// Config says how the local cloud is made.
type Config struct {
	Root     string           // of the module, to build the functions from
	Clock    func() time.Time // Redis' and the functions' events'
	Logstore string
	Fields   []string // of the logstore, all text
	Format   string   // of the logs: which rules run
	Term     time.Duration
	Lookback time.Duration
	Latency  time.Duration // of each WAF call
	Rates    bool          // the WAF throttles as AWS does
	Logs     io.Writer     // gets what the functions log; nil drops it
}

// Cloud is a running local cloud. Its methods are safe for concurrent use.
type Cloud struct {
	cfg   Config
	redis *redisServer
	store *redisstore.Store
	logs  *slstest.Server
	put   *sls.Client
	wall  *waftest.AWS
	api   *functiontest.FCAPI
	began map[string]string // the user's own rules before anything was done

	wallURL, apiURL string

	detect, webhook, sync *functiontest.Function
	async                 chan asyncRun
}

// New starts everything but the functions.
func New(ctx context.Context, cfg Config) (*Cloud, error) {
	c := &Cloud{cfg: cfg, async: make(chan asyncRun, 16)}
	if err := c.start(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Cloud) start(ctx context.Context) (err error) {
	if c.redis, err = startRedis(c.cfg.Clock); err != nil {
		return err
	}
	if c.store, err = redisstore.Open(ctx, c.redis.url()); err != nil {
		return err
	}
	if c.logs, c.put, err = StartLogs(c.cfg.Logstore, c.cfg.Fields); err != nil {
		return err
	}
	c.wall = waftest.NewAWS(waftest.AWSOptions{Latency: c.cfg.Latency, RateLimits: c.cfg.Rates})
	if c.wallURL, err = c.wall.Start(); err != nil {
		return err
	}
	if err := c.wall.SeedWebACL(wafRegion, wafScope, wafACL); err != nil {
		return err
	}
	if err := c.wall.Associate(wafRegion, wafACL, protected); err != nil {
		return err
	}
	if c.began, err = c.wall.Rules(wafRegion, wafScope, wafACL); err != nil {
		return err
	}
	c.api = functiontest.NewFCAPI(functiontest.FCAPIConfig{Credentials: keys, Retries: -1})
	c.apiURL, err = c.api.Start(ctx)
	return err
}

// protected is what the web ACL protects. A wall that protects nothing is not in force.
const protected = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/shop/50dc6c495c0c9188"

// keys are what everything here is signed with. They open nothing but loopback ports.
var keys = functiontest.Credentials{AccessKeyID: AccessKeyID, AccessKeySecret: AccessSecret}

// StartLogs starts the Log Service alone, with one logstore (none if the name is empty).
func StartLogs(logstore string, fields []string) (*slstest.Server, *sls.Client, error) {
	server, err := slstest.New(slstest.Config{Project: Project, AccessKeyID: AccessKeyID, AccessKeySecret: AccessSecret, AutoCreate: logstore == ""})
	if err != nil {
		return nil, nil, err
	}
	fail := func(err error) (*slstest.Server, *sls.Client, error) {
		return nil, nil, errors.Join(err, server.Close())
	}
	if err := server.Start(); err != nil {
		return fail(err)
	}
	if logstore != "" {
		index := make(map[string]slstest.FieldType, len(fields))
		for _, f := range fields {
			index[f] = slstest.Text
		}
		if err := server.CreateLogstore(logstore, index); err != nil {
			return fail(err)
		}
	}
	client, err := sls.New(sls.Config{
		Endpoint: server.Endpoint, Project: Project,
		Credentials: func(context.Context) (sls.Credentials, error) {
			return sls.Credentials{AccessKeyID: AccessKeyID, AccessKeySecret: AccessSecret}, nil
		},
	})
	if err != nil {
		return fail(err)
	}
	return server, client, nil
}

// StartFunctions builds the functions, as far as they are not built, and starts them.
// built is how many had to be built.
func (c *Cloud) StartFunctions(ctx context.Context) (built int, err error) {
	binaries, built, err := buildAll(ctx, c.cfg.Root)
	if err != nil {
		return 0, err
	}
	c.api.Handle(detectName, c.handleAsync)
	return built, c.startFunctions(ctx, binaries)
}

// RestartFunctions starts them anew: cold. No event may be under way.
func (c *Cloud) RestartFunctions(ctx context.Context) error {
	binaries, _, err := buildAll(ctx, c.cfg.Root)
	if err != nil {
		return err
	}
	c.closeFunctions()
	return c.startFunctions(ctx, binaries)
}

func (c *Cloud) startFunctions(ctx context.Context, binaries []string) error {
	var start errgroup.Group
	start.Go(func() (err error) {
		c.detect, err = functiontest.StartFC(ctx, c.function(detectName, binaries[0], 3*time.Minute, c.detectEnv()))
		return err
	})
	start.Go(func() (err error) {
		c.webhook, err = functiontest.StartFC(ctx, c.function("tracewall-webhook", binaries[1], 10*time.Second, c.webhookEnv()))
		return err
	})
	start.Go(func() (err error) {
		cfg := c.function("SyncAwsWafFunction", binaries[2], 5*time.Minute, c.syncEnv())
		cfg.Region = wafRegion
		c.sync, err = functiontest.StartLambda(ctx, cfg)
		return err
	})
	return start.Wait()
}

func (c *Cloud) closeFunctions() {
	for _, f := range []*functiontest.Function{c.webhook, c.sync, c.detect} {
		if f != nil {
			f.Close()
		}
	}
}

func (c *Cloud) function(name, binary string, timeout time.Duration, env map[string]string) functiontest.Config {
	return functiontest.Config{Name: name, Binary: binary, Env: env, Timeout: timeout, Credentials: keys, Stderr: c.cfg.Logs}
}

func (c *Cloud) detectEnv() map[string]string {
	env := map[string]string{
		"SLS_ENDPOINT": c.logs.Endpoint, "SLS_PROJECT": Project, "SLS_LOGSTORE": c.cfg.Logstore,
		"REDIS_URL": c.redis.url(), "FORMAT": c.cfg.Format, "MODE": "enforce",
	}
	if c.cfg.Term > 0 {
		env["BLOCK_TERM"] = c.cfg.Term.String()
	}
	if c.cfg.Lookback > 0 {
		env["LOOKBACK"] = c.cfg.Lookback.String()
	}
	return env
}

func (c *Cloud) webhookEnv() map[string]string {
	return map[string]string{
		"WEBHOOK_TOKEN": webhookToken, "ALERT_RULES": `{"` + alertID + `":"rate-limit-address"}`,
		"DETECT_FUNCTION": detectName, "FC_ENDPOINT": c.apiURL, "REDIS_URL": c.redis.url(),
	}
}

func (c *Cloud) syncEnv() map[string]string {
	return map[string]string{
		"REDIS_URL": c.redis.url(), "SYNC_MODE": "enforce", "AWS_ENDPOINT_URL": c.wallURL,
		"WAIT":        "0", // Sync answers at once; who wants to see it stay calls Stay
		"WAF_TARGETS": fmt.Sprintf(`[{"name":%q,"region":%q,"scope":%q,"mode":"web-acl","web_acl":%q,"action":"block","priority":100}]`, TargetName, wafRegion, wafScope, wafACL),
	}
}

// Close ends everything. It may be called on a cloud that never started whole.
func (c *Cloud) Close() {
	c.closeFunctions()
	if c.api != nil {
		c.api.Close()
	}
	if c.wall != nil {
		_ = c.wall.Close()
	}
	if c.put != nil {
		c.put.Close()
	}
	if c.logs != nil {
		_ = c.logs.Close()
	}
	if c.store != nil {
		_ = c.store.Close()
	}
	if c.redis != nil {
		c.redis.close()
	}
}

// Store is the blocklist.
func (c *Cloud) Store() *redisstore.Store { return c.store }

// Logs is the Log Service, for loading in bulk.
func (c *Cloud) Logs() *slstest.Server { return c.logs }

// Client speaks to the Log Service as every client does, through the SDK.
func (c *Cloud) Client() *sls.Client { return c.put }

// Endpoints tells where everything listens.
func (c *Cloud) Endpoints() (redis, logs, wall string) {
	return c.redis.url(), c.logs.Endpoint, c.wallURL
}

// Enforced is what the wall blocks by address, asked of the wall itself.
func (c *Cloud) Enforced() []netip.Prefix { return c.wall.Enforced(wafRegion, wafScope, wafACL) }

// Throttled returns how many calls the WAF has refused for coming too often.
func (c *Cloud) Throttled() int { return c.wall.Throttled() }

// TheirRules returns the names of the rules that were in the web ACL before, and
// whether every one of them is still there, byte for byte.
func (c *Cloud) TheirRules() (names []string, untouched bool) {
	now, err := c.wall.Rules(wafRegion, wafScope, wafACL)
	untouched = err == nil
	for name, rule := range c.began {
		names = append(names, name)
		untouched = untouched && now[name] == rule
	}
	return names, untouched
}

// Timings returns how long each function took, by folder.
func (c *Cloud) Timings() map[string]functiontest.Timings {
	return map[string]functiontest.Timings{"detect": c.detect.Timings(), "webhook": c.webhook.Timings(), "sync-aws-waf": c.sync.Timings()}
}
