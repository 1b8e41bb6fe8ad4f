package functiontest

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Binary is a function's binary that all tests of a package share: it is built when
// the first of them asks for it. Root is the module's folder and Package the
// function's, as Build takes them. TestMain calls Remove at the end.
type Binary struct {
	Root, Package string
	Tags          []string

	once sync.Once
	dir  string
	path string
	err  error
}

// Path returns the binary. Tests with -short are skipped: building takes seconds.
func (b *Binary) Path(tb testing.TB) string {
	tb.Helper()
	if testing.Short() {
		tb.Skip("builds and runs the function's binary; left out by -short")
	}
	b.once.Do(func() {
		if b.dir, b.err = os.MkdirTemp("", "tracewall-function-"); b.err != nil {
			return
		}
		b.path = filepath.Join(b.dir, "main")
		b.err = Build(context.Background(), b.Root, b.Package, b.path, b.Tags...)
	})
	if b.err != nil {
		tb.Fatal(b.err)
	}
	return b.path
}

// Main runs a package's tests and removes what they have built; it is called by TestMain and does not return.
func (b *Binary) Main(m *testing.M) {
	code := m.Run()
	b.Remove()
	os.Exit(code)
}

// Remove deletes what Path has built.
func (b *Binary) Remove() {
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
}

// Transcript takes a function's output while a test may read it. The zero value is empty.
type Transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (t *Transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.Write(p)
}

// String returns what was written so far.
func (t *Transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
