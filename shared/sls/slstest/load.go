//go:build cgo

package slstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"
	"unicode/utf8"
)

// Row is one log for Load.
type Row struct {
	Time   int64    // unix seconds
	Values []string // one per field; a missing one is NULL
}

// Load stores rows in bulk, in process. next is called until it returns io.EOF
// (rows that come with it are stored too); the slice may be reused between
// calls. Load returns how many rows are stored, also with an error.
func (s *Server) Load(ctx context.Context, logstore string, fields []string, next func() ([]Row, error)) (int64, error) {
	var total int64
	fail := func(err error) (int64, error) { return total, fmt.Errorf("load %s: %w", logstore, err) }
	ls, err := s.lookup(storeKey{s.config.Project, logstore}, true)
	if err != nil {
		return fail(err)
	}
	for {
		rows, err := next()
		if err != nil && !errors.Is(err, io.EOF) {
			return fail(err)
		}
		for part := range slices.Chunk(rows, maxGroupLogs) {
			if err := s.loadRows(ctx, ls, fields, part); err != nil {
				return fail(err)
			}
			total += int64(len(part))
		}
		if err != nil {
			return total, nil
		}
	}
}

func (s *Server) loadRows(ctx context.Context, ls *logstore, fields []string, rows []Row) error {
	records := make([]record, len(rows))
	keys := make([][]byte, len(fields))
	for i, f := range fields {
		keys[i] = []byte(f)
	}
	for i, r := range rows {
		n := min(len(keys), len(r.Values))
		records[i] = record{time: r.Time, nanos: -1, keys: keys[:n], vals: make([][]byte, n)}
		for j := range n {
			records[i].vals[j] = []byte(r.Values[j])
		}
	}
	return ls.append(ctx, s.engine, records, record{}, s.config.Now())
}

// Line is what a LineParser makes of one line.
type Line struct {
	Time   int64    // unix seconds; 0: the line has none and takes that of the line before it
	Values [][]byte // one per field, parts of the line or memory of the parser's own; nil is NULL
}

// A LineParser fills in out for one line of a file, without its line end. It
// must not keep either; out.Values is already as long as the fields are and all
// nil. Several goroutines call it at once. Returning false skips the line.
type LineParser func(line []byte, out *Line) bool

// LoadStats tells what LoadLines did.
type LoadStats struct {
	Lines   int64 // stored
	Skipped int64 // the parser said no, or the line was empty
	Bytes   int64 // read
	First   int64 // earliest time, unix seconds; 0 when nothing was stored
	Last    int64 // latest time
}

const (
	// loadBlock is how much of a file is parsed and stored at once. Large enough
	// that DuckDB gets whole row groups, small enough that two blocks per thread are little memory.
	loadBlock = 4 << 20
	// maxLine bounds one line of a file; SLS takes at most 1 MB per value. Longer ones are skipped.
	maxLine = 1 << 20
)

// LoadLines stores a file line by line, in the file's order, much faster than
// PutLogs: lines are found, parsed and handed to DuckDB in blocks by several
// goroutines, without a copy per line. It is the loader for big files.
func (s *Server) LoadLines(ctx context.Context, logstore string, fields []string, r io.Reader, parse LineParser) (LoadStats, error) {
	ls, err := s.lookup(storeKey{s.config.Project, logstore}, true)
	if err != nil {
		return LoadStats{}, fmt.Errorf("load lines into %s: %w", logstore, err)
	}
	if ls.stream != nil {
		return LoadStats{}, fmt.Errorf("load lines into %s: %w", logstore, errStream)
	}
	ls.write.Lock()
	defer ls.write.Unlock()
	l := &lineLoader{server: s, store: ls, parse: parse}
	for _, f := range fields {
		column, err := ls.column(s.engine, f)
		if err == nil && column == "" {
			err = fmt.Errorf("field %.20q cannot have a column", f)
		}
		if err != nil {
			return LoadStats{}, fmt.Errorf("load lines into %s: %w", logstore, err)
		}
		l.columns = append(l.columns, column)
	}
	if err := l.run(ctx, r); err != nil {
		return l.stats, fmt.Errorf("load lines into %s: %w", logstore, err)
	}
	return l.stats, nil
}

// lineLoader is one LoadLines. Blocks are parsed and appended by several
// workers; they become part of the table one after the other, in the file's order.
type lineLoader struct {
	server  *Server
	store   *logstore
	columns []string
	parse   LineParser

	last  int64     // time of the last line flushed; belongs to who has the turn
	stats LoadStats // likewise

	tooLong int64 // lines left out by read
}

type lineBlock struct {
	number int64
	data   []byte
}

