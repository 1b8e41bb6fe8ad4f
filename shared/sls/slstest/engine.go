//go:build cgo

package slstest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"

	"github.com/duckdb/duckdb-go/v2/mapping"
)

// engine is one in-memory DuckDB. It is driven through DuckDB's C interface
// rather than database/sql, for two hot paths that database/sql cannot offer:
// whole columns of log text are handed over without a copy per value
// (chunkWriter), and the search part runs over DuckDB's vectors in place (match.go).
//
// Methods may be called by many goroutines at once; each statement runs on a
// connection of its own, taken from the pool.
type engine struct {
	db   mapping.Database
	temp string // spill directory, ours alone

	mu     sync.Mutex
	idle   []*conn
	open   int
	closed bool
	wait   sync.WaitGroup // connections in use
}

// conn is one DuckDB connection. It is used by one goroutine at a time.
type conn struct {
	raw mapping.Connection
}

// errEngineClosed is returned once close has begun.
var errEngineClosed = errors.New("log service is closed")

// engineOptions are the settings of openEngine that a caller may choose.
type engineOptions struct {
	threads     int
	memoryLimit int64 // bytes
	tempParent  string
}

// openEngine opens an empty database. External access is off before the first
// statement: from then on no SQL can read a file, load an extension or attach
// a database, whatever slips past the guard. The configuration is locked by lock.
func openEngine(opt engineOptions) (*engine, error) {
	temp, err := os.MkdirTemp(opt.tempParent, "tracewall-sls-")
	if err != nil {
		return nil, fmt.Errorf("spill directory: %w", err)
	}
	e := &engine{temp: temp}
	oneArena()
	var config mapping.Config
	mapping.CreateConfig(&config)
	defer mapping.DestroyConfig(&config)
	for _, kv := range [][2]string{
		{"threads", strconv.Itoa(opt.threads)},
		{"memory_limit", strconv.FormatInt(opt.memoryLimit, 10) + "B"},
		{"temp_directory", temp},
		{"allocator_flush_threshold", "16MB"}, // what a query is done with goes back to the system, not into a drawer
		{"allocator_bulk_deallocation_flush_threshold", "32MB"},
		{"max_temp_directory_size", strconv.FormatInt(4*opt.memoryLimit, 10) + "B"},
		{"autoinstall_known_extensions", "false"},
		{"autoload_known_extensions", "false"},
		{"enable_external_access", "false"},
		{"allow_community_extensions", "false"},
	} {
		if mapping.SetConfig(config, kv[0], kv[1]) == mapping.StateError {
			_ = os.RemoveAll(temp)
			return nil, fmt.Errorf("duckdb setting %s=%s: refused", kv[0], kv[1])
		}
	}
	var msg string
	if mapping.OpenExt("", &e.db, config, &msg) == mapping.StateError {
		_ = os.RemoveAll(temp)
		return nil, fmt.Errorf("open duckdb: %s", msg)
	}
	return e, nil
}

// close interrupts nothing: it waits for running statements, then frees the
// database and removes the spill directory.
func (e *engine) close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	e.mu.Unlock()
	e.wait.Wait()
	for _, c := range e.idle {
		mapping.Disconnect(&c.raw)
	}
	mapping.Close(&e.db)
	return os.RemoveAll(e.temp)
}

// get takes a connection; put gives it back.
func (e *engine) get() (*conn, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errEngineClosed
	}
	e.wait.Add(1)
	if n := len(e.idle); n > 0 {
		c := e.idle[n-1]
		e.idle = e.idle[:n-1]
		return c, nil
	}
	c := &conn{}
	if mapping.Connect(e.db, &c.raw) == mapping.StateError {
		e.wait.Done()
		return nil, errors.New("connect to duckdb: refused")
	}
	e.open++
	return c, nil
}

func (e *engine) put(c *conn) {
	e.mu.Lock()
	e.idle = append(e.idle, c)
	e.mu.Unlock()
	e.wait.Done()
}

// exec runs statements of our own (never a client's) and drops their result.
func (e *engine) exec(sql string) error {
	c, err := e.get()
	if err != nil {
		return err
	}
	defer e.put(c)
	return c.exec(sql)
}

func (c *conn) exec(sql string) error {
	var res mapping.Result
	state := mapping.Query(c.raw, sql, &res)
	defer mapping.DestroyResult(&res)
	if state == mapping.StateError {
		return &engineError{kind: mapping.ResultErrorType(&res), msg: mapping.ResultError(&res)}
	}
	return nil
}

// engineError is what DuckDB answered. Its text may quote the statement, so it
// is shown to the client whose statement it was and to nobody else.
type engineError struct {
	kind mapping.ErrorType
	msg  string
}

func (e *engineError) Error() string { return e.msg }

// query prepares and runs one statement and hands each chunk of the result to
// each. A context that ends interrupts the statement.
func (e *engine) query(ctx context.Context, sql string, begin func(columns []column) error, each func(chunk) error) error {
	c, err := e.get()
	if err != nil {
		return err
	}
	defer e.put(c)

	var stmt mapping.PreparedStatement
	state := mapping.Prepare(c.raw, sql, &stmt)
	defer mapping.DestroyPrepare(&stmt)
	if state == mapping.StateError {
		return &engineError{kind: mapping.ErrorTypeBinder, msg: mapping.PrepareError(stmt)}
	}
	if t := mapping.PreparedStatementType(stmt); t != mapping.StatementTypeSelect {
		return &engineError{kind: mapping.ErrorTypePermission, msg: "only SELECT may run"}
	}

	done := make(chan struct{})
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		select {
		case <-ctx.Done():
			mapping.Interrupt(c.raw)
		case <-done:
		}
	}()
	var res mapping.Result
	state = mapping.ExecutePrepared(stmt, &res)
	close(done)
	<-finished
	defer mapping.DestroyResult(&res)
	if state == mapping.StateError {
		if err := ctx.Err(); err != nil {
			return err
		}
		return &engineError{kind: mapping.ResultErrorType(&res), msg: mapping.ResultError(&res)}
	}
	columns := make([]column, mapping.ColumnCount(&res))
	for i := range columns {
		t := mapping.ColumnLogicalType(&res, mapping.IdxT(i))
		columns[i] = column{name: mapping.ColumnName(&res, mapping.IdxT(i)), typ: newValueType(t)}
		mapping.DestroyLogicalType(&t)
	}
	if err := begin(columns); err != nil {
		return err
	}
	for i := range mapping.ResultChunkCount(res) { //nolint:staticcheck // the C API has no other count for a result that is whole
		dc := mapping.ResultGetChunk(res, i)
		err := each(chunk{raw: dc, columns: columns})
		mapping.DestroyDataChunk(&dc)
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}
