//go:build cgo

package slstest

import (
	"bytes"
	"fmt"
	"runtime"
	"unicode/utf8"
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"
)

// cells is one column of values to be stored: DuckDB string cells that point
// into Go memory. Whoever fills them keeps that memory alive and pinned until
// the chunkWriter has taken them.
type cells []duckString

// nullLength marks an absent value. No text is that long: a request ends at 10 MB, a file's line at 1 MB.
const nullLength = ^uint32(0)

// set points cell i at b without copying it. Nil is NULL, an empty slice is the empty text.
func (c cells) set(i int, b []byte) {
	cell := &c[i]
	switch {
	case b == nil:
		cell.length = nullLength
	case len(b) <= inlineLength:
		*cell = duckString{length: uint32(len(b))}
		copy(unsafe.Slice(&cell.prefix[0], inlineLength), b)
	default:
		cell.length = uint32(len(b))
		copy(cell.prefix[:], b)
		cell.rest = uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	}
}

// chunkWriter appends blocks of columns to one table. It belongs to one
// goroutine; abandon it after an error.
type chunkWriter struct {
	appender mapping.Appender
	chunk    mapping.DataChunk
	columns  int
	capacity int
}

// newChunkWriter opens an appender on the first columns of table: the time, its
// nanoseconds, then named text columns; the others stay NULL.
func newChunkWriter(c *conn, table string, columns []string) (*chunkWriter, error) {
	w := &chunkWriter{columns: len(columns), capacity: int(mapping.VectorSize())}
	if mapping.AppenderCreateExt(c.raw, "", "logs", table, &w.appender) == mapping.StateError {
		err := w.failure("open appender")
		mapping.AppenderDestroy(&w.appender)
		return nil, err
	}
	types := make([]mapping.LogicalType, 2+len(columns))
	types[0] = mapping.CreateLogicalType(mapping.TypeBigInt)
	types[1] = mapping.CreateLogicalType(mapping.TypeInteger)
	for i := range columns {
		types[2+i] = mapping.CreateLogicalType(mapping.TypeVarchar)
	}
	defer func() {
		for i := range types {
			mapping.DestroyLogicalType(&types[i])
		}
	}()
	for _, name := range append([]string{"t", "ns"}, columns...) {
		if mapping.AppenderAddColumn(w.appender, name) == mapping.StateError {
			err := w.failure("choose columns")
			mapping.AppenderDestroy(&w.appender)
			return nil, err
		}
	}
	w.chunk = mapping.CreateDataChunk(types)
	return w, nil
}

// write appends rows from..to of the given columns. The memory that the cells
// point to is copied before write returns.
func (w *chunkWriter) write(times []int64, nanos []int32, cols []cells) error {
	for from := 0; from < len(times); from += w.capacity {
		to := min(from+w.capacity, len(times))
		if err := w.writeChunk(times[from:to], nanos, cols, from, to); err != nil {
			return err
		}
	}
	runtime.KeepAlive(cols)
	return nil
}

func (w *chunkWriter) writeChunk(times []int64, nanos []int32, cols []cells, from, to int) error {
	n := to - from
	mapping.DataChunkReset(w.chunk)
	mapping.DataChunkSetSize(w.chunk, mapping.IdxT(n))
	copy(unsafe.Slice((*int64)(mapping.VectorGetData(mapping.DataChunkGetVector(w.chunk, 0))), n), times)
	ns := mapping.DataChunkGetVector(w.chunk, 1)
	if nanos == nil {
		setAllNull(ns, n)
	} else {
		out := unsafe.Slice((*int32)(mapping.VectorGetData(ns)), n)
		var mask []uint64
		for i, v := range nanos[from:to] {
			if v < 0 {
				mask = setNull(ns, mask, i, n)
				v = 0
			}
			out[i] = v
		}
	}
	for i, col := range cols {
		vec := mapping.DataChunkGetVector(w.chunk, mapping.IdxT(2+i))
		if col == nil {
			setAllNull(vec, n)
			continue
		}
		out := unsafe.Slice((*duckString)(mapping.VectorGetData(vec)), n)
		copy(out, col[from:to])
		var mask []uint64
		for j := range out {
			if out[j].length == nullLength {
				mask = setNull(vec, mask, j, n)
				out[j] = duckString{}
			}
		}
	}
	if mapping.AppendDataChunk(w.appender, w.chunk) == mapping.StateError {
		return w.failure("append")
	}
	return nil
}

// setNull marks row as NULL; mask is what the last call for this vector returned.
func setNull(vec mapping.Vector, mask []uint64, row, rows int) []uint64 {
	if mask == nil {
		mapping.VectorEnsureValidityWritable(vec)
		mask = unsafe.Slice((*uint64)(mapping.VectorGetValidity(vec)), (rows+63)/64)
	}
	mask[row/64] &^= 1 << (row % 64)
	return mask
}

func setAllNull(vec mapping.Vector, rows int) {
	if rows == 0 {
		return
	}
	mask := setNull(vec, nil, 0, rows)
	clear(mask)
}

// flush makes everything written so far part of the table.
func (w *chunkWriter) flush() error {
	if mapping.AppenderFlush(w.appender) == mapping.StateError {
		return w.failure("flush")
	}
	return nil
}

// close frees the writer without flushing what an error left in it.
func (w *chunkWriter) close() {
	mapping.DestroyDataChunk(&w.chunk)
	mapping.AppenderDestroy(&w.appender)
}

func (w *chunkWriter) failure(op string) error {
	data := mapping.AppenderErrorData(w.appender)
	defer mapping.DestroyErrorData(&data)
	return fmt.Errorf("%s: %w", op, &engineError{kind: mapping.ErrorDataErrorType(data), msg: mapping.ErrorDataMessage(data)})
}

// newCells returns n NULLs.
func newCells(n int) cells {
	c := make(cells, n)
	for i := range c {
		c[i].length = nullLength
	}
	return c
}

// pins keeps the memory that cells point to where it is until DuckDB has copied
// it: C memory may hold only pointers to pinned Go memory.
type pins struct {
	pinner     runtime.Pinner
	start, end uintptr // the last buffer held
}

// hold pins a buffer that many values are slices of.
func (p *pins) hold(b []byte) {
	if len(b) == 0 {
		return
	}
	p.pinner.Pin(unsafe.SliceData(b))
	p.start = uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	p.end = p.start + uintptr(len(b))
}

// text returns b, or a valid copy of it, safe to point a cell at. DuckDB stores
// text, and a log line is whatever an attacker sent: bytes that are no UTF-8
// become U+FFFD. Nil becomes the empty text.
func (p *pins) text(b []byte) []byte {
	if len(b) == 0 {
		return []byte{}
	}
	if !utf8.Valid(b) {
		b = bytes.ToValidUTF8(b, []byte("\uFFFD"))
	}
	if at := uintptr(unsafe.Pointer(unsafe.SliceData(b))); len(b) > inlineLength && (at < p.start || at >= p.end) {
		p.pinner.Pin(unsafe.SliceData(b))
	}
	return b
}

// part is text for a value that is normally part of a held buffer known to be
// UTF-8 as a whole: then only its edges can be wrong.
func (p *pins) part(b []byte) []byte {
	if len(b) == 0 {
		return []byte{}
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	inside := at >= p.start && at < p.end
	if !inside || !utf8.RuneStart(b[0]) || cap(b) > len(b) && !utf8.RuneStart(b[:len(b)+1][len(b)]) {
		return p.text(b)
	}
	return b
}

func (p *pins) unpin() {
	p.pinner.Unpin()
	p.start, p.end = 0, 0
}
