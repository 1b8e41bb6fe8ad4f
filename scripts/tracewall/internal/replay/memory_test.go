//go:build cgo && linux

package replay

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// endless is a log of so many lines, fifty a second, no two alike: what is kept of them
// takes about as much room as they do.
type endless struct {
	next, lines int64
	rest        []byte
}

func (e *endless) Read(p []byte) (int, error) {
	for len(e.rest) < len(p) && e.next < e.lines {
		i := e.next
		e.rest = fmt.Appendf(e.rest, "%d\t198.18.%d.%d\tu%d\t/a/rather/long/path/that/is/never/the/same/twice/%d/and/goes/on/%x\n", 1_746_856_440+i/50, i/256%16, i%256, i%100, i, i*i)
		e.next++
	}
	if len(e.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, e.rest)
	e.rest = append(e.rest[:0], e.rest[n:]...)
	return n, nil
}

// peakOf replays a log in a process of its own and returns its largest resident size in KB.
func peakOf(t *testing.T, lines int) int {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPeak$", "-test.v")
	cmd.Env = append(os.Environ(), "REPLAY_LINES="+strconv.Itoa(lines))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if text, ok := strings.CutPrefix(line, "peak "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(text))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("it does not tell its size: %s", out)
	return 0
}

// TestPeak is the other process.
func TestPeak(t *testing.T) {
	lines, err := strconv.Atoi(os.Getenv("REPLAY_LINES"))
	if err != nil {
		t.Skip("a part of TestMemoryStaysAsTheLogGrows")
	}
	// So much may stay in memory that nothing but forgetting keeps it small.
	c := Config{Rules: rulesForTests(), Batch: 50_000, Threads: 2, Memory: 4 << 30, TempDir: t.TempDir(), Inputs: []Input{input("endless", 1_746_856_440, &endless{lines: int64(lines)})}}
	result, err := Run(t.Context(), c)
	if err != nil || result.Read.Count != int64(lines) || result.Read.Late != 0 {
		t.Fatalf("%d lines, %d late, %v", result.Read.Count, result.Read.Late, err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			fmt.Println("peak", strings.TrimSuffix(strings.TrimSpace(text), " kB"))
		}
	}
}

// Four times the log, the same memory.
func TestMemoryStaysAsTheLogGrows(t *testing.T) {
	if testing.Short() {
		t.Skip("replays more than a million lines")
	}
	const lines = 250_000
	one, four := peakOf(t, lines), peakOf(t, 4*lines)
	t.Logf("%d lines: %d MB, %d lines: %d MB, ratio %.2f", lines, one>>10, 4*lines, four>>10, float64(four)/float64(one))
	if float64(four) > 1.4*float64(one) {
		t.Errorf("four times the lines take %.2f times the memory, want less than 1.4", float64(four)/float64(one))
	}
}
