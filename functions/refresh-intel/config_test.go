package main

import (
	"fmt"
	"strings"
	"testing"
)

const oneFeed = `[{"name":"partner","url":"https://lists.example/a","format":"plain","auth":"bearer","secret":"partner"}]`

func environment(changes map[string]string) func(string) (string, bool) {
	env := map[string]string{
		"FEEDS": oneFeed, "FEED_SECRETS": `{"partner":"p4ss-token"}`, "REDIS_URL": "rediss://refresh-intel:hunter2@redis.example:6379", "MODE": "enforce",
	}
	for k, v := range changes {
		env[k] = v
	}
	return func(key string) (string, bool) { v, ok := env[key]; return v, ok }
}

func TestConfig(t *testing.T) {
	t.Parallel()
	got, err := loadConfig(environment(nil))
	if err != nil || len(got.Feeds) != 1 || got.Feeds[0].Name != "partner" || got.Mode != "enforce" || got.Secrets["partner"].Reveal() != "p4ss-token" {
		t.Errorf("config = %+v, %v", got, err)
	}
	if text := fmt.Sprintf("%+v", got); strings.Contains(text, "p4ss") || strings.Contains(text, "hunter2") {
		t.Errorf("a printed config shows a secret: %s", text)
	}
	got, err = loadConfig(environment(map[string]string{"MODE": "", "FEED_SECRETS": "", "FEEDS": `[{"name":"a","url":"https://lists.example/a","format":"plain"}]`}))
	if err != nil || got.Mode != "observe" || got.Secrets != nil {
		t.Errorf("with nothing that may be left out: %+v, %v", got, err)
	}
}

func TestConfigRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, key, value, want string }{
		{"no feeds", "FEEDS", "", "FEEDS is not set: want a JSON array"},
		{"an empty list of feeds", "FEEDS", "[]", "FEEDS: 0 feeds"},
		{"a feed that is wrong", "FEEDS", strings.Replace(oneFeed, "https", "http", 1), `FEEDS: feed "partner": url: want https://`},
		{"a secret that is missing", "FEED_SECRETS", `{"other":"x"}`, `feed "partner": FEED_SECRETS has no "partner"`},
		{"a secret that nobody uses", "FEED_SECRETS", `{"partner":"p4ss","other":"p4ss"}`, `no feed uses "other"`},
		{"secrets that are no object", "FEED_SECRETS", `p4ss`, "FEED_SECRETS (value withheld): want a JSON object"},
		{"a secret that is a number", "FEED_SECRETS", `{"partner":44}`, "FEED_SECRETS (value withheld)"},
		{"a secret that ends its header", "FEED_SECRETS", `{"partner":"p4ss\r\nX: y"}`, `FEED_SECRETS: "partner": a character that cannot stand in a header`},
		{"an empty secret", "FEED_SECRETS", `{"partner":""}`, "0 bytes"},
		{"no Redis", "REDIS_URL", "", "REDIS_URL is not set"},
		{"Redis by another protocol", "REDIS_URL", "http://:hunter2@x", "want it to begin with redis://"},
		{"a mode that there is not", "MODE", "block", `MODE "block": want one of observe, enforce`},
	} {
		got, err := loadConfig(environment(map[string]string{tc.key: tc.value}))
		if err == nil || !strings.Contains(err.Error(), tc.want) || got.Feeds != nil {
			t.Errorf("%s: %+v, %v, want %q", tc.name, got, err, tc.want)
		} else if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "p4ss") {
			t.Errorf("%s: the error shows a secret: %v", tc.name, err)
		}
	}
	_, err := loadConfig(func(string) (string, bool) { return "", false })
	if n := len(strings.Split(fmt.Sprint(err), "\n")); n != 2 {
		t.Errorf("%d problems of an empty environment, want 2: %v", n, err)
	}
}
