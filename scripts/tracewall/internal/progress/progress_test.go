package progress_test

import (
	"bytes"
	"testing"

	"github.com/tracewall/tracewall/scripts/tracewall/internal/progress"
)

func TestNobodyIsLooking(t *testing.T) {
	var b bytes.Buffer
	l := progress.New(&b)
	l.Say("building")
	l.Update("reading", 1, 2, "bytes")
	l.Update("reading", 1, 0, "bytes")
	l.Done()
	l.Done()
	if b.Len() != 0 {
		t.Errorf("wrote %q to what is no terminal", b.String())
	}
}
