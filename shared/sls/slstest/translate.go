//go:build cgo

package slstest

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	defaultRows  = 100       // SLS: rows of a result without LIMIT
	maxRows      = 1_000_000 // SLS: LIMIT n, and offset + count of LIMIT offset, count
	maxPageRows  = 10_000    // SLS: count of LIMIT offset, count
	maxSQLTokens = 10_000
	maxSQLDepth  = 100
)

// translation is a Presto query written anew for DuckDB.
type translation struct {
	sql       string // begins with SELECT, or with the query's own WITH list when withs is set
	withs     string // the query's own common table expressions
	limit     int
	offset    int
	limited   bool         // the query had a LIMIT of its own
	questions []question   // what was asked of single values became the column answerColumn(i)
	searches  []searchNode // search('…') number i became the column searchColumn(i)
	timeout   time.Duration
	scan      bool // set session mode=scan: fields need no index
}

// searchColumn names the hidden column that holds the answer of one search('…').
func searchColumn(i int) string { return "__search_" + strconv.Itoa(i) + "__" }

// translator walks over the tokens of a query and writes DuckDB's SQL. It emits
// only keywords and functions that it knows; every other name comes out quoted,
// so nothing of DuckDB's own grammar can be reached.
type translator struct {
	tokens []sqlToken
	pos    int
	depth  int
	now    time.Time // in the service's zone, as if UTC
	out    translation
	refuse bool // LIMIT ALL is an error

	values  func(name string) (field int, ok bool) // of a Stream; nil: see answered
	rowwise bool                                   // where we are, each line of log is looked at by itself
}

func translate(sql string, now time.Time, refuseLimitAll bool, values func(string) (int, bool)) (*translation, error) {
	tokens, err := lexSQL(sql)
	if err != nil {
		return nil, err
	}
	if len(tokens) > maxSQLTokens {
		return nil, invalid("query has too many tokens: want at most %d", maxSQLTokens)
	}
	t := &translator{tokens: tokens, now: now, refuse: refuseLimitAll, values: values}
	if err := t.session(); err != nil {
		return nil, err
	}
	first := t.peek()
	if !first.keyword("select") && !first.keyword("with") {
		return nil, t.mismatch(first)
	}
	t.out.limit = defaultRows
	if first.keyword("with") {
		if t.out.withs, err = t.with(); err != nil {
			return nil, err
		}
	}
	if t.out.sql, err = t.query(true); err != nil {
		return nil, err
	}
	if end := t.peek(); end.kind != sqlEnd {
		return nil, t.mismatch(end)
	}
	return &t.out, nil
}

func (t *translator) peek() sqlToken { return t.tokens[t.pos] }

// ahead looks n tokens past the next one.
func (t *translator) ahead(n int) sqlToken {
	return t.tokens[min(t.pos+n, len(t.tokens)-1)]
}

func (t *translator) previous() sqlToken {
	if t.pos == 0 {
		return sqlToken{}
	}
	return t.tokens[t.pos-1]
}

func (t *translator) take() sqlToken {
	tok := t.tokens[t.pos]
	if tok.kind != sqlEnd {
		t.pos++
	}
	return tok
}

func (t *translator) mismatch(tok sqlToken) error {
	if tok.kind == sqlEnd {
		return invalid("line 1:%d: mismatched input '<EOF>'", tok.at+1)
	}
	return invalid("line 1:%d: mismatched input '%s'", tok.at+1, shorten(tok.text))
}

func (t *translator) expect(op string) error {
	if tok := t.take(); !tok.is(op) {
		return t.mismatch(tok)
	}
	return nil
}

// session reads `set session name=value;` prefixes. Those that change what the
// service promises are obeyed (mode=scan, query_max_run_time); the rest, which
// choose resources, are accepted and have no effect here.
func (t *translator) session() error {
	for t.peek().keyword("set") && t.ahead(1).keyword("session") {
		t.pos += 2
		name := t.take()
		if name.kind != sqlWord {
			return t.mismatch(name)
		}
		if err := t.expect("="); err != nil {
			return err
		}
		var value string
		for tok := t.peek(); !tok.is(";"); tok = t.peek() {
			if tok.kind == sqlEnd || tok.kind == sqlOp {
				return t.mismatch(tok)
			}
			value += strings.ToLower(t.take().text)
		}
		t.take()
		switch name.lower {
		case "mode":
			t.out.scan = value == "scan"
		case "query_max_run_time":
			d, err := time.ParseDuration(value)
			if err != nil || d <= 0 {
				return invalid("set session query_max_run_time: %s is not a duration", shorten(value))
			}
			t.out.timeout = d
		}
	}
	return nil
}

// with reads WITH name [(columns)] AS (query), …
func (t *translator) with() (string, error) {
	t.take()
	var b strings.Builder
	for {
		name := t.take()
		if name.kind != sqlWord && name.kind != sqlQuoted || name.lower == "recursive" {
			return "", t.mismatch(name)
		}
		if strings.EqualFold(name.text, "log") {
			return "", invalid("WITH query name 'log' is taken by the logstore")
		}
		b.WriteString(quoteIdent(name.text))
		if t.peek().is("(") {
			columns, err := t.names()
			if err != nil {
				return "", err
			}
			b.WriteString(columns)
		}
		if tok := t.take(); !tok.keyword("as") {
			return "", t.mismatch(tok)
		}
		if err := t.expect("("); err != nil {
			return "", err
		}
		inner, err := t.nested()
		if err != nil {
			return "", err
		}
		b.WriteString(" AS (" + inner + ")")
		if !t.peek().is(",") {
			return b.String(), nil
		}
		t.take()
		b.WriteString(", ")
	}
}

