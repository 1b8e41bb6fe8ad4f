//go:build cgo

package slstest

import (
	"strings"
	"time"
)

// until reads expressions up to a comma (if stop is ",)") or a closing parenthesis, which it leaves.
func (t *translator) until(stop string) (string, error) {
	var b strings.Builder
	for {
		tok := t.peek()
		if tok.kind == sqlEnd {
			return "", t.mismatch(tok)
		}
		if tok.kind == sqlOp && strings.Contains(stop, tok.text) && len(tok.text) == 1 {
			return b.String(), nil
		}
		s, err := t.item()
		if err != nil {
			return "", err
		}
		b.WriteString(s)
	}
}

// item writes one token, or a whole call or parenthesis.
func (t *translator) item() (string, error) {
	tok := t.peek()
	switch tok.kind {
	case sqlEnd:
		return "", t.mismatch(tok)
	case sqlString:
		t.take()
		return " " + quoteText(tok.text), nil
	case sqlNumber:
		t.take()
		if strings.ContainsAny(tok.text, "eE") {
			return " " + tok.text, nil
		}
		return " " + tok.text, nil
	case sqlQuoted:
		t.take()
		return t.identifier(tok)
	case sqlOp:
		return t.punctuation()
	default:
		return t.word()
	}
}

func (t *translator) punctuation() (string, error) {
	tok := t.take()
	switch tok.text {
	case "(":
		inner, err := t.nested()
		return " (" + inner + ")", err
	case "[":
		t.depth++
		defer func() { t.depth-- }()
		if t.depth > maxSQLDepth {
			return "", invalid("query is nested too deeply: want at most %d levels", maxSQLDepth)
		}
		inner, err := t.until("]")
		if err != nil {
			return "", err
		}
		return "[" + inner + "]", t.expect("]")
	case ")", "]", ";":
		return "", t.mismatch(tok)
	case ".", ",":
		return tok.text, nil
	default:
		return " " + tok.text, nil
	}
}

// identifier writes a name. A column list may follow an alias.
func (t *translator) identifier(tok sqlToken) (string, error) {
	name := quoteIdent(tok.text)
	if t.pos >= 2 && t.tokens[t.pos-2].is(".") {
		return name, nil
	}
	return " " + name, nil
}

// word writes a word: a keyword, a function call, or a name.
func (t *translator) word() (string, error) {
	tok := t.peek()
	prev, next := t.previous(), t.ahead(1)
	if prev.is(".") {
		t.take()
		return t.identifier(tok)
	}
	switch tok.lower {
	case "has":
		if operandEnd(prev) && next.kind == sqlString {
			return t.has()
		}
	case "current_date", "current_timestamp", "localtimestamp":
		if !next.is("(") {
			t.take()
			return " " + t.clock(tok.lower), nil
		}
	case "interval":
		if next.kind == sqlString && intervalUnits[t.ahead(2).lower] {
			t.pos += 3
			return " INTERVAL " + quoteText(next.text) + " " + strings.ToUpper(strings.TrimSuffix(t.previous().lower, "s")), nil
		}
	case "date", "timestamp", "time":
		if next.kind == sqlString {
			t.pos += 2
			return " " + strings.ToUpper(tok.lower) + " " + quoteText(next.text), nil
		}
	case "array":
		if next.is("[") {
			t.take()
			return " ARRAY", nil
		}
	case "as":
		t.take()
		return t.alias()
	}
	if keywords[tok.lower] || contextWord(tok, prev, next) {
		t.take()
		return " " + strings.ToUpper(tok.lower), nil
	}
	if next.is("(") {
		if operandEnd(prev) { // unnest(x) t(a): an alias with its columns
			t.take()
			return t.aliasColumns(tok)
		}
		t.pos += 2
		return t.call(tok)
	}
	t.take()
	return t.identifier(tok)
}

// alias writes what follows AS: a name, with a column list perhaps, or a query's parenthesis.
func (t *translator) alias() (string, error) {
	tok := t.peek()
	if tok.kind != sqlWord && tok.kind != sqlQuoted {
		return " AS", nil
	}
	t.take()
	s, err := t.aliasColumns(tok)
	return " AS" + s, err
}

func (t *translator) aliasColumns(tok sqlToken) (string, error) {
	s := " " + quoteIdent(tok.text)
	if !t.peek().is("(") {
		return s, nil
	}
	columns, err := t.names()
	return s + columns, err
}

// operandEnd tells whether an operand may end in tok.
func operandEnd(tok sqlToken) bool {
	switch tok.kind {
	case sqlQuoted, sqlString, sqlNumber:
		return true
	case sqlWord:
		return !keywords[tok.lower] || tok.lower == "end"
	default:
		return tok.is(")") || tok.is("]")
	}
}

// has writes the story's `x has 'y'`: x contains the text y.
func (t *translator) has() (string, error) {
	t.take()
	text := t.take().text
	if strings.ContainsAny(text, `%_\`) {
		escaped := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(text)
		return " LIKE " + quoteText("%"+escaped+"%") + ` ESCAPE '\'`, nil
	}
	return " LIKE " + quoteText("%"+text+"%"), nil // DuckDB makes a substring search of it
}

// clock writes the service's time, the same throughout a query.
func (t *translator) clock(name string) string {
	if name == "current_date" {
		return "DATE " + quoteText(t.now.Format(time.DateOnly))
	}
	return "TIMESTAMP " + quoteText(t.now.Format("2006-01-02 15:04:05.000"))
}

func words(s string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(s) {
		m[w] = true
	}
	return m
}

// keywords are written as they are, wherever they stand. All are reserved in Presto.
var keywords = words(`select distinct all from where group by having order asc desc limit union intersect except
	on using join inner left right full outer cross natural and or not in exists between like escape is null
	true false case when then else end with as`)

var intervalUnits = words("second seconds minute minutes hour hours day days week weeks month months year years")

// contextWord tells whether a word that may also be a name is a keyword where it stands.
func contextWord(tok, prev, next sqlToken) bool {
	switch tok.lower {
	case "nulls":
		return next.keyword("first") || next.keyword("last")
	case "first", "last":
		return prev.keyword("nulls")
	case "over", "filter":
		return prev.is(")") && next.is("(")
	case "partition":
		return next.keyword("by")
	case "rows", "range":
		return next.keyword("between") || next.keyword("unbounded") || next.keyword("current") || next.kind == sqlNumber
	case "unbounded":
		return next.keyword("preceding") || next.keyword("following")
	case "preceding", "following":
		return prev.keyword("unbounded") || prev.kind == sqlNumber
	case "current":
		return next.keyword("row")
	case "row":
		return prev.keyword("current")
	case "values":
		return next.is("(")
	case "ordinality":
		return prev.keyword("with")
	case "grouping":
		return prev.keyword("by") && next.keyword("sets")
	case "sets":
		return prev.keyword("grouping")
	case "cube", "rollup":
		return (prev.keyword("by") || prev.is(",")) && next.is("(")
	}
	return false
}
