package detect_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/detect"
)

// readOnce reads the rules of the program once for all tests.
var readOnce = sync.OnceValues(detect.Shipped)

// shippedRules are the rules of the program. Each test has its own copies of them, but not of their maps.
func shippedRules(t testing.TB) []detect.Rule {
	t.Helper()
	rules, err := readOnce()
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(rules)
}

// shippedRule is one rule of the program.
func shippedRule(t testing.TB, id string) detect.Rule {
	t.Helper()
	some, err := detect.Select(shippedRules(t), []string{id})
	if err != nil {
		t.Fatal(err)
	}
	return some[0]
}

func TestShippedRulesLoadForEachFormat(t *testing.T) {
	rules := shippedRules(t)
	got := map[string][]string{}
	for _, format := range detect.Formats() {
		for _, r := range detect.ForFormat(rules, format) {
			got[format] = append(got[format], r.ID)
		}
	}
	// Access logs are read alike, whatever their form.
	access := []string{
		"bad-agents-address", "cache-busting-address", "context-access", "context-accounts",
		"crawl-flood-address", "credential-stuffing-address", "distinct-paths-address", "errors-address", "exploit-probe-address",
		"flood-agent", "flood-fingerprint", "flood-network", "flood-path",
		"login-failures-account", "login-failures-address", "login-failures-slow", "no-agent-address",
		"rate-limited-address", "requests-account", "requests-address", "sensitive-paths-address",
		"success-after-failures-address", "unsafe-address", "web-attack-address",
	}
	want := map[string][]string{
		"story":    {"context-story", "flood-account", "rate-limit-address", "sms-account", "sms-flood-account"},
		"combined": access,
		"access":   access,
		"jsonl":    access,
		"sshd":     {"context-sshd", "ssh-failures-account", "ssh-failures-address", "ssh-failures-slow", "ssh-stuffing-address", "ssh-success-after-failures"},
		"errorlog": {"errorlog-auth-address", "errorlog-scan-address", "nginx-limit-address"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOneShippedRuleIsTheSameAsAmongAll(t *testing.T) {
	rules, err := detect.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range rules {
		got, ok, err := detect.ShippedRule(want.ID)
		if err != nil || !ok || got.ID != want.ID || got.SQL() != want.SQL() || len(got.Tests) != len(want.Tests) {
			t.Errorf("ShippedRule(%s) = %s, %t, %v", want.ID, got.ID, ok, err)
		}
	}
	for _, id := range []string{"", "no-such-rule", "../rules/sms-account", "schema", "sms-account.yaml"} {
		if got, ok, err := detect.ShippedRule(id); ok || err != nil {
			t.Errorf("ShippedRule(%q) = %s, %t, %v; want none", id, got.ID, ok, err)
		}
	}
}
