package detect

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
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

// SQL returns the query with its numbers filled in. Only whole numbers of the rule
// file are ever filled in: {{window}} in seconds, {{threshold}} and the rule's own
// parameters. Nothing from a request or a log line gets into a query.
func (r Rule) SQL() string {
	return placeholder.ReplaceAllStringFunc(r.Query, func(m string) string {
		n, ok := r.parameter(m[2 : len(m)-2])
		if !ok {
			return m // lint has refused such a rule
		}
		return strconv.FormatInt(n, 10)
	})
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

var (
	endsInLimit   = regexp.MustCompile(`(?i)\blimit\s+([0-9]+)\s*$`)
	filtersTime   = regexp.MustCompile(`(?i)\b(where|and|or|on|having)\s+\(?\s*__time__\s*(<|>|=|!|between\b|in\b)`)
	quotedText    = regexp.MustCompile(`'[^']*'`)
	otherWriting  = regexp.MustCompile(`(?i)\bhas\s+'`)
	offsetClause  = regexp.MustCompile(`(?i)\boffset\s+[0-9]`)
	statementHead = regexp.MustCompile(`(?is)^\s*(select|with)\b`)
)

// MaxRows is the LIMIT that a rule's query must carry: the largest that SLS
// accepts. An answer with as many rows counts as cut.
const MaxRows = 1_000_000

// lint returns what is wrong with a query beyond its fields. Each check stands for
// a mistake that SLS answers with silence instead of an error.
func lint(r Rule) []string {
	if r.Query == "" {
		return nil // already noted
	}
	var problems []string
	bad := func(format string, args ...any) { problems = append(problems, "query: "+fmt.Sprintf(format, args...)) }

	used := map[string]bool{}
	for _, m := range placeholder.FindAllStringSubmatch(r.Query, -1) {
		if _, ok := r.parameter(m[1]); !ok {
			names := append([]string{"window", "threshold"}, slices.Sorted(maps.Keys(r.Parameters))...)
			bad("unknown placeholder {{%s}}: want one of %s", clip(m[1], 64), strings.Join(names, ", "))
		}
		used[m[1]] = true
	}
	for _, name := range slices.Sorted(maps.Keys(r.Parameters)) {
		if !used[name] {
			problems = append(problems, "parameters."+name+": the query does not use it")
		}
	}
	if rest := placeholder.ReplaceAllString(r.Query, ""); strings.Contains(rest, "{{") || strings.Contains(rest, "}}") {
		bad("{{ without }}: want placeholders such as {{window}}")
	}
	search, statement, ok := strings.Cut(r.Query, "|")
	bare := quotedText.ReplaceAllString(statement, "''")
	switch {
	case !ok:
		bad("no | : want search | SQL")
		return problems
	case strings.TrimSpace(search) == "":
		bad("nothing before the | : want a search that narrows, or * for every line")
	case !statementHead.MatchString(statement):
		bad("want a select after the |")
	}
	if strings.Contains(bare, ";") {
		bad("contains a ; : want one statement without it")
	}
	if strings.Contains(bare, "--") || strings.Contains(bare, "/*") {
		bad("contains a comment: SLS knows none, use the description")
	}
	if m := endsInLimit.FindStringSubmatch(bare); m == nil {
		bad("does not end in a LIMIT: SLS would cut at 100 rows without a word: want limit %d", MaxRows)
	} else if n, err := strconv.Atoi(m[1]); err != nil || n != MaxRows {
		bad("limit %s: want limit %d", m[1], MaxRows)
	}
	if filtersTime.MatchString(bare) {
		bad("filters on __time__: SLS takes the time range from the request")
	}
	if offsetClause.MatchString(bare) {
		bad("uses OFFSET, which SLS does not know")
	}
	if otherWriting.MatchString(statement) {
		bad("uses has, which SLS does not document: want strpos(x, 'y') > 0")
	}
	if !used["window"] {
		bad("does not use {{window}}: want windows such as __time__ - __time__ %% {{window}}")
	}
	return problems
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
