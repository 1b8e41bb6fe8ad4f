package blocklisttest

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// Redis is a redis-server process of this test alone.
type Redis struct {
	Addr string // host:port on loopback
	URL  string // redis:// or rediss://
}

// StartRedis starts the redis-server that is on the PATH on a free port of
// loopback, with nothing on disk, and stops it when the test ends. It skips the test
// where there is none. args are added to its command line; with "--tls-port" in
// them, PORT in any argument stands for the port, and URL is a rediss:// one.
func StartRedis(tb testing.TB, args ...string) Redis {
	tb.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		tb.Skip("redis-server is not installed: this test runs against the real one")
	}
	// Another process may take the port between our look and the server's.
	for try := range 5 {
		r, err := startRedis(tb, path, args)
		if err == nil {
			return r
		}
		if try == 4 {
			tb.Fatalf("start redis-server: %v", err)
		}
	}
	panic("unreachable")
}

func startRedis(tb testing.TB, path string, args []string) (Redis, error) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return Redis{}, err
	}
	addr := l.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	if err := l.Close(); err != nil {
		return Redis{}, err
	}
	r := Redis{Addr: addr, URL: "redis://" + addr}
	line := []string{"--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", tb.TempDir()}
	usesTLS := false
	for _, a := range args {
		if a == "PORT" {
			a = port
		}
		usesTLS = usesTLS || a == "--tls-port"
		line = append(line, a)
	}
	if usesTLS {
		r.URL = "rediss://" + addr
		line = append(line, "--port", "0")
	} else {
		line = append(line, "--port", port)
	}
	var out lockedBuffer
	cmd := exec.Command(path, line...)
	cmd.Stdout, cmd.Stderr = &out, &out
	dieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return Redis{}, err
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(exited)
	}()
	stop := func() {
		_ = cmd.Process.Kill()
		<-exited
	}
	deadline := time.After(10 * time.Second)
	for !bytes.Contains(out.Bytes(), []byte("Ready to accept connections")) {
		select {
		case <-exited:
			return Redis{}, fmt.Errorf("it ended: %s", lastLines(out.Bytes()))
		case <-deadline:
			stop()
			return Redis{}, fmt.Errorf("not ready after 10 s: %s", lastLines(out.Bytes()))
		case <-time.After(5 * time.Millisecond):
		}
	}
	tb.Cleanup(stop)
	return r, nil
}

func lastLines(b []byte) []byte {
	lines := bytes.Split(bytes.TrimSpace(b), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-5):], []byte("\n"))
}

// lockedBuffer collects a process's output while it is being looked at.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) Bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.buf.Bytes())
}
