package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
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
	url   string // of the wall

	alibaba *waftest.Alibaba
	tencent *waftest.Tencent
	group   string // Tencent Cloud's security group
}

// redisPrefix begins every key of ours.
const redisPrefix = "{tracewall}:v1:"

// key finds the surroundings in a script's environment.
type key struct{}

// TestScripts runs the command as a person does: each file in testdata/script is a session
// with a Redis and clouds of its own.
//
// Besides testscript's own commands there are: code N CMD… (CMD ends with exit code N), wall N
// (so many addresses are enforced), wall has|lacks PREFIX, wall protects RESOURCE, wall tampered (somebody else empties our first IP set), redis flush|close|lose KEY|hold LEASE|free
// LEASE|vanish COUNT, numbers [spread] COUNT FILE (a list of COUNT addresses, none beside another), and cloud alibaba|group|tencent N (so many are enforced there).
// store case KEY FILE, store run FILE and store state NAME FILE keep what a run of detect would, store ranges PREFIX… what one
// of refresh-intel would.
// TENCENT_GROUP is a security group that is there.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "", // what cmp compares with is what came out
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
			s.url = url
			vars, err := s.startOthers(e)
			if err != nil {
				return err
			}
			e.Values[key{}] = s
			e.Vars = append(e.Vars, vars...)
			e.Vars = append(e.Vars,
				"ROOT="+root, "REASON=a \x1b[31mred\u202e one", "REDIS_URL=redis://"+s.redis.Addr(), "AWS_ENDPOINT_URL="+url,
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
			"code": codeCommand, "wall": wallCommand, "cloud": cloudCommand, "redis": redisCommand, "numbers": numbersCommand, "store": storeCommand,
		},
	})
}

// startOthers starts Alibaba Cloud and Tencent Cloud, and returns what the command needs to speak to them.
func (s *surroundings) startOthers(e *testscript.Env) ([]string, error) {
	s.alibaba = waftest.NewAlibaba(waftest.AlibabaOptions{Form: waftest.WithBits})
	s.alibaba.SeedObjects("shop.example.com-waf")
	ali, err := s.alibaba.Start()
	if err != nil {
		return nil, err
	}
	e.Defer(func() { _ = s.alibaba.Close() })
	s.tencent = waftest.NewTencent(waftest.TencentOptions{})
	s.group = s.tencent.SeedSecurityGroup("ap-guangzhou", "shop")
	s.tencent.SeedProtected(s.group, 2)
	s.tencent.SeedInstance("waf_2kshop01", "clb-waf", 3)
	s.tencent.SeedDomain("shop.example.com", "waf_2kshop01", true)
	tc, err := s.tencent.Start()
	if err != nil {
		return nil, err
	}
	e.Defer(func() { _ = s.tencent.Close() })
	return []string{
		"ALIBABA_ENDPOINT_URL=" + ali, "TENCENT_ENDPOINT_URL=" + tc, "TENCENT_GROUP=" + s.group,
		"ALIBABA_CLOUD_ACCESS_KEY_ID=" + waftest.AlibabaKeyID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET=" + waftest.AlibabaKeySecret,
		"ALIBABA_CLOUD_SECURITY_TOKEN=" + waftest.AlibabaToken,
		"TENCENTCLOUD_SECRET_ID=" + waftest.TencentSecretID, "TENCENTCLOUD_SECRET_KEY=" + waftest.TencentSecretKey,
	}, nil
}

func cloudCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cloud alibaba|group|tencent N")
	}
	s := ts.Value(key{}).(surroundings)
	var got []netip.Prefix
	switch args[0] {
	case "alibaba":
		got = s.alibaba.Enforced()
	case "group":
		got = slices.DeleteFunc(s.tencent.EnforcedGroup(s.group), func(p netip.Prefix) bool {
			return p.String() == "203.0.113.66/32" // whom somebody else drops
		})
	case "tencent":
		got = s.tencent.EnforcedAccess("shop.example.com")
	}
	if fmt.Sprint(len(got)) != args[1] {
		ts.Fatalf("%s enforces %d, want %s", args[0], len(got), args[1])
	}
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
	case neg || len(args) == 0:
		ts.Fatalf("usage: wall N, wall has|lacks PREFIX, wall protects RESOURCE, wall tampered")
	case len(args) == 1 && args[0] == "tampered":
		ts.Check(tamper(s.url))
	case len(args) == 1:
		if got := fmt.Sprint(len(prefixes)); got != args[0] {
			ts.Fatalf("the wall enforces %s, want %s", got, args[0])
		}
	case len(args) == 2 && args[0] == "protects":
		ts.Check(s.wall.Associate("eu-west-1", "shop", args[1]))
	case len(args) == 2 && (args[0] == "has") != has(args[1]):
		ts.Fatalf("wall %s %s: it enforces %v", args[0], args[1], prefixes[:min(len(prefixes), 20)])
	}
}

// tamper is somebody else who empties our first IP set and leaves all else of it as it is.
func tamper(url string) error {
	ctx := context.Background()
	client := wafv2.New(wafv2.Options{Region: "eu-west-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "example", "")})
	list, err := client.ListIPSets(ctx, &wafv2.ListIPSetsInput{Scope: types.ScopeRegional})
	if err != nil {
		return err
	}
	for _, set := range list.IPSets {
		if strings.HasPrefix(*set.Name, "tracewall-shop-v4") {
			_, err := client.UpdateIPSet(ctx, &wafv2.UpdateIPSetInput{
				Scope: types.ScopeRegional, Id: set.Id, Name: set.Name, Description: set.Description, LockToken: set.LockToken, Addresses: []string{},
			})
			return err
		}
	}
	return errors.New("there is no set of ours")
}

func redisCommand(ts *testscript.TestScript, _ bool, args []string) {
	s := ts.Value(key{}).(surroundings)
	switch {
	case len(args) == 1 && args[0] == "flush":
		s.redis.FlushAll()
	case len(args) == 1 && args[0] == "close":
		s.redis.Close()
	case len(args) == 2 && args[0] == "hold": // a lease
		ts.Check(s.redis.Set(redisPrefix+"lease:"+args[1], "somebody 1"))
	case len(args) == 2 && args[0] == "free":
		s.redis.Del(redisPrefix + "lease:" + args[1])
	case len(args) == 2 && args[0] == "vanish": // the first so many entries, as if they had never been
		n, err := strconv.Atoi(args[1])
		ts.Check(err)
		members, err := s.redis.ZMembers(redisPrefix + "expiry")
		ts.Check(err)
		for _, m := range members[:n] {
			s.redis.Del(redisPrefix + "entry:" + m)
			_, err := s.redis.ZRem(redisPrefix+"expiry", m)
			ts.Check(err)
		}
		ts.Check(s.redis.Set(redisPrefix+"size", strconv.Itoa(len(members)-n)))
	case len(args) == 2 && args[0] == "lose":
		if !s.redis.Del(args[1]) {
			ts.Fatalf("redis has no key %s; it has %v", args[1], s.redis.Keys())
		}
	default:
		ts.Fatalf("usage: redis flush, redis close, redis lose KEY, redis hold|free LEASE, redis vanish COUNT")
	}
}

func numbersCommand(ts *testscript.TestScript, _ bool, args []string) {
	spread := 1
	if len(args) == 3 && args[0] == "spread" { // so far apart that no two of them make a range
		spread, args = 2, args[1:]
	}
	if len(args) != 2 {
		ts.Fatalf("usage: numbers [spread] COUNT FILE")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	var b strings.Builder
	for k := range n {
		i := k * spread
		fmt.Fprintf(&b, "%d.%d.%d.%d\n", 20+i>>24, i>>16&255, i>>8&255, i&255)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(b.String()), 0o600))
}
