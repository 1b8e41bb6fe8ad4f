package wafbench

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/tracewall/tracewall/shared/allowlist"
	"github.com/tracewall/tracewall/shared/blocklist"
	"github.com/tracewall/tracewall/shared/blocklist/redisstore"
	"github.com/tracewall/tracewall/shared/threat"
)

// store is a blocklist in a Redis of our own.
type store struct {
	*redisstore.Store
	url  string
	kind string // "redis-server" or "an embedded Redis"
	stop func()
}

// openStore starts a redis-server if there is one on the PATH, or else one that is
// embedded in this process.
func openStore(ctx context.Context) (*store, error) {
	s, err := startRedis(ctx)
	if err != nil {
		return nil, err
	}
	if s.Store, err = redisstore.Open(ctx, s.url); err != nil {
		s.stop()
		return nil, err
	}
	stop := s.stop
	s.stop = func() { _ = s.Close(); stop() }
	for range 100 {
		if err = s.Ping(ctx); err == nil {
			break
		}
		if perr := pause(ctx, 50*time.Millisecond); perr != nil {
			err = perr
			break
		}
	}
	if err == nil {
		var allow allowlist.List
		if allow, err = allowlist.Parse(strings.NewReader("198.51.100.0/24 # office\n")); err == nil {
			err = s.SaveAllowlist(ctx, allow)
		}
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("open blocklist in %s: %w", s.kind, err)
	}
	return s, nil
}

func startRedis(ctx context.Context) (*store, error) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		mini := miniredis.NewMiniRedis()
		if err := mini.StartAddr("127.0.0.1:0"); err != nil {
			return nil, fmt.Errorf("start embedded redis: %w", err)
		}
		return &store{url: "redis://" + mini.Addr(), kind: "an embedded Redis", stop: mini.Close}, nil
	}
	dir, err := os.MkdirTemp("", "tracewall-bench-")
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close() // redis-server takes the port over
	cmd := exec.CommandContext(context.WithoutCancel(ctx), path,
		"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--save", "", "--appendonly", "no", "--dir", dir, "--loglevel", "warning")
	if err := cmd.Start(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("start redis-server: %w", err)
	}
	return &store{url: fmt.Sprintf("redis://127.0.0.1:%d", port), kind: "redis-server", stop: func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}}, nil
}

// part is how many entries are written to the store at a time.
const part = 50_000

// put blocks what a history has added, or all of it.
func (s *store) put(ctx context.Context, h *History, all bool) error {
	now := time.Now().UTC().Truncate(time.Second)
	list := h.last.Added
	if all {
		list = prefixesOf(h.live)
	}
	for len(list) > 0 {
		n := min(part, len(list))
		batch := blocklist.Batch{Run: "bench", Now: now, Offences: make([]blocklist.Offence, n)}
		for i, p := range list[:n] {
			ind, err := threat.Address(p.Addr())
			if err == nil && !p.IsSingleIP() {
				ind, err = threat.Range(p)
			}
			if err != nil {
				return err
			}
			batch.Offences[i] = blocklist.Offence{At: now, Term: term, Entry: blocklist.Entry{
				Indicator: ind, Source: blocklist.SourceDetect, Severity: threat.High, Rules: []string{"rate-limit-address"},
				Count: int64(20 + i%500), FirstSeen: now.Add(-time.Minute), LastSeen: now, Countries: []string{"ID"},
			}}
		}
		if _, err := s.Put(ctx, batch); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// remove lets go what a history has removed.
func (s *store) remove(ctx context.Context, h *History) error {
	inds := make([]threat.Indicator, 0, len(h.last.Removed))
	for _, p := range h.last.Removed {
		ind, err := threat.Address(p.Addr())
		if err != nil {
			return err
		}
		inds = append(inds, ind)
	}
	_, err := s.Remove(ctx, time.Now().UTC().Truncate(time.Second), "bench", inds)
	return err
}
