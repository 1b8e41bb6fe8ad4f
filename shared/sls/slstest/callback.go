//go:build cgo

package slstest

/*
#include <stdlib.h>
#include <stdint.h>

void slstestCall(void *info, void *input, void *output);
*/
import "C"

import (
	"fmt"
	"runtime/cgo"
	"unsafe"

	"github.com/duckdb/duckdb-go/v2/mapping"
)

// goFunction is a SQL function written in Go. It reads and writes DuckDB's
// vectors in place, a block of rows per call, on several threads at once.
type goFunction func(args []reader, rows int, out *result) error

// callbacks keeps what DuckDB's C side points to. DuckDB calls the functions
// until the database is closed; release comes after that.
type callbacks struct {
	handles []cgo.Handle
	cells   []unsafe.Pointer
}

// overload is one form of a SQL function. Variadic means that any number of text arguments may follow.
type overload struct {
	params   []mapping.Type
	variadic bool
	returns  mapping.Type
	f        goFunction
}

// register makes a function callable from SQL; DuckDB picks the overload that fits the arguments.
func (c *callbacks) register(on *conn, name string, overloads ...overload) error {
	set := mapping.CreateScalarFunctionSet(name)
	defer mapping.DestroyScalarFunctionSet(&set)
	for _, o := range overloads {
		fn := c.scalarFunction(name, o)
		state := mapping.AddScalarFunctionToSet(set, fn)
		mapping.DestroyScalarFunction(&fn)
		if state == mapping.StateError {
			return fmt.Errorf("register SQL function %s: overload refused", name)
		}
	}
	if mapping.RegisterScalarFunctionSet(on.raw, set) == mapping.StateError {
		return fmt.Errorf("register SQL function %s: refused", name)
	}
	return nil
}

func (c *callbacks) scalarFunction(name string, o overload) mapping.ScalarFunction {
	fn := mapping.CreateScalarFunction()
	mapping.ScalarFunctionSetName(fn, name)
	withType := func(t mapping.Type, use func(mapping.ScalarFunction, mapping.LogicalType)) {
		lt := mapping.CreateLogicalType(t)
		use(fn, lt)
		mapping.DestroyLogicalType(&lt)
	}
	for _, p := range o.params {
		withType(p, mapping.ScalarFunctionAddParameter)
	}
	if o.variadic {
		withType(mapping.TypeVarchar, mapping.ScalarFunctionSetVarargs)
	}
	withType(o.returns, mapping.ScalarFunctionSetReturnType)
	mapping.ScalarFunctionSetSpecialHandling(fn) // NULLs come to f as they are

	handle := cgo.NewHandle(o.f)
	cell := C.malloc(C.size_t(unsafe.Sizeof(handle)))
	*(*cgo.Handle)(cell) = handle
	c.handles, c.cells = append(c.handles, handle), append(c.cells, cell)
	mapping.ScalarFunctionSetExtraInfo(fn, cell, nil)
	mapping.ScalarFunctionSetFunction(fn, unsafe.Pointer(C.slstestCall))
	return fn
}

// release frees what the C side pointed to. The database is closed by now.
func (c *callbacks) release() {
	for i, h := range c.handles {
		h.Delete()
		C.free(c.cells[i])
	}
	c.handles, c.cells = nil, nil
}

//export slstestCall
func slstestCall(info, input, output unsafe.Pointer) {
	fi := mapping.FunctionInfo{Ptr: info}
	defer func() {
		if r := recover(); r != nil { // a panic must not unwind through C++
			mapping.ScalarFunctionSetError(fi, fmt.Sprintf("function panicked: %v", r))
		}
	}()
	f := (*(*cgo.Handle)(mapping.ScalarFunctionGetExtraInfo(fi))).Value().(goFunction)
	in := mapping.DataChunk{Ptr: input}
	args := make([]reader, mapping.DataChunkGetColumnCount(in))
	for i := range args {
		vec := mapping.DataChunkGetVector(in, mapping.IdxT(i))
		t := mapping.VectorGetColumnType(vec)
		args[i] = newReader(vec, valueType{id: mapping.GetTypeId(t)})
		mapping.DestroyLogicalType(&t)
	}
	rows := int(mapping.DataChunkGetSize(in))
	out := &result{vec: mapping.Vector{Ptr: output}, rows: rows}
	if err := f(args, rows, out); err != nil {
		mapping.ScalarFunctionSetError(fi, err.Error())
	}
}

// result is the vector that a goFunction fills.
type result struct {
	vec  mapping.Vector
	rows int
	mask []uint64
}

func (r *result) null(row int) { r.mask = setNull(r.vec, r.mask, row, r.rows) }

func (r *result) bools() []bool {
	return unsafe.Slice((*bool)(mapping.VectorGetData(r.vec)), r.rows)
}

func (r *result) ints() []int64 {
	return unsafe.Slice((*int64)(mapping.VectorGetData(r.vec)), r.rows)
}

func (r *result) text(row int, b []byte) {
	if len(b) <= inlineLength {
		cells(unsafe.Slice((*duckString)(mapping.VectorGetData(r.vec)), r.rows)).set(row, append([]byte{}, b...))
		return
	}
	mapping.VectorAssignStringElementLen(r.vec, mapping.IdxT(row), b)
}
