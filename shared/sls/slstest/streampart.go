//go:build cgo

package slstest

import (
	"bytes"
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"unicode/utf8"
	"unsafe"
)

// Part is some lines of a Stream, taken apart and not yet visible. Its times are those of
// the lines, before and after Add alike.
type Part struct {
	rows        int
	untimed     int   // lines at its beginning that take over the time of the line before
	first, last int64 // of the lines that have a time
	end         int64 // time of its last line; 0: none has one
	skipped     int64
	bytes       int64 // of text read
	columns     []partColumn

	data    atomic.Pointer[partData] // nil once it has left for the disk
	leaving atomic.Bool
	asking  sync.Mutex
	answers map[string]*answers // by their questions; they stay in memory, being small

	place extent // on disk; guarded by the overflow's lock until data is nil
	gone  bool   // likewise: nobody wants it any more
}

// partColumn is what stays of a column in memory, wherever its values are.
type partColumn struct {
	values  int // different ones
	longest int // bytes
}

// partData is what takes room.
type partData struct {
	times  []uint32   // Unix seconds
	codes  [][]uint16 // for each column and line, which value; noCode is NULL
	values []cells    // for each column, the different ones; they point into text
	text   []byte
}

const (
	noCode = math.MaxUint16
	// maxPartRows bounds a part, since codes have two bytes.
	maxPartRows = noCode
	// maxTime is the last second that a part can hold, in the year 2106.
	maxTime = math.MaxUint32
)

// Lines returns how many lines a part has.
func (p *Part) Lines() int { return p.rows }

// Skipped returns how many lines the parser refused, and those that were empty or too long.
func (p *Part) Skipped() int64 { return p.skipped }

// Bytes returns how much text the part was made of.
func (p *Part) Bytes() int64 { return p.bytes }

// Bounds returns the earliest and the latest time of its lines, 0 when none has one.
func (p *Part) Bounds() (first, last int64) { return p.first, p.last }

// End returns the time of the part's last line, which a line without a time in the next part takes over.
func (p *Part) End() int64 { return p.end }

// Times calls each with the time of every line, in the file's order. It must come before Add.
func (p *Part) Times(each func(unix int64)) {
	for _, t := range p.data.Load().times {
		each(int64(t))
	}
}

// takeOver gives lines at the beginning without a time that of the line before them. Without
// one they are dropped.
func (p *Part) takeOver(previous int64) {
	d := p.data.Load()
	n := p.untimed
	if n == 0 {
		return
	}
	p.untimed = 0
	if previous <= 0 || previous > maxTime {
		d.times = d.times[n:]
		for i := range d.codes {
			d.codes[i] = d.codes[i][n:]
		}
		p.rows -= n
		p.skipped += int64(n)
		return
	}
	for i := range n {
		d.times[i] = uint32(previous)
	}
	if p.first == 0 || previous < p.first {
		p.first = previous
	}
	p.last = max(p.last, previous)
	if p.end == 0 {
		p.end = previous
	}
}

// size is what the part takes in memory.
func (p *Part) size() int64 {
	if p.leaving.Load() {
		return 0
	}
	return p.data.Load().size()
}

func (d *partData) size() int64 {
	n := int64(len(d.times))*4 + int64(len(d.text))
	for i := range d.codes {
		n += int64(len(d.codes[i]))*2 + int64(len(d.values[i]))*int64(unsafe.Sizeof(duckString{}))
	}
	return n
}

// leave marks the part as on its way to the disk; false if it is already.
func (p *Part) leave() bool { return p.leaving.CompareAndSwap(false, true) }

// within counts the lines in [from, to).
func (p *Part) within(from, to int64) (n int64) {
	d := p.data.Load()
	if d == nil { // only its bounds are at hand: told too high rather than read from the disk
		return int64(p.rows)
	}
	for _, t := range d.times {
		if int64(t) >= from && int64(t) < to {
			n++
		}
	}
	return n
}

// PartMaker turns blocks of text into parts of one Stream. It is for one goroutine; make one for each.
type PartMaker struct {
	stream  *Stream
	line    Line
	columns []dictionary
	times   []uint32
}

// NewPartMaker returns a PartMaker.
func (st *Stream) NewPartMaker() *PartMaker {
	m := &PartMaker{stream: st, columns: make([]dictionary, len(st.keep))}
	m.line.Values = make([][]byte, len(st.fields))
	seed := maphash.MakeSeed()
	for i := range m.columns {
		m.columns[i].seed = seed
	}
	return m
}

