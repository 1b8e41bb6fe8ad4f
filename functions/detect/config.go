package main

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/cls"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/fccall"
	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/settings"
)

// Defaults and bounds of the settings.
const (
	defaultFormat   = "story"
	defaultLookback = 30 * time.Minute
	minLookback     = 2 * time.Minute
	maxLookback     = 24 * time.Hour // what an SLS alert's own query may span
	defaultMaxNew   = 50_000         // new blocks per run before the brake holds
	maxMaxNew       = 1_000_000
)

// The log services' own naming rules.
var (
	topicID      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)
	projectName  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)
	logstoreName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]$`)
	regionName   = regexp.MustCompile(`^[a-z]+(-[a-z0-9]+){1,4}$`)
)

// config is what the function reads from its environment, checked.
type config struct {
	// Source (LOG_SOURCE) says which log service holds the logs, "sls" or "cls": Alibaba
	// Cloud's or Tencent Cloud's. What only the other one needs may be left out.
	Source string
	// Endpoint (SLS_ENDPOINT) is the Log Service to ask, as a host name or, on a
	// laptop, as http://127.0.0.1:PORT. Required for sls.
	Endpoint string
	// Project (SLS_PROJECT) and Logstore (SLS_LOGSTORE) are where the logs are. Required for sls.
	Project, Logstore string
	// Region (SLS_REGION) makes requests signed the newer way (V4). Optional.
	Region string
	// CLS is where the logs are and how to get at them. Required for cls.
	CLS clsConfig
	// Fields (FIELD_ADDRESS, FIELD_STATUS) are the names that fields have in these logs,
	// for rules that leave them open. They become part of queries and so must be identifiers.
	Fields map[string]string
	// RedisURL (REDIS_URL) is where the blocklist is: redis://, or rediss:// for
	// TLS, with user and password. Required.
	RedisURL secret.Secret
	// Format (FORMAT) says which log lines the logstore holds, and so which rules fit it.
	Format string
	// Rules (RULES) are the rules to run, given as ids with commas between them; none
	// means every rule for Format. BLOCK_TERM, one minute to 720 hours, overrides how long each of them blocks.
	Rules []detect.Rule
	// Lookback (LOOKBACK) is how far a rule's first run goes back.
	Lookback time.Duration
	// Enforce (MODE) is true for "enforce". Without it, or with "observe", verdicts
	// are reported and nobody is blocked: whoever deploys it first looks.
	Enforce bool
	// MaxNew (MAX_NEW) is the brake: a run that would add more blocks than this
	// adds none and fails.
	MaxNew int
	// Keys are the environment's credentials, for a laptop. FC hands fresh ones with each call, and those win.
	Keys fccall.Keys
}

// clsConfig says where the logs are in Tencent Cloud.
type clsConfig struct {
	Region   string // CLS_REGION
	Topic    string // CLS_TOPIC: the topic's id
	Endpoint string // CLS_ENDPOINT: the public one unless set; http://127.0.0.1:PORT on a laptop
	// Keys (TENCENTCLOUD_SECRET_ID, TENCENTCLOUD_SECRET_KEY, TENCENTCLOUD_TOKEN) are of
	// a user who may call cls:SearchLog on the topic and nothing else. Function Compute
	// hands out none for another cloud, so they stand in the environment.
	Keys tencentKeys
}

// loadConfig reads and checks the environment. It reports every problem at once,
// and never takes a default in place of a value that is wrong. An empty value
// counts as absent: deploy files cannot leave a variable out.
func loadConfig(lookup func(string) (string, bool)) (config, error) {
	r := settings.Reader{Lookup: lookup}
	source := r.Choice("LOG_SOURCE", detect.SLS, detect.Dialects()...)
	// What the other log service needs may be absent, but never wrong.
	forSource := map[string]func(string, func(string) bool, string) string{detect.SLS: r.Matching, detect.CLS: r.Matching}
	forSource[source] = r.RequiredMatching
	onSLS, onCLS := forSource[detect.SLS], forSource[detect.CLS]
	cfg := config{
		Source:   source,
		Endpoint: onSLS("SLS_ENDPOINT", isEndpoint, "a host such as cn-hangzhou-intranet.log.aliyuncs.com, or http://HOST:PORT"),
		Project:  onSLS("SLS_PROJECT", projectName.MatchString, "3 to 63 of a-z, 0-9 and -"),
		Logstore: onSLS("SLS_LOGSTORE", logstoreName.MatchString, "3 to 63 of a-z, 0-9, - and _"),
		Region:   r.Matching("SLS_REGION", regionName.MatchString, "a region id such as cn-hangzhou"),
		CLS: clsConfig{
			Region:   onCLS("CLS_REGION", regionName.MatchString, "a region id such as ap-guangzhou"),
			Topic:    onCLS("CLS_TOPIC", topicID.MatchString, "a topic's id, such as 682d0718-07bb-4ec0-9fda-f1e9a2767e0b"),
			Endpoint: r.Matching("CLS_ENDPOINT", isCLSEndpoint, "a host such as "+cls.DefaultEndpoint+", or http://127.0.0.1:PORT"),
			Keys: tencentKeys{
				ID:    r.Get("TENCENTCLOUD_SECRET_ID"),
				Key:   secret.Secret(r.Get("TENCENTCLOUD_SECRET_KEY")),
				Token: secret.Secret(r.Get("TENCENTCLOUD_TOKEN")),
			},
		},
		RedisURL: r.Address("REDIS_URL", redisstore.AddressForm, redisstore.CheckAddress),
		Format:   r.Choice("FORMAT", defaultFormat, detect.Formats()...),
		Lookback: r.Duration("LOOKBACK", defaultLookback, minLookback, maxLookback),
		Enforce:  r.Choice("MODE", "observe", "enforce", "observe") == "enforce",
		MaxNew:   r.Number("MAX_NEW", defaultMaxNew, 1, maxMaxNew),
		Keys:     fccall.ReadKeys(&r),
	}
	for field, name := range map[string]string{
		"address": r.Matching("FIELD_ADDRESS", detect.ValidField, detect.WantField),
		"status":  r.Matching("FIELD_STATUS", detect.ValidField, detect.WantField),
	} {
		if name != "" && detect.ValidField(name) {
			if cfg.Fields == nil {
				cfg.Fields = map[string]string{}
			}
			cfg.Fields[field] = name
		}
	}
	cfg.Rules = chooseRules(&r, "RULES", cfg, r.Duration("BLOCK_TERM", 0, blocklist.MinTerm, blocklist.MaxTerm))
	if k := cfg.CLS.Keys; source == detect.CLS && (k.ID == "" || k.Key == "") {
		r.Problem("TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY: want both where LOG_SOURCE is cls: the key of a user who may call cls:SearchLog")
	}
	if err := r.Err(); err != nil {
		return config{}, err
	}
	return cfg, nil
}

// chooseRules returns the rules that the key names, or all that read the format, as
// they are asked on the log service and with the fields of the configuration.
func chooseRules(r *settings.Reader, key string, cfg config, term time.Duration) []detect.Rule {
	ids := r.Words(key, maxRules, maxRuleID)
	shipped, err := detect.Shipped()
	if err != nil {
		r.Problem("rules: %w", err)
		return nil
	}
	if !slices.Contains(detect.Formats(), cfg.Format) || !slices.Contains(detect.Dialects(), cfg.Source) {
		return nil // said already
	}
	rules := detect.ForFormat(shipped, cfg.Format)
	if len(rules) == 0 {
		r.Problem("FORMAT %q: there is no rule for it", cfg.Format)
	}
	if ids != nil {
		if rules, err = detect.Select(rules, ids); err != nil {
			r.Problem("%s: %w", key, err)
		}
	}
	chosen := make([]detect.Rule, 0, len(rules))
	for _, rule := range rules {
		in, ok := rule.In(cfg.Source)
		if !ok {
			r.Problem("%s: rule %s has no query for LOG_SOURCE %s: leave it out, or give it one under dialects", key, rule.ID, cfg.Source)
			continue
		}
		if in, err = in.WithFields(cfg.Fields); err != nil {
			r.Problem("%w", err)
			continue
		}
		if term > 0 {
			in.Term = term
		}
		chosen = append(chosen, in)
	}
	return chosen
}

func isCLSEndpoint(text string) bool {
	_, _, err := cls.ParseEndpoint(text)
	return err == nil
}

// isEndpoint accepts a bare host, or an http or https URL that is no more than a
// host; https needs a name, whose certificate can be checked.
func isEndpoint(text string) bool {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	_, err = netip.ParseAddr(u.Hostname())
	return u.Scheme == "http" || u.Scheme == "https" && err != nil
}
