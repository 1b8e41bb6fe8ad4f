package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/wafbench"
)

func TestBenchWAF(t *testing.T) {
	run := func(args ...string) (code int, out, said string) {
		var stdout, stderr bytes.Buffer
		a := &app{stdout: &stdout, stderr: &stderr, lookup: func(string) (string, bool) { return "", false }, now: time.Now}
		code = a.main(t.Context(), append([]string{"bench-waf"}, args...))
		return code, stdout.String(), stderr.String()
	}
	t.Run("a quick one prints every case as JSON", func(t *testing.T) {
		code, out, said := run("--quick", "--json")
		var res wafbench.Result
		if err := json.Unmarshal([]byte(out), &res); code != exitOK || err != nil || len(res.Cases) == 0 {
			t.Fatalf("exit %d, %v, %d cases, said %q", code, err, len(res.Cases), said)
		}
	})
	t.Run("a part that there is not is a wrong call", func(t *testing.T) {
		if code, _, said := run("--only", "nothing"); code != exitUsage || !strings.Contains(said, "want table, deployed or million") {
			t.Errorf("exit %d, said %q", code, said)
		}
	})
	t.Run("so is a list that is not there", func(t *testing.T) {
		if code, _, said := run("--quick", "--list", filepath.Join(t.TempDir(), "none")); code != exitUsage || !strings.Contains(said, "read list") {
			t.Errorf("exit %d, said %q", code, said)
		}
	})
}
