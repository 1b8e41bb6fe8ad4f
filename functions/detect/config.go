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
	"github.com/tracewall/tracewall/shared/detect"
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

// SLS's own naming rules.
var (
	projectName  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)
	logstoreName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]$`)
	regionName   = regexp.MustCompile(`^[a-z]+(-[a-z0-9]+){1,4}$`)
)

// config is what the function reads from its environment, checked.
type config struct {
	// Endpoint (SLS_ENDPOINT) is the Log Service to ask, as a host name or, on a
	// laptop, as http://127.0.0.1:PORT. Required.
	Endpoint string
	// Project (SLS_PROJECT) and Logstore (SLS_LOGSTORE) are where the logs are. Required.
	Project, Logstore string
	// Region (SLS_REGION) makes requests signed the newer way (V4). Optional.
	Region string
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
	Keys keys
}

// loadConfig reads and checks the environment. It reports every problem at once,
// and never takes a default in place of a value that is wrong. An empty value
// counts as absent: deploy files cannot leave a variable out.
func loadConfig(lookup func(string) (string, bool)) (config, error) {
	r := settings.Reader{Lookup: lookup}
	cfg := config{
		Endpoint: r.RequiredMatching("SLS_ENDPOINT", isEndpoint, "a host such as cn-hangzhou-intranet.log.aliyuncs.com, or http://HOST:PORT"),
		Project:  r.RequiredMatching("SLS_PROJECT", projectName.MatchString, "3 to 63 of a-z, 0-9 and -"),
		Logstore: r.RequiredMatching("SLS_LOGSTORE", logstoreName.MatchString, "3 to 63 of a-z, 0-9, - and _"),
		Region:   r.Matching("SLS_REGION", regionName.MatchString, "a region id such as cn-hangzhou"),
		RedisURL: r.Address("REDIS_URL", redisstore.AddressForm, redisstore.CheckAddress),
		Format:   r.Choice("FORMAT", defaultFormat, detect.Formats()...),
		Lookback: r.Duration("LOOKBACK", defaultLookback, minLookback, maxLookback),
		Enforce:  r.Choice("MODE", "observe", "enforce", "observe") == "enforce",
		MaxNew:   r.Number("MAX_NEW", defaultMaxNew, 1, maxMaxNew),
		Keys: keys{
			ID:     r.Get("ALIBABA_CLOUD_ACCESS_KEY_ID"),
			Secret: secret.Secret(r.Get("ALIBABA_CLOUD_ACCESS_KEY_SECRET")),
			Token:  secret.Secret(r.Get("ALIBABA_CLOUD_SECURITY_TOKEN")),
		},
	}
	cfg.Rules = chooseRules(&r, "RULES", cfg.Format, r.Duration("BLOCK_TERM", 0, blocklist.MinTerm, blocklist.MaxTerm))
	if (cfg.Keys.ID == "") != (cfg.Keys.Secret == "") {
		r.Problem("ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET: want both or neither")
	}
	if err := r.Err(); err != nil {
		return config{}, err
	}
	return cfg, nil
}

// chooseRules returns the rules that the key names, or all that read the format.
func chooseRules(r *settings.Reader, key, format string, term time.Duration) []detect.Rule {
	ids := r.Words(key, maxRules, maxRuleID)
	shipped, err := detect.Shipped()
	if err != nil {
		r.Problem("rules: %w", err)
		return nil
	}
	if !slices.Contains(detect.Formats(), format) {
		return nil // said already
	}
	rules := detect.ForFormat(shipped, format)
	if len(rules) == 0 {
		r.Problem("FORMAT %q: there is no rule for it", format)
	}
	if ids != nil {
		if rules, err = detect.Select(rules, ids); err != nil {
			r.Problem("%s: %w", key, err)
		}
	}
	if term > 0 {
		rules = slices.Clone(rules)
		for i := range rules {
			rules[i].Term = term
		}
	}
	return rules
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
