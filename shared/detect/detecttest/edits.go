package detecttest

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// edit replaces query[from:to].
type edit struct {
	kind, change string
	from, to     int
	text         string
}

// piece is a word, a parenthesis or a comma of SQL outside quotes, and how deep in parentheses it stands.
type piece struct {
	text     string // in lower case
	from, to int
	depth    int
}

// always stands for a condition that is taken away from others that must hold with it.
const always = "1 = 1"

// edits finds what in the SQL of a query decides and can be taken away: what joins rows, what
// groups must show, what is counted once, what lines must be like.
func edits(query string) []edit {
	var all []edit
	pieces := read(query)
	for i, p := range pieces {
		switch p.text {
		case "join":
			all = append(all, ofJoin(query, pieces, i)...)
		case "on":
			all = append(all, taken(query, OfJoin, parts(pieces, i))...)
		case "having":
			all = append(all, ofHaving(query, parts(pieces, i))...)
		case "where":
			all = append(all, taken(query, OfFilter, parts(pieces, i))...)
		case "distinct":
			if i > 1 && strings.HasSuffix(pieces[i-2].text, "_agg") {
				continue // what a list holds twice is one address or account all the same
			}
			if again(query, pieces, i) {
				continue
			}
			all = append(all, edit{OfDistinct, "not " + around(query, p), p.from, p.to, ""})
		}
	}
	all = append(all, ofNumbers(query)...)
	slices.SortStableFunc(all, func(a, b edit) int { return strings.Compare(a.kind, b.kind) })
	return all
}

// again tells whether the DISTINCT at i stands in a condition of a HAVING that compares with the threshold:
// without it more rows come back, and the program compares their counts again.
func again(query string, pieces []piece, i int) bool {
	for at := i; at >= 0; at-- {
		if pieces[at].text != "having" {
			continue
		}
		for _, c := range parts(pieces, at) {
			if c.from <= pieces[i].from && pieces[i].from < c.to {
				return strings.Contains(query[c.from:c.to], "{{threshold}}")
			}
		}
		return false
	}
	return false
}

var (
	quotes = regexp.MustCompile(`'(?:[^']|\'\')*'`)
	// numbers are what something is compared with, and how many times something is.
	numbers = regexp.MustCompile(`[<>]=?\s*(\d+)\b|\*\s*(\d+)\b|\b(\d+)\s*\*`)
	// ofLength stands before a number that says how long a line may be. Whether one byte more is read shows nowhere.
	ofLength = regexp.MustCompile(`\blength\([^()]*\)\s*$`)
)

// ofNumbers moves by one what stands as a number in the SQL. What is above zero is there, which no test moves.
func ofNumbers(query string) []edit {
	var all []edit
	sql := quotes.ReplaceAllStringFunc(query, func(s string) string { return strings.Repeat("_", len(s)) })
	for _, at := range numbers.FindAllStringSubmatchIndex(sql, -1) {
		from, to := 0, 0
		for i := 2; i < len(at); i += 2 {
			if at[i] >= 0 {
				from, to = at[i], at[i+1]
			}
		}
		n, err := strconv.Atoi(sql[from:to])
		if err != nil || n == 0 || from < strings.Index(sql, "|") || ofLength.MatchString(sql[:at[0]]) {
			continue
		}
		behind := query[max(from-30, 0):min(to+20, len(query))]
		for _, v := range []int{n - 1, n + 1} {
			all = append(all, edit{OfNumber, strconv.Itoa(n) + " → " + strconv.Itoa(v) + " in " + quiet(behind), from, to, strconv.Itoa(v)})
		}
	}
	return all
}

// around shows a keyword with the word before it and the few behind it.
func around(query string, p piece) string {
	from := p.from - 1
	for from > 0 && !strings.ContainsRune(" \n\t,", rune(query[from-1])) {
		from--
	}
	for query[from] == '(' && from < p.from-1 {
		from++
	}
	to := min(len(query), p.to+30)
	if n := strings.IndexAny(query[p.to:to], ")\n"); n >= 0 {
		to = p.to + n + 1
	}
	return quiet(query[from:to])
}

