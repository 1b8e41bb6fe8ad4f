package main

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/tracewall/tracewall/shared/syncrun"
	"github.com/tracewall/tracewall/shared/syncrun/syncruntest"
)

const oneTarget = `[{"name":"edge","region":"ap-guangzhou","mode":"security-group","security_groups":["sg-33ocnj9n"]}]`

// good is an environment in which nothing is wrong and nothing is left out.
var good = map[string]string{
	"REDIS_URL": "rediss://sync:p4ss-w0rd@redis.example.com:6379/0", "TENCENT_TARGETS": oneTarget, "SYNC_MODE": "enforce", "WAIT": "20s",
	"TENCENT_ENDPOINT_URL":   "http://127.0.0.1:8080",
	"TENCENTCLOUD_SECRET_ID": "an-id", "TENCENTCLOUD_SECRET_KEY": "p4ss-key", "TENCENTCLOUD_TOKEN": "p4ss-token",
}

// configuration tells the shared tests how this function reads its environment.
var configuration = syncruntest.Configuration{
	Load: func(lookup syncrun.Environment) (any, syncrun.Settings, error) {
		cfg, err := loadConfig(lookup)
		return cfg, cfg.Settings, err
	},
	Good: good, Required: []string{"TENCENT_TARGETS", "TENCENTCLOUD_SECRET_ID"},
	Refused: []syncruntest.Refusal{
		{Key: "TENCENT_TARGETS", Value: "", Want: []string{"TENCENT_TARGETS is not set", `"security_groups"`}},
		{Key: "TENCENT_TARGETS", Value: "[]", Want: []string{"TENCENT_TARGETS"}},
		{Key: "TENCENT_TARGETS", Value: strings.Replace(oneTarget, "security-group", "wall", 1), Want: []string{"TENCENT_TARGETS", "wall", "security-group or waf"}},
		{Key: "TENCENT_TARGETS", Value: strings.Replace(oneTarget, "region", "regoin", 1), Want: []string{"TENCENT_TARGETS", "regoin"}},
		{Key: "TENCENT_ENDPOINT_URL", Value: "http://vpc.tencentcloudapi.com", Want: []string{"TENCENT_ENDPOINT_URL", "https://"}},
		{Key: "TENCENTCLOUD_SECRET_ID", Value: "", Want: []string{"TENCENTCLOUD_SECRET_ID is not set"}},
		{Key: "TENCENTCLOUD_SECRET_KEY", Value: "", Want: []string{"TENCENTCLOUD_SECRET_KEY is not set"}},
	},
}

func TestConfiguration(t *testing.T) { configuration.Test(t) }

func TestLoadConfigReadsTheCloudsOwn(t *testing.T) {
	got, err := loadConfig(configuration.Env(nil))
	if err != nil || len(got.Targets) != 1 || got.Targets[0].Name != "edge" || got.Endpoint != good["TENCENT_ENDPOINT_URL"] {
		t.Errorf("config = %+v, %v", got, err)
	}
	keys, err := got.credentials(t.Context())
	if err != nil || keys.SecretID != "an-id" || keys.SecretKey.Reveal() != "p4ss-key" || keys.Token.Reveal() != "p4ss-token" {
		t.Errorf("credentials = %+v, %v", keys, err)
	}
	if text := fmt.Sprintf("%+v", keys); strings.Contains(text, "p4ss") {
		t.Errorf("printed credentials show a secret: %s", text)
	}
	if got, err := loadConfig(configuration.Env(map[string]string{"TENCENT_ENDPOINT_URL": "", "TENCENTCLOUD_TOKEN": ""})); err != nil || got.Endpoint != "" {
		t.Errorf("with neither endpoint nor token: %+v, %v", got, err)
	}
}

func TestWallsAreInOrderAndTheWireMakesNoCall(t *testing.T) {
	f, err := wire(t.Context(), configuration.Env(map[string]string{
		"TENCENT_TARGETS": `[{"name":"z","region":"ap-guangzhou","mode":"waf","edition":"clb-waf","sync":"observe","max_release":7},
			{"name":"a","region":"ap-guangzhou","mode":"security-group","security_groups":["sg-33ocnj9n"],"set_size":15}]`,
		"REDIS_URL": "redis://127.0.0.1:1",
	}), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Walls) != 2 || f.Walls[0].Name != "a" || f.Walls[0].Limits.SetSize != 15 || !f.Walls[1].Observe || f.Walls[1].MaxRelease != 7 {
		t.Errorf("walls = %+v", f.Walls)
	}
}

func TestEventsOfTheTimersAndOfPeople(t *testing.T) {
	syncruntest.TestTimerSamples(t, function, inputs)
}
