package webattack

import (
	"bytes"
	"unicode/utf8"
)

// A text under inspection is kept as bytes in lower case in which what stood between
// the parts of the request is told apart from what stood in them: edge at either end,
// for the first question mark and for each &, and equals for the first = of a part.
// An & or = that was encoded, or stood deeper, stays what it is. Patterns can so say
// "at the start of a value", and an attacker cannot write either byte: control
// characters turn into blanks.
const (
	edge   = 0x01
	equals = 0x02
)

// decodeURL writes the first view of a request target or Referer to dst: what a server
// hands to the application after one round of decoding. query says that raw begins
// behind the question mark. It returns dst and what the bytes in it may mean.
func decodeURL(dst []byte, raw string, query bool) ([]byte, uint8) {
	dst = append(dst, edge)
	var seen uint8
	named := false
	last := byte(0)
	for i := 0; i < len(raw); i++ {
		b := raw[i]
		if !special[b] {
			b = lower[b]
			seen |= meaning[b]
			last = b
			dst = append(dst, b)
			continue
		}
		switch b {
		case '%':
			if i+2 < len(raw) {
				if hi, lo := hex[raw[i+1]], hex[raw[i+2]]; hi|lo < 16 {
					b = hi<<4 | lo
					if b == '.' {
						seen |= needless
					}
					i += 2
				}
			}
			b = lower[b]
			seen |= meaning[b]
		case '+':
			if query {
				b = ' '
			}
		case '?':
			if !query {
				query, named, b = true, false, edge
			}
		case '&':
			if query {
				b, named = edge, false
			}
		case '=':
			if query && !named {
				b, named = equals, true
			}
		default:
			b = lower[b]
			seen |= meaning[b]
		}
		if b == '.' && last == '.' {
			seen |= dots
		}
		last = b
		dst = append(dst, b)
	}
	return append(dst, edge), seen
}

// decodeText does the same for a field that is no address: nothing in it separates
// parts, and a plus is a plus. Applications decode such a field seldom, attackers
// encode it all the same.
func decodeText(dst []byte, raw string) ([]byte, uint8) {
	dst = append(dst, edge)
	var seen uint8
	for i := 0; i < len(raw); i++ {
		b := lower[raw[i]]
		seen |= inProse[b]
		dst = append(dst, b)
	}
	return append(dst, edge), seen
}

// maxRounds is how many layers of encoding are taken off. Two are seen in the wild,
// for a proxy that decodes before the application does; the third is spare.
const maxRounds = 3

// unwrap takes off further layers: percent encoding, %u, HTML entities, escapes of
// JavaScript and PHP strings, overlong UTF-8, full-width letters, NULs. It returns
// text itself if there was nothing to take off.
func unwrap(text []byte) []byte {
	for range maxRounds {
		next := round(text)
		if bytes.Equal(next, text) {
			return text
		}
		text = next
	}
	return text
}

// round takes off one layer, each kind where it stands.
func round(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		b, size := text[i], 0
		var r rune
		switch {
		case b == 0:
			i++
			continue
		case b == '%':
			r, size = percent(text[i:])
		case b == '&':
			r, size = entity(text[i:])
		case b == '\\':
			r, size = escape(text[i:])
		case b >= 0xc0:
			r, size = folded(text[i:])
		}
		if size == 0 {
			out = append(out, b)
			i++
			continue
		}
		i += size
		switch {
		case r == 0:
		case r < 0x80:
			out = append(out, lower[byte(r)])
		case r < 0x100 && b == '%':
			out = append(out, byte(r)) // a byte of UTF-8, not a letter
		default:
			out = utf8.AppendRune(out, fold(r))
		}
	}
	return out
}

func percent(s []byte) (rune, int) {
	if len(s) >= 6 && s[1] == 'u' {
		if r, ok := hexadecimal(s[2:6]); ok {
			return fold(r), 6
		}
	}
	if len(s) >= 3 {
		if r, ok := hexadecimal(s[1:3]); ok {
			return r, 3
		}
	}
	return 0, 0
}

// maxEntity is the longest entity that is read: zeros in front may be many.
const maxEntity = 64

