package main

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/cls"
	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/fccall"
	"github.com/tracewall/tracewall/shared/riskcontrol"
	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/settings"
)

// Defaults and bounds of the settings.
const (
	defaultFormat   = "story"
	defaultLookback = 30 * time.Minute
	minLookback     = 2 * time.Minute
	maxLookback     = 24 * time.Hour // what an SLS alert's own query may span
	maxMaxNew       = 1_000_000
	maxFiles        = 8
	maxPath         = 512 // bytes
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
	// Fields (FIELDS, FIELD_ADDRESS, FIELD_STATUS and so on) are the names that fields
	// have in these logs, for rules that leave them open: a ready-made mapping, and what
	// is otherwise. They become part of queries and so must be identifiers.
	Fields detect.Mapping
	// LeftOut are rules for the format that these logs, or this log service, cannot answer, and why.
	LeftOut []string
	// RedisURL (REDIS_URL) is where the blocklist is: redis://, or rediss:// for
	// TLS, with user and password. Required.
	RedisURL secret.Secret
	// Format (FORMAT) says which log lines the logstore holds, and so which rules fit it.
	Format string
	// Rules (RULES) are the rules to run, given as ids with commas between them; none
	// means every rule for Format, of those that are part of the program and those in the folder RULES_DIR. BLOCK_TERM, one minute to 720 hours, overrides how long each of them blocks.
	Rules []detect.Rule
	// Lookback (LOOKBACK) is how far a rule's first run goes back.
	Lookback time.Duration
	// Enforce (MODE) is true for "enforce". Without it, or with "observe", verdicts
	// are reported and nobody is blocked: whoever deploys it first looks.
	Enforce bool
	// Brake (MAX_NEW, MAX_GROWTH, MAX_SHARE, MAX_COUNTRY, MAX_NETWORK) holds a run that
	// would act on too many: it acts on nobody and fails. 0 takes a limit away, but for the first.
	Brake detect.Brake
	// AccountsFirst (ADDRESSES) is true for "needed": addresses whose flood is that of a
	// blocked account are watched and not blocked.
	AccountsFirst bool
	// CrawlerDNS (CRAWLER_DNS) asks DNS whether somebody who would be blocked is a search engine's crawler.
	CrawlerDNS bool
	// Networks (NETWORKS) are files that say whose network an address is of, which the deployment brings.
	Networks []string
	// RiskURL (RISK_WEBHOOK_URL) is told which accounts are blocked, signed with RiskSecrets
	// (RISK_WEBHOOK_SECRET, two with a comma while one is being changed). Both or neither.
	RiskURL     secret.Secret
	RiskSecrets []secret.Secret
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
	byDefault := detect.DefaultBrake()
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
		Brake: detect.Brake{
			MaxNew:     r.Number("MAX_NEW", byDefault.MaxNew, 1, maxMaxNew),
			MaxGrowth:  r.Number("MAX_GROWTH", byDefault.MaxGrowth, 0, maxMaxNew),
			MaxShare:   r.Number("MAX_SHARE", byDefault.MaxShare, 0, 100),
			MaxCountry: r.Number("MAX_COUNTRY", byDefault.MaxCountry, 0, maxMaxNew),
			MaxNetwork: r.Number("MAX_NETWORK", byDefault.MaxNetwork, 0, maxMaxNew),
		},
		CrawlerDNS:    r.Choice("CRAWLER_DNS", "on", "on", "off") == "on",
		Networks:      r.Words("NETWORKS", maxFiles, maxPath),
		AccountsFirst: r.Choice("ADDRESSES", "all", "all", "needed") == "needed",
		Keys:          fccall.ReadKeys(&r),
	}
	cfg.Fields = readFields(&r, cfg.Format)
	cfg.RiskURL, cfg.RiskSecrets = readRisk(&r)
	cfg.Rules, cfg.LeftOut = chooseRules(&r, "RULES", cfg, r.Duration("BLOCK_TERM", 0, blocklist.MinTerm, blocklist.MaxTerm))
	if k := cfg.CLS.Keys; source == detect.CLS && (k.ID == "" || k.Key == "") {
		r.Problem("TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY: want both where LOG_SOURCE is cls: the key of a user who may call cls:SearchLog")
	}
	if err := r.Err(); err != nil {
		return config{}, err
	}
	return cfg, nil
}

