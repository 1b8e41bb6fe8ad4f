//go:build cgo

package localcloud

import (
	"context"
	"errors"
	"io"
	"strings"
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
	webhookToken = "local-webhook-token-for-this-laptop-only" // as events/webhook.alert.json has it
	detectName   = "sls-ops-tracewall-detect"
)

// Config says how the local cloud is made.
type Config struct {
	Root     string           // of the module, to build the functions from
	Clock    func() time.Time // Redis' and the functions' events'
	Logstore string
	Stream   bool              // the logstore is a stream, for a log of any length, which only its Stream writes to
	Fields   []string          // of the logstore, all text
	Format   string            // of the logs: which rules run
	Mapping  map[string]string // what the rules' fields are called in the logs, as far as they have names of their own
	Term     time.Duration
	Lookback time.Duration
	Latency  time.Duration // of each call to a wall
	Rates    bool          // the walls throttle as their clouds do
	OnlyAWS  bool          // no wall but AWS WAF
	Both     bool          // both of Alibaba Cloud WAF's ways, of which an instance needs one
	Past     bool          // Clock is not the wall clock: no wall that ends its entries by itself
	Logs     io.Writer     // gets what the functions log; nil drops it
}

// Cloud is a running local cloud. Its methods are safe for concurrent use.
type Cloud struct {
	cfg   Config
	redis *redisServer
	store *redisstore.Store
	logs  *slstest.Server
	lines *slstest.Stream // nil unless Config.Stream
	put   *sls.Client
	api   *functiontest.FCAPI

	walls   []Wall
	aws     *waftest.AWS
	alibaba *waftest.Alibaba
	tencent *waftest.Tencent
	began   map[string]string // the web ACL's own rules before anything was done

	awsURL, alibabaURL, tencentURL, apiURL string
	tencentGroup, tencentBalancer          string

	detect, webhook *functiontest.Function
	syncs           []*syncer
	async           chan asyncRun
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
	table := c.cfg.Logstore
	if c.cfg.Stream {
		table = ""
	}
	if c.logs, c.put, err = StartLogs(table, c.cfg.Fields); err != nil {
		return err
	}
	if c.cfg.Stream {
		if c.lines, err = c.logs.NewStream(slstest.StreamConfig{Logstore: c.cfg.Logstore, Fields: c.cfg.Fields, Memory: streamMemory}); err != nil {
			return err
		}
	}
	starts := []func() error{c.startAWS}
	if !c.cfg.OnlyAWS {
		starts = append(starts, c.startAlibaba, c.startTencent)
	}
	for _, start := range starts {
		if err := start(); err != nil {
			return err
		}
	}
	c.api = functiontest.NewFCAPI(functiontest.FCAPIConfig{Credentials: keys, Retries: -1})
	c.apiURL, err = c.api.Start(ctx)
	return err
}

// keys are what everything here is signed with. They open nothing but loopback ports.
var keys = functiontest.Credentials{AccessKeyID: AccessKeyID, AccessKeySecret: AccessSecret}

// streamMemory is how much of a long log stays in memory; what is more waits on disk.
const streamMemory = 256 << 20

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
	c.syncs = c.syncers()
	binaries, built, err := c.build(ctx)
	if err != nil {
		return 0, err
	}
	c.api.Handle(detectName, c.handleAsync)
	return built, c.startFunctions(ctx, binaries)
}

// RestartFunctions starts them anew: cold. No event may be under way.
func (c *Cloud) RestartFunctions(ctx context.Context) error {
	binaries, _, err := c.build(ctx)
	if err != nil {
		return err
	}
	c.closeFunctions()
	return c.startFunctions(ctx, binaries)
}

// build builds the functions that this cloud runs, and returns their binaries by folder.
func (c *Cloud) build(ctx context.Context) (binaries map[string]string, built int, err error) {
	folders := []string{"detect", "webhook"}
	for _, one := range c.syncs {
		folders = append(folders, one.folder)
	}
	return buildAll(ctx, c.cfg.Root, folders)
}

func (c *Cloud) startFunctions(ctx context.Context, binaries map[string]string) error {
	var start errgroup.Group
	start.Go(func() (err error) {
		c.detect, err = functiontest.StartFC(ctx, c.function(detectName, binaries["detect"], 3*time.Minute, c.detectEnv()))
		return err
	})
	start.Go(func() (err error) {
		c.webhook, err = functiontest.StartFC(ctx, c.function("tracewall-webhook", binaries["webhook"], 10*time.Second, c.webhookEnv()))
		return err
	})
	for _, one := range c.syncs {
		start.Go(func() error { return c.startSync(ctx, one, binaries[one.folder]) })
	}
	return start.Wait()
}

func (c *Cloud) closeFunctions() {
	all := []*functiontest.Function{c.webhook, c.detect}
	for _, one := range c.syncs {
		all = append(all, one.function)
	}
	for _, f := range all {
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
	for field, name := range c.cfg.Mapping {
		env["FIELD_"+strings.ToUpper(field)] = name
	}
	env["CRAWLER_DNS"] = "off" // a laptop's run must come out the same without a network
	if c.cfg.Past {
		// Shares and growth are for runs of a few minutes on a list that is there already. Here one
		// run judges a file of a few hundred lines, or a month; the first limit, on new ones in all, holds.
		env["MAX_SHARE"], env["MAX_GROWTH"], env["MAX_COUNTRY"], env["MAX_NETWORK"] = "0", "0", "0", "0"
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

// Close ends everything. It may be called on a cloud that never started whole.
func (c *Cloud) Close() {
	c.closeFunctions()
	if c.api != nil {
		c.api.Close()
	}
	if c.aws != nil {
		_ = c.aws.Close()
	}
	if c.alibaba != nil {
		_ = c.alibaba.Close()
	}
	if c.tencent != nil {
		_ = c.tencent.Close()
	}
	if c.put != nil {
		c.put.Close()
	}
	if c.lines != nil {
		_ = c.lines.Close()
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

// Stream returns the logstore of Config.Stream, to write to; else nil.
func (c *Cloud) Stream() *slstest.Stream { return c.lines }

// Client speaks to the Log Service as every client does, through the SDK.
func (c *Cloud) Client() *sls.Client { return c.put }

// Endpoints tells where everything listens.
func (c *Cloud) Endpoints() (redis, logs, aws, alibaba, tencent string) {
	return c.redis.url(), c.logs.Endpoint, c.awsURL, c.alibabaURL, c.tencentURL
}

// Timings returns how long each function took, by folder.
func (c *Cloud) Timings() map[string]functiontest.Timings {
	all := map[string]functiontest.Timings{"detect": c.detect.Timings(), "webhook": c.webhook.Timings()}
	for _, one := range c.syncs {
		all[one.folder] = one.function.Timings()
	}
	return all
}
