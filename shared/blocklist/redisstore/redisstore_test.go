package redisstore_test

import (
	"context"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/threat"
)

var _ blocklisttest.Store = (*redisstore.Store)(nil)

const (
	prefix = "{tracewall}:v1:"
	secret = "0123456789abcdef0123456789abcdef"
)

func startMini(tb testing.TB) string {
	tb.Helper()
	return "redis://" + miniredis.RunT(tb).Addr()
}

// harness makes a Harness of the server at url, which it empties and raw may damage.
func harness(t *testing.T, url string, raw redis.UniversalClient, opts ...redisstore.Option) blocklisttest.Harness {
	t.Helper()
	t.Cleanup(func() { _ = raw.Close() })
	fail := func(t blocklisttest.TB, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("damage: %v", err)
		}
	}
	ctx := context.Background()
	fail(t, raw.FlushAll(ctx).Err())
	fail(t, raw.Set(ctx, prefix+"secret", secret, 0).Err())
	return blocklisttest.Harness{
		Store: open(t, url, opts...), Other: open(t, url, opts...), Secret: secret,
		Flush:   func(t blocklisttest.TB) { fail(t, raw.FlushAll(ctx).Err()) },
		Lose:    func(t blocklisttest.TB, part string) { fail(t, raw.Del(ctx, prefix+part).Err()) },
		Corrupt: func(t blocklisttest.TB, part string) { fail(t, raw.Set(ctx, prefix+part, `{"v":1`, 0).Err()) },
		Erase: func(t blocklisttest.TB, ind threat.Indicator) {
			fail(t, raw.Del(ctx, prefix+"entry:"+ind.Key(), prefix+"past:"+ind.Key()).Err())
			fail(t, raw.ZRem(ctx, prefix+"expiry", ind.Key()).Err())
			n, err := raw.ZCard(ctx, prefix+"expiry").Result()
			fail(t, err)
			fail(t, raw.Set(ctx, prefix+"size", n, 0).Err())
		},
	}
}

func TestContractOnMiniredis(t *testing.T) {
	blocklisttest.TestStore(t, func(t *testing.T) blocklisttest.Harness {
		m := miniredis.RunT(t)
		h := harness(t, "redis://"+m.Addr(), redis.NewClient(&redis.Options{Addr: m.Addr()}))
		h.Advance = m.FastForward
		return h
	})
}

func TestContractOnRedis(t *testing.T) {
	r := blocklisttest.StartRedis(t)
	blocklisttest.TestStore(t, func(t *testing.T) blocklisttest.Harness {
		return harness(t, r.URL, redis.NewClient(&redis.Options{Addr: r.Addr}))
	})
}

func open(tb testing.TB, url string, opts ...redisstore.Option) *redisstore.Store {
	tb.Helper()
	if !strings.Contains(url, "://") {
		tb.Fatalf("open %q: no address", url)
	}
	store, err := redisstore.Open(tb.Context(), url, opts...)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	return store
}
