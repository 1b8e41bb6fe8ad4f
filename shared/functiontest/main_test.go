package functiontest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tracewall/tracewall/shared/functiontest"
)

// parentVar makes this test binary play a parent that will be killed (orphan_linux_test.go).
const parentVar = "FUNCTIONTEST_PLAY_PARENT"

func TestMain(m *testing.M) {
	if bin := os.Getenv(parentVar); bin != "" {
		playParent(bin)
		return
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if builds.dir != "" {
			_ = os.RemoveAll(builds.dir)
		}
		os.Exit(code)
	}))
}

// playParent starts a function, prints its process id and waits to be killed.
func playParent(bin string) {
	f, err := functiontest.StartFC(context.Background(), functiontest.Config{Name: "fn", Binary: bin, Timeout: time.Minute})
	if err != nil {
		fmt.Println("parent:", err)
		return
	}
	// Deaf, or it would die of the broken pipe to its parent when the SDK complains.
	body, err := f.Invoke(context.Background(), []byte(`{"do":"deaf"}`))
	if err != nil {
		fmt.Println("parent:", err)
		return
	}
	fmt.Println(pidOf(body))
	select {}
}

func pidOf(body []byte) int {
	var out struct{ PID int }
	_ = json.Unmarshal(body, &out)
	return out.PID
}

var builds struct {
	sync.Mutex
	dir  string
	done map[string]string
}

// program builds testdata/<name> once for all tests.
func program(t *testing.T, name string) string {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	if builds.done == nil {
		dir, err := os.MkdirTemp("", "functiontest")
		if err != nil {
			t.Fatal(err)
		}
		builds.dir, builds.done = dir, make(map[string]string)
	}
	if bin, ok := builds.done[name]; ok {
		return bin
	}
	bin := filepath.Join(builds.dir, name)
	if err := functiontest.Build(t.Context(), ".", "./testdata/"+name, bin, "lambda.norpc"); err != nil {
		t.Fatal(err)
	}
	builds.done[name] = bin
	return bin
}

// lines is a writer that a test may read while a function writes to it.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// answer decodes what the test programs say about themselves.
type answer struct {
	Text        string
	PID         int
	ID          string
	ARN         string
	Env         []string
	Deadline    bool
	LeftMS      int64 `json:"left_ms"`
	Initialized string
	Retry       int
	Region      string
	Account     string
	Key         string
	Secret      string
	Token       string
	Name        string
	Timeout     int
}

func invoke(t *testing.T, f *functiontest.Function, payload string) answer {
	t.Helper()
	body, err := f.Invoke(t.Context(), []byte(payload))
	if err != nil {
		t.Fatalf("invoke: %v", err)
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatalf("answer %s: %v", body, err)
	}
	return a
}
