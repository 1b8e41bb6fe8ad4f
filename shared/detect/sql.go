package detect

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// DefaultLag is how long a scheduled run waits for late lines unless the rule says
// otherwise: SLS makes a line searchable within 3 s, collectors send every few.
const DefaultLag = 45 * time.Second

// placeholder is {{name}}. Whatever else stands between double braces is refused.
var placeholder = regexp.MustCompile(`\{\{([^{}]*)\}\}`)

// fieldPrefix begins a placeholder that stands for a field of the logs: {{field.address}}.
const fieldPrefix = "field."

// NoField is the name of a field that the logs do not have.
const NoField = "-"

// SQL returns the query with its placeholders filled in. What is filled in comes
// from the rule file and from configuration; nothing from a request or a log line
// gets into a query:
//
//	{{window}} {{threshold}}     whole numbers, as are the rule's own parameters
//	{{field.NAME}}               a field of the logs by its checked name, as text
//	{{time}} {{window_start}}    the line's time and the start of its window, Unix seconds
//	{{log}} {{limit}}            the table and the largest LIMIT, in the log service's words
//	{{country:COLUMN}}           the country code of the address in a column, or NULL
//	{{unusual:COLUMN}}           whether a column holds no well-formed public IPv4 address
func (r Rule) SQL() string {
	return placeholder.ReplaceAllStringFunc(r.Query, func(m string) string {
		name := m[2 : len(m)-2]
		if text, ok := r.fill(name); ok {
			return text
		}
		return m // lint has refused such a rule
	})
}

// fill returns what stands in a placeholder's place.
func (r Rule) fill(name string) (string, bool) {
	if field, ok := strings.CutPrefix(name, fieldPrefix); ok {
		column, ok := r.Fields[field]
		return r.wordsOf().field(column), ok && (column == NoField || ValidField(column))
	}
	if function, column, ok := strings.Cut(name, ":"); ok {
		f, known := map[string]func(string) string{"country": r.wordsOf().country, "unusual": unusual}[function]
		if !known || !columnName.MatchString(column) {
			return "", false
		}
		return f(column), true
	}
	if text, ok := r.wordsOf().fixed(name, int64(r.Window/time.Second)); ok {
		return text, true
	}
	n, ok := r.parameter(name)
	return strconv.FormatInt(n, 10), ok
}

func (r Rule) parameter(name string) (int64, bool) {
	switch name {
	case "window":
		return int64(r.Window / time.Second), true
	case "threshold":
		return r.Threshold, true
	default:
		n, ok := r.Parameters[name]
		return n, ok
	}
}

// usesAlias finds an anchor or an alias, and its line.
func usesAlias(text []byte) (line int, ok bool) {
	for _, t := range lexer.Tokenize(string(text)) {
		if t.Type == token.AnchorType || t.Type == token.AliasType {
			return t.Position.Line, true
		}
	}
	return 0, false
}
