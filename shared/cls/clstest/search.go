//go:build cgo

package clstest

import (
	"strings"
)

// splitQuery cuts a query at the first | that is outside quotes.
func splitQuery(query string) (search, sql string, hasSQL bool) {
	var quote byte
	for i := 0; i < len(query); i++ {
		switch c := query[i]; {
		case c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '|':
			return query[:i], query[i+1:], true
		}
	}
	return query, "", false
}

// translateSearch writes a CQL search in the Log Service's syntax. In CQL a quoted
// text, in double or single marks, is a phrase: its words in this order, one after
// the other. The Log Service's quotes are all its words in any order, and #"…" a phrase.
// A colon before a comparison falls away, and the empty search finds everything.
func translateSearch(search string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(search); {
		switch c := search[i]; {
		case c == '"' || c == '\'':
			text, n, err := phrase(search[i:])
			if err != nil {
				return "", err
			}
			b.WriteString(`#"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`)
			i += n
		case c == ':' && i+1 < len(search) && strings.IndexByte("<>=", search[i+1]) >= 0:
			i++
		case c == '#' || c == '[' || c == ']' || c == ',':
			return "", refuse("FailedOperation.SyntaxError", "%q means nothing in CQL: quote it", string(c))
		case c == '\\':
			return "", refuse("UnsupportedOperation", "this stand-in knows escapes only inside quotes")
		default:
			b.WriteByte(c)
			i++
		}
	}
	if strings.TrimSpace(b.String()) == "" {
		return "*", nil
	}
	return b.String(), nil
}

// phrase reads the quoted text that s begins with.
func phrase(s string) (text string, n int, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == s[0]:
			return b.String(), i + 1, nil
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == '*':
			return "", 0, refuse("UnsupportedOperation", "this stand-in knows no wildcards inside quotes")
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, refuse("FailedOperation.SyntaxError", "quotation mark without its partner")
}
