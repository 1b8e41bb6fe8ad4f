//go:build cgo

package slstest

/*
#include <stdlib.h>
#include <stdint.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

// glibc gives each thread memory of its own, and a thread that has run a large query keeps
// much of it. Queries allocate in large pieces: one place for all of them is no slower.
static void slstestOneArena(void) {
#ifdef __GLIBC__
	mallopt(M_ARENA_MAX, 1);
#endif
}

void slstestBind(void *info);
void slstestInit(void *info);
void slstestLocalInit(void *info);
void slstestScan(void *info, void *output);
void slstestDelete(void *state);
*/
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/cgo"
	"strconv"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"
)

// lineScan is one query's view of a Stream. DuckDB may read it several times in one
// query (a join of log with itself), on several threads.
type lineScan struct {
	parts     []*Part
	disk      *overflow
	columns   int
	questions []question   // columns after those of the fields
	known     [][]*answers // for each question and part
	valuesOf  *int         // not the lines, but the different values of this field, as column c0
	threads   int
}

// rows is how many rows a part has here.
func (s *lineScan) rows(p *Part) int {
	if s.valuesOf != nil {
		return p.columns[*s.valuesOf].values
	}
	return p.rows
}

// lineScans are the scans that queries of the moment may read, by number. The SQL function
// sls_lines(number) reads one.
type lineScans struct {
	mu      sync.Mutex
	last    int64
	reading map[int64]*lineScan
	handle  cgo.Handle
	cell    unsafe.Pointer
}

// open makes a scan readable until done is called.
func (l *lineScans) open(s *lineScan) (id int64, done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	id = l.last
	l.reading[id] = s
	return id, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.reading, id)
	}
}

func (l *lineScans) get(id int64) *lineScan {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reading[id]
}

// registerStreams makes sls_lines known to SQL, once. No client's query can name it: the
// guard refuses table functions, and what we write is written behind the guard.
func (s *Server) registerStreams() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.streams != nil {
		return nil
	}
	c, err := s.engine.get()
	if err != nil {
		return err
	}
	defer s.engine.put(c)
	l := &lineScans{reading: map[int64]*lineScan{}}
	l.handle = cgo.NewHandle(l)
	l.cell = handleCell(l.handle)
	fn := mapping.CreateTableFunction()
	defer mapping.DestroyTableFunction(&fn)
	mapping.TableFunctionSetName(fn, "sls_lines")
	number := mapping.CreateLogicalType(mapping.TypeBigInt)
	mapping.TableFunctionAddParameter(fn, number)
	mapping.DestroyLogicalType(&number)
	mapping.TableFunctionSetExtraInfo(fn, l.cell, nil)
	mapping.TableFunctionSetBind(fn, unsafe.Pointer(C.slstestBind))
	mapping.TableFunctionSetInit(fn, unsafe.Pointer(C.slstestInit))
	mapping.TableFunctionSetLocalInit(fn, unsafe.Pointer(C.slstestLocalInit))
	mapping.TableFunctionSetFunction(fn, unsafe.Pointer(C.slstestScan))
	mapping.TableFunctionSupportsProjectionPushdown(fn, true)
	if mapping.RegisterTableFunction(c.raw, fn) == mapping.StateError {
		l.release()
		return errors.New("register table function sls_lines: refused")
	}
	s.streams = l
	return nil
}

// release frees what the C side pointed to. The database is closed by now.
func (l *lineScans) release() {
	l.handle.Delete()
	C.free(l.cell)
}

// handleCell puts a handle where C may keep a pointer to it.
func handleCell(h cgo.Handle) unsafe.Pointer {
	cell := C.malloc(C.size_t(unsafe.Sizeof(h)))
	*(*cgo.Handle)(cell) = h
	return cell
}

// oneArena is called before the engine's first allocation.
func oneArena() { C.slstestOneArena() }

func handleOf[T any](cell unsafe.Pointer) T { return (*(*cgo.Handle)(cell)).Value().(T) }

//export slstestDelete
func slstestDelete(state unsafe.Pointer) {
	h := *(*cgo.Handle)(state)
	if c, ok := h.Value().(*lineCursor); ok {
		c.close()
	}
	h.Delete()
	C.free(state)
}