// names reads a list of column names in parentheses.
func (t *translator) names() (string, error) {
	if err := t.expect("("); err != nil {
		return "", err
	}
	var list []string
	for {
		tok := t.take()
		if tok.kind != sqlWord && tok.kind != sqlQuoted {
			return "", t.mismatch(tok)
		}
		list = append(list, quoteIdent(tok.text))
		switch sep := t.take(); {
		case sep.is(","):
		case sep.is(")"):
			return "(" + strings.Join(list, ", ") + ")", nil
		default:
			return "", t.mismatch(sep)
		}
	}
}

// nested reads what stands in parentheses, up to and with the closing one: a
// query if it begins like one, else expressions.
func (t *translator) nested() (string, error) {
	t.depth++
	defer func() { t.depth-- }()
	if t.depth > maxSQLDepth {
		return "", invalid("query is nested too deeply: want at most %d levels", maxSQLDepth)
	}
	var s string
	var err error
	switch tok := t.peek(); {
	case tok.keyword("with"):
		if s, err = t.with(); err != nil {
			return "", err
		}
		var q string
		q, err = t.query(false)
		s = "WITH " + s + " " + q
	case tok.keyword("select"):
		s, err = t.query(false)
	default:
		s, err = t.until(")")
	}
	if err != nil {
		return "", err
	}
	return s, t.expect(")")
}

// clauseWords begin a clause after FROM, at the level of a query.
var clauseWords = words("where group having order limit union intersect except")

// query reads a SELECT up to the closing parenthesis or the end. At the top the
// table may be left out and the number of rows is ours to bound.
func (t *translator) query(top bool) (string, error) {
	var b strings.Builder
	fromMissing := false
	defer func(before bool) { t.rowwise = before }(t.rowwise)
	t.rowwise = false
	lines := false // the SELECT that we are in looks at each line by itself
	addFrom := func() {
		if fromMissing && top {
			b.WriteString(` FROM "log"`)
		}
		fromMissing = false
	}
	for {
		tok := t.peek()
		switch {
		case tok.kind == sqlEnd || tok.is(")"):
			if top && tok.is(")") {
				return "", t.mismatch(tok)
			}
			addFrom()
			return b.String(), nil
		case tok.is(";"):
			return "", invalid("line 1:%d: mismatched input ';': a query must not end in a semicolon", tok.at+1)
		case tok.keyword("limit") && !t.previous().is("."):
			addFrom()
			s, err := t.limitClause(top)
			if err != nil {
				return "", err
			}
			b.WriteString(s)
			continue
		case tok.keyword("offset") && t.ahead(1).kind == sqlNumber:
			return "", invalid("line 1:%d: mismatched input 'offset': use LIMIT offset, count", tok.at+1)
		case tok.keyword("fetch") && (t.ahead(1).keyword("first") || t.ahead(1).keyword("next")):
			return "", t.mismatch(tok)
		case tok.kind == sqlWord && clauseWords[tok.lower] && !t.previous().is("."):
			t.rowwise = lines && tok.lower == "where"
			addFrom()
		case tok.keyword("select") && !t.previous().is("."):
			lines = t.values != nil && t.looksAtLines(top)
			t.rowwise = lines && !top // the result's columns keep their names
			fromMissing = true
		case tok.keyword("from") && !t.previous().keyword("distinct"):
			fromMissing = false
		}
		s, err := t.item()
		if err != nil {
			return "", err
		}
		b.WriteString(s)
	}
}

// limitClause reads LIMIT n, LIMIT offset, count or LIMIT ALL.
func (t *translator) limitClause(top bool) (string, error) {
	t.take()
	number := func() (int, error) {
		tok := t.take()
		n, err := strconv.Atoi(tok.text)
		if tok.kind != sqlNumber || err != nil || n < 0 {
			return 0, t.mismatch(tok)
		}
		return n, nil
	}
	limit, offset := maxRows, 0
	if t.peek().keyword("all") {
		tok := t.take()
		if t.refuse {
			return "", t.mismatch(tok)
		}
	} else {
		var err error
		if limit, err = number(); err != nil {
			return "", err
		}
		if t.peek().is(",") {
			tok := t.take()
			if !top {
				return "", invalid("line 1:%d: LIMIT offset, count is not supported in a subquery", tok.at+1)
			}
			offset = limit
			if limit, err = number(); err != nil {
				return "", err
			}
			if limit > maxPageRows {
				return "", invalid("limit %d,%d: count must be at most %d", offset, limit, maxPageRows)
			}
		}
	}
	if offset+limit > maxRows {
		return "", invalid("limit %d exceeds the maximum of %d", offset+limit, maxRows)
	}
	if tok := t.peek(); tok.keyword("offset") {
		return "", invalid("line 1:%d: mismatched input 'offset': use LIMIT offset, count", tok.at+1)
	} else if tok.kind != sqlEnd && !tok.is(")") {
		return "", t.mismatch(tok)
	}
	if top {
		t.out.limit, t.out.offset, t.out.limited = limit, offset, true
		return "", nil
	}
	return fmt.Sprintf(" LIMIT %d", limit), nil
}
