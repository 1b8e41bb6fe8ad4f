package redisstore_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/alicebob/miniredis/v2"

	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
)

// redis5 is what we may send: commands of Redis 5 or earlier, each with the word of
// its options that we must not use because it came later.
var redis5 = map[string][]string{
	"multi": nil, "exec": nil, "eval": nil, "evalsha": nil, "ping": nil, "select": nil, "auth": nil,
	"get": nil, "set": {"keepttl", "get", "exat", "pxat"}, "mget": nil, "del": nil, "exists": nil, "incr": nil, "pexpire": {"nx", "xx", "gt", "lt"},
	"hget": nil, "hset": nil, "hmget": nil, "hlen": nil, "hincrby": nil,
	"zadd": {"gt", "lt"}, "zcard": nil, "zcount": nil, "zscore": nil, "zrem": nil, "zrange": {"byscore", "bylex", "rev", "limit"},
	"zrevrange": nil, "zremrangebyrank": nil, "zscan": nil, "time": nil,
	"xadd": {"nomkstream", "minid", "limit"}, "xlen": nil, "xrange": {"("}, "xack": nil, "xgroup": {"createconsumer", "entriesread"},
	"xread": nil, "xrevrange": {"("}, "xreadgroup": {"claim"}, "xpending": {"idle"}, "xclaim": {"lastid"}, "xinfo": nil,
}

// handshake is what the client sends by itself: HELLO is of Redis 6, and the client
// goes on with AUTH and without it when the server does not know it.
var handshake = []string{"hello"}

// recorder is a go-redis hook that notes each command.
type recorder struct {
	mu   sync.Mutex
	seen map[string][][]any
}

func (r *recorder) note(cmds ...redis.Cmder) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range cmds {
		r.seen[c.Name()] = append(r.seen[c.Name()], c.Args())
	}
}

func (r *recorder) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (r *recorder) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, c redis.Cmder) error { r.note(c); return next(ctx, c) }
}

func (r *recorder) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { r.note(cmds...); return next(ctx, cmds) }
}

func TestOnlyCommandsOfRedis5AreSentUnderOneHashTag(t *testing.T) {
	rec := &recorder{seen: map[string][][]any{}}
	blocklisttest.TestStore(t, func(t *testing.T) blocklisttest.Harness {
		m := miniredis.RunT(t)
		client := func() *redisstore.Store {
			s := open(t, "redis://"+m.Addr())
			s.AddHook(rec)
			return s
		}
		h := harness(t, "redis://"+m.Addr(), redis.NewClient(&redis.Options{Addr: m.Addr()}))
		h.Store, h.Other, h.Advance = client(), client(), m.FastForward
		h2 := client()
		_, _, _ = h2.Repair(t.Context(), time.Now())
		_ = h2.Ping(t.Context())
		_, _ = h2.About(t.Context(), time.Now(), indicator(t, "ip:203.0.113.7"))
		_, _ = h2.Groups(t.Context())
		return h
	})
	if len(rec.seen) < 20 {
		t.Errorf("the recorder saw only %d kinds of commands", len(rec.seen))
	}
	for name, calls := range rec.seen {
		late, known := redis5[name]
		if !known && !slices.Contains(handshake, name) {
			t.Errorf("%s is sent: not on the list of Redis 5 commands", name)
		}
		for _, args := range calls {
			for i, arg := range args {
				word, _ := arg.(string)
				if name != "eval" && name != "evalsha" && i > 1 && slices.Contains(late, strings.ToLower(word)) {
					t.Errorf("%s %v: %s is newer than Redis 5", name, args, word)
				}
				if strings.Contains(word, "tracewall") && name != "hget" && !strings.HasPrefix(word, prefix) {
					t.Errorf("%s: key %q is not under %s", name, word, prefix)
				}
			}
		}
	}
}

// The same for what the scripts call, read from their text.
func TestScriptsCallOnlyCommandsOfRedis5(t *testing.T) {
	files, err := filepath.Glob("lua/*.lua")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d scripts, err = %v", len(files), err)
	}
	call := regexp.MustCompile(`redis\.p?call\('(\w+)'([^\n]*)`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range call.FindAllStringSubmatch(string(text), -1) {
			late, known := redis5[strings.ToLower(m[1])]
			if !known {
				t.Errorf("%s calls %s: not on the list of Redis 5 commands", file, m[1])
			}
			for _, word := range late {
				if strings.Contains(strings.ToLower(m[2]), "'"+word+"'") {
					t.Errorf("%s calls %s with %s: newer than Redis 5", file, m[1], word)
				}
			}
		}
	}
}