// readFields reads what the fields of the logs are called: FIELDS names a ready-made
// mapping, and each FIELD_… one field. Access logs of no product that we know have the
// fields that are named, and an address and a status under the rules' own names: a rule
// must not fail for a field that nobody has promised.
func readFields(r *settings.Reader, format string) detect.Mapping {
	valid := func(name string) bool { return name == detect.NoField || detect.ValidField(name) }
	field := func(key string) string { return r.Matching(key, valid, detect.WantField) }
	own := map[string]string{
		"address": field("FIELD_ADDRESS"), "method": field("FIELD_METHOD"), "path": field("FIELD_PATH"), "status": field("FIELD_STATUS"),
		"agent": field("FIELD_AGENT"), "referer": field("FIELD_REFERER"), "account": field("FIELD_ACCOUNT"), "trace": field("FIELD_TRACE"),
		"host": field("FIELD_HOST"), "message": field("FIELD_MESSAGE"), "event": field("FIELD_EVENT"), "fingerprint": field("FIELD_FINGERPRINT"),
	}
	maps.DeleteFunc(own, func(_, name string) bool { return name == "" || !valid(name) })
	name := r.Choice("FIELDS", "own", append([]string{"own"}, detect.Mappings()...)...)
	if format == "access" && name == "own" {
		for _, field := range detect.FieldNames() {
			if _, named := own[field]; !named && field != "address" && field != "status" {
				own[field] = detect.NoField
			}
		}
	}
	if name == "own" || !slices.Contains(detect.Mappings(), name) {
		name = ""
	}
	m, err := detect.MappingOf(name, own)
	if err != nil {
		r.Problem("FIELDS: %w", err)
	}
	return m
}

// readRisk reads where to tell which accounts are blocked. Both settings or neither: an
// address without a secret would be told unsigned.
func readRisk(r *settings.Reader) (url secret.Secret, secrets []secret.Secret) {
	address, text := r.Get("RISK_WEBHOOK_URL"), r.Get("RISK_WEBHOOK_SECRET")
	if address == "" && text == "" {
		return "", nil
	}
	if address == "" || text == "" {
		r.Problem("RISK_WEBHOOK_URL and RISK_WEBHOOK_SECRET: want both or neither")
		return "", nil
	}
	r.Check("RISK_WEBHOOK_URL (value withheld)", riskcontrol.CheckURL(address))
	secrets, err := riskcontrol.ParseSecrets(text)
	r.Check("RISK_WEBHOOK_SECRET (value withheld)", err)
	return secret.Secret(address), secrets
}

// chooseRules returns the rules that the key names, or all that read the format, as
// they are asked on the log service and with the fields of the configuration. Of all
// for the format, those that this log service or these logs cannot answer are left
// out; a rule that was asked for by name must run.
func chooseRules(r *settings.Reader, key string, cfg config, term time.Duration) (chosen []detect.Rule, leftOut []string) {
	ids := r.Words(key, maxRules, maxRuleID)
	known, err := knownRules(r.Get("RULES_DIR"))
	if err != nil {
		r.Problem("RULES_DIR: %w", err)
		return nil, nil
	}
	if !slices.Contains(detect.Formats(), cfg.Format) || !slices.Contains(detect.Dialects(), cfg.Source) {
		return nil, nil // said already
	}
	rules := detect.ForFormat(known, cfg.Format)
	if len(rules) == 0 {
		r.Problem("FORMAT %q: there is no rule for it", cfg.Format)
	}
	without := func(rule detect.Rule, why string) {
		if slices.Contains(ids, rule.ID) {
			r.Problem("%s: rule %s %s: leave it out", key, rule.ID, why)
			return
		}
		leftOut = append(leftOut, rule.ID+" "+why)
	}
	if ids != nil {
		named, err := detect.Select(rules, ids)
		if err != nil {
			r.Problem("%s: %w", key, err)
		}
		// What speaks for addresses is asked whichever rules accuse them.
		rules = append(named, slices.DeleteFunc(rules, func(rule detect.Rule) bool {
			return rule.Class != detect.ClassContext || slices.Contains(ids, rule.ID)
		})...)
	}
	for _, rule := range rules {
		in, ok := rule.In(cfg.Source)
		if !ok {
			without(rule, "has no query for LOG_SOURCE "+cfg.Source)
			continue
		}
		if lacks := cfg.Fields.Lacks(in); lacks != nil {
			without(rule, "needs fields that these logs do not have: "+strings.Join(lacks, ", "))
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
	return chosen, leftOut
}

// knownRules returns the rules that are part of the program and those in the user's own
// folder, if there is one. An id of both is refused: nobody could tell which one ran.
func knownRules(folder string) ([]detect.Rule, error) {
	rules, err := detect.Shipped()
	if err != nil || folder == "" {
		return rules, err
	}
	own, err := detect.Load(os.DirFS(folder))
	if err != nil {
		return nil, err
	}
	for _, rule := range own {
		if slices.ContainsFunc(rules, func(r detect.Rule) bool { return r.ID == rule.ID }) {
			return nil, fmt.Errorf("rule %s: the id is taken by a rule of tracewall's: choose another", rule.ID)
		}
	}
	return append(rules, own...), nil
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
