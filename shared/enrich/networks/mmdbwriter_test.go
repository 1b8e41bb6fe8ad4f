package networks_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
)

// A tiny writer of MaxMind DB files after the format's specification (version 2.0),
// so that tests can write the layouts that they read, and break them.

type pair struct {
	key   string
	value any // string, uint16, uint32, uint64, []any or []pair
}

func encodeValue(b *bytes.Buffer, v any) {
	control := func(kind, size int) {
		first := []byte{byte(kind << 5)}
		if kind > 7 {
			first = []byte{0, byte(kind - 7)}
		}
		switch {
		case size < 29:
			first[0] |= byte(size)
		case size < 285:
			first[0] |= 29
			first = append(first, byte(size-29))
		default:
			first[0] |= 30
			first = append(first, byte((size-285)>>8), byte(size-285))
		}
		b.Write(first)
	}
	number := func(kind int, n uint64) {
		raw := bytes.TrimLeft(binary.BigEndian.AppendUint64(nil, n), "\x00")
		control(kind, len(raw))
		b.Write(raw)
	}
	switch v := v.(type) {
	case string:
		control(2, len(v))
		b.WriteString(v)
	case uint16:
		number(5, uint64(v))
	case uint32:
		number(6, uint64(v))
	case uint64:
		number(9, v)
	case []any:
		control(11, len(v))
		for _, one := range v {
			encodeValue(b, one)
		}
	case []pair:
		control(7, len(v))
		for _, p := range v {
			encodeValue(b, p.key)
			encodeValue(b, p.value)
		}
	default:
		panic("no such type")
	}
}

type mmdb struct {
	kind    string // database_type
	version uint16 // 4 or 6
	nodes   [][2]int
	data    bytes.Buffer
	offsets []int // of records
}

const (
	nothing = -1 // a child that is empty
	dataAt  = -2 // dataAt-i is record i
)

func newMMDB(kind string, version uint16) *mmdb {
	return &mmdb{kind: kind, version: version, nodes: [][2]int{{nothing, nothing}}}
}

func (m *mmdb) add(tb testing.TB, prefix string, record []pair) {
	tb.Helper()
	m.offsets = append(m.offsets, m.data.Len())
	encodeValue(&m.data, record)
	m.point(tb, prefix, len(m.offsets)-1)
}

// point lets a prefix point to a record that is there.
func (m *mmdb) point(tb testing.TB, prefix string, record int) {
	tb.Helper()
	p := netip.MustParsePrefix(prefix)
	raw, bits := p.Addr().AsSlice(), p.Bits()
	if m.version == 6 && p.Addr().Is4() {
		raw, bits = append(make([]byte, 12), raw...), bits+96
	}
	node := 0
	for i := range bits {
		side := int(raw[i/8]>>(7-i%8)) & 1
		if i == bits-1 {
			m.nodes[node][side] = dataAt - record
			return
		}
		next := m.nodes[node][side]
		if next < 0 {
			next = len(m.nodes)
			m.nodes = append(m.nodes, [2]int{nothing, nothing})
			m.nodes[node][side] = next
		}
		node = next
	}
}

func (m *mmdb) bytes() []byte {
	var b bytes.Buffer
	for _, n := range m.nodes {
		for _, child := range n {
			value := child
			switch {
			case child == nothing:
				value = len(m.nodes)
			case child <= dataAt:
				value = len(m.nodes) + 16 + m.offsets[dataAt-child]
			}
			b.Write([]byte{byte(value >> 16), byte(value >> 8), byte(value)})
		}
	}
	b.Write(make([]byte, 16))
	b.Write(m.data.Bytes())
	b.WriteString("\xab\xcd\xefMaxMind.com")
	encodeValue(&b, []pair{
		{"node_count", uint32(len(m.nodes))},
		{"record_size", uint16(24)},
		{"ip_version", m.version},
		{"database_type", m.kind},
		{"languages", []any{"en"}},
		{"binary_format_major_version", uint16(2)},
		{"binary_format_minor_version", uint16(0)},
		{"build_epoch", uint64(1795168800)},
		{"description", []pair{{"en", "test"}}},
	})
	return slices.Clone(b.Bytes())
}
