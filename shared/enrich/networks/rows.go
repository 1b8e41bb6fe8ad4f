package networks

import (
	"cmp"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
)

// key is an address as a number that can be compared: uint32 for IPv4, wide for IPv6.
type key[K any] interface {
	comparable
	compare(K) int
	next() K // 0 after the last
	prev() K
}

// narrow is the key of IPv4.
type narrow uint32

func (a narrow) compare(b narrow) int { return cmp.Compare(a, b) }
func (a narrow) next() narrow         { return a + 1 }
func (a narrow) prev() narrow         { return a - 1 }
func (a narrow) addr() netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}

func key4(a netip.Addr) narrow { b := a.As4(); return narrow(binary.BigEndian.Uint32(b[:])) }

// wide is the key of IPv6.
type wide struct{ high, low uint64 }

func (a wide) compare(b wide) int {
	return cmp.Or(cmp.Compare(a.high, b.high), cmp.Compare(a.low, b.low))
}

func (a wide) next() wide {
	if a.low++; a.low == 0 {
		a.high++
	}
	return a
}

func (a wide) prev() wide {
	if a.low--; a.low == ^uint64(0) {
		a.high--
	}
	return a
}

func (a wide) addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.high)
	binary.BigEndian.PutUint64(b[8:], a.low)
	return netip.AddrFrom16(b)
}

func key6(a netip.Addr) wide {
	b := a.As16()
	return wide{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// rows say which operator holds from each key on, until the next row. Operator 0 is nobody.
type rows[K key[K]] struct {
	from []K
	who  []uint32
}

// find returns the operator of k and the first and last key of its row.
func (r rows[K]) find(k K) (who uint32, from, to K) {
	// slices.BinarySearchFunc costs twice as much: its comparison is not inlined.
	low, high := 0, len(r.from)
	for low < high {
		if mid := int(uint(low+high) >> 1); r.from[mid].compare(k) <= 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	if low == 0 {
		return 0, from, to
	}
	var zero K
	to = zero.prev() // the last key of all
	if low < len(r.from) {
		to = r.from[low].prev()
	}
	return r.who[low-1], r.from[low-1], to
}

// len returns how many rows name somebody.
func (r rows[K]) len() int {
	n := 0
	for _, who := range r.who {
		if who != 0 {
			n++
		}
	}
	return n
}

// claim is one row of a file: these keys, both ends included, are who's.
type claim[K key[K]] struct {
	from, to K
	who      uint32
}

var errCross = errors.New("overlaps another without one holding the other")

// flatten turns claims into rows. Of claims that hold each other the narrower counts; of
// equal ones the earlier. Claims that cross make no sense and are an error.
func flatten[K key[K]](claims []claim[K]) (rows[K], error) {
	slices.SortStableFunc(claims, func(a, b claim[K]) int {
		return cmp.Or(a.from.compare(b.from), b.to.compare(a.to))
	})
	r := rows[K]{from: make([]K, 0, len(claims)+len(claims)/8), who: make([]uint32, 0, len(claims)+len(claims)/8)}
	var zero K
	begin := func(k K, who uint32) {
		if n := len(r.from); n > 0 && r.from[n-1] == k {
			r.who[n-1] = who
			return
		}
		r.from, r.who = append(r.from, k), append(r.who, who)
	}
	var open []claim[K] // those around the current place, the narrowest last
	closeUntil := func(k K, all bool) {
		for len(open) > 0 && (all || open[len(open)-1].to.compare(k) < 0) {
			ended := open[len(open)-1]
			open = open[:len(open)-1]
			after := ended.to.next()
			if after == zero {
				continue // nothing follows the last key
			}
			who := uint32(0)
			if len(open) > 0 {
				who = open[len(open)-1].who
				if open[len(open)-1].to == ended.to {
					continue // it ends here as well
				}
			}
			begin(after, who)
		}
	}
	for i, c := range claims {
		closeUntil(c.from, false)
		if len(open) > 0 {
			around := open[len(open)-1]
			if around.to.compare(c.to) < 0 {
				return rows[K]{}, errCross
			}
			if i > 0 && claims[i-1].from == c.from && claims[i-1].to == c.to {
				continue // said before
			}
		}
		begin(c.from, c.who)
		open = append(open, c)
	}
	closeUntil(zero, true)
	r.from, r.who = slices.Clip(r.from), slices.Clip(r.who)
	return r, nil
}
