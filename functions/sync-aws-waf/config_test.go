package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/tracewall/tracewall/shared/syncrun"
	"github.com/tracewall/tracewall/shared/syncrun/syncruntest"
)

const oneTarget = `[{"name":"edge","region":"eu-west-1","scope":"REGIONAL","mode":"web-acl","web_acl":"edge","action":"block","priority":100,"set_size":5000}]`

// good is an environment in which nothing is wrong and nothing is left out.
var good = map[string]string{
	"REDIS_URL": "rediss://sync:p4ss-w0rd@redis.example.com:6379/0", "WAF_TARGETS": oneTarget, "SYNC_MODE": "enforce", "WAIT": "20s",
}

// configuration tells the shared tests how this function reads its environment.
var configuration = syncruntest.Configuration{
	Load: func(lookup syncrun.Environment) (any, syncrun.Settings, error) {
		cfg, err := loadConfig(lookup)
		return cfg, cfg.Settings, err
	},
	Good: good, Required: []string{"WAF_TARGETS"},
	Refused: []syncruntest.Refusal{
		{Key: "WAF_TARGETS", Value: "", Want: []string{"WAF_TARGETS is not set", `"web_acl"`}},
		{Key: "WAF_TARGETS", Value: "[]", Want: []string{"WAF_TARGETS"}},
		{Key: "WAF_TARGETS", Value: "edge", Want: []string{"WAF_TARGETS"}},
		{Key: "WAF_TARGETS", Value: strings.Replace(oneTarget, "5000", "10001", 1), Want: []string{"WAF_TARGETS", "10001", "10000"}},
		{Key: "WAF_TARGETS", Value: strings.Replace(oneTarget, "REGIONAL", "regional", 1), Want: []string{"WAF_TARGETS", "regional", "CLOUDFRONT"}},
	},
}

func TestConfiguration(t *testing.T) { configuration.Test(t) }

func TestLoadConfigReadsTheTargets(t *testing.T) {
	got, err := loadConfig(configuration.Env(nil))
	if err != nil || len(got.Targets) != 1 || got.Targets[0].Name != "edge" {
		t.Errorf("config = %+v, %v", got, err)
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
