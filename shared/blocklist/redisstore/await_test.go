package redisstore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/tracewall/tracewall/shared/blocklist/blocklisttest"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
)

func TestTheClientsReadTimeoutDoesNotCutTheWait(t *testing.T) {
	r := blocklisttest.StartRedis(t)
	client := redis.NewClient(&redis.Options{Addr: r.Addr, Protocol: 2, ReadTimeout: 50 * time.Millisecond, ContextTimeoutEnabled: true})
	store := redisstore.New(client)
	t.Cleanup(func() { _ = store.Close() })
	begin := time.Now()
	last, err := store.Await(t.Context(), "0-0", 400*time.Millisecond)
	if err != nil || last != "0-0" || time.Since(begin) < 300*time.Millisecond {
		t.Errorf("await = %s, %v after %s, want the whole wait", last, err, time.Since(begin))
	}
}

// The wait is cut into slices, and a message in a later one rings as well.
func TestAWaitOfManySlicesRingsInAnyOfThem(t *testing.T) {
	url := startMini(t)
	store, other := open(t, url), open(t, url)
	store.SetBounds(0, 20*time.Millisecond)
	var mu sync.Mutex
	reads := 0
	enough := make(chan struct{})
	store.AddHook(&intruder{after: func(name string) {
		mu.Lock()
		defer mu.Unlock()
		if name == "xread" {
			if reads++; reads == 3 {
				close(enough)
			}
		}
	}})
	var putting sync.WaitGroup
	putting.Go(func() {
		<-enough
		if _, err := other.Put(context.Background(), batch(t, 1)); err != nil {
			t.Errorf("put: %v", err)
		}
	})
	defer putting.Wait() // it rings before it is through
	last, err := store.Await(t.Context(), "0-0", time.Minute)
	if err != nil || last == "0-0" {
		t.Errorf("await = %s, %v, want the message", last, err)
	}
}

func TestAWaitWithoutAServerIsAnError(t *testing.T) {
	m := miniredis.RunT(t)
	store := open(t, "redis://"+m.Addr())
	m.Close()
	for _, after := range []string{"", "0-0"} {
		if _, err := store.Await(t.Context(), after, time.Second); err == nil {
			t.Errorf("await after %q: no error", after)
		}
	}
}

func TestTheEndOfTheContextEndsTheWait(t *testing.T) {
	r := blocklisttest.StartRedis(t)
	store := open(t, r.URL)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := store.Await(ctx, "0-0", time.Minute); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 2*time.Second {
		t.Errorf("err = %v after %s, want the deadline's at once", err, time.Since(begin))
	}
}
