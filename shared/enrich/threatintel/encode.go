package threatintel

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
)

// ErrUnreadable means that bytes are no whole Table of a version that this program knows. Whoever meets it has no
// intelligence, which is not the same as an empty list.
var ErrUnreadable = errors.New("table is unreadable")

// tableMagic begins every encoded table and names the version of its form.
const tableMagic = "tracewall intel 1\n"

// MaxTableBytes bounds an encoded table. A million scattered IPv4 addresses take 2 MB, a million
// different IPv6 prefixes whose every column changes from row to row less than 40.
const MaxTableBytes = 40 << 20

// Encode returns the table's binary form: the magic, how many rows of each family there are, the
// addresses as differences, the other columns as runs of one value, and the SHA-256 of all that. Equal
// tables have equal forms.
func (t *Table) Encode() []byte {
	b := append(make([]byte, 0, 64+3*len(t.v4)+12*len(t.hi)), tableMagic...)
	b = binary.AppendUvarint(b, uint64(len(t.v4)))
	b = binary.AppendUvarint(b, uint64(len(t.hi)))
	var last uint64
	for _, from := range t.v4 {
		b = binary.AppendUvarint(b, uint64(from)-last)
		last = uint64(from)
	}
	last = 0
	for _, hi := range t.hi {
		b = binary.AppendUvarint(b, hi-last)
		last = hi
	}
	b = appendRuns(b, t.lo)
	b = appendRuns(b, t.bits)
	b = appendRuns(b, t.confidence)
	b = appendRuns(b, t.seen)
	b = appendRuns(b, t.until)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// appendRuns writes a column as pairs of a value and how often it follows.
func appendRuns[T uint8 | uint32 | uint64](b []byte, column []T) []byte {
	for i := 0; i < len(column); {
		run := 1
		for i+run < len(column) && column[i+run] == column[i] {
			run++
		}
		b = binary.AppendUvarint(b, uint64(column[i]))
		b = binary.AppendUvarint(b, uint64(run))
		i += run
	}
	return b
}

// Digest names an encoded table by its content, in hexadecimal.
func Digest(encoded []byte) string {
	sum := sha256.Sum256(encoded)
	return hex.EncodeToString(sum[:16])
}

// Decode reads what Encode wrote. Every error is ErrUnreadable: a byte that is missing, added or
// changed, a row out of order, one that no feed may list.
func Decode(encoded []byte) (*Table, error) {
	body, ok := bytes.CutPrefix(encoded, []byte(tableMagic))
	if !ok || len(encoded) > MaxTableBytes || len(body) < sha256.Size {
		return nil, fmt.Errorf("%w: %d bytes that do not begin as a table of version 1", ErrUnreadable, len(encoded))
	}
	end := len(encoded) - sha256.Size
	if sum := sha256.Sum256(encoded[:end]); !bytes.Equal(sum[:], encoded[end:]) {
		return nil, fmt.Errorf("%w: its checksum is wrong", ErrUnreadable)
	}
	d := decoder{rest: body[:len(body)-sha256.Size]}
	n4, n6 := d.number(), d.number()
	if n4 > MaxEntries || n6 > MaxEntries || n4+n6 > MaxEntries {
		return nil, fmt.Errorf("%w: it says that it has more than %d rows", ErrUnreadable, MaxEntries)
	}
	t := &Table{v4: make([]uint32, n4), hi: make([]uint64, n6)}
	var last uint64
	for i := range t.v4 {
		if last += d.number(); last > 1<<32-1 {
			d.bad = true
		}
		t.v4[i] = uint32(last)
	}
	last = 0
	for i := range t.hi {
		delta := d.number()
		d.bad = d.bad || last+delta < last
		last += delta
		t.hi[i] = last
	}
	t.lo = runs[uint64](&d, n6)
	t.bits, t.confidence = runs[uint8](&d, n4+n6), runs[uint8](&d, n4+n6)
	t.seen, t.until = runs[uint32](&d, n4+n6), runs[uint32](&d, n4+n6)
	if d.bad || len(d.rest) > 0 {
		return nil, fmt.Errorf("%w: its columns do not fit each other", ErrUnreadable)
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	return t, nil
}

// check holds a decoded table to what NewTable makes: the search relies on it.
func (t *Table) check() error {
	var last Item
	for i := range t.bits {
		if t.bits[i] > 128 || i < len(t.v4) && t.bits[i] > 32 || t.confidence[i] > 100 {
			return fmt.Errorf("%w: row %d holds an impossible number", ErrUnreadable, i)
		}
		item := t.at(i)
		if p, err := Admit(item.Prefix, Allow); err != nil || p != item.Prefix {
			return fmt.Errorf("%w: row %d is no range that a feed may list", ErrUnreadable, i)
		}
		if i > 0 && comparePrefixes(last.Prefix, item.Prefix) >= 0 {
			return fmt.Errorf("%w: row %d is out of order", ErrUnreadable, i)
		}
		last = item
	}
	return nil
}

// decoder reads numbers one after the other. After the first bad one all are 0 and bad stays true.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.rest)
	if d.bad || size <= 0 {
		d.bad = true
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

// runs reads a column of n values. A run cannot be longer than what is left of the column, so no
// number in the bytes decides how much memory is taken.
func runs[T uint8 | uint32 | uint64](d *decoder, n uint64) []T {
	column := make([]T, 0, n)
	for uint64(len(column)) < n && !d.bad {
		value, run := d.number(), d.number()
		if run == 0 || run > n-uint64(len(column)) || uint64(T(value)) != value {
			d.bad = true
			break
		}
		for range run {
			column = append(column, T(value))
		}
	}
	return column
}
