package main

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/enrich/threatintel"
	"github.com/tracewall/tracewall/shared/secret"
	"github.com/tracewall/tracewall/shared/settings"
)

// The modes.
const (
	observe = "observe" // fetch, judge and tell; write nothing
	enforce = "enforce"
)

const (
	wantFeeds   = `a JSON array of feeds, e.g. [{"name":"ipsum","url":"https://…","format":"ipsum"}]`
	wantSecrets = `a JSON object of names and secrets, e.g. {"partner":"user:password"}`

	maxSecret = 4096 // bytes
)

// config is what the function reads from its environment, checked.
type config struct {
	// Feeds (FEEDS) are the feeds to keep: a JSON array; threatintel.Feed tells what each may say. Required.
	Feeds []threatintel.Feed
	// Secrets (FEED_SECRETS) are what feeds with auth need, by the name in their secret: a JSON object.
	Secrets map[string]secret.Secret
	// RedisURL (REDIS_URL) is where intelligence is kept. Required.
	RedisURL secret.Secret
	// Mode (MODE) is observe (the default) or enforce.
	Mode string
}

// loadConfig reads and checks the environment. It reports every problem at once, and never takes a default in place
// of a value that is wrong. An empty value counts as absent: deploy files cannot leave a variable out.
func loadConfig(lookup func(string) (string, bool)) (config, error) {
	r := settings.Reader{Lookup: lookup}
	cfg := config{
		Secrets:  readSecrets(&r, "FEED_SECRETS"),
		RedisURL: r.Address("REDIS_URL", redisstore.AddressForm, redisstore.CheckAddress),
		Mode:     r.Choice("MODE", observe, observe, enforce),
	}
	if text := r.Required("FEEDS", wantFeeds); text != "" {
		feeds, err := threatintel.ParseFeeds(text)
		r.Check("FEEDS", err)
		cfg.Feeds = feeds
	}
	for _, f := range cfg.Feeds {
		if _, ok := cfg.Secrets[f.Secret]; f.Secret != "" && !ok {
			r.Problem("FEEDS: feed %q: FEED_SECRETS has no %.40q", f.Name, f.Secret)
		}
	}
	for name := range cfg.Secrets {
		if !slices.ContainsFunc(cfg.Feeds, func(f threatintel.Feed) bool { return f.Secret == name }) && r.OK() {
			r.Problem("FEED_SECRETS: no feed uses %.40q", name)
		}
	}
	if err := r.Err(); err != nil {
		return config{}, err
	}
	return cfg, nil
}

// readSecrets repeats no value, whatever is wrong with it.
func readSecrets(r *settings.Reader, key string) map[string]secret.Secret {
	text := r.Get(key)
	if text == "" {
		return nil
	}
	var plain map[string]string
	if json.Unmarshal([]byte(text), &plain) != nil || plain == nil {
		r.Problem("%s (value withheld): want %s", key, wantSecrets)
		return nil
	}
	secrets := make(map[string]secret.Secret, len(plain))
	for name, value := range plain {
		if err := checkSecret(value); err != nil {
			r.Problem("%s: %.40q: %w", key, name, err)
		}
		secrets[name] = secret.Secret(value)
	}
	return secrets
}

// checkSecret tells whether a secret can stand in a header.
func checkSecret(value string) error {
	if value == "" || len(value) > maxSecret {
		return fmt.Errorf("%d bytes: want 1 to %d", len(value), maxSecret)
	}
	for _, c := range value {
		if c < ' ' || c > '~' {
			return fmt.Errorf("a character that cannot stand in a header: want printable ASCII")
		}
	}
	return nil
}
