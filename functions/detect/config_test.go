package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/detect"
	"github.com/tracewall/tracewall/shared/fccall"
	"github.com/tracewall/tracewall/shared/secret"
)

// good is an environment in which nothing is wrong and nothing is left out.
var good = map[string]string{
	"SLS_ENDPOINT": "cn-hangzhou-intranet.log.aliyuncs.com", "SLS_PROJECT": "tracewall-logs", "SLS_LOGSTORE": "gateway",
	"SLS_REGION": "cn-hangzhou", "REDIS_URL": "rediss://detect:p4ss-w0rd@redis.example.com:6379/0", "FORMAT": "story",
	"RULES": "sms-account, rate-limit-address", "BLOCK_TERM": "24h", "LOOKBACK": "30m", "MODE": "enforce", "MAX_NEW": "50000",
	"LOG_SOURCE": "sls", "CLS_REGION": "ap-guangzhou", "CLS_TOPIC": "682d0718-07bb-4ec0-9fda-f1e9a2767e0b", "CLS_ENDPOINT": "cls.intl.tencentcloudapi.com",
	"TENCENTCLOUD_SECRET_ID": "example-secret-id", "TENCENTCLOUD_SECRET_KEY": "example-k3y", "TENCENTCLOUD_TOKEN": "example-t0ken",
	"FIELDS": "alb", "FIELD_ADDRESS": "real_ip", "FIELD_METHOD": "method", "FIELD_PATH": "path?query", "FIELD_STATUS": "code", "FIELD_AGENT": "agent", "FIELD_REFERER": "from",
	"FIELD_ACCOUNT": "uid", "FIELD_TRACE": "trace", "FIELD_HOST": "host", "FIELD_MESSAGE": "content", "FIELD_EVENT": "-", "FIELD_FINGERPRINT": "ja4",
	"MAX_GROWTH": "1001", "MAX_SHARE": "6", "MAX_COUNTRY": "10001", "MAX_NETWORK": "2001", "ADDRESSES": "needed",
	"CRAWLER_DNS": "off", "NETWORKS": "/opt/asn.mmdb", "RULES_DIR": "testdata/rules", "RISK_WEBHOOK_URL": "https://risk.example.com/tracewall", "RISK_WEBHOOK_SECRET": "example-s3cr3t-0123456789abcdef0123456789",
	"ALIBABA_CLOUD_ACCESS_KEY_ID": "example-id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "example-s3cr3t", "ALIBABA_CLOUD_SECURITY_TOKEN": "example-t0ken",
}

// fromPlatform are variables that FC sets by itself for a function with a role.
var fromPlatform = []string{"ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"}

// env is good with changes; an empty change takes a variable away.
func env(changes map[string]string) func(string) (string, bool) {
	all := maps.Clone(good)
	maps.Copy(all, changes)
	return func(key string) (string, bool) { v, ok := all[key]; return v, ok && v != "" }
}