// Make takes a block of whole lines apart with parse. The parts keep nothing of the block.
// There is always at least one, if only to tell how many lines were skipped.
func (m *PartMaker) Make(block []byte, parse LineParser) []*Part {
	var parts []*Part
	valid := utf8.Valid(block) // nearly always, and much cheaper than value by value
	p := m.begin()
	var last int64
	for len(block) > 0 {
		line := block
		if i := bytes.IndexByte(block, '\n'); i >= 0 {
			line, block = block[:i], block[i+1:]
		} else {
			block = nil
		}
		p.bytes += int64(len(line)) + 1
		if n := len(line); n > 0 && line[n-1] == '\r' {
			line = line[:n-1]
		}
		m.line.Time = 0
		clear(m.line.Values)
		if len(line) == 0 || len(line) > maxLine || !parse(line, &m.line) || m.line.Time < 0 || m.line.Time > maxTime {
			p.skipped++
			continue
		}
		switch {
		case m.line.Time != 0:
			last = m.line.Time
			p.note(last)
		case last == 0:
			p.untimed++
		default:
			p.note(last)
		}
		m.times = append(m.times, uint32(last))
		for i, at := range m.stream.keep {
			m.columns[i].add(m.line.Values[at], valid)
		}
		if len(m.times) == maxPartRows {
			parts = append(parts, m.finish(p))
			p = m.begin()
		}
	}
	return append(parts, m.finish(p))
}

func (m *PartMaker) begin() *Part {
	m.times = m.times[:0]
	for i := range m.columns {
		m.columns[i].begin()
	}
	return &Part{}
}

// note widens the part's bounds.
func (p *Part) note(t int64) {
	if p.first == 0 || t < p.first {
		p.first = t
	}
	p.last = max(p.last, t)
	p.end = t
}

// finish copies what was collected into memory of the part's own, of exactly its size.
func (m *PartMaker) finish(p *Part) *Part {
	p.rows = len(m.times)
	size := 0
	for i := range m.columns {
		size += m.columns[i].size
	}
	d := &partData{times: append([]uint32(nil), m.times...), text: make([]byte, 0, size)}
	for i := range m.columns {
		c := &m.columns[i]
		values := make(cells, len(c.values))
		longest := 0
		for j, v := range c.values {
			longest = max(longest, len(v))
			if len(v) > inlineLength {
				at := len(d.text)
				d.text = append(d.text, v...)
				v = d.text[at:len(d.text):len(d.text)]
			}
			values.set(j, v)
		}
		d.codes = append(d.codes, append([]uint16(nil), c.codes...))
		d.values = append(d.values, values)
		p.columns = append(p.columns, partColumn{values: len(values), longest: longest})
	}
	p.data.Store(d)
	return p
}

// dictionary collects the different values of one column. Its memory is reused.
type dictionary struct {
	seed   maphash.Seed
	codes  []uint16
	values [][]byte // parts of the block
	size   int      // bytes of those that do not fit a cell
	table  []slot   // open addressing, a power of two
	unique bool     // the last part's values hardly repeated: looking them up is for nothing
	asked  int
	found  int
}

type slot struct {
	hash uint32
	code uint16
	used bool
}

// dictionarySlots is twice the most values of a part.
const dictionarySlots = 1 << 17

func (d *dictionary) begin() {
	// A column is given another chance now and then.
	d.unique = d.asked > 1000 && d.found*10 < d.asked
	d.asked, d.found = 0, 0
	d.codes, d.values, d.size = d.codes[:0], d.values[:0], 0
	if d.table == nil {
		d.table = make([]slot, dictionarySlots)
	} else if !d.unique {
		clear(d.table)
	}
}

// add appends the next line's value. Nil is NULL.
func (d *dictionary) add(value []byte, valid bool) {
	if value == nil {
		d.codes = append(d.codes, noCode)
		return
	}
	if !valid && !utf8.Valid(value) {
		value = bytes.ToValidUTF8(value, []byte("\uFFFD"))
	}
	if d.unique {
		d.codes = append(d.codes, d.put(value))
		return
	}
	d.asked++
	hash := uint32(maphash.Bytes(d.seed, value))
	for at := hash % dictionarySlots; ; at = (at + 1) % dictionarySlots {
		s := &d.table[at]
		if !s.used {
			*s = slot{hash: hash, code: d.put(value), used: true}
			d.codes = append(d.codes, s.code)
			return
		}
		if s.hash == hash && bytes.Equal(d.values[s.code], value) {
			d.found++
			d.codes = append(d.codes, s.code)
			return
		}
	}
}

func (d *dictionary) put(value []byte) uint16 {
	d.values = append(d.values, value)
	if len(value) > inlineLength {
		d.size += len(value)
	}
	return uint16(len(d.values) - 1)
}