// sharedScan is what the threads of one reading share.
type sharedScan struct {
	*lineScan
	next atomic.Int64 // of its parts
}

//export slstestBind
func slstestBind(ptr unsafe.Pointer) {
	info := mapping.BindInfo{Ptr: ptr}
	defer recovered(func(text string) { mapping.BindSetError(info, text) })
	value := mapping.BindGetParameter(info, 0)
	id := mapping.GetInt64(value)
	mapping.DestroyValue(&value)
	scan := handleOf[*lineScans](mapping.BindGetExtraInfo(info)).get(id)
	if scan == nil {
		mapping.BindSetError(info, "no such lines")
		return
	}
	add := func(name string, t mapping.Type) {
		lt := mapping.CreateLogicalType(t)
		mapping.BindAddResultColumn(info, name, lt)
		mapping.DestroyLogicalType(&lt)
	}
	add("t", mapping.TypeBigInt)
	for i := range scan.columns {
		add("c"+strconv.Itoa(i), mapping.TypeVarchar)
	}
	for i, a := range scan.questions {
		add("a"+strconv.Itoa(i), a.kind)
	}
	rows := 0
	for _, p := range scan.parts {
		rows += scan.rows(p)
	}
	mapping.BindSetCardinality(info, mapping.IdxT(rows), false)
	mapping.BindSetBindData(info, handleCell(cgo.NewHandle(scan)), unsafe.Pointer(C.slstestDelete))
}

//export slstestInit
func slstestInit(ptr unsafe.Pointer) {
	info := mapping.InitInfo{Ptr: ptr}
	defer recovered(func(text string) { mapping.InitSetError(info, text) })
	scan := handleOf[*lineScan](mapping.InitGetBindData(info))
	mapping.InitSetMaxThreads(info, mapping.IdxT(max(1, min(scan.threads, len(scan.parts)))))
	mapping.InitSetInitData(info, handleCell(cgo.NewHandle(&sharedScan{lineScan: scan})), unsafe.Pointer(C.slstestDelete))
}

// lineCursor is one thread's place in the lines. The text of the part that it is in stays
// where it is until the thread comes for what follows; by then DuckDB has copied what it keeps.
type lineCursor struct {
	scan    *lineScan
	project []int // for each column asked for, which: 0 the time, then the fields, then the answers; -1 none
	data    *partData
	answers []*answers
	row     int
	rows    int
	buffer  []uint64 // of a part that came from the disk
	pinner  runtime.Pinner
}

//export slstestLocalInit
func slstestLocalInit(ptr unsafe.Pointer) {
	info := mapping.InitInfo{Ptr: ptr}
	defer recovered(func(text string) { mapping.InitSetError(info, text) })
	scan := handleOf[*lineScan](mapping.InitGetBindData(info))
	c := &lineCursor{scan: scan}
	for i := range mapping.InitGetColumnCount(info) {
		column := mapping.InitGetColumnIndex(info, i)
		if column > mapping.IdxT(scan.columns+len(scan.questions)) { // a row's number, which nobody looks at
			c.project = append(c.project, -1)
			continue
		}
		c.project = append(c.project, int(column))
	}
	mapping.InitSetInitData(info, handleCell(cgo.NewHandle(c)), unsafe.Pointer(C.slstestDelete))
}

//export slstestScan
func slstestScan(ptr, output unsafe.Pointer) {
	info := mapping.FunctionInfo{Ptr: ptr}
	defer recovered(func(text string) { mapping.FunctionSetError(info, text) })
	shared := handleOf[*sharedScan](mapping.FunctionGetInitData(info))
	c := handleOf[*lineCursor](mapping.FunctionGetLocalInitData(info))
	out := mapping.DataChunk{Ptr: output}
	n, err := c.fill(shared, out)
	if err != nil {
		mapping.FunctionSetError(info, err.Error())
		return
	}
	mapping.DataChunkSetSize(out, mapping.IdxT(n))
}

// recovered keeps a panic from unwinding through C++.
func recovered(report func(text string)) {
	if r := recover(); r != nil {
		report(fmt.Sprintf("reading lines panicked: %v", r))
	}
}

