package webattack

import (
	"bytes"
	"regexp"
	"strings"

	libinjection "github.com/corazawaf/libinjection-go"
)

const (
	// maxValue is how much of one value libinjection reads, half from each end.
	maxValue = 1 << 10
	// maxRead is how much it reads of one field.
	maxRead = 12 << 10
)

// libinjection asks the tokenizers of libinjection about each name and value of a
// field and each element of its path: they know SQL's and HTML's grammar where phrases
// know words.
func (s *scan) libinjection(f field, view []byte) {
	path := f != inAgent
	begin := 1
	for i := 1; i < len(view) && s.read < maxRead; i++ {
		if b := view[i]; b == edge || b == equals || b == '/' && path {
			if i-begin > 2 {
				s.value(f, view, begin, view[begin:i])
			}
			begin = i + 1
			path = path && b == '/' // behind the first question mark slashes separate nothing
		}
	}
}

// value asks about one value.
func (s *scan) value(f field, view []byte, at int, value []byte) {
	sql, html := false, false
	for _, b := range value {
		switch b {
		case '\'', '"', '`', '#', ';', '(', '*', '|', '=', '-', ' ':
			sql = true
		case '<', '>':
			html = true
		}
	}
	sql, html = sql && !s.has(SQLInjection), (html || sql && bytes.IndexByte(value, '=') >= 0 || bytes.IndexByte(value, ':') >= 0) && !s.has(XSS)
	if !sql && !html {
		return
	}
	for _, part := range ends(value) {
		text := string(part)
		if sql {
			s.read += len(text)
			if is, _ := libinjection.IsSQLi(text); is && meant(text, searching(view, at)) {
				s.add(SQLInjection, f, "sql grammar", view, at, at+len(value))
				sql = false
			}
		}
		if html {
			s.read += len(text)
			if libinjection.IsXSS(text) && !declaration.MatchString(text) {
				s.add(XSS, f, "html grammar", view, at, at+len(value))
				html = false
			}
		}
	}
}

// ends returns value, or its two ends if it is long.
func ends(value []byte) [][]byte {
	if len(value) <= maxValue {
		return [][]byte{value}
	}
	return [][]byte{value[:maxValue/2], value[len(value)-maxValue/2:]}
}

var (
	// What SQL cannot do harm without: a quote, a comment, the end of a statement or one
	// of its words. Arithmetic has none.
	sqlMark = regexp.MustCompile(`['"` + "`" + `;]|--(?:[\s+-]|$)|/\*|#|\|\||&&|\b(?:select|union|or|and|x?or|like|from|where|having|sleep|benchmark|insert|update|delete|drop|into|null|exec|case|if|waitfor|order by|procedure|char|database|user|version)\b`)
	// What leaves the text that an application wraps around a value.
	sqlBreak = regexp.MustCompile(`--(?:[\s+-]|$)|/\*|#\s*$|;`)
	// A word in quotes, and nothing else.
	inQuotes = regexp.MustCompile(`^(?:'[^']*'|"[^"]*")$`)
	// declaration is how XML begins, which libinjection takes for a script.
	declaration = regexp.MustCompile(`^\s*<\?xml[\s-]`)
)

// meant tells whether what libinjection calls SQL was meant for a database. Who
// searches writes quotes, brackets and OR as well, and titles of queries: there only a
// quote without its twin or a comment counts.
func meant(text string, search bool) bool {
	if !sqlMark.MatchString(text) || inQuotes.MatchString(text) {
		return false
	}
	return !search || strings.Count(text, "'")%2 == 1 || strings.Count(text, "\"")%2 == 1 || sqlBreak.MatchString(text)
}
