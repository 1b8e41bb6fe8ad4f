package threatintel

// address is as much of an IP address as a Set looks at: all of IPv4, the upper half of IPv6.
type address interface{ uint32 | uint64 }

// family is the entries of all feeds in one address family: sorted by first address, width (the wider first) and feed.
// Prefixes never cross, so all that hold a row are found by following parent, the nearest row before it that holds it.
type family[A address] struct {
	rows   []row[A] // what every search looks at, side by side in memory
	seen   []uint32 // what only a hit needs
	until  []uint32
	starts []uint32 // for each value of the upper 16 bits, the first row at or behind its begin; one more at the end
}

type row[A address] struct {
	from       A
	parent     int32 // -1: none
	bits       uint8
	feed       uint8
	confidence uint8
}

// width returns how many bits an A has.
func width[A address]() uint8 {
	var zero A
	if uint64(^zero) > 1<<32 {
		return 64
	}
	return 32
}

// mask returns the bits of an A that a prefix of that many bits keeps.
func mask[A address](bits uint8) A {
	var zero A
	return ^zero << (width[A]() - bits) // a shift by the whole width leaves nothing
}

// find returns the last row that does not come behind from/bits in the order of rows; -1 for none. All rows that hold
// from/bits are that one or its ancestors: what holds it begins at or before it, and so either holds that row too or is it.
func (f *family[A]) find(from A, bits uint8) int32 {
	if len(f.rows) == 0 {
		return -1
	}
	block := from >> (width[A]() - 16)
	low, high := int(f.starts[block]), int(f.starts[block+1])
	for low < high {
		middle := int(uint(low+high) >> 1)
		if r := &f.rows[middle]; r.from < from || r.from == from && r.bits <= bits {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return int32(low) - 1
}

// above returns the nearest row before the last one that holds it. It is the one just before, or one of that one's
// ancestors: rows between an ancestor and the last row lie within that ancestor.
func (f *family[A]) above() int32 {
	last := len(f.rows) - 1
	above := int32(last - 1)
	for above >= 0 && f.rows[last].from&mask[A](f.rows[above].bits) != f.rows[above].from {
		above = f.rows[above].parent
	}
	return above
}

// index notes where each value of the upper 16 bits begins, which leaves a search of a few steps in a million rows.
func (f *family[A]) index() {
	if len(f.rows) == 0 {
		return
	}
	f.starts = make([]uint32, 1<<16+1)
	at := 0
	for block := range f.starts {
		for at < len(f.rows) && uint64(f.rows[at].from>>(width[A]()-16)) < uint64(block) {
			at++
		}
		f.starts[block] = uint32(at)
	}
}