// fill writes the next lines; 0 when there are none.
func (c *lineCursor) fill(shared *sharedScan, out mapping.DataChunk) (int, error) {
	for c.data == nil || c.row == c.rows {
		c.close()
		at := int(shared.next.Add(1)) - 1
		if at >= len(shared.parts) {
			return 0, nil
		}
		if err := c.enter(at); err != nil {
			return 0, err
		}
	}
	n := min(c.rows-c.row, int(mapping.VectorSize()))
	for i, column := range c.project {
		if column < 0 {
			continue
		}
		vec := mapping.DataChunkGetVector(out, mapping.IdxT(i))
		switch {
		case column == 0:
			c.times(vec, n)
		case c.scan.valuesOf != nil:
			copy(unsafe.Slice((*duckString)(mapping.VectorGetData(vec)), n), c.data.values[*c.scan.valuesOf][c.row:])
		case column <= c.scan.columns:
			c.texts(vec, column-1, c.data.values[column-1], n)
		default:
			c.answer(vec, column-1-c.scan.columns, n)
		}
	}
	c.row += n
	return n, nil
}

func (c *lineCursor) times(vec mapping.Vector, n int) {
	if c.scan.valuesOf != nil {
		setAllNull(vec, n)
		return
	}
	times := unsafe.Slice((*int64)(mapping.VectorGetData(vec)), n)
	for i, t := range c.data.times[c.row : c.row+n] {
		times[i] = int64(t)
	}
}

// texts writes what belongs to the values of one field, in place: cells that point to text
// of the part's.
func (c *lineCursor) texts(vec mapping.Vector, field int, of cells, n int) {
	out := unsafe.Slice((*duckString)(mapping.VectorGetData(vec)), n)
	var mask []uint64
	for i, code := range c.data.codes[field][c.row : c.row+n] {
		if code == noCode || of[code].length == nullLength {
			mask = setNull(vec, mask, i, n)
			out[i] = duckString{}
			continue
		}
		out[i] = of[code]
	}
}

// answer writes the answers to one question.
func (c *lineCursor) answer(vec mapping.Vector, i, n int) {
	field, known := c.scan.questions[i].field, c.answers[i]
	switch c.scan.questions[i].kind {
	case mapping.TypeVarchar:
		c.texts(vec, field, known.texts, n)
	case mapping.TypeBoolean:
		writeAnswers(vec, c.data.codes[field][c.row:c.row+n], known.numbers, func(n int16) bool { return n == 1 })
	default:
		writeAnswers(vec, c.data.codes[field][c.row:c.row+n], known.numbers, func(n int16) int64 { return int64(n) })
	}
}

// writeAnswers writes the answers to the values that the codes stand for.
func writeAnswers[T any](vec mapping.Vector, codes []uint16, numbers []int16, as func(int16) T) {
	out := unsafe.Slice((*T)(mapping.VectorGetData(vec)), len(codes))
	var mask []uint64
	for i, code := range codes {
		if code == noCode || numbers[code] == unknownNumber {
			var none T
			mask, out[i] = setNull(vec, mask, i, len(codes)), none
			continue
		}
		out[i] = as(numbers[code])
	}
}

// enter makes a part's memory stay where it is.
func (c *lineCursor) enter(at int) (err error) {
	p := c.scan.parts[at]
	c.row, c.rows, c.answers = 0, c.scan.rows(p), c.answers[:0]
	for _, known := range c.scan.known {
		c.hold(known[at].text)
		c.answers = append(c.answers, known[at])
	}
	if c.data = p.data.Load(); c.data == nil {
		if c.data, c.buffer, err = c.scan.disk.read(p); err != nil {
			return err
		}
		c.pinner.Pin(unsafe.SliceData(c.buffer))
		return nil
	}
	c.hold(c.data.text)
	return nil
}

func (c *lineCursor) hold(text []byte) {
	if len(text) > 0 {
		c.pinner.Pin(unsafe.SliceData(text))
	}
}

// close lets go of the part.
func (c *lineCursor) close() {
	c.pinner.Unpin()
	giveBuffer(c.buffer)
	c.data, c.buffer = nil, nil
}
