package functiontest

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
)

const (
	maxLine   = 64 << 10 // longer lines are cut in two
	tailLines = 20       // how much of a dead function's output goes into its error
	tailBytes = 8 << 10
)

// output collects what a child writes: whole lines with a prefix to one writer, and
// the last of them for an error. Standard output and error are streams of their own,
// so that half a line of one never runs into the other.
type output struct {
	mu      sync.Mutex
	w       io.Writer
	prefix  string
	tail    []string
	streams []*stream
}

func newOutput(cfg Config) *output {
	o := &output{w: cfg.Stderr, prefix: cfg.Prefix}
	switch o.prefix {
	case "":
		o.prefix = cfg.Name + ": "
	case "-":
		o.prefix = ""
	}
	return o
}

func (o *output) stream() *stream {
	s := &stream{out: o}
	o.streams = append(o.streams, s)
	return s
}

// flush writes what is left of the last lines, when nothing more will come.
func (o *output) flush() {
	for _, s := range o.streams {
		if s.half.Len() > 0 {
			o.line(s.half.String())
			s.half.Reset()
		}
	}
}

func (o *output) line(text string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tail = append(o.tail, text)
	if len(o.tail) > tailLines {
		o.tail = o.tail[1:]
	}
	if o.w != nil {
		_, _ = fmt.Fprintf(o.w, "%s%s\n", o.prefix, text)
	}
}

func (o *output) last() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	text := strings.Join(o.tail, "\n")
	if len(text) > tailBytes {
		text = "…" + strings.ToValidUTF8(text[len(text)-tailBytes:], "")
	}
	return text
}

// stream cuts one of the child's streams into lines. Only one goroutine writes to it.
type stream struct {
	out  *output
	half bytes.Buffer
}

func (s *stream) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		piece := b
		if i >= 0 {
			piece = b[:i]
		}
		room := maxLine - s.half.Len()
		if len(piece) > room {
			s.half.Write(piece[:room])
			b = b[room:]
			s.emit()
			continue
		}
		s.half.Write(piece)
		if i < 0 {
			break
		}
		b = b[i+1:]
		s.emit()
	}
	return n, nil
}

func (s *stream) emit() {
	s.out.line(strings.TrimSuffix(s.half.String(), "\r"))
	s.half.Reset()
}
