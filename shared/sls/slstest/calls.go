//go:build cgo

package slstest

import (
	"fmt"
	"strconv"
	"strings"
)

// argument is one translated argument of a call.
type argument struct {
	sql     string
	literal *string // the text, when the argument is a text literal and nothing else
	name    string  // see nameIn
	number  int     // its value when the argument is a whole number and nothing else, else -1
}

// call writes a function call; the name and the opening parenthesis are read already.
func (t *translator) call(name sqlToken) (string, error) {
	t.depth++
	defer func() { t.depth-- }()
	if t.depth > maxSQLDepth {
		return "", invalid("query is nested too deeply: want at most %d levels", maxSQLDepth)
	}
	switch name.lower {
	case "cast", "try_cast":
		return t.cast(name.lower)
	case "extract":
		return t.extract()
	case "position":
		return t.position()
	case "search":
		return t.searchCall()
	}
	args, err := t.arguments()
	if err != nil {
		return "", err
	}
	f, ok := prestoFunctions[name.lower]
	if !ok {
		if why := unavailable[name.lower]; why != "" {
			return "", invalid("function %s is not available in the local Log Service: %s", name.lower, why)
		}
		return "", invalid("line 1:%d: Function '%s' not registered", name.at+1, shorten(name.lower))
	}
	if len(args) < f.min || len(args) > f.max {
		return "", invalid("line 1:%d: Unexpected parameters for function %s: got %d", name.at+1, name.lower, len(args))
	}
	if column, ok, err := t.answered(name.lower, f, args); ok || err != nil {
		return column, err
	}
	if f.write == nil {
		return " " + f.name + "(" + joinArguments(args) + ")", nil
	}
	s, err := f.write(t, args)
	if err != nil {
		return "", err
	}
	return " " + s, nil
}

func joinArguments(args []argument) string {
	list := make([]string, len(args))
	for i, a := range args {
		list[i] = a.sql
	}
	return strings.Join(list, ", ")
}

// arguments reads the arguments of a call and its closing parenthesis.
func (t *translator) arguments() ([]argument, error) {
	var args []argument
	if t.peek().is(")") {
		t.take()
		return nil, nil
	}
	for {
		start := t.pos
		sql, err := t.argument()
		if err != nil {
			return nil, err
		}
		a := argument{sql: strings.TrimPrefix(sql, " "), number: -1}
		if t.pos == start {
			return nil, t.mismatch(t.peek())
		}
		if t.pos == start+1 {
			switch tok := t.tokens[start]; tok.kind {
			case sqlString:
				a.literal = &tok.text
			case sqlNumber:
				if n, err := strconv.Atoi(tok.text); err == nil {
					a.number = n
				}
			}
		}
		a.name = nameIn(t.tokens[start:t.pos])
		args = append(args, a)
		switch sep := t.take(); {
		case sep.is(","):
		case sep.is(")"):
			return args, nil
		default:
			return nil, t.mismatch(sep)
		}
	}
}

func (t *translator) argument() (string, error) {
	if tok := t.peek(); tok.keyword("select") || tok.keyword("with") {
		return "", t.mismatch(tok)
	}
	return t.until(",)")
}

// cast writes CAST(x AS type).
func (t *translator) cast(name string) (string, error) {
	var b strings.Builder
	for !t.peek().keyword("as") {
		if tok := t.peek(); tok.kind == sqlEnd || tok.is(")") || tok.is(",") {
			return "", t.mismatch(tok)
		}
		s, err := t.item()
		if err != nil {
			return "", err
		}
		b.WriteString(s)
	}
	t.take()
	typ, err := t.typeName()
	if err != nil {
		return "", err
	}
	return " " + strings.ToUpper(name) + "(" + strings.TrimPrefix(b.String(), " ") + " AS " + typ + ")", t.expect(")")
}

// castTypes are the types of Presto that have one in DuckDB.
var castTypes = map[string]string{
	"varchar": "VARCHAR", "char": "VARCHAR", "bigint": "BIGINT", "integer": "INTEGER", "int": "INTEGER", "smallint": "SMALLINT",
	"tinyint": "TINYINT", "double": "DOUBLE", "real": "FLOAT", "boolean": "BOOLEAN", "timestamp": "TIMESTAMP", "date": "DATE",
	"json": "JSON", "varbinary": "BLOB",
}

