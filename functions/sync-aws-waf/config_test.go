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
)

const oneTarget = `[{"name":"edge","region":"eu-west-1","scope":"REGIONAL","mode":"web-acl","web_acl":"edge","action":"block","priority":100,"set_size":5000}]`

// good is an environment in which nothing is wrong and nothing is left out.
var good = map[string]string{
	"REDIS_URL": "rediss://sync:p4ss-w0rd@redis.example.com:6379/0", "WAF_TARGETS": oneTarget, "SYNC_MODE": "enforce", "WAIT": "20s",
}

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
	if got.RedisURL.Reveal() != good["REDIS_URL"] || !got.Enforce || got.Wait != 20*time.Second || len(got.Targets) != 1 || got.Targets[0].Name != "edge" {
		t.Errorf("config = %+v", got)
	}
	if text := fmt.Sprintf("%v %+v %#v", got, got, got); strings.Contains(text, "p4ss") {
		t.Errorf("a printed config shows a secret: %s", text)
	}
}

func TestLoadConfigObservesUnlessTold(t *testing.T) {
	for _, mode := range []string{"", "observe"} {
		if got, err := loadConfig(env(map[string]string{"SYNC_MODE": mode})); err != nil || got.Enforce {
			t.Errorf("SYNC_MODE=%q: enforce %t, error %v", mode, got.Enforce, err)
		}
	}
}

func TestLoadConfigReadsTheWaitInEitherSpelling(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 50 * time.Second, "0": 0, "0s": 0, "45": 45 * time.Second, "1m30s": 90 * time.Second, "120": 2 * time.Minute, "2m": 2 * time.Minute,
	} {
		if got, err := loadConfig(env(map[string]string{"WAIT": text})); err != nil || got.Wait != want {
			t.Errorf("WAIT=%q: %s, error %v; want %s", text, got.Wait, err, want)
		}
	}
}

func TestLoadConfigRefusesWhatIsWrong(t *testing.T) {
	tests := []struct {
		key, value string
		want       []string
	}{
		{"REDIS_URL", "", []string{"REDIS_URL is not set", "rediss://"}},
		{"REDIS_URL", "redis.example.com:6379", []string{"REDIS_URL (value withheld"}},
		{"REDIS_URL", "redis://:p4ss%zz@h", []string{"REDIS_URL (value withheld"}},
		{"REDIS_URL", "rediss://", []string{"REDIS_URL (value withheld"}},
		{"WAF_TARGETS", "", []string{"WAF_TARGETS is not set", `"web_acl"`}},
		{"WAF_TARGETS", "[]", []string{"WAF_TARGETS"}},
		{"WAF_TARGETS", "edge", []string{"WAF_TARGETS"}},
		{"WAF_TARGETS", strings.Replace(oneTarget, "5000", "10001", 1), []string{"WAF_TARGETS", "10001", "10000"}},
		{"WAF_TARGETS", strings.Replace(oneTarget, "REGIONAL", "regional", 1), []string{"WAF_TARGETS", "regional", "CLOUDFRONT"}},
		{"WAIT", "121", []string{`WAIT "121"`, "0 to 120s"}},
		{"WAIT", "3m", []string{`WAIT "3m"`, "0 to 120s"}},
		{"WAIT", "-1", []string{`WAIT "-1"`}},
		{"WAIT", "a while", []string{`WAIT "a while"`, "50s"}},
		{"SYNC_MODE", "Enforce", []string{`SYNC_MODE "Enforce"`, "enforce, observe"}},
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
			if strings.Contains(err.Error(), "p4ss") {
				t.Errorf("error %q shows a secret", err)
			}
		})
	}
}

func TestLoadConfigReportsEveryProblemAtOnce(t *testing.T) {
	_, err := loadConfig(env(map[string]string{"REDIS_URL": "", "WAF_TARGETS": "", "SYNC_MODE": "x"}))
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("error = %v, want three lines", err)
	}
}

// TestDeployFileAndFunctionNameTheSameVariables keeps template.yaml and loadConfig from drifting apart.
func TestDeployFileAndFunctionNameTheSameVariables(t *testing.T) {
	asked := map[string]bool{}
	_, _ = loadConfig(func(key string) (string, bool) { asked[key] = true; return "", false })
	text, err := os.ReadFile(filepath.Join("..", "..", "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Resources map[string]struct {
			Type       string `yaml:"Type"`
			Properties struct {
				Environment struct {
					Variables map[string]any `yaml:"Variables"`
				} `yaml:"Environment"`
			} `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	sync, ok := file.Resources["SyncAwsWafFunction"]
	if !ok || sync.Type != "AWS::Serverless::Function" {
		t.Fatal("template.yaml has no function SyncAwsWafFunction")
	}
	declared := slices.Sorted(maps.Keys(sync.Properties.Environment.Variables))
	if diff := cmp.Diff(slices.Sorted(maps.Keys(asked)), declared); diff != "" {
		t.Errorf("variables (-read by the function +declared in template.yaml):\n%s", diff)
	}
}
