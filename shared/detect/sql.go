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

// SQL returns the query with its placeholders filled in. What is filled in comes
// from the rule file and from configuration: {{window}} in seconds, {{threshold}} and
// the rule's own whole numbers, and {{field.NAME}}, the checked name of a field in
// double quotes. Nothing from a request or a log line gets into a query.
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
		return `"` + column + `"`, ok && ValidField(column)
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
