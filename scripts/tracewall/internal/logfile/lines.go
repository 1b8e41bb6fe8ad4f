package logfile

import (
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"time"
	"unsafe"
)

// Stats tells what a Lines has refused.
type Stats struct {
	Refused int64 // all of them
	Future  int64 // of these: the time lies in the future
	Samples []Sample
}

// Sample is a refused line, for people.
type Sample struct {
	Text string // its start
	Why  string
}

const (
	maxSamples  = 5
	sampleBytes = 120
)

// maxAhead is how far a line's time may lie ahead of now: two clocks differ.
const maxAhead = 5 * time.Minute

// Lines takes the lines of one Source apart. Parse is safe for concurrent use.
type Lines struct {
	src     *Source
	fields  []string
	mapping map[string]string
	limit   int64 // no line is later, in Unix seconds
	start   int64 // time of the first line
	parsers sync.Pool

	mu    sync.Mutex
	stats Stats
}

// NewLines prepares to read src in the format f, which is not Auto. Lines that lie in the
// future of now are refused. Lines at the start of the file that have no time, and none
// before them to take over, are refused and skipped here already.
func NewLines(src *Source, f Format, now time.Time) (*Lines, error) {
	sample, err := src.firstLines()
	if err != nil {
		return nil, fmt.Errorf("read log file %s: %w", src.Name, err)
	}
	var years calendar
	if f == SSHD {
		if years, err = yearsOf(src, sample, now); err != nil {
			return nil, fmt.Errorf("read log file %s: %w", src.Name, err)
		}
	}
	l := &Lines{src: src, limit: now.Add(maxAhead).Unix()}
	first := newParser(f, sample, years)
	l.fields, l.mapping = first.fields(), first.mapping()
	l.parsers.New = func() any { return &worker{parser: newParser(f, sample, years), cells: make([]string, len(l.fields))} }
	if err := l.skipUntimed(); err != nil {
		return nil, fmt.Errorf("read log file %s: %w", src.Name, err)
	}
	return l, nil
}

// worker is a parser with room for one line. Each goroutine takes one from the pool, so
// that what a parser remembers (the last time stamp) fits the lines that it sees.
type worker struct {
	parser parser
	cells  []string
}

// Fields names the values of a line.
func (l *Lines) Fields() []string { return l.fields }

// Start is the time of the first line that has one, in Unix seconds.
func (l *Lines) Start() int64 { return l.start }

// Mapping says what the fields that rules ask for are called in this file: address, method,
// path (with the query string, or path?query where they are apart), status, agent, referer, account, trace, message,
// event, host and fingerprint. NoField stands for what the lines do not have.
func (l *Lines) Mapping() map[string]string { return maps.Clone(l.mapping) }

// Text is the rest of the file, for whoever cuts it into lines.
func (l *Lines) Text() io.Reader { return whole{l.src.text} }

// whole tells a gzip file that was cut short from one that has come to its end. Both
// would otherwise look the same to readers that fill a buffer.
type whole struct{ r io.Reader }

func (w whole) Read(p []byte) (int, error) {
	n, err := w.r.Read(p)
	if err == io.ErrUnexpectedEOF { //nolint:errorlint // compress/gzip returns it bare; a wrapped one needs no telling apart
		err = fmt.Errorf("gzip data ends in the middle")
	}
	return n, err
}

// Parse takes one line apart, without its line end. It fills in values, which come nil and
// are as many as Fields; they point into line or into memory of their own. unix is 0 for a
// line without a time, which takes over that of the line before. False: the line is refused.
func (l *Lines) Parse(line []byte, values [][]byte) (unix int64, ok bool) {
	w := l.parsers.Get().(*worker)
	defer l.parsers.Put(w)
	clear(w.cells)
	text := unsafe.String(unsafe.SliceData(line), len(line)) // not kept beyond this call
	unix, timed, ok := w.parser.parse(text, w.cells)
	switch {
	case !ok:
		l.refuse(text, "not of this format", false)
		return 0, false
	case timed && (unix > l.limit || unix <= 0):
		l.refuse(text, "its time lies in the future, or before 1970", true)
		return 0, false
	case !timed:
		unix = 0
	}
	for i, cell := range w.cells {
		if cell != "" {
			values[i] = unsafe.Slice(unsafe.StringData(cell), len(cell))
		}
	}
	clear(w.cells)
	return unix, true
}

func (l *Lines) refuse(line, why string, future bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Refused++
	if future {
		l.stats.Future++
	}
	if len(l.stats.Samples) == maxSamples {
		return
	}
	if len(line) > sampleBytes {
		line = strings.ToValidUTF8(line[:sampleBytes], "") + "…"
	}
	l.stats.Samples = append(l.stats.Samples, Sample{Text: strings.Clone(line), Why: why})
}

// Stats returns what has been refused so far.
func (l *Lines) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.Samples = append([]Sample(nil), s.Samples...)
	return s
}

// skipUntimed drops the lines before the first one with a time.
func (l *Lines) skipUntimed() error {
	head, err := l.src.head()
	if err != nil {
		return err
	}
	values := make([][]byte, len(l.fields))
	skip, why := 0, "no time in it and none before it"
	for skip < len(head) {
		line, rest := head[skip:], len(head)
		if at := strings.IndexByte(unsafe.String(unsafe.SliceData(line), len(line)), '\n'); at >= 0 {
			line, rest = line[:at], skip+at+1
		}
		text := strings.TrimSuffix(string(line), "\r")
		before := l.Stats()
		clear(values)
		unix, ok := l.Parse([]byte(text), values)
		if ok && unix != 0 {
			l.restore(before)
			l.start = unix
			_, err := l.src.text.Discard(skip)
			return err
		}
		if text != "" && ok {
			l.refuse(text, why, false)
		} else if text == "" {
			l.restore(before)
		}
		skip = rest
	}
	s := l.Stats()
	if len(s.Samples) == 0 {
		return ErrNoLines
	}
	return fmt.Errorf("no line of its first %d fits the format; the first: %s: %q", s.Refused, s.Samples[0].Why, s.Samples[0].Text)
}

func (l *Lines) restore(s Stats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats = s
}
