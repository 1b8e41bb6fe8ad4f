//go:build cgo

package slstest

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"
)

// overflow holds the parts of a Stream that do not fit its memory, as they lie in memory,
// in files of a bounded size. Parts are forgotten about in the order in which they came, so a file whose
// parts are all gone is gone, too.
type overflow struct {
	dir   string
	limit int64 // bytes of parts in memory; 0: all of them stay

	mu    sync.Mutex
	files []*overflowFile
}

// overflowFile is one file. The last one grows.
type overflowFile struct {
	file  *os.File
	size  int64
	parts int // that are still wanted
}

// extent is where a part lies.
type extent struct {
	in     *overflowFile
	at     int64
	length int
	base   uintptr // where the text was in memory
}

// overflowSize is how large a file grows: small enough that what is forgotten is freed soon.
const overflowSize = 128 << 20

func newOverflow(dir string, limit int64) *overflow { return &overflow{dir: dir, limit: limit} }

// write moves a part to disk. Queries that read it in memory go on doing so.
func (o *overflow) write(p *Part) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p.gone {
		return nil
	}
	f, err := o.growing()
	if err != nil {
		return err
	}
	d := p.data.Load()
	place := extent{in: f, at: f.size, base: uintptr(unsafe.Pointer(unsafe.SliceData(d.text)))}
	for _, b := range d.memory() {
		n, err := f.file.WriteAt(b, f.size+int64(place.length))
		if err != nil {
			return fmt.Errorf("spill lines: %w", err)
		}
		place.length += n
	}
	f.size += int64(place.length+7) &^ 7
	f.parts++
	p.place = place
	p.data.Store(nil) // publishes place: whoever sees nil sees it
	return nil
}

// growing returns the file to write to. The caller holds mu.
func (o *overflow) growing() (*overflowFile, error) {
	if n := len(o.files); n > 0 && o.files[n-1].size < overflowSize {
		return o.files[n-1], nil
	}
	f, err := os.CreateTemp(o.dir, "lines-")
	if err != nil {
		return nil, fmt.Errorf("spill lines: %w", err)
	}
	o.files = append(o.files, &overflowFile{file: f})
	return o.files[len(o.files)-1], nil
}

// drop forgets a part that may be on disk. A query that is still to read it fails: nobody
// drops what is asked about.
func (o *overflow) drop(p *Part) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p.gone = true
	if p.place.in == nil {
		return
	}
	p.place.in.parts--
	kept := o.files[:0]
	for i, f := range o.files {
		if f.parts == 0 && (i < len(o.files)-1 || f.size >= overflowSize) {
			_ = f.remove() // it lies in a folder that is removed whole
			continue
		}
		kept = append(kept, f)
	}
	o.files = kept
}

func (f *overflowFile) remove() error {
	return errors.Join(f.file.Close(), os.Remove(f.file.Name()))
}

func (o *overflow) used() (n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.files {
		n += f.size
	}
	return n
}

func (o *overflow) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var problems []error
	for _, f := range o.files {
		problems = append(problems, f.remove())
	}
	o.files = nil
	return errors.Join(problems...)
}

// buffers hold parts that were read back; a query needs one a thread.
var buffers = sync.Pool{New: func() any { return []uint64(nil) }}

func giveBuffer(b []uint64) {
	if b != nil {
		buffers.Put(b) //nolint:staticcheck // a slice's header is small beside what it points to
	}
}

// read brings a part back into memory of its own, which giveBuffer takes.
func (o *overflow) read(p *Part) (*partData, []uint64, error) {
	place := p.place
	if place.in == nil {
		return nil, nil, errors.New("lines are neither in memory nor on disk")
	}
	words := (place.length + 7) / 8
	buffer := buffers.Get().([]uint64)
	if cap(buffer) < words {
		buffer = make([]uint64, words+words/4)
	}
	buffer = buffer[:words]
	raw := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(buffer))), words*8)[:place.length]
	if _, err := place.in.file.ReadAt(raw, place.at); err != nil {
		giveBuffer(buffer)
		return nil, nil, fmt.Errorf("read lines back: %w", err)
	}
	return p.decode(raw, place.base), buffer, nil
}

// memory returns the part's memory in the order in which decode takes it apart: what needs
// the widest alignment first.
func (d *partData) memory() [][]byte {
	var all [][]byte
	for _, v := range d.values {
		all = append(all, rawBytes(v))
	}
	all = append(all, rawBytes(d.times))
	for _, c := range d.codes {
		all = append(all, rawBytes(c))
	}
	return append(all, d.text)
}

func rawBytes[T any](list []T) []byte {
	var zero T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(list))), len(list)*int(unsafe.Sizeof(zero)))
}

// decode makes a partData of memory. base is where the text was when its cells were made.
func (p *Part) decode(raw []byte, base uintptr) *partData {
	d := &partData{}
	for _, c := range p.columns {
		var v cells
		v, raw = taken[duckString](raw, c.values)
		d.values = append(d.values, v)
	}
	d.times, raw = taken[uint32](raw, p.rows)
	for range p.columns {
		var codes []uint16
		codes, raw = taken[uint16](raw, p.rows)
		d.codes = append(d.codes, codes)
	}
	d.text = raw
	moved := uintptr(unsafe.Pointer(unsafe.SliceData(raw))) - base
	for _, v := range d.values {
		for i := range v {
			if v[i].length > inlineLength {
				v[i].rest += moved
			}
		}
	}
	return d
}

// taken is the first n values of memory, and the rest.
func taken[T any](raw []byte, n int) ([]T, []byte) {
	if n == 0 { // there may be less left than a single T
		return nil, raw
	}
	var zero T
	size := n * int(unsafe.Sizeof(zero))
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(raw))), n), raw[size:]
}
