package awswaf

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/tracewall/tracewall/shared/waf"
)

// Pace keeps calls under AWS WAF's fixed rates, which hold per account, Region and
// action and are shared with the console and every other tool: 1 a second for each
// Create, Put, Update and Delete action, 5 a second for each Get and List
// action. All targets of a process should share one Pace. Safe for concurrent use.
type Pace struct {
	write, read time.Duration

	mu       sync.Mutex
	limiters map[string]*rate.Limiter
}

// The default distances between two calls of the same action. 1.005 s has been
// seen to be throttled now and then; 1.1 s has not.
const (
	WriteEvery = 1100 * time.Millisecond
	ReadEvery  = 200 * time.Millisecond
)

// NewPace returns a Pace with these distances between two calls of the same action; 0 does not wait.
func NewPace(write, read time.Duration) *Pace {
	return &Pace{write: write, read: read, limiters: map[string]*rate.Limiter{}}
}

// wait returns when the next call of the action may be made. If that would be after
// the context's deadline it returns waf.ErrOutOfTime at once.
func (p *Pace) wait(ctx context.Context, region, action string) error {
	every := p.write
	if !isWrite(action) {
		every = p.read
	}
	if every <= 0 {
		return ctx.Err()
	}
	p.mu.Lock()
	l := p.limiters[region+" "+action]
	if l == nil {
		l = rate.NewLimiter(rate.Every(every), 1)
		p.limiters[region+" "+action] = l
	}
	p.mu.Unlock()
	if err := l.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("wait for the pace of %s: %w: %w", action, waf.ErrOutOfTime, err)
	}
	return nil
}

// isWrite tells actions that change something.
func isWrite(action string) bool {
	return !strings.HasPrefix(action, "Get") && !strings.HasPrefix(action, "List") && action != "CheckCapacity"
}
