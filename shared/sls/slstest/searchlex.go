//go:build cgo

package slstest

import (
	"strings"
)

// splitQuery cuts a query at the first | that is outside quotes.
func splitQuery(query string) (search, sql string, hasSQL bool) {
	quoted := false
	for i := 0; i < len(query); i++ {
		switch c := query[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '|' && !quoted:
			return query[:i], query[i+1:], true
		}
	}
	return query, "", false
}

// searchToken is a lexical part of a search.
type searchToken struct {
	kind byte // 'w' word, 'q' quoted, 'p' #"phrase", or the character itself; 0 end; 'l' <=, 'g' >=
	text string
}

// lexSearch cuts a search into tokens.
func lexSearch(s string) ([]searchToken, error) {
	var out []searchToken
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '"' || c == '#' && i+1 < len(s) && s[i+1] == '"':
			kind := byte('q')
			if c == '#' {
				kind = 'p'
				i++
			}
			text, n, ok := unquoteSearch(s[i:])
			if !ok {
				return nil, invalid("syntax error: quotation mark without its partner in %s", shorten(s[i:]))
			}
			out = append(out, searchToken{kind, text})
			i += n
		case strings.IndexByte("():=[],", c) >= 0:
			out = append(out, searchToken{kind: c})
			i++
		case c == '<' || c == '>':
			if i+1 < len(s) && s[i+1] == '=' {
				out = append(out, searchToken{kind: map[byte]byte{'<': 'l', '>': 'g'}[c]})
				i += 2
				break
			}
			out = append(out, searchToken{kind: c})
			i++
		default:
			start := i
			for i < len(s) && strings.IndexByte(" \t\r\n\"():=<>[],", s[i]) < 0 {
				i++
			}
			out = append(out, searchToken{'w', s[start:i]})
		}
	}
	return append(out, searchToken{}), nil
}

// unquoteSearch reads the quoted text that s begins with; \" and \\ are escapes.
func unquoteSearch(s string) (text string, n int, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), i + 1, true
		case '\\':
			if i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\') {
				i++
			}
		}
		b.WriteByte(s[i])
	}
	return "", 0, false
}
