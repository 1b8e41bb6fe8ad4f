package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/tracewall/tracewall/shared/waf/waftest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tracewall": main})
}

// surroundings are what a script's commands talk to.
type surroundings struct {
	redis *miniredis.Miniredis
	wall  *waftest.AWS
}

// key finds the surroundings in a script's environment.
type key struct{}

// TestScripts runs the command as a person does: each file in testdata/script is a session
// with a Redis and an AWS WAF of its own.
//
// Besides testscript's own commands there are: code N CMD… (CMD ends with exit code N), wall N
// (so many addresses are enforced), wall has|lacks PREFIX, redis flush|close|lose KEY, and numbers
// FROM COUNT FILE (a list of COUNT addresses).
func TestScripts(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			s := surroundings{redis: miniredis.NewMiniRedis(), wall: waftest.NewAWS(waftest.AWSOptions{})}
			if err := s.redis.StartAddr("127.0.0.1:0"); err != nil {
				return err
			}
			e.Defer(s.redis.Close)
			url, err := s.wall.Start()
			if err != nil {
				return err
			}
			e.Defer(func() { _ = s.wall.Close() })
			if err := s.wall.SeedWebACL("eu-west-1", "REGIONAL", "shop"); err != nil {
				return err
			}
			e.Values[key{}] = s
			e.Vars = append(e.Vars,
				"ROOT="+root, "REDIS_URL=redis://"+s.redis.Addr(), "AWS_ENDPOINT_URL_WAFV2="+url,
				"AWS_ACCESS_KEY_ID=AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY=example", "AWS_EC2_METADATA_DISABLED=true",
				"AWS_CONFIG_FILE="+filepath.Join(e.WorkDir, "none"), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(e.WorkDir, "none"),
				`WAF_TARGETS=[{"name":"shop","region":"eu-west-1","scope":"REGIONAL","mode":"web-acl","web_acl":"shop","action":"block"}]`,
			)
			for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOFLAGS", "GOPATH", "GOPROXY", "HOME"} {
				if v := goEnv(name); v != "" {
					e.Setenv(name, v)
				}
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": codeCommand, "wall": wallCommand, "redis": redisCommand, "numbers": numbersCommand,
		},
	})
}

func goEnv(name string) string {
	if name == "HOME" {
		return os.Getenv(name)
	}
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func codeCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N CMD…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code = %d, want %d", got, want)
	}
}

func wallCommand(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(key{}).(surroundings)
	prefixes := s.wall.Enforced("eu-west-1", "REGIONAL", "shop")
	has := func(text string) bool {
		for _, p := range prefixes {
			if p.String() == text {
				return true
			}
		}
		return false
	}
	switch {
	case neg:
		ts.Fatalf("usage: wall N, wall has PREFIX, wall lacks PREFIX")
	case len(args) == 1:
		if got := fmt.Sprint(len(prefixes)); got != args[0] {
			ts.Fatalf("the wall enforces %s, want %s", got, args[0])
		}
	case len(args) == 2 && (args[0] == "has") != has(args[1]):
		ts.Fatalf("wall %s %s: it enforces %v", args[0], args[1], prefixes[:min(len(prefixes), 20)])
	}
}

func redisCommand(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value(key{}).(surroundings)
	switch {
	case len(args) == 1 && args[0] == "flush":
		s.redis.FlushAll()
	case len(args) == 1 && args[0] == "close":
		s.redis.Close()
	case len(args) == 2 && args[0] == "lose":
		if !s.redis.Del(args[1]) {
			ts.Fatalf("redis has no key %s; it has %v", args[1], s.redis.Keys())
		}
	default:
		ts.Fatalf("usage: redis flush, redis close, redis lose KEY")
	}
}

func numbersCommand(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: numbers COUNT FILE")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d.%d.%d.%d\n", 20+i>>24, i>>16&255, i>>8&255, i&255)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(b.String()), 0o600))
}
