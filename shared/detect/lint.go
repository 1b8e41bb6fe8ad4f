package detect

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// MaxRows is the LIMIT that a rule's query must carry on the Log Service: the
// largest that it accepts. An answer with as many rows counts as cut.
const MaxRows = 1_000_000

// manners are what a log service answers with silence, or cannot do. Each entry
// stands for a mistake that a rule's author would otherwise learn of in production.
type manners struct {
	name      string // for people
	limit     int    // the largest LIMIT, which a query must carry
	unlimited int    // rows without one
	length    int    // the longest query in bytes
	time      string // how a window is written
	never     []never
}

// never is something that a query must not hold.
type never struct {
	pattern *regexp.Regexp
	quoted  bool // looked for in quoted text, too
	why     string
}

var (
	endsInLimit   = regexp.MustCompile(`(?i)\blimit\s+([0-9]+)\s*$`)
	quotedText    = regexp.MustCompile(`'[^']*'`)
	statementHead = regexp.MustCompile(`(?is)^\s*(select|with)\b`)
)

// everywhere is refused on every log service.
var everywhere = []never{
	{regexp.MustCompile(`;`), false, "contains a ; : want one statement without it"},
	{regexp.MustCompile(`(?i)\bhas\s+'`), true, "uses has, which SLS does not document: want strpos(x, 'y') > 0"},
}

// mannersOf are the log services' manners. SLS: query and analysis limits, LIMIT
// clause. CLS: SearchLog, SQL LIMIT syntax, SELECT syntax, IP functions.
var mannersOf = map[string]manners{
	SLS: {
		name: "SLS", limit: MaxRows, unlimited: 100, length: maxQuery, time: "__time__ - __time__ % {{window}}",
		never: []never{
			{regexp.MustCompile(`--|/\*`), false, "contains a comment: SLS knows none, use the description"},
			{regexp.MustCompile(`(?i)\b(where|and|or|on|having)\s+\(?\s*__time__\s*(<|>|=|!|between\b|in\b)`), false, "filters on __time__: SLS takes the time range from the request"},
			{regexp.MustCompile(`(?i)\boffset\s+[0-9]`), false, "uses OFFSET, which SLS does not know"},
			{regexp.MustCompile(`\b__TIMESTAMP__\b`), false, "uses __TIMESTAMP__, which is CLS's: want __time__, in seconds"},
		},
	},
	CLS: {
		name: "CLS", limit: 10_000, unlimited: 100, length: 12 << 10, time: "cast((__TIMESTAMP__ - __TIMESTAMP__ % ({{window}} * 1000)) / 1000 as bigint)",
		never: []never{
			{regexp.MustCompile(`--|/\*`), false, "contains a comment: CLS documents none, use the description"},
			{regexp.MustCompile(`(?i)\b(where|and|or|on|having)\s+\(?\s*__TIMESTAMP__\s*(<|>|=|!|between\b|in\b)`), false, "filters on __TIMESTAMP__: CLS takes the time range from the request"},
			{regexp.MustCompile(`(?i)\boffset\s+[0-9]`), false, "uses OFFSET: the client writes it when it asks for the next page"},
			{regexp.MustCompile(`\b__time__\b`), false, "uses __time__, which is SLS's: want __TIMESTAMP__, in milliseconds"},
			{regexp.MustCompile(`(?i)\b(from|join)\s+log\b`), false, "names the table log: CLS documents no name for the topic, leave FROM out"},
			{regexp.MustCompile(`(?i)\bsecurity_check_(ip|domain|url)\b`), false, "uses a function that CLS does not have"},
		},
	},
}

// lint returns what is wrong with a rule's queries beyond its fields.
func lint(r Rule) []string {
	if r.Query == "" {
		return nil // already noted
	}
	used := map[string]bool{}
	var problems []string
	for _, dialect := range Dialects() {
		in, ok := r.In(dialect)
		if !ok {
			continue
		}
		key := "query"
		if _, own := r.Dialects[dialect]; own {
			key = "dialects." + dialect + ".query"
		} else if dialect != SLS {
			key = "query, on " + mannersOf[dialect].name
		}
		problems = append(problems, lintQuery(in, key, mannersOf[dialect], used)...)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Parameters)) {
		if !used[name] {
			problems = append(problems, "parameters."+name+": the query does not use it")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Fields)) {
		if !used[fieldPrefix+name] {
			problems = append(problems, "fields."+name+": the query does not use it: want {{"+fieldPrefix+name+"}}")
		}
	}
	return problems
}

// lintQuery looks at one query. The placeholders that it uses are added to used.
func lintQuery(r Rule, key string, m manners, used map[string]bool) []string {
	var problems []string
	bad := func(format string, args ...any) { problems = append(problems, key+": "+fmt.Sprintf(format, args...)) }
	windows := false
	for _, match := range placeholder.FindAllStringSubmatch(r.Query, -1) {
		if _, ok := r.fill(match[1]); !ok {
			bad("unknown placeholder {{%s}}: want one of %s", clip(match[1], 64), strings.Join(r.placeholders(), ", "))
		}
		windows = windows || match[1] == "window" || match[1] == "window_start"
		used[match[1]] = true
	}
	if rest := placeholder.ReplaceAllString(r.Query, ""); strings.Contains(rest, "{{") || strings.Contains(rest, "}}") {
		bad("{{ without }}: want placeholders such as {{window}}")
	}
	search, statement, ok := strings.Cut(r.SQL(), "|")
	asWritten, _, _ := strings.Cut(r.Query, "|")
	bare := quotedText.ReplaceAllString(statement, "''")
	switch {
	case !ok:
		bad("no | : want search | SQL")
		return problems
	case strings.TrimSpace(search) == "":
		bad("nothing before the | : want a search that narrows, or * for every line")
	case strings.Contains(asWritten, "{{"+fieldPrefix):
		bad("a field before the | : searches quote otherwise than SQL does")
	case !statementHead.MatchString(statement):
		bad("want a select after the |")
	}
	if n := len(r.SQL()); n > m.length {
		bad("%d bytes: %s takes at most %d", n, m.name, m.length)
	}
	if match := endsInLimit.FindStringSubmatch(bare); match == nil {
		bad("does not end in a LIMIT: %s would cut at %d rows without a word: want limit %d", m.name, m.unlimited, m.limit)
	} else if n, err := strconv.Atoi(match[1]); err != nil || n != m.limit {
		bad("limit %s: want limit %d", match[1], m.limit)
	} else if m.name == "CLS" && !endsInOrder.MatchString(bare) {
		bad("no ORDER BY before the LIMIT: rows beyond %d come page by page, and pages without an order may overlap or leave gaps", m.limit)
	}
	for _, n := range slices.Concat(everywhere, m.never) {
		if text := map[bool]string{true: statement, false: bare}[n.quoted]; n.pattern.MatchString(text) {
			bad("%s", n.why)
		}
	}
	if !windows {
		bad("does not use {{window}}: want windows such as %s", m.time)
	}
	return problems
}

// endsInOrder finds the ORDER BY that belongs to the statement itself.
var endsInOrder = regexp.MustCompile(`(?i)\border\s+by\b[^()]*\blimit\s+[0-9]+\s*$`)

// placeholders returns the names that may stand between double braces.
func (r Rule) placeholders() []string {
	all := append([]string{"window", "threshold", "window_start", "time", "log", "limit", "country:COLUMN", "unusual:COLUMN"}, slices.Sorted(maps.Keys(r.Parameters))...)
	for _, field := range slices.Sorted(maps.Keys(r.Fields)) {
		all = append(all, fieldPrefix+field)
	}
	return all
}
