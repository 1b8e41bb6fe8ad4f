package main

import (
	"io"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/syncrun"
	"github.com/tracewall/tracewall/shared/syncrun/syncruntest"
)

const oneTarget = `[{"name":"shop","region":"cn-hangzhou","mode":"auto","action":"block"}]`

// good is an environment in which nothing is wrong and nothing is left out.
var good = map[string]string{
	"REDIS_URL": "rediss://sync:p4ss-w0rd@redis.example.com:6379/0", "ALIBABA_TARGETS": oneTarget, "SYNC_MODE": "enforce", "WAIT": "20s",
	"ALIBABA_ENDPOINT_URL":        "http://127.0.0.1:8080",
	"ALIBABA_CLOUD_ACCESS_KEY_ID": "env-id", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "p4ss-env", "ALIBABA_CLOUD_SECURITY_TOKEN": "p4ss-token",
}

// configuration tells the shared tests how this function reads its environment.
var configuration = syncruntest.Configuration{
	Load: func(lookup syncrun.Environment) (any, syncrun.Settings, error) {
		cfg, err := loadConfig(lookup)
		return cfg, cfg.Settings, err
	},
	Good: good, Required: []string{"ALIBABA_TARGETS"},
	Refused: []syncruntest.Refusal{
		{Key: "ALIBABA_TARGETS", Value: "", Want: []string{"ALIBABA_TARGETS is not set", `"region"`}},
		{Key: "ALIBABA_TARGETS", Value: "[]", Want: []string{"ALIBABA_TARGETS"}},
		{Key: "ALIBABA_TARGETS", Value: strings.Replace(oneTarget, "auto", "wall", 1), Want: []string{"ALIBABA_TARGETS", "wall", "address-book"}},
		{Key: "ALIBABA_TARGETS", Value: strings.Replace(oneTarget, "action", "actoin", 1), Want: []string{"ALIBABA_TARGETS", "actoin"}},
		{Key: "ALIBABA_ENDPOINT_URL", Value: "http://wafopenapi.cn-hangzhou.aliyuncs.com", Want: []string{"ALIBABA_ENDPOINT_URL", "https://"}},
		{Key: "ALIBABA_CLOUD_ACCESS_KEY_ID", Value: "", Want: []string{"ALIBABA_CLOUD_ACCESS_KEY_ID", "both or neither"}},
		{Key: "ALIBABA_CLOUD_ACCESS_KEY_SECRET", Value: "", Want: []string{"ALIBABA_CLOUD_ACCESS_KEY_SECRET", "both or neither"}},
	},
}

func TestConfiguration(t *testing.T) { configuration.Test(t) }

func TestLoadConfigReadsTheCloudsOwn(t *testing.T) {
	got, err := loadConfig(configuration.Env(nil))
	if err != nil || len(got.Targets) != 1 || got.Targets[0].Name != "shop" || got.Endpoint != good["ALIBABA_ENDPOINT_URL"] ||
		got.Keys.ID != "env-id" || got.Keys.Secret.Reveal() != "p4ss-env" || got.Keys.Token.Reveal() != "p4ss-token" {
		t.Errorf("config = %+v, %v", got, err)
	}
	if got, err := loadConfig(configuration.Env(map[string]string{"ALIBABA_ENDPOINT_URL": ""})); err != nil || got.Endpoint != "" {
		t.Errorf("without an endpoint: %+v, %v", got, err)
	}
}

func TestWallsAreInOrderAndTheWireMakesNoCall(t *testing.T) {
	h, err := wire(t.Context(), configuration.Env(map[string]string{
		"ALIBABA_TARGETS": `[{"name":"z","region":"cn-hangzhou","sync":"observe","max_release":7},{"name":"a","region":"ap-southeast-1","mode":"ip-blacklist","set_size":50}]`,
		"REDIS_URL":       "redis://127.0.0.1:1",
	}), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Walls) != 2 || h.Walls[0].Name != "a" || h.Walls[0].Limits.SetSize != 50 || !h.Walls[1].Observe || h.Walls[1].MaxRelease != 7 {
		t.Errorf("walls = %+v", h.Walls)
	}
}

func TestEventsOfTheTimersAndOfPeople(t *testing.T) {
	syncruntest.TestTimerSamples(t, function, inputs)
}