func (l *lineLoader) run(ctx context.Context, r io.Reader) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	workers := max(1, l.server.config.Threads)
	blocks := make(chan lineBlock)
	free := make(chan []byte, workers+1)
	for range workers + 1 {
		free <- nil
	}
	var wait sync.WaitGroup
	next := newTurnstile()
	for range workers {
		wait.Add(1)
		go func() {
			defer wait.Done()
			w := lineWorker{loader: l}
			for b := range blocks {
				if err := w.load(ctx, b, next); err != nil {
					cancel(err)
					next.abandon()
				}
				free <- b.data[:0]
			}
		}()
	}
	err := l.read(ctx, r, blocks, free)
	close(blocks)
	wait.Wait()
	l.stats.Skipped += l.tooLong
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// read cuts the input into blocks that end at a line's end.
func (l *lineLoader) read(ctx context.Context, r io.Reader, blocks chan<- lineBlock, free <-chan []byte) error {
	in := NewBlocks(r, loadBlock)
	defer func() { l.tooLong = in.TooLong() }()
	for number := int64(0); ; number++ {
		var buf []byte
		select {
		case buf = <-free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		block, err := in.Next(buf)
		if err != nil && err != io.EOF { //nolint:errorlint // Next says so itself
			return err
		}
		select {
		case blocks <- lineBlock{number: number, data: block}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err != nil {
			return nil
		}
	}
}

// lineWorker parses and appends blocks. Its columns are reused from block to block.
type lineWorker struct {
	loader  *lineLoader
	times   []int64
	cells   []cells
	longest []int
	line    Line
}

func (w *lineWorker) load(ctx context.Context, b lineBlock, next *turnstile) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	l := w.loader
	var memory pins
	defer memory.unpin()
	data := b.data
	memory.hold(data)
	skipped, untimed := w.split(data, &memory)

	c, err := l.server.engine.get()
	if err != nil {
		return err
	}
	defer l.server.engine.put(c)
	out, err := newChunkWriter(c, l.store.table, l.columns)
	if err != nil {
		return err
	}
	defer out.close()
	early := untimed == 0 // else the first lines' time is known only when it is our turn
	if early {
		if err := out.write(w.times, nil, w.cells); err != nil {
			return err
		}
	}
	if !next.wait(ctx, b.number) {
		return context.Cause(ctx)
	}
	defer next.pass()
	if !early {
		for i := range untimed {
			w.times[i] = l.last
		}
		if err := out.write(w.times, nil, w.cells); err != nil {
			return err
		}
	}
	if err := out.flush(); err != nil {
		return err
	}
	runtime.KeepAlive(data)
	l.account(w, b, skipped)
	return nil
}

// split finds and parses the lines of a block. untimed is how many lines at its
// beginning have no time.
func (w *lineWorker) split(data []byte, memory *pins) (skipped int64, untimed int) {
	fields := len(w.loader.columns)
	if w.cells == nil {
		w.cells, w.longest = make([]cells, fields), make([]int, fields)
		w.line.Values = make([][]byte, fields)
	}
	w.times = w.times[:0]
	for i := range fields {
		w.cells[i], w.longest[i] = w.cells[i][:0], 0
	}
	valid := utf8.Valid(data) // nearly always, and much cheaper than line by line
	var last int64
	for len(data) > 0 {
		line := data
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			line, data = data[:i], data[i+1:]
		} else {
			data = nil
		}
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		w.line.Time = 0
		clear(w.line.Values)
		if len(line) == 0 || len(line) > maxLine || !w.loader.parse(line, &w.line) {
			skipped++
			continue
		}
		switch {
		case w.line.Time != 0:
			last = w.line.Time
		case last == 0:
			untimed++
		}
		row := len(w.times)
		w.times = append(w.times, last)
		for i, value := range w.line.Values {
			w.cells[i] = append(w.cells[i], duckString{})
			if value == nil {
				w.cells[i][row].length = nullLength
				continue
			}
			if valid {
				value = memory.part(value)
			} else {
				value = memory.text(value)
			}
			w.cells[i].set(row, value)
			w.longest[i] = max(w.longest[i], len(value))
		}
	}
	return skipped, untimed
}

// account records a flushed block. The caller has the turn.
func (l *lineLoader) account(w *lineWorker, b lineBlock, skipped int64) {
	l.stats.Bytes += int64(len(b.data))
	l.stats.Skipped += skipped
	if len(w.times) == 0 {
		return
	}
	l.stats.Lines += int64(len(w.times))
	l.last = w.times[len(w.times)-1]
	for _, t := range w.times {
		if t != 0 && (l.stats.First == 0 || t < l.stats.First) {
			l.stats.First = t
		}
		l.stats.Last = max(l.stats.Last, t)
	}
	l.store.appended(l.columns, w.longest, len(w.times), l.server.config.Now())
}
