//go:build cgo

package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/localcloud"
	"github.com/tracewall/tracewall/shared/cls/clstest"
	"github.com/tracewall/tracewall/shared/sls"
)

const topic = "682d0718-07bb-4ec0-9fda-f1e9a2767e0b"

func TestDoctorAsksTheLogsThatDetectWouldRead(t *testing.T) {
	logs, put, err := localcloud.StartLogs("gateway", []string{"client_ip"})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	defer put.Close()
	tencent, err := clstest.New(clstest.Config{Region: "ap-guangzhou", SecretID: "id", SecretKey: "key"})
	if err != nil {
		t.Fatal(err)
	}
	defer tencent.Close()
	if err := tencent.Start(); err != nil {
		t.Fatal(err)
	}
	if err := tencent.CreateTopic(topic, map[string]clstest.FieldType{"client_ip": clstest.Text}); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{
		"SLS_ENDPOINT": logs.Endpoint, "SLS_PROJECT": localcloud.Project, "SLS_LOGSTORE": "gateway", "FIELD_ADDRESS": "client_ip",
		"ALIBABA_CLOUD_ACCESS_KEY_ID": localcloud.AccessKeyID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": localcloud.AccessSecret,
		"CLS_ENDPOINT": tencent.Endpoint, "CLS_REGION": "ap-guangzhou", "CLS_TOPIC": topic, "TENCENTCLOUD_SECRET_ID": "id", "TENCENTCLOUD_SECRET_KEY": "key",
	}
	doctor := func(want int, lines ...string) {
		t.Helper()
		var out bytes.Buffer
		a := &app{stdout: &out, stderr: &out, now: time.Now, lookup: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
		if got := a.main(t.Context(), []string{"doctor"}); got != want {
			t.Errorf("exit code %d, want %d:\n%s", got, want, &out)
		}
		for _, line := range lines {
			if !bytes.Contains(out.Bytes(), []byte(line)) {
				t.Errorf("no %q in:\n%s", line, &out)
			}
		}
	}
	doctor(exitOK, "warn     sls                  gateway has no line of the last 15m0s", "warn     cls                  "+topic+" has no line")

	seen := time.Now().Add(-time.Minute)
	if err := put.Put(t.Context(), "gateway", []sls.Log{{Time: seen, Fields: []sls.Field{{Key: "client_ip", Value: "203.0.113.7"}}}}); err != nil {
		t.Fatal(err)
	}
	if err := tencent.Load(t.Context(), topic, []clstest.Log{{Time: seen, Fields: map[string]string{"other": "203.0.113.7"}}}); err != nil {
		t.Fatal(err)
	}
	doctor(exitOK, "ok       sls                  gateway has 1 lines", "and none with the field client_ip")

	env["FIELD_ADDRESS"] = "remote_addr"
	env["TENCENTCLOUD_SECRET_KEY"] = "stolen"
	doctor(exitFailed, "fail     sls ", "fail     cls ")
	env["FIELD_ADDRESS"] = `x", 1) or ("`
	doctor(exitFailed, "FIELD_ADDRESS: want the name of a field")
}
