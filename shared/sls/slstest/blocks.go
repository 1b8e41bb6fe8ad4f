//go:build cgo

package slstest

import (
	"bytes"
	"fmt"
	"io"
)

// Blocks cuts a text into blocks of whole lines. It is for one goroutine.
type Blocks struct {
	r        io.Reader
	size     int
	rest     []byte // the beginning of a line whose end is in the next block
	skipping bool   // inside a line that is too long
	tooLong  int64
}

// NewBlocks cuts what r has into blocks of about size bytes; 0 means 4 MB, which suits long files.
func NewBlocks(r io.Reader, size int) *Blocks {
	if size <= 0 {
		size = loadBlock
	}
	return &Blocks{r: r, size: size}
}

// TooLong returns how many lines were left out because they are longer than 1 MB.
func (b *Blocks) TooLong() int64 { return b.tooLong }

// Next returns the next block. buf is memory for it, of an earlier block or nil. io.EOF comes
// with the last block, which may be empty.
func (b *Blocks) Next(buf []byte) ([]byte, error) {
	if cap(buf) < b.size+maxLine {
		buf = make([]byte, 0, b.size+maxLine)
	}
	buf = append(buf[:0], b.rest...)
	n, err := io.ReadFull(b.r, buf[len(buf):len(buf)+b.size])
	buf = buf[:len(buf)+n]
	end := err == io.EOF || err == io.ErrUnexpectedEOF
	if err != nil && !end {
		return nil, fmt.Errorf("read: %w", err)
	}
	if b.skipping {
		if i := bytes.IndexByte(buf, '\n'); i >= 0 {
			buf, b.skipping = append(buf[:0], buf[i+1:]...), false
			b.tooLong++
		} else {
			buf = buf[:0]
		}
	}
	b.rest = b.rest[:0]
	if !end && !b.skipping {
		i := bytes.LastIndexByte(buf, '\n')
		if tail := buf[i+1:]; len(tail) < maxLine {
			b.rest = append(b.rest, tail...)
		} else {
			b.skipping = true
		}
		buf = buf[:i+1]
	}
	if end {
		return buf, io.EOF
	}
	return buf, nil
}
