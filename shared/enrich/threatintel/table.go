package threatintel

import (
	"cmp"
	"encoding/binary"
	"iter"
	"math"
	"net/netip"
	"slices"
)

// MaxEntries bounds the entries of one feed. A million prefixes are the largest free lists there are.
const MaxEntries = 1_000_000

// Table is one feed's entries: sorted, each prefix once, in columns. It is immutable and safe for concurrent use. The zero
// Table is empty. A million IPv4 entries take 14 MB.
type Table struct {
	v4 []uint32 // first addresses
	hi []uint64 // of IPv6 first addresses, the upper and the lower half
	lo []uint64
	// The columns that both families share: IPv4's rows come first.
	bits       []uint8
	confidence []uint8
	seen       []uint32
	until      []uint32
}

// NewTable sorts items and leaves one of each prefix: the surer, the later seen, the longer valid.
// Items must come from Admit. It reorders its argument.
func NewTable(items []Item) *Table {
	slices.SortFunc(items, func(a, b Item) int { return comparePrefixes(a.Prefix, b.Prefix) })
	t := &Table{}
	t.grow(items)
	var last netip.Prefix
	for _, item := range items {
		if n := len(t.bits) - 1; n >= 0 && item.Prefix == last {
			t.confidence[n] = max(t.confidence[n], item.Confidence)
			t.seen[n] = max(t.seen[n], item.Seen)
			if item.Until == 0 || t.until[n] != 0 && item.Until > t.until[n] {
				t.until[n] = item.Until
			}
			continue
		}
		last = item.Prefix
		t.add(item)
	}
	return t
}

// grow makes room for exactly as much as items need at most: tables live long.
func (t *Table) grow(items []Item) {
	n4 := 0
	for _, item := range items {
		if item.Prefix.Addr().Is4() {
			n4++
		}
	}
	n, n6 := len(items), len(items)-n4
	t.v4, t.hi, t.lo = make([]uint32, 0, n4), make([]uint64, 0, n6), make([]uint64, 0, n6)
	t.bits, t.confidence = make([]uint8, 0, n), make([]uint8, 0, n)
	t.seen, t.until = make([]uint32, 0, n), make([]uint32, 0, n)
}

func (t *Table) add(item Item) {
	if addr := item.Prefix.Addr(); addr.Is4() {
		b := addr.As4()
		t.v4 = append(t.v4, binary.BigEndian.Uint32(b[:]))
	} else {
		b := addr.As16()
		t.hi, t.lo = append(t.hi, binary.BigEndian.Uint64(b[:8])), append(t.lo, binary.BigEndian.Uint64(b[8:]))
	}
	t.bits = append(t.bits, uint8(item.Prefix.Bits()))
	t.confidence = append(t.confidence, item.Confidence)
	t.seen, t.until = append(t.seen, item.Seen), append(t.until, item.Until)
}

// Len returns how many entries there are.
func (t *Table) Len() int { return len(t.bits) }

// All yields the entries in order: IPv4 before IPv6, by address, the wider first.
func (t *Table) All() iter.Seq[Item] {
	return func(yield func(Item) bool) {
		for i := range t.bits {
			if !yield(t.at(i)) {
				return
			}
		}
	}
}

func (t *Table) at(i int) Item {
	var addr netip.Addr
	if i < len(t.v4) {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], t.v4[i])
		addr = netip.AddrFrom4(b)
	} else {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:8], t.hi[i-len(t.v4)])
		binary.BigEndian.PutUint64(b[8:], t.lo[i-len(t.v4)])
		addr = netip.AddrFrom16(b)
	}
	return Item{Prefix: netip.PrefixFrom(addr, int(t.bits[i])), Confidence: t.confidence[i], Seen: t.seen[i], Until: t.until[i]}
}

// Coverage returns which share of IPv4 space, and of the IPv6 space that is given out (2000::/3),
// the entries cover, each between 0 and 1. What lies within another entry counts once.
func (t *Table) Coverage() (v4, v6 float64) {
	end := -1.0 // the end of the last entry that counted; ranges never cross, so what begins before it lies within
	for i, from := range t.v4 {
		if float64(from) < end {
			continue
		}
		size := math.Ldexp(1, 32-int(t.bits[i]))
		v4, end = v4+size, float64(from)+size
	}
	var last netip.Prefix
	for i := len(t.v4); i < len(t.bits); i++ {
		if p := t.at(i).Prefix; !last.IsValid() || !last.Contains(p.Addr()) {
			last = p
			v6 += math.Ldexp(1, 3-p.Bits())
		}
	}
	return math.Ldexp(v4, -32), v6
}

// Holds tells whether an entry holds addr.
func (t *Table) Holds(addr netip.Addr) bool {
	for bits := addr.BitLen(); bits >= 8; bits-- {
		p, err := addr.Prefix(bits)
		if err != nil {
			return false
		}
		if t.has(p) {
			return true
		}
	}
	return false
}

// has tells whether p itself is an entry.
func (t *Table) has(p netip.Prefix) bool {
	from, to := 0, len(t.v4)
	if p.Addr().Is6() {
		from, to = len(t.v4), len(t.bits)
	}
	for from < to {
		middle := int(uint(from+to) >> 1)
		switch c := comparePrefixes(t.at(middle).Prefix, p); {
		case c == 0:
			return true
		case c < 0:
			from = middle + 1
		default:
			to = middle
		}
	}
	return false
}

// comparePrefixes orders rows: IPv4 before IPv6, by first address, the wider first.
func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return cmp.Compare(a.Bits(), b.Bits())
}
