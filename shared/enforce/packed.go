package enforce

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// Packed is a list of address ranges in few bytes: for each family and length a
// group of network numbers, in order, each as the difference from the one before. In JSON it is base64.
//
//	group   family (4 or 6), length, count as uvarint, then count numbers
//	number  uvarint of the difference; above IPv6 /64 two of them: of the first 64
//	        bits, and of the rest (the rest itself when the first differ)
type Packed []byte

// packPrefixes packs valid, masked prefixes in any order into at most limit bytes
// and returns how many had to be left out. It may reorder list.
func packPrefixes(list []netip.Prefix, limit int) (packed Packed, cut int) {
	slices.SortFunc(list, func(a, b netip.Prefix) int {
		if c := a.Addr().BitLen() - b.Addr().BitLen(); c != 0 {
			return c
		}
		if c := a.Bits() - b.Bits(); c != 0 {
			return c
		}
		return a.Addr().Compare(b.Addr())
	})
	list = slices.Compact(list)
	const head = 2 + binary.MaxVarintLen64
	for len(list) > 0 {
		first := list[0]
		n := len(list)
		if i := slices.IndexFunc(list, func(p netip.Prefix) bool {
			return p.Bits() != first.Bits() || p.Addr().BitLen() != first.Addr().BitLen()
		}); i > 0 {
			n = i
		}
		var body []byte
		var hi, lo uint64
		count := 0
		for _, p := range list[:n] {
			h, l := number(p)
			next := body
			if split(p) {
				next = binary.AppendUvarint(next, h-hi)
			}
			if h != hi {
				lo = 0
			}
			next = binary.AppendUvarint(next, l-lo)
			if len(packed)+len(next)+head > limit {
				break
			}
			body, hi, lo = next, h, l
			count++
		}
		cut += n - count
		if count > 0 {
			family := byte(6)
			if first.Addr().Is4() {
				family = 4
			}
			packed = append(packed, family, byte(first.Bits()))
			packed = binary.AppendUvarint(packed, uint64(count))
			packed = append(packed, body...)
		}
		list = list[n:]
	}
	return packed, cut
}

// split tells whether a prefix's network number takes more than 64 bits.
func split(p netip.Prefix) bool { return p.Addr().Is6() && p.Bits() > 64 }

// number returns the network number of a masked prefix.
func number(p netip.Prefix) (hi, lo uint64) {
	if p.Addr().Is4() {
		a := p.Addr().As4()
		return 0, uint64(binary.BigEndian.Uint32(a[:])) >> (32 - p.Bits())
	}
	a := p.Addr().As16()
	hi, lo = binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:])
	if !split(p) {
		return 0, hi >> (64 - p.Bits())
	}
	return hi, lo >> (128 - p.Bits())
}

// prefixOf is the inverse of number.
func prefixOf(is4 bool, bits int, hi, lo uint64) netip.Prefix {
	if is4 {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(lo<<(32-bits)))
		return netip.PrefixFrom(netip.AddrFrom4(a), bits)
	}
	var a [16]byte
	if bits <= 64 {
		binary.BigEndian.PutUint64(a[:8], lo<<(64-bits))
	} else {
		binary.BigEndian.PutUint64(a[:8], hi)
		binary.BigEndian.PutUint64(a[8:], lo<<(128-bits))
	}
	return netip.PrefixFrom(netip.AddrFrom16(a), bits)
}

// All hands every range to yield, until that returns false. Of a list that is
// garbled it hands over what can be read.
func (l Packed) All(yield func(netip.Prefix) bool) {
	number := func() (n uint64, ok bool) {
		n, size := binary.Uvarint(l)
		if size <= 0 {
			return 0, false
		}
		l = l[size:]
		return n, true
	}
	for len(l) > 2 {
		is4, bits := l[0] == 4, int(l[1])
		if !is4 && l[0] != 6 || bits > 128 || is4 && bits > 32 {
			return
		}
		l = l[2:]
		count, ok := number()
		var hi, lo uint64
		for ; ok && count > 0; count-- {
			if !is4 && bits > 64 {
				var step uint64
				if step, ok = number(); !ok {
					return
				}
				if step != 0 {
					hi, lo = hi+step, 0
				}
			}
			var step uint64
			if step, ok = number(); !ok {
				return
			}
			lo += step
			if !yield(prefixOf(is4, bits, hi, lo)) {
				return
			}
		}
		if !ok {
			return
		}
	}
}

// find returns the widest range of the list that is p or around it, and whether one lies within p.
func (l Packed) find(p netip.Prefix) (around netip.Prefix, within bool) {
	l.All(func(q netip.Prefix) bool {
		switch {
		case q.Bits() <= p.Bits() && q.Contains(p.Addr()):
			if !around.IsValid() || q.Bits() > around.Bits() {
				around = q
			}
		case q.Bits() > p.Bits() && p.Contains(q.Addr()):
			within = true
		}
		return true
	})
	return around, within
}
