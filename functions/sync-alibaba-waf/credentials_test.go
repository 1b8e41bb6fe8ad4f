package main

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fccontext"

	"github.com/tracewall/tracewall/shared/enforce"
	"github.com/tracewall/tracewall/shared/fccall"
	"github.com/tracewall/tracewall/shared/syncrun"
	"github.com/tracewall/tracewall/shared/syncrun/syncruntest"
	"github.com/tracewall/tracewall/shared/telemetry"
	"github.com/tracewall/tracewall/shared/waf"
	"github.com/tracewall/tracewall/shared/waf/waftest"
)

// asking is a firewall that asks for credentials as an adapter does.
type asking struct {
	*waftest.Firewall
	ask func(context.Context)
}

func (a asking) Look(ctx context.Context) (waf.State, error) {
	a.ask(ctx)
	return a.Firewall.Look(ctx)
}

// What FC hands over with a call must get through to where calls are signed.
func TestAnEventIsHandledWithItsOwnCredentials(t *testing.T) {
	wired, err := wire(t.Context(), configuration.Env(map[string]string{"REDIS_URL": "redis://127.0.0.1:1"}), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var memory waftest.Wall
	var used []string
	environment := config{Keys: fccall.Keys{ID: "env-id", Secret: "env-secret"}}
	h := &syncrun.Function{
		Name: function, Kind: kind, Cloud: "alibaba", Inputs: inputs, Decode: inputs.Timer, Call: wired.Call,
		List: syncruntest.NewWorld(t, syncruntest.SampleTime()).Store,
		Walls: []enforce.Wall{{Name: "a", Limits: waf.Limits{SetSize: 10}, Firewall: asking{memory.Open(), func(ctx context.Context) {
			got, err := environment.credentials(ctx)
			if err != nil {
				t.Error(err)
			}
			used = append(used, got.AccessKeyID)
		}}}},
		Log: telemetry.New(io.Discard, function), Metrics: telemetry.NewMetrics(io.Discard, time.Now, telemetry.Plain, function), Now: time.Now,
	}
	for _, id := range []string{"first-id", "second-id"} {
		call := fccontext.FcContext{}
		call.Credentials.AccessKeyId = id
		if _, err := h.Handle(fccontext.NewContext(t.Context(), &call), []byte(`{"mode":"plan"}`)); err != nil {
			t.Fatal(err)
		}
	}
	if len(used) != 2 || used[0] != "first-id" || used[1] != "second-id" {
		t.Errorf("signed with %v, want each call's own", used)
	}
}
