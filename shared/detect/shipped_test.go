package detect_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/detect"
)

func TestShippedRulesLoadForEachFormat(t *testing.T) {
	rules, err := detect.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, format := range detect.Formats() {
		for _, r := range detect.ForFormat(rules, format) {
			got[format] = append(got[format], r.ID)
		}
	}
	want := map[string][]string{
		"story":    {"rate-limit-address", "sms-account"},
		"combined": {"requests-address"},
		"access":   {"errors-address", "requests-address"},
		"jsonl":    {"requests-address"},
		"sshd":     {"ssh-address"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