func entity(s []byte) (rune, int) {
	if len(s) < 4 {
		return 0, 0
	}
	if s[1] == '#' {
		base, from := rune(10), 2
		if s[2] == 'x' {
			base, from = 16, 3
		}
		var r rune
		to := from
		for to < len(s) && to < maxEntity && rune(hex[s[to]]) < base {
			if r = r*base + rune(hex[s[to]]); r > utf8.MaxRune {
				return 0, 0
			}
			to++
		}
		if to == from {
			return 0, 0
		}
		if to < len(s) && s[to] == ';' {
			to++
		}
		return fold(r), to
	}
	for _, e := range [...]struct {
		name string
		r    rune
	}{{"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}, {"amp", '&'}, {"lpar", '('}, {"rpar", ')'}, {"colon", ':'}, {"sol", '/'}, {"tab", ' '}, {"newline", '\n'}, {"dollar", '$'}, {"lbrace", '{'}, {"lcub", '{'}, {"rcub", '}'}, {"nbsp", ' '}} {
		if end := 1 + len(e.name); len(s) > end && string(s[1:end]) == e.name && (s[end] == ';' || len(e.name) == 2 && !alphanumeric(s[end])) {
			if s[end] == ';' {
				end++
			}
			return e.r, end
		}
	}
	return 0, 0
}

// escape reads \x3c, \u003c and \u{3c}.
func escape(s []byte) (rune, int) {
	switch {
	case len(s) >= 4 && s[1] == 'x':
		if r, ok := hexadecimal(s[2:4]); ok {
			return r, 4
		}
	case len(s) >= 4 && s[1] == 'u' && s[2] == '{':
		for end := 3; end < len(s) && end < 10; end++ {
			if s[end] == '}' && end > 3 {
				if r, ok := hexadecimal(s[3:end]); ok && r <= utf8.MaxRune {
					return fold(r), end + 1
				}
				break
			}
		}
	case len(s) >= 6 && s[1] == 'u':
		if r, ok := hexadecimal(s[2:6]); ok {
			return fold(r), 6
		}
	}
	return 0, 0
}

// folded reads UTF-8 whose character has a plain twin: overlong forms, which a
// careless decoder takes for ASCII, and full-width letters, which Windows maps to it.
// Of overlong forms only what opens doors is read, so that text in another encoding
// (GBK has such bytes, too) does not turn into quotes.
func folded(s []byte) (rune, int) {
	size := 0
	switch {
	case s[0] <= 0xc1:
		size = 2
	case s[0] == 0xe0 && len(s) > 1 && s[1] == 0x80:
		size = 3
	case s[0] == 0xf0 && len(s) > 1 && s[1] == 0x80:
		size = 4
	case s[0] == 0xf8 && len(s) > 1 && s[1] == 0x80:
		size = 5
	case s[0] == 0xfc && len(s) > 1 && s[1] == 0x80:
		size = 6
	case s[0] == 0xef:
		if r, size := utf8.DecodeRune(s); fold(r) != r {
			return fold(r), size
		}
	}
	if size == 0 || len(s) < size {
		return 0, 0
	}
	last := s[size-1]
	for _, r := range [...]byte{last&0x3f | s[0]&1<<6, last & 0x3f, last} {
		switch r {
		case '.', '/', '\\', '<', '>':
			return rune(r), size
		}
	}
	return 0, 0
}

// fold returns the plain twin of a full-width letter or sign.
func fold(r rune) rune {
	switch {
	case r >= 0xff01 && r <= 0xff5e:
		return r - 0xff01 + '!'
	case r == 0x3002 || r == 0xff61:
		return '.'
	case r == 0x2215 || r == 0x2044:
		return '/'
	case r == 0x2216:
		return '\\'
	}
	return r
}

// hexadecimal reads at most six digits.
func hexadecimal(s []byte) (rune, bool) {
	var r rune
	for _, b := range s {
		d := rune(hex[b])
		if d >= 16 {
			return 0, false
		}
		r = r<<4 | d
	}
	return r, len(s) > 0
}

func alphanumeric(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= '0' && b <= '9'
}