func (t *translator) typeName() (string, error) {
	t.depth++
	defer func() { t.depth-- }()
	tok := t.take()
	if tok.kind != sqlWord || t.depth > maxSQLDepth {
		return "", t.mismatch(tok)
	}
	switch tok.lower {
	case "array":
		inner, err := t.typeArguments(1)
		if err != nil {
			return "", err
		}
		return inner[0] + "[]", nil
	case "map":
		inner, err := t.typeArguments(2)
		if err != nil {
			return "", err
		}
		return "MAP(" + inner[0] + ", " + inner[1] + ")", nil
	case "decimal":
		return t.decimalType()
	}
	name, ok := castTypes[tok.lower]
	if !ok {
		return "", invalid("line 1:%d: Unknown type: %s", tok.at+1, shorten(tok.text))
	}
	if (tok.lower == "varchar" || tok.lower == "char") && t.peek().is("(") { // a length, which DuckDB ignores too
		t.take()
		if n := t.take(); n.kind != sqlNumber {
			return "", t.mismatch(n)
		}
		return name, t.expect(")")
	}
	return name, nil
}

func (t *translator) typeArguments(n int) ([]string, error) {
	if err := t.expect("("); err != nil {
		return nil, err
	}
	out := make([]string, n)
	for i := range out {
		var err error
		if out[i], err = t.typeName(); err != nil {
			return nil, err
		}
		if i+1 < n {
			if err := t.expect(","); err != nil {
				return nil, err
			}
		}
	}
	return out, t.expect(")")
}

func (t *translator) decimalType() (string, error) {
	if !t.peek().is("(") {
		return "DECIMAL(38,0)", nil
	}
	t.take()
	width, scale := t.take(), sqlToken{text: "0"}
	if t.peek().is(",") {
		t.take()
		scale = t.take()
	}
	w, errW := strconv.Atoi(width.text)
	s, errS := strconv.Atoi(scale.text)
	if errW != nil || errS != nil || w < 1 || w > 38 || s < 0 || s > w {
		return "", t.mismatch(width)
	}
	return fmt.Sprintf("DECIMAL(%d,%d)", w, s), t.expect(")")
}

// extract writes EXTRACT(unit FROM x).
func (t *translator) extract() (string, error) {
	unit := t.take()
	f, ok := prestoFunctions[unit.lower]
	if from := t.take(); !ok || !dateParts[unit.lower] || !from.keyword("from") {
		return "", t.mismatch(unit)
	}
	x, err := t.until(")")
	if err != nil {
		return "", err
	}
	s, err := f.write(t, []argument{{sql: strings.TrimPrefix(x, " "), number: -1}})
	if err != nil {
		return "", err
	}
	return " " + s, t.expect(")")
}

// position writes POSITION(x IN y), that is strpos(y, x).
func (t *translator) position() (string, error) {
	var needle strings.Builder
	for !t.peek().keyword("in") {
		if tok := t.peek(); tok.kind == sqlEnd || tok.is(")") {
			return "", t.mismatch(tok)
		}
		s, err := t.item()
		if err != nil {
			return "", err
		}
		needle.WriteString(s)
	}
	t.take()
	text, err := t.until(")")
	if err != nil {
		return "", err
	}
	return " strpos(" + text + "," + needle.String() + ")", t.expect(")")
}

// searchCall writes search('…'): the search part's grammar as a condition in
// SQL. The logstore's view answers it in a hidden column.
func (t *translator) searchCall() (string, error) {
	args, err := t.arguments()
	if err != nil {
		return "", err
	}
	if len(args) != 1 || args[0].literal == nil {
		return "", invalid("search('…') wants one text literal")
	}
	node, err := parseSearch(*args[0].literal, true)
	if err != nil {
		return "", err
	}
	t.out.searches = append(t.out.searches, node)
	return " " + quoteIdent(searchColumn(len(t.out.searches)-1)), nil
}
