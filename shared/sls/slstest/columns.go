//go:build cgo

package slstest

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

// record is one log on its way into a logstore.
type record struct {
	time  int64
	nanos int32 // -1: not given
	keys  [][]byte
	vals  [][]byte
}

// append stores logs that came together. The fixed fields (topic, source, tags)
// hold for all of them. Either all are stored or none is.
func (ls *logstore) append(ctx context.Context, e *engine, records []record, fixed record, received time.Time) error {
	if len(records) == 0 {
		return nil
	}
	if ls.stream != nil {
		return errStream
	}
	ls.write.Lock()
	defer ls.write.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	b := newColumnBuilder(len(records))
	defer b.release()
	for row := range records {
		r := &records[row]
		b.times[row], b.nanos[row] = r.time, r.nanos
		for _, from := range [2]*record{&fixed, r} {
			for i, key := range from.keys {
				column, err := ls.column(e, string(key))
				if err != nil {
					return err
				}
				b.set(row, column, key, from.vals[i])
			}
		}
		b.endRow(row)
	}
	return b.flush(e, ls, received)
}

// columnBuilder turns logs with differing keys into columns.
type columnBuilder struct {
	times   []int64
	nanos   []int32
	columns []string
	cells   []cells
	longest []int
	index   map[string]int
	extra   map[string]string
	memory  pins
}

func newColumnBuilder(rows int) *columnBuilder {
	return &columnBuilder{times: make([]int64, rows), nanos: make([]int32, rows), index: map[string]int{}}
}

func (b *columnBuilder) release() { b.memory.unpin() }

func (b *columnBuilder) set(row int, column string, key, value []byte) {
	if column == "" {
		if b.extra == nil {
			b.extra = map[string]string{}
		}
		b.extra[string(key)] = strings.ToValidUTF8(string(value), "\uFFFD")
		return
	}
	i, ok := b.index[column]
	if !ok {
		i = len(b.columns)
		b.index[column] = i
		b.columns = append(b.columns, column)
		b.cells = append(b.cells, newCells(len(b.times)))
		b.longest = append(b.longest, 0)
	}
	b.cells[i].set(row, b.memory.text(value))
	b.longest[i] = max(b.longest[i], len(value))
}

func (b *columnBuilder) endRow(row int) {
	if len(b.extra) == 0 {
		return
	}
	text, _ := json.Marshal(b.extra) // a map of strings always encodes
	b.extra = nil
	b.set(row, extraColumn, nil, text)
}

func (b *columnBuilder) flush(e *engine, ls *logstore, received time.Time) error {
	c, err := e.get()
	if err != nil {
		return err
	}
	defer e.put(c)
	w, err := newChunkWriter(c, ls.table, b.columns)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.write(b.times, b.nanos, b.cells); err != nil {
		return err
	}
	if err := w.flush(); err != nil {
		return err
	}
	ls.appended(b.columns, b.longest, len(b.times), received)
	return nil
}