// ofJoin turns an inner join into a left one and the other way round.
func ofJoin(query string, pieces []piece, i int) []edit {
	from, to := pieces[i].from, pieces[i].to
	before := ""
	if i > 0 {
		before = pieces[i-1].text
	}
	switch before {
	case "left", "outer", "right", "full":
		for i--; i > 0 && slices.Contains([]string{"left", "outer", "right", "full"}, pieces[i].text); i-- {
			from = pieces[i].from
		}
		return []edit{{OfJoin, quiet(query[from:to]) + " → join", from, to, "join"}}
	case "cross", "inner":
		return nil
	default:
		return []edit{{OfJoin, "join → left join", from, to, "left join"}}
	}
}

// condition is one of several that AND or OR join.
type condition struct {
	from, to int
	or       bool // OR joins it to the others
}

// ends are the words that end a condition at its own depth.
var ends = []string{"where", "group", "order", "having", "limit", "join", "left", "right", "full", "inner", "cross", "union", "select", "on", "qualify"}

// parts returns the conditions behind the keyword at i.
func parts(pieces []piece, i int) []condition {
	depth := pieces[i].depth
	var (
		all   []condition
		or    bool
		start = pieces[i].to
		end   = -1
		among bool // between x AND y
	)
	for _, p := range pieces[i+1:] {
		if p.depth < depth || p.depth == depth && slices.Contains(ends, p.text) {
			end = p.from
			break
		}
		if p.depth != depth {
			continue
		}
		switch {
		case p.text == "between":
			among = true
		case p.text == "and" && among:
			among = false
		case p.text == "and" || p.text == "or":
			or = or || p.text == "or"
			all = append(all, condition{from: start, to: p.from})
			start = p.to
		}
	}
	if end < 0 {
		end = pieces[len(pieces)-1].to
	}
	all = append(all, condition{from: start, to: end})
	for i := range all {
		all[i].or = or
	}
	return all
}

// taken takes away one condition at a time.
func taken(query, kind string, conditions []condition) []edit {
	var all []edit
	for _, c := range conditions {
		text := always
		if c.or {
			text = "1 = 0"
		}
		all = append(all, edit{kind, kind + " without " + quiet(query[c.from:c.to]), c.from, c.to, " " + text + " "})
	}
	return all
}

// ofThreshold finds a condition that says no more than the rule's threshold does.
var ofThreshold = regexp.MustCompile(`^\s*[^<>=]+>\s*\{\{threshold\}\}\s*$`)

// ofHaving leaves out what the program says again: that the count is above the threshold.
func ofHaving(query string, conditions []condition) []edit {
	var some []condition
	for _, c := range conditions {
		if c.or || !ofThreshold.MatchString(query[c.from:c.to]) {
			some = append(some, c)
		}
	}
	return taken(query, OfHaving, some)
}

var wordsOfSQL = regexp.MustCompile(`'(?:[^']|'')*'|"[^"]*"|\{\{[^{}]*\}\}|[A-Za-z_][A-Za-z0-9_]*|[(),]`)

// read cuts the SQL behind the search into pieces; what stands in quotes or double braces is none.
func read(query string) []piece {
	sql := strings.Index(query, "|")
	var (
		all   []piece
		depth int
	)
	for _, at := range wordsOfSQL.FindAllStringIndex(query[sql+1:], -1) {
		from, to := at[0]+sql+1, at[1]+sql+1
		text := strings.ToLower(query[from:to])
		switch {
		case strings.HasPrefix(text, "'"), strings.HasPrefix(text, `"`), strings.HasPrefix(text, "{{"):
			text = "" // keeps its place, so that a condition ends behind it
		case text == "(":
			all = append(all, piece{text, from, to, depth})
			depth++
			continue
		case text == ")":
			depth--
		}
		all = append(all, piece{text, from, to, depth})
	}
	return all
}
