package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strings"
	"unicode"

	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/fcinvoke"
	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/settings"
)

const (
	minToken      = 16  // characters; a random one of this length cannot be guessed over HTTP
	maxToken      = 512 // characters
	maxAlertRules = 200 // Log Service allows 100 alert rules in a project
	maxSources    = 100
	maxName       = 256 // bytes of an alert id
)

// defaultSources are the addresses from which Log Service sends webhooks, as its
// documentation says (document 404791); they may change, and SOURCE_CIDRS is for that day.
const defaultSources = "120.76.47.88, 119.23.150.175"

// anySource is the SOURCE_CIDRS that lets the whole Internet try the token.
const anySource = "any"

// config is what the function reads from its environment, checked.
type config struct {
	// Token (WEBHOOK_TOKEN) is what a caller must know. Required, 16 characters at least.
	Token secret.Secret
	// Rules (ALERT_RULES) maps the id of an SLS alert to the rule that is run for it, a
	// JSON object. Required.
	Rules map[string]string
	// Sources (SOURCE_CIDRS) are the addresses and ranges from which a call is taken,
	// with commas between them. Default: those of Log Service.
	Sources []netip.Prefix
	// AnySource is true for SOURCE_CIDRS=any.
	AnySource bool
	// Detect (DETECT_FUNCTION) is the function to start. Required.
	Detect string
	// Endpoint (FC_ENDPOINT) replaces Function Compute's public endpoint on a laptop.
	// It cannot be set on Function Compute itself, which keeps names that begin with FC_.
	Endpoint string
	// RedisURL (REDIS_URL) is where handled alerts are marked. Required.
	RedisURL secret.Secret
}

// loadConfig reads and checks the environment. It reports every problem at once, and
// never takes a default in place of a value that is wrong. An empty value counts as
// absent: deploy files cannot leave a variable out.
func loadConfig(lookup func(string) (string, bool)) (config, error) {
	r := settings.Reader{Lookup: lookup}
	cfg := config{
		Token:    readToken(&r, "WEBHOOK_TOKEN"),
		Rules:    readAlertRules(&r, "ALERT_RULES"),
		Detect:   r.Required("DETECT_FUNCTION", "the name of the detect function"),
		Endpoint: r.Get("FC_ENDPOINT"),
		RedisURL: r.Address("REDIS_URL", redisstore.AddressForm, redisstore.CheckAddress),
	}
	cfg.Sources, cfg.AnySource = readSources(&r, "SOURCE_CIDRS")
	if cfg.Detect != "" {
		r.Check("DETECT_FUNCTION", fcinvoke.CheckFunction(cfg.Detect))
	}
	if cfg.Endpoint != "" {
		r.Check("FC_ENDPOINT", fcinvoke.CheckEndpoint(cfg.Endpoint))
	}
	if err := r.Err(); err != nil {
		return config{}, err
	}
	return cfg, nil
}

// readToken says how long a bad token is and never what it is.
func readToken(r *settings.Reader, key string) secret.Secret {
	value := r.Required(key, fmt.Sprintf("%d to %d characters that nobody can guess", minToken, maxToken))
	switch n := len(value); {
	case n == 0:
	case n < minToken || n > maxToken:
		r.Problem("%s has %d characters: want %d to %d", key, n, minToken, maxToken)
	case strings.ContainsFunc(value, func(c rune) bool { return c > unicode.MaxASCII || c <= ' ' || c == 0x7f || c == ',' }):
		r.Problem("%s has a blank, a comma or a character that cannot stand in a header: want printable ASCII", key)
	}
	return secret.Secret(value)
}

func readSources(r *settings.Reader, key string) (list []netip.Prefix, all bool) {
	text := r.Get(key)
	switch text {
	case anySource:
		return nil, true
	case "":
		text = defaultSources
	}
	const want = "an address, a range such as 192.0.2.0/24, or the single word any"
	for _, item := range strings.FieldsFunc(text, func(c rune) bool { return c == ',' || unicode.IsSpace(c) }) {
		p, err := parseSource(item)
		if err != nil {
			r.Problem("%s %.80q: want %s", key, item, want)
			continue
		}
		list = append(list, p)
	}
	switch {
	case len(list) == 0 && r.OK():
		r.Problem("%s %.80q: want at least one address", key, text)
	case len(list) > maxSources:
		r.Problem("%s has %d entries: want at most %d", key, len(list), maxSources)
	}
	return list, false
}

// parseSource reads an address or a range. The whole Internet must be asked for by name, as "any".
func parseSource(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Bits() == 0 || p.Addr().Is4In6() {
		return netip.Prefix{}, errors.New("not a range")
	}
	return p.Masked(), nil
}

// ruleID is how rule files name themselves.
var ruleID = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)

// readAlertRules reads {"alert id": "rule id"}. It goes token by token, because a key that
// is there twice means that somebody's rule would silently not run.
func readAlertRules(r *settings.Reader, key string) map[string]string {
	const want = `a JSON object such as {"tracewall-rate-limit-address":"rate-limit-address"}`
	text := r.Required(key, want)
	if text == "" {
		return nil
	}
	bad := func() map[string]string {
		r.Problem("%s %.80q: want %s", key, text, want)
		return nil
	}
	rules := make(map[string]string)
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return bad()
	}
	for d.More() {
		id, err := d.Token()
		if err != nil {
			return bad()
		}
		alert, _ := id.(string)
		var rule string
		if err := d.Decode(&rule); err != nil {
			return bad()
		}
		switch _, twice := rules[alert]; {
		case twice:
			r.Problem("%s: alert %.80q is there twice", key, alert)
		case alert == "" || len(alert) > maxName:
			r.Problem("%s: alert %.80q: want 1 to %d bytes", key, alert, maxName)
		case !ruleID.MatchString(rule):
			r.Problem("%s: rule %.80q of alert %.80q: want a rule's id", key, rule, alert)
		}
		rules[alert] = rule
	}
	if _, err := d.Token(); err != nil {
		return bad()
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return bad()
	}
	if len(rules) == 0 || len(rules) > maxAlertRules {
		r.Problem("%s has %d alerts: want 1 to %d", key, len(rules), maxAlertRules)
	}
	return rules
}
