package webattack

// What a byte of a decoded text may mean.
const (
	again    = 1 << iota // may be one more layer of encoding
	telling              // a quote, bracket or operator that ordinary requests rarely have
	needless             // a dot was percent-encoded, which no client does by itself
	dots                 // two dots in a row
	zero                 // a NUL
)

// What a byte turns into, and what it means, when it is written as itself.
var (
	lower   = lowerTable()
	meaning = meaningTable()
	hex     = hexTable()
	special = specialTable()
	inProse = proseTable()
)

func lowerTable() (t [256]byte) {
	for b := range t {
		switch {
		case b >= 'A' && b <= 'Z':
			t[b] = byte(b) + 'a' - 'A'
		case b == '\n' || b == '\r' || b == 0:
			t[b] = byte(b)
		case b < ' ' || b == 0x7f:
			t[b] = ' '
		default:
			t[b] = byte(b)
		}
	}
	return t
}

func meaningTable() (t [256]uint8) {
	for b := 0x80; b < 0x100; b++ { // overlong forms, full-width letters
		if b == 0xc0 || b == 0xc1 || b == 0xe0 || b == 0xef || b == 0xf0 || b == 0xf8 || b == 0xfc {
			t[b] = again
		}
	}
	for _, b := range []byte("'\"`<>(){}[]|;$*\\^\n\r#!") {
		t[b] |= telling
	}
	for _, b := range []byte("%&\\") {
		t[b] |= again
	}
	t[0] |= zero | telling | again
	return t
}

// proseTable is what bytes mean in an agent, in which brackets and semicolons are
// ordinary.
func proseTable() [256]uint8 {
	t := meaning
	for _, b := range []byte("()[];!#*") {
		t[b] &^= telling
	}
	return t
}

// specialTable marks the bytes that an address is built with.
func specialTable() (t [256]bool) {
	for _, b := range []byte("%+?&=.") {
		t[b] = true
	}
	return t
}

func hexTable() (t [256]uint8) {
	for b := range t {
		switch {
		case b >= '0' && b <= '9':
			t[b] = uint8(b - '0')
		case b >= 'a' && b <= 'f':
			t[b] = uint8(b - 'a' + 10)
		case b >= 'A' && b <= 'F':
			t[b] = uint8(b - 'A' + 10)
		default:
			t[b] = 0xff
		}
	}
	return t
}
