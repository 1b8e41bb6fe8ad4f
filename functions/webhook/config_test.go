package main

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const goodToken = "local-webhook-token-for-this-laptop-only"

func environment(changes map[string]string) func(string) (string, bool) {
	env := map[string]string{
		"WEBHOOK_TOKEN":   goodToken,
		"ALERT_RULES":     `{"alert-1":"rate-limit-address","alert-2":"sms-account"}`,
		"DETECT_FUNCTION": "sls-ops-tracewall-detect",
		"REDIS_URL":       "rediss://webhook:hunter2@redis.example:6379",
	}
	for k, v := range changes {
		env[k] = v
	}
	return func(key string) (string, bool) { v, ok := env[key]; return v, ok }
}

func TestConfig(t *testing.T) {
	t.Parallel()
	got, err := loadConfig(environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := config{
		Token:    goodToken,
		Rules:    map[string]string{"alert-1": "rate-limit-address", "alert-2": "sms-account"},
		Sources:  []netip.Prefix{netip.MustParsePrefix("120.76.47.88/32"), netip.MustParsePrefix("119.23.150.175/32")},
		Detect:   "sls-ops-tracewall-detect",
		RedisURL: "rediss://webhook:hunter2@redis.example:6379",
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestConfigSources(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"192.0.2.7":                      "[192.0.2.7/32]",
		" 192.0.2.9/24 ,2001:db8::1/48 ": "[192.0.2.0/24 2001:db8::/48]",
		"192.0.2.7\n192.0.2.8":           "[192.0.2.7/32 192.0.2.8/32]",
		"::ffff:192.0.2.7":               "[192.0.2.7/32]",
		"any":                            "[]",
	} {
		got, err := loadConfig(environment(map[string]string{"SOURCE_CIDRS": text}))
		if err != nil {
			t.Errorf("SOURCE_CIDRS %q: %v", text, err)
			continue
		}
		var list []string
		for _, p := range got.Sources {
			list = append(list, p.String())
		}
		if s := "[" + strings.Join(list, " ") + "]"; s != want || got.AnySource != (text == "any") {
			t.Errorf("SOURCE_CIDRS %q = %s, any %v, want %s", text, s, got.AnySource, want)
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, key, value, want string
	}{
		{"no token", "WEBHOOK_TOKEN", "", "WEBHOOK_TOKEN is not set"},
		{"a short token", "WEBHOOK_TOKEN", "fifteen-letters", "WEBHOOK_TOKEN has 15 characters: want 16 to 512"},
		{"a token that a header cannot carry", "WEBHOOK_TOKEN", "sixteen letters, or more", "WEBHOOK_TOKEN has a blank"},
		{"no rules", "ALERT_RULES", "", "ALERT_RULES is not set"},
		{"rules that are not JSON", "ALERT_RULES", "alert-1=rule", `ALERT_RULES "alert-1=rule": want a JSON object`},
		{"rules that are a list", "ALERT_RULES", `["a"]`, "want a JSON object"},
		{"rules that are cut", "ALERT_RULES", `{"a":"b"`, "want a JSON object"},
		{"rules with something behind", "ALERT_RULES", `{"a":"b"} {}`, "want a JSON object"},
		{"no rule in it", "ALERT_RULES", `{}`, "ALERT_RULES has 0 alerts: want 1 to 200"},
		{"an alert twice", "ALERT_RULES", `{"a":"b","a":"c"}`, `alert "a" is there twice`},
		{"an alert without a name", "ALERT_RULES", `{"":"b"}`, `alert "": want 1 to 256 bytes`},
		{"a rule that is none", "ALERT_RULES", `{"a":"B b"}`, `rule "B b" of alert "a": want a rule's id`},
		{"a rule that is a number", "ALERT_RULES", `{"a":1}`, "want a JSON object"},
		{"no function", "DETECT_FUNCTION", "", "DETECT_FUNCTION is not set"},
		{"a function that is a path", "DETECT_FUNCTION", "../x", `DETECT_FUNCTION: function "../x": want`},
		{"an endpoint without a scheme", "FC_ENDPOINT", "fc.example", `FC_ENDPOINT: endpoint "fc.example": want https://host`},
		{"an endpoint in the clear", "FC_ENDPOINT", "http://fc.example", "FC_ENDPOINT"},
		{"no Redis", "REDIS_URL", "", "REDIS_URL is not set"},
		{"Redis by another protocol", "REDIS_URL", "http://:hunter2@x", "want it to begin with redis:// or rediss://"},
		{"a source that is a name", "SOURCE_CIDRS", "sls.example", `SOURCE_CIDRS "sls.example": want an address`},
		{"the whole Internet by accident", "SOURCE_CIDRS", "0.0.0.0/0", `SOURCE_CIDRS "0.0.0.0/0": want`},
		{"a mapped range, which would match nobody", "SOURCE_CIDRS", "::ffff:192.0.2.0/120", "SOURCE_CIDRS"},
		{"any beside others", "SOURCE_CIDRS", "any,192.0.2.7", `SOURCE_CIDRS "any": want`},
		{"only commas", "SOURCE_CIDRS", ",,", "want at least one address"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := loadConfig(environment(map[string]string{tc.key: tc.value}))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("err = %v, want %q", err, tc.want)
			}
			if strings.Contains(err.Error(), "hunter2") || tc.key == "WEBHOOK_TOKEN" && tc.value != "" && strings.Contains(err.Error(), tc.value) {
				t.Errorf("err = %v, which shows a secret", err)
			}
			if got.Token != "" || got.Rules != nil {
				t.Errorf("config = %+v beside an error, want none", got)
			}
		})
	}
}

func TestConfigReportsAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := loadConfig(func(string) (string, bool) { return "", false })
	if err == nil {
		t.Fatal("an empty environment was accepted")
	}
	for _, key := range []string{"WEBHOOK_TOKEN", "ALERT_RULES", "DETECT_FUNCTION", "REDIS_URL"} {
		if !strings.Contains(err.Error(), key+" is not set") {
			t.Errorf("err = %v, want it to name %s", err, key)
		}
	}
	if n := len(strings.Split(err.Error(), "\n")); n != 4 {
		t.Errorf("%d problems, want 4:\n%v", n, err)
	}
}
