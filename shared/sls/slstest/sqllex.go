//go:build cgo

package slstest

import (
	"strings"
	"unicode/utf8"
)

// maxQuery bounds a query's text (SLS: 64 KB).
const maxQuery = 64 << 10

// sqlKind is the kind of a SQL token.
type sqlKind uint8

const (
	sqlEnd    sqlKind = iota
	sqlWord           // identifier or keyword, unquoted
	sqlQuoted         // "identifier"
	sqlString         // 'text'
	sqlNumber
	sqlOp // operator or punctuation
)

// sqlToken is one token. Text is unquoted; lower is its lower-case form for words.
type sqlToken struct {
	kind  sqlKind
	text  string
	lower string
	at    int // byte offset, for error texts
}

func (t sqlToken) is(op string) bool        { return t.kind == sqlOp && t.text == op }
func (t sqlToken) keyword(word string) bool { return t.kind == sqlWord && t.lower == word }

// lexSQL cuts Presto SQL into tokens. What it does not know is an error, so that
// nothing reaches DuckDB that was not understood here.
func lexSQL(s string) ([]sqlToken, error) {
	if !utf8.ValidString(s) {
		return nil, invalid("query is not UTF-8")
	}
	var out []sqlToken
	for i := 0; i < len(s); {
		c := s[i]
		at := i
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v':
			i++
		case c == '-' && strings.HasPrefix(s[i:], "--"):
			if n := strings.IndexByte(s[i:], '\n'); n >= 0 {
				i += n + 1
			} else {
				i = len(s)
			}
		case c == '/' && strings.HasPrefix(s[i:], "/*"):
			n := strings.Index(s[i+2:], "*/")
			if n < 0 {
				return nil, invalid("line 1:%d: comment without end", at+1)
			}
			i += n + 4
		case c == '\'' || c == '"':
			text, n := unquoteSQL(s[i:], c)
			if n == 0 {
				return nil, invalid("line 1:%d: quotation mark without its partner", at+1)
			}
			if strings.IndexByte(text, 0) >= 0 {
				return nil, invalid("line 1:%d: NUL character", at+1)
			}
			kind := sqlString
			if c == '"' {
				kind = sqlQuoted
				if text == "" {
					return nil, invalid("line 1:%d: zero-length delimited identifier", at+1)
				}
			}
			out = append(out, sqlToken{kind: kind, text: text, at: at})
			i += n
		case c >= '0' && c <= '9' || c == '.' && i+1 < len(s) && s[i+1] >= '0' && s[i+1] <= '9':
			i += numberLength(s[i:])
			if i < len(s) && isWordByte(s[i]) {
				return nil, invalid("line 1:%d: identifiers must not start with a digit; surround the identifier with double quotes", at+1)
			}
			out = append(out, sqlToken{kind: sqlNumber, text: s[at:i], at: at})
		case isWordByte(c):
			for i < len(s) && isWordByte(s[i]) {
				i++
			}
			out = append(out, sqlToken{kind: sqlWord, text: s[at:i], lower: strings.ToLower(s[at:i]), at: at})
		default:
			op := operator(s[i:])
			if op == "" {
				r, _ := utf8.DecodeRuneInString(s[i:])
				return nil, invalid("line 1:%d: mismatched input %q", at+1, string(r))
			}
			out = append(out, sqlToken{kind: sqlOp, text: op, at: at})
			i += len(op)
		}
	}
	return append(out, sqlToken{kind: sqlEnd, at: len(s)}), nil
}

// operator returns the operator that s begins with. Only Presto's are known.
func operator(s string) string {
	for _, op := range []string{"<=", ">=", "<>", "!=", "||", "->"} {
		if strings.HasPrefix(s, op) {
			return op
		}
	}
	if strings.IndexByte("()[],.+-*/%=<>;", s[0]) >= 0 {
		return s[:1]
	}
	return ""
}

// isWordByte: letters, digits, underscore, and all of UTF-8 beyond ASCII.
func isWordByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf
}

func numberLength(s string) int {
	i := 0
	digits := func() {
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
	}
	digits()
	if i < len(s) && s[i] == '.' {
		i++
		digits()
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		j := i
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		before := i
		if digits(); i == before {
			i = j
		}
	}
	return i
}

// unquoteSQL reads a quoted text; the quotation mark doubled stands for itself.
func unquoteSQL(s string, quote byte) (text string, n int) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] == quote {
			if i+1 < len(s) && s[i+1] == quote {
				i++
			} else {
				return b.String(), i + 1
			}
		}
		b.WriteByte(s[i])
	}
	return "", 0
}

// quoteIdent and quoteText write a name and a text for DuckDB.
func quoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
func quoteText(s string) string  { return `'` + strings.ReplaceAll(s, `'`, `''`) + `'` }