func TestLoadConfigReadsEveryVariable(t *testing.T) {
	got, err := loadConfig(env(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range got.Rules {
		if r.Term != 24*time.Hour {
			t.Errorf("rule %s blocks for %s, want BLOCK_TERM", r.ID, r.Term)
		}
	}
	if len(got.Rules) != 3 || got.Rules[0].ID != "rate-limit-address" || got.Rules[1].ID != "sms-account" || got.Rules[2].ID != "context-story" {
		t.Errorf("rules = %v", got.Rules)
	}
	got.Rules = nil
	want := config{
		Source: "sls", Endpoint: "cn-hangzhou-intranet.log.aliyuncs.com", Project: "tracewall-logs", Logstore: "gateway", Region: "cn-hangzhou",
		CLS: clsConfig{
			Region: "ap-guangzhou", Topic: "682d0718-07bb-4ec0-9fda-f1e9a2767e0b", Endpoint: "cls.intl.tencentcloudapi.com",
			Keys: tencentKeys{ID: "example-secret-id", Key: "example-k3y", Token: "example-t0ken"},
		},
		Fields: detect.Mapping{
			"address": "real_ip", "method": "method", "path": "path?query", "status": "code", "agent": "agent", "referer": "from",
			"account": "uid", "trace": "trace", "host": "host", "message": "content", "event": "-", "fingerprint": "ja4",
		},
		RedisURL: "rediss://detect:p4ss-w0rd@redis.example.com:6379/0", Format: "story",
		Lookback: 30 * time.Minute, Enforce: true, AccountsFirst: true, Networks: []string{"/opt/asn.mmdb"},
		RiskURL: "https://risk.example.com/tracewall", RiskSecrets: []secret.Secret{"example-s3cr3t-0123456789abcdef0123456789"},
		Brake: detect.Brake{MaxNew: 50_000, MaxGrowth: 1001, MaxShare: 6, MaxCountry: 10_001, MaxNetwork: 2001},
		Keys:  fccall.Keys{ID: "example-id", Secret: "example-s3cr3t", Token: "example-t0ken"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	if text := fmt.Sprintf("%v %+v %#v", got, got, got); strings.Contains(text, "p4ss") || strings.Contains(text, "s3cr3t") || strings.Contains(text, "t0ken") || strings.Contains(text, "k3y") {
		t.Errorf("a printed config shows a secret: %s", text)
	}
}

func TestLoadConfigDefaultsWhatIsAbsent(t *testing.T) {
	absent := map[string]string{}
	for key := range good {
		if !slices.Contains([]string{"SLS_ENDPOINT", "SLS_PROJECT", "SLS_LOGSTORE", "REDIS_URL"}, key) {
			absent[key] = ""
		}
	}
	got, err := loadConfig(env(absent))
	if err != nil {
		t.Fatal(err)
	}
	if got.Format != "story" || len(got.Rules) < 2 || got.Lookback != 30*time.Minute || got.Enforce || got.Brake != detect.DefaultBrake() || got.AccountsFirst {
		t.Errorf("config = %+v; want observe and the documented defaults", got)
	}
}

func TestLoadConfigRefusesWhatIsWrong(t *testing.T) {
	tests := []struct {
		key, value string
		want       []string
	}{
		{"SLS_ENDPOINT", "", []string{"SLS_ENDPOINT is not set"}},
		{"SLS_ENDPOINT", "ftp://x", []string{`SLS_ENDPOINT "ftp://x"`, "cn-hangzhou-intranet"}},
		{"SLS_ENDPOINT", "https://127.0.0.1:1", []string{"SLS_ENDPOINT", "http://HOST:PORT"}},
		{"SLS_ENDPOINT", "http://u:p4ss@h", []string{"SLS_ENDPOINT", "withheld"}},
		{"SLS_PROJECT", "Tracewall", []string{`SLS_PROJECT "Tracewall"`, "a-z"}},
		{"SLS_LOGSTORE", "x/y", []string{`SLS_LOGSTORE "x/y"`}},
		{"SLS_REGION", "Hangzhou", []string{`SLS_REGION "Hangzhou"`, "cn-hangzhou"}},
		{"REDIS_URL", "", []string{"REDIS_URL is not set", "rediss://"}},
		{"REDIS_URL", "redis.example.com:6379", []string{"REDIS_URL (value withheld"}},
		{"REDIS_URL", "redis://:p4ss%zz@h", []string{"REDIS_URL (value withheld"}},
		{"REDIS_URL", "rediss://", []string{"REDIS_URL (value withheld"}},
		{"FORMAT", "nginx", []string{`FORMAT "nginx"`, "story, combined, sshd, jsonl, access, errorlog"}},
		{"LOG_SOURCE", "CLS", []string{`LOG_SOURCE "CLS"`, "sls, cls"}},
		{"CLS_REGION", "Guangzhou", []string{`CLS_REGION "Guangzhou"`, "ap-guangzhou"}},
		{"CLS_TOPIC", "a topic", []string{`CLS_TOPIC "a topic"`, "682d0718"}},
		{"CLS_ENDPOINT", "http://cls.example.com", []string{"CLS_ENDPOINT", "cls.tencentcloudapi.com"}},
		{"CLS_ENDPOINT", "https://u:p4ss@cls.example.com", []string{"CLS_ENDPOINT", "withheld"}},
		{"FIELD_ADDRESS", `x" or "1`, []string{"FIELD_ADDRESS", "a field's name"}},
		{"FIELD_STATUS", "a b", []string{"FIELD_STATUS", "a field's name"}},
		{"RULES", "a,,b", []string{`RULES "a,,b"`}},
		{"RULES", "no-such-rule", []string{`"no-such-rule"`, "rate-limit-address"}},
		{"BLOCK_TERM", "3 days", []string{`BLOCK_TERM "3 days"`, "720h"}},
		{"BLOCK_TERM", "30s", []string{`BLOCK_TERM "30s"`, "1m"}},
		{"BLOCK_TERM", "721h", []string{`BLOCK_TERM "721h"`}},
		{"LOOKBACK", "48h", []string{`LOOKBACK "48h"`, "24h"}},
		{"MODE", "Enforce", []string{`MODE "Enforce"`, "enforce, observe"}},
		{"MAX_NEW", "0", []string{`MAX_NEW "0"`, "1 to 1000000"}},
		{"MAX_NEW", "many", []string{`MAX_NEW "many"`}},
		{"ALIBABA_CLOUD_ACCESS_KEY_SECRET", "", []string{"both or neither"}},
	}
	for _, tt := range tests {
		t.Run(tt.key+"="+tt.value, func(t *testing.T) {
			_, err := loadConfig(env(map[string]string{tt.key: tt.value}))
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not mention %q", err, want)
				}
			}
			for _, secret := range []string{"p4ss", "s3cr3t", "t0ken", "k3y"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("error %q shows a secret", err)
				}
			}
		})
	}
}

// onCLS is what a deployment for CLS sets, and nothing else.
func onCLS(changes map[string]string) func(string) (string, bool) {
	all := map[string]string{
		"LOG_SOURCE": "cls", "CLS_REGION": "ap-guangzhou", "CLS_TOPIC": "682d0718-07bb-4ec0-9fda-f1e9a2767e0b",
		"TENCENTCLOUD_SECRET_ID": "example-secret-id", "TENCENTCLOUD_SECRET_KEY": "example-k3y", "REDIS_URL": "redis://h",
		"FORMAT": "access", "FIELD_ADDRESS": "client_ip",
	}
	maps.Copy(all, changes)
	return func(key string) (string, bool) { v, ok := all[key]; return v, ok && v != "" }
}

func TestATopicAndTheFieldOfTheAddressAreEnough(t *testing.T) {
	got, err := loadConfig(onCLS(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got.Source != "cls" || got.CLS.Endpoint != "" || got.Project != "" || len(got.Rules) != 4 {
		t.Errorf("config = %.500v", got)
	}
	for _, r := range got.Rules {
		if sql := r.SQL(); !strings.Contains(sql, "__TIMESTAMP__") || !strings.Contains(sql, `"client_ip"`) || strings.Contains(sql, "remote_addr") {
			t.Errorf("rule %s asks %s", r.ID, sql)
		}
	}
	story, err := loadConfig(onCLS(map[string]string{"FORMAT": "story", "FIELD_ADDRESS": ""}))
	if err != nil || len(story.Rules) != 5 || !strings.Contains(story.Rules[0].SQL(), "__TIMESTAMP__") {
		t.Errorf("story rules on CLS: %.300v, %v", story.Rules, err)
	}
}

func TestCLSNeedsItsOwnSettings(t *testing.T) {
	for _, key := range []string{"CLS_REGION", "CLS_TOPIC", "TENCENTCLOUD_SECRET_ID", "TENCENTCLOUD_SECRET_KEY"} {
		if _, err := loadConfig(onCLS(map[string]string{key: ""})); err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("without %s: error = %v", key, err)
		}
	}
	if _, err := loadConfig(onCLS(map[string]string{"SLS_PROJECT": "Not-A-Project"})); err == nil || !strings.Contains(err.Error(), "SLS_PROJECT") {
		t.Errorf("a wrong setting of the other log service: error = %v", err)
	}
}

func TestLoadConfigReportsEveryProblemAtOnce(t *testing.T) {
	_, err := loadConfig(env(map[string]string{"SLS_PROJECT": "", "BLOCK_TERM": "x", "MODE": "y", "MAX_NEW": "z", "REDIS_URL": ""}))
	if err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("error = %v, want five lines", err)
	}
}

// TestDeployFileAndFunctionNameTheSameVariables keeps s.yaml and loadConfig from drifting apart.
func TestDeployFileAndFunctionNameTheSameVariables(t *testing.T) {
	asked := map[string]bool{}
	_, _ = loadConfig(func(key string) (string, bool) { asked[key] = true; return "", false })
	for _, key := range fromPlatform {
		delete(asked, key)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "s.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Resources map[string]struct {
			Props struct {
				FunctionName string         `yaml:"functionName"`
				Environment  map[string]any `yaml:"environmentVariables"`
			} `yaml:"props"`
		} `yaml:"resources"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	detect, ok := file.Resources["detect"]
	if !ok {
		t.Fatal("s.yaml has no resource detect")
	}
	// One shell deploys both functions: detect must not get the key that writes firewalls.
	for key, value := range detect.Props.Environment {
		if strings.HasPrefix(key, "TENCENTCLOUD_") && !strings.Contains(fmt.Sprint(value), "env('CLS_") {
			t.Errorf("%s comes from %v, want a variable of its own", key, value)
		}
	}
	declared := slices.Sorted(maps.Keys(detect.Props.Environment))
	if diff := cmp.Diff(slices.Sorted(maps.Keys(asked)), declared); diff != "" {
		t.Errorf("variables (-read by the function +declared in s.yaml):\n%s", diff)
	}
}

func TestOwnRulesJoinTheProgramsUnderIDsOfTheirOwn(t *testing.T) {
	cfg, err := loadConfig(env(map[string]string{"FORMAT": "access", "RULES": "", "FIELDS": "", "FIELD_EVENT": ""}))
	if err != nil || !slices.ContainsFunc(cfg.Rules, func(r detect.Rule) bool { return r.ID == "coupon-guesser" }) || len(cfg.Rules) < 10 {
		t.Errorf("%d rules, %.300v; want the program's and coupon-guesser", len(cfg.Rules), err)
	}
	for dir, want := range map[string]string{"testdata/taken": "the id is taken", "testdata/none": "no .yaml file"} {
		if _, err := loadConfig(env(map[string]string{"RULES_DIR": dir})); err == nil || !strings.Contains(err.Error(), "RULES_DIR") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: err = %.300v, want %q", dir, err, want)
		}
	}
}

func TestAccessLogsHaveTheFieldsThatAreNamed(t *testing.T) {
	ids := func(changes map[string]string) []string {
		all := map[string]string{"FORMAT": "access", "RULES": "", "RULES_DIR": ""}
		for key := range good {
			if strings.HasPrefix(key, "FIELD") {
				all[key] = ""
			}
		}
		maps.Copy(all, changes)
		cfg, err := loadConfig(env(all))
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, r := range cfg.Rules {
			ids = append(ids, r.ID)
		}
		return ids
	}
	few := ids(map[string]string{"FIELD_ADDRESS": "client_ip"})
	if slices.Contains(few, "web-attack-address") || !slices.Contains(few, "requests-address") || !slices.Contains(few, "errors-address") {
		t.Errorf("with an address alone: %v", few)
	}
	if more := ids(map[string]string{"FIELD_PATH": "uri"}); !slices.Contains(more, "web-attack-address") || slices.Contains(more, "requests-account") {
		t.Errorf("with a path: %v", more)
	}
	if all := ids(map[string]string{"FIELDS": "nginx"}); !slices.Contains(all, "web-attack-address") || !slices.Contains(all, "requests-account") {
		t.Errorf("with a product's fields: %v", all)
	}
}
