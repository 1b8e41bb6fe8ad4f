package logfile

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads one JSON object strictly (RFC 8259), in one pass and without memory of its
// own but for texts that have escapes in them. The values that it gives are parts of the line.
type scanner struct {
	text string
	at   int
}

type jsonKind uint8

const (
	jsonText jsonKind = iota + 1
	jsonNumber
	jsonBool
	jsonNull
)

// value is a scalar; text is how it reads: a text without its quotes.
type value struct {
	text string
	kind jsonKind
}

// maxJSONDepth bounds nesting: skipping is recursive, and lines were written by attackers.
const maxJSONDepth = 64

// object reads a whole object and nothing behind it. visit is called for each scalar of
// it, and of the objects right in it, for which outer is their key. What stands deeper is checked and passed over.
// Of a key that comes twice both are visited.
func (s *scanner) object(visit func(outer, key string, v value)) bool {
	return s.members("", 0, visit) && s.at == len(s.text)
}

func (s *scanner) members(outer string, depth int, visit func(outer, key string, v value)) bool {
	if depth > maxJSONDepth || !s.take('{') {
		return false
	}
	if s.space(); s.take('}') {
		return true
	}
	for {
		s.space()
		key, ok := s.string()
		if !ok {
			return false
		}
		if s.space(); !s.take(':') {
			return false
		}
		s.space()
		switch s.peek() {
		case '{':
			inside := key
			next := visit
			if depth > 0 || key == "" {
				next = nil
			}
			if !s.members(inside, depth+1, next) {
				return false
			}
		case '[':
			if !s.elements(depth + 1) {
				return false
			}
		default:
			v, ok := s.scalar()
			if !ok {
				return false
			}
			if visit != nil {
				visit(outer, key, v)
			}
		}
		s.space()
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

func (s *scanner) elements(depth int) bool {
	if depth > maxJSONDepth || !s.take('[') {
		return false
	}
	if s.space(); s.take(']') {
		return true
	}
	for {
		s.space()
		ok := false
		switch s.peek() {
		case '{':
			ok = s.members("", depth+1, nil)
		case '[':
			ok = s.elements(depth + 1)
		default:
			_, ok = s.scalar()
		}
		if s.space(); !ok {
			return false
		}
		if s.take(']') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

func (s *scanner) scalar() (value, bool) {
	switch c := s.peek(); {
	case c == '"':
		text, ok := s.string()
		return value{text, jsonText}, ok
	case c == '-' || c >= '0' && c <= '9':
		text, ok := s.number()
		return value{text, jsonNumber}, ok
	default:
		for _, word := range []string{"true", "false", "null"} {
			if strings.HasPrefix(s.text[s.at:], word) {
				s.at += len(word)
				if word == "null" {
					return value{"", jsonNull}, true
				}
				return value{word, jsonBool}, true
			}
		}
		return value{}, false
	}
}

func (s *scanner) number() (string, bool) {
	start := s.at
	s.take('-')
	digits := func() bool {
		from := s.at
		for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
			s.at++
		}
		return s.at > from
	}
	if !s.take('0') && !digits() {
		return "", false
	}
	if s.take('.') && !digits() {
		return "", false
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		if !digits() {
			return "", false
		}
	}
	return s.text[start:s.at], true
}

// string reads a text. Control characters in it are let pass: some loggers forget to escape them.
func (s *scanner) string() (string, bool) {
	if !s.take('"') {
		return "", false
	}
	start, escaped := s.at, false
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case '"':
			text := s.text[start:s.at]
			s.at++
			if escaped {
				return unescape(text)
			}
			return text, true
		case '\\':
			escaped = true
			s.at += 2
		default:
			s.at++
		}
	}
	return "", false
}

// unescape resolves the escapes of a text. Half a surrogate pair becomes U+FFFD.
func unescape(text string) (string, bool) {
	b := make([]byte, 0, len(text))
	for len(text) > 0 {
		at := strings.IndexByte(text, '\\')
		if at < 0 {
			b = append(b, text...)
			break
		}
		b, text = append(b, text[:at]...), text[at+1:]
		if text == "" {
			return "", false
		}
		c := text[0]
		text = text[1:]
		switch c {
		case '"', '\\', '/':
			b = append(b, c)
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'u':
			r, ok := hex4(text)
			if !ok {
				return "", false
			}
			text = text[4:]
			if utf16.IsSurrogate(r) {
				second, ok := rune(-1), strings.HasPrefix(text, `\u`)
				if ok {
					second, ok = hex4(text[2:])
				}
				if r = utf16.DecodeRune(r, second); ok && r != utf8.RuneError {
					text = text[6:]
				}
			}
			b = utf8.AppendRune(b, r)
		default:
			return "", false
		}
	}
	return string(b), true
}

func hex4(text string) (rune, bool) {
	if len(text) < 4 {
		return 0, false
	}
	n, err := strconv.ParseUint(text[:4], 16, 32)
	return rune(n), err == nil && text[0] != '+' && text[0] != '_'
}

func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) take(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}
