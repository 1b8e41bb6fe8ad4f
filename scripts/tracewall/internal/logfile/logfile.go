// Package logfile reads the user's own log files: plain or gzip, one line after the
// other, in one of a few formats, so fast that the query engine and not the reader is
// what a person waits for.
//
// The lines were written by attackers. Every pattern here is linear in the length of the
// line, lines have a bounded length, and a line that does not fit is counted and
// reported, never fatal. A file of which no line fits is an error, since that is
// a wrong format and not a quiet night.
package logfile

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"unicode/utf8"
)

// sniffBytes is how much of the start of a file is looked at before it is read.
const sniffBytes = 256 << 10

// ErrNoLines means that there is nothing in the file.
var ErrNoLines = errors.New("no lines in it")

// ErrBinary means that the file is not a text.
var ErrBinary = errors.New("not a text file")

// Source is an opened log file. It is for one reader; close it after use.
type Source struct {
	Name string
	file *os.File // nil for standard input
	raw  *counter
	text *bufio.Reader
	size int64
	gzip bool
}

// Open opens the file, or stdin if name is "-". Gzip is told by its first two bytes,
// not by the name. Directories, empty files and binary files are errors.
func Open(name string, stdin io.Reader) (*Source, error) {
	s := &Source{Name: name}
	if name == "-" {
		s.Name = "standard input"
		s.raw = &counter{r: stdin}
	} else {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("open log file: %w", err)
		}
		info, err := f.Stat()
		if err == nil && info.IsDir() {
			err = fmt.Errorf("%s is a directory", name)
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("open log file: %w", err)
		}
		if info.Mode().IsRegular() {
			s.size = info.Size()
		}
		s.file, s.raw = f, &counter{r: f}
	}
	if err := s.start(); err != nil {
		s.Close()
		return nil, fmt.Errorf("read log file %s: %w", s.Name, err)
	}
	return s, nil
}

// start looks at the first bytes and puts the decompressor in place.
func (s *Source) start() error {
	in := bufio.NewReaderSize(s.raw, 64<<10)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("gzip: %w", err)
		}
		s.gzip = true
		s.text = bufio.NewReaderSize(z, sniffBytes)
	} else {
		s.text = bufio.NewReaderSize(in, sniffBytes)
	}
	head, err := s.head()
	switch {
	case err != nil:
		return err
	case len(bytes.TrimSpace(head)) == 0 && len(head) < sniffBytes:
		return ErrNoLines
	case binary(head[:min(len(head), 8<<10)]):
		return ErrBinary
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")): // a byte order mark would spoil the first line
		_, err = s.text.Discard(3)
	}
	return err
}

// binary tells other things than texts by their NUL bytes. A server that went down while it
// wrote leaves some in its log, and so may an attacker: lines without any make it a text all the same.
func binary(head []byte) bool {
	if bytes.IndexByte(head, 0) < 0 {
		return false
	}
	for line := range bytes.Lines(head) {
		if line = bytes.TrimSpace(line); len(line) > 16 && bytes.IndexByte(line, 0) < 0 && utf8.Valid(line) {
			return false
		}
	}
	return bytes.Count(head, []byte{0})*20 > len(head)
}

// head returns the start of the text without consuming it.
func (s *Source) head() ([]byte, error) {
	head, err := s.text.Peek(sniffBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return head, nil
}

// again opens the same file once more for a first pass; false if it can be read only once.
func (s *Source) again() (*Source, bool) {
	if s.file == nil || s.size == 0 {
		return nil, false
	}
	twin, err := Open(s.Name, nil)
	return twin, err == nil
}

// Progress returns how many bytes of the file have been read and how many it has; the latter is 0 if unknown.
func (s *Source) Progress() (done, size int64) { return s.raw.n.Load(), s.size }

// Close closes the file.
func (s *Source) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// counter counts what passes, before decompression.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
