//go:build cgo

package localcloud

import (
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// redisServer is an embedded Redis whose time goes on, so that terms really end. On a
// replay its clock is the replay's.
type redisServer struct {
	*miniredis.Miniredis
	stop chan struct{}
	done sync.WaitGroup
}

// tick is how often the clock is set: terms are whole minutes.
const tick = 200 * time.Millisecond

func startRedis(now func() time.Time) (*redisServer, error) {
	r := &redisServer{Miniredis: miniredis.NewMiniRedis(), stop: make(chan struct{})}
	r.SetTime(now().UTC())
	r.ClockTTL(true)
	if err := r.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start embedded redis: %w", err)
	}
	r.done.Go(func() {
		t := time.NewTicker(tick)
		defer t.Stop()
		for {
			select {
			case <-r.stop:
				return
			case <-t.C:
				r.SetTime(now().UTC())
			}
		}
	})
	return r, nil
}

func (r *redisServer) url() string { return "redis://" + r.Addr() }

func (r *redisServer) close() {
	close(r.stop)
	r.done.Wait()
	r.Close()
}
