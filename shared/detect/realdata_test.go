//go:build cgo

package detect_test

import (
	"bufio"
	"os"
	"path/filepath"
	"testing"

	"github.com/tracewall/tracewall/shared/detect/detecttest"
)

// realLines reads a real log that lies beside the repository on the developers'
// machines; the test skips where it does not.
func realLines(t testing.TB, name string, parse func(line string) (detecttest.Line, bool)) []detecttest.Line {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "..", "shared", "data", name))
	if err != nil {
		t.Skipf("the real log %s is not on this machine", name)
	}
	defer f.Close()
	var lines []detecttest.Line
	scanner := bufio.NewScanner(f)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if l, ok := parse(scanner.Text()); ok {
			lines = append(lines, l)
		}
	}
	if err := scanner.Err(); err != nil || len(lines) == 0 {
		t.Fatal(len(lines), err)
	}
	return lines
}
